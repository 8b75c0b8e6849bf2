"""Empty: kept because homes have passed it."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    pass
