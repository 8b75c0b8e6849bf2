"""Reads single resources again and writes what they are: because an event touched them, or because somebody asks.

What is read takes few calls of a budget that each account has; what does not fit is left to the next sync, and the
record says so. Nothing is changed by what AWS denies or throttles.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.inventory import reader, refresh_queue, refresh_read
from uwu.domains.inventory.ledger_write import record
from uwu.domains.inventory.model import SOURCE, Scope, Spec
from uwu.domains.inventory.reader import Reader
from uwu.domains.inventory.refresh_calls import Asked
from uwu.domains.inventory.refresh_events import CALLS_PER_EVENT, JOB, Place, place_of
from uwu.domains.inventory.refresh_queue import Refreshed, Waiting
from uwu.domains.inventory.refresh_read import GONE, PRESENT, UNREAD, Seen
from uwu.domains.inventory.refresh_touch import deletes
from uwu.domains.inventory.refresh_types import by_form, by_sibling, spec_of
from uwu.kernel import codec, drift, graph, tables
from uwu.kernel.domain import SourceHealth
from uwu.kernel.errors import BadInput
from uwu.kernel.graph.diff import differing
from uwu.kernel.jobs import Job, Run
from uwu.kernel.model import CellStatus, Resource
from uwu.kernel.runtime import Kernel

TOGETHER = 32
"""Resources that one step takes: a step is repeated after a kill."""
ROUNDS = 50
"""Steps of one run: what comes then is the next run's."""
WAIT = timedelta(seconds=5)
"""A run waits for what is due within so long; what is due later is the schedule's."""
PATIENCE = timedelta(minutes=5)
"""What has waited so long for calls of the budget is left to the next sync."""
YOUNG = timedelta(minutes=1)
"""An answer that shows nothing of an event which is younger may be older than it: it is asked once more."""
LATER = timedelta(seconds=30)
"""When it is asked once more."""
PATHS = 40
"""Paths kept of one refresh."""

ADDED, CHANGED, UNCHANGED, ABSENT, LEFT = "added", "changed", "unchanged", "absent", "left"
ALTERED = frozenset({ADDED, CHANGED, GONE})
READ = frozenset({ADDED, CHANGED, UNCHANGED, GONE, ABSENT})
LATE = timedelta(minutes=5)
"""What is due for so long is late: no worker runs, or none keeps up."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A resource to read, and why."""

    urn: str
    place: Place
    events: tuple[str, ...] = ()
    event_id: str = ""
    event_at: datetime | None = None
    noted_at: datetime | None = None
    related: tuple[str, ...] = ()
    allowance: int | None = None
    """Calls that it may take; None for as many as it needs."""


# ---- one resource


def refresh_one(kernel: Kernel, target: Target) -> Refreshed | None:
    """Reads one resource and writes it. None where the budget of its account has no calls left in this minute."""
    began, place = time.perf_counter(), target.place
    spec, model = _spec(place.type), _model(kernel, target.place)
    known = _known(kernel, target.urn)
    plan = refresh_read.plan(spec, _asked(kernel, target, known), target.events, model)
    if plan is None:
        return _left(kernel, target, "refresh-no-call", f"no call reads one {spec.title} by itself")
    reserved_at = codec.now()
    if target.allowance is not None:
        if known is not None and plan.calls > target.allowance:
            why = f"it takes {plan.calls} calls, and its events stand for {target.allowance}"
            return _left(kernel, target, "refresh-calls", why)
        if not _reserve(kernel, place.account, plan.calls, reserved_at):
            return None
    seen = refresh_read.read(kernel.aws, plan, model)
    with kernel.db.write() as connection:
        result, paths = _write(connection, target, known, seen)
        told = _told(
            target, result, seen.code, seen.message, calls=seen.calls, paths=paths, seconds=time.perf_counter() - began
        )
        if target.allowance is not None:
            refresh_queue.give_back(connection, place.account, plan.calls - len(seen.calls), reserved_at)
        refresh_queue.write(connection, [told])
    return told


def _spec(type: str) -> Spec:
    spec = spec_of(type)
    if spec is None:
        raise BadInput(f"there is no type {type}", code="type-unknown", hint="uwu inventory types lists them")
    return spec


