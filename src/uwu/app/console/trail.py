"""The trail: where events come from and how far behind, what was given up, history that is read; and its events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from uwu.app.console import links, words
from uwu.app.console.frame import Answer, Asked, Frame, Page, query
from uwu.app.console.lists import Query, href_of
from uwu.domains.trail import events, standing
from uwu.domains.trail.events import Filter
from uwu.kernel import sight
from uwu.kernel.runtime import Kernel

READ = "world.read"
SHOWN = 50
LATE_SECONDS = 1_800
"""AWS delivers within some 15 minutes: twice that is late."""
_DEAD = 20
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PRINCIPAL = re.compile(r"arn:[\w-]+:(iam|sts)::")
_FIELDS = {"who": "who", "name": "action", "service": "service", "account": "account", "error": "error"}


class SourceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One source."""

    name: str
    kind: str
    objects: int
    lag: str
    late: bool
    waiting: str
    seen_at: datetime | None
    problem: str


class BackfillLine(msgspec.Struct, frozen=True, kw_only=True):
    """One backfill."""

    name: str
    span: str
    state: str
    events: int
    done: int
    total: int
    left: str
    problem: str


class Chip(msgspec.Struct, frozen=True):
    """A filter that is set."""

    label: str
    value: str
    clear: str


class EventLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event."""

    id: str
    at: datetime
    name: str
    name_href: str
    actor: str
    actor_href: str
    guess: bool
    error: str
    target: str
    target_href: str
    account: str
    region: str


class TrailPage(msgspec.Struct, frozen=True, kw_only=True):
    """The page."""

    text: str
    chips: list[Chip]
    sources: list[SourceLine]
    dead: list[standing.Dead]
    dead_total: int
    backfills: list[BackfillLine]
    items: list[EventLine]
    more: str
    first: bool
    """Nothing is asked for: sources stand above the events."""


def page(kernel: Kernel, asked: Query) -> TrailPage:
    """What is asked for. Raises ``Denied`` for who may not see everything."""
    sight.require_all("what happened in every account")
    found = events.search(kernel, _filter(asked), limit=SHOWN, after=asked.get("after", ""))
    first = not any(asked.get(key) for key in ("q", "after", *_FIELDS))
    with kernel.db.read() as connection:
        sources = standing.sources(connection) if first else []
        dead_total = standing.dead_count(connection)
        dead = standing.dead(connection, _DEAD) if first and dead_total else []
        backfills = standing.backfills(connection, 5) if first else []
    return TrailPage(
        text=asked.get("q", ""),
        chips=[
            Chip(label, asked[key], href_of(links.TRAIL, asked, **{key: None}))
            for key, label in _FIELDS.items()
            if asked.get(key)
        ],
        sources=[_source(each) for each in sources],
        dead=dead,
        dead_total=dead_total,
        backfills=[_backfill(each) for each in backfills],
        items=[_event(each, asked) for each in found.items],
        more=href_of(links.TRAIL, asked, after=found.after) if found.after else "",
        first=first,
    )


def _filter(asked: Mapping[str, str]) -> Filter:
    """The search box takes an event's id, an ARN of who or what, or a piece of text."""
    held: dict[str, Any] = {key: asked[key] for key in _FIELDS if asked.get(key)}
    text = asked.get("q", "").strip()
    if _ID.fullmatch(text):
        held["event_id"] = text
    elif _PRINCIPAL.match(text) and not text.endswith(":root"):
        held["who"] = text
    elif text.startswith("arn:"):
        held["resource"] = text
    elif text:
        held["text"] = text
    return Filter(**held)


def _source(each: standing.SourceState) -> SourceLine:
    waiting = f"{each.waiting:,} waiting" if each.kind == standing.QUEUE else ""
    if each.late:
        waiting = f"{each.late:,} that no message told of"
    return SourceLine(
        name=each.source,
        kind=each.kind,
        objects=each.objects,
        lag=_span(each.lag_seconds) if each.objects else "",
        late=each.lag_seconds > LATE_SECONDS,
        waiting=waiting,
        seen_at=each.seen_at,
        problem=each.problem,
    )


def _span(seconds: int) -> str:
    """``40 s``, ``12 min``, ``3 h``."""
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7_200 else f"{seconds // 3600} h"


def _backfill(each: standing.Backfill) -> BackfillLine:
    left = "" if each.seconds_left is None or each.state == "done" else f"about {_span(each.seconds_left)} left"
    return BackfillLine(
        name=each.source,
        span=f"{each.since} to {each.until}",
        state=each.state,
        events=each.events,
        done=each.total - each.left,
        total=each.total,
        left=left,
        problem=each.problem,
    )


def _event(each: events.Found, asked: Query) -> EventLine:
    target = each.targets[0] if each.targets else ""
    return EventLine(
        id=each.event_id,
        at=each.at,
        name=each.name,
        name_href=href_of(links.TRAIL, asked, name=each.name),
        actor=each.actor,
        actor_href=href_of(links.TRAIL, asked, who=each.actor),
        guess=each.confidence == "guess",
        error=each.error,
        target=words.short(target) if target else "",
        target_href=links.resource(target) if target else "",
        account=each.account,
        region=each.region,
    )


def show(at: Frame, request: Asked) -> Answer:
    return at.page(request, "trail.html", section=links.TRAIL, view=page(at.kernel, query(request)))


PAGES = (Page(links.TRAIL, show, READ),)
