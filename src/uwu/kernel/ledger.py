"""The coverage ledger in numbers: how much was seen, how fresh it is, what stands in the way, and what looking cost.

A *hole* is a cell of which not all is known: denied, throttled, failed, stale, or in a region that is off. What AWS
does not offer in a region is none. A complete cell is *late* when its next look was due and did not come.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from uwu.kernel import paging, tables
from uwu.kernel.aws_errors import CREDENTIALS, NETWORK, REGION_OFF
from uwu.kernel.db import columns, to_struct
from uwu.kernel.graph.ledger import Cells, Covered
from uwu.kernel.model import CellStatus

COMPLETE, UNSUPPORTED = CellStatus.COMPLETE.value, CellStatus.UNSUPPORTED.value

By = Literal["account", "region", "type", "status", "run"]

ACTIONS_SHOWN = 200
"""Denied actions that a cause names: a policy of more is written by service."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which cells are meant; empty for all of each kind."""

    account: str = ""
    region: str = ""
    type: str = ""
    types: tuple[str, ...] = ()
    """Any of these."""
    status: str = ""
    code: str | None = None
    """The error's code; the empty one is that of complete cells."""
    run: str = ""
    incomplete: bool = False
    """Only those that are not complete."""
    holes: bool = False
    """Only holes."""
    late: bool = False
    """Only complete cells whose next look is overdue."""

    def wheres(self, at: datetime) -> list[sa.ColumnElement[bool]]:
        """As conditions on the table, at the time ``at``."""
        c = tables.coverage
        named = {name: getattr(self, name) for name in ("account", "region", "type", "status", "run")}
        found: list[sa.ColumnElement[bool]] = [c.c[name] == value for name, value in named.items() if value]
        if self.types:
            found.append(c.c.type.in_(self.types))
        if self.code is not None:
            found.append(c.c.code == self.code)
        if self.incomplete:
            found.append(c.c.status != COMPLETE)
        if self.holes:
            found.append(_hole())
        if self.late:
            found += [c.c.status == COMPLETE, c.c.due_at < at]
        return found


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Cells together: how they were seen."""

    key: str = ""
    """The account, region, type, status or run that they have in common; empty for all."""
    cells: int = 0
    complete: int = 0
    late: int = 0
    """Of the complete ones."""
    holes: int = 0
    oldest: datetime | None = None
    """The oldest of the last complete looks."""
    newest: datetime | None = None
    """The last try of any."""


class Sum(Seen, frozen=True, kw_only=True):
    """Cells together: how they were seen, and what looking at them last cost."""

    resources: int = 0
    calls: int = 0
    attempts: int = 0
    throttled: int = 0
    bytes: int = 0
    seconds: float = 0.0
    """Of calls and decoding, added up: many go on at the same time."""
    cost: float = 0.0
    """US dollars at list price."""


class Sums(msgspec.Struct, frozen=True):
    """One page of sums; ``after`` is where the next begins, empty on the last."""

    items: list[Sum]
    total: Sum
    after: str


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One reason for which cells are not complete, and all that it costs."""

    status: CellStatus
    code: str
    cells: int
    accounts: int
    regions: int
    types: int
    account: str
    """The first of them, and so on."""
    region: str
    type: str
    message: str
    """What was said of one of them."""
    actions: list[str]
    """The denied actions, as policies name them."""
    since: datetime | None
    observed_at: datetime
    hole: bool
    hint: str
    """What to do."""


class Causes(msgspec.Struct, frozen=True):
    """One page of causes, those of the most cells first."""

    items: list[Cause]
    after: str


def cells(connection: sa.Connection, asked: Asked, *, at: datetime, limit: int = 100, after: str = "") -> Cells:
    """Cells by account, type and cell. ``after`` is that of the page before; raises ``BadInput`` for another."""
    c = tables.coverage
    behind = paging.place(after, str, str, str)
    wheres = asked.wheres(at)
    total = connection.scalar(sa.select(sa.func.count()).select_from(c).where(*wheres)) or 0
    if behind is not None:
        wheres.append(sa.tuple_(c.c.account, c.c.type, c.c.cell) > sa.tuple_(*behind))
    query = sa.select(*columns(c, Covered)).where(*wheres).order_by(c.c.account, c.c.type, c.c.cell).limit(limit + 1)
    found = [to_struct(Covered, row) for row in connection.execute(query)]
    items = found[:limit]
    last = items[-1] if len(found) > limit else None
    return Cells(items, total, paging.cursor(last.account, last.type, last.cell) if last is not None else "")


