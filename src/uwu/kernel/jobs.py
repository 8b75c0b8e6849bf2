"""Durable jobs behind one port; DBOS does the work (SQLite or PostgreSQL, the same functions on both).

A job's body is deterministic: everything that touches the world goes through ``Run.step`` or
``Run.fan_out``. A completed step is recorded and never repeated; a step in flight at a kill is run again, so
every step is idempotent. Its progress and its log are rows that the console and the command line follow.

``Jobs`` is for processes that ask for jobs; ``uwu.kernel.worker.Worker`` runs them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, paging, tables, telemetry
from uwu.kernel.db import Database, columns, to_struct, upsert
from uwu.kernel.errors import BadInput, Conflict, NotFound, Problem

if TYPE_CHECKING:
    from uwu.kernel.jobs_dbos import Store
    from uwu.kernel.runtime import Kernel

T = TypeVar("T")
Arguments = Mapping[str, Any]

FINISHED = ("done", "failed", "cancelled")
"""The statuses that a job does not leave; before them it is ``queued``, then ``running``."""


class Run(Protocol):
    """What a job's body is given."""

    @property
    def id(self) -> str: ...

    @property
    def kernel(self) -> Kernel: ...

    def step(self, function: Callable[..., T], *args: Any, name: str = "") -> T:
        """Runs ``function(*args)`` once: its result (a plain JSON value) is recorded, and returned so ever after.

        An ``UwuError`` of the function is recorded too and raised ever after; any other exception arrives as
        ``uwu.kernel.worker.StepFailed``, at once and after a resume. Not for threads of the body's own.
        """
        ...

    def fan_out(self, job: str, arguments: Sequence[Arguments], *, keys: Sequence[str]) -> list[dict[str, Any]]:
        """Runs ``job`` for each of ``arguments`` on the workers and gives their results in order.

        ``keys`` name each child within this run (deterministic ids: a repeated enqueue is the same child). A child that
        fails gives ``{"problem": {...}}`` and does not fail its siblings. Progress counts the children.
        """
        ...

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Says how far it is; shown as a bar. Cheap: written at most a few times a second."""
        ...

    def log(self, message: str, *, level: str = "info", data: Any = None) -> None:
        """One line of the job's log."""
        ...


@dataclass(frozen=True)
class Job:
    """A kind of job, by name: ``inventory.shard``."""

    name: str
    run: Callable[[Run, dict[str, Any]], dict[str, Any]]
    concurrency: int | None = None
    """Runs at the same time in one worker; None for the queue's default."""
    action: str = ""
    """What it takes to ask for it where that is more than ``jobs.run``: of ``uwu.kernel.actions``."""


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands. ``total`` is 0 where its length is not known."""

    id: str
    name: str
    arguments: dict[str, Any]
    parent: str
    """The job that asked for it; empty for one that a person or a schedule asked for."""
    status: str
    """queued, running, done, failed or cancelled."""
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stage: str
    done: int
    total: int
    result: dict[str, Any] | None
    problem: Problem | None

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a job's log; lines count from 1."""

    line: int
    at: datetime
    level: str
    message: str
    data: Any = None


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """What is new since the last update of one job."""

    job: JobRecord
    lines: tuple[LogLine, ...]
    active: tuple[JobRecord, ...]
    """Its descendants that run now and say how far they are, those asked for first first."""


def job(connection: sa.Connection, id: str) -> JobRecord:
    """The job ``id``. Raises ``NotFound``."""
    row = connection.execute(sa.select(*columns(tables.jobs, JobRecord)).where(tables.jobs.c.id == id)).first()
    if row is None:
        raise NotFound(f"there is no job {id!r}", code="job-unknown", hint="uwu status lists the latest jobs")
    return to_struct(JobRecord, row)


class JobPage(msgspec.Struct, frozen=True):
    """One page of jobs; ``after`` is where the next begins, empty on the last."""

    items: list[JobRecord]
    after: str


def jobs(
    connection: sa.Connection, *, status: str = "", name: str = "", parent: str = "", limit: int = 50
) -> list[JobRecord]:
    """The first ``page`` of jobs."""
    return page(connection, status=status, name=name, parent=parent, limit=limit).items


