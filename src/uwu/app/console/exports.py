"""What each list gives as a file: the rows of its filters, all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from uwu.app.console import lists
from uwu.app.console.export import Column, Table
from uwu.app.console.lists import Query
from uwu.kernel import declared, drift, graph
from uwu.kernel.runtime import Kernel

ROWS = 500
"""Rows of one query."""
PICKED = 500
"""Rows that can be picked one by one."""

FINDINGS = (
    Column("id"),
    Column("severity", lambda f: f.severity.value),
    Column("title"),
    Column("rule"),
    Column("subject"),
    Column("path"),
    Column("status", lambda f: f.status.value),
    Column("type"),
    Column("account"),
    Column("region"),
    Column("owner"),
    Column("actor"),
    Column("cause", lambda f: f.cause.event_id if f.cause is not None else ""),
    Column("place"),
    Column("remedy"),
    Column("opened_at"),
    Column("last_seen"),
    Column("closed_at"),
)
RESOURCES = (
    Column("urn"),
    Column("type"),
    Column("name"),
    Column("account"),
    Column("region"),
    Column("owner"),
    Column("managed_by"),
    Column("status"),
    Column("first_seen"),
    Column("changed_at"),
    Column("observed_at"),
    Column("tags"),
)
CHANGES = (
    Column("event_id"),
    Column("at"),
    Column("actor", lambda c: c.actor.name),
    Column("actor_kind", lambda c: c.actor.kind),
    Column("principal", lambda c: c.actor.principal),
    Column("event", lambda c: c.name),
    Column("source"),
    Column("through"),
    Column("account"),
    Column("region"),
    Column("subject", lambda c: c.urn),
    Column("role"),
    Column("error"),
    Column("place"),
)
ENTITIES = (
    Column("ref"),
    Column("kind"),
    Column("namespace"),
    Column("name"),
    Column("owner", lambda e: str(e.spec.get("owner") or "")),
    Column("description", lambda e: str(e.metadata.get("description") or "")),
    Column("place", lambda e: str(e.place)),
)


def findings(kernel: Kernel, asked: Query, picked: Sequence[str] = ()) -> Table:
    """The findings of the filters; only those ``picked`` where there are any."""
    if picked:
        with kernel.db.read() as connection:
            found = drift.several(connection, picked[:PICKED])
        some = [found[id] for id in dict.fromkeys(picked) if id in found]
        return Table("findings", FINDINGS, iter([some]), len(some))
    wheres = lists.findings_asked(asked)
    with kernel.db.read() as connection:
        total = drift.findings(connection, **wheres, limit=1).total
    return Table(
        "findings",
        FINDINGS,
        _pages(kernel, lambda c, after: drift.findings(c, **wheres, limit=ROWS, after=after)),
        total,
    )


def resources(kernel: Kernel, asked: Query) -> Table:
    wheres, at = lists.resources_asked(asked), lists.at_of(asked)

    def find(connection: sa.Connection, after: str, limit: int = ROWS) -> graph.Page:
        held = {**wheres, "limit": limit, "after": after}
        return graph.find(connection, **held) if at is None else graph.find_at(connection, at, **held)

    with kernel.db.read() as connection:
        total = find(connection, "", 1).total
    return Table("resources", RESOURCES, _pages(kernel, find), total)


def _pages(kernel: Kernel, ask: Callable[[sa.Connection, str], Any]) -> Iterator[Sequence[Any]]:
    after = ""
    while True:
        with kernel.db.read() as connection:
            page = ask(connection, after)
        yield page.items
        after = page.after
        if not after:
            return


def changes(kernel: Kernel, asked: Query) -> Table:
    """The changes of the filters, one row for each resource that an event touched."""
    most = kernel.settings.console.export_rows
    found = lists.changes_asked(kernel, asked, most + 1).chosen
    return Table("changes", CHANGES, iter([found]), len(found))


def catalog(kernel: Kernel, asked: Query) -> Table:
    kind = asked.get("kind", "")
    with kernel.db.read() as connection:
        total = declared.page(connection, kind=kind, limit=1).total
    return Table(
        "catalog",
        ENTITIES,
        _pages(kernel, lambda c, after: declared.page(c, kind=kind, limit=ROWS, after=after)),
        total,
    )
