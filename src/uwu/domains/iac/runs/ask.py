"""Asking for runs, cancelling them, trying them again."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from uwu.domains.iac.actions import RUN
from uwu.domains.iac.runs import execute, store
from uwu.domains.iac.runs.sandbox import Stopped
from uwu.domains.iac.runs.store import Run
from uwu.kernel import audit, authorize, codec, sight
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.jobs import Job
from uwu.kernel.jobs import Run as JobRun
from uwu.kernel.plans import approve
from uwu.kernel.runtime import Kernel

JOB = "iac.plan"
TURN_SECONDS = 6 * 3600
"""How long a run waits for its turn before it gives up."""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A run that is asked for."""

    reason: str = ""
    """Why, for those who approve."""
    destroy: bool = False
    """Plan to destroy all that the state holds."""
    speculative: bool = False
    """Only look: it is never applied."""
    revision: str = ""
    """A commit, where the configuration lies in a repository; its own ref where none is given."""
    force: bool = False
    """Pass the safety limit of plans; for admins."""
    refresh_only: bool = False
    """Look for what was changed outside of Terraform, and for nothing else: it is speculative."""


def start(
    kernel: Kernel,
    principal: Principal,
    stack_name: str,
    asked: Asked,
    *,
    origin: str,
    vouched: bool = False,
    **more: Any,
) -> Run:
    """Asks for a run of a stack, by its reference or name. ``vouched``: a signature said already that it may be; such
    a run is speculative.

    Raises ``BadInput``, ``NotFound``, ``Denied``, ``Conflict`` where its state is not kept here."""
    with kernel.db.read() as connection:
        stack = store.stack_of(connection, stack_name)
        target = store.target(connection, stack.ref)
    if asked.refresh_only and asked.destroy:
        raise BadInput("a run that looks for drift destroys nothing", code="request-invalid", place="/destroy")
    if not (vouched and asked.speculative):
        authorize.require(kernel, principal, RUN, target)
    if asked.force:
        authorize.require(kernel, principal, "plans.force")
    job = codec.new_id("job")
    with kernel.db.write() as connection:
        id = store.insert(
            connection,
            principal,
            {
                "stack": stack.ref,
                "state": store.state_of(stack),
                "speculative": asked.speculative or asked.refresh_only,
                "refresh_only": asked.refresh_only,
                "destroy": asked.destroy,
                "forced": asked.force,
                "origin": origin,
                "revision": asked.revision,
                "reason": asked.reason.strip(),
                "job": job,
                **more,
            },
        )
        run = store.get(connection, id)
        detail = {"number": run.number, "stack": run.stack, "destroy": run.destroy, "speculative": run.speculative}
        audit.append(connection, actor=principal.ref, action="iac.run.request", subject=id, detail=detail)
    kernel.jobs.enqueue(JOB, {"run": id}, id=job, requested_by=principal.ref)
    return run


def cancel(kernel: Kernel, principal: Principal, id: str) -> Run:
    """Stops a run: what waits never begins, what is at work is interrupted and ends what it has begun, a plan that
    waits for approval is withdrawn. Raises ``Conflict`` where it has ended."""
    with kernel.db.read() as connection:
        run = store.get(connection, id)
    if run.ended:
        raise Conflict(f"run {run.number} is {run.status}: there is nothing to cancel", code="run-ended")
    if run.status == store.PLANNED:
        if run.plan:
            approve.withdraw(kernel, principal, run.plan)
        values = {"status": store.DISCARDED, "why": f"withdrawn by {principal.ref}"}
    elif run.status == store.QUEUED:
        values = {"status": store.CANCELLED, "why": f"cancelled by {principal.ref}", "finished_at": codec.now()}
    else:
        values = {}
    with kernel.db.write() as connection:
        store.update(connection, run.id, cancelled_by=principal.ref, **values)
        detail = {"number": run.number, "stack": run.stack, "was": run.status}
        audit.append(connection, actor=principal.ref, action="iac.run.cancel", subject=run.id, detail=detail)
        store.tidy(connection, run.stack)
        return store.get(connection, run.id)


def again(kernel: Kernel, principal: Principal, id: str, *, origin: str) -> Run:
    """Asks for the same once more: of the same revision, where it is a repository's. Raises ``Conflict`` while it is
    not at its end, and as ``start``."""
    with kernel.db.read() as connection:
        run = store.get(connection, id)
    if not run.ended:
        raise Conflict(f"run {run.number} is {run.status}: it has not ended", code="run-not-ended")
    wanted = Asked(
        reason=run.reason,
        destroy=run.destroy,
        speculative=run.speculative,
        revision=run.revision,
        force=run.forced,
        refresh_only=run.refresh_only,
    )
    return start(kernel, principal, run.stack, wanted, origin=origin, retries=run.id, pull_request=run.pull_request)


# ---- the job


def _turn(kernel: Kernel, id: str) -> str:
    """Takes the run's turn, or says whose it is; empty once it is its own."""
    with kernel.db.write() as connection:
        run = store.get(connection, id)
        if run.status == store.CANCELLED or run.cancelled_by:
            raise Stopped(f"run {run.number} was cancelled before it began")
        if run.status not in (store.QUEUED, store.PLANNING):
            return ""
        other = store.turn(connection, run, store.PLANNING)
    return f"run {other.number} of the same stack" if other is not None else ""


def _plan(job: JobRun, arguments: dict[str, Any]) -> dict[str, Any]:
    id = str(arguments["run"])
    with sight.everything():
        waited = job.step(_wait, job.kernel, id, name="turn")
        if waited:
            return {"run": id, "status": store.CANCELLED, "why": waited}
        job.progress("planning")
        told = job.step(execute.planned, job.kernel, id, name="plan")
        job.log(f"{told['status']}{': ' + told['why'] if told['why'] else ''}")
        asked = job.step(execute.ask, job.kernel, id, name="ask")
    return {"run": id, **told, "plan": asked["plan"]}


def _wait(kernel: Kernel, id: str) -> str:
    """Waits for the run's turn; gives why it will not come."""
    until, pause = time.monotonic() + TURN_SECONDS, 0.1
    while True:
        try:
            whose = _turn(kernel, id)
        except Stopped as stopped:
            with kernel.db.write() as connection:
                store.update(connection, id, status=store.CANCELLED, why=stopped.problem.message)
            return stopped.problem.message
        except NotFound as error:
            return error.problem.message
        if not whose:
            return ""
        if time.monotonic() > until:
            why = f"it waited {TURN_SECONDS // 3600} hours for {whose}"
            with kernel.db.write() as connection:
                store.update(connection, id, status=store.FAILED, why=why, finished_at=codec.now())
            return why
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0)


JOBS = (Job(JOB, _plan, action=RUN),)
