"""What uwu asks of DBOS: one engine, one serializer, one queue a depth. Importing it costs 0.6 s: import it late.

The few private functions of DBOS that are needed are called here and nowhere else; a test covers each.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, Serializer, WorkflowStatus
from sqlalchemy import event

from uwu.kernel import codec

APPLICATION = "uwu"
APPLICATION_VERSION = "1"
"""Raise it by hand when the steps of a job change so that a run begun before cannot be resumed: DBOS resumes only
runs of the same version, and one computed from the source would orphan every run at every release."""

WORKFLOW = "uwu_job"
DEPTHS = 4
"""How deep jobs may fan out. Each depth has its queue: a parent never holds the place that its child waits for."""

BUSY_POLL_SECONDS = 0.05
"""How often a worker looks into each queue while any job runs; DBOS's default of 1 s would be felt at every fan-out."""

IDLE_POLL_SECONDS = 0.5
"""The same while none runs, since a look costs 3 ms of CPU; the first queue, where all begins, twice as often."""

PREFETCH = 4
"""Jobs claimed for each one that may run: what keeps short jobs flowing between two polls."""

PENDING = "PENDING"
UNFINISHED = ("ENQUEUED", "DELAYED", PENDING)
FINISHED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

logging.getLogger("dbos").addHandler(logging.NullHandler())  # with a handler there, DBOS adds none to the console


class Failure(RuntimeError):
    """An exception as DBOS recorded it: its type and its message."""


class JsonSerializer(Serializer):
    """JSON, so that what is stored can be read by people and never runs code when it is loaded."""

    def serialize(self, data: Any) -> str:
        if isinstance(data, BaseException):
            data = {"exception": type(data).__name__, "message": str(data)}
        return codec.encode(data).decode()

    def deserialize(self, serialized_data: str) -> Any:
        data: Any = codec.decode(serialized_data)
        match data:
            case {"exception": str(kind), "message": str(message), **rest} if not rest:
                return Failure(f"{kind}: {message}")
            case _:
                return data  # pyright: ignore[reportUnknownVariableType]

    def name(self) -> str:
        return "uwu_json"


def queue(depth: int) -> str:
    """The queue of jobs that have ``depth`` ancestors."""
    return f"uwu-{depth}"


def _poll_seconds(depth: int, busy: bool) -> float:
    return BUSY_POLL_SECONDS if busy else IDLE_POLL_SECONDS / (1 if depth else 2)


def active_runs(dbos: DBOS) -> list[str]:
    """The ids of the runs that are at work in this process, up to the record of their outcome."""
    return dbos._active_workflows_set.activeList()  # pyright: ignore[reportPrivateUsage]


