"""What fired -> alerts -> findings: each with its events pinned by hash, open until closed or over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.trail import tables
from uwu.domains.trail.detect import engine, load
from uwu.domains.trail.detect.engine import MOST_PINNED, event_hash
from uwu.domains.trail.detect.model import Detection, Event, Firing
from uwu.kernel import audit, codec, drift, paging, urns
from uwu.kernel import tables as kernel_tables
from uwu.kernel.db import columns, to_struct, upsert
from uwu.kernel.domain import Rule
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.model import Actor, Change, Found, Severity, Unjudged
from uwu.kernel.runtime import Kernel

THEME = "Detections"
MOST_REASON = 500
"""Characters of why an alert was closed."""


class Pin(msgspec.Struct, frozen=True):
    """An event of an alert."""

    id: str
    at: datetime
    sha256: str
    """Over what the lake keeps of it."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that fired, and everything that joined it since."""

    id: str
    rule: str
    rule_hash: str
    severity: Severity
    title: str
    remedy: str
    subject: str
    account: str
    region: str
    actor: str
    cause: Change
    place: str
    said: str
    count: int
    events: list[Pin]
    first_at: datetime
    last_at: datetime
    opened_at: datetime
    closed_at: datetime | None = None
    closed_by: str = ""
    reason: str = ""

    @property
    def path(self) -> str:
        """What tells it from other alerts of the rule on the subject."""
        return f"{self.actor or 'unknown'} since {codec.iso(self.first_at)}"

    @property
    def finding(self) -> str:
        """The id of its finding."""
        return drift.finding_id(self.rule, self.subject, self.path)


# ---- from firings


def merged(
    firings: Iterable[Firing], open_: Iterable[Alert], accounts: Mapping[str, str], regroup: timedelta, at: datetime
) -> list[Alert]:
    """The alerts that ``firings`` open or join, in full. ``accounts`` gives the urn of an account by its number."""
    held: defaultdict[tuple[str, str, str], list[Alert]] = defaultdict(list)
    for alert in open_:
        held[alert.rule, alert.subject, alert.actor].append(alert)
    changed: dict[str, Alert] = {}
    for firing in sorted(firings, key=lambda one: (one.first, one.detection.id)):
        event = firing.events[-1]
        subject = subject_of(firing.detection, event, accounts)
        actor = str(event["actor"] or event["principal"] or "")
        key = (firing.detection.id, subject, actor)
        near = next(
            (
                one
                for one in reversed(held[key])
                if one.first_at - regroup <= firing.first and firing.first <= one.last_at + regroup
            ),
            None,
        )
        if near is None:
            alert = _opened(firing, subject, actor, event, at)
            held[key].append(alert)
        else:
            alert = _joined(near, firing)
            held[key][held[key].index(near)] = alert
        changed[alert.id] = alert
    return list(changed.values())


def subject_of(detection: Detection, event: Event, accounts: Mapping[str, str]) -> str:
    """The urn that an alert is about: what its rule asks for, or the next that is told."""
    account = str(event["account"])
    if detection.subject == "target":
        targets = codec.decode(event["targets"]) if event["targets"] else []
        if targets:
            return str(targets[0])
    principal = str(event["principal"] or "")
    if detection.subject != "account" and principal and not principal.endswith(":root"):
        return principal
    return accounts.get(account) or urns.iam_root(account)


def _opened(firing: Firing, subject: str, actor: str, event: Event, at: datetime) -> Alert:
    rule = firing.detection
    who = (actor.rsplit("/", 1)[-1] if actor.startswith("arn:") else actor) or "somebody unknown"
    return Alert(
        id=codec.new_id("alert"),
        rule=rule.id,
        rule_hash=rule.hash,
        severity=rule.severity,
        title=f"{rule.title}: {who} on {urns.short(subject)}",
        remedy=rule.remedy,
        subject=subject,
        account=str(event["account"]),
        region=str(event["region"]),
        actor=actor,
        cause=_change(event, subject),
        place=rule.place,
        said=firing.key,
        count=firing.count,
        events=_pins([], firing.events),
        first_at=firing.first,
        last_at=firing.last,
        opened_at=at,
    )


def _change(event: Event, subject: str) -> Change:
    return Change(
        event_id=event["event_id"],
        at=event["event_time"],
        name=event["event_name"],
        source=event["event_source"],
        account=event["account"],
        region=event["region"],
        urn=subject,
        actor=Actor(
            kind=event["actor_kind"],
            name=event["actor"],
            confidence=event["actor_confidence"],
            how=event["actor_how"],
            principal=event["principal"],
            chain=tuple(codec.decode(event["actor_chain"])) if event["actor_chain"] else (),
        ),
        through=event["through"],
        request=codec.decode(event["request_parameters"]) if event["request_parameters"] else None,
        error=event["error_code"],
        place=event["object"],
    )


