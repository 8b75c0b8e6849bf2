"""History: the days of a bucket before its window, taken day by day. Stopped or killed, it goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import sqlalchemy as sa

from uwu.domains.trail import ingest, sources, standing, tables, window
from uwu.domains.trail.ingest import Ingest, Progress, Taken
from uwu.domains.trail.standing import Backfill
from uwu.kernel import codec
from uwu.kernel.db import Database
from uwu.kernel.errors import BadInput, Unavailable
from uwu.kernel.runtime import Kernel

LANE = "backfill"
FIRST = date(2013, 11, 13)
"""CloudTrail exists since then."""

Log = Callable[..., None]


def run(
    kernel: Kernel,
    chosen: Sequence[str],
    since: str,
    until: str,
    *,
    holder: str,
    progress: Progress,
    log: Log = lambda *_, **__: None,
) -> list[Backfill]:
    """Takes the days from ``since`` before ``until`` (empty: tomorrow) of buckets; the same again goes on.

    Raises ``BadInput`` for wrong days and for sources that are not laid out in days.
    """
    first, last = _day(since, "since"), _day(until, "until") if until else codec.now().date() + timedelta(days=1)
    if not FIRST <= first < last:
        raise BadInput(
            f"no day from {first} before {last}", code="backfill-days", hint=f"since {FIRST} at the earliest"
        )
    if not chosen:
        raise BadInput("no bucket to read", code="backfill-source", hint="declare a Trail with an s3:// source")
    done: list[Backfill] = []
    with Ingest.opened(kernel, holder, progress, lane=LANE) as lane:
        lane.recover()
        for source in chosen:
            id = codec.digest([source, str(first), str(last)])[:16]
            _begin(kernel, id, source, first, last)
            done.append(_days(kernel, lane, id, progress, log))
    return done


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{name}: {text!r} is no day", code="backfill-days", hint="2026-03-10") from None


def _begin(kernel: Kernel, id: str, source: str, first: date, last: date) -> None:
    t = tables.backfills
    with kernel.db.read() as connection:
        state = connection.scalar(sa.select(t.c.state).where(t.c.id == id))
    if state == "running":
        return
    prefixes = window.prefixes(kernel, source, first, last)
    if not prefixes:
        raise BadInput(
            "there is no .../CloudTrail/region/ below it",
            code="backfill-source",
            place=source,
            hint="take it whole: uwu trail ingest " + source,
        )
    now = codec.now()
    row = {
        "id": id,
        "source": source,
        "since": str(first),
        "until": str(last),
        "prefixes": prefixes,
        "total": len(prefixes),
        "objects": 0,
        "events": 0,
        "bytes": 0,
        "seconds": 0,
        "state": "running",
        "problem": "",
        "started_at": now,
        "updated_at": now,
    }
    with kernel.db.write() as connection:
        connection.execute(t.delete().where(t.c.id == id))
        connection.execute(t.insert().values(**row))


def _days(kernel: Kernel, lane: Ingest, id: str, progress: Progress, log: Log) -> Backfill:
    t = tables.backfills
    with kernel.db.read() as connection:
        row = connection.execute(sa.select(t.c.source, t.c.prefixes, t.c.total).where(t.c.id == id)).one()
    left, total = list(row.prefixes), int(row.total)
    while left:
        began = time.monotonic()
        taken, size, count, missing = Taken(), 0, 0, False
        # small days together: a batch of its own for each region's day would be thousands of small files
        held: list[sources.Object] = []
        while left[count:] and size < kernel.settings.lake.batch_events:
            found = [each.object for each in sources.listed(kernel, left[count])]
            new = lane.batches.unclaimed([each.key for each in found])
            wanted = set(new)
            held += [each for each in found if each.key in wanted]
            size = sum(each.events for each in held)
            count += 1
            progress(f"listing {left[count - 1]}", total - len(left) + count, total)
        for group in ingest.groups(held, kernel.settings.lake.batch_events):
            lane.renew()
            one, failed = lane.group(group)
            taken.add(one)
            given_up = [(each.name, each.mark, failed[each.name]) for each in group if each.name in failed]
            missing = missing or any(isinstance(error, Unavailable) for _, _, error in given_up)
            standing.bury(kernel.db, row.source, given_up)
        if missing:
            _update(kernel.db, id, problem="the bucket does not answer; run it again to go on")
            raise Unavailable("the bucket does not answer", code="backfill-stopped", hint="run it again: it goes on")
        left = left[count:]
        _update(
            kernel.db,
            id,
            prefixes=left,
            objects=t.c.objects + taken.objects,
            events=t.c.events + taken.events,
            bytes=t.c.bytes + sum(each.size for each in held),
            seconds=t.c.seconds + max(1, round(time.monotonic() - began)),
            problem="",
        )
        state = find(kernel, id)
        if state.seconds_left:
            log(f"{state.events} events so far, about {state.seconds_left // 60 + 1} minutes left")
        progress(row.source, total - len(left), total)
    lane.upkeep()
    _update(kernel.db, id, state="done", problem="")
    return find(kernel, id)


def _update(db: Database, id: str, **values: object) -> None:
    t = tables.backfills
    with db.write() as connection:
        connection.execute(sa.update(t).where(t.c.id == id).values(updated_at=codec.now(), **values))


def find(kernel: Kernel, id: str) -> Backfill:
    """The backfill ``id``."""
    with kernel.db.read() as connection:
        return next(each for each in standing.backfills(connection, limit=1_000) if each.id == id)
