"""Objects to committed, searchable tables, beside the least that any ingest of the same rows must do.

The bound is one pass of decompressing, tokenising without building a value, and writing the same rows, sorted, into the
same Parquet files. Both run in a process of their own on one core and are told in processor time, which other work on
the machine changes little; the wall clock's is a figure beside it.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.harness import Report
from bench.trail import calls, events

FULL, QUICK = 600_000, 60_000
EVENTS_PER_OBJECT = 2_000
SEED = 11


def measure(report: Report, *, quick: bool) -> None:
    """Events a second on one core against the bound, two cores against one, memory, and bytes an event."""
    count = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = write_objects(root / "objects", count)
        report.figure("bytes of an event as CloudTrail writes it", round(size / count))
        one = _child("ingest", root / "one", root / "objects", cores=1)
        bound = _child("bound", root / "one", root / "objects", cores=1)
        assert one["events"] == count, one
        ratio = bound["cpu"] / one["cpu"]
        per_second = f"{count / bound['cpu']:,.0f} events/s"
        report.figure("ingest on one core", round(count / one["cpu"]), unit=" events/s", peer=per_second)
        report.figure("ingest on one core by the wall clock", round(count / one["wall"]), unit=" events/s")
        report.bar("ingest, of the bound", round(ratio, 3), at_least=0.40, peer=_parts(bound, count))
        report.bar("resident memory of an ingest", round(one["rss_mb"]), at_most=1_300, unit=" MB")
        report.bar("bytes of an event in the lake", round(one["bytes"] / count, 1), at_most=250)
        report.bar("events held, of those given", one["held"] / count, at_least=1)
        two = _two(root, count)
        report.bar("two workers on two cores, of one on one", round(one["wall"] / two, 2), at_least=1.8)


def write_objects(folder: Path, count: int, *, per_object: int = EVENTS_PER_OBJECT, per_day: int = 1_000_000) -> int:
    """Objects of ``count`` events under ``folder``; gives the bytes of their events as text."""
    folder.mkdir(parents=True)
    made = events.Events(seed=SEED, per_day=per_day)
    size = 0
    for number in range(0, count, per_object):
        texts = list(made.take(min(per_object, count - number)))
        size += sum(map(len, texts))
        name = f"{calls.ACCOUNT}_CloudTrail_{calls.REGION}_{number:012d}.json.gz"
        (folder / name).write_bytes(gzip.compress(events.object_text(texts), 6))
    return size


def _parts(bound: dict[str, float], count: int) -> str:
    return ", ".join(f"{name} {1e6 * bound[name] / count:.1f}" for name in ("inflate", "tape", "write")) + " us"


def _start(what: str, home: Path, objects: Path, core: int) -> subprocess.Popen[str]:
    env = {**os.environ, "UWU_LAKE_BATCH_EVENTS": "100000", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    arguments = [sys.executable, "-m", "bench.trail.ingest", what, str(home), str(objects), str(core)]
    return subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, text=True)


def _child(what: str, home: Path, objects: Path, *, cores: int) -> dict[str, Any]:
    return _answer(_start(what, home, objects, cores - 1))


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the measured process ended with {process.returncode}")
    return json.loads(out.splitlines()[-1])


def _two(root: Path, count: int) -> float:
    """Seconds that two workers need for the same objects together, half of them each, into one lake."""
    halves = [root / "half-0", root / "half-1"]
    for number, file in enumerate(sorted((root / "objects").iterdir())):
        half = halves[number % 2]
        half.mkdir(exist_ok=True)
        os.link(file, half / file.name)
    _answer(_start("prepare", root / "two", root / "objects", 0))
    workers = [_start("ingest", root / "two", half, core) for core, half in enumerate(halves)]
    answers = [_answer(worker) for worker in workers]
    assert max(answer["held"] for answer in answers) == count, answers
    return max(answer["wall"] for answer in answers)


# ---- in the measured process


def _main(what: str, home: Path, objects: Path, core: int) -> dict[str, Any]:
    import resource

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core % os.cpu_count()]})  # type: ignore[operator]
    from uwu.domains.trail import ingest, store
    from uwu.kernel.runtime import Kernel

    home.mkdir(exist_ok=True)
    kernel = Kernel.open(home)
    try:
        for spec in (store.EVENTS, store.EVENT_RESOURCES):
            kernel.lake.ensure(spec)
        if what == "prepare":
            return {}
        if what == "bound":
            return _bound(kernel, objects)
        # what a process reads once: the map of actions, the catalog
        ingest.ingest(kernel, [str(write_warm(home))], holder=f"bench-{core}", lane=f"bench-{core}")
        wall, cpu = time.perf_counter(), time.process_time()
        taken = ingest.ingest(kernel, [str(objects)], holder=f"bench-{core}", lane=f"bench-{core}")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        files = [file.stat().st_size for file in kernel.lake.root.rglob("*.parquet")]
        return {
            "events": taken.events,
            "wall": wall,
            "cpu": cpu,
            "bytes": sum(files),
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "held": _held(kernel),
        }
    finally:
        kernel.close()


def _held(kernel: Any) -> int:
    scan = kernel.lake.scan("events")
    query = f"select count(distinct event_id) as n from {scan} where event_id not like 'warm%'"
    return kernel.lake.rows(query)[0]["n"]


def write_warm(home: Path) -> Path:
    """One small object, of a day that no other event is of."""
    folder = home / f"warm-{os.getpid()}"
    folder.mkdir()
    at = "2026-01-01T00:00:00Z"
    record = {"eventID": f"warm-{os.getpid()}", "eventTime": at, "eventSource": "ec2.amazonaws.com", "readOnly": False}
    record |= {"eventName": "CreateTags", "userIdentity": {"type": "Root"}, "recipientAccountId": calls.ACCOUNT}
    (folder / "warm.json.gz").write_bytes(gzip.compress(json.dumps({"Records": [record]}).encode()))
    return folder


def _bound(kernel: Any, objects: Path) -> dict[str, float]:
    """Processor seconds of each part, over the rows that an ingest of ``objects`` wrote."""
    import zlib

    scan = _tape()
    parts = {"inflate": 0.0, "tape": 0.0, "write": 0.0}
    for file in sorted(objects.iterdir()):
        data = file.read_bytes()
        began = time.process_time()
        text = zlib.decompress(data, 31)
        inflated = time.process_time()
        scan(text)
        parts["inflate"] += inflated - began
        parts["tape"] += time.process_time() - inflated
    for name in ("events", "event_resources"):
        for path in kernel.lake.files(name):
            with kernel.lake.connection() as connection:
                came = f"select * from {kernel.lake.scan_files(name, [path])} order by event_time"
                rows = connection.sql(came).to_arrow_table()
            began = time.process_time()
            kernel.lake.copy(name, rows, "bound")
            parts["write"] += time.process_time() - began
    return {**parts, "cpu": sum(parts.values())}


def _tape() -> Any:
    try:
        import simdjson  # type: ignore[import-not-found]

        return simdjson.Parser().parse
    except ImportError:
        import msgspec

        return msgspec.json.Decoder(msgspec.Raw).decode


if __name__ == "__main__":
    print(json.dumps(_main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
