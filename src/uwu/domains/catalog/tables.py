"""The catalog's own tables: people and groups that an identity provider brings by SCIM."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Index, Integer, Text, UniqueConstraint

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
