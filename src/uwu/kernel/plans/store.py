"""Plans as they are kept: reading and listing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import NotFound, Problem
from uwu.kernel.identity import Principal
from uwu.kernel.plans.model import Plan

WAITING, APPROVED, REJECTED, WITHDRAWN, EXPIRED = "waiting", "approved", "rejected", "withdrawn", "expired"
VOID, APPLYING, APPLIED, FAILED = "void", "applying", "applied", "failed"
STATUSES = (WAITING, APPROVED, APPLYING, APPLIED, FAILED, REJECTED, WITHDRAWN, EXPIRED, VOID)
OPEN = (WAITING, APPROVED, APPLYING)
"""Of these something can still come."""

BEGUN = "begun"
"""Of a change: it is being applied, or the job was interrupted while it was."""

_LOCK = 0x75777570  # plans are numbered, and begin to be applied, one at a time on PostgreSQL; SQLite has one writer


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as it is kept. ``status`` is as of when it was read: time alone makes a plan expire."""

    id: str
    number: int
    domain: str
    planner: str
    title: str
    reason: str
    plan: Plan
    request: dict[str, Any]
    hash: str
    owners: list[str]
    forced: bool
    approvals_needed: int
    required: list[str]
    """Groups of which one each must approve; empty text: an admin."""
    policy: list[str]
    status: str
    why: str
    requested_by: str
    behind: list[str]
    requested_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    job: str
    applied_by: str
    finished_at: datetime | None
    outcome: dict[str, Any] | None
    undoes: str


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """What one principal decided of a plan."""

    principal: str
    decision: str
    """``approve`` or ``reject``."""
    hash: str
    counts_for: list[str]
    comment: str
    at: datetime


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one change went."""

    number: int
    status: str
    """``begun``, ``done``, ``already`` (it was so before) or ``failed``."""
    note: str
    problem: Problem | None
    at: datetime


class PlanLine(msgspec.Struct, frozen=True, kw_only=True):
    """A plan in a list."""

    id: str
    number: int
    domain: str
    planner: str
    title: str
    reason: str
    status: str
    why: str
    hash: str
    owners: list[str]
    forced: bool
    approvals_needed: int
    approvals: int
    changes: int
    subjects: int
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    finished_at: datetime | None
    undoes: str
    waits_for_me: bool
    """The one who asks may decide, and has not."""


class PlanPage(msgspec.Struct, frozen=True):
    """One page of plans; ``after`` is where the next begins, empty on the last."""

    items: list[PlanLine]
    total: int
    after: str


# ---- status as of now


def status_at(now: datetime) -> sa.ColumnElement[str]:
    """The status of a plan at ``now``: a waiting or approved one expires, one whose job was lost has failed."""
    p, j = tables.plans, tables.jobs
    lost = sa.exists().where(j.c.id == p.c.job, j.c.status.in_(("failed", "cancelled")))
    return sa.case(
        (sa.and_(p.c.status.in_((WAITING, APPROVED)), p.c.expires_at <= now), EXPIRED),
        (sa.and_(p.c.status == APPLYING, lost), FAILED),
        else_=p.c.status,
    )


def _columns(now: datetime) -> list[Any]:
    wanted = columns(tables.plans, Stored)
    place = Stored.__struct_fields__.index("status")
    return [*wanted[:place], status_at(now).label("status"), *wanted[place + 1 :]]


def get(connection: sa.Connection, id: str, *, lock: bool = False) -> Stored:
    """The plan of an id or a number (``431`` or ``#431``). ``lock`` keeps others from changing it meanwhile.

    Raises ``NotFound``.
    """
    p = tables.plans
    number = id.removeprefix("#")
    by_number = number.isascii() and number.isdigit() and len(number) < 10
    where = p.c.number == int(number) if by_number else p.c.id == id
    if lock and connection.dialect.name == "postgresql":
        connection.execute(sa.select(p.c.id).where(where).with_for_update())
    row = connection.execute(sa.select(*_columns(codec.now())).where(where)).first()
    if row is None:
        raise NotFound(f"there is no plan {id!r}", code="plan-unknown", hint="uwu plan list shows the open ones")
    return to_struct(Stored, row)


def serialize(connection: sa.Connection) -> None:
    """Until the transaction ends no other plan is numbered or begins to be applied."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def approvals(connection: sa.Connection, id: str) -> list[Approval]:
    """The decisions on a plan in the order in which they were taken."""
    a = tables.approvals
    query = sa.select(*columns(a, Approval)).where(a.c.plan == id).order_by(a.c.at, a.c.principal)
    return [to_struct(Approval, row) for row in connection.execute(query)]


def outcomes(connection: sa.Connection, id: str) -> dict[int, Outcome]:
    """How each change that was begun went, by its number."""
    o = tables.plan_outcomes
    query = sa.select(*columns(o, Outcome)).where(o.c.plan == id).order_by(o.c.number)
    return {row.number: to_struct(Outcome, row) for row in connection.execute(query)}


# ---- lists


def plans(
    connection: sa.Connection,
    principal: Principal,
    *,
    status: str = "",
    domain: str = "",
    owner: str = "",
    subject: str = "",
    requested_by: str = "",
    mine: bool = False,
    limit: int = 50,
    after: str = "",
) -> PlanPage:
    """Plans, the newest first. ``status`` is one of ``STATUSES``, ``open``, or empty for all; ``mine``: those that
    wait for a decision that ``principal`` may take."""
    from uwu.kernel.plans.approve import may_decide

    p, s = tables.plans, tables.plan_subjects
    now = codec.now()
    current = status_at(now)
    wheres: list[sa.ColumnElement[bool]] = []
    if mine:
        wheres.append(current == WAITING)
    elif status == "open":
        wheres.append(current.in_(OPEN))
    elif status:
        wheres.append(current == status)
    for column, value in ((p.c.domain, domain), (p.c.requested_by, requested_by)):
        if value:
            wheres.append(column == value)
    for column, value in ((s.c.owner, owner), (s.c.subject, subject)):
        if value:
            wheres.append(p.c.id.in_(sa.select(s.c.plan).where(column == value)))
    query = sa.select(*_columns(now)).where(*wheres).order_by(p.c.number.desc())
    if mine:
        # whether one may is decided by groups that are JSON: the waiting ones are few, and each is looked at
        rows = [to_struct(Stored, row) for row in connection.execute(query)]
        decided = _decisions(connection, [row.id for row in rows])
        rows = [r for r in rows if not may_decide(connection, principal, r) and not _said(decided, r.id, principal)]
        total = len(rows)
        offset = int(after) if after.isdigit() else 0
        rows = rows[offset : offset + limit]
        return PlanPage(_lines(connection, principal, rows), total, _next(offset + len(rows), total))
    total = connection.execute(sa.select(sa.func.count()).select_from(p).where(*wheres)).scalar_one()
    offset = int(after) if after.isdigit() else 0
    rows = [to_struct(Stored, row) for row in connection.execute(query.offset(offset).limit(limit))]
    return PlanPage(_lines(connection, principal, rows), total, _next(offset + len(rows), total))


def _next(end: int, total: int) -> str:
    return str(end) if end < total else ""


def _decisions(connection: sa.Connection, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    a = tables.approvals
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(ids), 500):
        query = sa.select(a.c.plan, a.c.principal, a.c.decision).where(a.c.plan.in_(ids[start : start + 500]))
        for row in connection.execute(query):
            found.setdefault(row.plan, {})[row.principal] = row.decision
    return found


def _said(decided: dict[str, dict[str, str]], plan: str, principal: Principal) -> bool:
    return principal.ref in decided.get(plan, {})


def _lines(connection: sa.Connection, principal: Principal, rows: Sequence[Stored]) -> list[PlanLine]:
    from uwu.kernel.plans.approve import may_decide

    decided = _decisions(connection, [row.id for row in rows])
    return [
        PlanLine(
            id=row.id,
            number=row.number,
            domain=row.domain,
            planner=row.planner,
            title=row.title,
            reason=row.reason,
            status=row.status,
            why=row.why,
            hash=row.hash,
            owners=row.owners,
            forced=row.forced,
            approvals_needed=row.approvals_needed,
            approvals=sum(decision == "approve" for decision in decided.get(row.id, {}).values()),
            changes=len(row.plan.changes),
            subjects=len(row.plan.subjects),
            requested_by=row.requested_by,
            requested_at=row.requested_at,
            expires_at=row.expires_at,
            finished_at=row.finished_at,
            undoes=row.undoes,
            waits_for_me=row.status == WAITING
            and not _said(decided, row.id, principal)
            and not may_decide(connection, principal, row),
        )
        for row in rows
    ]