def _known(kernel: Kernel, urn: str) -> Resource | None:
    r, fields = tables.resources, Resource.__struct_fields__
    with kernel.db.read() as connection:
        row = connection.execute(sa.select(*(r.c[name] for name in fields)).where(r.c.urn == urn)).first()
    return Resource(**dict(zip(fields, row, strict=True))) if row is not None else None


def _asked(kernel: Kernel, target: Target, known: Resource | None) -> Asked:
    related = target.related
    if known is not None:
        t = tables.relations
        query = sa.select(t.c.target).where(t.c.source == target.urn, t.c.valid_to.is_(None)).limit(50)
        with kernel.db.read() as connection:
            related = tuple(dict.fromkeys((*connection.scalars(query), *related)))

    def attributes_of(urn: str) -> dict[str, Any]:
        r = tables.resources
        with kernel.db.read() as connection:
            return connection.execute(sa.select(r.c.attributes).where(r.c.urn == urn)).scalar() or {}

    scope = Scope(target.place.account, target.place.region, kernel.aws.identity().partition)
    return Asked(scope, target.urn, known, related, attributes_of)


def _model(kernel: Kernel, place: Place) -> Callable[[], Any]:
    service = _spec(place.type).service
    return lambda: kernel.aws.client(service, place.account, place.region).meta.service_model


def _reserve(kernel: Kernel, account: str, calls: int, now: datetime) -> bool:
    limit = kernel.settings.inventory.refresh_calls_per_minute
    with kernel.db.write() as connection:
        return refresh_queue.reserve(connection, account, calls, limit, now)


def _write(
    connection: sa.Connection, target: Target, known: Resource | None, seen: Seen
) -> tuple[str, tuple[str, ...]]:
    """(what it did, the paths that changed)."""
    cell = target.place.cell
    if seen.state == PRESENT and seen.resource is not None:
        delta = graph.refresh(connection, cell, seen.at, [seen.resource], relations=seen.relations)
        if delta.added:
            return ADDED, ()
        return (CHANGED, _paths(known, seen.resource)) if delta.changed else (UNCHANGED, ())
    if seen.state == GONE:
        delta = graph.refresh(connection, cell, seen.at, [], gone=[target.urn])
        return (GONE if delta.removed else ABSENT), ()
    return (LEFT if seen.state == UNREAD else seen.state), ()


def _paths(before: Resource | None, after: Resource) -> tuple[str, ...]:
    def facts(one: Resource | None) -> dict[str, Any]:
        return {**one.attributes, "tags": one.tags, "name": one.name, "managed_by": one.managed_by} if one else {}

    return tuple(each.path for each in differing(facts(before), facts(after)))[:PATHS]


def _told(
    target: Target,
    result: str,
    code: str = "",
    message: str = "",
    *,
    calls: tuple[str, ...] = (),
    paths: tuple[str, ...] = (),
    seconds: float = 0.0,
) -> Refreshed:
    return Refreshed(
        id=codec.new_id("refresh"),
        at=codec.now(),
        urn=target.urn,
        account=target.place.account,
        region=target.place.region,
        type=target.place.type,
        result=result,
        events=target.events,
        event_id=target.event_id,
        event_at=target.event_at,
        noted_at=target.noted_at,
        calls=calls,
        paths=paths,
        seconds=round(seconds, 4),
        code=code,
        message=message,
    )


def _left(kernel: Kernel, target: Target, code: str, message: str) -> Refreshed:
    """Leaves it to the next sync, and says so."""
    told = _told(target, LEFT, code, f"{message}: the next sync reads it")
    with kernel.db.write() as connection:
        refresh_queue.write(connection, [told])
    return told


