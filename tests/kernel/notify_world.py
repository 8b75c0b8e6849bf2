"""The far side of notifications, for real: a mail server that keeps what it gets, a webhook receiver that checks."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from uwu.kernel import codec
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import NotifySettings, Settings

SECRET = "s3cret-of-the-webhook"
PATH_TOKEN = "tok-4711-abcdef"


class Clock:
    """A clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: datetime | None = None) -> None:
        self.now = at or datetime(2025, 3, 10, 14, 0, tzinfo=UTC)
        monkeypatch.setattr(codec, "now", lambda: self.now)

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


class Webhook:
    """Receives and keeps; ``answers`` holds the statuses of the next answers, 204 when it is empty."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.answers: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.append({"path": self.path, "headers": dict(self.headers.items()), "body": body})
                status = outer.answers.pop(0) if outer.answers else 204
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"webhook+http://127.0.0.1:{self.port}/hooks/{PATH_TOKEN}"

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(one["body"]) for one in self.got]

    def verified(self, index: int = -1, *, secret: str = SECRET) -> bool:
        """As the documentation tells a receiver to do it."""
        one = self.got[index]
        header = {k.lower(): v for k, v in one["headers"].items()}["uwu-signature"]
        at, given = (part.split("=", 1)[1] for part in header.split(","))
        expected = hmac.new(secret.encode(), at.encode() + b"." + one["body"], hashlib.sha256).hexdigest()
        return hmac.compare_digest(given, expected)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Mailbox:
    """An SMTP server on loopback."""

    def __init__(self) -> None:
        from aiosmtpd.controller import Controller

        class AnyPort(Controller):
            def _trigger_server(self) -> None:
                server: Any = self.server
                self.port = server.sockets[0].getsockname()[1]
                super()._trigger_server()

        self.mails: list[EmailMessage] = []
        self.envelopes: list[list[str]] = []
        self.refuse = ""
        self._controller = AnyPort(self, hostname="127.0.0.1", port=0)
        self._controller.start()
        self.port = self._controller.port

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd asks for it)
        if self.refuse:
            return self.refuse
        parsed = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        self.envelopes.append(list(envelope.rcpt_tos))
        return "250 kept"

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=uwu@acme.example&to=ops@acme.example&mode=insecure"

    def close(self) -> None:
        self._controller.stop()


@contextmanager
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    yield made
    made.close()


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    made = Mailbox()
    yield made
    made.close()


def with_settings(kernel: Kernel, notify: dict[str, Any], **more: Any) -> Kernel:
    """The same home and database under other settings; the caller closes it."""
    import msgspec

    allowed = {"allow_addresses": ("127.0.0.0/8",), **notify}
    settings = Settings(
        home=kernel.settings.home,
        database_url=kernel.settings.database_url,
        notify=msgspec.convert(allowed, NotifySettings),
        **more,
    )
    return Kernel(settings, ())


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
