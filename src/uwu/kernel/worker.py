"""The process that runs jobs: DBOS launched over one home, its heartbeat, its peers, its end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from dbos import DBOS
from sqlalchemy import exc

from uwu.kernel import codec, domain, jobs, parts, runs, schedules, tables, telemetry, workers
from uwu.kernel.errors import Conflict, Problem, Unavailable, UwuError
from uwu.kernel.jobs import Job, JobRecord
from uwu.kernel.jobs_dbos import WORKFLOW, Store, active_runs
from uwu.kernel.runs import JobRun, Parked, StepFailed
from uwu.kernel.runtime import Kernel

__all__ = ["StepFailed", "Worker", "installed"]

BEATS_PER_STALE = 5
"""Heartbeats in the time after which silence means death."""

TIDY_SECONDS = 600
"""Between two rounds of deleting old jobs and settling those whose end was never reported."""

_log = logging.getLogger("uwu.jobs")
_current: Worker | None = None


@DBOS.workflow(name=WORKFLOW)
def _run_job(ticket: dict[str, Any]) -> dict[str, Any]:
    worker, id = _current, DBOS.workflow_id
    if worker is None or id is None:
        raise Parked
    return worker.run(id, ticket)


class Worker:
    """Runs the jobs of all domains and of the kernel. One a process; over SQLite one a home."""

    def __init__(
        self,
        kernel: Kernel,
        *,
        jobs: Mapping[str, Job] | None = None,
        wait: Callable[[], bool] | None = None,
        scheduling: bool = False,
    ) -> None:
        """``jobs`` instead of the installed ones. ``wait``: see ``workers.claim``.

        ``scheduling``: it also asks for what schedules say, as the worker of a server does.
        """
        self.kernel = kernel
        self.executor_id = ""
        self.lost = threading.Event()
        """Set when our jobs are another's now: the process must end."""
        self._wait = wait
        self._scheduling = scheduling
        self._jobs = dict(installed(kernel) if jobs is None else jobs)
        self._limits: dict[tuple[str, int], threading.BoundedSemaphore] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._dbos: DBOS | None = None
        self._slot: workers.Slot | None = None
        self._heart: workers.Heart | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Takes a slot and begins to run what is queued and what was left unfinished.

        Raises ``Conflict`` where another process holds the slot, ``Unavailable`` where the database does not answer.
        """
        global _current
        if _current is not None:
            raise Conflict("this process runs a worker already", code="worker-running")
        self._slot = workers.claim(self.kernel.settings.home_path, self.kernel.db.dialect, wait=self._wait)
        self.executor_id = self._slot.executor_id
        _current = self
        failures: list[BaseException] = []

        def launch() -> None:  # in a thread of its own: DBOS refuses to register queues within an event loop
            try:
                self._launch()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=launch, name="uwu-worker-start")
        thread.start()
        thread.join()
        if failures:
            self.stop(0)
            if isinstance(failures[0], exc.OperationalError):
                raise Unavailable(
                    f"the jobs database does not answer: {str(failures[0].orig).strip()}", code="database-unavailable"
                ) from failures[0]
            raise failures[0]

    def _launch(self) -> None:
        settings = self.kernel.settings
        self.store.prepare(migrate=True)
        self.store.register_queues(settings.jobs.concurrency)
        self._heart = workers.Heart(self.kernel.db, self.executor_id)
        self._heart.start()
        self._dbos = DBOS(config=self.store.config(self.executor_id))
        DBOS.launch()
        self._threads = [threading.Thread(target=self._keep, name="uwu-worker-heart", daemon=True)]
        if self._scheduling:
            # a thread of its own: what a domain asks before a run may be slow, and the heart must not wait for it
            self._threads.append(threading.Thread(target=self._schedule, name="uwu-worker-schedules", daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def store(self) -> Store:
        """The jobs database, patient: a worker waits for a database that went away."""
        with self._lock:
            if "_store" not in self.__dict__:
                self._store = Store(self.kernel.settings.jobs_url, patient=True)
            return self._store

    def stop(self, grace_seconds: float | None = None) -> bool:
        """Stops: no new step begins, steps in flight have ``grace_seconds`` to end and be recorded.

        Unfinished jobs go on in the next worker. True where all came to rest; where not, threads are still at work and
        only the end of the process (``os._exit``) stops them.
        """
        global _current
        if _current is not self:
            return True
        grace = self.kernel.settings.jobs.grace_seconds if grace_seconds is None else grace_seconds
        self._stopping.set()
        deadline = time.monotonic() + grace
        while not self._rests() and time.monotonic() < deadline:
            time.sleep(0.02)
        # with everything parked there is nothing for DBOS to wait for; with a step in flight waiting has been done
        DBOS.destroy(workflow_completion_timeout_sec=0)
        for thread in self._threads:
            thread.join(timeout=5)
        rested = self._rests()
        if rested and self._heart is not None and not self.lost.is_set():
            try:
                self.store.give_back(self.executor_id)
                self._heart.stop()
            except (UwuError, exc.SQLAlchemyError) as error:
                _log.warning("the worker could not say goodbye; its peers will find it silent: %s", error)
        if rested:
            if "_store" in self.__dict__:
                self._store.close()
                del self.__dict__["_store"]
            if self._slot is not None:
                self._slot.release()
            _current = None
        return rested

    def run_until_done(self, job_id: str) -> JobRecord:
        """Waits until the job ``job_id`` has finished.

        Raises ``NotFound``, or ``Conflict`` where another worker has taken our place.
        """
        pause = 0.02
        while True:
            with self.kernel.db.read() as connection:
                record = jobs.job(connection, job_id)
            if record.finished:
                return record
            if self.lost.wait(pause):
                raise Conflict("another worker has taken over the jobs of this one", code="worker-lost")
            pause = min(pause * 1.5, 0.2)

    def _rests(self) -> bool:
        """No run is at work, and the outcomes of those that ended are recorded."""
        return self._dbos is None or not active_runs(self._dbos)

    def checkpoint(self) -> None:
        """Ends the calling run here, unrecorded, where the worker is stopping."""
        if self._stopping.is_set():
            raise Parked

    def sleep(self, seconds: float) -> None:
        """Sleeps, less long where the worker stops meanwhile."""
        self._stopping.wait(seconds)

    def run(self, id: str, ticket: dict[str, Any]) -> dict[str, Any]:
        """Runs one job to its outcome: ``{"result": ...}`` or ``{"problem": ...}``."""
        with telemetry.job(id, str(ticket["name"]), ticket.get("carried") or {}):
            return self._run(id, ticket)

    def _run(self, id: str, ticket: dict[str, Any]) -> dict[str, Any]:
        self.checkpoint()
        name, run = str(ticket["name"]), JobRun(self, id, ticket)
        job = self._jobs.get(name)
        with self._turn(job, int(ticket["depth"])):
            root = not ticket["parent"]
            if root:
                if (before := run.begin()) is not None:
                    return before
                with suppress(exc.SQLAlchemyError):  # slower looks are no reason to fail a job
                    self.store.pace(busy=True)
            outcome = self._outcome(job, run, name, ticket["arguments"])
            if root:
                run.end(outcome)
            elif run.announced:
                run.flush()
            return outcome

    def _outcome(self, job: Job | None, run: JobRun, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if job is None:
            problem = Problem(
                "job-unknown",
                f"no domain of this worker has the job {name!r}",
                hint="install the domain that brings it",
            )
            return {"problem": codec.builtins(problem)}
        try:
            return {"result": codec.decode(codec.encode(job.run(run, arguments)))}
        except UwuError as error:
            return runs.outcome_of(error)
        except Exception as error:  # a job must not take its worker with it
            _log.exception("the job %s (%s) failed", run.id, name)
            return runs.outcome_of(error)

    @contextmanager
    def _turn(self, job: Job | None, depth: int) -> Generator[None]:
        """Waits for a place among the runs of one job. By depth, so that no parent keeps its own child waiting."""
        if job is None:
            yield
            return
        with self._lock:
            most = job.concurrency or self.kernel.settings.jobs.concurrency
            limit = self._limits.setdefault((job.name, depth), threading.BoundedSemaphore(most))
        while not limit.acquire(timeout=0.5):
            self.checkpoint()
        try:
            self.checkpoint()
            yield
        finally:
            limit.release()

    def _keep(self) -> None:
        """The heartbeat, the reaping of dead peers and the tidying, until the worker stops."""
        stale = self.kernel.settings.jobs.stale_after_seconds
        next_tidy = 0.0
        while not self._stopping.wait(stale / BEATS_PER_STALE):
            heart = self._heart
            if heart is None:
                return
            try:
                if not heart.beat():
                    _log.error("another worker has taken over the jobs of %s: stopping", self.executor_id)
                    self._stopping.set()
                    self.lost.set()
                    return
                for peer, taken in heart.reap(stale, self.store.give_back).items():
                    _log.warning("the worker %s is dead: %d of its jobs are taken over", peer, taken)
                self.store.pace(busy=self._is_busy())
                if time.monotonic() >= next_tidy:
                    next_tidy = time.monotonic() + TIDY_SECONDS
                    self.tidy()
            except (UwuError, exc.SQLAlchemyError) as error:
                _log.warning("the worker's housekeeping failed and is tried again: %s", error)

    def _schedule(self) -> None:
        """Asks for what is due, until the worker stops."""
        while not self._stopping.wait(schedules.CHECK_SECONDS):
            try:
                schedules.check(self.kernel)
            except (UwuError, exc.SQLAlchemyError) as error:
                _log.warning("the schedules could not be looked at and are again: %s", error)

    def _is_busy(self) -> bool:
        query = sa.select(tables.jobs.c.id).where(
            tables.jobs.c.parent == "", tables.jobs.c.status.in_(("queued", "running"))
        )
        with self.kernel.db.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def tidy(self) -> None:
        """Deletes old jobs and settles those whose end was never reported. Done by itself every ten minutes."""
        self._settle()
        self._prune()

    def _settle(self) -> None:
        """Ends the rows of jobs that DBOS gave up, or that it never had."""
        table = tables.jobs
        query = sa.select(table.c.id).where(
            table.c.parent == "", table.c.status.in_(("queued", "running")),
            table.c.created_at < codec.now() - timedelta(seconds=60),
        )  # fmt: skip
        with self.kernel.db.read() as connection:
            ids = connection.execute(query.limit(1000)).scalars().all()
        outdated = [run.workflow_id for run in self.store.outdated()] if len(self._peers()) == 1 else []
        self.store.cancel(outdated)
        known = self.store.statuses(ids) if ids else {}
        for id in ids:
            if id in outdated:
                problem = {
                    "code": "job-outdated",
                    "message": "another version of uwu began it and this one cannot go on with it",
                    "hint": "ask for it again",
                }
            elif known.get(id) == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
                problem = runs.CRASHES
            elif known.get(id) in ("ERROR", "CANCELLED", None):
                problem = {"code": "job-broken", "message": "the job could not be run", "hint": "ask for it again"}
            else:
                continue
            with self.kernel.db.write() as connection:
                connection.execute(
                    table.update()
                    .where(table.c.id == id, table.c.status.not_in(jobs.FINISHED))
                    .values(status="failed", finished_at=codec.now(), problem=problem)
                )

    def _peers(self) -> list[str]:
        with self.kernel.db.read() as connection:
            return list(connection.execute(sa.select(tables.workers.c.executor_id)).scalars())

    def _prune(self) -> None:
        """Deletes finished jobs that are older than the setting, with all below them and their logs."""
        table = tables.jobs
        limit = codec.now() - timedelta(days=self.kernel.settings.jobs.keep_days)
        query = sa.select(table.c.id).where(table.c.parent == "", table.c.finished_at < limit).limit(100)
        with self.kernel.db.read() as connection:
            old = connection.execute(query).scalars().all()
            ids = [id for root in old for id in (root, *(child for child, _ in jobs.descendants(connection, root)))]
        self.store.delete(ids)
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            with self.kernel.db.write() as connection:
                connection.execute(tables.job_log.delete().where(tables.job_log.c.job.in_(part)))
                connection.execute(table.delete().where(table.c.id.in_(part)))


def installed(kernel: Kernel) -> dict[str, Job]:
    """Every job of the kernel and of the domains of ``kernel``, by its name."""
    return {**parts.jobs(), **domain.jobs_of(kernel.domains)}
