"""Rules -> findings: their opening, their cause, and the proof of their closing.

A finding closes only where its cell has been observed completely and lately and the rule no longer holds; where the
source is silent it becomes stale, never closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import cause, codec, domain, graph, notify, paging, search, search_index, tables
from uwu.kernel.db import ROWS_PER_WRITE, columns, to_struct, upsert
from uwu.kernel.domain import Rule
from uwu.kernel.errors import NotFound
from uwu.kernel.model import CellStatus, Change, Finding, FindingStatus, Found, Severity
from uwu.kernel.notify.findings import Turn, Turned
from uwu.kernel.notify.findings import of as findings_told
from uwu.kernel.rules import GONE, RULES, UNDECLARED, UNOWNED
from uwu.kernel.runtime import Kernel

ASKS = {GONE: cause.DELETED, UNDECLARED: cause.CREATED, UNOWNED: cause.CREATED}
CAUSE_WINDOW = timedelta(days=90)
"""How far back a cause is looked for: as far as CloudTrail's own event history."""
CHANGES_PER_SUBJECT = 200


class Judged(msgspec.Struct, frozen=True):
    """What judging changed, in findings."""

    opened: int
    closed: int
    open: int
    stale: int
    explained: int
    """Unresolved ones whose cause is known."""


# ---- judging


def judge(kernel: Kernel) -> Judged:
    """Runs every rule over the graph as it is and brings the findings up to date, with owner and cause."""
    at = codec.now()
    fresh_since = at - timedelta(hours=kernel.settings.drift.stale_after_hours)
    f, c, o = tables.findings, tables.coverage, tables.ownership
    rules = [("drift", rule) for rule in RULES] + domain.rules_of(kernel.domains)
    found: dict[str, tuple[str, Rule, Found]] = {}
    with kernel.db.read() as connection:
        for name, rule in rules:
            for one in rule.check(kernel, connection):
                found[finding_id(rule.id, one.subject, one.path)] = (name, rule, one)
        before = {
            row.id: row for row in connection.execute(sa.select(f).where(f.c.status != FindingStatus.CLOSED.value))
        }
        closed_before = _closed_among(connection, [id for id in found if id not in before])
        cells = {
            row.cell: row
            for row in connection.execute(sa.select(c.c.cell, c.c.status, c.c.observed_at, c.c.complete_at))
        }
        owners = {row.subject: row.owner for row in connection.execute(sa.select(o.c.subject, o.c.owner))}

    def fresh(cell: str) -> bool:
        known = cells.get(cell)
        if known is None:
            return cell == ""
        return (
            known.status == CellStatus.COMPLETE.value
            and known.complete_at is not None
            and known.complete_at >= fresh_since
        )

    turned: dict[str, Turned] = {}
    changes = _changes(kernel, {one.subject for _, _, one in found.values()}, at)
    rows: list[dict[str, Any]] = []
    opened = stale = explained = 0
    for id, (name, rule, one) in found.items():
        old = before.get(id)
        why = cause.choose(
            changes.get(one.subject, []),
            asks=ASKS.get(rule.id, cause.CHANGED),
            path=one.path,
            declared=one.declared,
            observed=one.observed,
        )
        told = codec.builtins(why) if why is not None else old.cause if old is not None else None
        is_fresh = fresh(one.cell)
        seen = cells[one.cell].complete_at if one.cell in cells else at
        opened += old is None
        stale += not is_fresh
        explained += told is not None
        rows.append(
            {
                "id": id,
                "rule": rule.id,
                "subject": one.subject,
                "path": one.path,
                "domain": name,
                "severity": (one.severity or rule.severity).value,
                "title": one.title,
                "status": (FindingStatus.OPEN if is_fresh else FindingStatus.STALE).value,
                "type": one.type,
                "account": one.account,
                "region": one.region,
                "owner": owners.get(one.subject, ""),
                "declared": codec.builtins(one.declared),
                "observed": codec.builtins(one.observed),
                "place": one.place,
                "cell": one.cell,
                "cause": told,
                "actor": told["actor"]["name"] if told else "",
                "remedy": one.remedy,
                "opened_at": old.opened_at if old is not None else _opened(one, why, at, reopened=id in closed_before),
                "last_seen": seen or at,
                "closed_at": None,
            }
        )
        if old is None:
            turned[id] = _turned("reopened" if id in closed_before else "opened", rows[-1])
        elif not is_fresh and old.status != FindingStatus.STALE.value:
            turned[id] = _turned("stale", rows[-1])
    closing = [row.id for row in before.values() if row.id not in found and fresh(row.cell)]
    silent = [row.id for row in before.values() if row.id not in found and not fresh(row.cell)]
    was = {id: dict(zip(f.columns.keys(), row, strict=True)) for id, row in before.items()}
    turned |= {id: _turned("closed", was[id]) for id in closing}
    turned |= {id: _turned("stale", was[id]) for id in silent if was[id]["status"] != FindingStatus.STALE.value}

    def tell(connection: sa.Connection, ids: Sequence[str]) -> None:
        told = findings_told(kernel.settings.notify, [turned[id] for id in ids if id in turned], at)
        notify.tell(connection, *told)

    rows.sort(key=lambda row: (row["owner"], row["id"]))  # an owner's come together: they are told together
    for i in range(0, len(rows), ROWS_PER_WRITE):
        with kernel.db.write() as connection:
            upsert(connection, f, rows[i : i + ROWS_PER_WRITE])
            tell(connection, [row["id"] for row in rows[i : i + ROWS_PER_WRITE]])
    for ids, values in (
        (closing, {"status": FindingStatus.CLOSED.value, "closed_at": at}),
        (silent, {"status": FindingStatus.STALE.value}),
    ):
        for i in range(0, len(ids), ROWS_PER_WRITE):
            with kernel.db.write() as connection:
                connection.execute(f.update().where(f.c.id.in_(ids[i : i + ROWS_PER_WRITE])).values(values))
                tell(connection, ids[i : i + ROWS_PER_WRITE])
    return Judged(
        opened=opened,
        closed=len(closing),
        open=len(rows) - stale,
        stale=stale + len(silent),
        explained=explained,
    )


