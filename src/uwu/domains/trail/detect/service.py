"""What people ask of detections: the rules and how they stand, a rule against one event, the close of an alert."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.trail import store, tables
from uwu.domains.trail.actors import SessionIndex
from uwu.domains.trail.callers import Callers
from uwu.domains.trail.detect import alerts, load
from uwu.domains.trail.detect.alerts import Alert
from uwu.domains.trail.detect.model import Detection
from uwu.domains.trail.names import Namer
from uwu.domains.trail.read import read as read_object
from uwu.domains.trail.rows import Rows
from uwu.kernel import authorize, codec, sight
from uwu.kernel import tables as kernel_tables
from uwu.kernel.authorize import Target
from uwu.kernel.errors import BadInput, NotFound, Problem
from uwu.kernel.identity import Principal
from uwu.kernel.model import Severity
from uwu.kernel.rulebook import judges
from uwu.kernel.runtime import Kernel

CLOSE, RULES = "trail.close", "trail.rules"
DAYS = 30
"""Of a rule's matches that are shown."""
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A detection and how it stands."""

    id: str
    title: str
    description: str
    severity: Severity
    tags: tuple[str, ...]
    references: tuple[str, ...]
    false_positives: tuple[str, ...]
    remedy: str
    window: str
    """What must come together; empty where each event fires by itself."""
    subject: str
    source: str
    place: str
    sha256: str
    runs: bool
    """The settings let it run."""
    notes: tuple[str, ...]
    """What of it cannot match here."""
    query: str
    """The SQL that finds its events."""
    text: str
    open: int
    """Alerts that are open."""
    matches: int
    """Events that matched in the last ``DAYS`` days of events."""
    days: list[int]
    """The same by day, the oldest first, today last."""
    last: datetime | None
    """When an event matched last."""


def standing(kernel: Kernel, *, only: str = "", at: datetime | None = None) -> tuple[list[Standing], list[Problem]]:
    """Every detection, those with open alerts first; and what is wrong with rules that could not be read.

    ``only`` is one rule's id. Raises ``NotFound`` where there is none of it.
    """
    loaded = load.loaded(kernel)
    chosen = [loaded.of(only)] if only else list(loaded.rules.values())
    today = at or codec.now()
    first = today - timedelta(days=DAYS - 1)
    a, d = tables.alerts, tables.rule_days
    with kernel.db.read() as connection:
        opened = sa.select(a.c.rule, sa.func.count()).where(a.c.closed_at.is_(None)).group_by(a.c.rule)
        since = today - timedelta(days=kernel.settings.detect.keep_days)
        open_ = {row[0]: row[1] for row in connection.execute(opened.where(a.c.last_at >= since))}
        last = {
            row[0]: row[1]
            for row in connection.execute(sa.select(d.c.rule, sa.func.max(d.c.last_at)).group_by(d.c.rule))
        }
        recent = sa.select(d.c.rule, d.c.day, d.c.matches).where(d.c.day >= f"{first:%Y-%m-%d}")
        by_rule: dict[str, dict[str, int]] = {}
        for row in connection.execute(recent):
            by_rule.setdefault(row.rule, {})[row.day] = row.matches
    calendar = [f"{first + timedelta(days=n):%Y-%m-%d}" for n in range(DAYS)]
    found: list[Standing] = []
    for rule in chosen:
        counted = by_rule.get(rule.id, {})
        days = [counted.get(day, 0) for day in calendar]
        found.append(_standing(kernel, rule, open_.get(rule.id, 0), days, last.get(rule.id)))
    found.sort(key=lambda one: (not one.open, _RANK[one.severity], not one.matches, one.id))
    return found, list(loaded.problems)


def _standing(kernel: Kernel, rule: Detection, open_: int, days: list[int], last: datetime | None) -> Standing:
    return Standing(
        id=rule.id,
        title=rule.title,
        description=rule.description,
        severity=rule.severity,
        tags=rule.tags,
        references=rule.references,
        false_positives=rule.false_positives,
        remedy=rule.remedy,
        window=rule.window.text if rule.window is not None else "",
        subject=rule.subject,
        source=rule.source,
        place=rule.place,
        sha256=rule.hash,
        runs=judges(kernel.settings.rules, rule.id),
        notes=rule.notes,
        query=rule.query,
        text=rule.text,
        open=open_,
        matches=sum(days),
        days=days,
        last=last,
    )


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule says of one event."""

    rule: str
    matched: bool
    parts: list[str]
    """Of a rule with a window: which of its parts the event is one of."""
    subject: str
    """What an alert would be about."""
    window: str
    notes: tuple[str, ...]
    query: str


