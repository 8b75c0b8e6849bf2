"""What is to be read again and what was: rows that workers take, the calls that an account allows, and the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.inventory import tables as own
from uwu.kernel.db import ROWS_PER_WRITE, columns, to_struct, upsert

TAKEN = timedelta(seconds=120)
"""For so long a worker may read what it took; after this another takes it."""
KEPT = timedelta(days=7)
"""How long the record of a refresh is kept."""
NAMES = 20
"""Names of events kept of one resource."""


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """An event has touched a resource, or with a cell's id for ``urn`` many of a cell."""

    urn: str
    account: str
    region: str
    type: str
    cell: str
    event: str
    event_id: str
    event_at: datetime
    related: tuple[str, ...]
    allowance: int
    due_at: datetime


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that waits to be read."""

    urn: str
    account: str
    region: str
    type: str
    cell: str
    events: tuple[str, ...]
    event_id: str
    event_at: datetime
    related: tuple[str, ...]
    allowance: int
    noted_at: datetime
    due_at: datetime
    tries: int
    turn: int


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """What a refresh did."""

    id: str
    at: datetime
    urn: str
    account: str
    region: str
    type: str
    result: str
    """added, changed, unchanged, gone, absent (not there, and not known either), left (the next sync reads it), or why
    it could not be read: denied, throttled, unsupported, failed."""
    events: tuple[str, ...] = ()
    event_id: str = ""
    event_at: datetime | None = None
    noted_at: datetime | None = None
    calls: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    seconds: float = 0.0
    code: str = ""
    message: str = ""


# ---- the queue


def add(connection: sa.Connection, touches: Sequence[Touch], now: datetime) -> None:
    """Adds ``touches``: events on one resource become one row."""
    t = own.touched
    rows: dict[str, dict[str, Any]] = {}
    asked = sorted({touch.urn for touch in touches})
    for start in range(0, len(asked), 500):
        for row in connection.execute(sa.select(t).where(t.c.urn.in_(asked[start : start + 500]))):
            rows[row.urn] = dict(row._mapping)
    for touch in sorted(touches, key=lambda each: each.event_at):
        held = rows.get(touch.urn)
        if held is None:
            held = {
                **{name: getattr(touch, name) for name in ("urn", "account", "region", "type", "cell", "due_at")},
                "events": [],
                "related": [],
                "allowance": 0,
                "noted_at": now,
                "tries": 0,
                "turn": 0,
                "taken_until": None,
                "event_id": "",
                "event_at": touch.event_at,
            }
        later = touch.event_id if touch.event_at >= held["event_at"] else held["event_id"]
        rows[touch.urn] = {
            **held,
            "events": list(dict.fromkeys([*held["events"], touch.event]))[:NAMES],
            "related": list(dict.fromkeys([*held["related"], *touch.related]))[:NAMES],
            # the same event told again counts again, which only lets it cost a little more
            "allowance": min(held["allowance"] + touch.allowance, 1000),
            "event_id": later,
            "event_at": max(held["event_at"], touch.event_at),
            "due_at": max(held["due_at"], touch.due_at),
            "tries": 0,
            "turn": held["turn"] + 1,
        }
    values = list(rows.values())
    for start in range(0, len(values), ROWS_PER_WRITE):
        upsert(connection, t, values[start : start + ROWS_PER_WRITE])


def take(connection: sa.Connection, now: datetime, limit: int) -> list[Waiting]:
    """The next rows that are due, taken so that no other worker has them too."""
    t = own.touched
    free = sa.or_(t.c.taken_until.is_(None), t.c.taken_until <= now)
    due = sa.select(t.c.urn).where(t.c.due_at <= now, free).order_by(t.c.noted_at, t.c.urn).limit(limit)
    if connection.dialect.name == "postgresql":
        due = due.with_for_update(skip_locked=True)
    urns = list(connection.scalars(due))
    if not urns:
        return []
    connection.execute(t.update().where(t.c.urn.in_(urns)).values(taken_until=now + TAKEN))
    query = sa.select(*columns(t, Waiting)).where(t.c.urn.in_(urns)).order_by(t.c.noted_at, t.c.urn)
    return [to_struct(Waiting, row) for row in connection.execute(query)]


def done(connection: sa.Connection, one: Waiting) -> None:
    """``one`` was read: its row goes, unless more has come meanwhile; then it is due."""
    t = own.touched
    same = connection.execute(t.delete().where(t.c.urn == one.urn, t.c.turn == one.turn)).rowcount
    if not same:
        connection.execute(t.update().where(t.c.urn == one.urn).values(taken_until=None))


def again(connection: sa.Connection, one: Waiting, at: datetime, *, tried: bool) -> None:
    """``one`` is to be read at ``at``; ``tried`` counts that it was read too early."""
    t = own.touched
    values: dict[str, Any] = {"taken_until": None, "due_at": at}
    if tried:
        values["tries"] = one.tries + 1
    same = connection.execute(t.update().where(t.c.urn == one.urn, t.c.turn == one.turn).values(values)).rowcount
    if not same:
        connection.execute(t.update().where(t.c.urn == one.urn).values(taken_until=None))


def next_due(connection: sa.Connection, now: datetime) -> datetime | None:
    """When the next row is due that nobody has taken; None for none."""
    t = own.touched
    free = sa.or_(t.c.taken_until.is_(None), t.c.taken_until <= now)
    return connection.execute(sa.select(sa.func.min(t.c.due_at)).where(free)).scalar_one()


def waiting(connection: sa.Connection) -> int:
    """How many rows wait."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(own.touched)).scalar_one())


