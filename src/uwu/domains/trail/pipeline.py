"""The trail's jobs: take in what is new, receive from queues, backfill, upkeep."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from uwu.domains.trail import backfill, ingest, receive, sources, standing, store, window
from uwu.domains.trail.ingest import Ingest, Progress, Taken, Trail
from uwu.kernel import codec
from uwu.kernel.errors import Conflict, UwuError
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel

RECEIVE_SECONDS = 55.0
"""How long one run receives: the next minute's goes on where it ends."""
DRAIN_SECONDS = 900.0


def queues(kernel: Kernel) -> list[str]:
    """The queues of the estate's Trail entities."""
    return [trail.queue for trail in ingest.declared_trails(kernel) if trail.queue]


# ---- what is new


def take_declared(kernel: Kernel, trails: Sequence[Trail], *, holder: str, progress: Progress) -> Taken:
    """Takes what is new in declared trails: a queue is drained, a bucket's window listed where it is time to.

    One that fails costs only itself. Raises the first error where all failed.
    """
    taken = Taken()
    errors: list[UwuError] = []
    for trail in trails:
        try:
            if trail.queue:
                taken.add(drain(kernel, trail.queue, holder=holder, progress=progress))
            if not trail.queue or _due(kernel, trail.source):
                taken.add(reconcile(kernel, trail, holder=holder, progress=progress))
        except UwuError as error:
            errors.append(error)
            taken.problems.append(error.problem)
            standing.update_source(kernel.db, trail.source, problem=error.problem.message[:500])
    store.forget_sessions(kernel.db, codec.now())
    if errors and len(errors) == len(trails):
        raise errors[0]
    return taken


def _due(kernel: Kernel, source: str) -> bool:
    listed = standing.row_of(kernel.db, source).get("listed_at")
    return listed is None or codec.now() - listed >= timedelta(minutes=kernel.settings.trail.reconcile_minutes)


def reconcile(kernel: Kernel, trail: Trail, *, holder: str, progress: Progress) -> Taken:
    """Takes what listing finds and nothing told of."""
    now = codec.now()
    with Ingest.opened(kernel, holder, progress) as run:
        taken = run.recover()
        progress(f"listing {trail.source}", 0, 0)
        newest: list[datetime] = []

        def found() -> Iterator[sources.Object]:
            if standing.kind_of(trail.source) != standing.BUCKET:
                yield from sources.discover(kernel, trail.source)
                return
            for each in window.listed(kernel, trail.source, now):
                newest[:] = [max(each.at, *newest)] if newest else [each.at]
                yield each.object

        taken.add(run.objects(trail.source, found()))
    lag = {"lag_seconds": max(0, round((codec.now() - newest[0]).total_seconds()))} if newest and taken.objects else {}
    standing.update_source(
        kernel.db,
        trail.source,
        objects=taken.objects,
        late=taken.objects if trail.queue else 0,
        listed_at=now,
        seen_at=codec.now(),
        problem="",
        **lag,
    )
    return taken


def drain(kernel: Kernel, queue: str, *, holder: str, progress: Progress) -> Taken:
    """Takes what a queue holds now; nothing where receivers are at it already."""
    try:
        with receive.lane(kernel, holder, progress) as run:
            return receive.Receiver(kernel, queue, run).work(DRAIN_SECONDS, idle_seconds=1.0)
    except Conflict:
        return Taken()


