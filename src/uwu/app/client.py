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
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from uwu.kernel import codec
from uwu.kernel.errors import (
    BadInput,
    Conflict,
    Denied,
    Misconfigured,
    NotFound,
    StorageFull,
    Unavailable,
    UwuError,
)

if TYPE_CHECKING:
    from uwu.kernel.runtime import Kernel

TIMEOUT_SECONDS = 120
"""How long one answer, or the next line of a stream, may take."""

FULL_PAUSE_SECONDS = 0.01
"""How long the embedded application waits for a reader that is behind."""

_BY_STATUS: dict[int, type[UwuError]] = {
    400: BadInput,
    401: Denied,
    403: Denied,
    404: NotFound,
    409: Conflict,
    503: Unavailable,
    507: StorageFull,
}


class Transport(Protocol):
    """Carries one request to the API."""

    def send(self, method: str, path: str, body: bytes | None) -> tuple[int, str, Iterator[bytes]]:
        """(status, content type, pieces of the body as they come)."""
        ...

    def working(self) -> contextlib.AbstractContextManager[Any]:
        """While it lasts, jobs that are asked for are run by someone."""
        ...

    def close(self) -> None: ...


class ApiClient:
    """Speaks with the API; see ``uwu.kernel.domain.Client``."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON answer of GET ``/api/v1<path>``; parameters that are None are left out."""
        given = {k: str(v).lower() if isinstance(v, bool) else v for k, v in parameters.items() if v is not None}
        return self._json("GET", path + (f"?{urlencode(given)}" if given else ""), None)

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON answer of POST ``/api/v1<path>``."""
        return self._json("POST", path, codec.encode(body if body is not None else {}))

    def lines(self, path: str) -> Iterator[Any]:
        """The JSON values of a stream, one a line, as they come."""
        status, kind, pieces = self.transport.send("GET", f"/api/v1{path}", None)
        if status >= 400:
            raise _error(status, kind, b"".join(pieces))
        rest = b""
        for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                if line:
                    yield _decoded(line, kind)

    def follow(self, job: str) -> Iterator[dict[str, Any]]:
        """The updates of a job until it has finished."""
        yield from self.lines(f"/jobs/{quote(job)}/events")

    def _json(self, method: str, path: str, body: bytes | None) -> Any:
        status, kind, pieces = self.transport.send(method, f"/api/v1{path}", body)
        data = b"".join(pieces)
        if status >= 400:
            raise _error(status, kind, data)
        return _decoded(data, kind) if data else None

    def close(self) -> None:
        self.transport.close()


def _foreign(what: str) -> Unavailable:
    return Unavailable(what, code="server-foreign", hint="is UWU_URL the address of an uwu server of this version?")


def _decoded(data: bytes, kind: str) -> Any:
    try:
        return codec.decode(data)
    except ValueError:  # msgspec's errors are ValueErrors; so is what is no UTF-8
        raise _foreign(f"the server answered with {kind or 'something'} that is no JSON") from None


def _error(status: int, kind: str, data: bytes) -> UwuError:
    if "problem+json" not in kind:
        return _foreign(f"the server answered {status} without saying why")
    told = _decoded(data, kind)
    make = _BY_STATUS.get(status, BadInput if status < 500 else UwuError)
    if status == Misconfigured.status and told.get("code") != UwuError.code:
        make = Misconfigured
    return make(
        told.get("title", ""), code=told.get("code", ""), place=told.get("place", ""), hint=told.get("hint", "")
    )


class Remote:
    """Over HTTP to a running server."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Misconfigured(f"{url!r} is no address of a server", code="url-invalid", hint="http://127.0.0.1:8420")
        self._url = url
        self._parts = parts
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, method: str, path: str, body: bytes | None) -> tuple[int, str, Iterator[bytes]]:
        make = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = make(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT_SECONDS)
        headers = {**self._headers, **({"Content-Type": "application/json"} if body is not None else {})}
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
        except http.client.HTTPException:
            connection.close()
            raise _foreign(f"what answers at {self._url} speaks no HTTP") from None
        except OSError as error:
            connection.close()
            raise Unavailable(
                f"{self._url} does not answer: {error.strerror or error}",
                code="server-unavailable",
                hint="is `uwu serve` running? without UWU_URL commands work on the home itself",
            ) from None
        return response.status, response.headers.get("content-type", ""), self._pieces(connection, response)

    def _pieces(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while piece := response.read1(65536):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{self._url} broke off: {error}", code="server-unavailable") from None
        finally:
            connection.close()

    def working(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        pass


class Embedded:
    """In process: the same application on the home's own database, its event loop in a thread."""

    def __init__(self, kernel: Kernel) -> None:
        from uwu.app.asgi import create_app

        self.kernel = kernel
        self._app = create_app(kernel)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="uwu-embedded", daemon=True)
        self._thread.start()

    def send(self, method: str, path: str, body: bytes | None) -> tuple[int, str, Iterator[bytes]]:
        target = urlsplit(path)
        headers = [(b"host", b"127.0.0.1"), (b"content-length", str(len(body or b"")).encode())]
        if body is not None:
            headers.append((b"content-type", b"application/json"))
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
            "headers": headers,
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


def _answers(url: str, token: str) -> bool:
    """Whether the home's own server is behind ``url``: a stale file may name a process and a port that are others'.

    The server of another home does not know the token.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        connection.request("GET", "/healthz", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def connect(home: Path) -> ApiClient:
    """The client for ``home``: ``UWU_URL``, else the home's running server, else the home itself."""
    url = os.environ.get("UWU_URL", "")
    if url:
        return ApiClient(Remote(url, os.environ.get("UWU_TOKEN", "")))
    if (home / "server.json").exists():
        from uwu.app.serve import read_server_info

        info = read_server_info(home)
        if info is not None and _answers(info.url, info.token):
            return ApiClient(Remote(info.url, info.token))
    from uwu.kernel.runtime import Kernel

    return ApiClient(Embedded(Kernel.open(home)))
