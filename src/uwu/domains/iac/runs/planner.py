"""How the kernel approves, applies and proves what a run has planned. See ``uwu.kernel.plans``.

The first change of such a plan is the plan file, by its SHA-256: applying it runs Terraform. The others are what the
file changes, one for each resource: who owns them must agree, and each tells how it went.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uwu.domains.iac import observe as states
from uwu.domains.iac import state_store
from uwu.domains.iac.blast import Dependent, Radius
from uwu.domains.iac.plan_json import GONE, UNKNOWN, Change, Op
from uwu.domains.iac.runs import execute, store, tools
from uwu.kernel import codec, urns
from uwu.kernel.errors import BadInput, Conflict, Problem, Unavailable, UwuError
from uwu.kernel.plans import Action, Affected, Done, Plan, PlannedChange, Step
from uwu.kernel.runtime import Kernel

NAME = "terraform"
_ACTIONS = {
    Op.CREATE: Action.CREATE,
    Op.UPDATE: Action.UPDATE,
    Op.REPLACE: Action.REPLACE,
    Op.DELETE: Action.DELETE,
    Op.FORGET: Action.UPDATE,
}
_RANK = (Action.DELETE, Action.REPLACE, Action.UPDATE, Action.CREATE)
SHOWN = 12
"""Attributes of one change that are shown with it."""


def plan(kernel: Kernel, request: Mapping[str, Any]) -> Plan:
    """The plan of ``{"run": id}``: what its plan file changes. Raises ``BadInput``, ``NotFound``, ``Conflict``."""
    if set(request) != {"run"}:
        raise BadInput(
            "a run is asked for by its id", code="request-invalid", place="/request", hint='{"run": "run_..."}'
        )
    with kernel.db.read() as connection:
        run = store.get(connection, str(request["run"]))
        owner = store.owner_of(connection, run.stack)
    if run.status not in (store.PLANNED, store.APPLYING, store.APPLIED, store.FAILED) or run.speculative:
        kind = "speculative" if run.speculative else run.status
        raise Conflict(f"run {run.number} is {kind}: it is not applied", code="run-not-planned", hint="uwu iac plan")
    document = store.document(kernel, run.id)
    if document is None:
        raise Conflict(f"run {run.number} has no plan", code="run-not-planned", hint="uwu iac plan")
    found = [
        _change(each, document.subjects, run.stack, owner) for each in document.plan.changes if each.op in _ACTIONS
    ]
    actions = {change.action for change in found}
    counts = document.plan.counts
    whole = PlannedChange(
        subject=run.stack,
        action=next((action for action in _RANK if action in actions), Action.UPDATE),
        title=f"apply the plan file of run {run.number}, SHA-256 {run.plan_sha256[:12]}",
        after={"plan_sha256": run.plan_sha256, "config_sha256": run.config_sha256, "run": run.id},
        reason=run.id,
        owner=owner,
        harmless=True,  # the changes after it only tell how it went
    )
    version = tools.state_version(kernel, run.state)
    now = [version.serial, version.lineage] if version is not None else [-1, ""]
    name = run.stack.rpartition("/")[2]
    title = f"Terraform {name}: {counts['create']} to create, {counts['update']} to update"
    title += f", {counts['replace']} to replace, {counts['delete']} to destroy"
    return Plan(
        domain="iac",
        title=title,
        changes=(whole, *found),
        declared_hash=codec.digest([run.config_sha256, run.plan_sha256]),
        observed_hash=codec.digest(now),
        subjects_total=document.plan.managed + 1,  # the stack itself is one
        affected=tuple(affected(document.radius)),
    )


def _change(change: Change, subjects: Mapping[str, str], stack: str, owner: str) -> PlannedChange:
    before, after = change.before or {}, change.after or {}
    names = change.changed[:SHOWN] if change.changed else ()
    forced = f", forced by {', '.join(change.forces)}" if change.forces and change.op in GONE else ""
    return PlannedChange(
        subject=subjects.get(change.address) or f"{stack}#{change.address}",
        action=_ACTIONS[change.op],
        title=f"{change.op.value} {change.address}{forced}",
        before={name: before.get(name) for name in names} or None,
        after={name: after.get(name, UNKNOWN) for name in names} or None,
        owner=owner,
        harmless=True,
    )


def affected(radius: Radius) -> list[Affected]:
    """The nearest dependent of each owner: what an approver is asked for, and why."""
    nearest: dict[str, Dependent] = {}
    for each in radius.dependents:
        nearest.setdefault(each.owner, each)
    return [
        Affected(subject=each.subject, owner=owner, why=told(each)) for owner, each in sorted(nearest.items()) if owner
    ]


def told(each: Dependent) -> str:
    """The path of a dependent, for people: ``pay.example.com names pay-alb``."""
    words = [each.name]
    for hop in each.path:
        target = hop.target.partition("#")[2] or urns.short(hop.target)
        words += [hop.kind, target]
    return " ".join(words)


def apply(step: Step, change: PlannedChange) -> Done:
    """Applies the plan file, or tells how it went with one resource. Raises ``UwuError``."""
    from uwu.kernel.plans import store as plans

    with step.kernel.db.read() as connection:
        stored = plans.get(connection, step.plan)
        run = store.get(connection, str(stored.request["run"]))
    if step.number == 0:
        done = execute.applied(step.kernel, run.id, str((change.after or {}).get("plan_sha256", "")), stored.applied_by)
        return Done(note=str(done["note"]), already=bool(done["already"]))
    address = change.title.partition(" ")[2].partition(", forced by ")[0]
    outcome = ((run.outcomes or {}).get("changes") or {}).get(address)
    if outcome is not None and outcome["status"] == "failed":
        raise Unavailable(str(outcome["told"]) or "it failed", code="run-change", hint=f"uwu iac log {run.number}")
    if outcome is not None:
        return Done(note=f"terraform: {outcome['told'] or 'done'}")
    if run.status == store.APPLIED:
        return Done(note="terraform: done with the plan file")
    raise Conflict("Terraform did not come to it", code="run-change", hint=f"uwu iac log {run.number}")


def observe(kernel: Kernel, subjects: Sequence[str]) -> Sequence[Problem]:
    """Reads the states of the stacks among ``subjects`` anew into what is declared."""
    stacks = {subject for subject in subjects if subject.startswith("stack:") and "#" not in subject}
    problems: list[Problem] = []
    for ref in sorted(stacks):
        with kernel.db.read() as connection:
            key = store.state_of(store.stack_of(connection, ref))
        if tools.state_version(kernel, key) is None:
            continue
        try:
            state_store.current_content(kernel, f"{state_store.SCHEME}{key}")
        except UwuError as error:
            problems.append(error.problem)
    if not problems:
        states.read_states(kernel)
    return problems
