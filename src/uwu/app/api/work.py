"""What is done: status, jobs and their progress, queries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream
from msgspec import Meta

from uwu import __version__
from uwu.app.api.world import READ
from uwu.kernel import audit, authorize, codec, domain, drift, jobs, moments, ownership, query, sight, tables
from uwu.kernel.domain import SourceHealth
from uwu.kernel.errors import BadInput
from uwu.kernel.identity import Principal
from uwu.kernel.jobs import JobPage, JobRecord, LogLine
from uwu.kernel.model import CellStatus
from uwu.kernel.query import Result, TableInfo
from uwu.kernel.runtime import Kernel
from uwu.kernel.sync import scope, steps

RUN = {"action": "jobs.run"}
QUERY = {"action": "query.run"}
OF_TABLE = {"audit": "audit.read", "jobs": "jobs.read"}
"""What else it takes to name a table in a query."""
QUERIES_AT_ONCE = 3
"""The others wait: each may take query.memory_mb, and query.timeout_seconds."""
_QUERIES = ThreadPoolExecutor(QUERIES_AT_ONCE, "uwu-query")
# a pool of their own: in that of all requests a handful of slow queries would hold up every page
KEEP_ALIVE_SECONDS = 15
"""Silence on a stream after which an empty line goes out: readers and proxies give up on one that says nothing."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands."""

    version: str
    organization: str
    home: str
    database: str
    accounts: int
    resources: int
    relations: int
    entities: int
    declarations: int
    owned: int
    ownable: int
    findings: dict[str, int]
    """Unresolved ones by severity."""
    cells: dict[str, int]
    """Cells of the coverage ledger by status."""
    sources: list[SourceHealth]
    last_sync: JobRecord | None


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job that is asked for."""

    name: str
    arguments: dict[str, Any] = {}


class Accepted(msgspec.Struct, frozen=True):
    """The job that was taken in; the one that runs already where it was asked for twice."""

    id: str


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query in DuckDB's SQL."""

    sql: str
    max_rows: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    at: str = ""
    """A past time, of which tables are read: ISO 8601, a day, or so long ago (3h, 2d); empty for now."""


@get("/status", sync_to_thread=True, opt=READ)
def get_status(kernel: NamedDependency[Kernel]) -> Status:
    """What is known, how complete and how fresh it is."""
    r, t, e, d, c = tables.resources, tables.relations, tables.entities, tables.declarations, tables.coverage

    def count(connection: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        return connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one()

    with kernel.db.read() as connection:
        owned, ownable = ownership.share_owned(connection)
        cells = dict.fromkeys((s.value for s in CellStatus), 0)
        by_status = sa.select(c.c.status, sa.func.count()).group_by(c.c.status)
        cells.update((row[0], row[1]) for row in connection.execute(by_status))
        syncs = jobs.jobs(connection, name="sync", limit=1)
        facts: dict[str, Any] = {
            "accounts": count(connection, r, r.c.type == "aws_account"),
            "resources": count(connection, r),
            "relations": count(connection, t, t.c.valid_to.is_(None)),
            "entities": count(connection, e, e.c.orphan.is_(False)),
            "declarations": count(connection, d),
            "findings": drift.counts(connection),
        }
    return Status(
        version=__version__,
        organization=kernel.settings.organization,
        home=kernel.settings.home,
        database=kernel.db.dialect,
        owned=owned,
        ownable=ownable,
        cells=cells,
        sources=domain.health_of(kernel.domains, kernel),
        last_sync=syncs[0] if syncs else None,
        **facts,
    )


@get("/jobs", sync_to_thread=True, opt=READ)
def list_jobs(
    kernel: NamedDependency[Kernel],
    status: FromQuery[Literal["queued", "running", "done", "failed", "cancelled", ""]] = "",
    name: FromQuery[str] = "",
    parent: FromQuery[str] = "",
    limit: FromQuery[int] = 50,
    after: FromQuery[str] = "",
) -> JobPage:
    """Jobs, newest first; the children of ``parent`` where it is given."""
    with kernel.db.read() as connection:
        return jobs.page(connection, status=status, name=name, parent=parent, limit=limit, after=after)


@post("/jobs", sync_to_thread=True, opt=RUN, status_code=202)
def ask_for_job(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Asked]
) -> Accepted:
    """Asks for a job: ``sync`` ({"domain": "inventory"} for one), or a job of a domain."""
    of_domains = domain.jobs_of(kernel.domains)
    known = {"sync", *of_domains}
    if data.name not in known:
        raise BadInput(f"there is no job {data.name!r}", code="job-unknown", hint=f"one of: {', '.join(sorted(known))}")
    if data.name in of_domains and of_domains[data.name].action:
        authorize.require(kernel, principal, of_domains[data.name].action)
    if data.name == "sync":
        steps(kernel.domains, str(data.arguments.get("domain") or ""))
        scope(data.arguments)
    key = jobs.key_of(data.name, data.arguments)
    id = kernel.jobs.enqueue(data.name, data.arguments, requested_by=principal.ref, key=key)
    with kernel.db.write() as connection:
        audit.append(connection, actor=principal.ref, action=f"job.{data.name}", subject=id, detail=data.arguments)
    return Accepted(id)


