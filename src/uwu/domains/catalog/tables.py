"""The catalog's own tables: what an identity provider brings by SCIM, and how entities stand on scorecards."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, Index, Integer, Text, UniqueConstraint

from uwu.kernel.db import Json, Time, metadata

scim_resources = sa.Table(
    "scim_resources",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False, comment="User or Group"),
    Column("name", Text, nullable=False, comment="userName or displayName, lower case"),
    Column("external_id", Text, nullable=False),
    Column("ref", Text, nullable=False, unique=True, comment="the entity that it means"),
    Column("active", Boolean, nullable=False),
    Column("document", Json, nullable=False, comment="its attributes, without id and meta"),
    Column("version", Integer, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("changed_at", Time, nullable=False),
    UniqueConstraint("kind", "name"),
)

scim_members = sa.Table(
    "scim_members",
    metadata,
    Column("group_id", Text, primary_key=True),
    Column("member_id", Text, primary_key=True),
    Column("display", Text, nullable=False, comment="as the directory calls it; empty: by its name"),
    Index(None, "member_id"),
)

scorecards = sa.Table(
    "scorecards",
    metadata,
    Column("card", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("levels", Json, nullable=False, comment="their names, the lowest first"),
    Column("checks", Json, nullable=False, comment="check, level and weight of each, in their order"),
    Column("place", Text, nullable=False, comment="where it is declared; empty for the shipped one"),
    Column("entities", Integer, nullable=False),
    Column("judged_at", Time, nullable=False),
)

scorecard_grades = sa.Table(
    "scorecard_grades",
    metadata,
    Column("card", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("reachable", Text, nullable=False, comment="the level, were all that is not known passed"),
    Column("rank", Integer, nullable=False, comment="the place of the level, from 1; 0: none"),
    Column("score", Float, comment="percent of what is known; null: nothing is"),
    Column("passed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    Column("exempt", Integer, nullable=False),
    Column("statuses", Json, nullable=False, comment="check -> status"),
    Column("results", Json, nullable=False, comment="every verdict with its proofs"),
    Column("hash", Text, nullable=False),
    Column("changed_at", Time, nullable=False),
    Index("ix_scorecard_grades_by_score", "card", "score", "entity"),
    Index("ix_scorecard_grades_by_owner", "card", "owner", "score"),
    Index(None, "entity"),
)

scorecard_days = sa.Table(
    "scorecard_days",
    metadata,
    Column("card", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("day", Text, primary_key=True, comment="YYYY-MM-DD, UTC; as it was at its end, and until the next"),
    Column("level", Text, nullable=False),
    Column("score", Float),
    Column("passed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    Column("exempt", Integer, nullable=False),
    Column("statuses", Json, nullable=False),
    Index(None, "day"),
)
