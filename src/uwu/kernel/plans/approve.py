"""Asking for a plan, deciding it, taking it back. The requester is never its approver, whoever's hands they use.

Decisions on one plan are taken one after the other: its row is locked, so that two at the same time give one grant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from uwu.kernel import audit, authorize, codec, domain, sight, tables
from uwu.kernel.authorize import Target
from uwu.kernel.db import upsert
from uwu.kernel.domain import Planner
from uwu.kernel.errors import BadInput, Conflict, Denied, NotFound, UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.plans import notices, policy, store
from uwu.kernel.plans.model import Plan, SafetyLimit, check_current, check_safe, require_apply_role, touched
from uwu.kernel.plans.store import (
    APPLIED,
    APPLYING,
    APPROVED,
    FAILED,
    OPEN,
    REJECTED,
    VOID,
    WAITING,
    WITHDRAWN,
    Approval,
    Stored,
)
from uwu.kernel.runtime import Kernel

Decision = Literal["approve", "reject"]

ADMIN_ROLE = "admin"
_PEOPLE = ("user:", "service:")
"""What stands behind a request: anything else that made a principal (a provider, the system) is nobody's hand."""


class SelfApproval(Denied):
    """The requester of a plan may not decide it, nor may whoever stands behind the request."""

    code = "self-approval"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking for a plan: ``plan`` is its id, empty where there is nothing to do."""

    plan: str
    told: str
    created: bool


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A place that an approval fills. ``group`` is empty where an admin must, or where anyone who may will do."""

    group: str
    label: str
    """Why it is asked for: ``owner of what it touches``."""
    by: str
    """Who filled it; empty while it waits."""


class May(msgspec.Struct, frozen=True, kw_only=True):
    """What the one who asks may do with it now; each text says why not, empty where they may."""

    approve: str
    apply: str
    withdraw: str
    undo: str


# ---- planning


def planner_of(kernel: Kernel, name: str) -> tuple[Planner, str]:
    """The planner ``name`` and its domain's name. Raises ``BadInput`` where there is none."""
    known = domain.planners_of(kernel.domains)
    if name not in known:
        names = ", ".join(sorted(known)) or "none is installed"
        raise BadInput(
            f"there is no planner {name!r}", code="planner-unknown", place="/planner", hint=f"one of: {names}"
        )
    planner, of = known[name]
    return planner, of.name


def make(kernel: Kernel, name: str, request: Mapping[str, Any], *, undoes: str = "") -> Plan:
    """Plans from the graph as it is; with ``undoes`` the taking back of that plan. It writes nothing.

    Raises ``BadInput`` for a planner or a request that does not fit, ``Conflict`` for what cannot be taken back.
    """
    planner, of = planner_of(kernel, name)
    if undoes:
        plan: Plan = _undo(kernel, planner, undoes)
    else:
        plan = domain.load(planner.plan)(kernel, request)
    return msgspec.structs.replace(plan, planner=planner.name, domain=of)


def _undo(kernel: Kernel, planner: Planner, id: str) -> Plan:
    with kernel.db.read() as connection:
        original = store.get(connection, id)
        done = store.outcomes(connection, original.id)
    if not planner.undo:
        raise Conflict(f"{planner.title} cannot be taken back", code="undo-impossible", hint="make a plan of its own")
    if original.status not in (APPLIED, FAILED):
        raise Conflict(
            f"plan {original.number} is {original.status}: there is nothing to take back", code="undo-nothing"
        )
    ours = [c for n, c in enumerate(original.plan.changes) if n in done and done[n].status == "done"]
    return domain.load(planner.undo)(kernel, original.plan, ours)


def limit_of(kernel: Kernel) -> SafetyLimit:
    """The safety limit as it is set."""
    given = kernel.settings.plans
    return SafetyLimit(min_subjects=given.safe_subjects, max_share=given.safe_percent / 100)


