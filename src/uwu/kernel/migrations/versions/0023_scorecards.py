"""Scorecards: the cards, how each entity stands, and how it stood by day."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from uwu.kernel.db import Json, Time

revision = "0023"
down_revision = "0022"


def _counts() -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in ("passed", "failed", "unknown", "exempt")]


def upgrade() -> None:
    op.create_table(
        "scorecards",
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("levels", Json, nullable=False, comment="their names, the lowest first"),
        sa.Column("checks", Json, nullable=False, comment="check, level and weight of each, in their order"),
        sa.Column("place", sa.Text(), nullable=False, comment="where it is declared; empty for the shipped one"),
        sa.Column("entities", sa.Integer(), nullable=False),
        sa.Column("judged_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("card", name="pk_scorecards"),
    )
    op.create_table(
        "scorecard_grades",
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("reachable", sa.Text(), nullable=False, comment="the level, were all that is not known passed"),
        sa.Column("rank", sa.Integer(), nullable=False, comment="the place of the level, from 1; 0: none"),
        sa.Column("score", sa.Float(), nullable=True, comment="percent of what is known; null: nothing is"),
        *_counts(),
        sa.Column("statuses", Json, nullable=False, comment="check -> status"),
        sa.Column("results", Json, nullable=False, comment="every verdict with its proofs"),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("changed_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("card", "entity", name="pk_scorecard_grades"),
    )
    op.create_index("ix_scorecard_grades_by_score", "scorecard_grades", ["card", "score", "entity"])
    op.create_index("ix_scorecard_grades_by_owner", "scorecard_grades", ["card", "owner", "score"])
    op.create_index("ix_scorecard_grades_entity", "scorecard_grades", ["entity"])
    op.create_table(
        "scorecard_days",
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column(
            "day", sa.Text(), nullable=False, comment="YYYY-MM-DD, UTC; as it was at its end, and until the next"
        ),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        *_counts(),
        sa.Column("statuses", Json, nullable=False),
        sa.PrimaryKeyConstraint("card", "entity", "day", name="pk_scorecard_days"),
    )
    op.create_index("ix_scorecard_days_day", "scorecard_days", ["day"])
