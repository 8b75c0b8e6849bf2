"""Writing cells as they were seen: many in one transaction, each with its run and when its next look is due."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cache

import msgspec
import sqlalchemy as sa

from uwu.domains.inventory.model import SOURCE
from uwu.domains.inventory.reader import Observation
from uwu.kernel import codec, graph, tables
from uwu.kernel.graph import Delta, Look
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel

CELLS_PER_WRITE, RESOURCES_PER_WRITE, WRITE_SECONDS = 64, 1_000, 0.3
"""A shard writes when it has seen so much, or so long ago: most cells are empty, and a transaction costs more than one.
What is not written yet is asked again after a kill."""

COSTS = ("calls", "attempts", "throttled", "bytes", "cost")
"""What each cell cost, by the names of its columns."""

_COUNTS = ("cells", "complete", *COSTS, "added", "changed", "removed", "unchanged", "relations")

Counts = Counter[str]

_writing = threading.Lock()
"""SQLite has one writer: shards of one process wait for each other here, where waiting is fair and costs nothing."""


def counts() -> Counts:
    """Nothing counted yet."""
    return Counter(dict.fromkeys(_COUNTS, 0))


def record(kernel: Kernel, observation: Observation, run: str = "") -> Delta:
    """Writes one cell. A known resource of which only a part could be read now stays as it was last read whole."""
    return record_some(kernel, [observation], run, counts())[0]


def record_all(kernel: Kernel, seen: Iterable[Observation], run: str) -> Counts:
    """Writes ``seen`` in batches as it comes; gives what it counted."""
    counted = counts()
    batch: list[Observation] = []
    for observation in seen:
        batch.append(observation)
        if len(batch) >= CELLS_PER_WRITE:
            record_some(kernel, batch, run, counted)
            batch = []
    if batch:
        record_some(kernel, batch, run, counted)
    return counted


def record_some(kernel: Kernel, seen: Sequence[Observation], run: str, counted: Counts) -> list[Delta]:
    """Writes ``seen`` in one transaction and adds to ``counted``."""
    prepared = [None if observation.partial else _look(kernel, observation, run) for observation in seen]
    held = _writing if kernel.db.dialect == "sqlite" else nullcontext()
    with held, kernel.db.write() as connection:
        deltas = graph.observe_all(
            connection,
            [
                look or _look(kernel, _known_in_part(connection, observation), run)
                for look, observation in zip(prepared, seen, strict=True)
            ],
        )
    for observation, delta in zip(seen, deltas, strict=True):
        outcome = observation.outcome
        counted["cells"] += 1
        counted["complete"] += outcome.status is CellStatus.COMPLETE
        for name in COSTS:
            counted[name] += getattr(outcome, name)
        counted["relations"] += len(observation.relations)
        counted.update(msgspec.structs.asdict(delta))
    return deltas


def _known_in_part(connection: sa.Connection, observation: Observation) -> Observation:
    """``observation`` without the resources that are known whole and were seen in part."""
    r = tables.resources
    known = set(connection.scalars(sa.select(r.c.urn).where(r.c.cell == observation.outcome.cell.id)))
    kept = [each for each in observation.resources if each.urn not in observation.partial & known]
    return Observation(observation.outcome, tuple(kept), observation.relations)


def _look(kernel: Kernel, observation: Observation, run: str) -> Look:
    outcome = observation.outcome
    due = outcome.observed_at + timedelta(minutes=freshness(kernel, outcome.cell.type))
    outcome = msgspec.structs.replace(outcome, run=run, due_at=due)
    return graph.prepare(outcome, observation.resources, observation.relations)


def freshness(kernel: Kernel, type: str) -> int:
    """Minutes after which the next look at a cell of ``type`` is due."""
    settings = kernel.settings
    for pattern, minutes in settings.inventory.freshness.items():
        if fnmatchcase(type, pattern):
            return minutes
    return settings.inventory.freshness_minutes or settings.drift.stale_after_hours * 60


def written(kernel: Kernel, account: str, run: str) -> frozenset[tuple[str, str]]:
    """(region, type) of the cells of ``account`` that ``run`` has written."""
    if not run:
        return frozenset()
    c = tables.coverage
    query = sa.select(c.c.region, c.c.type).where(c.c.source == SOURCE, c.c.run == run, c.c.account == account)
    with kernel.db.read() as connection:
        return frozenset((region, type) for region, type in connection.execute(query))


def not_due(kernel: Kernel, account: str) -> frozenset[tuple[str, str]]:
    """(region, type) of the complete cells of ``account`` whose types have a freshness of their own and are not due.

    What falls due before the next sync counts as due: a look comes early rather than late.
    """
    patterns = kernel.settings.inventory.freshness
    if not patterns:
        return frozenset()
    c = tables.coverage
    query = sa.select(c.c.region, c.c.type, c.c.complete_at).where(
        c.c.account == account, c.c.source == SOURCE, c.c.status == CellStatus.COMPLETE.value
    )
    now = codec.now()

    @cache
    def rest(type: str) -> timedelta | None:
        found = any(fnmatchcase(type, pattern) for pattern in patterns)
        return timedelta(minutes=freshness(kernel, type)) if found else None

    slack = timedelta(minutes=kernel.settings.schedule.sync_minutes)
    with kernel.db.read() as connection:
        return frozenset(
            (region, type)
            for region, type, at in connection.execute(query)
            if (time_ := rest(type)) is not None and now + slack < at + time_
        )