# ---- the budget


def reserve(connection: sa.Connection, account: str, calls: int, limit: int, now: datetime) -> bool:
    """Takes ``calls`` of what refreshes may ask of ``account`` in this minute; false where they are not left."""
    b, minute = own.budgets, now.replace(second=0, microsecond=0)
    upsert(connection, b, [{"account": account, "minute": minute, "used": 0}], update=())
    connection.execute(b.update().where(b.c.account == account, b.c.minute < minute).values(minute=minute, used=0))
    fits = sa.or_(b.c.used + calls <= limit, b.c.used == 0)  # what takes more than a minute's calls has one for itself
    taken = b.update().where(b.c.account == account, b.c.minute == minute, fits).values(used=b.c.used + calls)
    return connection.execute(taken).rowcount == 1


def give_back(connection: sa.Connection, account: str, calls: int, reserved_at: datetime) -> None:
    """Gives back reserved calls that were not made; more were made than reserved where ``calls`` is negative."""
    b, minute = own.budgets, reserved_at.replace(second=0, microsecond=0)
    if calls:
        here = sa.and_(b.c.account == account, b.c.minute == minute)
        connection.execute(b.update().where(here).values(used=b.c.used - calls))


def next_minute(now: datetime) -> datetime:
    """When the budgets are full again."""
    return now.replace(second=0, microsecond=0) + timedelta(minutes=1)


# ---- the record


def write(connection: sa.Connection, records: Sequence[Refreshed]) -> None:
    """Keeps ``records``."""
    upsert(connection, own.refreshes, [_row(record) for record in records], update=())


def _row(record: Refreshed) -> dict[str, Any]:
    row = msgspec.structs.asdict(record)
    return {**row, **{name: list(row[name]) for name in ("events", "calls", "paths")}}


def forget(connection: sa.Connection, now: datetime) -> int:
    """Deletes records that have had their time, at most a thousand."""
    f = own.refreshes
    old = sa.select(f.c.id).where(f.c.at < now - KEPT).limit(ROWS_PER_WRITE).scalar_subquery()
    return connection.execute(f.delete().where(f.c.id.in_(old))).rowcount


def results(connection: sa.Connection, since: datetime) -> Counter[str]:
    """How many refreshes since then ended how."""
    f = own.refreshes
    query = sa.select(f.c.result, sa.func.count()).where(f.c.at >= since).group_by(f.c.result)
    return Counter({row[0]: row[1] for row in connection.execute(query)})


def latest(connection: sa.Connection, urn: str = "", limit: int = 50) -> list[Refreshed]:
    """The latest refreshes, of ``urn`` or of all, newest first."""
    f = own.refreshes
    query = sa.select(*columns(f, Refreshed)).order_by(f.c.at.desc(), f.c.id).limit(limit)
    rows = connection.execute(query.where(f.c.urn == urn) if urn else query)
    return [to_struct(Refreshed, row) for row in rows]
