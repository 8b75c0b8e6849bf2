"""One run of a job in a worker: its steps, its children, its progress and its log."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

import sqlalchemy as sa
from dbos import DBOS, WorkflowStatus

from uwu.kernel import codec, tables, telemetry
from uwu.kernel.db import ROWS_PER_WRITE, upsert
from uwu.kernel.domain import load
from uwu.kernel.errors import BadInput, Problem, UwuError
from uwu.kernel.jobs import Arguments, mark_cancelled, queued_row
from uwu.kernel.jobs_dbos import DEPTHS

if TYPE_CHECKING:
    from uwu.kernel.runtime import Kernel
    from uwu.kernel.worker import Worker

T = TypeVar("T")

PROGRESS_SECONDS = 0.25
"""Between two writes of a run's progress: what an eye follows, and no load."""

FIRST_LOOK_SECONDS, LAST_LOOK_SECONDS = 0.02, 0.1
"""How soon, and then how often, a parent looks for children that have ended."""


class StepFailed(UwuError):
    """A step ended in an exception that is not one of uwu's: its type and message, as recorded."""

    code = "step-failed"


class Parked(BaseException):
    """The worker stops: the run ends here unrecorded, and goes on elsewhere. Not for a job's body to catch."""


class JobRun:
    """The ``Run`` that a body is given."""

    def __init__(self, worker: Worker, id: str, ticket: Mapping[str, Any]) -> None:
        self._worker = worker
        self._id = id
        self._ticket = ticket
        self._in_step = False
        self._announced = False
        self._lock = threading.Lock()
        self._progress: tuple[str, int, int] = ("", 0, 0)
        self._written: tuple[str, int, int] = ("", 0, 0)
        self._written_at = 0.0
        self._line = 0
        self._logged: Counter[bytes] = Counter()

    @property
    def id(self) -> str:
        return self._id

    @property
    def kernel(self) -> Kernel:
        return self._worker.kernel

    def step(self, function: Callable[..., T], *args: Any, name: str = "") -> T:
        if self._in_step:
            return function(*args)
        self._worker.checkpoint()
        label = name or getattr(function, "__qualname__", "step")
        fresh: list[Exception] = []

        def body() -> dict[str, Any]:
            self._in_step = True
            try:
                with telemetry.span(f"step {label}"):
                    return {"value": _plain(function(*args))}
            except Exception as error:  # whatever a step raises is its outcome: recorded once, raised ever after
                fresh.append(error)
                return _recorded(error)
            finally:
                self._in_step = False

        outcome = DBOS.run_step({"name": label}, body)
        if "problem" in outcome:
            raise _raised(outcome) from (fresh[0] if fresh else None)
        return outcome["value"]

    def fan_out(self, job: str, arguments: Sequence[Arguments], *, keys: Sequence[str]) -> list[dict[str, Any]]:
        depth = int(self._ticket["depth"]) + 1
        if self._in_step:
            raise BadInput(f"{job} is fanned out within a step; do it in the job's body", code="fan-out-in-step")
        if depth >= DEPTHS:
            raise BadInput(f"{job} would be the {depth + 1}th depth of jobs; {DEPTHS} are the most", code="job-depth")
        if len(keys) != len(arguments) or len(set(keys)) != len(keys):
            raise BadInput(f"the children of {job} need one key each, all different", code="fan-out-keys")
        if not keys:
            return []
        self._worker.checkpoint()
        self._announce()
        asked = codec.iso(codec.now())
        tickets = [
            (
                child_id(self._id, job, key),
                {
                    "name": job,
                    "arguments": codec.builtins(dict(given)),
                    "parent": self._id,
                    "depth": depth,
                    "requested_by": self._ticket["requested_by"],
                    "created_at": asked,
                    "carried": telemetry.carried(),
                },
            )
            for key, given in zip(keys, arguments, strict=True)
        ]
        DBOS.run_step({"name": f"enqueue {job}"}, self._enqueue, tickets)
        return DBOS.run_step({"name": f"await {job}"}, self._await, tickets)

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        with self._lock:
            self._progress = (stage, done, total)
            due = stage != self._written[0] or time.monotonic() - self._written_at >= PROGRESS_SECONDS
        if due:
            self.flush()

    def log(self, message: str, *, level: str = "info", data: Any = None) -> None:
        self._announce()
        plain = codec.builtins(data)
        with self._lock:
            mark = codec.canonical([level, message, plain])
            if self._logged[mark]:  # a resumed body says again what it said before
                self._logged[mark] -= 1
                return
            self._line += 1
            row = {
                "job": self._id,
                "line": self._line,
                "at": codec.now(),
                "level": level,
                "message": message,
                "data": plain,
            }
            with self.kernel.db.write() as connection:
                upsert(connection, tables.job_log, [row])

    def flush(self) -> None:
        """Writes the progress where it has changed."""
        self._announce()
        with self._lock:
            if self._progress == self._written:
                return
            stage, done, total = self._written = self._progress
            self._written_at = time.monotonic()
        with self.kernel.db.write() as connection:
            connection.execute(
                tables.jobs.update()
                .where(tables.jobs.c.id == self._id, tables.jobs.c.status == "running")
                .values(stage=stage, done=done, total=total)
            )

    def begin(self) -> dict[str, Any] | None:
        """Marks the job as running; gives its outcome where it had ended before its end could be reported."""
        table = tables.jobs
        query = sa.select(table.c.status, table.c.result, table.c.problem, table.c.started_at)
        with self.kernel.db.write() as connection:
            row = connection.execute(query.where(table.c.id == self._id)).first()
            if row is not None and row.status in ("done", "failed"):
                return {"problem": row.problem} if row.status == "failed" else {"result": row.result}
            if row is not None and row.status == "cancelled":
                raise Parked
            if row is None or row.status == "queued":
                fresh = {**queued_row(self._id, self._ticket), "status": "running", "started_at": codec.now()}
                upsert(connection, table, [fresh], update=("status", "started_at"))
            elif row.status == "running":
                self._remember(connection)
        self._announced = True
        return None

    def end(self, outcome: Mapping[str, Any]) -> None:
        """Marks the job as ended, unless it was cancelled meanwhile."""
        self.flush()
        problem = outcome.get("problem")
        with self.kernel.db.write() as connection:
            connection.execute(
                tables.jobs.update()
                .where(tables.jobs.c.id == self._id, tables.jobs.c.status == "running")
                .values(
                    status="failed" if problem else "done",
                    finished_at=codec.now(),
                    result=outcome.get("result"),
                    problem=problem,
                )
            )

    @property
    def announced(self) -> bool:
        """Whether the job has a row that says that it runs."""
        return self._announced

    def _announce(self) -> None:
        """A child gets its own row as running only when it has something to say: most never do."""
        if not self._announced:
            self.begin()

    def _remember(self, connection: sa.Connection) -> None:
        table = tables.job_log
        query = sa.select(table.c.line, table.c.level, table.c.message, table.c.data).where(table.c.job == self._id)
        for row in connection.execute(query):
            self._line = max(self._line, row.line)
            self._logged[codec.canonical([row.level, row.message, row.data])] += 1

    def _enqueue(self, tickets: Sequence[tuple[str, dict[str, Any]]]) -> int:
        self._worker.store.enqueue_all(tickets)
        rows = [queued_row(id, ticket) for id, ticket in tickets]
        self._write(rows, update=())
        return len(rows)

    def _await(self, tickets: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        waiting = dict(tickets)
        results: dict[str, dict[str, Any]] = {}
        stage, pause, next_count = self._progress[0], FIRST_LOOK_SECONDS, 0.0
        rows: list[dict[str, Any]] = []
        while waiting:
            self._worker.checkpoint()
            ended = self._worker.store.finished(list(waiting))
            for status in ended:
                outcome = _outcome(status)
                rows.append(_ended_row(status, waiting.pop(status.workflow_id), outcome))
                results[status.workflow_id] = _result(outcome)
            now = time.monotonic()
            if rows and (not waiting or now >= next_count):
                next_count = now + PROGRESS_SECONDS
                self._write(rows, update=("status", "started_at", "finished_at", "result", "problem"))
                rows = []
                if len(tickets) > 1:
                    self.progress(stage, len(results), len(tickets))
            if waiting:
                self._stop_if_cancelled(list(waiting))
                pause = FIRST_LOOK_SECONDS if ended and len(tickets) == 1 else min(pause * 1.5, LAST_LOOK_SECONDS)
                self._worker.sleep(pause)
        return [results[id] for id, _ in tickets]

    def _stop_if_cancelled(self, waiting: Sequence[str]) -> None:
        query = sa.select(tables.jobs.c.status).where(tables.jobs.c.id == self._id)
        with self.kernel.db.read() as connection:
            if connection.execute(query).scalar() != "cancelled":
                return
        self._worker.store.cancel(waiting)  # those that were enqueued while we were being cancelled
        mark_cancelled(self.kernel.db, waiting)
        raise Parked

    def _write(self, rows: Sequence[dict[str, Any]], *, update: Sequence[str]) -> None:
        for start in range(0, len(rows), ROWS_PER_WRITE):
            with self.kernel.db.write() as connection:
                upsert(connection, tables.jobs, rows[start : start + ROWS_PER_WRITE], update=update)


def child_id(parent: str, job: str, key: str) -> str:
    """The id of a child: the same whenever the same parent asks for the same."""
    return f"{parent}:{job}" if key == job else f"{parent}:{job}:{key}"


def outcome_of(error: Exception) -> dict[str, Any]:
    """What is recorded of a job that ended in ``error``."""
    return {"problem": _recorded(error)["problem"]}


def _plain(value: Any) -> Any:
    """As it comes back from the record: the first run must not see more than a resumed one."""
    return codec.decode(codec.encode(value))


def _recorded(error: Exception) -> dict[str, Any]:
    if isinstance(error, UwuError):
        kind = type(error)
        return {"problem": codec.builtins(error.problem), "type": f"{kind.__module__}:{kind.__qualname__}"}
    problem = Problem(StepFailed.code, f"{type(error).__name__}: {error}")
    return {"problem": codec.builtins(problem), "type": f"{StepFailed.__module__}:{StepFailed.__qualname__}"}


def _raised(outcome: Mapping[str, Any]) -> UwuError:
    problem = outcome["problem"]
    try:
        kind = load(str(outcome["type"]))
    except (ImportError, AttributeError):
        kind = StepFailed
    if not (isinstance(kind, type) and issubclass(kind, UwuError)):
        kind = StepFailed
    return kind(problem["message"], code=problem["code"], place=problem.get("place", ""), hint=problem.get("hint", ""))


def _outcome(status: WorkflowStatus) -> dict[str, Any]:
    output: Any = status.output  # pyright: ignore[reportUnknownMemberType]
    if output is not None:
        return cast("dict[str, Any]", output)
    if status.status == "CANCELLED":
        return {"problem": {"code": "job-cancelled", "message": "the job was cancelled"}}
    if status.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return {"problem": CRASHES}
    return {"problem": {"code": "job-broken", "message": f"the job could not be run: {status.error}"}}


CRASHES = {
    "code": "job-crashes",
    "message": "its worker died so often while it ran that it was given up",
    "hint": "look for the cause in the worker's log: memory, disk, a crash of native code",
}


def _result(outcome: Mapping[str, Any]) -> dict[str, Any]:
    if outcome.get("problem"):
        return {"problem": outcome["problem"]}
    return outcome["result"] or {}


def _ended_row(status: WorkflowStatus, ticket: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, Any]:
    problem = outcome.get("problem")
    state = "done" if not problem else "cancelled" if status.status == "CANCELLED" else "failed"
    return {
        **queued_row(status.workflow_id, ticket),
        "status": state,
        "started_at": _time(status.dequeued_at),
        "finished_at": _time(status.completed_at) or codec.now(),
        "result": outcome.get("result"),
        "problem": problem,
    }


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
