"""Rules -> findings: their opening, their cause, and the proof of their closing.

A finding closes only where its cell has been observed completely and lately and the rule no longer holds; where the
source is silent it becomes stale, never closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import (
    cause,
    codec,
    domain,
    exemptions,
    graph,
    notify,
    paging,
    rulebook,
    search,
    search_index,
    tables,
)
from uwu.kernel.db import ROWS_PER_WRITE, columns, to_struct, upsert
from uwu.kernel.domain import Rule
from uwu.kernel.errors import NotFound
from uwu.kernel.model import UNRESOLVED, CellStatus, Change, Finding, FindingStatus, Found, Severity, Unjudged
from uwu.kernel.notify.findings import Turn, Turned
from uwu.kernel.notify.findings import of as findings_told
from uwu.kernel.rules import GONE, UNDECLARED, UNOWNED
from uwu.kernel.runtime import Kernel

ASKS = {GONE: cause.DELETED, UNDECLARED: cause.CREATED, UNOWNED: cause.CREATED}
CAUSE_WINDOW = timedelta(days=90)
"""How far back a cause is looked for: as far as CloudTrail's own event history."""
CHANGES_PER_SUBJECT = 200
_REASONS = 20
"""Reasons that are kept for each rule."""


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
    return _judge(kernel, None)


def judge_some(kernel: Kernel, subjects: frozenset[str]) -> Judged:
    """As ``judge``, of ``subjects`` alone (some hundreds at the most) and by the rules that can look at so few.

    What it counts is of them. Owners stay as they were settled last.
    """
    return _judge(kernel, subjects)


def _judge(kernel: Kernel, some: frozenset[str] | None) -> Judged:
    if some is None and exemptions.due(kernel):
        exemptions.expire(kernel)
    at = codec.now()
    fresh_since = at - timedelta(hours=kernel.settings.drift.stale_after_hours)
    f, c, o = tables.findings, tables.coverage, tables.ownership
    known = rulebook.rules(kernel)
    off = {rule.id for _, rule in known if not rulebook.judges(kernel.settings.rules, rule.id)}
    rules = {rule.id: (name, rule) for name, rule in known if rule.id not in off}
    unresolved = sa.select(f).where(f.c.status != FindingStatus.CLOSED.value)
    covered = sa.select(c.c.cell, c.c.status, c.c.observed_at, c.c.complete_at)
    settled = sa.select(o.c.subject, o.c.owner)
    if some is not None:
        rules = {id: (name, rule) for id, (name, rule) in rules.items() if rule.of_some}
        unresolved = unresolved.where(f.c.subject.in_(sorted(some)), f.c.rule.in_(sorted({*rules, *off})))
        settled = settled.where(o.c.subject.in_(sorted(some)))
    found: dict[str, tuple[str, Rule, Found]] = {}
    unjudged = _Unjudged()
    with kernel.db.read() as connection:
        for id, one in _said(kernel, connection, rules, some):
            if isinstance(one, Unjudged):
                unjudged.add(id, one)
            else:
                found[finding_id(id, one.subject, one.path)] = (*rules[id], one)
        before = {row.id: row for row in connection.execute(unresolved)}
        closed_before = _closed_among(connection, [id for id in found if id not in before])
        if some is not None:
            here = {one.cell for _, _, one in found.values()} | {row.cell for row in before.values()}
            covered = covered.where(c.c.cell.in_(sorted(here)))
        cells = {row.cell: row for row in connection.execute(covered)}
        exempting = exemptions.holding(connection, at)
        owners = {row.subject: row.owner for row in connection.execute(settled)}

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
    opened = stale = explained = exempt = 0
    for id, (name, rule, one) in found.items():
        old = before.get(id)
        why = one.cause or cause.choose(
            changes.get(one.subject, []),
            asks=ASKS.get(rule.id) or rule.asks or cause.CHANGED,
            path=one.path,
            declared=one.declared,
            observed=one.observed,
        )
        told = codec.builtins(why) if why is not None else old.cause if old is not None else None
        is_fresh = fresh(one.cell)
        seen = cells[one.cell].complete_at if one.cell in cells else at
        exemption = exempting.of(rule.id, one.subject, one.account) if exempting else ""
        status = FindingStatus.OPEN if is_fresh else FindingStatus.STALE
        opened += old is None
        exempt += bool(exemption)
        stale += not is_fresh and not exemption
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
                "status": (FindingStatus.EXEMPT if exemption else status).value,
                "type": one.type,
                "account": one.account,
                "region": one.region,
                "owner": owners.get(one.subject, "") or one.owner,
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
                "exemption": exemption,
            }
        )
        if exemption:
            continue  # it is told of once it is back
        if old is None or old.status == FindingStatus.EXEMPT.value:
            turned[id] = _turned("reopened" if old is not None or id in closed_before else "opened", rows[-1])
        elif not is_fresh and old.status != FindingStatus.STALE.value:
            turned[id] = _turned("stale", rows[-1])

    def proven(row: Any) -> bool:
        """Whether the rule no longer holds, rather than cannot say, or whether it no longer judges at all."""
        return row.rule in off or (fresh(row.cell) and not unjudged.holds(row.rule, row.subject))

    closing = [row.id for row in before.values() if row.id not in found and proven(row)]
    silent = [
        row.id
        for row in before.values()
        if row.id not in found and not proven(row) and row.status != FindingStatus.EXEMPT.value
    ]
    was = {id: dict(zip(f.columns.keys(), row, strict=True)) for id, row in before.items()}
    turned |= {id: _turned("closed", was[id]) for id in closing if was[id]["status"] != FindingStatus.EXEMPT.value}
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
        (closing, {"status": FindingStatus.CLOSED.value, "closed_at": at, "exemption": ""}),
        (silent, {"status": FindingStatus.STALE.value}),
    ):
        for i in range(0, len(ids), ROWS_PER_WRITE):
            with kernel.db.write() as connection:
                connection.execute(f.update().where(f.c.id.in_(ids[i : i + ROWS_PER_WRITE])).values(values))
                tell(connection, ids[i : i + ROWS_PER_WRITE])
    exemptions.settle(kernel, at)
    if some is None:
        with kernel.db.write() as connection:
            j = tables.judgements
            connection.execute(j.delete())
            upsert(connection, j, [{"rule": id, "judged_at": at, **unjudged.told(id)} for id in rules])
    return Judged(
        opened=opened,
        closed=len(closing),
        open=len(rows) - stale - exempt,
        stale=stale + len(silent),
        explained=explained,
    )