def tried(kernel: Kernel, rules: Sequence[Detection], record: Any) -> list[Tried]:
    """What each of ``rules`` says of one CloudTrail record. Raises ``BadInput`` for what is none."""
    read = read_object("event", codec.encode({"Records": [record]}))
    if read.rejects or not read.events:
        why = read.rejects[0].message if read.rejects else "it holds no record"
        raise BadInput(f"this is no CloudTrail record: {why}", code="event-shape", hint="paste one element of Records")
    who = Callers(read.events)
    who.resolve(SessionIndex())
    later = codec.parse_time(read.events[0].time) + timedelta(days=1)
    held = Rows(read.events, who, Namer(store.load_aliases(kernel.db)), later)
    table = held.tables()[store.EVENTS.name]
    event = table.to_pylist()[0]
    with kernel.db.read() as state:
        accounts = alerts.accounts_of(state)
    found: list[Tried] = []
    with kernel.lake.connection() as connection:
        connection.register("pasted", table)
        for rule in rules:
            parts = [
                part.name
                for part in rule.parts
                if connection.execute(f"select count(*) from pasted where {part.where}").fetchall()[0][0]  # noqa: S608
            ]
            matched = bool(parts) and (rule.match is None or rule.match(event))
            found.append(
                Tried(
                    rule=rule.id,
                    matched=matched,
                    parts=parts if matched and rule.window is not None else [],
                    subject=alerts.subject_of(rule, event, accounts) if matched else "",
                    window=rule.window.text if rule.window is not None else "",
                    notes=rule.notes,
                    query=rule.query,
                )
            )
    return found


def read_text(kernel: Kernel, text: str) -> list[Detection]:
    """The rules of a Sigma text that somebody tries. Raises ``BadInput``."""
    from uwu.domains.trail.detect import sigma

    values = {name: tuple(given) for name, given in kernel.settings.detect.placeholders.items()}
    return sigma.read(text, source="pasted", place="rule", values=values)


def listed(kernel: Kernel, *, rule: str = "", closed: bool = False, limit: int = 100, after: str = "") -> alerts.Alerts:
    """A page of alerts, of those whose subject one may see."""
    with kernel.db.read() as connection:
        page = alerts.listed(connection, rule=rule, closed=closed, limit=limit, after=after)
    seen = sight.seen_of(kernel, sight.current(), [one.subject for one in page.items])
    return alerts.Alerts([one for one in page.items if one.subject in seen], page.after)


def alert(kernel: Kernel, id: str) -> tuple[Alert, list[alerts.Shown]]:
    """The alert ``id``, its own or its finding's, with its events. Raises ``NotFound``, also for what is not seen."""
    with kernel.db.read() as connection:
        found = alerts.one(connection, id)
    if found.subject not in sight.seen_of(kernel, sight.current(), [found.subject]):
        raise NotFound(f"there is no alert {id[:100]}", hint="uwu findings --domain trail lists those that are open")
    return found, alerts.shown(kernel, found)


def close(kernel: Kernel, principal: Principal, id: str, reason: str) -> Alert:
    """Closes an alert for a reason. Raises ``NotFound``, ``NotAllowed``, ``BadInput``, ``Conflict``."""
    o = kernel_tables.ownership
    with sight.looking_as(kernel, principal):
        found, _ = alert(kernel, id)
    with kernel.db.read() as connection:
        owner = connection.scalar(sa.select(o.c.owner).where(o.c.subject == found.subject)) or ""
    authorize.require(kernel, principal, CLOSE, Target("Resource", found.subject, owner, found.account))
    return alerts.close(kernel, principal, found.id, reason)
