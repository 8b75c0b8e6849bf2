"""Runs that only refresh: they find what was changed outside of Terraform."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column(
        "iac_runs",
        sa.Column(
            "refresh_only",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="it looks for drift: plan -refresh-only",
        ),
    )
