"""The coverage ledger: what was observed of each cell, when and how completely."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import bulk, paging, tables
from uwu.kernel.bulk import Bulk
from uwu.kernel.db import columns, to_struct
from uwu.kernel.graph.read import count
from uwu.kernel.model import CellStatus, Outcome


class Covered(msgspec.Struct, frozen=True):
    """One row of the coverage ledger."""

    cell: str
    source: str
    account: str
    region: str
    type: str
    status: CellStatus
    observed_at: datetime
    complete_at: datetime | None
    resources: int
    calls: int
    seconds: float
    code: str
    message: str
    action: str
    """The action that is denied, as a policy names it."""
    since: datetime | None
    """Since when its status and code are these."""
    due_at: datetime | None
    """When the next look is due; a complete cell is late afterwards."""
    run: str
    """The job that wrote it."""
    attempts: int
    throttled: int
    bytes: int
    cost: float
    """US dollars at list price."""


class Last(msgspec.Struct, frozen=True):
    """When a cell was last tried, and when last observed completely."""

    observed_at: datetime
    complete_at: datetime | None
    status: str = ""
    code: str = ""
    since: datetime | None = None


def last(connection: sa.Connection, cells: Iterable[str]) -> dict[str, Last]:
    """The last looks at ``cells``; nothing for those that were never tried."""
    found: dict[str, Last] = {}
    for cell, tried, complete, status, code, since in bulk.rows(connection, _LAST, cells):
        observed_at = bulk.time(connection, tried)
        assert observed_at is not None
        found[cell] = Last(
            observed_at, bulk.time(connection, complete), status, code, bulk.time(connection, since) or observed_at
        )
    return found


_LAST = "select cell, observed_at, complete_at, status, code, since from coverage where cell in ({values})"


def note(connection: sa.Connection, told: Iterable[tuple[Outcome, int]], before: Mapping[str, Last]) -> None:
    """Writes how observing cells went, each with how many resources are now known in it.

    ``before`` is what ``last`` gave of them. Where a later try is known, a complete look only says when it was.
    """
    rows: list[tuple[Any, ...]] = []
    overtaken: list[tuple[str, datetime]] = []
    for outcome, present in told:
        cell, at = outcome.cell, outcome.observed_at
        known = before.get(cell.id)
        complete = outcome.status is CellStatus.COMPLETE
        if known is not None and known.observed_at > at:
            overtaken += [(cell.id, at)] if complete else []
            continue
        as_before = known is not None and (known.status, known.code) == (outcome.status.value, outcome.code)
        rows.append(
            (
                cell.id,
                cell.source,
                cell.account,
                cell.region,
                cell.type,
                outcome.status.value,
                at,
                at if complete else known.complete_at if known is not None else None,
                present,
                outcome.calls,
                outcome.seconds,
                outcome.code,
                outcome.message,
                outcome.action,
                known.since if known is not None and as_before else at,
                outcome.due_at,
                outcome.run,
                outcome.attempts,
                outcome.throttled,
                outcome.bytes,
                outcome.cost,
            )
        )
    _NOTE.run(connection, sorted(rows))
    _OVERTAKEN.run(connection, sorted(overtaken))


_NOTE = bulk.upsert(
    tables.coverage,
    {
        **dict.fromkeys(("cell", "source", "account", "region", "type", "status"), "text"),
        **dict.fromkeys(("observed_at", "complete_at"), "time"),
        **dict.fromkeys(("resources", "calls"), "int"),
        "seconds": "float",
        **dict.fromkeys(("code", "message", "action"), "text"),
        **dict.fromkeys(("since", "due_at"), "time"),
        "run": "text",
        **dict.fromkeys(("attempts", "throttled", "bytes"), "int"),
        "cost": "float",
    },
)
_OVERTAKEN = Bulk(
    {"cell": "text", "at": "time"},
    "update coverage set complete_at = :at: where cell = :cell:",
    "update coverage c set complete_at = given.at from given where c.cell = given.cell",
)


def coverage(
    connection: sa.Connection, *, account: str = "", type: str = "", status: str = "", incomplete: bool = False
) -> list[Covered]:
    """The coverage ledger, by cell. ``incomplete`` leaves out the complete cells."""
    c = tables.coverage
    query = sa.select(*columns(c, Covered)).order_by(c.c.cell)
    for column, value in ((c.c.account, account), (c.c.type, type), (c.c.status, status)):
        if value:
            query = query.where(column == value)
    if incomplete:
        query = query.where(c.c.status != CellStatus.COMPLETE.value)
    return [to_struct(Covered, row) for row in connection.execute(query)]


class Cells(msgspec.Struct, frozen=True):
    """One page of the coverage ledger; ``after`` is where the next begins, empty on the last."""

    items: list[Covered]
    total: int
    after: str


def cells(
    connection: sa.Connection,
    *,
    account: str = "",
    type: str = "",
    status: str = "",
    incomplete: bool = False,
    limit: int = 100,
    after: str = "",
) -> Cells:
    """Cells by account, type and cell. ``incomplete`` leaves out the complete ones.

    ``after`` is the ``after`` of the page before. Raises ``BadInput`` for another.
    """
    c = tables.coverage
    behind = paging.place(after, str, str, str)
    wheres = [column == value for column, value in ((c.c.account, account), (c.c.type, type)) if value]
    if status:
        wheres.append(c.c.status == status)
    if incomplete:
        wheres.append(c.c.status != CellStatus.COMPLETE.value)
    total = count(connection, c, wheres)
    if behind is not None:
        wheres.append(sa.tuple_(c.c.account, c.c.type, c.c.cell) > sa.tuple_(*behind))
    query = sa.select(*columns(c, Covered)).where(*wheres).order_by(c.c.account, c.c.type, c.c.cell).limit(limit + 1)
    found = [to_struct(Covered, row) for row in connection.execute(query)]
    items = found[:limit]
    last = items[-1] if len(found) > limit else None
    return Cells(items, total, paging.cursor(last.account, last.type, last.cell) if last is not None else "")
