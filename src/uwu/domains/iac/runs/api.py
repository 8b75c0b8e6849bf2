"""Runs over HTTP, under ``/api/v1``: asking for them, what they found out, their logs; applying is the plan's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from uwu.domains.iac.actions import CANCEL, RUN
from uwu.domains.iac.blast import Dependent, Hop, Radius
from uwu.domains.iac.declare import ignored
from uwu.domains.iac.drift import found as drifts
from uwu.domains.iac.drift.found import Drifted
from uwu.domains.iac.plan_json import Change, Output
from uwu.domains.iac.policy.model import Violation
from uwu.domains.iac.runs import ask, store
from uwu.domains.iac.runs.ask import Asked
from uwu.domains.iac.runs.store import Document, Line, Run, RunPage
from uwu.kernel import declared, sight
from uwu.kernel import tables as world
from uwu.kernel.authorize import Target
from uwu.kernel.errors import NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

SEE = {"action": "world.read"}
MOST_CHANGES = 5_000


def _target(kernel: Kernel, params: Mapping[str, Any]) -> Target:
    with kernel.db.read() as connection:
        return store.target(connection, store.get(connection, params["id"]).stack)


def _stack(kernel: Kernel, params: Mapping[str, Any]) -> Target:
    with kernel.db.read() as connection:
        return store.target(connection, store.stack_of(connection, f"{params['namespace']}/{params['name']}").ref)


TOUCH: dict[str, Any] = {"action": CANCEL, "on": _target}
ASK: dict[str, Any] = {"action": RUN, "on": _stack}


class Started(msgspec.Struct, frozen=True):
    """The job that plans, and the run."""

    id: str
    run: Run


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found out, without secrets."""

    run: Run
    terraform_version: str
    changes: Sequence[Change]
    changes_total: int
    drift: Sequence[Change]
    drifted: Sequence[Drifted]
    """The same, attribute by attribute, outputs too; noise is marked with its rule."""
    outputs: Sequence[Output]
    violations: Sequence[Violation]
    radius: Radius


class Log(msgspec.Struct, frozen=True):
    """Lines of a run's log; ``last`` is the number of the last of them."""

    items: list[Line]
    last: int


@get("/iac/runs", sync_to_thread=True, opt=SEE)
def list_runs(
    kernel: NamedDependency[Kernel],
    stack: FromQuery[str] = "",
    status: FromQuery[str] = "",
    limit: Annotated[FromQuery[int], Meta(ge=1, le=500)] = 50,
    after: FromQuery[str] = "",
) -> RunPage:
    """Runs, the newest first; of one stack, or of one status."""
    with kernel.db.read() as connection:
        ref = store.stack_of(connection, stack).ref if stack else ""
        return store.page(connection, stack=ref, status=status, limit=limit, after=after)


@get("/iac/runs/{id:str}", sync_to_thread=True, opt=SEE)
def get_run(kernel: NamedDependency[Kernel], id: FromPath[str]) -> Run:
    """One run by its id or its number."""
    with kernel.db.read() as connection:
        return store.seen(connection, id)


@get("/iac/runs/{id:str}/plan", sync_to_thread=True, opt=SEE)
def get_run_plan(kernel: NamedDependency[Kernel], id: FromPath[str]) -> Found:
    """What a run would change, which rules it breaks, and what depends on what it destroys. Raises ``NotFound`` before
    it has planned."""
    with kernel.db.read() as connection:
        run = store.seen(connection, id)
    document = store.document(kernel, run.id)
    if document is None:
        raise NotFound(f"run {run.number} has planned nothing", code="run-not-planned", hint="its log tells why")
    with kernel.db.read() as connection:
        stack = declared.entity(connection, run.stack)
        ignore = ignored(stack) if stack is not None else ()
        return Found(
            run=run,
            terraform_version=document.plan.terraform_version,
            changes=document.plan.changes[:MOST_CHANGES],
            changes_total=len(document.plan.changes),
            drift=document.plan.drift[:MOST_CHANGES],
            drifted=drifts.of(document.plan, document.subjects, ignore)[:MOST_CHANGES] if run.refresh_only else (),
            outputs=document.plan.outputs,
            violations=document.verdict.violations,
            radius=seen(connection, document),
        )


def seen(connection: sa.Connection, document: Document) -> Radius:
    """The blast radius as whoever asks may see it: of a dependent that they may not see, that there is one."""
    radius = document.radius
    if sight.current().all:
        return radius
    named = sorted({hop.source for each in radius.dependents for hop in each.path})
    visible: set[str] = set()
    for table, column in ((world.resources, world.resources.c.urn), (world.entities, world.entities.c.ref)):
        for start in range(0, len(named), 500):
            query = sa.select(column).select_from(table).where(column.in_(named[start : start + 500]))
            visible.update(connection.scalars(query))
    stacks = sorted({node.partition("#")[0].partition("@")[0] for node in named if "#" in node})
    shown = set(connection.scalars(sa.select(world.entities.c.ref).where(world.entities.c.ref.in_(stacks))))

    def sees(node: str) -> bool:
        return node in visible or ("#" in node and node.partition("#")[0].partition("@")[0] in shown)

    return msgspec.structs.replace(radius, dependents=[_as_seen(each, sees) for each in radius.dependents])


def _as_seen(each: Dependent, sees: Any) -> Dependent:
    if all(sees(hop.source) for hop in each.path):
        return each
    path = [Hop("hidden" if not sees(h.source) else h.source, h.kind, "hidden", "") for h in each.path]
    if sees(each.subject):
        return msgspec.structs.replace(each, path=path)
    return msgspec.structs.replace(each, subject="hidden", name="hidden", account="", stack="", path=path)


@get("/iac/runs/{id:str}/log", sync_to_thread=True, opt={"action": "jobs.read"})
def get_run_log(
    kernel: NamedDependency[Kernel],
    id: FromPath[str],
    after_line: FromQuery[int] = 0,
    limit: Annotated[FromQuery[int], Meta(ge=1, le=5000)] = 1000,
) -> Log:
    """The log of a run, from the line after ``after_line``. Secrets that are known stand in it as marks."""
    with kernel.db.read() as connection:
        run = store.seen(connection, id)
        found = store.lines(connection, run.id, after=after_line, limit=limit)
    return Log(found, found[-1].line if found else after_line)


@post("/iac/stacks/{namespace:str}/{name:str}/runs", sync_to_thread=True, opt=ASK, status_code=202)
def start_run(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    namespace: FromPath[str],
    name: FromPath[str],
    data: JSONBody[Asked],
) -> Started:
    """Asks for a run: it plans, and asks for approval where something would change and no rule stands against it."""
    run = ask.start(kernel, principal, f"{namespace}/{name}", data, origin="cli")
    return Started(run.job, run)


@post("/iac/runs/{id:str}/cancel", sync_to_thread=True, opt=TOUCH, status_code=200)
def cancel_run(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], id: FromPath[str]) -> Run:
    """Stops a run. What is applied is interrupted as with Ctrl-C: what was begun ends, and the state is written."""
    return ask.cancel(kernel, principal, id)


@post("/iac/runs/{id:str}/retry", sync_to_thread=True, opt=TOUCH, status_code=202)
def retry_run(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], id: FromPath[str]) -> Started:
    """Asks for the same again, once a run has ended."""
    run = ask.again(kernel, principal, id, origin="cli")
    return Started(run.job, run)


HANDLERS: list[Any] = [list_runs, get_run, get_run_plan, get_run_log, start_run, cancel_run, retry_run]
