"""A typed client of uwu's API::

    from uwu.client import Client

    client = Client("https://uwu.example", token)
    for finding in client.each_findings(severity="critical"):
        print(finding.title, finding.owner)

Every operation of the API is a method of the same name; answers are the kernel's own nouns. The command line speaks
through it too, over the network or in process.
"""

from __future__ import annotations

import importlib
import os
import random
import time
from collections.abc import Iterator
from functools import cache
from typing import Any, Self
from urllib.parse import quote, urlencode

import msgspec

from uwu.client.operations import Operations
from uwu.client.transport import TIMEOUT_SECONDS, Remote, Transport, decoded, error_of, foreign, retry_after
from uwu.kernel import codec
from uwu.kernel.errors import Unavailable, UwuError

__all__ = ["API", "Client", "Remote", "Transport"]

API = "/api/v1"

RETRIES = 3
RETRY_SECONDS = 20.0
"""The budget of all waits of one call: what takes longer is told instead."""
FIRST_WAIT_SECONDS = 0.1


class Client(Operations):
    """Speaks with one server, or with whatever a transport reaches. Threads may share it."""

    def __init__(
        self,
        to: str | Transport,
        token: str = "",
        *,
        timeout: float = TIMEOUT_SECONDS,
        retries: int | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """``to`` is the address of a server, or a transport of its own.

        ``timeout`` is in seconds, for each answer. A call that meets 429, 503 or a broken connection is made again up
        to ``retries`` times within ``retry_seconds``; a write is sent with an idempotency key then, so that it is done
        once. Over a transport of one's own the default is to try once. Raises ``Misconfigured`` for what is no address.
        """
        self.transport: Transport = Remote(to, token, timeout=timeout) if isinstance(to, str) else to
        self._retries = (RETRIES if isinstance(to, str) else 0) if retries is None else retries
        self._retry_seconds = retry_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the typed way

    def call(
        self,
        method: str,
        path: str,
        gives: str,
        *,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        """The answer of one operation as the type that ``gives`` names: ``list[module:Name]``; empty for plain JSON."""
        given = None if body is None else codec.encode({k: v for k, v in body.items() if v is not None})
        kind, data = self._asked(method, path + self.query(query or {}), given)
        if not data:
            return None
        if not gives:
            return decoded(data, kind)
        try:
            return _decoder(gives).decode(data)
        except msgspec.ValidationError as error:
            raise foreign(f"the server's answer is not of this version: {error}") from None
        except ValueError:
            raise foreign(f"the server answered with {kind or 'something'} that is no JSON") from None

    @staticmethod
    def query(given: dict[str, Any]) -> str:
        """``given`` as the query of an address; what is None is left out."""
        kept = {k: str(v).lower() if isinstance(v, bool) else v for k, v in given.items() if v is not None}
        return f"?{urlencode(kept, doseq=True)}" if kept else ""

    # ---- by path

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON answer of GET ``/api/v1<path>``; parameters that are None are left out."""
        return self._json("GET", path + self.query(parameters), None)

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON answer of POST ``/api/v1<path>``."""
        return self._json("POST", path, codec.encode(body if body is not None else {}))

    def put(self, path: str, body: bytes, *, sha256: str = "") -> Any:
        """The JSON answer of PUT ``path``, which lies beside the API; what it is sent twice it takes once."""
        status, kind, pieces = self.transport.send("PUT", path, body, {"X-Uwu-SHA256": sha256} if sha256 else {})
        data = b"".join(pieces)
        if status >= 400:
            raise error_of(status, kind, data)
        return decoded(data, kind)

    def lines(self, path: str) -> Iterator[Any]:
        """The JSON values of a stream, one a line, as they come."""
        status, kind, pieces = self.transport.send("GET", f"{API}{path}", None)
        if status >= 400:
            raise error_of(status, kind, b"".join(pieces))
        rest = b""
        for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                if line:
                    yield decoded(line, kind)

    def follow(self, job: str) -> Iterator[dict[str, Any]]:
        """The updates of a job until it has finished."""
        yield from self.lines(f"/jobs/{quote(job)}/events")

    def close(self) -> None:
        """Gives back what the transport holds."""
        self.transport.close()

    def _json(self, method: str, path: str, body: bytes | None) -> Any:
        kind, data = self._asked(method, path, body)
        return decoded(data, kind) if data else None

    def _asked(self, method: str, path: str, body: bytes | None) -> tuple[str, bytes]:
        """Content type and body of the answer, tried again where that may help. Raises what the API tells."""
        headers = {"Idempotency-Key": os.urandom(16).hex()} if method != "GET" and self._retries else {}
        until = time.monotonic() + self._retry_seconds
        for attempt in range(self._retries + 1):
            wait = FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311 - it spreads, it hides nothing
            try:
                status, kind, pieces = self.transport.send(method, f"{API}{path}", body, headers)
                data = b"".join(pieces)
            except Unavailable as error:
                problem: UwuError = error
                if error.problem.code != "server-unavailable":
                    raise
            else:
                if status < 400:
                    return kind, data
                problem = error_of(status, kind, data)
                if status not in (429, 503) and problem.problem.code != "idempotency-at-work":
                    raise problem
                wait = max(wait, retry_after(kind, data))
            if attempt == self._retries or time.monotonic() + wait > until:
                raise problem
            time.sleep(wait)
        raise AssertionError("unreachable: the last attempt gives or raises")


@cache
def _decoder(gives: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_type(gives))


def _type(name: str) -> Any:
    """The type that ``name`` names; its module is imported now, so that a client that only writes starts quickly."""
    if name.endswith("?"):
        return _type(name[:-1]) | None
    if name.startswith("list["):
        return list[_type(name[5:-1])]
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
