"""What a number is made of: every finding's share of it."""

from __future__ import annotations

import heapq
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, paging, tables
from uwu.kernel.db import columns, to_struct
from uwu.kernel.entropy import days, members
from uwu.kernel.entropy.formula import AGES_OVER, SCOPES, WEIGHT, scale, weigh, weigh_unseen
from uwu.kernel.entropy.sums import UNSEEN
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.model import UNRESOLVED, Finding

FINDING, CELL = "finding", "cell"
_EPOCH, _MICRO = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a number: a finding, or a part of an account that was not observed completely."""

    kind: str
    """``finding`` or ``cell``."""
    id: str
    """The finding's, or the cell's: ``aws/111122223333/eu-west-1/aws_sqs_queue``."""
    share: float
    """What it adds to the number, not rounded."""
    weight: float
    since: datetime | None
    """Since when it has been so; None for a cell that was never seen whole."""
    title: str
    severity: str
    finding: Finding | None


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """A number and a page of its rows, the heaviest first. The shares of all rows sum to ``exact``."""

    scope: str
    key: str
    entropy: float
    """``exact`` to two decimals."""
    exact: float
    capped: bool
    """The sum passed 100: every share was made smaller alike."""
    subjects: int
    weight: float
    measured_at: datetime
    """As of when ages count: the last measuring."""
    total: int
    """How many rows there are."""
    items: list[Share]
    after: str
    """Where the next page begins; empty on the last."""


_Row = tuple[float, str, str, datetime | None]
"""(weight, id, kind, since when where it is a cell): plain, for there may be twenty thousand."""


def rows(
    connection: sa.Connection,
    scope: str,
    key: str = "",
    *,
    limit: int = 100,
    after: str = "",
    at: datetime | None = None,
) -> Parts:
    """What the entropy of a scope is made of.

    Over the subjects, and as of the time, of the last measuring; where there was none, as it is now. Raises
    ``BadInput`` for a scope that is none, ``NotFound`` for a key that has neither subjects nor findings.
    """
    if scope not in SCOPES:
        raise BadInput(f"there is no scope {scope!r}", code="scope-unknown", hint=f"one of: {', '.join(SCOPES)}")
    behind = paging.place(after, float, str)
    score = next(iter(days.latest(connection, scope, key)), None) if at is None else None
    at = score.measured_at if score is not None else at or codec.now()
    subjects = score.subjects if score is not None else _subjects(connection, scope, key, at)
    found = _findings(connection, scope, key, at) + _cells(connection, scope, key, at)
    if not found and not subjects:
        raise NotFound(f"nothing belongs to {scope} {key!r}", code="scope-empty", hint="uwu entropy lists every scope")
    weight = math.fsum(row[0] for row in found)
    exact = scale(weight, subjects)
    each = exact / weight if weight else 0.0
    # of twenty thousand a page shows a few: they are picked, not all put in order
    left = found if behind is None else [row for row in found if (-row[0], row[1]) > (-behind[0], behind[1])]
    page = heapq.nsmallest(limit + 1, left, key=lambda row: (-row[0], row[1]))
    shown = page[:limit]
    return Parts(
        scope=scope,
        key=key,
        entropy=round(exact, 2),
        exact=exact,
        capped=exact >= 100.0,
        subjects=subjects,
        weight=weight,
        measured_at=at,
        total=len(found),
        items=_told(connection, shown, each),
        after=paging.cursor(shown[-1][0], shown[-1][1]) if len(page) > limit else "",
    )


def _subjects(connection: sa.Connection, scope: str, key: str, at: datetime) -> int:
    counts = members.read(connection, at).count()
    return counts.get(("all", "") if scope == "domain" else (scope, key), 0)


def _findings(connection: sa.Connection, scope: str, key: str, at: datetime) -> list[_Row]:
    f = tables.findings
    # a list may have twenty thousand: to make a time of each costs more than all else
    micros = sa.type_coerce(f.c.opened_at, sa.BigInteger).label("opened_at")
    opened = f.c.opened_at if connection.dialect.name == "postgresql" else micros
    query = sa.select(f.c.id, f.c.severity, opened, *([f.c.subject] if scope == "service" else []))
    query = query.where(f.c.status.in_(UNRESOLVED))
    if scope in ("domain", "owner", "account"):
        query = query.where(f.c[scope] == key)
    chosen: Any = connection.execute(query)
    if scope == "service":
        known = members.current(connection)
        chosen = [row for row in chosen if row.subject in known and key in known[row.subject].services]
    if connection.dialect.name == "postgresql":
        return [(weigh(row.severity, row.opened_at, at), row.id, FINDING, None) for row in chosen]
    now, full = (at - _EPOCH) // _MICRO, AGES_OVER // _MICRO
    heavy = {severity.value: weight for severity, weight in WEIGHT.items()}
    return [
        (heavy[severity] * (1.0 + min(max((now - opened) / full, 0.0), 1.0)), id, FINDING, None)
        for id, severity, opened, *_ in chosen
    ]


def _cells(connection: sa.Connection, scope: str, key: str, at: datetime) -> list[_Row]:
    c = tables.coverage
    if scope not in ("all", "account"):
        return []
    query = sa.select(c.c.cell, c.c.complete_at).where(c.c.status.in_(UNSEEN))
    if scope == "account":
        query = query.where(c.c.account == key)
    found = connection.execute(query)
    return [(weigh_unseen(row.complete_at, at), row.cell, CELL, row.complete_at) for row in found]


def _told(connection: sa.Connection, shown: list[_Row], each: float) -> list[Share]:
    f = tables.findings
    ids = [id for _, id, kind, _ in shown if kind == FINDING]
    held: dict[str, Finding] = {}
    for i in range(0, len(ids), 500):
        query = sa.select(*columns(f, Finding)).where(f.c.id.in_(ids[i : i + 500]))
        held |= {row.id: to_struct(Finding, row) for row in connection.execute(query)}
    return [
        Share(
            kind=kind,
            id=id,
            share=weight * each,
            weight=weight,
            since=held[id].opened_at if id in held else since,
            title=held[id].title if id in held else "not observed completely",
            severity=held[id].severity.value if id in held else "low",
            finding=held.get(id),
        )
        for weight, id, kind, since in shown
    ]
