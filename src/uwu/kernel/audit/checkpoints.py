"""Signed checkpoints: where the chain stood, kept outside the database, each naming the one before.

Whoever can write the database can write its chain anew; what was signed and kept elsewhere then no longer agrees. The
chain in turn has an entry of every checkpoint, so that one which is taken away is missed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from uwu.kernel import codec
from uwu.kernel.audit import chain, keys, stores
from uwu.kernel.audit.chain import GENESIS, Verdict
from uwu.kernel.domain import Schedule
from uwu.kernel.errors import Conflict
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel
from uwu.kernel.tables import audit

SUBJECT = "audit"
SIGNED = "audit.checkpoint"
"""The action of a checkpoint's own entry."""
VERIFY = "audit.verify"
LOOK_MINUTES = 5
"""How often the workers ask whether one is due."""
_TRIES = 3


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At ``at`` the entry ``seq`` had the hash ``hash``; so every entry before it was as it was."""

    number: int
    """From 1, without a gap."""
    seq: int
    hash: str
    at: datetime
    chain: str
    """The hash of the first entry: which installation's chain it is."""
    prev: str
    """The digest of the checkpoint before."""
    key: str
    """The id of the key that signed."""
    signature: str = ""
    """Ed25519, hex, over the canonical JSON of everything else."""

    def message(self) -> bytes:
        """What is signed."""
        held = {name: getattr(self, name) for name in self.__struct_fields__ if name != "signature"}
        return codec.canonical(held)

    def line(self) -> bytes:
        """As it is kept."""
        return codec.canonical(codec.builtins(self))


class Bad(msgspec.Struct, frozen=True):
    """The first checkpoint that does not hold, and why."""

    number: int
    reason: str


def digest(line: bytes) -> str:
    """What the next checkpoint, and the chain's own entry, name a checkpoint by."""
    return hashlib.sha256(line).hexdigest()


def check(lines: Sequence[bytes], known: Mapping[str, Ed25519PublicKey]) -> tuple[list[Checkpoint], Bad | None]:
    """The checkpoints whose signature holds, and the first line that does not hold or does not follow."""
    good: list[Checkpoint] = []
    bad: Bad | None = None
    prev, seq = GENESIS, 0
    for number, line in enumerate(lines, 1):
        reason = ""
        try:
            one = msgspec.json.decode(line, type=Checkpoint)
        except ValueError:  # msgspec's errors are; so is what is no UTF-8
            one, reason = None, "it is no checkpoint"
        if one is not None:
            if one.line() != line:
                reason = "it is not written as it was signed"
            elif one.key not in known:
                reason = f"the key {one.key} that signed it is not known"
            elif not keys.signs(known, one.key, one.signature, one.message()):
                reason = "its signature does not hold"
            else:
                good.append(one)
                if one.number != number:
                    reason = "it is missing" if one.number > number else "it stands in another's place"
                elif one.prev != prev:
                    reason = "it does not follow the checkpoint before it"
                elif one.seq < seq:
                    reason = "it goes back behind the checkpoint before it"
                seq = one.seq
        if reason and bad is None:
            bad = Bad(number, reason)
        prev = digest(line)
    return good, bad


def verify(kernel: Kernel, *, lines: Sequence[bytes] | None = None, more_keys: Sequence[str] = ()) -> Verdict:
    """Walks the whole chain and compares it with every checkpoint: those that are kept, or ``lines``.

    ``more_keys``: PEMs of public keys that are trusted beside the home's own. Raises ``Unavailable`` where the
    checkpoints cannot be read, ``BadInput`` for a key that is none.
    """
    known = keys.trusted(kernel.settings, more_keys)
    forgotten = None
    if lines is None:
        lines, forgotten = _kept(kernel, stores.of(kernel))
    good, bad = check(lines, known)
    bad = _first(bad, forgotten)
    marks = {one.seq: one.hash for one in good}
    with kernel.db.read() as connection:
        verdict = chain.verify(connection, marks=marks)
    agreed = [one for one in good if verdict.first_bad is None or one.seq < verdict.first_bad]
    last = max(agreed, key=lambda one: one.seq, default=None)
    return msgspec.structs.replace(
        verdict,
        checkpoints=len(agreed),
        signed_seq=last.seq if last is not None else 0,
        signed_at=last.at if last is not None else None,
        bad_checkpoint=bad.number if bad is not None else None,
        checkpoint_reason=bad.reason if bad is not None else "",
    )


