"""Rules -> findings: their opening, their cause, and the proof of their closing.

A finding closes only where its cell has been observed completely and lately and the rule no longer holds; where the
source is silent it becomes stale, never closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import cause, codec, domain, tables
from uwu.kernel.db import ROWS_PER_WRITE, columns, to_struct, upsert
from uwu.kernel.domain import Rule
from uwu.kernel.errors import NotFound
from uwu.kernel.graph import like
from uwu.kernel.model import CellStatus, Change, Finding, FindingStatus, Found, Severity
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
    closing = [row.id for row in before.values() if row.id not in found and fresh(row.cell)]
    silent = [row.id for row in before.values() if row.id not in found and not fresh(row.cell)]
    for i in range(0, len(rows), ROWS_PER_WRITE):
        with kernel.db.write() as connection:
            upsert(connection, f, rows[i : i + ROWS_PER_WRITE])
    for ids, values in (
        (closing, {"status": FindingStatus.CLOSED.value, "closed_at": at}),
        (silent, {"status": FindingStatus.STALE.value}),
    ):
        for i in range(0, len(ids), ROWS_PER_WRITE):
            with kernel.db.write() as connection:
                connection.execute(f.update().where(f.c.id.in_(ids[i : i + ROWS_PER_WRITE])).values(values))
    return Judged(
        opened=opened,
        closed=len(closing),
        open=len(rows) - stale,
        stale=stale + len(silent),
        explained=explained,
    )


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


class Findings(msgspec.Struct, frozen=True):
    """One page of findings; ``after`` is where the next begins, empty on the last."""

    items: list[Finding]
    total: int
    after: str


_RANK = sa.case({s.value: i for i, s in enumerate(Severity)}, value=tables.findings.c.severity, else_=9)


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

    ``status`` is open, stale, closed, ``unresolved`` (open or stale) or all.
    ``owner=""`` asks for those without owner, None for all. ``after`` is the ``after`` of the page before.
    """
    f = tables.findings
    wheres: list[sa.ColumnElement[bool]] = []
    if status == "unresolved":
        wheres.append(f.c.status != FindingStatus.CLOSED.value)
    elif status and status != "all":
        wheres.append(f.c.status == status)
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
    if text:
        wheres.append(sa.func.lower(f.c.title).like(like(text), escape="\\"))
    total = connection.execute(sa.select(sa.func.count()).select_from(f).where(*wheres)).scalar_one()
    offset = int(after) if after.isdigit() else 0
    query = (
        sa.select(*columns(f, Finding))
        .where(*wheres)
        .order_by(_RANK, f.c.opened_at.desc(), f.c.id)
        .offset(offset)
        .limit(limit)
    )
    items = [to_struct(Finding, row) for row in connection.execute(query)]
    end = offset + len(items)
    return Findings(items, total, str(end) if end < total else "")


def counts(connection: sa.Connection) -> dict[str, int]:
    """Unresolved findings by severity."""
    f = tables.findings
    query = sa.select(f.c.severity, sa.func.count()).where(f.c.status != FindingStatus.CLOSED.value)
    found = {row[0]: row[1] for row in connection.execute(query.group_by(f.c.severity))}
    return {severity.value: found.get(severity.value, 0) for severity in Severity}