def ask(
    kernel: Kernel,
    principal: Principal,
    *,
    planner: str,
    request: Mapping[str, Any],
    reason: str,
    force: bool = False,
    undoes: str = "",
) -> Asked:
    """Plans and keeps the plan, where it would change anything.

    Raises as ``make``, ``NotFound`` for what ``principal`` may not see, ``BadInput`` for no reason, ``UnsafePlan`` for
    what passes the safety limit without ``force``, ``Denied`` for what is not theirs to change, or to force.
    """
    if force:
        authorize.require(kernel, principal, "plans.force")
    reason = reason.strip()
    if not reason:
        raise BadInput("a plan needs a reason", code="reason-missing", place="/reason", hint="say why, in a sentence")
    with sight.looking_as(kernel, principal):  # what they may not see cannot be planned for by guessing its name
        plan = make(kernel, planner, request, undoes=undoes)
    if not plan.changes:
        told = "; ".join(plan.notes) or "everything is as it should be"
        return Asked(plan="", told=f"There is nothing to do: {told}.", created=False)
    check_safe(plan, limit_of(kernel), force=force)
    forced = force and not _is_safe(kernel, plan)
    now = codec.now()
    # what was named was seen by whoever asks; who owns it, and which number is free, is for everyone the same
    with sight.everything(), kernel.db.write() as connection:
        store.serialize(connection)
        double = _double(connection, plan)
        if double is not None:
            return Asked(plan=double.id, told=f"Plan {double.number} asks for exactly this already.", created=False)
        p = tables.plans
        needs = policy.needed(kernel, connection, plan)
        owners = sorted({group for group in (*needs.owners.values(), *_given(plan)) if group})
        target = Target("Plan", "new", attributes={"owners": owners, "planner": plan.planner, "title": plan.title})
        authorize.require(kernel, principal, "plans.request", target)
        number = connection.execute(sa.select(sa.func.coalesce(sa.func.max(p.c.number), 0))).scalar_one() + 1
        id = codec.new_id("plan")
        connection.execute(
            p.insert().values(
                id=id,
                number=number,
                domain=plan.domain,
                planner=plan.planner,
                title=plan.title,
                reason=reason,
                plan=codec.builtins(plan),
                request=codec.builtins(dict(request)),
                hash=plan.hash,
                declared_hash=plan.declared_hash,
                observed_hash=plan.observed_hash,
                owners=owners,
                forced=forced,
                approvals_needed=needs.approvals,
                required=needs.required,
                policy=needs.policy,
                status=WAITING,
                why="",
                requested_by=principal.ref,
                behind=sorted(behind(connection, principal)),
                requested_at=now,
                expires_at=now + timedelta(hours=kernel.settings.plans.expire_hours),
                job="",
                applied_by="",
                undoes=undoes,
            )
        )
        connection.execute(
            tables.plan_subjects.insert(),
            [{"plan": id, "subject": subject, "owner": owner} for subject, owner in needs.owners.items()],
        )
        audit.append(
            connection,
            actor=principal.ref,
            action="plan.request",
            subject=id,
            detail={
                "number": number,
                "title": plan.title,
                "hash": plan.hash,
                "changes": len(plan.changes),
                "forced": forced,
                "reason": reason,
                "undoes": undoes,
            },
        )
        notices.waits(connection, store.get(connection, id))
    return Asked(plan=id, told=f"Plan {number} waits for approval.", created=True)


def ask_undo(kernel: Kernel, principal: Principal, id: str, *, reason: str, force: bool = False) -> Asked:
    """Asks for the plan that takes back what the plan ``id`` did. Raises as ``ask``, and as ``make``."""
    with kernel.db.read() as connection:
        original = store.get(connection, id)
    return ask(
        kernel,
        principal,
        planner=original.planner,
        request=original.request,
        reason=reason,
        force=force,
        undoes=original.id,
    )


def _given(plan: Plan) -> list[str]:
    return [change.owner for change in plan.changes]


def _is_safe(kernel: Kernel, plan: Plan) -> bool:
    limit = limit_of(kernel)
    return plan.subjects_total < limit.min_subjects or touched(plan) <= limit.max_share * plan.subjects_total


