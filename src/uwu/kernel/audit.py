"""The audit chain: written in the transaction of the change; each entry holds the hash of the one before."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec
from uwu.kernel.tables import audit

GENESIS = "0" * 64
_LOCK = 0x757775  # one writer at a time on PostgreSQL; SQLite has one by itself


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


class Verdict(msgspec.Struct, frozen=True):
    """What verifying found: ``first_bad`` is the first sequence number that does not hold, None where all do."""

    entries: int
    head: str
    first_bad: int | None = None
    reason: str = ""


def _hash(seq: int, at: datetime, actor: str, action: str, subject: str, detail: Any, prev: str) -> str:
    return codec.digest([seq, codec.iso(at), actor, action, subject, detail, prev])


def append(connection: sa.Connection, *, actor: str, action: str, subject: str, detail: Any = None) -> int:
    """Adds an entry within the caller's write transaction and gives its number. ``detail`` must hold no secret."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    last = connection.execute(sa.select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    seq, prev = (last.seq + 1, last.hash) if last else (1, GENESIS)
    at = codec.now()
    detail = codec.builtins(detail) if detail is not None else {}
    connection.execute(
        audit.insert().values(
            seq=seq,
            at=at,
            actor=actor,
            action=action,
            subject=subject,
            detail=detail,
            prev=prev,
            hash=_hash(seq, at, actor, action, subject, detail, prev),
        )
    )
    return seq


def verify(connection: sa.Connection) -> Verdict:
    """Walks the whole chain and names the first entry that was changed, removed or reordered.

    A chain cut at its end still holds: compare ``head`` with one that was kept elsewhere.
    """
    prev, expected = GENESIS, 1
    rows = connection.execution_options(yield_per=10_000).execute(sa.select(audit).order_by(audit.c.seq))
    for row in rows:
        entry = Entry(*row)
        if entry.seq != expected:
            return Verdict(expected - 1, prev, expected, f"entry {expected} is missing")
        if entry.prev != prev:
            return Verdict(expected - 1, prev, expected, "it does not follow the entry before it")
        if entry.hash != _hash(entry.seq, entry.at, entry.actor, entry.action, entry.subject, entry.detail, entry.prev):
            return Verdict(expected - 1, prev, expected, "its content does not match its hash")
        prev, expected = entry.hash, expected + 1
    return Verdict(expected - 1, prev)


def entries(connection: sa.Connection, *, limit: int = 100, before: int | None = None) -> list[Entry]:
    """The newest entries first."""
    query = sa.select(audit).order_by(audit.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.seq < before)
    return [Entry(*row) for row in connection.execute(query)]
