"""The trail over HTTP, under ``/api/v1``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.domains.trail import api_pipeline, changes, store
from uwu.domains.trail.changes import Event
from uwu.kernel import codec, sight, subjects, urns
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.model import Change
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}
MAX_LIMIT = 500


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What the trail holds and how much of it is named."""

    events: int
    writes: int
    named: int
    humans: int
    others: int
    named_later: int
    named_pct: float
    actor_pct: float
    since: datetime | None
    until: datetime | None


class Aside(msgspec.Struct, frozen=True):
    """A record, or with index -1 an object, that could not be taken."""

    object: str
    index: int
    code: str
    message: str
    seen_at: datetime


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return codec.parse_time(text)
    except ValueError as error:
        raise BadInput(str(error), code="time-invalid", hint="2026-03-10T14:00:00Z") from None


def _subject(kernel: Kernel, text: str) -> str:
    """The urn that ``text`` names; also of a resource that only events know, by its urn or its last part."""
    try:
        with kernel.db.read() as connection:
            return subjects.resolve(connection, text)
    except NotFound:
        if urns.parse(text) is not None or text.startswith("urn:uwu:"):
            return urns.canonical(text)
        named = changes.Log(kernel).find(text)
        allowed = sight.seen_of(kernel, sight.current(), named)
        found = [urn for urn in named if urn in allowed]
        if len(found) > 1:
            raise BadInput(
                f"{text!r} names {len(found)} resources of events",
                code="subject-ambiguous",
                hint="say which one:\n  " + "\n  ".join(found),
            ) from None
        if not found:
            raise
        return found[0]


@get("/trail/changes", sync_to_thread=True, opt=READ)
def list_trail_changes(
    kernel: NamedDependency[Kernel],
    subject: FromQuery[str],
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
    limit: FromQuery[int] = 100,
) -> list[Change]:
    """The successful writes on a resource (ARN, id or name), newest first; also on one that is gone."""
    log = sight.SeenLog(kernel, changes.Log(kernel))
    limit = min(max(limit, 1), MAX_LIMIT)
    return log.changes([_subject(kernel, subject)], since=_time(since), until=_time(until), limit=limit)


@get("/trail/timeline", sync_to_thread=True, opt=READ)
def list_timeline(
    kernel: NamedDependency[Kernel],
    actor: FromQuery[str],
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
    limit: FromQuery[int] = 100,
) -> list[Event]:
    """What a human, machine, service or principal did, newest first. It takes sight of everything."""
    sight.require_all("what somebody did everywhere")
    limit = min(max(limit, 1), MAX_LIMIT)
    return changes.Log(kernel).timeline(actor, since=_time(since), until=_time(until), limit=limit)


@get("/trail/stats", sync_to_thread=True, opt=READ)
def get_stats(kernel: NamedDependency[Kernel]) -> Totals:
    """How many events there are, and of how many resource and actor are named. It takes sight of everything."""
    sight.require_all("what is counted over every account")
    found = changes.Log(kernel).stats()
    return Totals(named_pct=found.named_pct, actor_pct=found.actor_pct, **msgspec.structs.asdict(found))


@get("/trail/rejects", sync_to_thread=True, opt=READ)
def list_rejects(kernel: NamedDependency[Kernel], limit: FromQuery[int] = 100) -> list[Aside]:
    """What could not be taken, the latest first. It takes sight of everything."""
    sight.require_all("what could not be read of every account")
    with kernel.db.read() as connection:
        return [Aside(**row) for row in store.rejects(connection, min(max(limit, 1), MAX_LIMIT))]


HANDLERS: list[Any] = [list_trail_changes, list_timeline, get_stats, list_rejects, *api_pipeline.HANDLERS]