def _double(connection: sa.Connection, plan: Plan) -> Stored | None:
    p = tables.plans
    query = sa.select(p.c.id).where(
        p.c.hash == plan.hash, p.c.planner == plan.planner, store.status_at(codec.now()).in_(OPEN)
    )
    id = connection.scalars(query.limit(1)).first()
    return store.get(connection, id) if id is not None else None


# ---- who stands behind what


def behind(connection: sa.Connection, principal: Principal) -> frozenset[str]:
    """Who acts where ``principal`` acts: itself, and whoever made the service account or the token that it uses."""
    found: set[str] = {principal.ref}
    t, p = tables.tokens, tables.principals
    waiting = [principal.ref] if principal.kind == "service" else []
    if principal.credential:
        maker = connection.scalars(sa.select(t.c.created_by).where(t.c.id == principal.credential)).first()
        waiting += [maker] if maker else []
    while waiting:
        ref = waiting.pop()
        found.add(ref)
        row = connection.execute(sa.select(p.c.kind, p.c.created_by).where(p.c.ref == ref)).first()
        if row is not None and row.kind == "service" and row.created_by not in found:
            waiting.append(row.created_by)
    return frozenset(ref for ref in found if ref.startswith(_PEOPLE))


def target_of(stored: Stored) -> Target:
    """The plan as policies see it."""
    return Target(
        "Plan",
        stored.id,
        attributes={
            "owners": [group for group in stored.required if group],
            "requesters": stored.behind,
            "forced": stored.forced,
            "planner": stored.planner,
            "title": f"plan {stored.number}",
        },
    )


def counts_for(principal: Principal, stored: Stored) -> list[str]:
    """The required groups of the plan that an approval of ``principal`` speaks for: an admin's for all.

    So does one with a break-glass, which everybody sees; never on a plan of their own.
    """
    if ADMIN_ROLE in principal.roles or principal.break_glass:
        return list(stored.required)
    return [group for group in stored.required if group and group in principal.groups]


def may_decide(connection: sa.Connection, principal: Principal, stored: Stored) -> str:
    """Why ``principal`` may not decide the plan, whatever its status; empty where they may."""
    if _is_own(connection, principal, stored):
        return "whoever asked for a plan does not decide it: another must"
    if not counts_for(principal, stored):
        names = [group.rpartition("/")[2] or "admin" for group in stored.required]
        return f"it is for {' or '.join(names)}, or an admin, to decide"
    return ""


def _is_own(connection: sa.Connection, principal: Principal, stored: Stored) -> bool:
    return not behind(connection, principal).isdisjoint(stored.behind)


def _require_decider(connection: sa.Connection, principal: Principal, stored: Stored) -> None:
    why = may_decide(connection, principal, stored)
    if not why:
        return
    if _is_own(connection, principal, stored):
        raise SelfApproval(
            f"you asked for plan {stored.number}, or made the account or token that did: {why}",
            place="requester-is-not-approver",
            hint=f"ask one of {_asked(stored)}",
        )
    raise Denied(
        f"you may not decide plan {stored.number}: {why}",
        code="not-allowed",
        place="owner-approves",
        hint=f"ask one of {_asked(stored)}",
    )


def _asked(stored: Stored) -> str:
    return ", ".join(group or "the admins" for group in stored.required) or "the admins"


# ---- deciding


