"""Looking for drift by itself: the stacks that say how often, each when its time has come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from uwu.domains.iac import tables
from uwu.domains.iac.actions import RUN
from uwu.domains.iac.declare import drift_minutes
from uwu.domains.iac.runs import ask, store
from uwu.kernel import codec, declared, sight
from uwu.kernel.errors import UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel

JOB = "iac.drift"
DRIFT = Principal(ref="service:default/drift", name="drift", kind="service")
"""In whose name these runs are: they change nothing, and the stack's owner has declared them."""


def due(connection: sa.Connection) -> list[str]:
    """The stacks whose last look is older than their ``drift.every``, and that no look is waiting for."""
    r, now = tables.runs, codec.now()
    query = sa.select(r.c.stack, sa.func.max(r.c.requested_at)).where(r.c.refresh_only).group_by(r.c.stack)
    last = {row[0]: row[1] for row in connection.execute(query)}
    found: list[str] = []
    for stack in declared.entities(connection, kind="Stack", orphan=False):
        minutes = drift_minutes(stack)
        if minutes and (stack.ref not in last or last[stack.ref] <= now - timedelta(minutes=minutes)):
            found.append(stack.ref)
    return sorted(found)


def is_due(kernel: Kernel) -> bool:
    """Whether a stack's time has come."""
    with sight.everything(), kernel.db.read() as connection:
        return bool(due(connection))


def _look(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
    with sight.everything():
        with run.kernel.db.read() as connection:
            stacks = due(connection)
        told = run.step(_begin, run.kernel, stacks, name="begin")
    for problem in told["problems"]:
        run.log(problem, level="warning")
    return told


def _begin(kernel: Kernel, stacks: list[str]) -> dict[str, Any]:
    begun: list[int] = []
    problems: list[str] = []
    wanted = ask.Asked(reason="the stack's drift.every", refresh_only=True, speculative=True)
    for stack in stacks:
        with kernel.db.read() as connection:
            page = store.page(connection, stack=stack, limit=20)
        if any(each.refresh_only and not each.ended for each in page.items):
            continue
        try:
            begun.append(ask.start(kernel, DRIFT, stack, wanted, origin="schedule", vouched=True).number)
        except UwuError as error:
            problems.append(f"{stack}: {error.problem.message} [{error.problem.code}]")
    return {"runs": begun, "problems": problems}


JOBS = (Job(JOB, _look, concurrency=1, action=RUN),)
