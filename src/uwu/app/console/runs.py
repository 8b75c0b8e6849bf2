"""Runs of Terraform: what they would change, what depends on that, what they say while they are at work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from litestar.concurrency import sync_to_thread
from litestar.response import Stream

from uwu.app import identify
from uwu.app.console import compare, links, words
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, query, redirect
from uwu.app.console.jobs import LINES_SHOWN, STREAM, event, last_line, stream, took
from uwu.app.console.lists import Query, filter_of, href_of
from uwu.app.console.plans import person
from uwu.app.console.render import render
from uwu.app.console.views import Fact, Filter, View, Who
from uwu.domains.iac import blast
from uwu.domains.iac.actions import CANCEL, RUN
from uwu.domains.iac.plan_json import Change
from uwu.domains.iac.policy.model import Violation
from uwu.domains.iac.runs import api, ask, store
from uwu.domains.iac.runs.store import Document, Follower, Run
from uwu.kernel import authorize, codec, declared, urns
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

SEE = "world.read"
SHOWN, CHANGES_SHOWN, RADIUS_SHOWN, DRIFT_SHOWN = 50, 200, 60, 50
TONES = {
    store.QUEUED: "", store.PLANNING: "accent", store.PLANNED: "amber", store.APPLYING: "accent",
    store.APPLIED: "green", store.CLEAN: "green", store.REFUSED: "red", store.FAILED: "red",
    store.CANCELLED: "", store.DISCARDED: "", store.DRIFTED: "amber",
}  # fmt: skip
OPS = {
    "create": ("add", "+"), "update": ("upd", "~"), "replace": ("del", "±"), "delete": ("del", "−"),
    "read": ("upd", "r"), "forget": ("upd", "f"),
}  # fmt: skip
ICONS = {
    "DNS name": "signpost", "certificate": "badge-check", "secret": "key-round", "load balancer": "split",
    "database": "database", "service": "server", "other": "box",
}  # fmt: skip
SEVERITIES = {"critical": "red", "high": "orange", "medium": "amber", "low": "ink3"}


class Row(View, frozen=True):
    """A run in the list."""

    number: int
    href: str
    stack: str
    status: str
    tone: str
    live: bool
    told: str
    counts: list[tuple[str, str, int]]
    """(class, sign, number)."""
    by: Who
    at: datetime
    took: str
    radius: int
    speculative: bool


class RunsPage(View, frozen=True):
    filters: list[Filter]
    items: list[Row]
    total: int
    more: str
    filtered: bool
    stacks: list[tuple[str, str]]
    """(reference, name) of stacks that can be run."""


class ChangeRow(View, frozen=True):
    """One change of the plan."""

    op: str
    sign: str
    verb: str
    address: str
    type: str
    diff: compare.Diff | None
    note: str
    outcome: str
    tone: str


class Broken(View, frozen=True):
    """A rule that is broken."""

    severity: str
    tone: str
    rule: str
    href: str
    address: str
    message: str
    remedy: str
    word: str


class Feels(View, frozen=True):
    """A thing in the blast radius."""

    icon: str
    name: str
    href: str
    category: str
    owner: str
    path: list[str]
    """From it to what is gone: ``names (alias)``, then the next one."""
    in_plan: bool


class RunPage(View, frozen=True):
    """A run, apart from its log."""

    row: Row
    why: str
    reason: str
    stack_href: str
    state_href: str
    plan_href: str
    plan_number: int
    plan_status: str
    steps: list[tuple[str, str, str]]
    """(label, state, icon)."""
    planned: bool
    changes: list[ChangeRow]
    more_changes: int
    drift: list[str]
    broken: list[Broken]
    rules: int
    problems: list[str]
    feels: list[Feels]
    feels_total: int
    owners: list[tuple[str, int]]
    gone: int
    complete: bool
    lacks: list[str]
    proof: str
    proven: bool
    facts: list[Fact]
    live: bool
    cancels: bool
    retries: bool


# ---- the list


def listed(kernel: Kernel, principal: Principal, asked: Query) -> RunsPage:
    """The runs of the filters, the newest first."""
    stack, status = asked.get("stack", ""), asked.get("status", "")
    with kernel.db.read() as connection:
        page = store.page(connection, stack=stack, status=status, limit=SHOWN, after=asked.get("after", ""))
        stacks = [s for s in declared.entities(connection, kind="Stack", orphan=False) if s.spec.get("source")]
    names = sorted((entity.ref, words.short_ref(entity.ref)) for entity in stacks)
    may = authorize.allowed_of(kernel, principal, RUN, [authorize.PLATFORM])[0]
    return RunsPage(
        filters=[
            filter_of(links.RUNS, asked, "stack", "stack", [(ref, None) for ref, _ in names], words.short_ref),
            filter_of(links.RUNS, asked, "status", "status", [(each, None) for each in store.STATUSES], str),
        ],
        items=[row(each) for each in page.items],
        total=page.total,
        more=href_of(links.RUNS, asked, after=page.after) if page.after else "",
        filtered=bool(stack or status),
        stacks=names if may else [],
    )


def row(run: Run) -> Row:
    """A run as a line."""
    counts = (run.summary or {}).get("counts") or {}
    ended = run.finished_at
    return Row(
        number=run.number,
        href=links.run(run.number),
        stack=words.short_ref(run.stack),
        status=run.status,
        tone=TONES.get(run.status, ""),
        live=run.status in (store.QUEUED, *store.AT_WORK),
        told=run.why or run.reason,
        counts=[(*OPS[name], counts[name]) for name in ("create", "update", "replace", "delete") if counts.get(name)],
        by=person(run.requested_by),
        at=run.requested_at,
        took=took(run.started_at, ended if run.ended or run.status == store.PLANNED else None),
        radius=((run.summary or {}).get("radius") or {}).get("total", 0),
        speculative=run.speculative,
    )


# ---- one run


def shown(kernel: Kernel, principal: Principal, run: Run) -> RunPage:
    """The page of a run apart from its log."""
    document = store.document(kernel, run.id)
    with kernel.db.read() as connection:
        target = store.target(connection, run.stack)
        radius = api.seen(connection, document) if document is not None else blast.NONE
    may = authorize.allowed_of(kernel, principal, CANCEL, [target])[0]
    outcomes = (run.outcomes or {}).get("changes") or {}
    changes = document.plan.changes if document is not None else ()
    verdict = document.verdict if document is not None else None
    proof = str((run.outcomes or {}).get("proof") or "")
    return RunPage(
        row=row(run),
        why=run.why,
        reason=run.reason,
        stack_href=links.entity(run.stack),
        state_href=links.state(run.state),
        plan_href=links.plan(run.plan_number) if run.plan_number else "",
        plan_number=run.plan_number,
        plan_status=run.plan_status,
        steps=_steps(run),
        planned=document is not None,
        changes=[_change(each, outcomes) for each in changes[:CHANGES_SHOWN]],
        more_changes=max(0, len(changes) - CHANGES_SHOWN),
        drift=_drift(document),
        broken=[_broken(each) for each in verdict.violations] if verdict is not None else [],
        rules=verdict.rules if verdict is not None else 0,
        problems=[problem.message for problem in verdict.problems] if verdict is not None else [],
        feels=[_feels(each) for each in radius.dependents[:RADIUS_SHOWN]],
        feels_total=radius.total,
        owners=[(words.short_ref(owner) or "nobody", count) for owner, count in radius.owners.items()],
        gone=len(radius.gone),
        complete=radius.complete,
        lacks=radius.lacks,
        proof=proof,
        proven=proof.startswith("proven"),
        facts=_facts(run, document),
        live=run.status in (store.QUEUED, *store.AT_WORK),
        cancels=may and not run.ended,
        retries=may and run.ended,
    )


def _steps(run: Run) -> list[tuple[str, str, str]]:
    planned = {store.QUEUED: "next", store.PLANNING: "now", store.FAILED: "bad", store.CANCELLED: "bad"}
    made = run.summary is not None
    first = "done" if made else planned.get(run.status, "next")
    checked = "bad" if run.status == store.REFUSED else "done" if made else "next"
    approved = {"waiting": "now", "rejected": "bad", "void": "bad", "expired": "bad", "withdrawn": "bad"}
    agreed = "next" if not run.plan_number else approved.get(run.plan_status, "done")
    states = {store.APPLYING: "now", store.APPLIED: "done"}
    applied = states.get(run.status, "bad" if run.plan_status == "failed" else "next")
    proof = str((run.outcomes or {}).get("proof") or "")
    proven = "next" if not proof else "done" if proof.startswith("proven") else "bad"
    steps = [("Planned", first), ("Checked", checked)]
    if not run.speculative and run.status != store.CLEAN:
        steps += [("Approved", agreed), ("Applied", applied), ("Proven", proven)]
    icons = {"done": "circle-check", "now": "circle-dot", "bad": "circle-x", "next": "circle-dashed"}
    return [(label, state, icons[state]) for label, state in steps]


def _change(change: Change, outcomes: dict[str, Any]) -> ChangeRow:
    op, sign = OPS.get(change.op.value, ("upd", "~"))
    before, after = change.before or {}, change.after or {}
    names: Sequence[str] = change.changed
    if not names:
        names = sorted(name for name, value in (after or before).items() if value not in (None, [], {}, ""))
    lines = [line for name in names for line in compare.attribute(name, before.get(name), after.get(name))]
    held, left = compare.cut(lines)
    notes = [f"and {words.plural(left, 'line')} more"] if left else []
    told = [f"a new one, forced by {', '.join(change.forces)}"] if change.forces else []
    told += [f"moved from {change.previous_address}"] if change.previous_address else []
    told += ["imported"] if change.imported else []
    outcome = outcomes.get(change.address) or {}
    return ChangeRow(
        op=op,
        sign=sign,
        verb=change.op.value,
        address=change.address,
        type=change.type,
        diff=compare.Diff("", "", held, notes) if held else None,
        note="; ".join([*told, *([outcome["told"]] if outcome.get("status") == "failed" else [])]),
        outcome=str(outcome.get("status", "")),
        tone="red" if outcome.get("status") == "failed" else "green" if outcome else "",
    )


def _drift(document: Document | None) -> list[str]:
    found = document.plan.drift if document is not None else ()
    return [f"{each.address}: {', '.join(each.changed) or each.op.value}" for each in found[:DRIFT_SHOWN]]


def _broken(each: Violation) -> Broken:
    return Broken(
        severity=each.severity.value,
        tone=SEVERITIES.get(each.severity.value, "ink3"),
        rule=each.rule,
        href=links.rule(each.rule),
        address=each.address,
        message=each.message,
        remedy=each.remedy,
        word="exempt" if each.exemption else "stops it" if each.mandatory else "to look at",
    )


def _feels(each: blast.Dependent) -> Feels:
    hidden = each.subject == "hidden"
    declared_only = "#" in each.subject
    href = "" if hidden else links.entity(each.stack) if declared_only else links.subject(each.subject)
    path: list[str] = []
    for hop in each.path:
        target = hop.target.partition("#")[2] or urns.short(hop.target)
        path.append(f"{hop.kind} {target}" + (f" ({hop.evidence})" if hop.evidence else ""))
    return Feels(
        icon=ICONS.get(each.category, "box"),
        name=each.name,
        href=href,
        category=each.category,
        owner=words.short_ref(each.owner) or "nobody",
        path=path,
        in_plan=each.in_plan,
    )


def _facts(run: Run, document: Document | None) -> list[Fact]:
    told = [
        Fact(label="Asked for", value=words.stamp(run.requested_at)),
        Fact(label="By", value=words.short_ref(run.requested_by)),
        Fact(label="Through", value=run.origin),
        Fact(label="State", value=run.state),
        Fact(label="Planned from", value=f"serial {run.serial}" if run.serial >= 0 else ""),
        Fact(label="Revision", value=run.revision[:12], mono=True),
        Fact(label="Plan file", value=run.plan_sha256[:16], mono=True),
        Fact(label="Terraform", value=document.plan.terraform_version if document is not None else ""),
    ]
    return [fact for fact in told if fact.value]


# ---- routes


def _number(request: Asked) -> str:
    return str(request.path_params["id"])


def show_runs(at: Frame, request: Asked) -> Answer:
    view = listed(at.kernel, identify.principal_of(request), query(request))
    return at.page(request, "runs.html", section=links.RUNS, view=view)


def show_run(at: Frame, request: Asked) -> Answer:
    """A run with the end of its log; while it is at work the page follows it."""
    with at.kernel.db.read() as connection:
        run = store.seen(connection, _number(request))
        last = store.last_line(connection, run.id)
        lines = store.lines(connection, run.id, after=max(0, last - LINES_SHOWN))
    view = shown(at.kernel, identify.principal_of(request), run)
    left = lines[0].line - 1 if lines else 0
    return at.page(request, "run.html", section=links.RUNS, view=view, lines=lines, last=last, left=left)


def raw_log(at: Frame, request: Asked) -> Answer:
    """The whole log as text, a line each: time, phase, level, message."""
    with at.kernel.db.read() as connection:
        run = store.seen(connection, _number(request))

    def pages() -> Iterator[bytes]:
        after = 0
        while True:
            with at.kernel.db.read() as connection:
                lines = store.lines(connection, run.id, after=after)
            if not lines:
                return
            after = lines[-1].line
            yield "".join(f"{codec.iso(x.at)} {x.phase:<5} {x.level:<7} {x.message}\n" for x in lines).encode()

    return Stream(pages(), media_type="text/plain; charset=utf-8", headers={"cache-control": "no-store"})


async def run_events(at: Frame, request: Asked) -> Answer:
    """What changes of a run: ``part`` is its page anew, ``lines`` are new lines of its log, ``end`` is the last."""
    principal = identify.principal_of(request)
    looker = _Look(at.kernel, principal, _number(request), last_line(request))
    first = await sync_to_thread(looker)
    return Stream(stream(partial(looker), first), media_type="text/event-stream", headers=STREAM)


class _Look:
    """One who follows a run."""

    def __init__(self, kernel: Kernel, principal: Principal, id: str, after: int) -> None:
        with kernel.db.read() as connection:
            self._id = store.seen(connection, id).id
        self._kernel, self._principal = kernel, principal
        self._follower = Follower(kernel, self._id, after)

    def __call__(self) -> tuple[list[bytes], bool, bool]:
        run, lines, behind = self._follower.look()
        out: list[bytes] = []
        if run is not None:
            view = shown(self._kernel, self._principal, run)
            out.append(event("part", render("_run.html", view=view).decode()))
        if lines:
            out.append(event("lines", render("_log.html", lines=lines).decode(), str(lines[-1].line)))
        if self._follower.finished:
            out.append(event("end", run.status if run is not None else ""))
        return out, self._follower.finished, behind


def begin(at: Frame, request: Asked, form: Form) -> Answer:
    """Asks for a run of a stack and shows it."""
    wanted = ask.Asked(reason=form.get("reason")[:500], speculative=form.get("speculative") == "yes")
    run = ask.start(at.kernel, identify.principal_of(request), form.get("stack"), wanted, origin="console")
    return redirect(links.run(run.number))


def _touched(at: Frame, request: Asked) -> tuple[Principal, Run]:
    principal = identify.principal_of(request)
    with at.kernel.db.read() as connection:
        run = store.get(connection, _number(request))
        target = store.target(connection, run.stack)
    authorize.require(at.kernel, principal, CANCEL, target)
    return principal, run


def cancel(at: Frame, request: Asked, form: Form) -> Answer:
    del form
    principal, run = _touched(at, request)
    ask.cancel(at.kernel, principal, run.id)
    return redirect(links.run(run.number))


def retry(at: Frame, request: Asked, form: Form) -> Answer:
    del form
    principal, run = _touched(at, request)
    return redirect(links.run(ask.again(at.kernel, principal, run.id, origin="console").number))


PAGES = (
    Page(links.RUNS, show_runs, SEE),
    Page(links.RUNS + "/{id:str}", show_run, SEE),
    Page(links.RUNS + "/{id:str}/events", run_events, SEE),
    Page(links.RUNS + "/{id:str}/log", raw_log, "jobs.read"),
    Act(links.RUNS, begin, "self.change"),
    Act(links.RUNS + "/{id:str}/cancel", cancel, "self.change"),
    Act(links.RUNS + "/{id:str}/retry", retry, "self.change"),
)
