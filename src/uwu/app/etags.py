"""What makes an answer cheap to ask for again: an entity tag by its content, 304 where nothing changed, and gzip.

RFC 9110, 8.8.3 (weak tags: the compressed and the plain answer say the same), 13.1.2 and 15.4.5. Streams pass as they
come; what a handler has tagged or compressed itself stays so.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re

from uwu.app.layers import App, Headers, Message, Receive, Scope, Send, header, sent

TAGGED = (b"application/json", b"text/html")
MAX_TAGGED_BYTES = 4_000_000
"""A larger answer is passed on: hashing it would cost more than it saves."""

COMPRESSED = (*TAGGED, b"application/problem+json", b"text/csv", b"text/plain", b"application/openmetrics-text")
MIN_COMPRESSED_BYTES = 1000
"""Below this gzip's own frame eats what it saves."""
IN_THREAD_BYTES = 64_000
"""From here on compressing takes a millisecond and more, which the event loop does not have."""
LEVEL = 5

_CHOICE = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*(?:,|$)")


def layer(app: App) -> App:
    """``app``, with tags on the answers of GET that are whole, and gzip for who accepts it."""

    async def tagged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        known = header(scope, b"if-none-match") if scope["method"] == "GET" else ""
        packs = accepts_gzip(header(scope, b"accept-encoding"))
        held: Message | None = None

        async def sending(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                if _of(message["headers"], COMPRESSED) and not sent(message["headers"], b"content-encoding"):
                    held = message
                    return
            elif held is not None:
                start, held = held, None
                body = message.get("body", b"")
                if not message.get("more_body") and len(body) <= MAX_TAGGED_BYTES:
                    start, body = await _whole(start, body, known, scope["method"] == "GET", packs)
                    message = {**message, "body": body}
                await send(start)
            await send(message)

        await app(scope, receive, sending)

    return tagged


def accepts_gzip(accepted: str) -> bool:
    """Whether ``Accept-Encoding`` takes gzip (RFC 9110, 12.5.3)."""
    found = _CHOICE.search(accepted.lower())
    return found is not None and (found[1] is None or float(found[1]) > 0)


def tag(body: bytes) -> str:
    """The weak entity tag of ``body``."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:24]}"'


def matches(known: str, tag: str) -> bool:
    """Whether ``If-None-Match`` names ``tag``, compared weakly (RFC 9110, 13.1.2)."""
    if known.strip() == "*":
        return True
    return tag.removeprefix("W/") in (one.strip().removeprefix("W/") for one in known.split(","))


def _of(headers: Headers, kinds: tuple[bytes, ...]) -> bool:
    return sent(headers, b"content-type").partition(b";")[0].strip().lower() in kinds


async def _whole(start: Message, body: bytes, known: str, asked: bool, packs: bool) -> tuple[Message, bytes]:
    headers: Headers = list(start["headers"])
    names = {name.lower() for name, _ in headers}
    if asked and start["status"] == 200 and _of(headers, TAGGED) and b"set-cookie" not in names:
        # who asks decides what is in it: a cache between us may keep it for nobody
        if b"cache-control" not in names:
            headers.append((b"cache-control", b"private, no-cache"))
        if b"etag" not in names and b"no-store" not in sent(headers, b"cache-control"):
            made = tag(body)
            headers.append((b"etag", made.encode()))
            if known and matches(known, made):
                kept = [(n, v) for n, v in headers if n.lower() not in (b"content-length", b"content-type")]
                return {**start, "status": 304, "headers": _varied(kept)}, b""
    if len(body) >= MIN_COMPRESSED_BYTES:
        headers = _varied(headers)
        if packs:
            body = await asyncio.to_thread(_pack, body) if len(body) > IN_THREAD_BYTES else _pack(body)
            headers = [(n, v) for n, v in headers if n.lower() != b"content-length"]
            headers += [(b"content-encoding", b"gzip"), (b"content-length", str(len(body)).encode())]
    return {**start, "headers": headers}, body


def _varied(headers: Headers) -> Headers:
    if b"accept-encoding" in sent(headers, b"vary").lower():
        return headers
    return [*headers, (b"vary", b"accept-encoding")]


def _pack(body: bytes) -> bytes:
    return gzip.compress(body, LEVEL, mtime=0)
