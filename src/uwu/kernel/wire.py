"""Protocols of clients that uwu did not write (Terraform, Vault, osquery, ACME): raw ASGI below a prefix of its own.

A domain names them in ``Domain.wire``. The front door has found out who asks before a wire is called; a wire's routes
each name an action and what it is done to, and nothing of a route runs before that is decided.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

import msgspec

from uwu.kernel import actions, authorize, codec, telemetry
from uwu.kernel.authorize import Target
from uwu.kernel.errors import BadInput, NotFound, Unavailable, UwuError
from uwu.kernel.identity import ANONYMOUS, Principal

if TYPE_CHECKING:
    from uwu.kernel.runtime import Kernel

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PRINCIPAL = "uwu.principal"
"""Where the front door leaves the principal in the scope of a request; no header can set it."""
BASE_URL = "uwu.base_url"
"""Where it leaves the address of this server as its clients know it."""

SILENCE_SECONDS = 30
"""How long a client may say nothing in the middle of its body."""
BODIES_AT_ONCE = 4
"""Large bodies that a wire holds at the same time; the others wait before theirs is read."""
LARGE_BYTES = 1_000_000
WAIT_SECONDS = 60
"""How long a large body waits for its turn before its client is told to come again."""


class TooLarge(BadInput):
    """The request's body passes a limit."""

    code, status = "request-too-large", 413


class NoMethod(BadInput):
    """The path takes other methods."""

    code, status = "method-not-allowed", 405


@dataclass(frozen=True)
class Asked:
    """One request."""

    kernel: Kernel
    principal: Principal
    method: str
    path: str
    """Below the wire's prefix."""
    params: Mapping[str, str]
    """What stands in the places of the route's path."""
    query: Mapping[str, str]
    """The last value of each name."""
    headers: Mapping[str, str]
    """By lower-case name; the first where one is given twice."""
    base_url: str
    body: bytes = b""
    peer: str = ""
    """The client's address."""

    def json(self) -> Any:
        """The body as JSON. Raises ``BadInput``."""
        try:
            return codec.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BadInput("the request's body is no JSON", code="request-invalid", place="body") from None