def sums(connection: sa.Connection, asked: Asked, by: By, *, at: datetime, limit: int = 100, after: str = "") -> Sums:
    """The sums of each account, region, type, status or run, those with the most holes first; and of all of them."""
    behind = paging.place(after, int, int, str)
    key = tables.coverage.c[by]
    query = sa.select(key, *_seen(at), *_costs()).where(*asked.wheres(at)).group_by(key)
    found = sorted((_sum(row) for row in connection.execute(query)), key=_rank)
    rest = [one for one in found if behind is None or _rank(one) > behind]
    shown = rest[:limit]
    return Sums(shown, _total(found), paging.cursor(*_rank(shown[-1])) if len(rest) > limit else "")


def accounts(connection: sa.Connection, *, at: datetime) -> list[Seen]:
    """How each account was seen, those with the most holes first; read from one index."""
    key = tables.coverage.c.account
    rows = connection.execute(sa.select(key, *_seen(at)).group_by(key))
    return sorted((Seen(**dict(zip(_SEEN, row, strict=True))) for row in rows), key=_rank)


def accounts_and_types(
    connection: sa.Connection, accounts: Sequence[str], *, at: datetime
) -> list[tuple[str, str, Seen]]:
    """(account, type, how it was seen) for these accounts; read from one index."""
    c = tables.coverage
    query = sa.select(c.c.account, c.c.type, *_seen(at)).where(c.c.account.in_(sorted(accounts)))
    rows: Any = connection.execute(query.group_by(c.c.account, c.c.type))
    return [(row[0], row[1], Seen(**dict(zip(_SEEN[1:], row[2:], strict=True)))) for row in rows]


def types(connection: sa.Connection) -> list[str]:
    """Every type of which a cell is known, by name."""
    c = tables.coverage
    return list(connection.scalars(sa.select(c.c.type).distinct().order_by(c.c.type)))


def together(found: Sequence[Seen]) -> Seen:
    """All of them as one."""
    return Seen(**_together(found, Seen))


def _total(found: Sequence[Sum]) -> Sum:
    return Sum(**_together(found, Sum))


def _together(found: Sequence[Seen], kind: type[Seen]) -> dict[str, Any]:
    names = [name for name in kind.__struct_fields__ if name not in ("key", "oldest", "newest")]
    return {
        **{name: sum(getattr(one, name) for one in found) for name in names},
        "oldest": min((one.oldest for one in found if one.oldest is not None), default=None),
        "newest": max((one.newest for one in found if one.newest is not None), default=None),
    }


def causes(connection: sa.Connection, asked: Asked, *, at: datetime, limit: int = 100, after: str = "") -> Causes:
    """Why cells are not complete, one line a cause: those that are holes first, of the most cells first."""
    behind = paging.place(after, int, int, str, str)
    c = tables.coverage
    distinct = c.c.action.distinct()
    joined = (
        sa.func.string_agg(distinct, sa.text("','"))
        if connection.dialect.name == "postgresql"
        else sa.func.group_concat(distinct)
    )
    query = (
        sa.select(
            c.c.status,
            c.c.code,
            sa.func.count(),
            *(sa.func.count(c.c[name].distinct()) for name in ("account", "region", "type")),
            *(sa.func.min(c.c[name]) for name in ("account", "region", "type", "message", "since")),
            sa.func.max(c.c.observed_at),
            joined,
        )
        .where(*asked.wheres(at), c.c.status.in_([s.value for s in CellStatus if s is not CellStatus.COMPLETE]))
        .group_by(c.c.status, c.c.code)
    )
    found = sorted((_cause(row) for row in connection.execute(query)), key=_weight)
    rest = [one for one in found if behind is None or _weight(one) > behind]
    shown = rest[:limit]
    return Causes(shown, paging.cursor(*_weight(shown[-1])) if len(rest) > limit else "")


