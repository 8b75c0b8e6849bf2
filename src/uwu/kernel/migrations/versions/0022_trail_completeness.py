"""How complete the trail is: each hour of an account and region, and what is wrong with digests and log files."""

import sqlalchemy as sa
from alembic import op

from uwu.kernel.db import Time

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.create_table(
        "trail_hours",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("hour", Time(), nullable=False, comment="its start, UTC: of deliveries"),
        sa.Column("state", sa.Text(), nullable=False, comment="proven, delivered or missing"),
        sa.Column("why", sa.Text(), nullable=False, comment="what is wrong; empty for a proven hour"),
        sa.Column("objects", sa.Integer(), nullable=False, comment="log files that lie there"),
        sa.Column("proven", sa.Integer(), nullable=False, comment="of them as a digest tells them"),
        sa.Column("checked_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("account", "region", "hour", name="pk_trail_hours"),
    )
    op.create_index("ix_trail_hours_hour", "trail_hours", ["hour"])
    op.create_table(
        "trail_faults",
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="the digest or the log file"),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("since", Time(), nullable=False, comment="the time that it leaves unproven"),
        sa.Column("until", Time(), nullable=False),
        sa.Column("inferred", sa.Boolean(), nullable=False, comment="the key follows from the hours; nothing tells it"),
        sa.Column("tampering", sa.Boolean(), nullable=False, comment="somebody must have changed something"),
        sa.Column("first_at", Time(), nullable=False, comment="when it was found first"),
        sa.Column("seen_at", Time(), nullable=False, comment="when it was found last"),
        sa.PrimaryKeyConstraint("bucket", "key", "code", name="pk_trail_faults"),
    )
    op.create_index("ix_trail_faults_place", "trail_faults", ["account", "region", "until"])
    op.create_index("ix_trail_faults_until", "trail_faults", ["until"])
