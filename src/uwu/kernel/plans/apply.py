"""Applying a plan: a durable job, one recorded step a change, and a fresh observation as the proof.

A step in flight at a kill runs again, so a planner's ``apply`` checks before it writes; a recorded one never does.
"""

from __future__ import annotations

import logging
from typing import Any

import sqlalchemy as sa

from uwu.kernel import audit, authorize, aws_errors, codec, domain, drift, entropy, ownership, sight, tables
from uwu.kernel.db import upsert
from uwu.kernel.errors import Conflict, Problem, UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.jobs import Job, Run
from uwu.kernel.model import UNRESOLVED, FindingStatus
from uwu.kernel.plans import approve, notices, store
from uwu.kernel.plans.model import Done, Step, require_apply_role
from uwu.kernel.plans.store import APPLIED, APPLYING, APPROVED, BEGUN, FAILED, Stored
from uwu.kernel.runtime import Kernel

JOB = "plans.apply"

_log = logging.getLogger("uwu.plans")


def start(kernel: Kernel, principal: Principal, id: str, *, hash: str = "") -> str:
    """Begins to apply an approved plan and gives the id of its job. Asked again while it is applied: the same job.

    Raises ``Denied``, ``Misconfigured`` (code ``apply-off``), or ``Conflict``: ``plan-not-approved``, ``plan-changed``
    for another hash than that which was looked at, ``plan-outdated`` (it is then void), ``plan-overlap`` while another
    plan changes one of its subjects.
    """
    with kernel.db.read() as connection:
        stored = store.get(connection, id)
    authorize.require(kernel, principal, "plans.apply", approve.target_of(stored))
    planner, _ = approve.planner_of(kernel, stored.planner)
    if planner.in_aws:
        require_apply_role(kernel.settings.aws.apply_role_name, kernel.settings.aws.role_name)
    if hash and hash != stored.hash:
        raise Conflict(
            f"this is not the plan that you looked at: plan {stored.number} has the hash {stored.hash}",
            code="plan-changed",
            place="/hash",
            hint="look at it again and apply it with its hash",
        )
    if stored.status != APPLYING:
        _require_approved(stored)
        approve.require_current(kernel, stored, principal.ref)
        stored = _begin(kernel, principal, stored.id)
    # the id stands in the plan's row: where the process died before this line, asking again brings the job into being
    kernel.jobs.enqueue(JOB, {"plan": stored.id}, id=stored.job, requested_by=stored.applied_by)
    return stored.job


def _require_approved(stored: Stored) -> None:
    if stored.status != APPROVED:
        why = f" ({stored.why})" if stored.why else ""
        raise Conflict(
            f"plan {stored.number} is {stored.status}{why}: only an approved one is applied",
            code="plan-not-approved",
            hint=f"uwu plan show {stored.number} tells who must approve" if stored.status == store.WAITING else "",
        )


def _begin(kernel: Kernel, principal: Principal, id: str) -> Stored:
    p = tables.plans
    with sight.everything(), kernel.db.write() as connection:
        store.serialize(connection)
        stored = store.get(connection, id, lock=True)
        if stored.status == APPLYING:
            return stored
        _require_approved(stored)
        other = _overlapping(connection, stored)
        if other is not None:
            raise Conflict(
                f"plan {other.number} is being applied and changes {_common(other, stored)} too",
                code="plan-overlap",
                hint="wait until it has ended; this plan may then have to be made anew",
            )
        job = codec.new_id("job")
        values = {"status": APPLYING, "job": job, "applied_by": principal.ref, "why": ""}
        connection.execute(p.update().where(p.c.id == stored.id).values(values))
        audit.append(
            connection,
            actor=principal.ref,
            action="plan.apply",
            subject=stored.id,
            detail={"number": stored.number, "hash": stored.hash, "job": job},
        )
        return store.get(connection, stored.id)


def _overlapping(connection: sa.Connection, stored: Stored) -> Stored | None:
    p, s = tables.plans, tables.plan_subjects
    mine = sa.select(s.c.subject).where(s.c.plan == stored.id)
    query = sa.select(p.c.id).where(
        store.status_at(codec.now()) == APPLYING,
        p.c.id.in_(sa.select(s.c.plan).where(s.c.subject.in_(mine), s.c.plan != stored.id)),
    )
    id = connection.scalars(query.limit(1)).first()
    return store.get(connection, id) if id is not None else None