def _first(*bad: Bad | None) -> Bad | None:
    return min((one for one in bad if one is not None), key=lambda one: one.number, default=None)


def _kept(kernel: Kernel, store: stores.Store) -> tuple[list[bytes], Bad | None]:
    """The kept checkpoints, and the first that the chain tells of and that is not kept, or not so.

    The chain is asked first: a checkpoint is kept before it is told, so what is told by then must be there.
    """
    with kernel.db.read() as connection:
        told = _entries(connection)
    lines = store.read()
    return lines, _forgotten(told, lines, store.place)


def _forgotten(told: Iterable[tuple[datetime, dict[str, Any]]], lines: Sequence[bytes], place: str) -> Bad | None:
    kept = {number: digest(line) for number, line in enumerate(lines, 1)}
    for _, detail in told:
        if detail.get("place") != place or kept.get(detail.get("number", 0)) == detail.get("digest"):
            continue
        number = int(detail.get("number") or 0)
        return Bad(number, "it is not the one that was signed" if number in kept else "it is missing")
    return None


def _entries(connection: sa.Connection) -> list[tuple[datetime, dict[str, Any]]]:
    a = audit.c
    query = sa.select(a.at, a.detail).where(a.subject == SUBJECT, a.action == SIGNED).order_by(a.seq)
    rows: list[tuple[datetime, Any]] = [(row.at, row.detail) for row in connection.execute(query)]
    return [(at, cast("dict[str, Any]", detail)) for at, detail in rows if isinstance(detail, dict)]


def latest(connection: sa.Connection) -> tuple[datetime, int] | None:
    """(when, up to which entry) was signed last, as the chain tells it."""
    a = audit.c
    query = sa.select(a.at, a.detail).where(a.subject == SUBJECT, a.action == SIGNED).order_by(a.seq.desc()).limit(1)
    row = connection.execute(query).first()
    return (row.at, int(row.detail.get("seq", 0))) if row is not None else None


def due(kernel: Kernel) -> bool:
    """Whether there is something new to sign, and it is time or there is enough of it."""
    settings = kernel.settings.audit
    with kernel.db.read() as connection:
        last, head = latest(connection), chain.head(connection)
    at, signed = last or (None, 0)
    new = head[0] - signed - (1 if last else 0) if head is not None else 0  # one is the checkpoint's own entry
    if new <= 0:
        return False
    waited = at is None or codec.now() - at >= timedelta(minutes=settings.checkpoint_minutes)
    return waited or new >= settings.checkpoint_entries


def take(kernel: Kernel, *, actor: str) -> Checkpoint | None:
    """Verifies what is new since the last checkpoint, signs where the chain stands, keeps it and tells it to the chain.

    Gives the last one where nothing is new, None for an empty chain. Raises ``Conflict`` (code ``audit-broken``) where
    the chain, or the checkpoints, do not hold: nothing is signed then. ``Unavailable`` where they cannot be kept.
    """
    store = stores.of(kernel)
    key = keys.private_key(kernel.settings)
    known = keys.trusted(kernel.settings)
    for attempt in range(_TRIES):
        lines, forgotten = _kept(kernel, store)
        good, bad = check(lines, known)
        bad = _first(bad, forgotten)
        if bad is not None:
            raise _broken(f"checkpoint {bad.number} does not hold: {bad.reason}", store.place)
        last = good[-1] if good else None
        with kernel.db.read() as connection:
            first = connection.execute(sa.select(audit.c.hash).where(audit.c.seq == 1)).scalar_one_or_none()
            told = latest(connection)
            verdict = _since(connection, last)
        if verdict.first_bad is not None:
            raise _broken(f"entry {verdict.first_bad} does not hold: {verdict.reason}", "audit")
        seq = (last.seq if last is not None else 0) + verdict.entries
        if first is None:
            return None
        own = told is not None and last is not None and told[1] == last.seq
        if last is not None and seq - last.seq <= (1 if own else 0):
            if not own:  # it was kept, and then the process was killed
                _tell(kernel, last, store.place, actor)
            return last
        made = Checkpoint(
            number=len(lines) + 1,
            seq=seq,
            hash=verdict.head,
            at=codec.now(),
            chain=first,
            prev=digest(lines[-1]) if lines else GENESIS,
            key=keys.id_of(key.public_key()),
        )
        made = msgspec.structs.replace(made, signature=key.sign(made.message()).hex())
        try:
            store.add(made.number, made.line())
        except stores.Taken:
            if attempt == _TRIES - 1:
                raise
            continue
        _tell(kernel, made, store.place, actor)
        return made
    return None


