"""How one request reaches the API, and how its errors come back as what they are."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

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

TIMEOUT_SECONDS = 120
"""How long one answer, or the next line of a stream, may take."""

_BY_STATUS: dict[int, type[UwuError]] = {
    400: BadInput,
    401: Denied,
    403: Denied,
    404: NotFound,
    409: Conflict,
    429: Unavailable,
    503: Unavailable,
    507: StorageFull,
}


class Transport(Protocol):
    """Carries one request to the API."""

    def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, Iterator[bytes]]:
        """(status, content type, pieces of the body as they come)."""
        ...

    def working(self) -> contextlib.AbstractContextManager[Any]:
        """While it lasts, jobs that are asked for are run by someone."""
        ...

    def close(self) -> None: ...


class Remote:
    """Over HTTP to a running server."""

    def __init__(self, url: str, token: str = "", certificate: str = "", *, timeout: float = TIMEOUT_SECONDS) -> None:
        """``certificate`` is the PEM file of the home's own server, which is trusted by itself, whatever its name.

        ``timeout`` is in seconds, for each answer. Raises ``Misconfigured`` for what is no address, and where a token
        would go out in plain text.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Misconfigured(f"{url!r} is no address of a server", code="url-invalid", hint="http://127.0.0.1:8420")
        if token and parts.scheme == "http" and not _is_this_machine(parts.hostname):
            raise Misconfigured(
                f"a token is not sent to {parts.hostname} in plain text",
                code="url-insecure",
                hint="use its https address",
            )
        self._url = url
        self._parts = parts
        self._certificate = certificate
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, Iterator[bytes]]:
        connection = connection_to(self._parts, self._certificate, self._timeout)
        given = {**self._headers, **(headers or {})}
        if body is not None:
            given["Content-Type"] = "application/json"
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body, given)
            response = connection.getresponse()
        except http.client.HTTPException:
            connection.close()
            raise foreign(f"what answers at {self._url} speaks no HTTP") from None
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


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def connection_to(parts: SplitResult, certificate: str, seconds: float) -> http.client.HTTPConnection:
    """A connection that is not open yet; ``certificate`` as ``Remote`` takes it. Raises ``OSError`` without it."""
    if parts.scheme != "https":
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    import ssl

    context = ssl.create_default_context(cafile=certificate or None)
    if certificate:  # this very certificate, on a connection to this machine: its names are those of the outside
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=seconds, context=context)


def foreign(what: str) -> Unavailable:
    """That what answers is no uwu server."""
    return Unavailable(what, code="server-foreign", hint="is UWU_URL the address of an uwu server of this version?")


def decoded(data: bytes, kind: str) -> Any:
    """The JSON value of an answer. Raises ``Unavailable`` where it is none."""
    try:
        return codec.decode(data)
    except ValueError:  # msgspec's errors are ValueErrors; so is what is no UTF-8
        raise foreign(f"the server answered with {kind or 'something'} that is no JSON") from None


def error_of(status: int, kind: str, data: bytes) -> UwuError:
    """The error that an answer tells."""
    if "problem+json" not in kind:
        return foreign(f"the server answered {status} without saying why")
    told = decoded(data, kind)
    make = _BY_STATUS.get(status, BadInput if status < 500 else UwuError)
    if status == Misconfigured.status and told.get("code") != UwuError.code:
        make = Misconfigured
    return make(
        told.get("title", ""), code=told.get("code", ""), place=told.get("place", ""), hint=told.get("hint", "")
    )


def retry_after(kind: str, data: bytes) -> float:
    """In how many seconds the API asks to come back; 0 where it does not say."""
    told = decoded(data, kind) if "problem+json" in kind else {}
    return float(told.get("retry_after") or 0)