class Store:
    """The jobs database and its client. Threads may share it."""

    def __init__(self, url: str, *, patient: bool = False) -> None:
        """``patient`` waits for a database that went away, as a worker should; otherwise it is an error."""
        self.engine = _engine(sa.make_url(url))
        self.client = DBOSClient(
            system_database_engine=self.engine,
            serializer=JsonSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=patient,
        )

    def prepare(self, *, migrate: bool = False) -> None:
        """Makes DBOS's tables where they are missing; with ``migrate`` also brings older ones up to date."""
        schema = None if self.engine.dialect.name == "sqlite" else "dbos"
        if migrate or not sa.inspect(self.engine).has_table("dbos_migrations", schema=schema):
            self.client._sys_db.run_migrations()  # pyright: ignore[reportPrivateUsage]

    def config(self, executor_id: str) -> DBOSConfig:
        """The configuration of a DBOS that runs jobs."""
        return {
            "name": APPLICATION,
            "system_database_engine": self.engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": executor_id,
            "serializer": JsonSerializer(),
            "log_level": "ERROR",
            "enable_otlp": False,
        }

    def register_queues(self, concurrency: int) -> None:
        """Writes the queues' settings; a worker started afterwards polls them from its first moment."""
        for depth in range(DEPTHS):
            self.client.register_queue(
                queue(depth), worker_concurrency=concurrency * PREFETCH, polling_interval_sec=_poll_seconds(depth, True)
            )

    def pace(self, *, busy: bool) -> None:
        """Sets how often all workers look into the queues; they follow within one look."""
        for depth in range(DEPTHS):
            found, seconds = self.client.retrieve_queue(queue(depth)), _poll_seconds(depth, busy)
            if found is not None and found.polling_interval_sec != seconds:
                found.set_polling_interval_sec(seconds)

    def enqueue(self, id: str, ticket: Mapping[str, Any], *, key: str = "") -> str:
        """Enqueues one; gives ``id``, or that of the unfinished run that holds ``key``."""
        options = self._options(id, ticket)
        if key:
            options["deduplication_id"] = key
            options["duplication_policy"] = "return-existing"
        return self.client.enqueue(options, dict(ticket)).get_workflow_id()

    def enqueue_all(self, tickets: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Enqueues many in few transactions; those that are there already stay as they are."""
        for start in range(0, len(tickets), 200):
            with self.engine.begin() as connection:
                for id, ticket in tickets[start : start + 200]:
                    self.client.enqueue_in_transaction(connection, self._options(id, ticket), dict(ticket))

    def finished(self, ids: Sequence[str]) -> list[WorkflowStatus]:
        """Those of ``ids`` that have ended, with their outputs."""
        return [
            status
            for start in range(0, len(ids), 1000)
            for status in self.client.list_workflows(
                workflow_ids=list(ids[start : start + 1000]), status=list(FINISHED), load_input=False
            )
        ]

    def statuses(self, ids: Sequence[str]) -> dict[str, str]:
        """Id -> DBOS's status; an id that is not known is left out."""
        found = self.client.list_workflows(workflow_ids=list(ids), load_input=False, load_output=False)
        return {status.workflow_id: str(status.status) for status in found}

    def cancel(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), 500):
            self.client.cancel_workflows(list(ids[start : start + 500]))

    def delete(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), 500):
            self.client.delete_workflows(list(ids[start : start + 500]))

    def outdated(self) -> list[WorkflowStatus]:
        """Unfinished runs of another application version."""
        found = self.client.list_workflows(status=list(UNFINISHED), load_input=False, load_output=False)
        return [status for status in found if status.app_version not in (None, APPLICATION_VERSION)]

    def give_back(self, executor_id: str) -> int:
        """Puts the runs that the dead ``executor_id`` had begun back into their queues; gives how many.

        Not ``resume_workflows``: that forgets the queue and the deduplication key. Doing it twice does no harm, since a
        run that a live executor has claimed meanwhile carries that one's id.
        """
        database = self.client._sys_db  # pyright: ignore[reportPrivateUsage]
        pending = database.get_pending_workflows(executor_id, APPLICATION_VERSION)
        return sum(database.reenqueue_for_recovery(run.workflow_id, [executor_id], queue(0)) for run in pending)

    def close(self) -> None:
        self.client.destroy()
        self.engine.dispose()

    def _options(self, id: str, ticket: Mapping[str, Any]) -> EnqueueOptions:
        # an enqueue without a version would go to the latest one that was ever seen
        return {
            "workflow_name": WORKFLOW,
            "queue_name": queue(ticket["depth"]),
            "workflow_id": id,
            "app_version": APPLICATION_VERSION,
        }


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=12,
            max_overflow=24,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "application_name": "uwu-jobs"},
        )
    engine = sa.create_engine(url, pool_size=12, max_overflow=24, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = "IMMEDIATE"
        # write-ahead logging must be on before DBOS touches the file (4-9 times faster); with synchronous=normal a
        # power cut may lose the last records, never a kill: their steps are run again, as any step in flight is
        for pragma in ("journal_mode=wal", "synchronous=normal", "foreign_keys=on", "busy_timeout=30000"):
            connection.execute(f"pragma {pragma}")

    return engine