def _tell(kernel: Kernel, made: Checkpoint, place: str, actor: str) -> None:
    detail = {"number": made.number, "seq": made.seq, "digest": digest(made.line()), "place": place}
    with kernel.db.write() as connection:
        chain.append(connection, actor=actor, action=SIGNED, subject=SUBJECT, detail=detail)


def _since(connection: sa.Connection, last: Checkpoint | None) -> Verdict:
    if last is None:
        return chain.verify(connection)
    held = connection.execute(sa.select(audit.c.hash).where(audit.c.seq == last.seq)).scalar_one_or_none()
    if held != last.hash:
        reason = "it is not what was signed" if held is not None else "it is missing, and was signed"
        return Verdict(entries=0, head=last.hash, first_bad=last.seq, reason=reason)
    return chain.verify(connection, after=(last.seq, last.hash))


def _broken(what: str, place: str) -> Conflict:
    return Conflict(what, code="audit-broken", place=place, hint="nothing was signed; uwu audit verify tells all of it")


# ---- jobs


def _sign(kernel: Kernel, actor: str) -> dict[str, Any]:
    try:
        made = take(kernel, actor=actor)
    except Conflict as error:
        if error.problem.code == "audit-broken":
            _alarm(kernel, error.problem.message)
        raise
    return {"number": made.number, "seq": made.seq} if made is not None else {}


def _verify(kernel: Kernel) -> dict[str, Any]:
    verdict = verify(kernel)
    if not verdict.holds:
        entry = f"entry {verdict.first_bad} does not hold: {verdict.reason}"
        checkpoint = f"checkpoint {verdict.bad_checkpoint} does not hold: {verdict.checkpoint_reason}"
        _alarm(kernel, entry if verdict.first_bad is not None else checkpoint)
    return codec.builtins(verdict)


def _alarm(kernel: Kernel, what: str) -> None:
    from uwu.kernel import notify

    told = notify.Notice(
        kind="audit.broken",
        subject=SUBJECT,
        owner="",
        severity="critical",
        title=f"The audit does not hold: {what}",
        path="/audit",
        dedupe=f"audit.broken:{codec.digest(what)[:16]}",
    )
    with kernel.db.write() as connection:
        notify.tell(connection, told)


def _run_sign(run: Run, arguments: Mapping[str, Any]) -> dict[str, Any]:
    del arguments
    return run.step(_sign, run.kernel, "uwu", name="sign")


def _run_verify(run: Run, arguments: Mapping[str, Any]) -> dict[str, Any]:
    del arguments
    return run.step(_verify, run.kernel, name="verify")


JOBS = (Job(SIGNED, _run_sign, concurrency=1), Job(VERIFY, _run_verify, concurrency=1))
SCHEDULES = (
    Schedule(
        SIGNED,
        SIGNED,
        "sign where the audit stands",
        every_minutes=LOOK_MINUTES,
        when="uwu.kernel.audit.checkpoints:due",
    ),
    Schedule(VERIFY, VERIFY, "verify the whole audit", daily="03:50"),
)
