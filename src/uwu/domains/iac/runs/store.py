"""Runs as they are kept: their rows, their logs, whose turn it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.iac import state_crypt, tables
from uwu.domains.iac.blast import Radius
from uwu.domains.iac.plan_json import Plan
from uwu.domains.iac.policy.model import Verdict
from uwu.domains.iac.scrub import Scrubber
from uwu.kernel import codec, declared, paging, sight
from uwu.kernel import tables as world
from uwu.kernel.authorize import Target
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import Conflict, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity
from uwu.kernel.plans import store as plans
from uwu.kernel.runtime import Kernel

QUEUED, PLANNING, PLANNED, CLEAN, REFUSED = "queued", "planning", "planned", "clean", "refused"
FAILED, CANCELLED, APPLYING, APPLIED, DISCARDED = "failed", "cancelled", "applying", "applied", "discarded"
DRIFTED = "drifted"
STATUSES = (QUEUED, PLANNING, PLANNED, APPLYING, APPLIED, CLEAN, DRIFTED, REFUSED, DISCARDED, FAILED, CANCELLED)
"""``clean``: there is nothing to change; ``drifted``: a refresh found what was changed outside of Terraform;
``refused``: a rule or the safety limit does not let it pass; ``discarded``: its plan was rejected, withdrawn, or is
void or expired."""
AT_WORK = (PLANNING, APPLYING)
ENDED = (APPLIED, CLEAN, DRIFTED, REFUSED, FAILED, CANCELLED, DISCARDED)
_LOCK = 0x69616372  # runs are numbered, and take their turn, one at a time on PostgreSQL; SQLite has one writer


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run. ``status`` is as of when it was read: what became of its plan is looked up."""

    id: str
    number: int
    stack: str
    state: str
    status: str
    why: str
    speculative: bool
    destroy: bool
    forced: bool
    origin: str
    revision: str
    reason: str
    retries: str
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    job: str
    plan: str
    plan_sha256: str
    config_sha256: str
    serial: int
    lineage: str
    summary: dict[str, Any] | None
    outcomes: dict[str, Any] | None
    cancelled_by: str
    pull_request: dict[str, Any] | None
    refresh_only: bool = False
    """It looks for drift, and is never applied."""
    plan_number: int = 0
    """Of the plan that is approved; 0 for none."""
    plan_status: str = ""
    apply_job: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ENDED


class RunPage(msgspec.Struct, frozen=True):
    """Runs, the newest first."""

    items: list[Run]
    total: int
    after: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a run's log; lines count from 1."""

    line: int
    at: datetime
    phase: str
    level: str
    message: str


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found out. It holds no secret, and lies encrypted nevertheless."""

    plan: Plan
    subjects: dict[str, str]
    """Address -> urn."""
    verdict: Verdict
    radius: Radius


class Blobs(msgspec.Struct, frozen=True):
    """Where the encrypted parts of a run lie; each empty where there is none."""

    plan_blob: str
    json_blob: str
    config_blob: str
    lock_id: str
    principal: dict[str, Any]


def serialize(connection: sa.Connection) -> None:
    """Until the transaction ends no other run is numbered or takes its turn."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


# ---- stacks


def stack_of(connection: sa.Connection, text: str) -> Entity:
    """The stack of a reference or a name: ``payments``, ``default/payments``, ``stack:default/payments``.

    Raises ``NotFound``.
    """
    name = text.strip().lower().removeprefix("stack:")
    name = name if "/" in name else f"default/{name}"
    found = next((e for e in declared.entities(connection, kind="Stack") if e.ref == f"stack:{name}"), None)
    if found is None:
        raise NotFound(f"there is no stack {text[:120]!r}", code="stack-unknown", hint="uwu catalog list --kind Stack")
    return found


