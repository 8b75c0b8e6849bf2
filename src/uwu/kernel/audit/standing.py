"""How the chain stands, for a page: what is new is verified at each look, the whole of it only when it is asked for."""

from __future__ import annotations

import threading
from datetime import datetime
from weakref import WeakKeyDictionary

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.audit import chain, checkpoints
from uwu.kernel.audit.chain import GENESIS, Verdict
from uwu.kernel.runtime import Kernel

AT_ONCE = 50_000
"""So many entries are verified while a page waits: a fifth of a second."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The chain and its checkpoints, as far as they were looked at."""

    entries: int
    verified_from: int
    """The first entry that this look, or one before it, has verified; 0 where none was."""
    whole_at: datetime | None
    """When the whole was verified last; None where it never was."""
    first_bad: int | None
    reason: str
    bad_checkpoint: int | None
    checkpoint_reason: str
    signed_seq: int
    """The last entry that a checkpoint covers, as the chain tells it."""
    signed_at: datetime | None

    @property
    def holds(self) -> bool:
        """Nothing is known that does not hold."""
        return self.first_bad is None and self.bad_checkpoint is None


class _Seen(msgspec.Struct, frozen=True):
    start: int
    seq: int
    hash: str
    whole_at: datetime | None
    bad: Verdict | None


_seen: WeakKeyDictionary[Kernel, _Seen] = WeakKeyDictionary()
_lock = threading.Lock()


def verify_whole(kernel: Kernel) -> Verdict:
    """Verifies every entry and every checkpoint, and keeps what it found. Raises ``Unavailable``."""
    verdict = checkpoints.verify(kernel)
    _keep(kernel, verdict, codec.now())
    return verdict


def _keep(kernel: Kernel, verdict: Verdict, at: datetime) -> None:
    with _lock:
        _seen[kernel] = _Seen(1, verdict.entries, verdict.head, at, None if verdict.holds else verdict)


def look(kernel: Kernel) -> Standing:
    """How it stands: only what was added since the last look is verified, at most ``AT_ONCE`` entries."""
    with _lock:
        seen = _seen.get(kernel)
    if seen is None:
        seen = _first(kernel)
    with kernel.db.read() as connection:
        head = chain.head(connection) or (0, GENESIS)
        signed = checkpoints.latest(connection)
        told = _told(connection)
        bad = seen.bad
        if bad is None and head[0] - seen.seq <= AT_ONCE:
            at = sa.select(tables.audit.c.hash).where(tables.audit.c.seq == seen.seq)
            held = connection.execute(at).scalar_one_or_none() if seen.seq else GENESIS
            if held != seen.hash:
                reason = "it is missing" if held is None else "it is not what it was"
                bad = Verdict(entries=0, head=seen.hash, first_bad=seen.seq, reason=reason)
            else:
                found = chain.verify(connection, after=(seen.seq, seen.hash))
                bad = found if found.first_bad is not None else None
                seen = msgspec.structs.replace(seen, seq=seen.seq + found.entries, hash=found.head)
    if told is not None and (seen.whole_at is None or told[0] > seen.whole_at):
        at, verdict = told
        bad = bad or (None if verdict.holds else verdict)
        seen = msgspec.structs.replace(seen, whole_at=at, start=1)
    with _lock:
        _seen[kernel] = msgspec.structs.replace(seen, bad=bad)
    return Standing(
        entries=head[0],
        verified_from=seen.start if seen.seq else 0,
        whole_at=seen.whole_at,
        first_bad=bad.first_bad if bad is not None else None,
        reason=bad.reason if bad is not None else "",
        bad_checkpoint=bad.bad_checkpoint if bad is not None else None,
        checkpoint_reason=bad.checkpoint_reason if bad is not None else "",
        signed_seq=signed[1] if signed is not None else 0,
        signed_at=signed[0] if signed is not None else None,
    )


def _first(kernel: Kernel) -> _Seen:
    """Where a first look begins: at the beginning, or where the last of a long chain was signed."""
    with kernel.db.read() as connection:
        head = chain.head(connection) or (0, GENESIS)
        if head[0] <= AT_ONCE:
            verdict = chain.verify(connection)
            whole = codec.now()
            return _Seen(1, verdict.entries, verdict.head, whole, verdict if verdict.first_bad is not None else None)
        signed = checkpoints.latest(connection)
        a = tables.audit.c
        start = max(signed[1] if signed is not None else 0, head[0] - AT_ONCE)
        hash = connection.execute(sa.select(a.hash).where(a.seq == start)).scalar_one_or_none()
    return _Seen(start + 1, start, hash or "", None, None)


def _told(connection: sa.Connection) -> tuple[datetime, Verdict] | None:
    """What the last daily run found, and when."""
    j = tables.jobs
    query = sa.select(j.c.finished_at, j.c.result).where(j.c.name == checkpoints.VERIFY, j.c.status == "done")
    row = connection.execute(query.order_by(j.c.created_at.desc()).limit(1)).first()
    if row is None or row.finished_at is None:
        return None
    try:
        return row.finished_at, msgspec.convert(row.result, Verdict)
    except msgspec.ValidationError:
        return None
