"""The chain itself: appending, walking, listing."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, cast

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec
from uwu.kernel.tables import audit

GENESIS = "0" * 64
"""What the first entry follows."""
_LOCK = 0x757775  # one writer at a time on PostgreSQL; SQLite has one by itself
_ROWS = 2000
_DAY = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()
_EXACT = 1e16
"""From here on JSON writes a float with an exponent, which PostgreSQL's JSONB gives back as an integer."""

MISSING = "it is missing"
ALIEN = "it has no place in the chain"
UNLINKED = "it does not follow the entry before it"
CHANGED = "its content does not match its hash"
DAMAGED = "the database is damaged where it should be"


class Entry(msgspec.Struct, frozen=True):
    """One line of the audit, in the order of the table's columns."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Any
    prev: str
    hash: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What verifying found."""

    entries: int
    """How many hold, from the first one that was looked at."""
    head: str
    """The hash of the last of them."""
    first_bad: int | None = None
    """The first number that does not hold; None where all do."""
    reason: str = ""
    checkpoints: int = 0
    """Signed checkpoints that agree with the chain."""
    signed_seq: int = 0
    """The last entry that one of them covers."""
    signed_at: datetime | None = None
    bad_checkpoint: int | None = None
    """The first checkpoint that is forged, damaged or missing; None where there is none."""
    checkpoint_reason: str = ""

    @property
    def holds(self) -> bool:
        """Every entry, and every checkpoint."""
        return self.first_bad is None and self.bad_checkpoint is None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries: empty members take all."""

    actor: str = ""
    action: str = ""
    """``plan.approve``, or all of a sort: ``plan.*``."""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None
    """Before it."""

    def where(self) -> list[sa.ColumnElement[bool]]:
        """The conditions on the table."""
        a = audit.c
        found = [column == value for column, value in ((a.actor, self.actor), (a.subject, self.subject)) if value]
        if self.action.endswith(".*"):
            found.append(a.action.startswith(self.action[:-1], autoescape=True))
        elif self.action:
            found.append(a.action == self.action)
        if self.since is not None:
            found.append(a.at >= self.since)
        if self.until is not None:
            found.append(a.at < self.until)
        return found


EVERYTHING = Filter()


# ---- writing


def append(connection: sa.Connection, *, actor: str, action: str, subject: str, detail: Any = None) -> int:
    """Adds an entry within the caller's write transaction and gives its number. ``detail`` must hold no secret."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    last = head(connection)
    seq, prev = (last[0] + 1, last[1]) if last else (1, GENESIS)
    at = codec.now()
    # keys in order, as they are hashed: then what SQLite stores is what was hashed, byte for byte
    detail = _plain(codec.decode(codec.canonical(detail))) if detail is not None else {}
    actor, action, subject = map(_text, (actor, action, subject))
    connection.execute(
        audit.insert().values(
            seq=seq,
            at=at,
            actor=actor,
            action=action,
            subject=subject,
            detail=detail,
            prev=prev,
            hash=hash_of(seq, codec.iso(at), actor, action, subject, detail, prev),
        )
    )
    return seq


def hash_of(seq: int, at: str, actor: str, action: str, subject: str, detail: Any, prev: str) -> str:
    """Hex SHA-256 of the canonical JSON of an entry; ``at`` as ``codec.iso`` writes it."""
    return codec.digest([seq, at, actor, action, subject, detail, prev])


