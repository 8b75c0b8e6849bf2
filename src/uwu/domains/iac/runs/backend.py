"""The state as one run sees it: the HTTP backend on a loopback address, for one state and one password, while it runs.

The password opens nothing else and dies with the phase; a phase that plans cannot write.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from uwu.domains.iac import wire_http
from uwu.domains.iac.state_store import named
from uwu.kernel.errors import BadInput, Denied, UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel
from uwu.kernel.wire import Asked, Reply

_HANDLERS: dict[str, Callable[[Asked], Reply]] = {
    "GET": wire_http.read,
    "POST": wire_http.write,
    "LOCK": wire_http.lock,
    "UNLOCK": wire_http.unlock,
}
SILENCE_SECONDS = 60


class Backend:
    """Serves one state while it is entered."""

    def __init__(
        self, kernel: Kernel, principal: Principal, key: str, *, writes: bool, locked: Callable[[str], None]
    ) -> None:
        """``locked`` is told the id of the lock that the run takes, and empty text when it gives it back."""
        self._kernel, self._principal, self._writes, self._locked = kernel, principal, writes, locked
        self._namespace, self._name = named(key)
        self.password = secrets.token_urlsafe(32)
        self.writes = 0
        """How often the state was written."""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.backend = self
        self._thread = threading.Thread(target=self._server.serve_forever, name="uwu-run-state", daemon=True)

    @property
    def env(self) -> dict[str, str]:
        """What Terraform's backend ``http`` reads from its environment."""
        address = f"http://127.0.0.1:{self._server.server_port}/{self._namespace}/{self._name}"
        return {
            "TF_HTTP_ADDRESS": address,
            "TF_HTTP_LOCK_ADDRESS": address,
            "TF_HTTP_UNLOCK_ADDRESS": address,
            "TF_HTTP_USERNAME": "run",
            "TF_HTTP_PASSWORD": self.password,
            "TF_HTTP_RETRY_WAIT_MIN": "1",
            "TF_HTTP_RETRY_WAIT_MAX": "5",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        """The answer to one request."""
        try:
            wanted = b"Basic " + base64.b64encode(f"run:{self.password}".encode())
            if not hmac.compare_digest(headers.get("authorization", "").encode(), wanted):
                raise Denied("this is not the run's password", code="run-password", place="authorization")
            parts = urlsplit(target)
            if parts.path != f"/{self._namespace}/{self._name}" or method not in _HANDLERS:
                raise BadInput("a run has one state", code="run-state", place=parts.path[:200])
            if method == "POST" and not self._writes:
                raise Denied("a run that plans does not write the state", code="run-state", place=parts.path)
            if method == "UNLOCK" and not body.strip():
                raise Denied("a run takes no lock away from another", code="run-state", place=parts.path)
            asked = Asked(
                kernel=self._kernel,
                principal=self._principal,
                method=method,
                path=parts.path,
                params={"namespace": self._namespace, "name": self._name},
                query={key: value for key, value in parse_qsl(parts.query) if key == "ID"},
                headers={key: value for key, value in headers.items() if key == "content-md5"},
                base_url="",
                body=body,
            )
            reply = _HANDLERS[method](asked)
        except UwuError as error:
            return wire_http.refuse(error)
        if method == "POST":
            self.writes += 1
        elif method in ("LOCK", "UNLOCK"):
            self._locked(str(asked.json().get("ID", "")) if method == "LOCK" else "")
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    backend: Backend

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no error: Terraform was interrupted, and asks again."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SILENCE_SECONDS
    server: _Server  # type: ignore[assignment]

    def _answer(self) -> None:
        length = self.headers.get("content-length", "0")
        most = wire_http.max_state_bytes(self.server.backend._kernel)
        if not length.isdigit() or int(length) > most:
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        headers = {key.lower(): value for key, value in self.headers.items()}
        reply = self.server.backend.answer(self.command, self.path, headers, body)
        data = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_LOCK = do_UNLOCK = do_DELETE = _answer  # noqa: N815 - names that http.server asks for

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the audit tells who wrote what."""