def _said(
    kernel: Kernel, connection: sa.Connection, rules: Mapping[str, tuple[str, Rule]], some: frozenset[str] | None
) -> Iterable[tuple[str, Found | Unjudged]]:
    """What ``rules`` say of ``some``, or of all; whatever else they may yield of others is not asked for."""
    for id, (_, rule) in rules.items():
        if some is None and rule.check is not None:
            yield from ((id, one) for one in rule.check(kernel, connection))
        elif some is not None and rule.check_some is not None:
            yield from ((id, one) for one in rule.check_some(kernel, connection, some) if one.subject in some)
    for each in kernel.domains:
        swept = frozenset(id for id, (name, rule) in rules.items() if name == each.name and rule.check is None)
        if not each.sweep or not swept:
            continue
        for id, one in domain.load(each.sweep)(kernel, connection, swept, some):
            if some is None or one.subject in some:
                yield id, one


class _Unjudged:
    """What the rules of one judging could say nothing of."""

    def __init__(self) -> None:
        self._subjects: set[tuple[str, str]] = set()
        self._reasons: defaultdict[str, dict[tuple[str, str], list[str]]] = defaultdict(dict)

    def add(self, rule: str, one: Unjudged) -> None:
        if (rule, one.subject) not in self._subjects:
            self._subjects.add((rule, one.subject))
            self._reasons[rule].setdefault((one.why, one.type), []).append(one.subject)

    def holds(self, rule: str, subject: str) -> bool:
        return (rule, subject) in self._subjects

    def told(self, rule: str) -> dict[str, Any]:
        """The columns of the rule's judgement: the most frequent reasons first."""
        found = sorted(self._reasons.get(rule, {}).items(), key=lambda one: (-len(one[1]), one[0]))
        reasons = [
            rulebook.Reason(why=why, type=type, count=len(subjects), subjects=subjects[: rulebook.EXAMPLES])
            for (why, type), subjects in found[:_REASONS]
        ]
        return {"unjudged": sum(len(one) for _, one in found), "reasons": codec.builtins(reasons)}


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


def _open_until(at: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(tables.findings.c.closed_at.is_(None), tables.findings.c.closed_at > at)


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
    at: datetime | None = None,
    limit: int = 50,
    after: str = "",
) -> Findings:
    """Findings, the most severe first, then the newest. With ``at``, those that were unresolved then, as they are now.

    ``status`` is open, stale, closed, exempt, ``unresolved`` (open or stale) or all. ``text`` is looked for in titles
    and subjects. ``owner=""`` asks for those without owner, None for all. ``after`` is that of the page before.
    Raises ``BadInput`` for another.
    """
    f = tables.findings
    behind = paging.place(after, int, datetime, str)
    wheres = [_status(status)] if at is None else [f.c.opened_at <= at, _open_until(at)]
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
        worst, later = (
            behind[0],
            sa.or_(f.c.opened_at < behind[1], sa.and_(f.c.opened_at == behind[1], f.c.id > behind[2])),
        )
        wheres.append(sa.and_(rank >= worst, sa.or_(rank > worst, later)))
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
    if status in UNRESOLVED:
        return sa.and_(search_index.UNRESOLVED, f.c.status == status)  # the first lets it use their index
    return f.c.status == status if status and status != "all" else sa.true()


def counts(connection: sa.Connection) -> dict[str, int]:
    """Unresolved findings by severity."""
    f = tables.findings
    query = sa.select(f.c.severity, sa.func.count()).where(search_index.UNRESOLVED)
    found = {row[0]: row[1] for row in connection.execute(query.group_by(f.c.severity))}
    return {severity.value: found.get(severity.value, 0) for severity in Severity}