def _turned(turn: Turn, row: Mapping[str, Any]) -> Turned:
    return Turned(turn, **{name: row[name] for name in Turned.__struct_fields__ if name != "turn"})


def finding_id(rule: str, subject: str, path: str) -> str:
    """The same rule against the same attribute of the same subject is the same finding, for ever."""
    return "f_" + codec.digest([rule, subject, path])[:16]


def _opened(found: Found, why: Change | None, at: datetime, *, reopened: bool) -> datetime:
    """When the world came to be so: the change's own time where it is known, else now."""
    return found.since or (why.at if why is not None and not reopened else at)


def _closed_among(connection: sa.Connection, ids: Sequence[str]) -> set[str]:
    f = tables.findings
    closed: set[str] = set()
    for i in range(0, len(ids), 500):
        closed.update(connection.scalars(sa.select(f.c.id).where(f.c.id.in_(ids[i : i + 500]))))
    return closed


def _changes(kernel: Kernel, subjects: set[str], at: datetime) -> dict[str, list[Change]]:
    log = kernel.change_log
    if log is None or not subjects:
        return {}
    by_subject: defaultdict[str, list[Change]] = defaultdict(list)
    limit = CHANGES_PER_SUBJECT * len(subjects)
    for change in log.changes(sorted(subjects), since=at - CAUSE_WINDOW, limit=limit):
        by_subject[change.urn].append(change)
    return by_subject


# ---- reading


def finding(connection: sa.Connection, id: str) -> Finding:
    """The finding of ``id``. Raises ``NotFound``."""
    f = tables.findings
    row = connection.execute(sa.select(*columns(f, Finding)).where(f.c.id == id)).first()
    if row is None:
        raise NotFound(f"there is no finding {id}", hint="uwu findings lists the open ones")
    return to_struct(Finding, row)


def several(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Finding]:
    """Those of ``ids`` (at most some hundreds) that there are, by id."""
    f = tables.findings
    rows = connection.execute(sa.select(*columns(f, Finding)).where(f.c.id.in_(ids)))
    return {row.id: to_struct(Finding, row) for row in rows}


class Findings(msgspec.Struct, frozen=True):
    """One page of findings; ``after`` is where the next begins, empty on the last."""

    items: list[Finding]
    total: int
    """How many there are; at least so many where ``counted`` is false."""
    after: str
    counted: bool = True


def findings(
    connection: sa.Connection,
    *,
    status: str = "unresolved",
    severity: str = "",
    rule: str = "",
    domain: str = "",
    owner: str | None = None,
    account: str = "",
    type: str = "",
    actor: str = "",
    subject: str = "",
    text: str = "",
    limit: int = 50,
    after: str = "",
) -> Findings:
    """Findings, the most severe first, then the newest.

    ``status`` is open, stale, closed, ``unresolved`` (open or stale) or all. ``text`` is looked for in titles and
    subjects. ``owner=""`` asks for those without owner, None for all. ``after`` is the ``after`` of the page before.
    Raises ``BadInput`` for another.
    """
    f = tables.findings
    behind = paging.place(after, int, datetime, str)
    wheres = [_status(status)]
    for column, value in (
        (f.c.severity, severity),
        (f.c.rule, rule),
        (f.c.domain, domain),
        (f.c.account, account),
        (f.c.type, type),
        (f.c.actor, actor),
        (f.c.subject, subject),
    ):
        if value:
            wheres.append(column == value)
    if owner is not None:
        wheres.append(f.c.owner == owner)
    many = False
    if text:
        where, many = search.holding(connection, "finding", text)
        wheres.append(where)
    total = graph.count(connection, f, wheres, most=search.COUNTED if many else None)
    rank = search_index.RANK
    if behind is not None:
        at, later = (
            behind[0],
            sa.or_(f.c.opened_at < behind[1], sa.and_(f.c.opened_at == behind[1], f.c.id > behind[2])),
        )
        wheres.append(sa.and_(rank >= at, sa.or_(rank > at, later)))
    # first which, then all of them: what is sorted has no JSON in it
    chosen = sa.select(f.c.id, rank.label("rank"), f.c.opened_at).where(*wheres)
    chosen = chosen.order_by(rank, f.c.opened_at.desc(), f.c.id).limit(limit + 1)
    found = connection.execute(chosen).all()
    ids = [row.id for row in found[:limit]]
    held = several(connection, ids)
    end = paging.cursor(found[limit - 1].rank, found[limit - 1].opened_at, ids[-1]) if len(found) > limit else ""
    return Findings([held[id] for id in ids], total, end, counted=not many or total < search.COUNTED)


def _status(status: str) -> sa.ColumnElement[bool]:
    f = tables.findings
    if status == "unresolved":
        return search_index.UNRESOLVED
    if status in {FindingStatus.OPEN.value, FindingStatus.STALE.value}:
        return sa.and_(search_index.UNRESOLVED, f.c.status == status)  # the first lets it use their index
    return f.c.status == status if status and status != "all" else sa.true()


def counts(connection: sa.Connection) -> dict[str, int]:
    """Unresolved findings by severity."""
    f = tables.findings
    query = sa.select(f.c.severity, sa.func.count()).where(search_index.UNRESOLVED)
    found = {row[0]: row[1] for row in connection.execute(query.group_by(f.c.severity))}
    return {severity.value: found.get(severity.value, 0) for severity in Severity}