def _joined(alert: Alert, firing: Firing) -> Alert:
    """``alert`` with what ``firing`` adds. Events of a window that it holds already are not counted again."""
    known = {pin.id for pin in alert.events}
    again = sum(event["event_id"] in known for event in firing.events)
    return msgspec.structs.replace(
        alert,
        count=alert.count + max(firing.count - again, 0),
        events=_pins(alert.events, firing.events),
        last_at=max(alert.last_at, firing.last),
        rule_hash=firing.detection.hash,
    )


def _pins(before: Sequence[Pin], events: Sequence[Event]) -> list[Pin]:
    known = {pin.id for pin in before}
    new = [Pin(e["event_id"], e["event_time"], event_hash(e)) for e in events if e["event_id"] not in known]
    pins = sorted([*before, *new], key=lambda pin: (pin.at, pin.id))
    if len(pins) <= MOST_PINNED:
        return pins
    half = MOST_PINNED // 2
    return [*pins[:half], *pins[-half:]]


# ---- kept


def open_of(connection: sa.Connection, rules: Iterable[str], since: datetime) -> list[Alert]:
    """The alerts of ``rules`` that are not closed and have an event since ``since``, the oldest first."""
    a = tables.alerts
    wanted = sorted(set(rules))
    found: list[Alert] = []
    for i in range(0, len(wanted), 500):
        query = sa.select(*columns(a, Alert)).where(
            a.c.rule.in_(wanted[i : i + 500]), a.c.closed_at.is_(None), a.c.last_at >= since
        )
        found += [to_struct(Alert, row) for row in connection.execute(query.order_by(a.c.first_at, a.c.id))]
    return found


def save(connection: sa.Connection, changed: Sequence[Alert], at: datetime) -> None:
    """Keeps alerts as they are now."""
    rows = [
        {
            **msgspec.structs.asdict(alert),
            "severity": alert.severity.value,
            "events": codec.builtins(alert.events),
            "cause": codec.builtins(alert.cause),
            "updated_at": at,
        }
        for alert in changed
    ]
    upsert(connection, tables.alerts, rows)


def accounts_of(connection: sa.Connection) -> dict[str, str]:
    """Account number -> the urn of what was observed of it."""
    r = kernel_tables.resources
    query = sa.select(r.c.account, r.c.urn).where(r.c.type == "aws_account")
    return {row.account: row.urn for row in connection.execute(query)}


def one(connection: sa.Connection, id: str) -> Alert:
    """The alert ``id``, or the one of the finding ``id``. Raises ``NotFound``."""
    a = tables.alerts
    row = connection.execute(sa.select(*columns(a, Alert)).where(a.c.id == id)).first()
    if row is not None:
        return to_struct(Alert, row)
    f = kernel_tables.findings
    finding = connection.execute(sa.select(f.c.rule, f.c.subject, f.c.path).where(f.c.id == id)).first()
    if finding is not None:
        query = sa.select(*columns(a, Alert)).where(a.c.rule == finding.rule, a.c.subject == finding.subject)
        for row in connection.execute(query.order_by(a.c.first_at.desc())):
            alert = to_struct(Alert, row)
            if alert.path == finding.path:
                return alert
    raise NotFound(f"there is no alert {id[:100]}", hint="uwu findings --domain trail lists those that are open")


class Alerts(msgspec.Struct, frozen=True):
    """One page of alerts, the newest first."""

    items: list[Alert]
    after: str


def listed(
    connection: sa.Connection, *, rule: str = "", closed: bool = False, limit: int = 100, after: str = ""
) -> Alerts:
    """Alerts that are open, or with ``closed`` all, by their last event."""
    a = tables.alerts
    behind = paging.place(after, datetime, str)
    wheres: list[sa.ColumnElement[bool]] = [] if closed else [a.c.closed_at.is_(None)]
    if rule:
        wheres.append(a.c.rule == rule)
    if behind is not None:
        wheres.append(sa.or_(a.c.last_at < behind[0], sa.and_(a.c.last_at == behind[0], a.c.id > behind[1])))
    query = sa.select(*columns(a, Alert)).where(*wheres).order_by(a.c.last_at.desc(), a.c.id).limit(limit + 1)
    items = [to_struct(Alert, row) for row in connection.execute(query)]
    next_ = paging.cursor(items[limit - 1].last_at, items[limit - 1].id) if len(items) > limit else ""
    return Alerts(items[:limit], next_)


