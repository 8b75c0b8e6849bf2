"""Jobs: what runs and ran, one of them as it happens, asking for a sync, and stopping."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from litestar.concurrency import sync_to_thread
from litestar.response import Stream

from uwu.app import identify
from uwu.app.console import home, links, words
from uwu.app.console.export import Column, Table, exported, wanted
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, query, redirect
from uwu.app.console.lists import Query, filter_of, href_of
from uwu.app.console.render import render
from uwu.app.console.views import Fact, Filter, View
from uwu.kernel import audit, codec, jobs, tables
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import BadInput
from uwu.kernel.jobs import FINISHED, Follower, JobRecord, LogLine
from uwu.kernel.runtime import Kernel

SHOWN, PARTS_SHOWN, LINES_SHOWN = 50, 12, 300
STATUSES = ("queued", "running", "done", "failed", "cancelled")
LOOK_SECONDS = 0.4
"""Between two looks of a page that follows: each redraws a part of it."""
KEEP_ALIVE_SECONDS = 15
"""Silence after which a comment goes out: proxies give up on a stream that says nothing."""
_LINE = re.compile(r"\r\n|\r|\n")
TONES = {"queued": "", "running": "accent", "done": "green", "failed": "red", "cancelled": "amber"}
STREAM = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Item(View, frozen=True):
    """A job as a line: what it is, how far it is, how long it took."""

    id: str
    href: str
    title: str
    detail: str
    status: str
    tone: str
    stage: str
    done: int
    total: int
    by: str
    machine: bool
    created_at: datetime
    took: str
    message: str
    parts: dict[str, int]
    """Its children by status."""

    @property
    def running(self) -> bool:
        return self.status not in FINISHED

    @property
    def percent(self) -> int:
        return min(100, 100 * self.done // self.total) if self.total else 0


class JobsPage(View, frozen=True):
    filters: list[Filter]
    items: list[Item]
    total: int
    more: str
    filtered: bool
    parent: str
    parent_title: str
    running: int


class Parts(View, frozen=True):
    """The children of one name: how many in each status, and those worth a look."""

    name: str
    title: str
    counts: list[tuple[str, str, int]]
    """(status, tone, number)."""
    total: int
    items: list[Item]
    href: str


class JobPage(View, frozen=True):
    """A job's page, apart from its log."""

    item: Item
    hint: str
    code: str
    parent: str
    parent_title: str
    active: list[Item]
    steps: list[Item]
    """Its children that are the only ones of their name."""
    parts: list[Parts]
    facts: list[Fact]


def title(name: str) -> str:
    """``inventory.sync`` -> ``Inventory sync``."""
    text = " ".join(name.replace("_", " ").split("."))
    return text[:1].upper() + text[1:]


