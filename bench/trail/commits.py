"""Thousands of small batches, one after another, as a quiet trail makes them: a commit must not get dearer."""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from bench.harness import Report
from bench.trail import events

FULL, QUICK = 5_000, 110
EARLY, QUICK_EARLY = 100, 60
AROUND = 10
"""Commits on each side whose median stands for one."""
UPKEEP_EVERY = 20
PER_HOUR = 12


def measure(report: Report, *, quick: bool) -> None:
    """Milliseconds of the last commits against those around an early one."""
    count, early = (QUICK, QUICK_EARLY) if quick else (FULL, EARLY)
    with tempfile.TemporaryDirectory() as folder:
        times = commits(Path(folder), count)
    first = statistics.median(times[early - AROUND : early + AROUND])
    last = statistics.median(times[-2 * AROUND :])
    report.figure(f"commit around number {early}", round(1e3 * first, 1), unit=" ms")
    report.figure(f"commit around number {count}", round(1e3 * last, 1), unit=" ms")
    report.bar(f"the last of {count} commits, of number {early}", round(last / first, 2), at_most=1.5)


def commits(home: Path, count: int) -> list[float]:
    """Seconds of each commit of both tables; upkeep in between, as an ingest does it, is not counted."""
    from uwu.domains.trail import ingest, read
    from uwu.domains.trail.actors import SessionIndex
    from uwu.domains.trail.callers import Callers
    from uwu.domains.trail.names import Namer
    from uwu.domains.trail.rows import Rows
    from uwu.kernel import codec
    from uwu.kernel.runtime import Kernel

    kernel = Kernel.open(home)
    batches = ingest.batches(kernel, holder="bench")
    made = events.Events(seed=9, per_day=24 * PER_HOUR * 20)
    taken: list[float] = []
    for number in range(count):
        opened = read.read("x.json", events.object_text(list(made.take(20))))
        who = Callers(opened.events)
        who.resolve(SessionIndex())
        rows = Rows(opened.events, who, Namer(), codec.now() + timedelta(days=1))
        batch = batches.claim([str(number)])
        assert batch is not None
        batches.write(batch, rows.tables(), detail={"checked": batch.number}, ordered=True)
        began = time.perf_counter()
        batches.commit()
        taken.append(time.perf_counter() - began)
        if number % UPKEEP_EVERY == UPKEEP_EVERY - 1:
            batches.maintain()
    kernel.close()
    return taken