def page(
    connection: sa.Connection,
    *,
    status: str = "",
    name: str = "",
    parent: str = "",
    limit: int = 50,
    after: str = "",
) -> JobPage:
    """Jobs, newest first: those that were asked for, or with ``parent`` the children of one.

    ``after`` is the ``after`` of the page before. Raises ``BadInput`` for another.
    """
    table = tables.jobs
    behind = paging.place(after, datetime, str)
    query = sa.select(*columns(table, JobRecord)).where(table.c.parent == parent)
    if status:
        query = query.where(table.c.status == status)
    if name:
        query = query.where(table.c.name == name)
    if behind is not None:
        at, id = behind
        query = query.where(
            table.c.created_at <= at,
            sa.or_(table.c.created_at < at, sa.and_(table.c.created_at == at, table.c.id < id)),
        )
    query = query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit + 1)
    found = [to_struct(JobRecord, row) for row in connection.execute(query)]
    last = found[limit - 1] if len(found) > limit else None
    return JobPage(found[:limit], paging.cursor(last.created_at, last.id) if last is not None else "")


def log(connection: sa.Connection, id: str, *, after_line: int = 0, limit: int = 1000) -> list[LogLine]:
    """The log of the job ``id`` from the line after ``after_line``."""
    table = tables.job_log
    query = sa.select(*columns(table, LogLine)).where(table.c.job == id, table.c.line > after_line)
    return [to_struct(LogLine, row) for row in connection.execute(query.order_by(table.c.line).limit(limit))]


def descendants(connection: sa.Connection, id: str) -> list[tuple[str, str]]:
    """(id, status) of every job below the job ``id``, parents before children."""
    table = tables.jobs
    found: list[tuple[str, str]] = []
    level = [id]
    while level:
        below: list[str] = []
        for start in range(0, len(level), 500):
            query = sa.select(table.c.id, table.c.status).where(table.c.parent.in_(level[start : start + 500]))
            for row in connection.execute(query):
                found.append((row.id, row.status))
                below.append(row.id)
        level = below
    return found


POLL_SECONDS = 0.2
"""How long a follower waits before it looks again: a bar that moves five times a second moves."""

PAGE_LINES = 1000
"""Lines of a log in one update."""


def follow(db: Database, id: str, after_line: int = 0, *, poll_seconds: float = POLL_SECONDS) -> Iterator[Update]:
    """Updates of the job ``id`` until it has finished: one at once, then one at each change. Raises ``NotFound``.

    The last update holds the finished job. It sleeps between updates, and so would hold one of a server's few threads
    for as long as the job lasts: a server asks a ``Follower`` instead.
    """
    follower = Follower(db, id, after_line)
    while not follower.finished:
        update = follower.look()
        if update is not None:
            yield update
        if not (follower.behind or follower.finished):
            time.sleep(poll_seconds)


class Follower:
    """One who follows the job ``id`` and remembers what was told."""

    def __init__(self, db: Database, id: str, after_line: int = 0) -> None:
        self._db, self._id, self._line = db, id, after_line
        self._last: Update | None = None
        self.behind = False
        """There are lines of the log that ``look`` did not give yet: look again at once."""
        self.finished = False
        """``look`` has told the end of the job."""

    def look(self) -> Update | None:
        """What is new since the last look; None where nothing is. Raises ``NotFound``."""
        with self._db.read() as connection:
            record = job(connection, self._id)
            lines = log(connection, self._id, after_line=self._line, limit=PAGE_LINES)
            active = () if record.finished else _active(connection, self._id)
        last, self._last = self._last, Update(job=record, lines=tuple(lines), active=active)
        if lines:
            self._line = lines[-1].line
        self.behind = len(lines) == PAGE_LINES
        self.finished = record.finished and not self.behind
        if lines or last is None or last.job != record or last.active != active:
            return self._last
        return None


