"""``Idempotency-Key`` on writes (draft-ietf-httpapi-idempotency-key-header-07): what is asked twice is done once.

The same key with the same request of the same principal gets the answer that the first one got, for 24 hours. With
another request it is 422, while the first is at work 409. Only what succeeded is kept: an error changed nothing, so its
key is free again. An answer that may not be stored (``Cache-Control: no-store``: it holds a secret) is not: its repeat
is 409 and says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from uwu.app import identify
from uwu.app.api import problems
from uwu.app.layers import SAFE, App, Headers, Message, Receive, Scope, Send, answer, sent
from uwu.kernel import codec
from uwu.kernel.cleanup import ANSWERS_KEPT
from uwu.kernel.db import Database
from uwu.kernel.errors import BadInput, Conflict, UwuError
from uwu.kernel.tables import idempotency

API = "/api/"
KEY = re.compile(r'"([!#-~]{8,255})"|([!#-~]{8,255})')
"""A structured field's string, or the bare characters that most clients send; 8 of them tell callers apart."""

MAX_ANSWER_BYTES = 256_000
"""A larger answer is not kept: its repeat is told that the request was done."""

AT_WORK = timedelta(minutes=10)
"""Longer than any request lasts: a key that is at work for longer belongs to a process that died."""

WAITING = 0
"""The status of a key whose request is being answered."""


class Mismatch(BadInput):
    """The key was used for another request."""

    code, status = "idempotency-key-reused", 422


class Kept(msgspec.Struct, frozen=True):
    """The answer that a key has got. ``answer`` is None where it may not be kept."""

    status: int
    content_type: str
    answer: bytes | None


def layer(app: App, db: Database, max_body_bytes: int) -> App:
    """``app``, whose writes under ``/api/`` heed ``Idempotency-Key``."""

    async def once(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in SAFE or not scope["path"].startswith(API):
            await app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"idempotency-key"]
        if not given:
            await app(scope, receive, send)
            return
        try:
            name = key(scope, given)
            body = await _body(receive, max_body_bytes)
            if body is None:
                await app(scope, _broken_off, send)
                return
            request = hashlib.sha256(body).hexdigest()
            kept = await asyncio.to_thread(begin, db, name, request)
        except UwuError as error:
            await answer(send, problems.of_error(error))
            return
        if kept is not None:
            await _replay(send, kept)
            return
        await _first(app, scope, body, send, db, name)

    return once


def key(scope: Scope, given: list[bytes]) -> str:
    """The row's key: who asks, what, and the key they chose. Raises ``BadInput`` where that is none."""
    text = given[0].decode("latin-1").strip()
    found = KEY.fullmatch(text)
    if len(given) > 1 or found is None:
        raise BadInput(
            "this is no idempotency key" if len(given) == 1 else "a request has one idempotency key",
            code="idempotency-key-invalid",
            place="header Idempotency-Key",
            hint="8 to 255 visible ASCII characters, a UUID for one",
        )
    principal = scope.get(identify.PRINCIPAL)
    who = principal.ref if principal is not None else ""
    target = scope["path"] + "?" + scope.get("query_string", b"").decode("latin-1")
    return codec.digest([who, scope["method"], target, found[1] or found[2]])


def begin(db: Database, key: str, request: str) -> Kept | None:
    """Takes ``key`` for ``request`` (a digest of its body): None where this is the first, else what it got then.

    Raises ``Mismatch`` (422) for another request, ``Conflict`` (409) while the first is at work.
    """
    now = codec.now()
    t = idempotency
    make = postgresql.insert if db.dialect == "postgresql" else sqlite.insert
    fresh = {"key": key, "request": request, "status": WAITING, "content_type": "", "answer": None, "created_at": now}
    with db.write() as connection:
        over = sa.or_(
            t.c.created_at < now - ANSWERS_KEPT, sa.and_(t.c.status == WAITING, t.c.created_at < now - AT_WORK)
        )
        connection.execute(t.delete().where(t.c.key == key, over))
        taken = make(t).values(fresh).on_conflict_do_nothing(index_elements=[t.c.key]).returning(t.c.key)
        if connection.execute(taken).first() is not None:
            return None
        columns = (t.c.request, t.c.status, t.c.content_type, t.c.answer)
        row = connection.execute(sa.select(*columns).where(t.c.key == key)).first()
    if row is None or (row.request == request and row.status == WAITING):
        raise Conflict(
            "the same request is still being answered",
            code="idempotency-at-work",
            place="header Idempotency-Key",
            hint="ask again in a moment, with the same key",
        )
    if row.request != request:
        raise Mismatch(
            "this key was used for another request",
            place="header Idempotency-Key",
            hint="a new request needs a new key",
        )
    return Kept(row.status, row.content_type, row.answer)


def end(db: Database, key: str, kept: Kept | None) -> None:
    """Keeps the answer of ``key``; None lets the key go, as if it had never been used."""
    t = idempotency
    change = t.delete() if kept is None else t.update().values(msgspec.structs.asdict(kept))
    with db.write() as connection:
        connection.execute(change.where(t.c.key == key, t.c.status == WAITING))


async def _body(receive: Receive, most: int) -> bytes | None:
    """The whole body; None where the caller left before its end. Raises ``TooLarge`` (413)."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise problems.too_large(most)
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)


async def _broken_off() -> Message:
    return {"type": "http.disconnect"}


async def _first(app: App, scope: Scope, body: bytes, send: Send, db: Database, key: str) -> None:
    given = False

    async def receive() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    start: Message = {}
    pieces: list[bytes] = []
    size = 0

    async def watched(message: Message) -> None:
        nonlocal start, size
        if message["type"] == "http.response.start":
            start = message
        elif message["type"] == "http.response.body":
            size += len(message.get("body", b""))
            if size <= MAX_ANSWER_BYTES:
                pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                # before its last byte is out: a caller who then asks again finds it
                await asyncio.to_thread(end, db, key, _kept(start, b"".join(pieces), size))
        await send(message)

    try:
        await app(scope, receive, watched)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(end, db, key, None))
        raise


def _kept(start: Message, body: bytes, size: int) -> Kept | None:
    status, headers = start["status"], start["headers"]
    if status >= 400:
        return None
    secret = b"no-store" in sent(headers, b"cache-control") or sent(headers, b"set-cookie")
    kind = sent(headers, b"content-type").decode("latin-1")
    return Kept(status, kind, None if secret or size > MAX_ANSWER_BYTES else body)


async def _replay(send: Send, kept: Kept) -> None:
    if kept.answer is None:
        refused = problems.problem(
            409,
            "this request was done, and its answer was not kept",
            code="idempotency-answer-gone",
            place="header Idempotency-Key",
            hint="an answer that shows a secret is shown once: look at what it made, revoke it and ask with a new key",
        )
        await answer(send, refused)
        return
    headers: Headers = [
        (b"content-type", kept.content_type.encode("latin-1")),
        (b"content-length", str(len(kept.answer)).encode()),
        (b"idempotency-replayed", b"true"),
    ]
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": kept.answer})
