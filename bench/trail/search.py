"""Search over 84 days of events: each way to ask, warm, and the first question after a start."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.harness import Report
from bench.trail import events

DAYS, QUICK_DAYS = 84, 12
FULL, QUICK = 6_000_000, 48_000
ASKED, QUICK_ASKED = 40, 8
BARS = {
    "principal": 100,
    "event id": 50,
    "resource, its events whole": 50,
    "count by day": 100,
    "substring": 1_000,
    "substring that nothing holds": 1_000,
}
"""Milliseconds, warm, p95."""
FIRST_BAR = 400


def measure(report: Report, *, quick: bool) -> None:
    """p95 of each question in milliseconds."""
    count, days = (QUICK, QUICK_DAYS) if quick else (FULL, DAYS)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        size = fill(home, count, days)
        report.figure("events searched", count, peer=f"{days} days")
        report.figure("bytes of an event in the lake of days", round(size / count, 1))
        asked = QUICK_ASKED if quick else ASKED
        for name, milliseconds in ask(home, asked).items():
            if name == "start":
                report.figure("to open home and catalog, imports included", milliseconds, unit=" ms")
            elif name == "first":
                report.bar("first question after a start", milliseconds, at_most=FIRST_BAR, unit=" ms")
            else:
                report.bar(f"search by {name}, p95", milliseconds, at_most=BARS[name], unit=" ms")


def fill(home: Path, count: int, days: int) -> int:
    """A lake of ``count`` events over the days, each day one batch through the ingest's own code; gives its bytes."""
    from uwu.domains.trail import actors, ingest, read
    from uwu.domains.trail.actors import SessionIndex
    from uwu.domains.trail.callers import Callers
    from uwu.domains.trail.names import Namer
    from uwu.domains.trail.rows import Rows
    from uwu.kernel import codec
    from uwu.kernel.runtime import Kernel

    kernel = Kernel.open(home)
    made = events.Events(seed=5, per_day=count // days)
    batches = ingest.batches(kernel, holder="bench")
    namer = Namer()
    index = SessionIndex()
    try:
        for day in range(days):
            texts = list(made.take(count // days))
            opened = read.read(f"{day}.json", events.object_text(texts))
            for event in opened.events:
                session = None
                if event.source == "sts.amazonaws.com":
                    session = actors.session_of(event.record(codec.decode(event.identity) or {}))
                if session is not None and session.access_key.startswith("ASIA0"):
                    index.add(session)
            who = Callers(opened.events)
            who.resolve(index)
            rows = Rows(opened.events, who, namer, codec.now())
            batch = batches.claim([str(day)])
            assert batch is not None
            batches.write(batch, rows.tables(), detail={"checked": batch.number}, ordered=True)
            batches.commit()
        return sum(file.stat().st_size for file in kernel.lake.root.rglob("*.parquet"))
    finally:
        kernel.close()


def ask(home: Path, asked: int) -> dict[str, float]:
    """Milliseconds by question, asked by a process that starts anew."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    arguments = [sys.executable, "-m", "bench.trail.search", str(home), str(asked)]
    answer = subprocess.run(arguments, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


# ---- in the process that asks


def _main(home: Path, asked: int) -> dict[str, float]:
    from uwu.domains.trail import events as search
    from uwu.domains.trail.changes import Log
    from uwu.domains.trail.events import Filter
    from uwu.kernel.runtime import Kernel

    began = time.perf_counter()
    kernel = Kernel.open(home)
    kernel.lake.catalog()
    opened = 1_000 * (time.perf_counter() - began)
    began = time.perf_counter()
    principal = "legacy-3"
    search.search(kernel, Filter(who=principal, since=events.START + timedelta(days=QUICK_DAYS - 1)))
    taken = {"start": opened, "first": 1_000 * (time.perf_counter() - began)}
    rng = random.Random(3)
    lake = kernel.lake
    ids = _column(lake, "events", "event_id", asked)
    urns = _column(lake, "event_resources", "urn", asked)
    people = _column(lake, "events", "principal", asked)
    log = Log(kernel)

    def whole(urn: str) -> None:
        found = log.changes([urn], limit=50)
        assert found and found[0].actor.name, urn

    def none(given: Filter) -> None:
        assert not search.search(kernel, given).items, given

    def some(given: Filter) -> None:
        assert search.search(kernel, given).items, given

    questions: dict[str, Callable[[int], None]] = {
        "principal": lambda n: some(Filter(who=people[n])),
        "event id": lambda n: some(Filter(event_id=ids[n])),
        "resource, its events whole": lambda n: whole(urns[n]),
        "count by day": lambda _: _full(search.by_day(kernel, Filter())),
        "substring": lambda _: some(Filter(text=f'svc-{rng.randrange(events.NAMES)}"')),
        "substring that nothing holds": lambda n: none(Filter(text=f"nowhere-{n}")),
    }
    for name, question in questions.items():
        question(0)
        times: list[float] = []
        for number in range(asked):
            began = time.perf_counter()
            question(number)
            times.append(1_000 * (time.perf_counter() - began))
        taken[name] = sorted(times)[math.ceil(0.95 * len(times)) - 1]
    kernel.close()
    return {name: round(milliseconds, 1) for name, milliseconds in taken.items()}


def _full(days: list[Any]) -> None:
    assert len(days) in {DAYS, QUICK_DAYS}, len(days)


def _column(lake: Any, table: str, column: str, count: int) -> list[str]:
    query = (
        f"select distinct {column} as value from {lake.scan(table)} "
        f"where {column} <> '' order by hash({column}) limit {count}"
    )
    found = [row["value"] for row in lake.rows(query)]
    return (found * count)[:count]


if __name__ == "__main__":
    print(json.dumps(_main(Path(sys.argv[1]), int(sys.argv[2]))))
