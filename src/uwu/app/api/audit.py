"""What was done: the audit chain, its verification, its signed checkpoints, its export."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain as chained
from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody
from litestar.response import Stream
from msgspec import Meta

from uwu.kernel import audit, codec, paging
from uwu.kernel.audit import Entry, Filter, Verdict, checkpoints, export, keys, standing, stores
from uwu.kernel.audit.checkpoints import Checkpoint
from uwu.kernel.errors import BadInput
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

READ = {"action": "audit.read"}


class Entries(msgspec.Struct, frozen=True):
    """One page of the audit, newest first. ``after`` is where the next begins, empty on the last."""

    items: list[Entry]
    after: str


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry's hash as somebody has kept it."""

    seq: Annotated[int, Meta(ge=1, le=2**53)]
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Marks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the chain is compared with."""

    marks: Annotated[list[Mark], Meta(max_length=5000)]


class PublicKey(msgspec.Struct, frozen=True):
    """The key that signs checkpoints, and where they are kept."""

    id: str
    pem: str
    checkpoints: str


@get("/audit", sync_to_thread=True, opt=READ)
def list_audit(
    kernel: NamedDependency[Kernel],
    actor: FromQuery[str] = "",
    action: FromQuery[str] = "",
    subject: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Entries:
    """The audit, newest first. ``action`` may end in ``.*``; ``since`` and ``until`` are a time or a day (UTC)."""
    where = filter_of(actor=actor, action=action, subject=subject, since=since, until=until)
    behind = paging.place(after, int)
    with kernel.db.read() as connection:
        found = audit.entries(connection, limit=limit + 1, before=behind[0] if behind else None, where=where)
    return Entries(found[:limit], paging.cursor(found[limit - 1].seq) if len(found) > limit else "")


@get("/audit/verify", sync_to_thread=True, opt=READ)
def verify_audit(kernel: NamedDependency[Kernel]) -> Verdict:
    """Walks the whole chain, compares it with every checkpoint, and names the first entry that does not hold."""
    return standing.verify_whole(kernel)


@post("/audit/verify", sync_to_thread=True, opt=READ, status_code=200)
def compare_audit(kernel: NamedDependency[Kernel], data: JSONBody[Marks]) -> Verdict:
    """Walks the whole chain and compares it with hashes that the caller has kept."""
    with kernel.db.read() as connection:
        return audit.verify(connection, marks={mark.seq: mark.hash for mark in data.marks})


@get("/audit/export", sync_to_thread=True, opt=READ)
def export_audit(
    kernel: NamedDependency[Kernel],
    actor: FromQuery[str] = "",
    action: FromQuery[str] = "",
    subject: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
) -> Stream:
    """Every entry as JSON lines, oldest first, as ``uwu audit verify --file`` verifies them."""
    where = filter_of(actor=actor, action=action, subject=subject, since=since, until=until)
    headers = {
        "content-disposition": f'attachment; filename="audit-{codec.now():%Y-%m-%d}.jsonl"',
        "cache-control": "private, no-store",
    }
    return Stream(begun(export.jsonl(kernel, where)), media_type="application/x-ndjson", headers=headers)


@get("/audit/key", sync_to_thread=True, opt=READ)
def get_audit_key(kernel: NamedDependency[Kernel]) -> PublicKey:
    """The public key of the checkpoints, as PEM, and where they are kept."""
    key = keys.private_key(kernel.settings).public_key()
    return PublicKey(keys.id_of(key), keys.pem_of(key), stores.of(kernel).place)


@post("/audit/checkpoint", sync_to_thread=True, opt=READ, status_code=200)
def sign_audit(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal]) -> Checkpoint | None:
    """Signs where the chain stands now; the last checkpoint where nothing is new, null for an empty chain."""
    return checkpoints.take(kernel, actor=principal.ref)


# ---- what the page does too


def filter_of(*, actor: str = "", action: str = "", subject: str = "", since: str = "", until: str = "") -> Filter:
    """The filter of query parameters. Raises ``BadInput`` for what is no time."""
    return Filter(
        actor=actor, action=action, subject=subject, since=_moment("since", since), until=_moment("until", until)
    )


def _moment(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        if len(text) == len("2026-03-10"):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        return codec.parse_time(text.replace(" ", "+"))  # a plus that nobody has encoded
    except (ValueError, OverflowError):
        raise BadInput(
            f"{name} is no time: {text[:40]!r}",
            code="time-malformed",
            place=f"query {name}",
            hint="2026-03-10 or 2026-03-10T14:02:11Z",
        ) from None


def begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """``pieces``, the first of them made already: what fails at the start is an answer, not a stream that breaks."""
    return chained((next(pieces, b""),), pieces)


HANDLERS: list[Any] = [
    list_audit,
    verify_audit,
    compare_audit,
    export_audit,
    get_audit_key,
    sign_audit,
]
