"""One plan as a person reviews it, what is decided of it, and asking for one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from litestar.concurrency import sync_to_thread
from litestar.response import Stream

from uwu.app import identify
from uwu.app.console import compare, jobs, links, words
from uwu.app.console.compare import Diff
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, redirect
from uwu.app.console.mapping import Names
from uwu.app.console.plans import TONES, person
from uwu.app.console.render import render
from uwu.app.console.views import Fact, View, Who
from uwu.kernel import domain, drift, tables
from uwu.kernel.errors import BadInput
from uwu.kernel.identity import Principal
from uwu.kernel.jobs import Follower
from uwu.kernel.model import Finding
from uwu.kernel.plans import apply, approve, store
from uwu.kernel.plans.model import Action, mender_of
from uwu.kernel.plans.store import APPLIED, APPLYING, APPROVED, FAILED, VOID, WAITING
from uwu.kernel.plans.view import ChangeView, PlanView
from uwu.kernel.plans.view import view as review
from uwu.kernel.runtime import Kernel

CHANGES_SHOWN, REACH_SHOWN = 200, 12
MARKS = {
    Action.CREATE: ("add", "+", "create"),
    Action.UPDATE: ("upd", "~", "update"),
    Action.REPLACE: ("del", "±", "replace"),
    Action.DELETE: ("del", "−", "remove"),
}


class Stage(View, frozen=True):
    """A step of its life: ``state`` is done, now, bad or next."""

    label: str
    state: str
    icon: str


class Change(View, frozen=True):
    """One change: what is done to what, and how it went."""

    op: str
    sign: str
    verb: str
    name: str
    title: str
    account: str
    owner: str
    href: str
    finding: str
    finding_title: str
    diff: Diff | None
    status: str
    tone: str
    note: str
    problem: str
    at: datetime | None


class Slot(View, frozen=True):
    """A place for an approval: who filled it, or who may."""

    who: Who | None
    by: str
    group: str
    label: str
    comment: str
    at: datetime | None


class Touched(View, frozen=True):
    """What stands on a subject of the plan."""

    name: str
    type: str
    icon: str
    owner: str
    kind: str
    href: str


class PlanPage(View, frozen=True):
    number: int
    href: str
    title: str
    reason: str
    status: str
    tone: str
    said: str
    """Where it stands, in a sentence."""
    why: str
    hash: str
    asked_by: Who
    requested_at: datetime
    live: bool
    stages: list[Stage]
    counts: str
    changes: list[Change]
    more_changes: int
    notes: list[str]
    affected: list[tuple[str, str]]
    """(owner, the path that says why)."""
    run: str
    """The run of Terraform that made it; empty for none."""
    approvals_needed: int
    slots: list[Slot]
    rejected: list[Slot]
    policy: list[str]
    safety: str
    percent: float
    limit: float
    measured: bool
    """The safety limit applies: the scope is not too small for a share."""
    over: bool
    reach: list[Touched]
    reach_total: int
    proof: list[tuple[str, str, bool]]
    """(title, address, closed) of the findings that it was to close."""
    problems: list[str]
    facts: list[Fact]
    expires_at: datetime
    decides: bool
    applies: bool
    withdraws: bool
    undoes: bool
    blocked: str
    """Why the one who looks cannot take the next step; empty where they can, or where there is none."""
    job: str
    undone_by: list[tuple[str, str]]


def _text(value: Any) -> list[str]:
    return [] if value is None else compare.pretty(value).splitlines()


def now_and_after(before: Any, after: Any) -> Diff | None:
    """What is there now beside what would be: observed on the left, declared on the right."""
    if before is None and after is None:
        return None
    kinds = {"declared": "observed", "observed": "declared"}
    swapped = [
        compare.Line(
            compare.Side(kinds.get(line.left.kind, line.left.kind), line.left.parts),
            compare.Side(kinds.get(line.right.kind, line.right.kind), line.right.parts),
            line.skipped,
        )
        for line in compare.lines(_text(before), _text(after))
    ]
    shown, left = compare.cut(swapped)
    return Diff("", "", shown, [f"and {words.plural(left, 'line')} more"] if left else [])


def _change(change: ChangeView, status: str) -> Change:
    op, sign, verb = MARKS[change.action]
    tones = {"done": "green", "already": "green", "failed": "red", "begun": "accent"}
    told = {"already": "was so already", "begun": "running"}.get(change.status, change.status)
    return Change(
        op=op,
        sign=sign,
        verb=verb,
        name=change.name,
        title=change.title,
        account=change.account_name,
        owner=words.short_ref(change.owner),
        href=links.subject(change.subject),
        finding=links.finding(change.finding) if change.finding else "",
        finding_title=change.finding_title,
        diff=now_and_after(change.before, change.after),
        status="" if change.status == "waits" and status != APPLYING else told,
        tone=tones.get(change.status, ""),
        note=change.note,
        problem=change.problem.message if change.problem is not None else "",
        at=change.at,
    )


def _slots(view: PlanView) -> tuple[list[Slot], list[Slot]]:
    given = {each.principal: each for each in view.approvals}
    filled = [
        Slot(
            who=person(slot.by) if slot.by else None,
            by=slot.by,
            group=words.short_ref(slot.group),
            label=slot.label,
            comment=given[slot.by].comment if slot.by in given else "",
            at=given[slot.by].at if slot.by in given else None,
        )
        for slot in view.slots
    ]
    against = [
        Slot(who=person(each.principal), by=each.principal, group="", label="", comment=each.comment, at=each.at)
        for each in view.approvals
        if each.decision == "reject"
    ]
    return filled, against


_STAGE_ICONS = {"done": "circle-check", "now": "circle-dot", "bad": "circle-x", "next": "circle-dashed"}


def _stages(view: PlanView) -> list[Stage]:
    states = {"failed": "bad", "never": "next"}
    out: list[Stage] = []
    for stage in view.stages:
        state = states.get(stage.status, stage.status)
        counted = stage.note and (state == "now" or stage.name == "approved")
        name = {"applied": "Applying"}.get(stage.name, stage.name) if state == "now" else stage.name
        label = f"{name[:1].upper()}{name[1:]}" + (f", {stage.note}" if counted else "")
        out.append(Stage(label=label, state=state, icon=_STAGE_ICONS[state]))
    return out


def _counts(counts: Mapping[str, int]) -> str:
    past = {"create": "created", "update": "updated", "replace": "replaced", "delete": "removed"}
    return ", ".join(f"{n:,} {past[name]}" for name, n in counts.items() if n)


def _said(view: PlanView, blocked: str) -> str:
    """The one sentence that the page opens with."""
    left = max(view.approvals_needed - view.approvals_given, sum(not slot.by for slot in view.slots))
    if view.status == WAITING:
        return "It waits for you." if not blocked else f"It waits for {words.plural(left, 'approval')}."
    told = {
        APPROVED: "It is approved and can be applied.",
        APPLYING: "It is being applied.",
        APPLIED: "It was applied, and what it touched was observed again.",
        FAILED: "It failed: what was done of it stands below.",
        VOID: "It is void: the world has moved on since it was planned.",
        "rejected": "It was declined.",
        "withdrawn": "It was withdrawn.",
        "expired": "It has expired: it was not applied in time.",
    }
    return told.get(view.status, "")


def page_of(kernel: Kernel, connection: sa.Connection, principal: Principal, id: str) -> PlanPage:
    """The page of the plan ``id`` for ``principal``."""
    view = review(kernel, connection, principal, id)
    names = Names(kernel, connection)
    slots, rejected = _slots(view)
    may = view.may
    blocked = {WAITING: may.approve, APPROVED: may.apply}.get(view.status, "")
    proof = view.proof or {}
    facts = [
        Fact(label="Planned by", value=view.planner_title),
        Fact(label="Asked", value=words.stamp(view.requested_at)),
        Fact(label="Plan", value=view.hash[:16], mono=True),
        Fact(label="Declared", value=view.declared_hash[:16], mono=True),
        Fact(label="Observed", value=view.observed_hash[:16], mono=True),
    ]
    if view.applied_by:
        facts.append(Fact(label="Applied by", value=words.short_ref(view.applied_by)))
    if view.job:
        facts.append(Fact(label="Run", value=view.job, href=links.job(view.job), mono=True))
    if view.undoes:
        number = store.get(connection, view.undoes).number
        facts.append(Fact(label="Takes back", value=f"plan {number}", href=links.plan(number)))
    safety = view.safety
    return PlanPage(
        number=view.number,
        href=links.plan(view.number),
        title=view.title,
        reason=view.reason,
        status=view.status,
        tone=TONES.get(view.status, ""),
        said=_said(view, blocked),
        why=view.why,
        hash=view.hash,
        asked_by=person(view.requested_by),
        requested_at=view.requested_at,
        live=view.status == APPLYING,
        stages=_stages(view),
        counts=_counts(view.counts),
        changes=[_change(change, view.status) for change in view.changes[:CHANGES_SHOWN]],
        more_changes=max(0, len(view.changes) - CHANGES_SHOWN),
        notes=view.notes,
        affected=[(words.short_ref(each.owner) or "nobody", each.why) for each in view.affected],
        run=f"{links.RUNS}/{view.request['run']}" if view.planner == "terraform" else "",
        approvals_needed=view.approvals_needed,
        slots=slots,
        rejected=rejected,
        policy=view.policy,
        safety=f"{safety.touched:,} of {words.plural(safety.total, 'subject')}",
        percent=safety.percent,
        limit=safety.limit_percent,
        measured=safety.applies,
        over=safety.forced,
        reach=[
            Touched(
                name=each.name,
                type=names.type(each.type),
                icon=names.icon(each.type),
                owner=words.short_ref(each.owner),
                kind=" ".join(words.split_camel(each.kind.replace("-", " "))),
                href=links.subject(each.urn),
            )
            for each in view.reach[:REACH_SHOWN]
        ],
        reach_total=view.reach_total,
        proof=[
            (finding["title"], links.finding(finding["id"]), key == "closed")
            for key in ("closed", "open")
            for finding in proof.get(key, [])
        ],
        problems=[problem["message"] for problem in proof.get("problems", [])],
        facts=facts,
        expires_at=view.expires_at,
        decides=view.status == WAITING and not may.approve,
        applies=view.status == APPROVED and not may.apply,
        withdraws=not may.withdraw,
        undoes=not may.undo and not view.undone_by,
        blocked=blocked,
        job=view.job,
        undone_by=[
            (f"plan {store.get(connection, other).number}", links.plan(store.get(connection, other).number))
            for other in view.undone_by
        ],
    )


def _key(request: Asked) -> str:
    return str(request.path_params["id"])


def show_plan(at: Frame, request: Asked) -> Answer:
    principal = identify.principal_of(request)
    with at.kernel.db.read() as connection:
        view = page_of(at.kernel, connection, principal, _key(request))
        lines, last, left = jobs.end_of_log(connection, view.job) if view.job else ([], 0, 0)
    return at.page(request, "plan.html", section=links.PLANS, view=view, lines=lines, last=last, left=left)


async def plan_events(at: Frame, request: Asked) -> Answer:
    """A plan as it is applied: ``part`` is its page anew, ``lines`` are new lines of its log, ``end`` is the last."""
    after = jobs.last_line(request)
    principal, id = identify.principal_of(request), _key(request)

    def begin() -> Follower | None:
        with at.kernel.db.read() as connection:
            job = store.get(connection, id).job
        return Follower(at.kernel.db, job, after) if job else None

    follower = await sync_to_thread(begin)

    def look() -> jobs.Looked:
        update = follower.look() if follower is not None else None
        if follower is None:
            return [jobs.event("end", "")], True, False
        if update is None:
            return [], False, False
        with at.kernel.db.read() as connection:
            view = page_of(at.kernel, connection, principal, id)
        out = [jobs.event("part", render("_plan.html", view=view).decode())]
        if update.lines:
            lines = render("_log.html", lines=update.lines).decode()
            out.append(jobs.event("lines", lines, str(update.lines[-1].line)))
        if follower.finished:
            out.append(jobs.event("end", view.status))
        return out, follower.finished, follower.behind

    return Stream(jobs.stream(look), media_type="text/event-stream", headers=jobs.STREAM)


# ---- what can be done


class Mend(View, frozen=True):
    """What the page of a finding offers: a plan that puts it right."""

    planner: str
    title: str
    asks: tuple[str, ...]
    groups: list[tuple[str, str]]
    """(reference, name): whom an ``owner`` can be."""
    open: list[tuple[str, str]]
    """(title, address) of the open plans that touch its subject."""


def mend(kernel: Kernel, connection: sa.Connection, principal: Principal, finding: Finding) -> Mend | None:
    """The planner that can mend ``finding``, and what it must be told; None where none can."""
    planner = mender_of(kernel.domains, finding)
    if planner is None:
        return None
    e = tables.entities
    groups: list[tuple[str, str]] = []
    if "owner" in planner.asks:
        query_ = sa.select(e.c.ref, e.c.name).where(e.c.kind == "Group", e.c.orphan.is_(False)).order_by(e.c.name)
        groups = [(row.ref, row.name) for row in connection.execute(query_.limit(200))]
    page = store.plans(connection, principal, status="open", subject=finding.subject, limit=3)
    return Mend(
        planner=planner.name,
        title=planner.title,
        asks=planner.asks,
        groups=groups,
        open=[(f"Plan {line.number}: {line.title}", links.plan(line.number)) for line in page.items],
    )


def ask(at: Frame, request: Asked, form: Form) -> Answer:
    """Asks for a plan that puts findings right, and shows it."""
    principal = identify.principal_of(request)
    ids = form.all("finding")
    if not ids:
        raise BadInput("a plan needs findings to put right", place="finding", hint="choose some on the findings page")
    with at.kernel.db.read() as connection:
        found = [drift.finding(connection, id) for id in ids]
    menders = {(planner.name if planner else "") for planner in (mender_of(at.kernel.domains, f) for f in found)}
    if len(menders) != 1 or "" in menders:
        raise BadInput(
            "no one plan puts all of these right",
            code="finding-unfit",
            place="finding",
            hint="choose findings of one kind that uwu can put right: their pages say so",
        )
    (name,) = menders
    planner = domain.planners_of(at.kernel.domains)[name][0]
    asked_for = {key: form.get(key) for key in planner.asks if form.get(key)}
    asked = approve.ask(
        at.kernel,
        principal,
        planner=name,
        request={"findings": ids, **asked_for},
        reason=form.get("reason"),
    )
    if not asked.plan:
        raise BadInput(asked.told, code="plan-empty", hint="run a sync to observe it anew")
    with at.kernel.db.read() as connection:
        number = store.get(connection, asked.plan).number
    return redirect(links.plan(number))


def decide(at: Frame, request: Asked, form: Form) -> Answer:
    """Records a decision; it is bound to the hash of the plan that was looked at."""
    given = form.get("decision")
    if given not in ("approve", "reject"):
        raise BadInput(f"there is no decision {given[:20]!r}", place="decision", hint="approve or reject")
    approve.decide(
        at.kernel,
        identify.principal_of(request),
        _key(request),
        "approve" if given == "approve" else "reject",
        hash=form.get("hash"),
        comment=form.get("comment"),
    )
    return redirect(_page(at, request))


def begin(at: Frame, request: Asked, form: Form) -> Answer:
    apply.start(at.kernel, identify.principal_of(request), _key(request), hash=form.get("hash"))
    return redirect(_page(at, request))


def withdraw(at: Frame, request: Asked, form: Form) -> Answer:
    del form
    approve.withdraw(at.kernel, identify.principal_of(request), _key(request))
    return redirect(_page(at, request))


def undo(at: Frame, request: Asked, form: Form) -> Answer:
    """Asks for the plan that takes this one back."""
    with at.kernel.db.read() as connection:
        original = store.get(connection, _key(request))
    asked = approve.ask(
        at.kernel,
        identify.principal_of(request),
        planner=original.planner,
        request={},
        reason=form.get("reason") or f"take back plan {original.number}",
        undoes=original.id,
    )
    if not asked.plan:
        raise BadInput(asked.told, code="plan-empty")
    with at.kernel.db.read() as connection:
        number = store.get(connection, asked.plan).number
    return redirect(links.plan(number))


def _page(at: Frame, request: Asked) -> str:
    with at.kernel.db.read() as connection:
        return links.plan(store.get(connection, _key(request)).number)


PAGES = (
    Page(links.PLANS + "/{id:str}", show_plan, "plans.read"),
    Page(links.PLANS + "/{id:str}/events", plan_events, "plans.read"),
    Act(links.PLANS, ask, "plans.request"),
    Act(links.PLANS + "/{id:str}/decide", decide, "plans.approve"),
    Act(links.PLANS + "/{id:str}/apply", begin, "plans.apply"),
    Act(links.PLANS + "/{id:str}/withdraw", withdraw, "plans.request"),
    Act(links.PLANS + "/{id:str}/undo", undo, "plans.request"),
)
