"""The console behind a real server and the real front door."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from litestar.testing import TestClient

from uwu.app import identify
from uwu.app.asgi import create_app
from uwu.kernel.runtime import Kernel

ORIGIN = "http://127.0.0.1:8420"


def app(kernel: Kernel) -> Any:
    """The whole application, to everyone as to whoever holds the home."""
    return create_app(kernel, principal=identify.local())


def client(kernel: Kernel, *, raises: bool = True) -> TestClient[Any]:
    """A client of the whole application over ``kernel``; ``raises`` hands on what the server did not handle."""
    return TestClient(app(kernel), base_url=ORIGIN, raise_server_exceptions=raises)


@contextmanager
def serve(kernel: Kernel, port: int = 0) -> Iterator[str]:
    """The base URL of a running server."""
    config = uvicorn.Config(app(kernel), host="127.0.0.1", port=port, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the server did not start")
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