def state_of(stack: Entity) -> str:
    """``namespace/name`` of the state of ``stack`` that runs read and write.

    Raises ``Conflict`` where it is not kept here, or where the stack has several.
    """
    given = stack.spec.get("state")
    states = [str(each) for each in given] if isinstance(given, list) else [str(given)]
    if len(states) != 1 or not states[0].startswith("uwu://"):
        raise Conflict(
            f"runs take one state that is kept here; {stack.ref} names {', '.join(states)[:200]}",
            code="run-state",
            place=str(stack.place),
            hint="write state: uwu:// and bring the state along: uwu iac state import FILE --into NAMESPACE/NAME",
        )
    key = states[0].removeprefix("uwu://")
    return key or f"{stack.namespace}/{stack.name}".lower()


def target(connection: sa.Connection, stack: str) -> Target:
    """What policies judge of a run: its stack."""
    r = world.relations
    query = sa.select(sa.func.min(r.c.target)).where(r.c.source == stack, r.c.kind == "ownedBy", r.c.valid_to.is_(None))
    owner = connection.execute(query).scalar() or ""
    return Target("Entity", stack, owner, "", {"title": f"runs of {stack.rpartition('/')[2]}"})


def owner_of(connection: sa.Connection, stack: str) -> str:
    """The group that owns a stack; empty for nobody."""
    return target(connection, stack).owner


# ---- reading


_KEPT = tuple(name for name in Run.__struct_fields__ if name not in ("plan_number", "plan_status", "apply_job"))


def _query() -> Any:
    r, p, j = tables.runs, world.plans, world.jobs.alias()
    status = plans.status_at(codec.now())
    over = sa.and_(r.c.status == PLANNED, status.in_((plans.REJECTED, plans.WITHDRAWN, plans.EXPIRED, plans.VOID)))
    lost = sa.and_(r.c.status.in_((QUEUED, PLANNING)), j.c.status.in_(("failed", "cancelled")))
    now = sa.case(
        (over, DISCARDED),
        (sa.and_(lost, j.c.status == "cancelled"), CANCELLED),
        (lost, FAILED),
        (sa.and_(r.c.status == APPLYING, status == plans.FAILED), FAILED),
        else_=r.c.status,
    )
    why = sa.case((over, sa.func.coalesce(p.c.why, "")), else_=r.c.why)
    wanted: list[Any] = [
        now.label("status") if name == "status" else why.label("why") if name == "why" else r.c[name] for name in _KEPT
    ]
    wanted += [sa.func.coalesce(p.c.number, 0), sa.func.coalesce(status, ""), sa.func.coalesce(p.c.job, "")]
    return sa.select(*wanted).select_from(r.outerjoin(p, p.c.id == r.c.plan).outerjoin(j, j.c.id == r.c.job))


def get(connection: sa.Connection, id: str) -> Run:
    """The run of an id or a number (``12`` or ``#12``). Raises ``NotFound``."""
    number = id.removeprefix("#")
    r = tables.runs
    by_number = number.isascii() and number.isdigit() and len(number) < 10
    row = connection.execute(_query().where(r.c.number == int(number) if by_number else r.c.id == id)).first()
    if row is None:
        raise NotFound(f"there is no run {id[:80]!r}", code="run-unknown", hint="uwu iac runs lists them")
    return to_struct(Run, row)


def seen(connection: sa.Connection, id: str) -> Run:
    """As ``get``, for somebody who looks: a run of a stack that they may not see is not there."""
    run = get(connection, id)
    if not sight.current().all:
        stack_of(connection, run.stack)
    return run