def decide(kernel: Kernel, principal: Principal, id: str, decision: Decision, *, hash: str, comment: str = "") -> str:
    """Records the decision of ``principal`` on the plan that has ``hash`` and gives the plan's status after it.

    One decision a principal; the last one counts while the plan waits. Raises ``SelfApproval``, ``Denied``,
    ``NotFound``, or ``Conflict``: ``plan-changed`` for another hash, ``plan-decided``, ``plan-outdated`` where the
    world moved on (the plan is then void).
    """
    with kernel.db.read() as connection:
        stored = store.get(connection, id)
        _check(connection, principal, stored, hash)
    authorize.require(kernel, principal, "plans.approve", target_of(stored))
    if decision == "approve":
        require_current(kernel, stored, principal.ref)
    with sight.everything(), kernel.db.write() as connection:
        stored = store.get(connection, stored.id, lock=True)
        _check(connection, principal, stored, hash)
        speaks = counts_for(principal, stored)
        upsert(
            connection,
            tables.approvals,
            [
                {
                    "plan": stored.id,
                    "principal": principal.ref,
                    "decision": decision,
                    "hash": hash,
                    "counts_for": speaks,
                    "comment": comment.strip(),
                    "at": codec.now(),
                }
            ],
        )
        detail = {"number": stored.number, "hash": hash, "comment": comment.strip(), "counts_for": speaks}
        if principal.break_glass:
            detail["break_glass"] = principal.break_glass
        audit.append(connection, actor=principal.ref, action=f"plan.{decision}", subject=stored.id, detail=detail)
        if decision == "reject":
            _set(connection, stored, REJECTED, f"{principal.ref}: {comment.strip()}".rstrip(": "))
            return REJECTED
        agreed = [each for each in store.approvals(connection, stored.id) if each.decision == "approve"]
        if not is_granted(stored, agreed):
            return WAITING
        _set(connection, stored, APPROVED, "")
        audit.append(
            connection,
            actor=principal.ref,
            action="plan.granted",
            subject=stored.id,
            detail={"number": stored.number, "hash": stored.hash, "approvals": [each.principal for each in agreed]},
        )
        return APPROVED


def _check(connection: sa.Connection, principal: Principal, stored: Stored, hash: str) -> None:
    _require_decider(connection, principal, stored)
    if hash != stored.hash:
        raise Conflict(
            f"this is not the plan that you looked at: plan {stored.number} has the hash {stored.hash}",
            code="plan-changed",
            place="/hash",
            hint="look at it again and decide with its hash",
        )
    if stored.status != WAITING:
        raise Conflict(
            f"plan {stored.number} is {stored.status}: there is nothing to decide" + _because(stored),
            code="plan-decided" if stored.status not in (VOID, store.EXPIRED) else f"plan-{stored.status}",
            hint="ask for it anew" if stored.status not in (APPROVED, APPLYING, APPLIED) else "",
        )


def _because(stored: Stored) -> str:
    return f" ({stored.why})" if stored.why else ""


def is_granted(stored: Stored, agreed: Sequence[Approval]) -> bool:
    """Whether the approvals are enough: in number, and one for each required group."""
    spoken = {group for each in agreed if each.hash == stored.hash for group in each.counts_for}
    return len(agreed) >= stored.approvals_needed and spoken.issuperset(stored.required)


def slots(stored: Stored, agreed: Sequence[Approval]) -> list[Slot]:
    """The places that approvals fill: one for each required group, then the rest up to the number that is needed."""
    used: list[str] = []
    made: list[Slot] = []
    for group in stored.required:
        by = next((a.principal for a in agreed if group in a.counts_for and a.principal not in used), "")
        by = by or next((a.principal for a in agreed if group in a.counts_for), "")
        used.append(by)
        owns = group in stored.owners
        label = "nobody owns what it touches: an admin" if not group else "owner of what it touches" if owns else ""
        made.append(Slot(group=group, label=label or "asked for by a policy", by=by))
    rest = [each.principal for each in agreed if each.principal not in used]
    distinct = len({by for by in used if by}) + sum(not by for by in used)
    more = [*rest, *[""] * stored.approvals_needed][: max(stored.approvals_needed - distinct, 0)]
    return made + [Slot(group="", label="one more who may decide", by=by) for by in more]


def withdraw(kernel: Kernel, principal: Principal, id: str) -> None:
    """Takes a plan back before it is applied; for its requester, or who stands behind the request, or an admin.

    Raises ``Denied`` or ``Conflict``.
    """
    with kernel.db.write() as connection:
        stored = store.get(connection, id, lock=True)
        if not _is_own(connection, principal, stored) and ADMIN_ROLE not in principal.roles:
            raise Denied(
                f"plan {stored.number} is {stored.requested_by}'s to withdraw",
                code="not-allowed",
                place="requester-withdraws",
                hint="reject it where you may decide it",
            )
        if stored.status not in (WAITING, APPROVED):
            raise Conflict(f"plan {stored.number} is {stored.status}: it cannot be withdrawn", code="plan-decided")
        _set(connection, stored, WITHDRAWN, "")
        audit.append(
            connection,
            actor=principal.ref,
            action="plan.withdraw",
            subject=stored.id,
            detail={"number": stored.number, "hash": stored.hash},
        )


