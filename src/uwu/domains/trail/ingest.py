"""Objects -> events in the lake, each once: whatever is killed, delivered twice or held by two objects."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import msgspec

from uwu.domains.trail import actors, settle, sources, store
from uwu.domains.trail.actors import SessionIndex
from uwu.domains.trail.callers import Callers
from uwu.domains.trail.names import Namer
from uwu.domains.trail.read import Event, Read
from uwu.domains.trail.read import read as read_object
from uwu.domains.trail.rows import Rows
from uwu.domains.trail.sources import Gone, Object
from uwu.kernel import codec, declared, domain, leases
from uwu.kernel.errors import Conflict, Problem, UwuError
from uwu.kernel.lake import Batch, Batches
from uwu.kernel.leases import Lease
from uwu.kernel.runtime import Kernel

LEASE = "trail.ingest"
LEASE_SECONDS = 120.0
"""How long a dead ingest keeps others out; the same job, resumed, takes the lease at once. Renewed at each batch."""
WAIT_SECONDS = 900.0
"""How long an ingest waits for another one to end."""
OBJECTS_PER_BATCH = 1_000
"""As many keys as one claim takes."""
CLAIM_SECONDS = 180.0
"""How long a claim stands unless it is renewed: then another worker takes over what a dead one had begun."""
UPKEEP_EVERY = 20
"""Batches of one run between two looks for what to compact."""
PROBLEMS_TOLD = 200
"""Problems in the result of one ingest; all of them are in ``trail_rejects``."""

Progress = Callable[[str, int, int], None]


class Taken(msgspec.Struct, kw_only=True):
    """What an ingest took."""

    objects: int = 0
    events: int = 0
    """Events added."""
    duplicates: int = 0
    """Events that were there already."""
    rejected: int = 0
    """Records kept aside."""
    writes: int = 0
    """Successful writes among the added."""
    named: int = 0
    """Those of them whose target is named."""
    humans: int = 0
    """Added events whose human is named."""
    others: int = 0
    """Added events whose machine or service is named."""
    actors_named_later: int = 0
    """Earlier events whose actor these events told."""
    problems: list[Problem] = []

    def add(self, other: Taken) -> None:
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))
        del self.problems[PROBLEMS_TOLD:]

    @property
    def named_pct(self) -> float:
        """Of the successful writes, how many name their resource; 100 where there is none."""
        return round(100 * self.named / self.writes, 2) if self.writes else 100.0

    @property
    def actor_pct(self) -> float:
        """Of the events, how many name their human, machine or service; 100 where there is none."""
        return round(100 * (self.humans + self.others) / self.events, 2) if self.events else 100.0

    def plain(self) -> dict[str, Any]:
        return {**codec.builtins(self), "named_pct": self.named_pct, "actor_pct": self.actor_pct}


class Ingest:
    """One run over sources. Only one runs at a time in a lane: ``opened`` holds its lease."""

    def __init__(self, kernel: Kernel, progress: Progress, lease: Lease) -> None:
        self.kernel = kernel
        self.progress = progress
        self.lease = lease
        self.batches = batches(kernel, holder=lease.name)
        self.written = 0
        """Batches since the last upkeep."""
        self.namer = Namer(store.load_aliases(kernel.db))
        self.wanted: dict[str, None] = {}
        """Jobs to ask for once what was written is committed."""

    @classmethod
    @contextmanager
    def opened(
        cls, kernel: Kernel, holder: str, progress: Progress, *, lane: str = "", wait: float | None = None
    ) -> Iterator[Ingest]:
        """An ingest beside those of other lanes. Raises ``Conflict`` where the lane is not free in time."""
        seconds = WAIT_SECONDS if wait is None else wait
        with leases.hold(kernel.db, f"{LEASE}.{lane}" if lane else LEASE, holder, LEASE_SECONDS, seconds) as lease:
            yield cls(kernel, progress, lease)

    def renew(self) -> None:
        """Keeps others out for another while. Raises ``Conflict`` where one has taken over."""
        if not leases.renew(self.kernel.db, self.lease, LEASE_SECONDS):
            raise Conflict("another ingest has taken over", code="ingest-lost", hint="it goes on where this one was")

    # ---- the run

    def recover(self) -> Taken:
        """Ends what a dead ingest had begun: claimed objects are read again, written ones committed."""
        taken = Taken()
        dead = self.batches.recover()
        self.batches.commit()  # what was written before them must be seen when they are checked for duplicates
        for batch in dead:
            read, gone, away = self._fetch([sources.of_key(key) for key in batch.keys])
            if away:
                self.batches.release(batch)
                taken.problems.append(next(iter(away.values())).problem)
                continue
            taken.add(self._write(batch, read, [(held.key, error.problem) for held, error in gone]))
        self._commit()
        return taken

    def source(self, source: str) -> Taken:
        """Takes what is new in ``source``. Raises ``UwuError`` where it cannot be listed at all."""
        self.progress(f"listing {source}", 0, 0)
        return self.objects(source, sources.discover(self.kernel, source))

    def objects(self, source: str, found: Iterable[Object]) -> Taken:
        """Takes those of ``found`` that are new."""
        waiting = self._new(found)
        self.progress(f"reading {source}", 0, len(waiting))
        taken = Taken()
        done = 0
        for group in groups(waiting, self.kernel.settings.lake.batch_events):
            self.renew()
            new, _ = self.group(group)
            taken.add(new)
            done += len(group)
            self.progress(f"reading {source}", done, len(waiting))
        self.upkeep()
        return taken

    def group(self, group: Sequence[Object]) -> tuple[Taken, dict[str, UwuError]]:
        """Takes one batch of objects. Beside what was taken: by name, why some could not be read, this time or ever."""
        taken = Taken()
        read, gone, away = self._fetch(group)
        for error in list(away.values())[:1]:
            taken.problems.append(error.problem)
        batch = self.batches.claim([held.key for held, _ in read] + [held.key for held, _ in gone])
        if batch is not None:
            self.renew()
            mine = set(batch.keys)
            taken.add(
                self._write(
                    batch,
                    [(held, data) for held, data in read if held.key in mine],
                    [(held.key, error.problem) for held, error in gone if held.key in mine],
                )
            )
            self._commit()
            self.written += 1
            if self.written >= UPKEEP_EVERY:
                self.upkeep()
        return taken, away | {held.name: error for held, error in gone}

    def upkeep(self) -> None:
        """Compacts and expires where batches were written."""
        if self.written:
            self.batches.maintain()
            self.written = 0

    def _new(self, found: Iterable[Object]) -> list[Object]:
        """Those that were not taken yet, in the order given."""
        new: list[Object] = []
        chunk: list[Object] = []

        def settle() -> None:
            free = set(self.batches.unclaimed([held.key for held in chunk]))
            new.extend(held for held in chunk if held.key in free)
            chunk.clear()

        for held in found:
            chunk.append(held)
            if len(chunk) == 1000:
                settle()
        settle()
        return new

    def _fetch(
        self, group: Sequence[Object]
    ) -> tuple[list[tuple[Object, bytes]], list[tuple[Object, UwuError]], dict[str, UwuError]]:
        """(what was read, those that are gone, by name the errors of those to be tried another time)."""
        read: list[tuple[Object, bytes]] = []
        gone: list[tuple[Object, UwuError]] = []
        away: dict[str, UwuError] = {}

        def one(held: Object) -> bytes | UwuError:
            try:
                return sources.fetch(self.kernel, held)
            except UwuError as error:
                return error

        remote = any(held.name.startswith("s3://") for held in group)
        with ThreadPoolExecutor(self.kernel.settings.aws.concurrency if remote else 1) as pool:
            for held, answer in zip(group, pool.map(one, group), strict=True):
                if isinstance(answer, bytes):
                    read.append((held, answer))
                elif isinstance(answer, Gone):
                    gone.append((held, answer))
                else:
                    away[held.name] = answer
        return read, gone, away

    # ---- one batch

    def _write(self, batch: Batch, read: list[tuple[Object, bytes]], gone: list[tuple[str, Problem]]) -> Taken:
        """Writes the events of ``batch``; where that fails its keys are given back, to be taken another time."""
        try:
            with _no_collection():
                return self._written(batch, read, gone)
        except Exception:
            # the error that is told is the one that came first; a claim that stays is taken over by the next ingest
            with suppress(Exception):
                self.batches.release(batch)
            raise

    def _written(self, batch: Batch, read: list[tuple[Object, bytes]], gone: list[tuple[str, Problem]]) -> Taken:
        opened = [(held.name, read_object(held.name, data)) for held, data in read]
        read.clear()
        at = codec.now()
        problems = [(name, p) for name, one in opened for p in one.problems]
        problems += [(sources.of_key(key).name, p) for key, p in gone]
        rejects = [(name, r) for name, one in opened for r in one.rejects]
        store.save_rejects(self.kernel.db, rejects, problems, at)
        taken = Taken(objects=len(opened), rejected=len(rejects), problems=[p for _, p in problems])
        taken.problems += [
            Problem(r.code, r.message, f"{name} record {r.index}", "the record is kept aside in trail_rejects")
            for name, r in rejects[:PROBLEMS_TOLD]
        ]
        checked = self.batches.committed()
        fresh, taken.duplicates = self._fresh(opened)
        opened.clear()
        who = Callers(fresh)
        index = self._sessions(fresh, who)
        who.resolve(index)
        rows = Rows(fresh, who, self.namer, at - domain.TOLD)
        store.save_late(self.kernel.db, [late._asdict() for late in rows.late])
        store.save_aliases(self.kernel.db, self.namer.aliases.learned, at)
        self.namer.aliases.learned.clear()
        taken.actors_named_later = store.resolve_late(self.kernel.db, list(index.fresh), at)
        taken.events, taken.writes, taken.named = len(fresh), rows.writes, rows.named
        taken.humans = rows.kinds[actors.HUMAN]
        taken.others = rows.kinds[actors.MACHINE] + rows.kinds[actors.SERVICE]
        detail = {k: v for k, v in codec.builtins(taken).items() if k != "problems"}
        detail["checked"] = checked
        if fresh:
            detail |= {"since": fresh[0].time, "until": fresh[-1].time}
        # before the events are recorded as taken: after a kill they are told again, rather than never
        self.wanted.update(dict.fromkeys(domain.tell_changes(self.kernel.domains, self.kernel, rows.changes)))
        self.batches.write(batch, rows.tables(), detail=detail, ordered=True)
        return taken

    def _commit(self) -> None:
        """Lets the lake show what was written, and asks for the jobs that wait for it."""
        if self.batches.commit():
            self.wanted.setdefault("trail.detect")
        for job in list(self.wanted):
            self.kernel.jobs.enqueue(job, requested_by="trail")
            del self.wanted[job]

    def _fresh(self, opened: list[tuple[str, Read]]) -> tuple[list[Event], int]:
        """Events by time without those that the batch or the lake holds already, and how many those were."""
        held: dict[str, Event] = {}
        total = 0
        for _, one in opened:
            total += len(one.events)
            for event in one.events:
                held.setdefault(event.id, event)
        known = self._known(held)
        fresh = [each for id, each in held.items() if id not in known] if known else list(held.values())
        fresh.sort(key=lambda each: each.time)
        return fresh, total - len(fresh)

    def _known(self, held: dict[str, Event]) -> set[str]:
        """The ids among ``held`` that the lake has: a duplicate has the same time, so only those minutes are read."""
        if not held:
            return set()
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = [each.time for each in held.values()]
        since, until = codec.parse_time(min(texts)), codec.parse_time(max(texts))
        lake = self.kernel.lake
        if not lake.files(store.EVENTS.name, since, until + timedelta(seconds=1)):
            return set()
        times = pc.cast(pa.array(texts, pa.string()), pa.timestamp("us", tz="UTC"))
        ids = pa.table({"event_id": list(held), "event_time": times})
        scan = lake.scan(store.EVENTS.name, since=since, until=until + timedelta(seconds=1))
        with lake.connection() as connection:
            connection.register("batch_ids", ids)
            query = (
                "select b.event_id from batch_ids b semi join "  # noqa: S608 - the scan is the lake's own expression
                f"(select event_id, event_time from {scan} where event_time between ? and ?) e "
                "on b.event_id = e.event_id and b.event_time = e.event_time"
            )
            found = {row[0] for row in connection.execute(query, [since, until]).fetchall()}
            connection.unregister("batch_ids")
        return found

    def _sessions(self, events: list[Event], who: Callers) -> FreshIndex:
        """Every session that may have signed these events: their own, and the stored ones behind them."""
        index = FreshIndex()
        for event in events:
            if event.source != "sts.amazonaws.com":
                continue
            session = actors.session_of(event.record(codec.decode(event.identity) or {}))
            if session is not None:
                index.add(session)
        index.fresh = list(index.all.values())
        store.save_sessions(self.kernel.db, index.fresh, codec.now())
        store.load_sessions(self.kernel.db, who.records(), index)
        return index


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's search for cycles: it would look through a batch's hundred thousand events again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class FreshIndex(SessionIndex):
    """A session index that remembers which sessions a batch brought."""

    fresh: Sequence[actors.Session] = ()


def batches(kernel: Kernel, holder: str = "") -> Batches:
    """The batches of the trail's tables."""
    return Batches(
        kernel.db,
        kernel.lake,
        store.STREAM,
        tables=(store.EVENTS, store.EVENT_RESOURCES),
        holder=holder,
        claim_seconds=CLAIM_SECONDS,
        settle=lambda number, files, detail: settle.without_known(kernel.lake, number, files, detail),
    )