def _refresh_cell(kernel: Kernel, target: Target) -> Refreshed | None:
    """Lists a cell of which one event touched many resources, where that is cheap."""
    began, place, c = time.perf_counter(), target.place, tables.coverage
    with kernel.db.read() as connection:
        calls = connection.execute(sa.select(c.c.calls).where(c.c.cell == place.cell)).scalar() or 0
    if calls > CALLS_PER_EVENT:
        return _left(kernel, target, "refresh-wide", f"one event touched many, and their list takes {calls} calls")
    now = codec.now()
    if not _reserve(kernel, place.account, max(1, calls), now):
        return None
    spec = _spec(place.type)
    scope = Scope(place.account, place.region, kernel.aws.identity().partition)
    seen = reader.observe_type(Reader(kernel.aws, scope, spec.service), spec)
    delta = record(kernel, seen)
    outcome = seen.outcome
    altered = delta.added + delta.changed + delta.removed
    complete = outcome.status is CellStatus.COMPLETE
    result = (CHANGED if altered else UNCHANGED) if complete else outcome.status.value
    told = _told(
        target,
        result,
        outcome.code,
        outcome.message or f"{delta.added} added, {delta.changed} changed, {delta.removed} gone",
        calls=(spec.operation,) * outcome.calls,
        seconds=time.perf_counter() - began,
    )
    with kernel.db.write() as connection:
        refresh_queue.give_back(connection, place.account, max(1, calls) - outcome.calls, now)
        refresh_queue.write(connection, [told])
    return told


# ---- steps: each may run again after a kill, and then finds the world as it is


def refresh_touched(kernel: Kernel) -> dict[str, Any]:
    """Reads what events have touched and is due, at most ``TOGETHER``. Waits a little for what is due soon.

    Gives how they ended, ``subjects`` that changed and ``more``: whether to ask again.
    """
    taken = _take(kernel)
    if not taken:
        with kernel.db.write() as connection:
            refresh_queue.forget(connection, codec.now())
        return {"results": {}, "subjects": [], "more": False}
    with ThreadPoolExecutor(min(len(taken), kernel.settings.aws.concurrency), thread_name_prefix="refresh") as pool:
        told = [each for each in pool.map(lambda one: _refresh_waiting(kernel, one), taken) if each is not None]
    subjects = [each.urn for each in told if each.result in ALTERED]
    return {"results": dict(Counter(each.result for each in told)), "subjects": subjects, "more": True}


def _take(kernel: Kernel) -> list[Waiting]:
    until = codec.now() + WAIT
    while True:
        now = codec.now()
        with kernel.db.write() as connection:
            taken = refresh_queue.take(connection, now, TOGETHER)
            due = None if taken else refresh_queue.next_due(connection, now)
        if taken or due is None or due > until:
            return taken
        time.sleep(max(0.01, (due - now).total_seconds()))


def _refresh_waiting(kernel: Kernel, one: Waiting) -> Refreshed | None:
    target = Target(
        urn=one.urn,
        place=Place(one.type, one.account, one.region, one.cell),
        events=one.events,
        event_id=one.event_id,
        event_at=one.event_at,
        noted_at=one.noted_at,
        related=one.related,
        allowance=one.allowance,
    )
    try:
        told = (_refresh_cell if one.urn == one.cell else refresh_one)(kernel, target)
    except Exception as error:  # one that cannot be read must not keep the others waiting, nor come again for ever
        failure = kernel.aws.classify(error, one.region)
        told = _told(target, failure.status.value, failure.code, failure.message)
        with kernel.db.write() as connection:
            refresh_queue.write(connection, [told])
    now = codec.now()
    if told is None and now - one.noted_at > PATIENCE:
        told = _left(kernel, target, "refresh-budget", "its account had no calls left for it")
    with kernel.db.write() as connection:
        if told is None:
            refresh_queue.again(connection, one, refresh_queue.next_minute(now), tried=False)
        elif one.tries == 0 and _predates(one, told, now):
            refresh_queue.again(connection, one, now + LATER, tried=True)
        else:
            refresh_queue.done(connection, one)
    return told


def _predates(one: Waiting, told: Refreshed, now: datetime) -> bool:
    """Whether the answer may not show yet what the events did."""
    if deletes(one.events):
        return told.result in {CHANGED, UNCHANGED}
    return now - one.event_at < YOUNG and told.result in {ABSENT, UNCHANGED, GONE}


def refresh_asked(kernel: Kernel, urns: Sequence[str]) -> dict[str, Any]:
    """Reads ``urns`` again, each whole, whatever calls it takes.

    Raises ``BadInput`` (code ``refresh-foreign``) where one is of no type that is observed in AWS.
    """
    targets = [target(kernel, urn) for urn in dict.fromkeys(urns)]
    with ThreadPoolExecutor(min(len(targets), kernel.settings.aws.concurrency), thread_name_prefix="refresh") as pool:
        told = [each for each in pool.map(lambda each: refresh_one(kernel, each), targets) if each is not None]
    return {
        "refreshed": [codec.builtins(each) for each in told],
        "subjects": [each.urn for each in told if each.result in ALTERED],
    }


