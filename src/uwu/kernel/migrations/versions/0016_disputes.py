"""What evidence disagrees about, and what each owner has by which evidence, come from indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    disputed = sa.text("conflicts <> '[]'")
    op.drop_index("ix_ownership_owner", "ownership")
    op.create_index("ix_ownership_by_owner", "ownership", ["owner", "strength"])
    op.create_index("ix_ownership_disputed", "ownership", ["subject"], postgresql_where=disputed, sqlite_where=disputed)
