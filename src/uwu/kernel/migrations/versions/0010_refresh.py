"""Refresh by event: what events touched, what was read again, and the calls that it took."""

from typing import Any

import sqlalchemy as sa
from alembic import op

import uwu.kernel.db

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    time = uwu.kernel.db.Time()
    json = uwu.kernel.db.Json
    text = sa.Text()

    def said(name: str, type: Any, comment: str = "", *, nullable: bool = False) -> sa.Column[Any]:
        return sa.Column(name, type, nullable=nullable, comment=comment or None)

    op.create_table(
        "inventory_touched",
        said("urn", text, "the resource to read again; a cell's id for all of the cell"),
        said("account", text),
        said("region", text, "of the cell: the home region for global services"),
        said("type", text),
        said("cell", text),
        said("events", json, "the names of the events that touched it"),
        said("event_id", text, "the latest of them"),
        said("event_at", time, "when the latest of them was"),
        said("related", json, "what they named in passing"),
        said("allowance", sa.Integer(), "calls that they stand for"),
        said("noted_at", time, "when the first of them came"),
        said("due_at", time, "not to be read earlier"),
        said("tries", sa.Integer(), "how often it was read too early"),
        said("turn", sa.Integer(), "counts the events: what comes while it is read is read again"),
        said("taken_until", time, "a worker reads it; after this another may", nullable=True),
        sa.PrimaryKeyConstraint("urn", name=op.f("pk_inventory_touched")),
    )
    op.create_index(op.f("ix_inventory_touched_due_at"), "inventory_touched", ["due_at"])
    op.create_index(op.f("ix_inventory_touched_account"), "inventory_touched", ["account"])
    op.create_table(
        "inventory_refreshes",
        said("id", text),
        said("at", time),
        said("urn", text),
        said("account", text),
        said("region", text),
        said("type", text),
        said(
            "result",
            text,
            "added, changed, unchanged, gone, absent; left: the next sync reads it; else why it was not read",
        ),
        said("events", json, "the names of the events; none: somebody asked"),
        said("event_id", text),
        said("event_at", time, "when the latest of them was", nullable=True),
        said("noted_at", time, "when the first of them came", nullable=True),
        said("calls", json, "the operations that were asked"),
        said("paths", json, "the attributes that changed"),
        said("seconds", sa.Float(), "from its first call to its being written"),
        said("code", text),
        said("message", text),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inventory_refreshes")),
    )
    op.create_index(op.f("ix_inventory_refreshes_at"), "inventory_refreshes", ["at"])
    op.create_index(op.f("ix_inventory_refreshes_urn_at"), "inventory_refreshes", ["urn", "at"])
    op.create_table(
        "inventory_budgets",
        said("account", text),
        said("minute", time, "the minute that is counted"),
        said("used", sa.Integer(), "calls that refreshes have taken in it"),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_inventory_budgets")),
    )