class Reply(msgspec.Struct, frozen=True):
    """An answer; a body that is no bytes is sent piece by piece, each taken in a thread."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    media_type: str = "application/json"
    headers: Mapping[str, str] = {}


Handler = Callable[[Asked], Reply]


@dataclass(frozen=True)
class Route:
    """What is done at one path: ``Route(("GET",), "/{namespace}/{name}", read, "iac.state.read", target_of)``."""

    methods: tuple[str, ...]
    path: str
    """A place holds one segment: ``{name}``."""
    handle: Handler
    """Runs in a thread."""
    action: str
    """Of ``uwu.kernel.actions``."""
    target: Callable[[Asked], Target] | None = None
    """What it is done to; the platform as a whole where none is given. It may raise ``NotFound``."""
    max_body_bytes: int | Callable[[Kernel], int] = 0
    late: bool = False
    """The target stands in the body: it is decided once that is read, which is small."""


class Wire:
    """The ASGI application of one protocol. ``refuse`` tells an error as its clients expect it."""

    def __init__(
        self, kernel: Kernel, routes: Sequence[Route], refuse: Callable[[UwuError], Reply] | None = None
    ) -> None:
        self._kernel = kernel
        self._refuse = refuse or problem
        self._routes = [(_pattern(route.path), route) for route in routes]
        self._room = asyncio.Semaphore(BODIES_AT_ONCE)
        known = actions.known(kernel.domains)
        for route in routes:
            if route.late and not (isinstance(route.max_body_bytes, int) and route.max_body_bytes <= LARGE_BYTES):
                raise ValueError(f"the wire route {route.path} reads much before it is decided who may")
            if route.action not in known:
                raise ValueError(f"the wire route {route.path} does not say what it does: {route.action!r}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            route, asked = self._asked(scope)
            if not route.late:
                await asyncio.to_thread(self._decide, route, asked)
            most = route.max_body_bytes
            most = most(self._kernel) if callable(most) else most
            if _length(asked) > min(most, LARGE_BYTES) or (most > LARGE_BYTES and _length(asked) < 0):
                await self._with_room(route, asked, most, receive, send)
            else:
                await self._answer(route, asked, most, receive, send)
        except UwuError as error:
            await _send(send, self._refuse(error))

    def _asked(self, scope: Scope) -> tuple[Route, Asked]:
        # a path is matched as it was sent: an encoded slash is part of a segment
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("ascii", "replace").partition("?")[0][len(scope.get("root_path", "")) :]
        taken: set[str] = set()
        for pattern, route in self._routes:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if scope["method"] not in route.methods:
                taken.update(route.methods)
                continue
            scope["path_template"] = scope.get("root_path", "") + route.path
            headers: dict[str, str] = {}
            for name, value in scope["headers"]:
                headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
            return route, Asked(
                kernel=self._kernel,
                principal=scope.get(PRINCIPAL) or ANONYMOUS,
                method=scope["method"],
                path=path,
                params={name: unquote(value) for name, value in found.groupdict().items()},
                query={name: values[-1] for name, values in query.items()},
                headers=headers,
                base_url=scope.get(BASE_URL, ""),
                peer=(scope.get("client") or ("",))[0],
            )
        if taken:
            raise NoMethod(f"it takes no {scope['method'][:20]} here", hint=f"it takes {', '.join(sorted(taken))}")
        raise NotFound("nothing is at this address")

    def _decide(self, route: Route, asked: Asked) -> None:
        target = route.target(asked) if route.target is not None else None
        authorize.require(self._kernel, asked.principal, route.action, target)

    async def _with_room(self, route: Route, asked: Asked, most: int, receive: Receive, send: Send) -> None:
        try:
            await asyncio.wait_for(self._room.acquire(), WAIT_SECONDS)
        except TimeoutError:
            raise Unavailable("too much is sent at once", code="server-busy", hint="try again in a moment") from None
        try:
            await self._answer(route, asked, most, receive, send)
        finally:
            self._room.release()

    async def _answer(self, route: Route, asked: Asked, most: int, receive: Receive, send: Send) -> None:
        body = await _body(asked, most, receive)
        if body is None:
            return
        await _send(send, await asyncio.to_thread(self._handle, route, replace(asked, body=body)))

    def _handle(self, route: Route, asked: Asked) -> Reply:
        if route.late:
            self._decide(route, asked)
        return route.handle(asked)


def problem(error: UwuError) -> Reply:
    """``error`` as problem+json (RFC 9457), with uwu's own members: code, place, hint."""
    told = error.problem
    body: dict[str, Any] = {
        "type": f"urn:uwu:error:{told.code}",
        "title": told.message,
        "status": error.status,
        "code": told.code,
    }
    body |= {name: value for name, value in (("place", told.place), ("hint", told.hint)) if value}
    if request := telemetry.request_id.get():
        body["instance"] = f"urn:uwu:request:{request}"
    return Reply(error.status, codec.encode(body), "application/problem+json", headers_of(error))


def headers_of(error: UwuError) -> dict[str, str]:
    """The headers that go with an error's status. Nobody is asked for Basic: a browser would keep what it is told."""
    if error.status == 401:
        return {"WWW-Authenticate": 'Bearer realm="uwu"'}
    return {"Retry-After": "2"} if error.status == 503 else {}


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if n % 2 else re.escape(part) for n, part in enumerate(parts)))


def _length(asked: Asked) -> int:
    """The bytes that the body is said to have; -1 where that is not said."""
    given = asked.headers.get("content-length", "")
    if given.isdecimal():
        return int(given)
    return -1 if "transfer-encoding" in asked.headers else 0


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the request is larger than {most / 1_000_000:g} MB", place="body", hint="send less at once")


async def _body(asked: Asked, most: int, receive: Receive) -> bytes | None:
    """The whole body; None where the client left before its end."""
    if _length(asked) > most:
        raise _too_large(most)
    pieces: list[bytes] = []
    size = 0
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(SILENCE_SECONDS) as silence:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                piece: bytes = message.get("body", b"")
                size += len(piece)
                if size > most:
                    raise _too_large(most)
                pieces.append(piece)
                if not message.get("more_body"):
                    return b"".join(pieces)
                silence.reschedule(clock() + SILENCE_SECONDS)
    except TimeoutError:
        raise BadInput("the body stopped in the middle", code="request-cut-off", place="body") from None


async def _send(send: Send, reply: Reply) -> None:
    headers = [(b"content-type", reply.media_type.encode())] if reply.status != 204 else []
    headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
    if all(name != b"cache-control" for name, _ in headers):
        headers.append((b"cache-control", b"no-store"))
    if isinstance(reply.body, bytes):
        if reply.status != 204:
            headers.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        return
    pieces = iter(reply.body)
    first = await asyncio.to_thread(_next, pieces)  # what fails before the first piece is still told as an error
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    piece = first
    while piece is not None:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        piece = await asyncio.to_thread(_next, pieces)
    await send({"type": "http.response.body", "body": b""})


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)
