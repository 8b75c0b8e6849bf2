"""Sources, dead letters, backfills, search and originals over HTTP, under ``/api/v1``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.domains.trail import events, original, standing
from uwu.domains.trail.events import DayCount, Filter
from uwu.domains.trail.original import Original
from uwu.domains.trail.standing import Backfill, Dead, SourceState
from uwu.kernel import codec, sight
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}
MAX_LIMIT = 500


class BackfillState(msgspec.Struct, frozen=True):
    """A backfill and how long it may still take."""

    backfill: Backfill
    seconds_left: int | None
    """At the pace so far; None before the first day is done."""


def time_of(text: str) -> datetime | None:
    """An ISO 8601 time with a zone, or none. Raises ``BadInput`` (``time-invalid``)."""
    if not text:
        return None
    try:
        return codec.parse_time(text)
    except ValueError as error:
        raise BadInput(str(error), code="time-invalid", hint="2026-03-10T14:00:00Z") from None


@get("/trail/sources", sync_to_thread=True, opt=READ)
def list_trail_sources(kernel: NamedDependency[Kernel]) -> list[SourceState]:
    """Queues, buckets and folders that events came from, and how far behind each is. It takes sight of everything."""
    sight.require_all("where the events of every account come from")
    with kernel.db.read() as connection:
        return standing.sources(connection)


@get("/trail/dead", sync_to_thread=True, opt=READ)
def list_trail_dead(kernel: NamedDependency[Kernel], limit: FromQuery[int] = 100) -> list[Dead]:
    """Objects that could not be taken, and messages that name none; the latest first. It takes sight of everything."""
    sight.require_all("what could not be read of every account")
    with kernel.db.read() as connection:
        return standing.dead(connection, min(max(limit, 1), MAX_LIMIT))


@get("/trail/backfills", sync_to_thread=True, opt=READ)
def list_trail_backfills(kernel: NamedDependency[Kernel], limit: FromQuery[int] = 20) -> list[BackfillState]:
    """Backfills, the latest first, and how long each may still take. It takes sight of everything."""
    sight.require_all("what is read of every account")
    with kernel.db.read() as connection:
        found = standing.backfills(connection, min(max(limit, 1), MAX_LIMIT))
    return [BackfillState(each, each.seconds_left) for each in found]


@get("/trail/search", sync_to_thread=True, opt=READ)
def search_trail(
    kernel: NamedDependency[Kernel],
    who: FromQuery[str] = "",
    resource: FromQuery[str] = "",
    name: FromQuery[str] = "",
    service: FromQuery[str] = "",
    account: FromQuery[str] = "",
    region: FromQuery[str] = "",
    error: FromQuery[str] = "",
    access_key: FromQuery[str] = "",
    address: FromQuery[str] = "",
    text: FromQuery[str] = "",
    event_id: FromQuery[str] = "",
    writes: FromQuery[bool] = False,
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
    limit: FromQuery[int] = 50,
    after: FromQuery[str] = "",
) -> events.Page:
    """Events by who, what, where and text, newest first; a page at a time. It takes sight of everything."""
    sight.require_all("what happened in every account")
    asked = Filter(
        event_id=event_id,
        who=who,
        resource=resource,
        name=name,
        service=service,
        account=account,
        region=region,
        error=error,
        access_key=access_key,
        address=address,
        text=text,
        writes=writes,
        since=time_of(since),
        until=time_of(until),
    )
    return events.search(kernel, asked, limit=limit, after=after)


@get("/trail/days", sync_to_thread=True, opt=READ)
def count_trail_days(
    kernel: NamedDependency[Kernel],
    who: FromQuery[str] = "",
    name: FromQuery[str] = "",
    account: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
) -> list[DayCount]:
    """Events, writes and errors a day, the first day first. It takes sight of everything."""
    sight.require_all("what happened in every account")
    asked = Filter(who=who, name=name, account=account, since=time_of(since), until=time_of(until))
    return events.by_day(kernel, asked)


@get("/trail/raw", sync_to_thread=True, opt=READ)
def get_trail_raw(kernel: NamedDependency[Kernel], event_id: FromQuery[str]) -> Original:
    """The record of an event from the object that holds it, secrets redacted. It takes sight of everything."""
    sight.require_all("the record of an event")
    return original.fetch(kernel, event_id)


HANDLERS: list[Any] = [
    list_trail_sources,
    list_trail_dead,
    list_trail_backfills,
    search_trail,
    count_trail_days,
    get_trail_raw,
]
