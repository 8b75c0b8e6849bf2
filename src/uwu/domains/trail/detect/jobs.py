"""The rules over each batch as it lands, and over history."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from uwu.domains.trail import sources, store, tables
from uwu.domains.trail.detect import alerts, engine, load
from uwu.domains.trail.detect.alerts import Alert
from uwu.domains.trail.detect.model import Detection, Firing
from uwu.kernel import codec, drift, leases
from uwu.kernel import tables as kernel_tables
from uwu.kernel.db import upsert
from uwu.kernel.errors import BadInput
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel

DETECT, BACKTEST = "trail.detect", "trail.backtest"
LEASE_SECONDS = 120.0
WAIT_SECONDS = 300.0
"""How long a run waits for another one to end."""
MOST_DAYS = 400
"""Of one backtest: as long as most keep their events."""
SAMPLES = 20
"""Alerts that a backtest shows."""

Progress = Callable[[str, int, int], None]


# ---- as batches land


def waiting(kernel: Kernel) -> list[Any]:
    """The committed batches whose events the rules have not seen, in order."""
    b, d = kernel_tables.lake_batches, tables.detected
    query = (
        sa.select(b.c.number, b.c.files, b.c.rows, b.c.detail)
        .outerjoin(d, d.c.batch == b.c.number)
        .where(b.c.stream == store.STREAM, b.c.state == "committed", d.c.batch.is_(None))
        .order_by(b.c.number)
    )
    with kernel.db.read() as connection:
        return list(connection.execute(query))


def due(kernel: Kernel) -> bool:
    """Whether a batch waits for the rules."""
    return bool(waiting(kernel))


def detect(kernel: Kernel, *, holder: str, progress: Progress | None = None) -> dict[str, Any]:
    """Runs the rules over every batch that they have not seen, each once, and opens the findings.

    A batch and its alerts are recorded in one transaction: after a kill it is seen again, or not at all.
    Raises ``Conflict`` where another run does not end.
    """
    told = progress or (lambda _stage, _done, _total: None)
    total = {"batches": 0, "events": 0, "alerts": 0, "findings": 0}
    with leases.hold(kernel.db, DETECT, holder, LEASE_SECONDS, WAIT_SECONDS) as lease:
        batches = waiting(kernel)
        for done, batch in enumerate(batches):
            told("rules over events", done, len(batches))
            leases.renew(kernel.db, lease, LEASE_SECONDS)
            changed = _detect_batch(kernel, batch)
            total["batches"] += 1
            total["events"] += int(batch.rows.get(store.EVENTS.name, 0))
            total["alerts"] += len(changed)
    before: frozenset[str] = frozenset()
    # those whose rule was switched off since have no finding, and get none
    while (subjects := _unjudged(kernel)) - before:
        told("findings", 0, 0)
        total["findings"] += drift.judge_some(kernel, subjects).opened
        before = subjects
    return total


def _unjudged(kernel: Kernel) -> frozenset[str]:
    """The subjects of open alerts that have no finding yet or whose finding is behind, some hundreds at the most."""
    a, f = tables.alerts, kernel_tables.findings
    since = codec.now() - timedelta(days=kernel.settings.detect.keep_days)
    query = (
        sa.select(a.c.subject)
        .outerjoin(f, sa.and_(f.c.rule == a.c.rule, f.c.subject == a.c.subject))
        .where(a.c.closed_at.is_(None), a.c.last_at >= since)
        .group_by(a.c.subject)
        .having(sa.or_(sa.func.max(f.c.last_seen).is_(None), sa.func.max(a.c.updated_at) > sa.func.max(f.c.last_seen)))
        .limit(500)
    )
    with kernel.db.read() as connection:
        return frozenset(connection.scalars(query))


def _detect_batch(kernel: Kernel, batch: Any) -> list[Alert]:
    begun = time.perf_counter()
    rules = load.running(kernel)
    firings: list[Firing] = []
    days: dict[tuple[str, str], tuple[int, datetime]] = {}
    events = int(batch.rows.get(store.EVENTS.name, 0))
    if events and rules:
        since, until = codec.parse_time(batch.detail["since"]), codec.parse_time(batch.detail["until"])
        with _events_of(kernel, batch, since, until) as (connection, table):
            for rule in rules:
                found = engine.run(connection, rule, table, since, until, _history(kernel))
                firings += found.firings
                for day, number in found.days.items():
                    days[rule.id, day] = (number, found.last or until)
    at = codec.now()
    regroup = timedelta(hours=kernel.settings.detect.regroup_hours)
    with kernel.db.write() as connection:
        changed: list[Alert] = []
        if firings:
            earliest = min(firing.first for firing in firings) - regroup
            held = alerts.open_of(connection, {firing.detection.id for firing in firings}, earliest)
            changed = alerts.merged(firings, held, alerts.accounts_of(connection), regroup, at)
            alerts.save(connection, changed, at)
        _count(connection, days)
        seconds = round(time.perf_counter() - begun, 3)
        row = {"batch": batch.number, "at": at, "events": events, "alerts": len(changed), "seconds": seconds}
        upsert(connection, tables.detected, [row])
    return changed


def _count(connection: sa.Connection, days: dict[tuple[str, str], tuple[int, datetime]]) -> None:
    d = tables.rule_days
    for (rule, day), (number, last) in sorted(days.items()):
        old = connection.execute(
            sa.select(d.c.matches, d.c.last_at).where(d.c.rule == rule, d.c.day == day)
        ).one_or_none()
        row = {"rule": rule, "day": day, "matches": number, "last_at": last}
        if old is not None:
            row |= {"matches": old.matches + number, "last_at": max(old.last_at, last)}
        upsert(connection, d, [row])


def _history(kernel: Kernel) -> engine.Scan:
    return lambda since, until: kernel.lake.scan(store.EVENTS.name, since=since, until=until + timedelta(seconds=1))


@contextmanager
def _events_of(kernel: Kernel, batch: Any, since: datetime, until: datetime) -> Iterator[tuple[Any, str]]:
    """A connection, and the table in it that holds the events of ``batch``: those of its files, in memory.

    Files that were merged into others since are not there: then the batch is told by the objects that it took.
    """
    lake = kernel.lake
    lake.ensure(store.EVENTS)
    end = until + timedelta(seconds=1)
    own = [str(file["path"]) for file in batch.files.get(store.EVENTS.name, ())]
    with lake.connection() as connection:
        if set(own) <= set(lake.files(store.EVENTS.name, since, end)):
            scan, where, values = lake.scan_files(store.EVENTS.name, own), "", []
        else:
            k = kernel_tables.lake_keys
            with kernel.db.read() as state:
                query = sa.select(k.c.key).where(k.c.stream == store.STREAM, k.c.batch == batch.number)
                names = [sources.of_key(key).name for key in state.scalars(query)]
            scan = lake.scan(store.EVENTS.name, since=since, until=end)
            where, values = "where event_time between ? and ? and list_contains(?, object)", [since, until, names]
        text = f"create temp table batch_events as select {', '.join(engine.COLUMNS)} from {scan} {where}"  # noqa: S608
        connection.execute(text, values or None)
        yield connection, "batch_events"


# ---- over history


def backtest(
    kernel: Kernel, rule: Detection, since: datetime, until: datetime, progress: Progress | None = None
) -> dict[str, Any]:
    """What ``rule`` would have found in [since, until): its matches by day, and the alerts. It writes nothing.

    Raises ``BadInput`` for a stretch that is empty or longer than ``MOST_DAYS``.
    """
    if since >= until or until - since > timedelta(days=MOST_DAYS):
        raise BadInput(
            f"a backtest goes over at most {MOST_DAYS} days, and ends after it begins", code="backtest-window"
        )
    told = progress or (lambda _stage, _done, _total: None)
    begun = time.perf_counter()
    kernel.lake.ensure(store.EVENTS)
    with kernel.db.read() as connection:
        accounts = alerts.accounts_of(connection)
    regroup = timedelta(hours=kernel.settings.detect.regroup_hours)
    found: dict[str, Alert] = {}
    days: dict[str, int] = {}
    events = matches = 0
    truncated = False
    stretches = _days(since, until)
    for done, (start, end) in enumerate(stretches):
        told(f"{start:%Y-%m-%d}", done, len(stretches))
        scan = kernel.lake.scan(store.EVENTS.name, since=start, until=end)
        bounds = f"event_time >= {_at(start)} and event_time < {_at(end)}"
        with kernel.lake.connection() as connection:
            here = f"(select * from {scan} where {bounds})"  # noqa: S608 - our own expressions
            events += connection.execute(f"select count(*) from {here}").fetchall()[0][0]  # noqa: S608
            result = engine.run(connection, rule, here, start, end, _history(kernel))
        matches += result.matches
        truncated = truncated or result.truncated
        for day, number in result.days.items():
            days[day] = days.get(day, 0) + number
        for alert in alerts.merged(result.firings, found.values(), accounts, regroup, until):
            found[alert.id] = alert
    newest = sorted(found.values(), key=lambda one: one.last_at, reverse=True)
    return {
        "rule": rule.id,
        "title": rule.title,
        "rule_sha256": rule.hash,
        "since": codec.iso(since),
        "until": codec.iso(until),
        "events": events,
        "matches": matches,
        "alerts": len(found),
        "days": dict(sorted(days.items())),
        "truncated": truncated,
        "samples": [_sample(alert) for alert in newest[:SAMPLES]],
        "notes": list(rule.notes),
        "seconds": round(time.perf_counter() - begun, 3),
    }


def _sample(alert: Alert) -> dict[str, Any]:
    return {
        "title": alert.title,
        "subject": alert.subject,
        "actor": alert.actor,
        "account": alert.account,
        "count": alert.count,
        "first": codec.iso(alert.first_at),
        "last": codec.iso(alert.last_at),
        "events": [pin.id for pin in alert.events[:5]],
    }


def _at(moment: datetime) -> str:
    return f"timestamptz '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"


def _days(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    stretches: list[tuple[datetime, datetime]] = []
    start = since
    while start < until:
        end = min(start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1), until)
        stretches.append((start, end))
        start = end
    return stretches


# ---- the jobs


def _detect(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    del arguments
    return run.step(_detect_step, run, name="detect")


def _detect_step(run: Run) -> dict[str, Any]:
    for problem in load.loaded(run.kernel).problems:
        run.log(f"{problem.place}: {problem.message} [{problem.code}]", level="warning")
    return detect(run.kernel, holder=run.id, progress=run.progress)


def _backtest(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    return run.step(_backtest_step, run, arguments, name="backtest")


def _backtest_step(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    kernel = run.kernel
    until = codec.parse_time(arguments["until"]) if arguments.get("until") else codec.now()
    since = codec.parse_time(arguments["since"]) if arguments.get("since") else until - timedelta(days=30)
    found: Sequence[Detection]
    if arguments.get("text"):
        from uwu.domains.trail.detect import sigma

        values = {name: tuple(given) for name, given in kernel.settings.detect.placeholders.items()}
        found = sigma.read(
            str(arguments["text"]), source="backtest", place=str(arguments.get("name") or "rule"), values=values
        )
    else:
        found = [load.loaded(kernel).of(str(arguments.get("rule") or ""))]
    return {"results": [backtest(kernel, rule, since, until, run.progress) for rule in found]}


JOBS = (Job(DETECT, _detect, concurrency=1), Job(BACKTEST, _backtest, concurrency=1, action="trail.rules"))
