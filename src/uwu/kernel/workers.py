"""Who runs jobs: one slot a process, its heartbeat, and the dead whose jobs others take over.

A slot is a lock file of the home. It gives the process an id that is unique among the living and the same after a
restart: DBOS resumes its own unfinished runs by that id, and two living processes with one id would run a step twice.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from uwu.kernel import codec
from uwu.kernel.db import Database, upsert
from uwu.kernel.errors import Conflict, Misconfigured
from uwu.kernel.tables import workers

POSTGRESQL_SLOTS = 32
"""Workers that one home may run over PostgreSQL. Over SQLite it is one: it has one writer."""


class Slot:
    """A held slot; ``release`` gives it back, and so does the end of the process."""

    def __init__(self, file: int, executor_id: str) -> None:
        self._file = file
        self.executor_id = executor_id

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def claim(home: Path, dialect: str, *, wait: Callable[[], bool] | None = None) -> Slot:
    """A free slot of ``home``. With ``wait`` tries again once a second for as long as that gives true.

    Raises ``Conflict`` that names the holder's process where none is free.
    """
    home.mkdir(parents=True, exist_ok=True)
    while True:
        holder = ""
        for number in range(1 if dialect == "sqlite" else POSTGRESQL_SLOTS):
            path = home / f"worker-{number}.lock"
            # over SQLite the home itself is the one place: the same id, whatever host it is mounted on today
            slot, holder = _try(path, f"{'home' if dialect == 'sqlite' else _machine(home)}-{number}")
            if slot is not None:
                return slot
        if wait is None or not wait():
            raise Conflict(
                f"the jobs of this home are already run by process {holder or 'unknown'}",
                code="worker-running",
                place=str(home),
                hint="wait for it to end, or stop it; a server of this home takes jobs while it runs",
            )
        time.sleep(1)


def holder(home: Path) -> int | None:
    """The process that holds the first slot of ``home``; None where it is free."""
    try:
        file = os.open(home / "worker-0.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(file, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(file)
    return None


def _try(path: Path, executor_id: str) -> tuple[Slot | None, str]:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"the home cannot be written: {error.strerror}", code="home-read-only", place=str(path)
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(file, 32, 0).decode(errors="replace").strip()
        os.close(file)
        return None, text
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    return Slot(file, executor_id), ""


def _machine(home: Path) -> str:
    """Unlike for any other machine or home on the same database, though images be cloned and host names repeat."""
    host = socket.gethostname()
    return f"{host}-{codec.digest([host, uuid.getnode(), str(home.resolve())])[:8]}"


class Heart:
    """The row of one living worker. ``beat`` tells at once when another has taken the id, or gave us up for dead."""

    def __init__(self, db: Database, executor_id: str) -> None:
        self._db = db
        self.executor_id = executor_id
        self.started_at: datetime = codec.now()

    def start(self) -> None:
        """To be called before the first job is resumed: it waits for a peer that is just taking over our jobs."""
        with self._db.write() as connection:
            row = {
                "executor_id": self.executor_id,
                "beat_at": _clock(connection),
                "started_at": self.started_at,
                "host": socket.gethostname(),
                "pid": os.getpid(),
            }
            upsert(connection, workers, [row])

    def beat(self) -> bool:
        """Says that we live. False: our jobs are another's now, and this process must stop."""
        with self._db.write() as connection:
            beat = workers.update().where(self._mine()).values(beat_at=_clock(connection))
            return connection.execute(beat.returning(workers.c.executor_id)).first() is not None

    def stop(self) -> None:
        with self._db.write() as connection:
            connection.execute(workers.delete().where(self._mine()))

    def reap(self, stale_seconds: float, give_back: Callable[[str], int]) -> dict[str, int]:
        """Gives back the jobs of each dead peer: its id -> how many.

        The peer's row is locked meanwhile: one that starts again with the same id waits, and so its new runs are not
        taken for those of its former life.
        """
        reaped: dict[str, int] = {}
        with self._db.read() as connection:
            silent = connection.execute(self._silent(connection, stale_seconds)).scalars().all()
        for executor_id in silent:
            with self._db.write() as connection:
                still = self._silent(connection, stale_seconds).where(workers.c.executor_id == executor_id)
                if connection.execute(still.with_for_update(skip_locked=True)).first() is None:
                    continue
                reaped[executor_id] = give_back(executor_id)
                connection.execute(workers.delete().where(workers.c.executor_id == executor_id))
        return reaped

    def _silent(self, connection: sa.Connection, stale_seconds: float) -> sa.Select[str]:
        limit = _clock(connection) - timedelta(seconds=stale_seconds)
        return sa.select(workers.c.executor_id).where(
            workers.c.beat_at < limit, workers.c.executor_id != self.executor_id
        )

    def _mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(workers.c.executor_id == self.executor_id, workers.c.started_at == self.started_at)


def _clock(connection: sa.Connection) -> datetime:
    """The database's time where machines share one: their own clocks may differ by more than a heartbeat."""
    if connection.dialect.name == "sqlite":
        return codec.now()
    return connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
