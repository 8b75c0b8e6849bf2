"""Asks the routes of one home as any principal, without the front door: who asks is given, not proven."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

from litestar.handlers import HTTPRouteHandler

from uwu.app import asgi, guard, identify
from uwu.app.metrics import Metrics
from uwu.kernel import codec
from uwu.kernel.identity import ANONYMOUS, Principal
from uwu.kernel.runtime import Kernel

FILLED = {"str": "x", "path": "x", "int": "1"}


class Routes:
    """The routes of ``kernel``."""

    def __init__(self, kernel: Kernel) -> None:
        self.litestar = asgi.litestar(kernel, Metrics(kernel))
        self.app = guard.layer(self.litestar)  # type: ignore[arg-type]

    def every(self) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
        """(method, path with something in its parameters, handler) of each."""
        for route in self.litestar.routes:
            for handler in getattr(route, "route_handlers", ()):
                path = re.sub(r"/?\{\w+:(\w+)\}", lambda m: f"/{FILLED[m[1]]}", route.path_format and route.path)
                for method in sorted(handler.http_methods):
                    yield method, path, handler

    def ask(
        self, principal: Principal, method: str, path: str, body: Any = None, *, accept: str = "application/json"
    ) -> tuple[int, str, bytes]:
        """Status, location or media type, and body of the answer."""
        return asyncio.run(self._ask(principal, method, path, body, accept))

    def json(self, principal: Principal, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, kind, data = self.ask(principal, method, path, body)
        return status, json.loads(data) if "json" in kind and data else data

    async def _ask(
        self, principal: Principal, method: str, path: str, body: Any, accept: str
    ) -> tuple[int, str, bytes]:
        data = body.encode() if isinstance(body, str) else codec.encode(body) if body is not None else b""
        kind = "application/x-www-form-urlencoded" if isinstance(body, str) else "application/json"
        at, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": at,
            "raw_path": at.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"accept", accept.encode()),
                (b"content-type", kind.encode()),
                (b"content-length", str(len(data)).encode()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
            identify.PRINCIPAL: principal,
        }
        sent: list[Any] = []
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await asyncio.sleep(0.05)
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        headers = {k.decode().lower(): v.decode() for k, v in sent[0]["headers"]}
        answer = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
        return sent[0]["status"], headers.get("location") or headers.get("content-type", ""), answer


def person(name: str, *, roles: tuple[str, ...] = ("viewer",), groups: tuple[str, ...] = (), **more: Any) -> Principal:
    """Somebody who is signed in; ``groups`` by name."""
    return Principal(
        ref=f"user:default/{name}",
        name=name,
        kind="human",
        roles=roles,
        groups=tuple(f"group:default/{group}" for group in groups),
        via="session",
        **more,
    )


ADMIN = person("root", roles=("admin",))
NOBODY = ANONYMOUS