def took(started: datetime | None, finished: datetime | None) -> str:
    """How long it ran or runs: ``0.4 s``, ``38 s``, ``4 min 12 s``; empty before it began."""
    if started is None:
        return ""
    seconds = max(0.0, ((finished or codec.now()) - started).total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def item(record: JobRecord, parts: Mapping[str, int] | None = None) -> Item:
    """A job as a line."""
    by = record.requested_by
    return Item(
        id=record.id,
        href=links.job(record.id),
        title=title(record.name),
        detail=", ".join(str(v) for v in record.arguments.values() if isinstance(v, str | int) and v != "")[:120],
        status=record.status,
        tone=TONES.get(record.status, ""),
        stage=record.stage if record.status not in FINISHED else "",
        done=record.done,
        total=record.total,
        by=words.short_ref(by),
        machine=not by.startswith("user:"),
        created_at=record.created_at,
        took=took(record.started_at, record.finished_at),
        message=record.problem.message if record.problem is not None else "",
        parts=dict(parts or {}),
    )


# ---- the list


def _conditions(asked: Query) -> list[sa.ColumnElement[bool]]:
    j = tables.jobs
    held = [j.c[key] == asked[key] for key in ("status", "name") if asked.get(key)]
    return [j.c.parent == asked.get("parent", ""), *held]


def _page(
    connection: sa.Connection, wheres: Sequence[sa.ColumnElement[bool]], after: str, limit: int
) -> tuple[list[JobRecord], str]:
    """Jobs newest first from behind the job ``after``, and where the next page begins."""
    j = tables.jobs
    found = sa.select(*columns(j, JobRecord)).where(*wheres)
    if after:
        last = connection.execute(sa.select(j.c.created_at).where(j.c.id == after)).scalar()
        if last is None:
            raise BadInput(f"there is no job {after!r} to go on from", hint="begin with the first page")
        found = found.where(sa.or_(j.c.created_at < last, sa.and_(j.c.created_at == last, j.c.id < after)))
    rows = connection.execute(found.order_by(j.c.created_at.desc(), j.c.id.desc()).limit(limit + 1)).all()
    records = [to_struct(JobRecord, row) for row in rows[:limit]]
    return records, records[-1].id if len(rows) > limit else ""


def _facet(connection: sa.Connection, asked: Query, key: str) -> list[tuple[str, int]]:
    j = tables.jobs
    others = _conditions({k: v for k, v in asked.items() if k != key})
    found = sa.select(j.c[key], sa.func.count()).where(*others).group_by(j.c[key])
    return sorted(((row[0], row[1]) for row in connection.execute(found)), key=lambda v: (-v[1], v[0]))


def children(connection: sa.Connection, ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Job -> status -> how many of its children have it."""
    j = tables.jobs
    found = sa.select(j.c.parent, j.c.status, sa.func.count()).where(j.c.parent.in_(ids))
    out: dict[str, dict[str, int]] = {}
    for parent, status, number in connection.execute(found.group_by(j.c.parent, j.c.status)):
        out.setdefault(parent, {})[status] = number
    return out


def listed(kernel: Kernel, asked: Query) -> JobsPage:
    """The jobs that were asked for, newest first; with ``parent`` the children of one."""
    parent = asked.get("parent", "")
    with kernel.db.read() as connection:
        above = jobs.job(connection, parent) if parent else None
        wheres = _conditions(asked)
        records, more = _page(connection, wheres, asked.get("after", ""), SHOWN)
        total = connection.execute(sa.select(sa.func.count()).select_from(tables.jobs).where(*wheres)).scalar_one()
        below = children(connection, [record.id for record in records])
        filters = [
            filter_of(links.JOBS, asked, "status", "status", _facet(connection, asked, "status"), str),
            filter_of(links.JOBS, asked, "name", "job", _facet(connection, asked, "name"), title),
        ]
    return JobsPage(
        filters=filters,
        items=[item(record, below.get(record.id)) for record in records],
        total=total,
        more=href_of(links.JOBS, asked, after=more) if more else "",
        filtered=any(asked.get(key) for key in ("status", "name")),
        parent=parent,
        parent_title=title(above.name) if above is not None else "",
        running=sum(record.status not in FINISHED for record in records),
    )


COLUMNS = (
    Column("id"),
    Column("name"),
    Column("status"),
    Column("parent"),
    Column("requested_by"),
    Column("created_at"),
    Column("started_at"),
    Column("finished_at"),
    Column("stage"),
    Column("done"),
    Column("total"),
    Column("problem", lambda record: record.problem.message if record.problem is not None else ""),
)


def table(kernel: Kernel, asked: Query) -> Table:
    """Every job of the filters, for an export."""
    wheres = _conditions(asked)
    with kernel.db.read() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(tables.jobs).where(*wheres)).scalar_one()

    def pages() -> Iterator[Sequence[JobRecord]]:
        after = ""
        while True:
            with kernel.db.read() as connection:
                records, after = _page(connection, wheres, after, 500)
            yield records
            if not after:
                return

    return Table("jobs", COLUMNS, pages(), total)


def show_jobs(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    if wanted(asked):
        return exported(at.kernel, asked, table(at.kernel, asked))
    return at.page(request, "jobs.html", section=links.JOBS, view=listed(at.kernel, asked))


# ---- one job


def page_of(connection: sa.Connection, record: JobRecord, active: Sequence[JobRecord]) -> JobPage:
    """The page of ``record`` apart from its log."""
    parent = jobs.job(connection, record.parent) if record.parent else None
    problem = record.problem
    told = [
        Fact(label="Asked for", value=words.stamp(record.created_at)),
        Fact(label="By", value=words.short_ref(record.requested_by) or "a schedule"),
    ]
    if record.started_at is not None:
        waited = (record.started_at - record.created_at).total_seconds()
        told.append(Fact(label="Waited", value=f"{max(0.0, waited):.1f} s"))
    told += [Fact(label=words.label(key), value=_plain(value)) for key, value in record.arguments.items()]
    told += [
        Fact(label=words.label(key), value=_plain(value))
        for key, value in (record.result or {}).items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    ]
    told.append(Fact(label="Id", value=record.id, mono=True))
    parts = _parts(connection, record.id)
    return JobPage(
        item=item(record, children(connection, [record.id]).get(record.id)),
        hint=problem.hint if problem is not None else "",
        code=problem.code if problem is not None else "",
        parent=record.parent,
        parent_title=title(parent.name) if parent is not None else "",
        active=[item(one) for one in active],
        steps=[each.items[0] for each in parts if each.total == 1],
        parts=[each for each in parts if each.total > 1],
        facts=told,
    )


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))[:200] or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)[:200] or "none"


def _parts(connection: sa.Connection, parent: str) -> list[Parts]:
    j = tables.jobs
    counted = sa.select(j.c.name, j.c.status, sa.func.count(), sa.func.min(j.c.created_at)).where(j.c.parent == parent)
    groups: dict[str, dict[str, int]] = {}
    began: dict[str, datetime] = {}
    for name, status, number, first in connection.execute(counted.group_by(j.c.name, j.c.status)):
        groups.setdefault(name, {})[status] = number
        began[name] = min(first, began.get(name, first))
    # those that failed or run are what one looks for; of the done ones the number says enough
    rank = sa.case({"failed": 0, "running": 1, "queued": 2, "cancelled": 3}, value=j.c.status, else_=4)
    out: list[Parts] = []
    for name in sorted(groups, key=lambda n: (began[n], n)):
        rows = connection.execute(
            sa.select(*columns(j, JobRecord))
            .where(j.c.parent == parent, j.c.name == name)
            .order_by(rank, j.c.created_at, j.c.id)
            .limit(PARTS_SHOWN)
        )
        records = [to_struct(JobRecord, row) for row in rows]
        below = children(connection, [record.id for record in records])
        held = groups[name]
        out.append(
            Parts(
                name=name,
                title=title(name),
                counts=[(s, TONES[s], held[s]) for s in STATUSES if s in held],
                total=sum(held.values()),
                items=[item(record, below.get(record.id)) for record in records],
                href=links.with_query(links.JOBS, {"parent": parent, "name": name}),
            )
        )
    return out


def _key(request: Asked) -> str:
    return str(request.path_params["id"])


def end_of_log(connection: sa.Connection, id: str) -> tuple[list[LogLine], int, int]:
    """(the last lines of the log of the job ``id``, the number of the last, how many are before them)."""
    log = tables.job_log
    last = connection.execute(sa.select(sa.func.max(log.c.line)).where(log.c.job == id)).scalar() or 0
    lines = jobs.log(connection, id, after_line=max(0, last - LINES_SHOWN))
    return lines, last, lines[0].line - 1 if lines else 0


def show_job(at: Frame, request: Asked) -> Answer:
    """A job with the end of its log; while it runs the page follows it."""
    follower = Follower(at.kernel.db, _key(request), 2**53)
    update = follower.look()
    assert update is not None  # the first look always tells
    with at.kernel.db.read() as connection:
        lines, last, left = end_of_log(connection, update.job.id)
        view = page_of(connection, update.job, update.active)
    values: dict[str, Any] = {"view": view, "lines": lines, "last": last, "left": left}
    return at.page(request, "job.html", section=links.JOBS, **values)


def raw_log(at: Frame, request: Asked) -> Answer:
    """The whole log as text, a line each: time, level, message."""
    id = _key(request)
    with at.kernel.db.read() as connection:
        jobs.job(connection, id)

    def pages() -> Iterator[bytes]:
        after = 0
        while True:
            with at.kernel.db.read() as connection:
                lines = jobs.log(connection, id, after_line=after)
            if not lines:
                return
            after = lines[-1].line
            yield "".join(f"{codec.iso(x.at)} {x.level:<7} {x.message}\n" for x in lines).encode()

    return Stream(pages(), media_type="text/plain; charset=utf-8", headers={"cache-control": "no-store"})


# ---- as it happens: text/event-stream of the HTML standard, section 9.2


def event(name: str, data: str, id: str = "") -> bytes:
    """One event; every line of ``data`` gets its field, so that no text can begin an event of its own."""
    head = f"event: {name}\n" + (f"id: {id}\n" if id else "")
    return (head + "".join(f"data: {line}\n" for line in _LINE.split(data)) + "\n").encode()


def last_line(request: Asked) -> int:
    """The line of the log up to which a browser that comes back has it. Raises ``BadInput``."""
    given = request.headers.get("last-event-id", "") or query(request).get("after", "0")
    if not given.isdigit() or len(given) > 15:
        raise BadInput(f"{given[:20]!r} is not a line of a log")
    return int(given)


async def job_events(at: Frame, request: Asked) -> Answer:
    """What changes of a job: ``part`` is its page anew, ``lines`` are new lines of its log, ``end`` is the last.

    A browser that comes back says with Last-Event-ID which line it had.
    """
    follower = Follower(at.kernel.db, _key(request), last_line(request))
    first = await sync_to_thread(_look, at.kernel, follower)  # an unknown job is an error, not a stream
    return Stream(stream(partial(_look, at.kernel, follower), first), media_type="text/event-stream", headers=STREAM)


def _look(kernel: Kernel, follower: Follower) -> tuple[list[bytes], bool, bool]:
    """(events, ended, look again at once)."""
    update = follower.look()
    if update is None:
        return [], False, False
    with kernel.db.read() as connection:
        view = page_of(connection, update.job, update.active)
    out = [event("part", render("_job.html", view=view).decode())]
    if update.lines:
        out.append(event("lines", render("_log.html", lines=update.lines).decode(), str(update.lines[-1].line)))
    if follower.finished:
        out.append(event("end", update.job.status))
    return out, follower.finished, follower.behind


Looked = tuple[list[bytes], bool, bool]


async def stream(look: Callable[[], Looked], first: Looked | None = None) -> AsyncIterator[bytes]:
    # it holds a thread only while it looks: readers that wait in theirs would stop the whole server
    told = time.monotonic()
    yield b"retry: 2000\n\n"
    while True:
        events, ended, behind = first if first is not None else await sync_to_thread(look)
        first = None
        for each in events:
            yield each
            told = time.monotonic()
        if ended:
            return
        if time.monotonic() - told > KEEP_ALIVE_SECONDS:
            yield b": still here\n\n"
            told = time.monotonic()
        if not behind:
            await asyncio.sleep(LOOK_SECONDS)


async def sync_events(at: Frame, request: Asked) -> Answer:
    """The sync that runs, or with ``waiting`` the next one: ``part`` is its strip anew, ``end`` when it has ended."""
    return Stream(
        stream(_SyncLook(at.kernel, waiting="waiting" in request.query_params)),
        media_type="text/event-stream",
        headers=STREAM,
    )


class _SyncLook:
    """One who follows the sync and remembers what was told."""

    def __init__(self, kernel: Kernel, *, waiting: bool) -> None:
        self._kernel = kernel
        self._waiting = waiting
        self._told = b""

    def __call__(self) -> Looked:
        with self._kernel.db.read() as connection:
            syncing = home.syncing(connection)
        running = syncing is not None and syncing.running
        part = render("_sync.html", syncing=syncing, waiting=self._waiting)
        fresh = [] if part == self._told else [event("part", part.decode())]
        self._told = part
        if not running and (not self._waiting or (syncing is not None and syncing.status == "done")):
            return [*fresh, event("end", syncing.status if syncing is not None else "")], True, False
        return fresh, False, False


# ---- what can be done


def ask(at: Frame, request: Asked, form: Form) -> Answer:
    """Asks for a sync and shows it; the one that runs already where there is one."""
    del form
    by = identify.principal_of(request)
    id = at.kernel.jobs.enqueue("sync", {}, requested_by=by.ref, key=jobs.key_of("sync", {}))
    with at.kernel.db.write() as connection:
        audit.append(connection, actor=by.ref, action="job.sync", subject=id)
    return redirect(links.job(id))


def cancel(at: Frame, request: Asked, form: Form) -> Answer:
    """Stops a job and all below it. Raises ``Conflict`` where it has finished."""
    del form
    by, id = identify.principal_of(request), _key(request)
    at.kernel.jobs.cancel(id)
    with at.kernel.db.write() as connection:
        audit.append(connection, actor=by.ref, action="job.cancel", subject=id)
    return redirect(links.job(id))


PAGES = (
    Page(links.JOBS, show_jobs, "jobs.read"),
    Page(links.JOBS + "/{id:str}", show_job, "jobs.read"),
    Page(links.JOBS + "/{id:str}/events", job_events, "jobs.read"),
    Page(links.JOBS + "/{id:str}/log", raw_log, "jobs.read"),
    Page(links.SYNC, sync_events, "jobs.read"),
    Act(links.JOBS, ask, "jobs.run"),
    Act(links.JOBS + "/{id:str}/cancel", cancel, "jobs.run"),
)