def _common(one: Stored, other: Stored) -> str:
    return next(subject for subject in one.plan.subjects if subject in other.plan.subjects)


# ---- the job


def _apply(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    id = str(arguments["plan"])
    run.progress("checking")
    checked = run.step(check, run.kernel, id, run.id, name="check")
    if checked["why"]:
        run.log(checked["why"], level="error")
        return {"plan": id, "status": checked["status"], "why": checked["why"]}
    total = int(checked["changes"])
    run.log(f"what is declared and observed is what was approved: {checked['hash']}")
    failed = 0
    for number in range(total):
        run.progress("applying", number, total)
        told = run.step(apply_one, run.kernel, id, number, name=f"change {number + 1}")
        run.log(
            f"{number + 1} of {total} {told['status']}: {told['title']}",
            level="error" if told["status"] == "failed" else "info",
            data={"subject": told["subject"], "note": told["note"], "problem": told["problem"]},
        )
        if told["status"] == "failed":
            failed += 1
            if not told["harmless"]:
                run.log(f"stopped: {total - number - 1} not begun", level="error")
                break
    run.progress("applying", total, total)
    run.progress("observing")
    for problem in run.step(observe, run.kernel, id, name="observe"):
        run.log(f"{problem['message']} [{problem['code']}]", level="warning", data=problem)
    run.progress("judging")
    result = run.step(finish, run.kernel, id, checked["findings"], name="finish")
    for finding in result["closed"]:
        run.log(f"closed: {finding['title']}", data=finding)
    for finding in result["open"]:
        run.log(f"still open: {finding['title']}", level="warning", data=finding)
    return {"plan": id, **result}


JOBS = (Job(JOB, _apply),)


# ---- its steps: each may run again after a kill


def check(kernel: Kernel, id: str, job: str) -> dict[str, Any]:
    """Observes what the plan touches and holds it against what was approved, before anything is written.

    Gives why nothing may be applied, or the number of changes and the findings that are open on its subjects.
    """
    with kernel.db.read() as connection:
        stored = store.get(connection, id)
    if stored.status != APPLYING:
        return {"why": f"plan {stored.number} is {stored.status}", "status": stored.status}
    if stored.job != job:
        return {"why": f"plan {stored.number} is applied by {stored.job}, not by this job", "status": stored.status}
    planner, _ = approve.planner_of(kernel, stored.planner)
    try:
        problems: list[Problem] = list(domain.load(planner.observe)(kernel, stored.plan.subjects))
    except UwuError as error:
        problems = [error.problem]
    if problems:
        why = f"what it touches could not be observed, and nothing was applied: {problems[0].message}"
        _back_to_approved(kernel, stored, why)
        return {"why": why, "status": APPROVED}
    why = approve.outdated(kernel, stored)
    if why:
        approve.void(kernel, stored.id, why, stored.applied_by)
        return {"why": f"plan {stored.number} is void: {why}", "status": store.VOID}
    with kernel.db.read() as connection:
        findings = _findings(connection, stored)
    return {"why": "", "hash": stored.hash, "changes": len(stored.plan.changes), "findings": findings}


def _back_to_approved(kernel: Kernel, stored: Stored, why: str) -> None:
    p = tables.plans
    with kernel.db.write() as connection:
        held = store.get(connection, stored.id, lock=True)
        if held.status != APPLYING:
            return
        connection.execute(p.update().where(p.c.id == stored.id).values(status=APPROVED, why=why))
        detail = {"number": stored.number, "job": stored.job, "why": why}
        audit.append(connection, actor=stored.applied_by, action="plan.put-off", subject=stored.id, detail=detail)


def _findings(connection: sa.Connection, stored: Stored) -> list[str]:
    f = tables.findings
    found: set[str] = set()
    subjects = stored.plan.subjects
    for start in range(0, len(subjects), 500):
        query = sa.select(f.c.id).where(f.c.subject.in_(subjects[start : start + 500]), f.c.status.in_(UNRESOLVED))
        found.update(connection.scalars(query))
    return sorted(found | {c.reason for c in stored.plan.changes if c.reason.startswith("f_")})


def apply_one(kernel: Kernel, id: str, number: int) -> dict[str, Any]:
    """Applies one change and keeps how it went; what goes wrong is an outcome, never raised."""
    o = tables.plan_outcomes
    with kernel.db.write() as connection:
        stored = store.get(connection, id)
        where = (o.c.plan == stored.id, o.c.number == number)
        interrupted = connection.execute(sa.select(o.c.status).where(*where)).scalar() == BEGUN
        begun = {"plan": stored.id, "number": number, "status": BEGUN, "note": "", "problem": None, "at": codec.now()}
        upsert(connection, o, [begun])
    change = stored.plan.changes[number]
    planner, _ = approve.planner_of(kernel, stored.planner)
    problem: Problem | None = None
    try:
        done: Done = domain.load(planner.apply)(Step(kernel, stored.id, stored.number, number), change)
        # what an interrupted try did is ours: it is found done, and taking the plan back takes it back too
        status = "already" if done.already and not interrupted else "done"
        note = f"{done.note}; begun before an interruption" if done.already and interrupted else done.note
    except UwuError as error:
        status, note, problem = "failed", "", error.problem
    except Exception as error:  # a planner's own defect must end as this change's failure, told in the plan
        _log.exception("change %d of plan %s failed", number, id)
        status, note = "failed", ""
        problem = Problem("change-failed", f"{type(error).__name__}: {aws_errors.clean(str(error))}")
    told: dict[str, Any] = {"status": status, "note": note, "problem": codec.builtins(problem) if problem else None}
    with kernel.db.write() as connection:
        upsert(connection, o, [{"plan": stored.id, "number": number, "at": codec.now(), **told}])
    return {**told, "title": change.title, "subject": change.subject, "harmless": change.harmless}


def observe(kernel: Kernel, id: str) -> list[dict[str, Any]]:
    """Observes what the plan touched, settles ownership and judges again; gives what could not be observed."""
    with kernel.db.read() as connection:
        stored = store.get(connection, id)
    planner, _ = approve.planner_of(kernel, stored.planner)
    try:
        problems: list[Problem] = list(domain.load(planner.observe)(kernel, stored.plan.subjects))
    except UwuError as error:
        problems = [error.problem]
    ownership.settle(kernel)
    drift.judge(kernel)
    entropy.record(kernel)
    p = tables.plans
    outcome = {"observed_at": None if problems else codec.iso(codec.now()), "problems": codec.builtins(problems)}
    with kernel.db.write() as connection:
        connection.execute(p.update().where(p.c.id == stored.id).values(outcome=outcome))
    return codec.builtins(problems)


def finish(kernel: Kernel, id: str, findings: list[str]) -> dict[str, Any]:
    """Ends the plan: applied or failed, what was done of it, and which of ``findings`` the observation closed."""
    p, f = tables.plans, tables.findings
    with kernel.db.write() as connection:
        stored = store.get(connection, id, lock=True)
        done = store.outcomes(connection, stored.id)
        counts = {status: sum(o.status == status for o in done.values()) for status in ("done", "already", "failed")}
        counts["not begun"] = len(stored.plan.changes) - len(done)
        closed: list[dict[str, Any]] = []
        opened: list[dict[str, Any]] = []
        columns = (f.c.id, f.c.rule, f.c.subject, f.c.path, f.c.title, f.c.status)
        for start in range(0, len(findings), 500):
            query = sa.select(*columns).where(f.c.id.in_(findings[start : start + 500])).order_by(f.c.id)
            for row in connection.execute(query).mappings():
                (closed if row["status"] == FindingStatus.CLOSED.value else opened).append(dict(row))
        status = FAILED if counts["failed"] or counts["not begun"] else APPLIED
        result = {"status": status, "counts": counts, "closed": closed, "open": opened}
        if stored.status != APPLYING:
            return result
        first = next((o for o in done.values() if o.status == "failed"), None)
        why = ""
        if first is not None:
            told = first.problem.message if first.problem is not None else ""
            why = f"change {first.number + 1} of {len(stored.plan.changes)} failed: {told}"
        outcome = {**(stored.outcome or {}), **result}
        values = {"status": status, "why": why, "finished_at": codec.now(), "outcome": outcome}
        connection.execute(p.update().where(p.c.id == stored.id).values(values))
        audit.append(
            connection,
            actor=stored.applied_by,
            action=f"plan.{status}",
            subject=stored.id,
            detail={
                "number": stored.number,
                "job": stored.job,
                "counts": counts,
                "closed": [finding["id"] for finding in closed],
                "why": why,
            },
        )
        notices.turned(connection, stored, status, why)
        return result