def _active(connection: sa.Connection, id: str) -> tuple[JobRecord, ...]:
    table = tables.jobs
    found: list[JobRecord] = []
    level = [id]
    while level:
        query = (
            sa.select(*columns(table, JobRecord))
            .where(table.c.parent.in_(level), table.c.status == "running")
            .order_by(table.c.id)
            .limit(100)
        )
        below = [to_struct(JobRecord, row) for row in connection.execute(query)]
        found += below
        level = [record.id for record in below if record.total or record.stage]
    return tuple(record for record in found if record.total or record.stage)


def key_of(name: str, arguments: Arguments) -> str:
    """The key under which a run of this job and arguments is asked for once, not twice at the same time.

    One sync at a time, whatever it covers: two would observe the same cells and judge each other's halves.
    """
    return "one" if name == "sync" else codec.digest(dict(arguments))


class Jobs:
    """The port for a process that asks for jobs and does not run them. Threads may share it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @cached_property
    def _store(self) -> Store:
        from uwu.kernel.jobs_dbos import Store

        store = Store(self._kernel.settings.jobs_url)
        store.prepare()
        return store

    def enqueue(
        self, name: str, arguments: Arguments | None = None, *, id: str = "", requested_by: str = "", key: str = ""
    ) -> str:
        """Asks the workers to run the job ``name`` and gives the id of the run.

        With ``key``, a run of this name and key that is queued or running is not doubled: its id is given. With ``id``
        (unique, chosen by the caller), asking again is the same run. Raises ``Unavailable`` where the database is away.
        """
        if ":" in id:
            raise BadInput(f"a job's id may not hold a colon: {id!r}", code="job-id")
        store = self._store
        ticket: dict[str, Any] = {
            "name": name,
            "arguments": codec.builtins(dict(arguments or {})),
            "parent": "",
            "depth": 0,
            "requested_by": requested_by,
            "created_at": codec.iso(codec.now()),
            "carried": telemetry.carried(),
        }
        wanted = id or codec.new_id("job")
        while True:
            given = store.enqueue(wanted, ticket, key=f"{name}:{key}" if key else "")
            if given == wanted or not self._is_finished(given):
                break
            # its last act, the report to DBOS, is still to come, or was cut off: it holds the key for nothing
            store.cancel([given])
        if given == wanted:
            with self._kernel.db.write() as connection:
                upsert(connection, tables.jobs, [queued_row(given, ticket)], update=())
        return given

    def cancel(self, id: str) -> None:
        """Stops the job ``id`` and all below it: what is queued never starts, what runs ends after its step in flight.

        Raises ``NotFound``, or ``Conflict`` where it has finished.
        """
        with self._kernel.db.read() as connection:
            record = job(connection, id)
            below = descendants(connection, id)
        if record.finished:
            raise Conflict(f"the job {id} has finished: it is {record.status}", code="job-finished")
        ids = [id, *(child for child, status in below if status not in FINISHED)]
        self._store.cancel(ids)
        mark_cancelled(self._kernel.db, ids)

    def close(self) -> None:
        """Gives back connections."""
        if "_store" in self.__dict__:
            self._store.close()
            del self.__dict__["_store"]

    def _is_finished(self, id: str) -> bool:
        with self._kernel.db.read() as connection:
            status = connection.execute(sa.select(tables.jobs.c.status).where(tables.jobs.c.id == id)).scalar()
        return status in FINISHED


def queued_row(id: str, ticket: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a job that waits for a worker."""
    return {
        "id": id,
        "name": ticket["name"],
        "arguments": ticket["arguments"],
        "parent": ticket["parent"],
        "status": "queued",
        "requested_by": ticket["requested_by"],
        "created_at": codec.parse_time(ticket["created_at"]),
        "stage": "",
        "done": 0,
        "total": 0,
    }


def mark_cancelled(db: Database, ids: Sequence[str]) -> None:
    """Sets the unfinished ones of ``ids`` to cancelled."""
    table = tables.jobs
    for start in range(0, len(ids), 500):
        with db.write() as connection:
            connection.execute(
                table.update()
                .where(table.c.id.in_(sorted(ids[start : start + 500])), table.c.status.not_in(FINISHED))
                .values(status="cancelled", finished_at=codec.now())
            )