@get("/jobs/{id:str}", sync_to_thread=True, opt=READ)
def get_job(kernel: NamedDependency[Kernel], id: FromPath[str]) -> JobRecord:
    """One job as it stands."""
    with kernel.db.read() as connection:
        return jobs.job(connection, id)


@get("/jobs/{id:str}/log", sync_to_thread=True, opt=READ)
def get_job_log(kernel: NamedDependency[Kernel], id: FromPath[str], after_line: FromQuery[int] = 0) -> list[LogLine]:
    """The log of a job."""
    with kernel.db.read() as connection:
        jobs.job(connection, id)
        return jobs.log(connection, id, after_line=after_line)


@post("/jobs/{id:str}/cancel", sync_to_thread=True, opt=RUN, status_code=200)
def cancel_job(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], id: FromPath[str]) -> JobRecord:
    """Stops a job: what it has recorded stays, what has not begun does not begin."""
    kernel.jobs.cancel(id)
    with kernel.db.write() as connection:
        audit.append(connection, actor=principal.ref, action="job.cancel", subject=id)
        return jobs.job(connection, id)


@get("/jobs/{id:str}/events", sync_to_thread=True, opt=READ)
def follow_job(kernel: NamedDependency[Kernel], id: FromPath[str], after_line: FromQuery[int] = 0) -> Stream:
    """The progress of a job as it happens: one JSON object a line, the last when it has finished.

    An empty line says that nothing happened for a while.
    """
    with kernel.db.read() as connection:
        jobs.job(connection, id)
    return Stream(_updates(jobs.Follower(kernel.db, id, after_line)), media_type="application/x-ndjson")


async def _updates(follower: jobs.Follower) -> AsyncIterator[bytes]:
    # it holds a thread only while it looks: a few readers that wait in theirs would stop the whole server
    told = time.monotonic()
    while not follower.finished:
        update = await asyncio.to_thread(follower.look)
        if update is not None:
            yield codec.encode(update) + b"\n"
            told = time.monotonic()
        elif time.monotonic() - told > KEEP_ALIVE_SECONDS:
            yield b"\n"
            told = time.monotonic()
        if not (follower.behind or follower.finished):
            await asyncio.sleep(jobs.POLL_SECONDS)


@post("/query", opt=QUERY, status_code=200)
async def run_query(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Question]
) -> Result:
    """Answers one SELECT over resources, relations, findings, entities, coverage, ownership and events.

    It reads everything: for who sees a part only, it is denied.
    """
    ask = partial(_query, kernel, principal, data)
    return await asyncio.get_running_loop().run_in_executor(_QUERIES, ask)


def _query(kernel: Kernel, principal: Principal, asked: Question) -> Result:
    with sight.looking_as(kernel, principal):
        sight.require_all("a query")

    def check(table: str) -> None:
        if table in OF_TABLE:
            authorize.require(kernel, principal, OF_TABLE[table])

    at = moments.parse(asked.at) if asked.at else None
    return query.run(kernel, asked.sql, at=at, max_rows=asked.max_rows, check=check)


@get("/query/tables", sync_to_thread=True, opt=READ)
def list_tables(kernel: NamedDependency[Kernel]) -> list[TableInfo]:
    """The tables that a query may name, with their columns."""
    return query.tables(kernel)


HANDLERS: list[Any] = [
    get_status,
    list_jobs,
    ask_for_job,
    get_job,
    get_job_log,
    cancel_job,
    follow_job,
    run_query,
    list_tables,
]