def page(connection: sa.Connection, *, stack: str = "", status: str = "", limit: int = 50, after: str = "") -> RunPage:
    """Runs, the newest first. ``after`` is the ``after`` of the page before."""
    behind = paging.place(after, int)
    query = _query().subquery()
    wheres: list[sa.ColumnElement[bool]] = []
    if stack:
        wheres.append(query.c.stack == stack)
    if status:
        wheres.append(query.c.status == status)
    if not sight.current().all:
        wheres.append(query.c.stack.in_(sa.select(world.entities.c.ref)))
    total = connection.execute(sa.select(sa.func.count()).select_from(query).where(*wheres)).scalar_one()
    if behind is not None:
        wheres.append(query.c.number < behind[0])
    rows = connection.execute(sa.select(query).where(*wheres).order_by(query.c.number.desc()).limit(limit + 1))
    found = [to_struct(Run, row) for row in rows]
    last = found[limit - 1] if len(found) > limit else None
    return RunPage(found[:limit], total, paging.cursor(last.number) if last is not None else "")


def blobs(connection: sa.Connection, id: str) -> Blobs:
    """Where the encrypted parts of the run ``id`` lie."""
    return to_struct(
        Blobs, connection.execute(sa.select(*columns(tables.runs, Blobs)).where(tables.runs.c.id == id)).one()
    )


def content(kernel: Kernel, blob: str) -> bytes:
    """The bytes of a blob. Raises as ``state_crypt.pieces``."""
    return b"".join(state_crypt.pieces(kernel, blob))


def document(kernel: Kernel, id: str) -> Document | None:
    """What the run found out; None before it has planned."""
    with kernel.db.read() as connection:
        blob = blobs(connection, id).json_blob
    return msgspec.json.decode(content(kernel, blob), type=Document) if blob else None


# ---- writing


def insert(connection: sa.Connection, principal: Principal, values: dict[str, Any]) -> str:
    """A new run of ``values``, queued; gives its id."""
    serialize(connection)
    r = tables.runs
    number = connection.execute(sa.select(sa.func.coalesce(sa.func.max(r.c.number), 0))).scalar_one() + 1
    id = codec.new_id("run")
    fresh: dict[str, Any] = {
        "id": id,
        "number": number,
        "status": QUEUED,
        "requested_by": principal.ref,
        "principal": codec.builtins(principal),
        "requested_at": codec.now(),
        "serial": -1,
        **dict.fromkeys(("speculative", "destroy", "forced", "refresh_only"), False),
        **dict.fromkeys(
            (
                *("why", "origin", "revision", "reason", "retries", "job", "plan", "plan_sha256", "plan_blob"),
                *("json_blob", "config_blob", "config_sha256", "lineage", "lock_id", "cancelled_by"),
            ),
            "",
        ),
        **values,
    }
    connection.execute(r.insert().values(fresh))
    return id


def update(connection: sa.Connection, id: str, **values: Any) -> None:
    """Writes columns of a run."""
    connection.execute(tables.runs.update().where(tables.runs.c.id == id).values(values))


def turn(connection: sa.Connection, run: Run, status: str) -> Run | None:
    """Gives ``run`` its turn, with ``status``, or the run of its stack that is at work or was asked for earlier.

    A speculative one waits for nobody: it holds no lock and writes nothing.
    """
    r = tables.runs
    if not run.speculative:
        serialize(connection)
        at_work = r.c.status.in_(AT_WORK)
        earlier = sa.and_(r.c.status == QUEUED, r.c.number < run.number)
        before = at_work if status == APPLYING else sa.or_(at_work, earlier)
        query = sa.select(r.c.id).where(r.c.stack == run.stack, r.c.id != run.id, r.c.speculative.is_(False), before)
        for other in connection.scalars(query.order_by(r.c.number)).all():
            found = get(connection, other)  # its status as it is: one whose job is lost keeps nobody waiting
            if found.status in (QUEUED, *AT_WORK):
                return found
    update(connection, run.id, status=status, started_at=codec.now())
    return None


def lines(connection: sa.Connection, id: str, *, after: int = 0, limit: int = 1000) -> list[Line]:
    """The log of the run ``id`` from the line after ``after``."""
    t = tables.run_log
    query = sa.select(*columns(t, Line)).where(t.c.run == id, t.c.line > after).order_by(t.c.line).limit(limit)
    return [to_struct(Line, row) for row in connection.execute(query)]


