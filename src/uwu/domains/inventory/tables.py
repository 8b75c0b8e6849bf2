"""The inventory's SQL tables: what events have touched and is to be read again, what was read, and what that may cost.

The resources themselves are the kernel's.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, Table, Text

from uwu.kernel.db import Json, Time, metadata

touched = Table(
    "inventory_touched",
    metadata,
    Column("urn", Text, primary_key=True, comment="the resource to read again; a cell's id for all of the cell"),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False, comment="of the cell: the home region for global services"),
    Column("type", Text, nullable=False),
    Column("cell", Text, nullable=False),
    Column("events", Json, nullable=False, comment="the names of the events that touched it"),
    Column("event_id", Text, nullable=False, comment="the latest of them"),
    Column("event_at", Time, nullable=False, comment="when the latest of them was"),
    Column("related", Json, nullable=False, comment="what they named in passing"),
    Column("allowance", Integer, nullable=False, comment="calls that they stand for"),
    Column("noted_at", Time, nullable=False, comment="when the first of them came"),
    Column("due_at", Time, nullable=False, comment="not to be read earlier"),
    Column("tries", Integer, nullable=False, comment="how often it was read too early"),
    Column("turn", Integer, nullable=False, comment="counts the events: what comes while it is read is read again"),
    Column("taken_until", Time, comment="a worker reads it; after this another may"),
    Index(None, "due_at"),
    Index(None, "account"),
)

refreshes = Table(
    "inventory_refreshes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Time, nullable=False),
    Column("urn", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column(
        "result",
        Text,
        nullable=False,
        comment="added, changed, unchanged, gone, absent; left: the next sync reads it; else why it was not read",
    ),
    Column("events", Json, nullable=False, comment="the names of the events; none: somebody asked"),
    Column("event_id", Text, nullable=False),
    Column("event_at", Time, comment="when the latest of them was"),
    Column("noted_at", Time, comment="when the first of them came"),
    Column("calls", Json, nullable=False, comment="the operations that were asked"),
    Column("paths", Json, nullable=False, comment="the attributes that changed"),
    Column("seconds", Float, nullable=False, comment="from its first call to its being written"),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Index(None, "at"),
    Index("ix_inventory_refreshes_urn_at", "urn", "at"),
)

budgets = Table(
    "inventory_budgets",
    metadata,
    Column("account", Text, primary_key=True),
    Column("minute", Time, nullable=False, comment="the minute that is counted"),
    Column("used", Integer, nullable=False, comment="calls that refreshes have taken in it"),
)
