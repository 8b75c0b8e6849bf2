"""HTTP/1.1 over connections that are kept: what a signed AWS call needs, and bounds on all that comes back.

A connection is used by one thread at a time. One that the other side has closed meanwhile is replaced without a sound;
every other failure is one of botocore's exceptions, as they are what callers know.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

import select
import socket
import ssl
import time
from collections import OrderedDict
from threading import Lock

from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)

from uwu.kernel.aws_fast.decode import Response

HEAD_BYTES = 65_536
"""The largest head of an answer."""

IDLE = 256
"""Connections kept in all, whatever their host: one descriptor each."""

PATIENCE = 4
"""An answer must be whole within so many times the read timeout, however steadily it trickles."""

Host = tuple[str, str, int]
"""Scheme, name and port."""

_RECEIVE = 262_144


class AnswerTooLarge(HTTPClientError):
    """The answer is larger than may be read. It is not asked for again."""

    fmt = "The answer is larger than {limit} bytes: {endpoint_url}"


class _Stale(Exception):
    """The other side had closed a kept connection before it was used again."""


class Connections:
    """The connections of a process. Threads share it."""

    def __init__(self, *, connect_timeout: float, read_timeout: float, max_bytes: int, ca_file: str = "") -> None:
        """``max_bytes`` bounds the body of one answer; ``ca_file`` is a PEM bundle, empty for the system's own."""
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._max_bytes = max_bytes
        self._ca_file = ca_file
        self._lock = Lock()
        self._idle: OrderedDict[Host, list[_Connection]] = OrderedDict()
        self._count = 0
        self._tls: ssl.SSLContext | None = None

    def exchange(self, host: Host, data: bytes, *, bodiless: bool = False) -> Response:
        """Sends the request ``data`` and gives its answer; ``bodiless`` for HEAD. Raises ``BotoCoreError``."""
        kept = self._take(host)
        try:
            if kept is not None:
                try:
                    return self._over(kept, data, bodiless)
                except _Stale:
                    kept.close()
            kept = self._open(host)
            return self._over(kept, data, bodiless)
        except _Stale:
            raise ConnectionClosedError(endpoint_url=_url(host)) from None
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=_url(host), error=error) from None
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=_url(host), error=error) from None
        except OSError as error:
            raise ConnectionClosedError(endpoint_url=_url(host), error=error) from None

    def close(self) -> None:
        """Closes what is idle."""
        with self._lock:
            idle, self._count = [each for waiting in self._idle.values() for each in waiting], 0
            self._idle.clear()
        for connection in idle:
            connection.close()

    def _over(self, connection: _Connection, data: bytes, bodiless: bool) -> Response:
        try:
            response, keep = connection.exchange(data, bodiless, self._max_bytes, self._read_timeout * PATIENCE)
        except BaseException:
            connection.close()
            raise
        if keep:
            self._give(connection)
        else:
            connection.close()
        return response

    def _take(self, host: Host) -> _Connection | None:
        while True:
            with self._lock:
                waiting = self._idle.get(host)
                if not waiting:
                    return None
                connection = waiting.pop()
                self._count -= 1
            if connection.alive():
                return connection
            connection.close()

    def _give(self, connection: _Connection) -> None:
        oldest: _Connection | None = None
        with self._lock:
            self._idle.setdefault(connection.host, []).append(connection)
            self._idle.move_to_end(connection.host)
            self._count += 1
            if self._count > IDLE:
                host, waiting = next(each for each in self._idle.items() if each[1])
                oldest = waiting.pop(0)
                self._count -= 1
                if not waiting:
                    del self._idle[host]
        if oldest is not None:
            oldest.close()

    def _open(self, host: Host) -> _Connection:
        scheme, name, port = host
        try:
            plain = socket.create_connection((name, port), timeout=self._connect_timeout)
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=_url(host), error=error) from None
        except OSError as error:
            raise EndpointConnectionError(endpoint_url=_url(host), error=error) from None
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = plain if scheme == "http" else self._context().wrap_socket(plain, server_hostname=name)
            sock.settimeout(self._read_timeout)
        except TimeoutError as error:
            plain.close()
            raise ConnectTimeoutError(endpoint_url=_url(host), error=error) from None
        except BaseException:
            plain.close()
            raise
        return _Connection(host, sock)

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = ssl.create_default_context(cafile=self._ca_file or None)
                self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
            return self._tls


def _url(host: Host) -> str:
    return f"{host[0]}://{host[1]}:{host[2]}"