def groups(waiting: Sequence[Object], events: int) -> Iterator[list[Object]]:
    """Parts of ``waiting`` that hold about ``events`` events each."""
    group: list[Object] = []
    size = 0
    for held in waiting:
        if group and (size + held.events > events or len(group) >= OBJECTS_PER_BATCH):
            yield group
            group, size = [], 0
        group.append(held)
        size += held.events
    if group:
        yield group


# ---- the job


def ingest(
    kernel: Kernel, given: Sequence[str], *, holder: str, progress: Progress | None = None, lane: str = ""
) -> Taken:
    """Takes what is new in the sources ``given``. One that fails costs only itself.

    Raises the first error where every source failed, ``Conflict`` where another ingest does not end.
    """
    told = progress or (lambda _stage, _done, _total: None)
    taken = Taken()
    errors: list[UwuError] = []
    with Ingest.opened(kernel, holder, told, lane=lane) as run:
        taken.add(run.recover())
        for source in given:
            try:
                taken.add(run.source(source))
            except UwuError as error:
                errors.append(error)
                taken.problems.append(error.problem)
    store.forget_sessions(kernel.db, codec.now())
    if errors and len(errors) == len(given):
        raise errors[0]
    return taken


class Trail(msgspec.Struct, frozen=True):
    """A declared trail."""

    source: str
    queue: str = ""
    """The URL of the queue that tells of new objects; empty where the source is listed."""
    workers: int = 1
    """Receivers of the queue at once."""


def declared_trails(kernel: Kernel) -> list[Trail]:
    """The estate's Trail entities."""
    with kernel.db.read() as connection:
        entities = declared.entities(connection, kind="Trail", orphan=False)
    found: dict[str, Trail] = {}
    for entity in entities:
        for source in sources.declared([entity]):
            queue, workers = str(entity.spec.get("queue") or ""), int(entity.spec.get("workers") or 1)
            found.setdefault(source, Trail(source, queue, workers))
    return list(found.values())


def declared_sources(kernel: Kernel) -> list[str]:
    """The sources of the estate's Trail entities."""
    return [trail.source for trail in declared_trails(kernel)]