def last_line(connection: sa.Connection, id: str) -> int:
    """The number of the last line of a log; 0 for none."""
    t = tables.run_log
    return connection.execute(sa.select(sa.func.coalesce(sa.func.max(t.c.line), 0)).where(t.c.run == id)).scalar_one()


class Log:
    """Writes a run's log, some lines at a time, without the secrets that it was told."""

    MOST = 20_000
    """Lines of one run: what is said beyond is left out, and that is said."""

    def __init__(self, kernel: Kernel, run: str, phase: str) -> None:
        self._kernel, self._run, self._phase = kernel, run, phase
        self.scrubber = Scrubber()
        self._held: list[tuple[str, str]] = []
        with kernel.db.read() as connection:
            self._line = last_line(connection, run)
        self._first = self._line

    def say(self, message: str, level: str = "info") -> None:
        """One line; it is written with the next ``flush``."""
        said = self._line - self._first + len(self._held)
        if said < self.MOST or level == "error":
            self._held.append((level, self.scrubber.text(message)[:4000]))
        elif said == self.MOST:
            self._held.append(("warning", f"after {self.MOST:,} lines only errors are kept"))

    def flush(self) -> None:
        """Writes what was said."""
        if not self._held:
            return
        held, self._held = self._held, []
        now = codec.now()
        rows = [
            {"run": self._run, "line": self._line + n, "at": now, "phase": self._phase, "level": level, "message": text}
            for n, (level, text) in enumerate(held, 1)
        ]
        with self._kernel.db.write() as connection:
            connection.execute(tables.run_log.insert(), rows)
        self._line += len(rows)


class Follower:
    """One who follows the run ``id`` and remembers what was told."""

    def __init__(self, kernel: Kernel, id: str, after: int = 0) -> None:
        self._kernel, self._id, self._line = kernel, id, after
        self._last: Run | None = None
        self.finished = False

    def look(self) -> tuple[Run | None, Sequence[Line], bool]:
        """(the run where it has changed, new lines, whether there are more at once). Raises ``NotFound``."""
        with self._kernel.db.read() as connection:
            run = get(connection, self._id)
            found = lines(connection, run.id, after=self._line)
        if found:
            self._line = found[-1].line
        changed = run if run != self._last else None
        self._last = run
        behind = len(found) == 1000
        self.finished = run.status not in (QUEUED, *AT_WORK) and not behind
        return changed, found, behind


def forget(connection: sa.Connection, blobs: Iterable[str]) -> None:
    """Deletes blobs."""
    state_crypt.forget(connection, [blob for blob in blobs if blob])


def tidy(connection: sa.Connection, stack: str) -> None:
    """Deletes the plan files and configurations of the runs of ``stack`` that can no longer be applied."""
    r = tables.runs
    query = sa.select(r.c.id, r.c.plan_blob, r.c.config_blob).where(r.c.stack == stack, r.c.plan_blob != "")
    for id, plan_blob, config_blob in connection.execute(query).all():
        run = get(connection, id)
        if run.ended or (run.speculative and run.status == PLANNED):
            forget(connection, (plan_blob, config_blob))
            update(connection, id, plan_blob="", config_blob="")


def is_cancelled(kernel: Kernel, id: str) -> bool:
    """Whether somebody asked that the run stops, or its job was cancelled."""
    r, p, j = tables.runs, world.plans, world.jobs
    query = (
        sa.select(r.c.cancelled_by, j.c.status)
        .select_from(r.outerjoin(p, p.c.id == r.c.plan).outerjoin(j, j.c.id.in_((r.c.job, p.c.job))))
        .where(r.c.id == id)
    )
    with kernel.db.read() as connection:
        rows = connection.execute(query).all()
    return any(row.cancelled_by or row.status == "cancelled" for row in rows)