class _Connection:
    """One connection."""

    __slots__ = ("_poll", "_sock", "host")

    def __init__(self, host: Host, sock: socket.socket) -> None:
        self.host = host
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def alive(self) -> bool:
        """Whether nothing has come since the last answer: an end, or bytes that no one asked for."""
        return not self._poll.poll(0)

    def close(self) -> None:
        self._sock.close()

    def exchange(self, data: bytes, bodiless: bool, max_bytes: int, patience: float) -> tuple[Response, bool]:
        """The answer, and whether the connection may be used again."""
        sock, until = self._sock, time.monotonic() + patience
        try:
            sock.sendall(data)
            got = sock.recv(_RECEIVE)
        except (ConnectionResetError, BrokenPipeError):
            raise _Stale from None
        if not got:
            raise _Stale
        while True:
            end = got.find(b"\r\n\r\n")
            while end < 0:
                if len(got) > HEAD_BYTES:
                    raise self._wrong("the head of the answer has no end")
                got += self._more(until)
                end = got.find(b"\r\n\r\n")
            version, status, headers = self._head(got[:end])
            got = got[end + 4 :]
            if status >= 200:
                break
        reader = _Body(self, got, until, max_bytes)
        told = headers.get("connection", "").lower()
        keep = "close" not in told if version == b"HTTP/1.1" else "keep-alive" in told
        if bodiless or status in {204, 304}:
            body = b""
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            body = reader.chunked()
        elif "content-length" in headers:
            length = headers["content-length"]
            if not length.isdecimal():
                raise self._wrong(f"the length of the answer is no number: {length!r}")
            body = reader.exactly(int(length))
        else:
            body, keep = reader.all(), False
        return Response(status, headers, body), keep and not reader.rest

    def _head(self, head: bytes) -> tuple[bytes, int, dict[str, str]]:
        lines = head.decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise self._wrong("the answer is not HTTP/1.1")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise self._wrong("the answer has a header without a colon")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return version.encode(), int(rest[:3]), headers

    def _more(self, until: float) -> bytes:
        if time.monotonic() > until:
            raise TimeoutError("the answer does not end")
        got = self._sock.recv(_RECEIVE)
        if not got:
            raise ConnectionResetError("the connection was closed within an answer")
        return got

    def receive_into(self, view: memoryview, until: float) -> int:
        if time.monotonic() > until:
            raise TimeoutError("the answer does not end")
        size = self._sock.recv_into(view)
        if not size:
            raise ConnectionResetError("the connection was closed within an answer")
        return size

    def more(self, until: float) -> bytes:
        return self._more(until)

    def _wrong(self, what: str) -> HTTPClientError:
        return HTTPClientError(error=f"{what}: {_url(self.host)}")


class _Body:
    """Reads the body of one answer."""

    def __init__(self, connection: _Connection, got: bytes, until: float, limit: int) -> None:
        self._connection = connection
        self._until = until
        self._limit = limit
        self.rest = got
        """What has come and was not read: after an answer, nothing."""

    def exactly(self, length: int) -> bytes:
        self._bound(length)
        have = len(self.rest)
        if have >= length:
            body, self.rest = self.rest[:length], self.rest[length:]
            return body
        whole = bytearray(length)
        whole[:have] = self.rest
        view = memoryview(whole)
        while have < length:
            have += self._connection.receive_into(view[have:], self._until)
        self.rest = b""
        return bytes(whole)

    def all(self) -> bytes:
        """Up to the end of the connection."""
        chunks, size = [self.rest], len(self.rest)
        self.rest = b""
        while True:
            try:
                got = self._connection.more(self._until)
            except ConnectionResetError:
                return b"".join(chunks)
            size += len(got)
            self._bound(size)
            chunks.append(got)

    def chunked(self) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            told = self._line().split(b";", 1)[0].strip()
            try:
                length = int(told, 16)
            except ValueError:
                length = -1
            if length < 0:
                raise HTTPClientError(error="a chunk of the answer has no length")
            if not length:
                while self._line():
                    pass
                return b"".join(chunks)
            size += length
            self._bound(size)
            chunks.append(self.exactly(length))
            if self._line():
                raise HTTPClientError(error="a chunk of the answer is longer than it says")

    def _line(self) -> bytes:
        while (end := self.rest.find(b"\r\n")) < 0:
            if len(self.rest) > HEAD_BYTES:
                raise HTTPClientError(error="a line of the answer has no end")
            self.rest += self._connection.more(self._until)
        line, self.rest = self.rest[:end], self.rest[end + 2 :]
        return line

    def _bound(self, size: int) -> None:
        if size > self._limit:
            raise AnswerTooLarge(limit=self._limit, endpoint_url=_url(self._connection.host), error="too large")
