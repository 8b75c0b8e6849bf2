"""One client of the API, two transports: over the network where a server runs, else in process on the home.

No command has a private way in: what it does is what the API does.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import queue
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from uwu.client import RETRIES, Client, Remote
from uwu.client.transport import TIMEOUT_SECONDS, connection_to
from uwu.kernel.errors import Unavailable

if TYPE_CHECKING:
    from uwu.kernel.runtime import Kernel

__all__ = ["ApiClient", "Embedded", "Remote", "connect"]

FULL_PAUSE_SECONDS = 0.01
"""How long the embedded application waits for a reader that is behind."""

ApiClient = Client
"""The one client, as the command line calls it."""


class Embedded:
    """In process: the same application on the home's own database, its event loop in a thread."""

    def __init__(self, kernel: Kernel) -> None:
        from uwu.app import identify
        from uwu.app.asgi import create_app

        self.kernel = kernel
        # what runs in process reads the home's own files: it is whoever holds them
        self._app = create_app(kernel, principal=identify.local())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="uwu-embedded", daemon=True)
        self._thread.start()

    def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, Iterator[bytes]]:
        target = urlsplit(path)
        given = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        given += [(b"host", b"127.0.0.1"), (b"content-length", str(len(body or b"")).encode())]
        if body is not None:
            given.append((b"content-type", b"application/json"))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": target.path,
            "raw_path": target.path.encode(),
            "query_string": target.query.encode(),
            "root_path": "",
            "headers": given,
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        # small on purpose: a reader that is slow holds the writer back
        messages: queue.Queue[Any] = queue.Queue(maxsize=64)
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body or b"", "more_body": False}
            await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def pass_on(message: Any) -> None:
            # no blocking put in a thread: where the reader has left, the process would wait for that thread for ever
            while True:
                try:
                    return messages.put_nowait(message)
                except queue.Full:
                    await asyncio.sleep(FULL_PAUSE_SECONDS)

        async def run() -> None:
            try:
                await self._app(scope, receive, pass_on)
            except Exception as error:  # whatever breaks in there is raised where the answer is read
                await pass_on(error)

        task = asyncio.run_coroutine_threadsafe(run(), self._loop)
        start = _next(messages)
        kind = dict(start["headers"]).get(b"content-type", b"").decode()

        def pieces() -> Iterator[bytes]:
            try:
                while True:
                    message = _next(messages)
                    if message.get("body"):
                        yield message["body"]
                    if not message.get("more_body"):
                        return
            finally:
                task.cancel()

        return start["status"], kind, pieces()

    def working(self) -> contextlib.AbstractContextManager[Any]:
        from uwu.app import worker

        return worker.inline(self.kernel)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self.kernel.close()

    async def _finish(self) -> None:
        """Ends the requests whose answer nobody read to its end."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


def _next(messages: queue.Queue[Any]) -> Any:
    try:
        message = messages.get(timeout=TIMEOUT_SECONDS)
    except queue.Empty:
        raise Unavailable(f"no answer within {TIMEOUT_SECONDS} s", code="server-unavailable") from None
    if isinstance(message, Exception):
        raise message
    return message


def _answers(url: str, token: str, certificate: str) -> bool:
    """Whether the home's own server is behind ``url``: a stale file may name a process and a port that are others'.

    The server of another home does not know the token.
    """
    try:
        connection = connection_to(urlsplit(url), certificate, 2)
    except OSError:
        return False
    try:
        connection.request("GET", "/healthz", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def connect(home: Path) -> Client:
    """The client for ``home``: ``UWU_URL``, else the home's running server, else the home itself.

    At ``UWU_URL`` it shows ``UWU_TOKEN``, else what ``uwu login`` has kept for that address.
    """
    url = os.environ.get("UWU_URL", "")
    if url:
        from uwu.app import credentials

        return Client(Remote(url, os.environ.get("UWU_TOKEN", "") or credentials.token(home, url)), retries=RETRIES)
    if (home / "server.json").exists():
        from uwu.app.serve import read_server_info

        info = read_server_info(home)
        if info is not None and _answers(info.url, info.token, info.certificate):
            return Client(Remote(info.url, info.token, info.certificate), retries=RETRIES)
    from uwu.kernel.runtime import Kernel

    return Client(Embedded(Kernel.open(home)))