def _ingest(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    given = [str(source) for source in arguments.get("sources") or ()]
    if given:
        result = run.step(_take_given, run, given, name="ingest")
    else:
        given = run.step(ingest.declared_sources, run.kernel, name="sources")
        if not given:
            run.log("no source: declare a Trail in the estate, or name one", level="warning")
            return {**Taken().plain(), "sources": []}
        result = run.step(_take_declared, run, name="ingest")
    return _told(run, result) | {"sources": given}


def _told(run: Run, result: dict[str, Any]) -> dict[str, Any]:
    for problem in result["problems"]:
        where = f"{problem['place']}: " if problem.get("place") else ""
        run.log(f"{where}{problem['message']} [{problem['code']}]", level="warning")
    return result


def _take_given(run: Run, given: list[str]) -> dict[str, Any]:
    return ingest.ingest(run.kernel, given, holder=run.id, progress=run.progress).plain()


def _take_declared(run: Run) -> dict[str, Any]:
    trails = ingest.declared_trails(run.kernel)
    return take_declared(run.kernel, trails, holder=run.id, progress=run.progress).plain()


# ---- queues


def _receive(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
    plan = run.step(_lanes, run.kernel, name="queues")
    done = run.fan_out("trail.receiver", plan, keys=[f"{each['queue']}#{each['lane']}" for each in plan])
    return {"receivers": len(plan), "events": sum(int(each.get("events", 0)) for each in done)}


def _lanes(kernel: Kernel) -> list[dict[str, Any]]:
    return [
        {"queue": trail.queue, "lane": lane}
        for trail in ingest.declared_trails(kernel)
        if trail.queue
        for lane in range(trail.workers)
    ]


def _receiver(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    return _told(run, run.step(_received, run, str(arguments["queue"]), name="receive"))


def _received(run: Run, queue: str) -> dict[str, Any]:
    with receive.lane(run.kernel, run.id, run.progress) as lane:
        return receive.Receiver(run.kernel, queue, lane).work(RECEIVE_SECONDS).plain()


# ---- dead letters


def retry_dead(kernel: Kernel, chosen: Sequence[str], *, holder: str, progress: Progress) -> dict[str, Any]:
    """Tries dead letters again: those named, or all. What is taken is struck off."""
    with kernel.db.read() as connection:
        found = [d for d in standing.dead(connection, limit=10_000) if not chosen or d.object in chosen]
    taken = Taken()
    with Ingest.opened(kernel, holder, progress, lane="dead") as run:
        objects: list[sources.Object] = []
        for each in found:
            if each.code == "message-unknown":
                continue
            try:
                objects.append(sources.current(kernel, sources.Object(each.object, "")))
            except UwuError as error:
                standing.bury(kernel.db, each.source, [(each.object, each.mark, error)], attempts=each.attempts + 1)
        for group in ingest.groups(objects, kernel.settings.lake.batch_events):
            run.renew()
            one, failed = run.group(group)
            taken.add(one)
            kept = run.batches.kept([held.key for held in group])
            done = [held.name for held in group if held.key in kept and held.name not in failed]
            with kernel.db.write() as connection:
                standing.forget_dead(connection, done)
            attempts = {each.object: each for each in found}
            for held in group:
                if held.name in failed:
                    was = attempts[held.name]
                    dead = [(held.name, held.mark, failed[held.name])]
                    standing.bury(kernel.db, was.source, dead, attempts=was.attempts + 1)
    with kernel.db.read() as connection:
        return {**taken.plain(), "left": standing.dead_count(connection)}


def _retry(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    chosen = [str(name) for name in arguments.get("objects") or ()]
    return _told(run, run.step(_retried, run, chosen, name="retry"))


def _retried(run: Run, chosen: list[str]) -> dict[str, Any]:
    return retry_dead(run.kernel, chosen, holder=run.id, progress=run.progress)


# ---- history, upkeep


def _backfill(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    source = str(arguments.get("source") or "")
    since, until = str(arguments.get("since") or ""), str(arguments.get("until") or "")
    return run.step(_backfilled, run, source, since, until, name="backfill")


def _backfilled(run: Run, source: str, since: str, until: str) -> dict[str, Any]:
    chosen = [source] if source else [s for s in ingest.declared_sources(run.kernel) if s.startswith("s3://")]
    done = backfill.run(run.kernel, chosen, since, until, holder=run.id, progress=run.progress, log=run.log)
    return {"backfills": codec.builtins(done)}


def _upkeep(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
    return run.step(upkeep, run.kernel, name="upkeep")


def upkeep(kernel: Kernel) -> dict[str, Any]:
    """Retention by whole files, then compaction, expiry and the collection of files that nothing names."""
    began = time.monotonic()
    batches = ingest.batches(kernel)
    dropped = 0
    if kernel.settings.trail.retention_days:
        since = codec.now().date() - timedelta(days=kernel.settings.trail.retention_days)
        dropped = batches.retain(since)
    report = batches.maintain()
    return {"dropped_files": dropped, **codec.builtins(report), "seconds": round(time.monotonic() - began, 1)}


JOBS = (
    Job("trail.ingest", _ingest, concurrency=1),
    Job("trail.receive", _receive, concurrency=1),
    Job("trail.receiver", _receiver, concurrency=1),
    Job("trail.retry", _retry, concurrency=1),
    Job("trail.backfill", _backfill, concurrency=1),
    Job("trail.upkeep", _upkeep, concurrency=1),
)
