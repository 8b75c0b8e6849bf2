"""When each resource was last seen by itself; counting as of a time."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    pass