# ---- what the world says of it now


def outdated(kernel: Kernel, stored: Stored) -> str:
    """Why the plan is not what would be planned now, from the graph as it is; empty where it still is."""
    try:
        with sight.everything():
            fresh = make(kernel, stored.planner, stored.request, undoes=stored.undoes)
        check_current(stored.plan, declared_hash=fresh.declared_hash, observed_hash=fresh.observed_hash)
        check_safe(fresh, limit_of(kernel), force=stored.forced)
    except (Conflict, BadInput, NotFound) as error:
        return error.problem.message
    return (
        "" if fresh.changes == stored.plan.changes else "what would be changed is not what it was when it was planned"
    )


def require_current(kernel: Kernel, stored: Stored, actor: str) -> None:
    """Voids the plan where the world has moved on, and then raises ``Conflict`` (code ``plan-outdated``)."""
    why = outdated(kernel, stored)
    if not why:
        return
    void(kernel, stored.id, why, actor)
    raise Conflict(
        f"plan {stored.number} is void: {why}",
        code="plan-outdated",
        hint="ask for it anew; approvals of the old one do not count",
    )


def void(kernel: Kernel, id: str, why: str, actor: str) -> None:
    """Makes a plan void that was not finished, and says why."""
    with sight.everything(), kernel.db.write() as connection:
        stored = store.get(connection, id, lock=True)
        if stored.status not in OPEN:
            return
        _set(connection, stored, VOID, why)
        detail = {"number": stored.number, "hash": stored.hash, "why": why}
        audit.append(connection, actor=actor, action="plan.void", subject=stored.id, detail=detail)


def _set(connection: sa.Connection, stored: Stored, status: str, why: str) -> None:
    p = tables.plans
    values = {"status": status, "why": why, "decided_at": codec.now()}
    connection.execute(p.update().where(p.c.id == stored.id).values(values))
    if status != WITHDRAWN:
        notices.turned(connection, stored, status, why)


# ---- what one may do


def may(
    kernel: Kernel, connection: sa.Connection, principal: Principal, stored: Stored, planner: Planner | None
) -> May:
    """What ``principal`` may do with the plan now, by its status and by who they are."""
    own = _is_own(connection, principal, stored)
    approve = may_decide(connection, principal, stored) if stored.status == WAITING else f"it is {stored.status}"
    approve = approve or _lacks(kernel, principal, "plans.approve", stored)
    apply = _lacks(kernel, principal, "plans.apply", stored) if stored.status == APPROVED else f"it is {stored.status}"
    if planner is None:
        apply = apply or f"the planner {stored.planner} is not installed"
    elif not apply and planner.in_aws:
        try:
            require_apply_role(kernel.settings.aws.apply_role_name, kernel.settings.aws.role_name)
        except UwuError as error:
            apply = error.problem.message
    withdraw_ = "" if stored.status in (WAITING, APPROVED) else f"it is {stored.status}"
    if not withdraw_ and not own and ADMIN_ROLE not in principal.roles:
        withdraw_ = f"it is {stored.requested_by}'s to withdraw"
    undo = "" if stored.status in (APPLIED, FAILED) else f"it is {stored.status}"
    if planner is not None and not undo and not planner.undo:
        undo = f"{planner.title} cannot be taken back"
    return May(approve=approve, apply=apply, withdraw=withdraw_, undo=undo)


def _lacks(kernel: Kernel, principal: Principal, action: str, stored: Stored) -> str:
    decision = authorize.decide(kernel, principal, action, target_of(stored))
    return "" if decision.allowed else decision.missing or decision.reason
