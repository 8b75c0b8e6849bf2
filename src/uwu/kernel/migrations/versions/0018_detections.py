"""Detections: alerts with their events pinned, what rules matched by day, and which batches they have seen."""

import sqlalchemy as sa
from alembic import op

from uwu.kernel.db import Json, Time

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "trail_alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rule_hash", sa.Text(), nullable=False, comment="SHA-256 of the rule as it was when it fired"),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="the urn that it is about"),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("cause", Json, nullable=False, comment="the event that opened it, as a change"),
        sa.Column("place", sa.Text(), nullable=False, comment="the rule's file:line"),
        sa.Column(
            "said", sa.Text(), nullable=False, comment="what its events have in common; empty where there is nothing"
        ),
        sa.Column("count", sa.Integer(), nullable=False, comment="of its events"),
        sa.Column("events", Json, nullable=False, comment="the first and the last of them: id, time, SHA-256"),
        sa.Column("first_at", Time, nullable=False),
        sa.Column("last_at", Time, nullable=False),
        sa.Column("opened_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False, comment="when an event joined it last"),
        sa.Column("closed_at", Time),
        sa.Column("closed_by", sa.Text(), nullable=False, comment="who closed it; empty where its time was over"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it was closed"),
        sa.PrimaryKeyConstraint("id", name="pk_trail_alerts"),
    )
    op.create_index("ix_trail_alerts_open", "trail_alerts", ["closed_at", "rule", "subject"])
    op.create_index("ix_trail_alerts_subject", "trail_alerts", ["subject"])
    op.create_index("ix_trail_alerts_last_at", "trail_alerts", ["last_at"])
    op.create_table(
        "trail_rule_days",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False, comment="YYYY-MM-DD of the events, UTC"),
        sa.Column("matches", sa.Integer(), nullable=False),
        sa.Column("last_at", Time, nullable=False, comment="of the latest event that matched"),
        sa.PrimaryKeyConstraint("rule", "day", name="pk_trail_rule_days"),
    )
    op.create_table(
        "trail_detected",
        sa.Column(
            "batch",
            sa.Integer(),
            nullable=False,
            autoincrement=False,
            comment="a batch whose events the rules have seen",
        ),
        sa.Column("at", Time, nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("alerts", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("batch", name="pk_trail_detected"),
    )
    # what was taken in before there were rules is history: a backtest looks at it, no alert wakes anybody for it
    op.execute(
        "insert into trail_detected (batch, at, events, alerts, seconds) "
        "select number, committed_at, 0, 0, 0 from lake_batches where stream = 'trail' and state = 'committed'"
    )