def slowest(connection: sa.Connection, limit: int = 5) -> list[Covered]:
    """The cells that took the longest at their last look."""
    c = tables.coverage
    query = sa.select(*columns(c, Covered)).order_by(c.c.seconds.desc(), c.c.cell).limit(limit)
    return [to_struct(Covered, row) for row in connection.execute(query)]


def is_hole(status: str, code: str) -> bool:
    """Whether a cell of this status and code is a hole."""
    return status not in (COMPLETE, UNSUPPORTED) or code == REGION_OFF


def hint(status: CellStatus, code: str, actions: Sequence[str]) -> str:
    """What to do about cells of this status and code."""
    bare = code.rpartition(".")[2]
    if bare in _HINTS:
        return _HINTS[bare]
    if actions:
        more = f" and {len(actions) - 3} more" if len(actions) > 4 else ""
        shown = actions[: 3 if more else 4]
        return f"allow {', '.join(shown)}{more} in the policy of the observer's role; a service control policy may deny"
    return _STATUS_HINTS.get(status, "the next sync tries again; if it stays, the message says what AWS objects to")


_HINTS = {
    "assume-role-denied": "create the observer's role in the account, with a trust policy that names this caller",
    REGION_OFF: "enable the region in the account, or take it out of aws.regions",
    CREDENTIALS: "renew the credentials of the caller: aws sts get-caller-identity tells whether they are good",
    NETWORK: "the next sync tries again; check the way from here to AWS",
    "organization-absent": "without Organizations the caller's own account is observed alone",
    "answer-unreadable": 'set aws.client = "botocore" for now, and report the operation',
}
_STATUS_HINTS = {
    CellStatus.DENIED: "allow what the message names in the policy of the observer's role",
    CellStatus.THROTTLED: "the next sync tries again; others may use up the rate of the account",
    CellStatus.UNSUPPORTED: "AWS does not offer it there: nothing is to be done",
    CellStatus.STALE: "the next sync looks again",
}


def _hole() -> sa.ColumnElement[bool]:
    c = tables.coverage
    lacking = [status.value for status in CellStatus if status.value not in (COMPLETE, UNSUPPORTED)]
    return sa.or_(c.c.status.in_(lacking), sa.and_(c.c.status == UNSUPPORTED, c.c.code == REGION_OFF))


_SEEN = ("key", "cells", "complete", "late", "holes", "oldest", "newest")
_ADDED = ("resources", "calls", "attempts", "throttled", "bytes", "seconds", "cost")


def _seen(at: datetime) -> list[sa.ColumnElement[Any]]:
    """The columns of ``Seen`` behind its key."""
    c = tables.coverage
    complete = c.c.status == COMPLETE
    return [
        sa.func.count(),
        sa.func.count().filter(complete),
        sa.func.count().filter(complete, c.c.due_at < at),
        sa.func.count().filter(_hole()),
        sa.func.min(c.c.complete_at),
        sa.func.max(c.c.observed_at),
    ]


def _costs() -> list[sa.ColumnElement[Any]]:
    return [sa.func.sum(tables.coverage.c[name]) for name in _ADDED]


def _sum(row: Sequence[Any]) -> Sum:
    told: dict[str, Any] = dict(zip((*_SEEN, *_ADDED), row, strict=True))
    # PostgreSQL adds integers up to a decimal number
    told |= {name: int(told[name]) for name in _ADDED if name not in ("seconds", "cost")}
    return Sum(**told)


def _rank(one: Seen) -> tuple[int, int, str]:
    return -one.holes, -one.late, one.key


def _cause(row: Sequence[Any]) -> Cause:
    status, code, cells, accounts, regions, types, account, region, type, message, since, observed_at, joined = row
    actions = sorted(action for action in str(joined or "").split(",") if action)
    return Cause(
        status=CellStatus(status),
        code=code,
        cells=cells,
        accounts=accounts,
        regions=regions,
        types=types,
        account=account,
        region=region,
        type=type,
        message=message,
        actions=actions[:ACTIONS_SHOWN],
        since=since,
        observed_at=observed_at,
        hole=is_hole(status, code),
        hint=hint(CellStatus(status), code, actions),
    )


def _weight(cause: Cause) -> tuple[int, int, str, str]:
    return int(not cause.hole), -cause.cells, cause.status.value, cause.code
