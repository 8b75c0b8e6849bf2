"""A front door under test: a real server, raw requests, and one layer alone."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from uwu.app import identify
from uwu.app.asgi import create_app
from uwu.app.layers import App
from uwu.kernel.identity import ANONYMOUS, Principal
from uwu.kernel.runtime import Kernel


class Answer:
    """A whole answer."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def serving(kernel: Kernel, **given: Any) -> Iterator[str]:
    """The address of a running server; who shows nothing is whoever holds the home, unless ``given`` says otherwise."""
    # with the protocol named, as `uwu serve` does: only then asyncio sets TCP_NODELAY
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    app: Any = create_app(kernel, **(given or {"principal": identify.local()}))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def ask(url: str, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """One request of its own connection; an underscore in a header's name stands for a hyphen."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def post(url: str, path: str, value: Any, **headers: str) -> Answer:
    """One write of JSON."""
    return ask(url, "POST", path, json.dumps(value).encode(), Content_Type="application/json", **headers)


def exchange(url: str, request: bytes, timeout: float = 5) -> bytes:
    """What a server says to bytes of ours until it closes or is silent."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=timeout) as connection:
        said = b""
        try:
            connection.sendall(request)
            while piece := connection.recv(65536):
                said += piece
        except OSError:
            pass
        return said


def through(
    app: App,
    method: str = "GET",
    path: str = "/",
    body: bytes = b"",
    *,
    principal: Principal = ANONYMOUS,
    client: str = "192.0.2.1",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request through a layer alone, in an event loop of its own."""
    return asyncio.run(passed(app, method, path, body, principal=principal, client=client, headers=headers))


async def passed(
    app: App,
    method: str = "GET",
    path: str = "/",
    body: bytes = b"",
    *,
    principal: Principal = ANONYMOUS,
    client: str = "192.0.2.1",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """As ``through``, in the running loop."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path.partition("?")[0],
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": (client, 1),
        identify.PRINCIPAL: principal,
    }
    await app(scope, receive, send)
    start, *rest = sent
    told = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], told, b"".join(message.get("body", b"") for message in rest))
