"""Exactly once: keys -> a numbered batch -> files -> committed in every table, whatever is killed when.

1. One SQL transaction claims keys into the next batch. 2. The claimer holds it by epoch. 3. It writes files that no one
reads yet. 4. One conditional UPDATE records them: from then on nothing is computed again. 5. Each table takes the batch
in, once, fenced by a property of the table. 6. SQL: committed. A kill between any two leaves a state that the next
run carries on from; files of a claim that was lost are collected as orphans.
"""

# pyarrow has no types of its own
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportMissingTypeStubs=false

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import sqlalchemy as sa

from uwu.kernel import codec, leases
from uwu.kernel.db import ROWS_PER_WRITE, Database, columns, to_struct, upsert
from uwu.kernel.errors import BadInput, Conflict
from uwu.kernel.lake import maintain
from uwu.kernel.lake.spec import TableSpec
from uwu.kernel.lake.store import Lake, WrittenFile
from uwu.kernel.tables import lake_batches, lake_keys, lake_streams

_CLAIM_SECONDS = 600.0
"""How long a claim stands without ``renew``; after it another worker may take the batch over."""
_LEASE_SECONDS = 60.0

_committing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""Threads of one process share a holder's name: these keep them one after another."""


Files = dict[str, list[WrittenFile]]
Settle = Callable[[int, Files, dict[str, Any]], "Files | None"]


class State(StrEnum):
    """How far a batch is."""

    CLAIMED = "claimed"
    WRITTEN = "written"
    COMMITTED = "committed"
    VOID = "void"


class Batch(msgspec.Struct, frozen=True):
    """A claimed batch: the keys to read, and the epoch under which its files will be taken."""

    stream: str
    number: int
    epoch: int
    keys: tuple[str, ...]


class BatchState(msgspec.Struct, frozen=True):
    """A batch as it is recorded."""

    number: int
    state: State
    epoch: int
    holder: str
    rows: dict[str, int]
    detail: dict[str, Any]
    created_at: datetime
    written_at: datetime | None
    committed_at: datetime | None