def close(kernel: Kernel, principal: Principal, id: str, reason: str) -> Alert:
    """Closes an alert, and its finding, for ``reason``; audited. Raises ``NotFound``, ``BadInput``, ``Conflict``."""
    if not reason.strip() or len(reason) > MOST_REASON:
        raise BadInput(
            "closing an alert needs a reason that others can read",
            code="alert-reason",
            hint=f"one to {MOST_REASON} characters: what it was, and what was done",
        )
    at = codec.now()
    a = tables.alerts
    with kernel.db.write() as connection:
        alert = one(connection, id)
        if alert.closed_at is not None:
            raise Conflict(f"the alert was closed at {codec.iso(alert.closed_at)}", code="alert-closed")
        values = {"closed_at": at, "closed_by": principal.ref, "reason": reason.strip()}
        connection.execute(a.update().where(a.c.id == alert.id).values(values))
        audit.append(
            connection,
            actor=principal.ref,
            action="trail.alert.close",
            subject=alert.subject,
            detail={"alert": alert.id, "rule": alert.rule, "reason": reason.strip()},
        )
    drift.judge_some(kernel, frozenset([alert.subject]))
    return msgspec.structs.replace(alert, **values)


# ---- findings


def rules(kernel: Kernel) -> list[Rule]:
    """Every detection as a rule of the platform: so it is listed, exempted and told of like any other."""
    return [
        Rule(
            id=one.id,
            title=one.title,
            severity=one.severity,
            some=True,
            theme=THEME,
            why=one.description,
            remedy=one.remedy,
            references=(*(tag.removeprefix("attack.").upper() for tag in one.tags if _technique(tag)), *one.references),
        )
        for one in load.loaded(kernel).rules.values()
    ]


def _technique(tag: str) -> bool:
    return tag.startswith("attack.t") and tag[8:9].isdigit()


def sweep(
    kernel: Kernel, connection: sa.Connection, rules: frozenset[str], some: frozenset[str] | None = None
) -> Iterable[tuple[str, Found | Unjudged]]:
    """The open alerts as what their rules found. Those whose time is over are no more."""
    a, r = tables.alerts, kernel_tables.resources
    since = codec.now() - timedelta(days=kernel.settings.detect.keep_days)
    query = (
        sa.select(*columns(a, Alert), r.c.type.label("subject_type"))
        .outerjoin(r, r.c.urn == a.c.subject)
        .where(a.c.closed_at.is_(None), a.c.last_at >= since)
    )
    if some is not None:
        query = query.where(a.c.subject.in_(sorted(some)))
    for row in connection.execute(query):
        if row.rule not in rules:
            continue
        alert = to_struct(Alert, row[:-1])
        yield (
            alert.rule,
            Found(
                subject=alert.subject,
                path=alert.path,
                title=alert.title,
                type=row.subject_type or "",
                account=alert.account,
                region=alert.region,
                observed={
                    "alert": alert.id,
                    "actor": alert.actor,
                    "events": alert.count,
                    "first": codec.iso(alert.first_at),
                    "last": codec.iso(alert.last_at),
                    "rule_sha256": alert.rule_hash,
                    "pinned": [{"id": pin.id, "sha256": pin.sha256} for pin in alert.events[:10]],
                },
                place=alert.place,
                remedy=alert.remedy,
                severity=alert.severity,
                since=alert.first_at,
                cause=alert.cause,
            ),
        )


# ---- the events behind it


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A pinned event as the lake has it."""

    id: str
    at: datetime
    sha256: str
    intact: bool
    """It reads as it did when it was pinned."""
    held: bool
    """The lake has it: it is not past its retention."""
    name: str = ""
    source: str = ""
    error: str = ""
    actor: str = ""
    principal: str = ""
    source_ip: str = ""
    user_agent: str = ""
    through: str = ""
    request: Any = None


def shown(kernel: Kernel, alert: Alert) -> list[Shown]:
    """The events that ``alert`` pins, each checked against its hash."""
    from uwu.domains.trail import store

    if not alert.events:
        return []
    kernel.lake.ensure(store.EVENTS)
    first, last = alert.events[0].at, max(pin.at for pin in alert.events)
    scan = kernel.lake.scan(store.EVENTS.name, since=first, until=last + timedelta(seconds=1))
    marks = ", ".join("?" * len(alert.events))
    query = (
        f"select {', '.join(engine.COLUMNS)} from {scan} "  # noqa: S608 - own text, values bound
        f"where event_time between ? and ? and event_id in ({marks})"
    )
    with kernel.lake.reading() as connection:
        values = [first, last, *(pin.id for pin in alert.events)]
        rows = connection.sql(query, params=values).to_arrow_table().to_pylist()
    held = {row["event_id"]: row for row in rows}
    found: list[Shown] = []
    for pin in alert.events:
        row = held.get(pin.id)
        if row is None:
            found.append(Shown(id=pin.id, at=pin.at, sha256=pin.sha256, intact=False, held=False))
            continue
        found.append(
            Shown(
                id=pin.id,
                at=pin.at,
                sha256=pin.sha256,
                intact=event_hash(row) == pin.sha256,
                held=True,
                name=row["event_name"],
                source=row["event_source"],
                error=row["error_code"],
                actor=row["actor"],
                principal=row["principal"],
                source_ip=row["source_ip"],
                user_agent=row["user_agent"],
                through=row["through"],
                request=codec.decode(row["request_parameters"]) if row["request_parameters"] else None,
            )
        )
    return found