def _plain(value: Any) -> Any:
    """``value`` as both databases give it back: PostgreSQL keeps no NUL, no -0.0 and no exponent."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return repr(value) if abs(value) >= _EXACT else value + 0.0
    if isinstance(value, dict):
        return {_text(key): _plain(inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in cast("list[Any]", value)]
    return value


def _text(value: str) -> str:
    return value.replace("\0", "\ufffd")


# ---- reading


def head(connection: sa.Connection) -> tuple[int, str] | None:
    """(number, hash) of the last entry; None where there is none."""
    row = connection.execute(sa.select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    return (row.seq, row.hash) if row is not None else None


def entries(
    connection: sa.Connection, *, limit: int = 100, before: int | None = None, where: Filter = EVERYTHING
) -> list[Entry]:
    """The newest entries first; those with a number below ``before``."""
    query = sa.select(audit).where(*where.where()).order_by(audit.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.seq < before)
    return [Entry(*row) for row in connection.execute(query)]


# ---- verifying


def verify(
    connection: sa.Connection, *, after: tuple[int, str] = (0, GENESIS), marks: Mapping[int, str] | None = None
) -> Verdict:
    """Walks the chain behind ``after`` (number and hash of an entry that is trusted) and names the first entry that
    was changed, removed, added or moved.

    ``marks``: number -> hash as they were signed. Without them a chain that was cut at its end, or written anew from
    some entry on, still holds. Where the file itself is damaged the transaction has ended.
    """
    signed = {seq: hash for seq, hash in (marks or {}).items() if seq > after[0]}
    walk = _Walk(after, signed)
    found = _fast(connection, walk) if connection.dialect.name == "postgresql" else _sqlite(connection, walk)
    seen = walk.seq - after[0]
    if found is not None:
        return Verdict(entries=seen, head=walk.hash, first_bad=found[0], reason=found[1])
    beyond = [seq for seq in signed if seq > walk.seq]
    if beyond:
        first, last = walk.seq + 1, max(beyond)
        which = f"entries {first} to {last} are missing" if last > first else MISSING
        return Verdict(entries=seen, head=walk.hash, first_bad=first, reason=f"{which}: {last} was signed")
    return Verdict(entries=seen, head=walk.hash)


class _Walk:
    """How far it is: the last entry that holds, and the last one that was signed."""

    def __init__(self, after: tuple[int, str], marks: Mapping[int, str]) -> None:
        self.seq, self.hash = after
        self.marked = after[0]
        self.marks = marks
        self.days: dict[int, str] = {}


_Bad = tuple[int, str]
_Row = Sequence[Any]


def _sqlite(connection: sa.Connection, walk: _Walk) -> _Bad | None:
    try:
        return _fast(connection, walk)
    except sqlite3.DatabaseError as error:
        if _damaged(error):
            return _give_up(connection, walk)
        if "decode" not in str(error):
            raise
    # some text is no UTF-8: read on with care, to name whose
    raw: Any = connection.connection.dbapi_connection
    raw.text_factory = _lenient
    try:
        return _fast(connection, walk)
    except sqlite3.DatabaseError as error:
        if _damaged(error):
            return _give_up(connection, walk)
        raise
    finally:
        raw.text_factory = str


def _give_up(connection: sa.Connection, walk: _Walk) -> _Bad:
    connection.rollback()  # a damaged file lets no transaction end
    return walk.seq + 1, DAMAGED


def _damaged(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _lenient(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _pages(connection: sa.Connection, behind: int) -> Iterator[list[_Row]]:
    """The raw rows behind a number: SQLAlchemy's types cost more than all the hashing. ``at`` is microseconds."""
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "postgresql":
        cursor = raw.cursor(name="uwu_audit")
        query = (
            "select seq, case when isfinite(at) then (extract(epoch from at) * 1000000)::bigint end, actor, action, "
            "subject, detail::text, prev, hash from audit where seq > %s or seq < 1 order by seq"
        )
    else:
        cursor = raw.cursor()
        query = (
            "select seq, at, actor, action, subject, detail, prev, hash from audit where seq > ? or seq < 1 "
            "order by seq"
        )
    try:
        cursor.execute(query, (behind,))
        while rows := cursor.fetchmany(_ROWS):
            yield rows
    finally:
        cursor.close()


def _fast(connection: sa.Connection, walk: _Walk) -> _Bad | None:
    """One hash an entry over the text as it is stored; where that does not match, ``_sound`` looks closer."""
    encode, sha256, make_raw = msgspec.json.Encoder().encode, hashlib.sha256, msgspec.Raw
    parsed = connection.dialect.name == "postgresql"
    marks, days = walk.marks, walk.days
    for rows in _pages(connection, walk.seq):
        seq, last = walk.seq, walk.hash
        for number, at, actor, action, subject, detail, prev, hash in rows:
            expected = seq + 1
            if number != expected:
                return (number, ALIEN) if number < expected else (expected, MISSING)
            if prev != last:
                return number, UNLINKED
            try:
                day, rest = divmod(at, _DAY)
                minutes, micros = divmod(rest, 60_000_000)
                form = "%sT%02d:%02d:%09.6fZ" if micros % 1_000_000 else "%sT%02d:%02d:%02dZ"
                told = form % (days.get(day) or _day(days, day), minutes // 60, minutes % 60, micros / 1_000_000)
                text = codec.canonical(codec.decode(detail)) if parsed else detail
                known = sha256(encode((number, told, actor, action, subject, make_raw(text), prev))).hexdigest()
            except (TypeError, ValueError, OverflowError):
                known = ""
            # an equal number or text of another type was not written by us: SQLite keeps any type in any column
            ours = known == hash and type(at) is int and type(detail) is str
            if not ours and not _sound((number, at, actor, action, subject, detail, prev, hash)):
                return number, CHANGED
            if number in marks:
                if marks[number] != hash:
                    first = walk.marked + 1
                    which = f"entries {first} to {number} are" if number > first else "it is"
                    return first, f"{which} not what was signed"
                walk.marked = number
            # what holds is kept entry by entry: reading may stop at any of them
            walk.seq, walk.hash = seq, last = number, hash
    return None


def _day(days: dict[int, str], day: int) -> str:
    days[day] = date.fromordinal(_EPOCH + day).isoformat()
    return days[day]


def _sound(row: _Row) -> bool:
    """Whether an entry holds whose detail was stored with its keys in another order than that of its hash."""
    seq, at, actor, action, subject, detail, prev, hash = row
    texts = (actor, action, subject, prev, hash)
    if type(at) is not int or not all(isinstance(text, str) for text in texts):
        return False
    try:
        value = codec.decode(detail) if isinstance(detail, str) else detail
        written = codec.encode(value).decode()
        if isinstance(detail, bytes) or (isinstance(detail, str) and written != detail):
            return False  # the same value in other words was not written by us
        told = f"{date.fromordinal(_EPOCH + at // _DAY).isoformat()}T{_clock(at % _DAY)}Z"
        return hash_of(seq, told, actor, action, subject, value, prev) == hash
    except (TypeError, ValueError, OverflowError):
        return False


def _clock(micros: int) -> str:
    seconds, rest = divmod(micros, 1_000_000)
    told = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{told}.{rest:06d}" if rest else told