class Batches:
    """The batches of one stream. ``holder`` is the worker's stable name: after a kill it gets its own batches back."""

    def __init__(
        self,
        db: Database,
        lake: Lake,
        stream: str,
        tables: Sequence[TableSpec],
        *,
        holder: str = "",
        claim_seconds: float = _CLAIM_SECONDS,
        settle: Settle | None = None,
    ) -> None:
        """``settle`` is asked before a batch is committed, when the tables hold exactly the batches before it: with
        the batch's number, its files by table and its detail it gives the files to commit instead, or None. It may be
        asked again after a kill, and then answers for what it gave before."""
        self.db = db
        self.lake = lake
        self.stream = stream
        self.tables = tuple(tables)
        self.holder = holder or leases.process_holder()
        self.claim_seconds = claim_seconds
        self.settle = settle
        for spec in self.tables:
            lake.ensure(spec)

    # ── keys ────────────────────────────────────────────────────────────────────────────────────

    def unclaimed(self, keys: Sequence[str]) -> list[str]:
        """Those of ``keys`` that no batch holds, each once, in the order given."""
        with self.db.read() as connection:
            taken = self._taken(connection, keys)
        return [key for key in dict.fromkeys(keys) if key not in taken]

    def _taken(self, connection: sa.Connection, keys: Sequence[str]) -> set[str]:
        taken: set[str] = set()
        remaining = iter(keys)
        while part := list(islice(remaining, 500)):
            taken.update(
                connection.execute(
                    sa.select(lake_keys.c.key).where(lake_keys.c.stream == self.stream, lake_keys.c.key.in_(part))
                ).scalars()
            )
        return taken

    def kept(self, keys: Sequence[str]) -> set[str]:
        """Those of ``keys`` whose rows are written for good: whoever told of them need not do so again."""
        found: set[str] = set()
        remaining = iter(dict.fromkeys(keys))
        k, b = lake_keys, lake_batches
        done = sa.and_(
            b.c.stream == k.c.stream, b.c.number == k.c.batch, b.c.state.in_((State.WRITTEN, State.COMMITTED))
        )
        with self.db.read() as connection:
            while part := list(islice(remaining, 500)):
                query = sa.select(k.c.key).join(b, done).where(k.c.stream == self.stream, k.c.key.in_(part))
                found.update(connection.scalars(query))
        return found

    def claim(self, keys: Sequence[str]) -> Batch | None:
        """Takes those of ``keys`` that are free into the next batch; None where none is free. At most 1,000 at once."""
        if len(keys) > ROWS_PER_WRITE:
            raise ValueError(f"{len(keys)} keys in one batch; the most is {ROWS_PER_WRITE}")
        now = codec.now()
        with self.db.write() as connection:
            upsert(connection, lake_streams, [{"name": self.stream, "last_batch": 0}], update=())
            last = connection.execute(
                sa.select(lake_streams.c.last_batch).where(lake_streams.c.name == self.stream).with_for_update()
            ).scalar_one()
            taken = self._taken(connection, keys)
            free = tuple(key for key in dict.fromkeys(keys) if key not in taken)
            if not free:
                return None
            batch = Batch(self.stream, last + 1, 1, free)
            connection.execute(
                sa.update(lake_streams).where(lake_streams.c.name == self.stream).values(last_batch=batch.number)
            )
            connection.execute(
                lake_batches.insert().values(
                    stream=self.stream,
                    number=batch.number,
                    state=State.CLAIMED,
                    epoch=batch.epoch,
                    holder=self.holder,
                    expires_at=now + timedelta(seconds=self.claim_seconds),
                    files={},
                    rows={},
                    detail={},
                    created_at=now,
                )
            )
            connection.execute(
                lake_keys.insert(), [{"stream": self.stream, "key": key, "batch": batch.number} for key in free]
            )
        return batch

    def release(self, batch: Batch) -> None:
        """Gives the keys back, to be claimed again; the number stays unused. Raises ``Conflict`` (``batch-lost``)."""
        with self.db.write() as connection:
            self._update(connection, batch, state=State.VOID)
            connection.execute(
                lake_keys.delete().where(lake_keys.c.stream == self.stream, lake_keys.c.batch == batch.number)
            )

    def renew(self, batch: Batch) -> None:
        """Keeps a claim whose reading takes minutes. Raises ``Conflict`` (``batch-lost``) where another has it."""
        with self.db.write() as connection:
            self._update(connection, batch, expires_at=codec.now() + timedelta(seconds=self.claim_seconds))

    def recover(self) -> list[Batch]:
        """Takes over what a dead worker left claimed: this holder's own, and every claim that has run out.

        Each has a new epoch: whoever held it before can record nothing any more. Read their keys again and ``write``.
        """
        now = codec.now()
        mine = sa.or_(lake_batches.c.holder == self.holder, lake_batches.c.expires_at <= now)
        with self.db.write() as connection:
            taken = connection.execute(
                sa.update(lake_batches)
                .where(lake_batches.c.stream == self.stream, lake_batches.c.state == State.CLAIMED, mine)
                .values(
                    epoch=lake_batches.c.epoch + 1,
                    holder=self.holder,
                    expires_at=now + timedelta(seconds=self.claim_seconds),
                )
                .returning(lake_batches.c.number, lake_batches.c.epoch)
            ).all()
            found: list[Batch] = []
            for number, epoch in sorted((int(n), int(e)) for n, e in taken):
                keys = connection.execute(
                    sa.select(lake_keys.c.key)
                    .where(lake_keys.c.stream == self.stream, lake_keys.c.batch == number)
                    .order_by(lake_keys.c.key)
                ).scalars()
                found.append(Batch(self.stream, number, epoch, tuple(keys)))
        return found

    def _update(self, connection: sa.Connection, batch: Batch, **values: Any) -> None:
        changed = connection.execute(
            sa.update(lake_batches)
            .where(
                lake_batches.c.stream == self.stream,
                lake_batches.c.number == batch.number,
                lake_batches.c.epoch == batch.epoch,
                lake_batches.c.state == State.CLAIMED,
            )
            .values(**values)
        ).rowcount
        if changed != 1:
            raise Conflict(
                f"batch {batch.number} of {self.stream!r} was taken over by another worker",
                code="batch-lost",
                hint="nothing is lost: the other worker takes the same keys in",
            )

    # ── rows ────────────────────────────────────────────────────────────────────────────────────

    def write(
        self,
        batch: Batch,
        rows: Mapping[str, pa.Table | Sequence[pa.RecordBatch]],
        *,
        detail: Mapping[str, Any] | None = None,
        ordered: bool = False,
    ) -> None:
        """Writes and records all rows of ``batch``: from here on they are kept, and must not be computed again.

        With ``ordered`` the rows of each table lie in its order already.

        Raises ``Conflict`` (``batch-lost``) where another worker has taken the batch, ``StorageFull`` where no room is
        left (the batch is still this worker's: write again, or release it) and what ``Lake.copy`` raises.
        """
        if unknown := rows.keys() - {spec.name for spec in self.tables}:
            raise BadInput(f"the stream {self.stream!r} has no table {min(unknown)!r}", code="lake-no-table")
        files: dict[str, list[WrittenFile]] = {}
        try:
            for spec in self.tables:
                label = f"{self.stream}-{batch.number:08d}-{batch.epoch}"
                files[spec.name] = self.lake.copy(spec.name, rows.get(spec.name, ()), label, ordered=ordered)
            with self.db.write() as connection:
                self._update(
                    connection,
                    batch,
                    state=State.WRITTEN,
                    files={name: codec.builtins(written) for name, written in files.items()},
                    rows={name: sum(file.rows for file in written) for name, written in files.items()},
                    detail=dict(detail or {}),
                    written_at=codec.now(),
                )
        except BaseException:
            # a transaction whose outcome is unknown may have recorded them: then they are the batch's own
            if not self._recorded(batch):
                for written in files.values():
                    for file in written:
                        Path(file.path).unlink(missing_ok=True)
            raise

    def _recorded(self, batch: Batch) -> bool:
        try:
            with self.db.read() as connection:
                state = connection.execute(
                    sa.select(lake_batches.c.state).where(
                        lake_batches.c.stream == self.stream,
                        lake_batches.c.number == batch.number,
                        lake_batches.c.epoch == batch.epoch,
                    )
                ).scalar_one_or_none()
        except Exception:  # the database is away: leave the files to the orphan collection
            return True
        return state in {State.WRITTEN, State.COMMITTED}

    def commit(self, wait: float = 30.0) -> list[int]:
        """Commits every written batch in order, up to the first that is still claimed; gives their numbers.

        Raises ``Conflict`` (``lease-held``) where another commits for longer than ``wait`` seconds.
        """
        if not self._next():
            return []
        done: list[int] = []
        with self._turn(wait) as lease:
            while ready := self._next():
                number, files = ready
                files = self._settled(number, files)
                for spec in self.tables:
                    self.lake.commit(spec.name, self.stream, number, files.get(spec.name, []))
                with self.db.write() as connection:
                    connection.execute(
                        sa.update(lake_batches)
                        .where(
                            lake_batches.c.stream == self.stream,
                            lake_batches.c.number == number,
                            lake_batches.c.state == State.WRITTEN,
                        )
                        .values(state=State.COMMITTED, committed_at=codec.now())
                    )
                done.append(number)
                leases.renew(self.db, lease, _LEASE_SECONDS)
        return done

    def _settled(self, number: int, files: Files) -> Files:
        if self.settle is None or any(self.lake.taken(spec.name, self.stream) >= number for spec in self.tables):
            return files
        b = lake_batches
        mine = sa.and_(b.c.stream == self.stream, b.c.number == number)
        with self.db.read() as connection:
            detail = connection.execute(sa.select(b.c.detail).where(mine)).scalar_one()
        settled = self.settle(number, files, detail)
        if settled is None:
            return files
        with self.db.write() as connection:
            connection.execute(
                sa.update(b)
                .where(mine, b.c.state == State.WRITTEN)
                .values(
                    files={name: codec.builtins(written) for name, written in settled.items()},
                    rows={name: sum(file.rows for file in written) for name, written in settled.items()},
                )
            )
        return settled

    def committed(self) -> int:
        """The last batch before the first that is claimed or written: the tables hold all up to it."""
        b = lake_batches
        pending = sa.select(sa.func.min(b.c.number)).where(
            b.c.stream == self.stream, b.c.state.in_((State.CLAIMED, State.WRITTEN))
        )
        last = sa.select(lake_streams.c.last_batch).where(lake_streams.c.name == self.stream)
        with self.db.read() as connection:
            first = connection.execute(pending).scalar_one_or_none()
            return int(first) - 1 if first is not None else int(connection.execute(last).scalar_one_or_none() or 0)

    def _turn(self, wait: float) -> _Turn:
        return _Turn(self.db, f"lake:{self.stream}", self.holder, wait)

    def _next(self) -> tuple[int, Files] | None:
        """The first batch that is not done, where it is written."""
        with self.db.read() as connection:
            row = connection.execute(
                sa.select(lake_batches.c.number, lake_batches.c.state, lake_batches.c.files)
                .where(
                    lake_batches.c.stream == self.stream,
                    lake_batches.c.state.in_((State.CLAIMED, State.WRITTEN)),
                )
                .order_by(lake_batches.c.number)
                .limit(1)
            ).one_or_none()
        if row is None or row.state != State.WRITTEN:
            return None
        return int(row.number), msgspec.convert(row.files, dict[str, list[WrittenFile]])

    # ── upkeep ──────────────────────────────────────────────────────────────────────────────────

    def maintain(self, limits: maintain.Limits = maintain.LIMITS, *, wait: float = 30.0) -> maintain.Report:
        """Compacts days of many files, expires snapshots and collects orphans, in the committer's own turn."""
        total = maintain.Report()
        with self._turn(wait):
            pending = self._pending_files()
            for spec in self.tables:
                total = total.plus(maintain.maintain(self.lake, spec, limits, keep=pending))
        return total

    def retain(self, since: date, *, wait: float = 30.0) -> int:
        """Takes the files of days before ``since`` out of every table, whole; gives how many. Nothing is rewritten.

        They leave the disk once no snapshot that is kept names them.
        """
        with self._turn(wait):
            return sum(maintain.drop(self.lake, spec, since) for spec in self.tables)

    def _pending_files(self) -> set[str]:
        with self.db.read() as connection:
            rows = connection.execute(
                sa.select(lake_batches.c.files).where(
                    lake_batches.c.stream == self.stream, lake_batches.c.state == State.WRITTEN
                )
            ).scalars()
            return {
                file.path
                for files in rows
                for written in msgspec.convert(files, dict[str, list[WrittenFile]]).values()
                for file in written
            }

    def states(self, limit: int = 100) -> list[BatchState]:
        """The latest batches, newest first."""
        with self.db.read() as connection:
            rows = connection.execute(
                sa.select(*columns(lake_batches, BatchState))
                .where(lake_batches.c.stream == self.stream)
                .order_by(lake_batches.c.number.desc())
                .limit(limit)
            ).all()
        return [to_struct(BatchState, row) for row in rows]


class _Turn:
    """The committer's turn: one thread of the process, one process of the cluster."""

    def __init__(self, db: Database, name: str, holder: str, wait: float) -> None:
        self._lock = _committing[f"{db.url.render_as_string()}#{name}"]
        self._held = leases.hold(db, name, holder, _LEASE_SECONDS, wait)

    def __enter__(self) -> leases.Lease:
        self._lock.acquire()
        try:
            return self._held.__enter__()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._held.__exit__(kind, error, trace)
        finally:
            self._lock.release()
