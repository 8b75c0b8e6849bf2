"""What the layers of the front door share: the names of ASGI, how a header is read, how an answer is sent.

A layer is a function that wraps an App and gives an App (ASGI 3.0).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from litestar.response import Response

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

MAX_BODY_BYTES = 1_000_000
"""Nothing that is sent here today is larger than a query."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""


def header(scope: Scope, name: bytes) -> str:
    """The value of the request's header ``name`` (lower case), the first where it is given twice; else empty."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def sent(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The value of an answer's header ``name`` (lower case); empty where there is none."""
    return next((value for key, value in headers if key.lower() == name), b"")


async def answer(send: Send, response: Response[bytes]) -> None:
    """Sends ``response``: a layer's own answer, which the layers below never see."""
    body = response.content
    headers: Headers = [
        (b"content-type", str(response.media_type).encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()),
    ]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def with_headers(send: Send, *added: tuple[bytes, bytes]) -> Send:
    """``send``, which adds ``added`` to the answer's headers."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *added]
        await send(message)

    return sending
