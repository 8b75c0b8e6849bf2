"""The whole of a plan as a person reviews it: its changes, its safety, who must agree, what stands on its subjects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, domain, graph, tables, urns
from uwu.kernel.errors import Problem
from uwu.kernel.identity import Principal
from uwu.kernel.plans import approve, store
from uwu.kernel.plans.approve import May, Slot
from uwu.kernel.plans.model import Action, Affected, touched
from uwu.kernel.plans.store import (
    APPLIED,
    APPLYING,
    APPROVED,
    EXPIRED,
    FAILED,
    OPEN,
    REJECTED,
    VOID,
    WAITING,
    WITHDRAWN,
    Approval,
    Outcome,
    Stored,
)
from uwu.kernel.runtime import Kernel

REACH_SHOWN = 50
"""Neighbours shown of what a plan touches."""


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """One change as a person reviews it."""

    number: int
    subject: str
    name: str
    type: str
    type_title: str
    account: str
    account_name: str
    region: str
    owner: str
    action: Action
    title: str
    before: Any
    after: Any
    finding: str
    """The finding that asks for it; empty where none does."""
    finding_title: str
    harmless: bool
    status: str
    """``waits``, ``begun``, ``done``, ``already``, ``failed`` or ``not begun``."""
    note: str
    problem: Problem | None
    at: datetime | None


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on a touched subject."""

    urn: str
    name: str
    type: str
    owner: str
    kind: str
    """The relation to the subject: ``uses``."""
    subject: str


class Safety(msgspec.Struct, frozen=True, kw_only=True):
    """The safety limit and how far the plan goes into it."""

    touched: int
    total: int
    percent: float
    limit_percent: float
    applies: bool
    """False where the scope is so small that no share is computed."""
    forced: bool


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of a plan's life. ``status`` is done, now, next, failed or never."""

    name: str
    status: str
    at: datetime | None = None
    note: str = ""


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """A plan with all that reviewing it needs."""

    id: str
    number: int
    domain: str
    planner: str
    planner_title: str
    title: str
    reason: str
    status: str
    why: str
    hash: str
    declared_hash: str
    observed_hash: str
    forced: bool
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    finished_at: datetime | None
    job: str
    applied_by: str
    undoes: str
    undone_by: list[str]
    """Plans that take it back."""
    request: dict[str, Any]
    notes: list[str]
    affected: list[Affected]
    """What depends on what it deletes or replaces, the nearest of each owner."""
    owners: list[str]
    counts: dict[str, int]
    """Changes by action."""
    changes: list[ChangeView]
    safety: Safety
    approvals_needed: int
    approvals_given: int
    approvals: list[Approval]
    slots: list[Slot]
    policy: list[str]
    stages: list[StageView]
    reach: list[Reached]
    reach_total: int
    proof: dict[str, Any] | None
    """What was observed after applying: findings that closed, and those that did not."""
    may: May


def view(kernel: Kernel, connection: sa.Connection, principal: Principal, id: str) -> PlanView:
    """The plan ``id`` with all that reviewing it needs. Raises ``NotFound``."""
    stored = store.get(connection, id)
    planner, _ = domain.planners_of(kernel.domains).get(stored.planner, (None, None))
    given = store.approvals(connection, stored.id)
    done = store.outcomes(connection, stored.id)
    changes = _changes(kernel, connection, stored, done)
    agreed = [each for each in given if each.decision == "approve"]
    reach, reach_total = _reach(connection, stored.plan.subjects)
    p = tables.plans
    undone = list(connection.scalars(sa.select(p.c.id).where(p.c.undoes == stored.id).order_by(p.c.number)))
    limit = kernel.settings.plans
    total = stored.plan.subjects_total
    return PlanView(
        id=stored.id,
        number=stored.number,
        domain=stored.domain,
        planner=stored.planner,
        planner_title=planner.title if planner is not None else stored.planner,
        title=stored.title,
        reason=stored.reason,
        status=stored.status,
        why=_why(connection, stored),
        hash=stored.hash,
        declared_hash=stored.plan.declared_hash,
        observed_hash=stored.plan.observed_hash,
        forced=stored.forced,
        requested_by=stored.requested_by,
        requested_at=stored.requested_at,
        expires_at=stored.expires_at,
        decided_at=stored.decided_at,
        finished_at=stored.finished_at,
        job=stored.job,
        applied_by=stored.applied_by,
        undoes=stored.undoes,
        undone_by=undone,
        request=stored.request,
        notes=list(stored.plan.notes),
        affected=list(stored.plan.affected),
        owners=stored.owners,
        counts={action.value: sum(c.action is action for c in stored.plan.changes) for action in Action},
        changes=changes,
        safety=Safety(
            touched=touched(stored.plan),
            total=total,
            percent=round(100 * touched(stored.plan) / total, 1) if total else 0.0,
            limit_percent=limit.safe_percent,
            applies=total >= limit.safe_subjects,
            forced=stored.forced,
        ),
        approvals_needed=stored.approvals_needed,
        approvals_given=len(agreed),
        approvals=given,
        slots=approve.slots(stored, agreed),
        policy=stored.policy,
        stages=_stages(stored, changes, len(agreed)),
        reach=reach,
        reach_total=reach_total,
        proof=stored.outcome,
        may=approve.may(kernel, connection, principal, stored, planner),
    )


