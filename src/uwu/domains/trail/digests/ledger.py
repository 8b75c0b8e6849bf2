"""How complete the trail is: each hour of an account and region is proven, delivered but unproven, or missing.

An hour is one of deliveries. It is proven where digests whose signatures fit cover all of it and each log file that
they name is as they say; missing where a digest or a log file is absent or altered, the trail was off, or nothing lies
there after its chain began; delivered where log files lie there that no digest proves. Of the time before the first
digest or log file nothing is said: there may have been no trail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import pyarrow as pa
import sqlalchemy as sa

from uwu.domains.trail import tables
from uwu.domains.trail.digests.chain import HOUR, Fault, Walk
from uwu.kernel import lake, paging, query_tables
from uwu.kernel.db import columns, to_struct, upsert
from uwu.kernel.runtime import Kernel

PROVEN, DELIVERED, MISSING = "proven", "delivered", "missing"
LATE = timedelta(hours=3)
"""The digest of an hour's last minute ends within an hour and comes within about another: younger ones wait."""
UNLISTED = "log-unlisted"
_RANK = {MISSING: 0, DELIVERED: 1, PROVEN: 2}
NO_DIGEST, NOTHING = "no digest proves it", "no digest and no log file is there"
_ROWS = 2_000


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """An hour of deliveries of an account and region."""

    account: str
    region: str
    hour: datetime
    """Its start."""
    state: str
    why: str
    objects: int
    proven: int


class KnownFault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a digest or a log file, as it was found last."""

    bucket: str
    key: str
    code: str
    account: str
    region: str
    message: str
    since: datetime
    until: datetime
    inferred: bool
    tampering: bool
    first_at: datetime
    seen_at: datetime


class Completeness(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a time is there."""

    hours: int
    """Of every account and region that is asked for, judged or not."""
    proven: int
    delivered: int
    missing: int

    @property
    def proven_pct(self) -> float:
        """0 to 100; never 100 while an hour is not proven; 0 of no hour."""
        if not self.hours:
            return 0.0
        return 100.0 if self.proven >= self.hours else min(99.9, round(100 * self.proven / self.hours, 1))


class Strip(msgspec.Struct, frozen=True, kw_only=True):
    """The hours of an account and region, one letter each."""

    account: str
    region: str
    since: datetime
    """The first hour's start."""
    hours: str
    """P proven, D delivered, M missing, - not judged."""
    proven: int
    delivered: int
    missing: int


LETTERS = {PROVEN: "P", DELIVERED: "D", MISSING: "M"}


def floor(at: datetime) -> datetime:
    """The start of the hour."""
    return at.replace(minute=0, second=0, microsecond=0)


# ---- judging


def judge(
    account: str,
    region: str,
    walks: Sequence[Walk],
    delivered: Mapping[datetime, Sequence[str]],
    since: datetime,
    until: datetime,
    *,
    known: bool = False,
) -> tuple[list[Hour], list[Fault]]:
    """The hours from ``since`` that are over by ``until``, and log files that no digest names though it should.

    ``walks`` are of one bucket, ``delivered`` the keys of the log files that lie there, by the hour of their delivery.
    ``known`` tells that hours before ``since`` were judged: then nothing is a loss, not a time before the trail.
    """
    proofs = [proof for walk in walks for proof in walk.proofs]
    faults = [fault for walk in walks for fault in walk.all_faults]
    named = {log.key for proof in proofs for log in proof.digest.logs}
    good = {log.key for proof in proofs for log in proof.valid}
    spans = _union((proof.digest.start, proof.digest.end) for proof in proofs)
    starts = [proof.digest.start for proof in proofs] + [fault.since for fault in faults]
    starts += [since] if known else []
    begin = min([*starts, *delivered], default=None)
    hours: list[Hour] = []
    unlisted: list[Fault] = []
    if begin is None:
        return [], []
    at = max(floor(since), floor(begin))
    while at + HOUR <= until:
        keys = delivered.get(at, ())
        wrong = next((f for f in faults if f.since < at + HOUR and f.until > at), None)
        whole = any(start <= at and at + HOUR <= end for start, end in spans)
        # the part of an hour before a chain's first digest is no loss: nothing was there to be delivered
        whole |= bool(spans) and not known and at <= spans[0][0] < at + HOUR <= spans[0][1] and named.issuperset(keys)
        extra = [key for key in keys if key not in named]
        # the minute in a log file's key may lie in the next digest's hour: an hour on both sides must be covered
        if extra and any(start <= at - HOUR and at + 2 * HOUR <= end for start, end in spans):
            unlisted += [_unlisted(walks[0].chain.bucket, key, at) for key in extra]
            state, why = MISSING, "a log file lies there that no digest names"
        elif wrong is not None:
            state, why = MISSING, wrong.message
        elif whole:
            state, why = PROVEN, ""
        elif keys:
            state, why = DELIVERED, NO_DIGEST
        else:
            state, why = MISSING, NOTHING
        hours.append(
            Hour(
                account=account,
                region=region,
                hour=at,
                state=state,
                why=why,
                objects=len(keys),
                proven=sum(key in good for key in keys),
            )
        )
        at += HOUR
    return hours, unlisted


