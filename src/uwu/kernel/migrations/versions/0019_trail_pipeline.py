"""Where the trail comes from: sources with their lag, objects that could not be read, backfills."""

import sqlalchemy as sa
from alembic import op

from uwu.kernel.db import Json, Time

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "trail_sources",
        sa.Column("source", sa.Text(), nullable=False, comment="s3://bucket/prefix, a folder, or the URL of a queue"),
        sa.Column("kind", sa.Text(), nullable=False, comment="queue, bucket or folder"),
        sa.Column("listed_at", Time(), comment="when it was last listed whole, or its days of the window"),
        sa.Column("roots", Json, nullable=False, comment="prefixes of an account and region, whose children are years"),
        sa.Column("roots_at", Time(), comment="when they were looked for"),
        sa.Column("seen_at", Time(), comment="when it last answered"),
        sa.Column("objects", sa.BigInteger(), nullable=False, comment="taken from it"),
        sa.Column(
            "late",
            sa.BigInteger(),
            nullable=False,
            comment="of them found by listing, though a queue should have told",
        ),
        sa.Column("waiting", sa.Integer(), nullable=False, comment="messages that the queue holds; about"),
        sa.Column("lag_seconds", sa.Integer(), nullable=False, comment="from the last object's delivery to its commit"),
        sa.Column("problem", sa.Text(), nullable=False, comment="why it does not answer; empty where it does"),
        sa.PrimaryKeyConstraint("source", name="pk_trail_sources"),
    )
    op.create_table(
        "trail_dead",
        sa.Column(
            "object", sa.Text(), nullable=False, comment="s3://bucket/key, or queue#message for one that names none"
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="the queue or prefix that told of it"),
        sa.Column("mark", sa.Text(), nullable=False, comment="its ETag; empty where not told"),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="the start of a message that names no object"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", Time(), nullable=False),
        sa.Column("last_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("object", name="pk_trail_dead"),
    )
    op.create_index("ix_trail_dead_last_at", "trail_dead", ["last_at"])
    op.create_table(
        "trail_backfills",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False, comment="the first day, YYYY-MM-DD"),
        sa.Column("until", sa.Text(), nullable=False, comment="the day after the last"),
        sa.Column("prefixes", Json, nullable=False, comment="those of days that are still to be listed, in order"),
        sa.Column("total", sa.Integer(), nullable=False, comment="prefixes in all"),
        sa.Column("objects", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="of the objects that were taken"),
        sa.Column("seconds", sa.Integer(), nullable=False, comment="of work so far"),
        sa.Column("state", sa.Text(), nullable=False, comment="running or done"),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("started_at", Time(), nullable=False),
        sa.Column("updated_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trail_backfills"),
    )