def _why(connection: sa.Connection, stored: Stored) -> str:
    if stored.status == EXPIRED:
        return f"it was not applied before {codec.iso(stored.expires_at)}"
    if stored.status == FAILED and not stored.why:
        j = tables.jobs
        status = connection.execute(sa.select(j.c.status).where(j.c.id == stored.job)).scalar()
        return f"its job was {status}" if status else "its job was lost"
    return stored.why


def _changes(kernel: Kernel, connection: sa.Connection, stored: Stored, done: dict[int, Outcome]) -> list[ChangeView]:
    subjects = stored.plan.subjects
    known = _resources(connection, subjects)
    s, f = tables.plan_subjects, tables.findings
    owners = {
        row.subject: row.owner
        for row in connection.execute(sa.select(s.c.subject, s.c.owner).where(s.c.plan == stored.id))
    }
    names = graph.account_names(connection)
    types = domain.types_of(kernel.domains)
    reasons = sorted({c.reason for c in stored.plan.changes if c.reason.startswith("f_")})
    findings: dict[str, str] = {}
    for start in range(0, len(reasons), 500):
        query = sa.select(f.c.id, f.c.title).where(f.c.id.in_(reasons[start : start + 500]))
        findings.update((row.id, row.title) for row in connection.execute(query))
    rest = "not begun" if stored.status in (FAILED, APPLIED) else "waits"
    views: list[ChangeView] = []
    for number, change in enumerate(stored.plan.changes):
        row = known.get(change.subject)
        outcome = done.get(number)
        kind = row.type if row is not None else ""
        account = row.account if row is not None else urns.account_of(change.subject)
        views.append(
            ChangeView(
                number=number,
                subject=change.subject,
                name=(row.name if row is not None else "") or urns.short(change.subject),
                type=kind,
                type_title=types[kind].title if kind in types else kind,
                account=account,
                account_name=names.get(account, ""),
                region=row.region if row is not None else "",
                owner=owners.get(change.subject, ""),
                action=change.action,
                title=change.title,
                before=change.before,
                after=change.after,
                finding=change.reason if change.reason.startswith("f_") else "",
                finding_title=findings.get(change.reason, ""),
                harmless=change.harmless,
                status=outcome.status if outcome is not None else rest,
                note=outcome.note if outcome is not None else "",
                problem=outcome.problem if outcome is not None else None,
                at=outcome.at if outcome is not None else None,
            )
        )
    return views


def _resources(connection: sa.Connection, wanted: Iterable[str]) -> dict[str, Any]:
    r = tables.resources
    some = sorted(set(wanted))
    found: dict[str, Any] = {}
    for start in range(0, len(some), 500):
        query = sa.select(r.c.urn, r.c.name, r.c.type, r.c.account, r.c.region)
        for row in connection.execute(query.where(r.c.urn.in_(some[start : start + 500]))):
            found[row.urn] = row
    return found


def _reach(connection: sa.Connection, subjects: Sequence[str]) -> tuple[list[Reached], int]:
    """What points at the subjects now: who would feel it. At most ``REACH_SHOWN`` of them, and how many there are."""
    t, r, o = tables.relations, tables.resources, tables.ownership
    total = 0
    found: list[Reached] = []
    for start in range(0, len(subjects), 500):
        some = subjects[start : start + 500]
        pointing = (t.c.target.in_(some), t.c.valid_to.is_(None), t.c.source.not_in(some))
        total += connection.execute(
            sa.select(sa.func.count(sa.distinct(t.c.source))).join(r, r.c.urn == t.c.source).where(*pointing)
        ).scalar_one()
        if len(found) < REACH_SHOWN:
            query = (
                sa.select(t.c.source, r.c.name, r.c.type, sa.func.coalesce(o.c.owner, "").label("owner"), t.c.kind,
                          t.c.target)
                .join(r, r.c.urn == t.c.source)
                .outerjoin(o, o.c.subject == t.c.source)
                .where(*pointing)
                .order_by(r.c.type, r.c.name, t.c.source)
                .limit(REACH_SHOWN - len(found))
            )  # fmt: skip
            found += [
                Reached(urn=x[0], name=x[1], type=x[2], owner=x[3], kind=x[4], subject=x[5])
                for x in connection.execute(query)
            ]
    return found, total


def _stages(stored: Stored, changes: Sequence[ChangeView], agreed: int) -> list[StageView]:
    counts = Counter(change.status for change in changes)
    finished = counts["done"] + counts["already"]
    decided = stored.status in (APPROVED, APPLYING, APPLIED, FAILED)
    approval = {WAITING: "now", REJECTED: "failed", VOID: "failed", EXPIRED: "failed", WITHDRAWN: "failed"}
    applying = {APPROVED: "next", APPLYING: "now", APPLIED: "done", FAILED: "failed"}
    observed = (stored.outcome or {}).get("observed_at")
    return [
        StageView(name="planned", status="done", at=stored.requested_at),
        StageView(
            name="approved",
            status="done" if decided else approval.get(stored.status, "next"),
            at=stored.decided_at if decided else None,
            note=f"{agreed} of {max(stored.approvals_needed, agreed)}",
        ),
        StageView(
            name="applied",
            status=applying.get(stored.status, "next" if stored.status == WAITING else "never"),
            at=stored.finished_at,
            note=f"{finished} of {len(changes)}",
        ),
        StageView(
            name="observed again",
            status="done" if observed else "next" if stored.status in OPEN else "never",
            at=codec.parse_time(observed) if observed else None,
        ),
    ]