def best(judged: Iterable[Iterable[Hour]]) -> list[Hour]:
    """The hours of an account and region by the trail that tells most of each."""
    found: dict[datetime, Hour] = {}
    for hours in judged:
        for hour in hours:
            held = found.get(hour.hour)
            if held is None or _RANK[hour.state] > _RANK[held.state]:
                found[hour.hour] = hour
    return [found[at] for at in sorted(found)]


def _union(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    found: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _unlisted(bucket: str, key: str, at: datetime) -> Fault:
    message = "the log file is named by no digest: CloudTrail did not deliver it"
    return Fault(code=UNLISTED, bucket=bucket, key=key, message=message, since=at, until=at + HOUR)


# ---- kept


def save(
    connection: sa.Connection,
    account: str,
    region: str,
    hours: Sequence[Hour],
    faults: Sequence[Fault],
    since: datetime,
    at: datetime,
) -> None:
    """Keeps what was found of the time from ``since``; faults of that time that were not found again are no more."""
    t, f = tables.hours, tables.faults
    rows = [{**msgspec.structs.asdict(hour), "checked_at": at} for hour in hours]
    for i in range(0, len(rows), _ROWS):
        upsert(connection, t, rows[i : i + _ROWS])
    found = {
        (one.bucket, one.key, one.code): {
            **msgspec.structs.asdict(one),
            "account": account,
            "region": region,
            "tampering": one.tampering,
            "first_at": at,
            "seen_at": at,
        }
        for one in faults
    }
    again = [name for name in (column.name for column in f.c) if name not in {"bucket", "key", "code", "first_at"}]
    values = list(found.values())
    for i in range(0, len(values), _ROWS):
        upsert(connection, f, values[i : i + _ROWS], update=again)
    gone = (f.c.account == account, f.c.region == region, f.c.since >= floor(since), f.c.seen_at < at)
    connection.execute(f.delete().where(*gone))


def checked(connection: sa.Connection) -> dict[tuple[str, str], tuple[datetime, datetime]]:
    """The first and the latest hour of each account and region that were judged."""
    t = tables.hours
    query = sa.select(t.c.account, t.c.region, sa.func.min(t.c.hour), sa.func.max(t.c.hour))
    return {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(query.group_by(t.c.account, t.c.region))}


def completeness(
    connection: sa.Connection, account: str, since: datetime, until: datetime, region: str = ""
) -> Completeness:
    """How complete the hours from ``since`` before ``until`` of ``account`` are, in ``region`` or all that it has.

    A part of an hour counts as the whole. Where nothing was ever judged, no hour is proven.
    """
    t = tables.hours
    wheres = [t.c.account == account, t.c.hour >= floor(since), t.c.hour < until]
    regions = sa.select(sa.func.count(sa.distinct(t.c.region))).where(t.c.account == account)
    if region:
        wheres.append(t.c.region == region)
        regions = regions.where(t.c.region == region)
    query = sa.select(t.c.state, sa.func.count()).where(*wheres).group_by(t.c.state)
    counts = {row[0]: int(row[1]) for row in connection.execute(query)}
    each = max(0, -(-int((until - floor(since)).total_seconds()) // 3600))
    known = max(int(connection.execute(regions).scalar_one()), 1)
    return Completeness(
        hours=each * known,
        proven=counts.get(PROVEN, 0),
        delivered=counts.get(DELIVERED, 0),
        missing=counts.get(MISSING, 0),
    )


def strips(
    connection: sa.Connection, since: datetime, until: datetime, *, account: str = "", region: str = ""
) -> list[Strip]:
    """The hours from ``since`` before ``until`` of each account and region, in that order."""
    t = tables.hours
    wheres = [t.c.hour >= floor(since), t.c.hour < until]
    wheres += [t.c.account == account] if account else []
    wheres += [t.c.region == region] if region else []
    query = sa.select(t.c.account, t.c.region, t.c.hour, t.c.state).where(*wheres).order_by(t.c.account, t.c.region)
    first = floor(since)
    count = max(0, -(-int((until - first).total_seconds()) // 3600))
    found: dict[tuple[str, str], list[str]] = {}
    for row in connection.execute(query):
        letters = found.setdefault((row.account, row.region), ["-"] * count)
        letters[int((row.hour - first) / HOUR)] = LETTERS[row.state]
    return [_strip(*place, first, letters) for place, letters in found.items()]


def _strip(account: str, region: str, since: datetime, letters: list[str]) -> Strip:
    counts = Counter(letters)
    return Strip(
        account=account,
        region=region,
        since=since,
        hours="".join(letters),
        proven=counts["P"],
        delivered=counts["D"],
        missing=counts["M"],
    )


class Faults(msgspec.Struct, frozen=True):
    """One page of faults, the latest hours first."""

    items: list[KnownFault]
    after: str


def faults(
    connection: sa.Connection,
    *,
    account: str = "",
    region: str = "",
    tampering: bool = False,
    limit: int = 100,
    after: str = "",
) -> Faults:
    """What is wrong with digests and log files, the latest hours first. Raises ``BadInput`` for a foreign cursor."""
    f = tables.faults
    wheres: list[sa.ColumnElement[bool]] = []
    wheres += [f.c.account == account] if account else []
    wheres += [f.c.region == region] if region else []
    wheres += [f.c.tampering.is_(True)] if tampering else []
    behind = paging.place(after, datetime, str, str, str)
    if behind is not None:
        place = sa.tuple_(f.c.bucket, f.c.key, f.c.code) > sa.tuple_(*(sa.literal(part) for part in behind[1:]))
        wheres.append(sa.or_(f.c.until < behind[0], sa.and_(f.c.until == behind[0], place)))
    query = sa.select(*columns(f, KnownFault)).where(*wheres)
    query = query.order_by(f.c.until.desc(), f.c.bucket, f.c.key, f.c.code).limit(limit + 1)
    items = [to_struct(KnownFault, row) for row in connection.execute(query)]
    last = items[limit - 1] if len(items) > limit else None
    return Faults(items[:limit], paging.cursor(last.until, last.bucket, last.key, last.code) if last else "")


def all_faults(connection: sa.Connection) -> Iterator[KnownFault]:
    """Every fault by account, region and time."""
    f = tables.faults
    query = sa.select(*columns(f, KnownFault)).order_by(f.c.account, f.c.region, f.c.since, f.c.key)
    for row in connection.execute(query):
        yield to_struct(KnownFault, row)


# ---- uwu query

_COLUMNS = (
    lake.Column("account"),
    lake.Column("region"),
    lake.Column("hour", "time", "its start: of deliveries"),
    lake.Column("state", "text", "proven, delivered (but unproven) or missing"),
    lake.Column("why", "text", "what is wrong; empty for a proven hour"),
    lake.Column("objects", "long", "log files that lie there"),
    lake.Column("proven", "long", "of them as a digest tells them"),
    lake.Column("checked_at", "time", "when it was judged"),
)


def _load(kernel: Kernel) -> pa.Table:
    t = tables.hours
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(*(t.c[column.name] for column in _COLUMNS))).all()
    fields = [(column.name, query_tables.ARROW[column.type]) for column in _COLUMNS]
    return pa.Table.from_pylist([dict(row._mapping) for row in rows], schema=pa.schema(fields))


SOURCE = query_tables.Source("how complete the trail is: each hour of an account and region", _COLUMNS, _load)