def target(kernel: Kernel, urn: str) -> Target:
    """``urn`` as what is to be read whole. Raises ``BadInput`` (code ``refresh-foreign``) for what is not of AWS."""
    r, v = tables.resources, tables.versions
    with kernel.db.read() as connection:
        row = connection.execute(sa.select(r.c.type, r.c.cell).where(r.c.urn == urn)).first()
        if row is None:
            past = sa.select(v.c.type, v.c.cell).where(v.c.urn == urn).order_by(v.c.version.desc())
            row = connection.execute(past.limit(1)).first()
        spec = by_form(urn) or by_sibling(connection, urn) if row is None else spec_of(row.type)
    if spec is None or (row is not None and not row.cell.startswith(f"{SOURCE}/")):
        raise BadInput(
            f"{urn} is no resource that is observed in AWS",
            code="refresh-foreign",
            hint="uwu inventory types lists what is observed",
        )
    if row is None:
        return Target(urn=urn, place=place_of(kernel, spec, urn, kernel.aws.identity().account))
    _, account, region, _ = row.cell.split("/", 3)
    return Target(urn=urn, place=Place(spec.name, account, region, row.cell))


# ---- jobs


def _run(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """Reads what is asked for (``urns``), or else what events have touched."""
    asked = [str(urn) for urn in arguments.get("urns") or ()]
    if asked:
        run.progress("refresh")
        result = run.step(refresh_asked, run.kernel, asked, name="refresh")
        for one in result["refreshed"]:
            run.log(_line(one), level="info" if one["result"] in READ else "warning", data=one)
        _judge(run, result["subjects"])
        return {"refreshed": result["refreshed"]}
    results: Counter[str] = Counter()
    for _ in range(ROUNDS):
        result = run.step(refresh_touched, run.kernel, name="refresh")
        results.update(result["results"])
        _judge(run, result["subjects"])
        if not result["more"]:
            break
    return {"results": dict(results)}


def _line(one: dict[str, Any]) -> str:
    told = [f"{one['result']}: {one['urn']}", f"asked {', '.join(one['calls'])}" if one["calls"] else "asked nothing"]
    told += [f"changed {', '.join(one['paths'])}"] if one["paths"] else []
    told += [one["message"]] if one["message"] else []
    return "; ".join(told)


def _judge(run: Run, subjects: Sequence[str]) -> None:
    if subjects:
        run.step(judge, run.kernel, subjects, name="judge")


def judge(kernel: Kernel, subjects: Iterable[str]) -> Any:
    """Judges anew the drift of ``subjects`` alone."""
    return codec.builtins(drift.judge_some(kernel, frozenset(subjects)))


def due(kernel: Kernel) -> bool:
    """Whether anything that events touched is due."""
    now = codec.now()
    with kernel.db.read() as connection:
        at = refresh_queue.next_due(connection, now)
    return at is not None and at <= now


def health(kernel: Kernel) -> list[SourceHealth]:
    """One line where events have touched anything: how refreshes of the last day ended, and what waits."""
    now = codec.now()
    with kernel.db.read() as connection:
        results = refresh_queue.results(connection, now - timedelta(days=1))
        waiting, due_at = refresh_queue.waiting(connection), refresh_queue.next_due(connection, now)
        last = refresh_queue.latest(connection, limit=1)
    if not last and not waiting:
        return []
    left, told = results.pop(LEFT, 0), results.total()
    unread = sum(number for result, number in results.items() if result not in READ)
    parts = [f"{told - unread} read again in a day", f"{left} left to the next sync"]
    parts += [f"{unread} could not be read"] if unread else []
    parts += [f"{waiting} waiting"] if waiting else []
    late = due_at is not None and due_at < now - LATE
    return [SourceHealth("aws events", "late" if late else "fresh", last[0].at if last else None, ", ".join(parts))]


JOBS = (Job(JOB, _run),)
