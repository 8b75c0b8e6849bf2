"""Calls of AWS operations by the API's own names, with answers as plain data: what every observer speaks through.

An answer is JSON: times are ISO 8601 in UTC as ``codec.iso`` writes them, blobs are base64 text, members that AWS did
not send are not there. Whatever client stands behind it, the same bytes give the same answer.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from threading import Lock
from typing import Any, Protocol

import msgspec
from botocore import xform_name
from botocore.exceptions import ClientError

from uwu.kernel import aws_errors, codec

Answer = dict[str, Any]


class Meter(msgspec.Struct, kw_only=True):
    """What calls have cost so far. One for each thing that is accounted for; threads may share it."""

    calls: int = 0
    """Answers that were asked for: each page is one."""
    attempts: int = 0
    """Requests that were sent: as many as calls where nothing had to be tried again."""
    throttled: int = 0
    """Answers that told to slow down."""
    bytes: int = 0
    """Bytes of the answers' bodies, before they were decoded."""
    seconds: float = 0.0
    """Time that calls took, with waits and retries."""

    def add(self, *, attempts: int, throttled: int, size: int, seconds: float) -> None:
        """Counts one more call."""
        with _metering:
            self.calls += 1
            self.attempts += attempts
            self.throttled += throttled
            self.bytes += size
            self.seconds += seconds


_metering = Lock()


class Caller(Protocol):
    """The operations of one service in one account and region. Threads may share it."""

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Answer:
        """The answer of ``operation`` (``DescribeInstances``), without its ResponseMetadata.

        Raises ``botocore.exceptions.ClientError`` for what AWS refuses, ``BotoCoreError`` for what did not arrive.
        """
        ...

    def pages(self, operation: str, arguments: Mapping[str, Any]) -> Iterator[Answer]:
        """Every page of ``operation``; the one answer of an operation that has no pages. Raises as ``call``."""
        ...


class BotocoreCaller:
    """Through botocore's own client: the oracle, and the way for what nothing faster speaks."""

    def __init__(self, client: Any, meter: Meter | None = None) -> None:
        self._client = client
        self._meter = meter

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Answer:
        return _answer(self._raw(getattr(self._client, xform_name(operation)), arguments))

    def pages(self, operation: str, arguments: Mapping[str, Any]) -> Iterator[Answer]:
        name = xform_name(operation)
        if not self._client.can_paginate(name):
            yield self.call(operation, arguments)
            return
        paginator = self._client.get_paginator(name)
        ask = paginator._method

        def metered(**page: Any) -> Any:
            return self._raw(ask, page)

        paginator._method = metered
        for page in paginator.paginate(**arguments):
            yield _answer(page)

    def _raw(self, method: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        if self._meter is None:
            return method(**arguments)
        began = time.monotonic()
        response: dict[str, Any] = {}
        try:
            response = method(**arguments)
        except ClientError as error:
            response = {**error.response}
            raise
        finally:
            told: dict[str, Any] = response.get("ResponseMetadata", {})
            retries = int(told.get("RetryAttempts", 0))
            refusal: dict[str, Any] = response.get("Error", {})
            headers: dict[str, str] = told.get("HTTPHeaders", {})
            refused = aws_errors.throttles(str(refusal.get("Code", "")))
            size = headers.get("content-length", "")
            self._meter.add(
                attempts=retries + 1,
                throttled=retries + 1 if refused else 0,
                size=int(size) if size.isdigit() else 0,
                seconds=time.monotonic() - began,
            )
        return response


def _answer(raw: Mapping[str, Any]) -> Answer:
    return {name: plain(value) for name, value in raw.items() if name != "ResponseMetadata"}


def plain(value: Any) -> Any:
    """A value as botocore gives it, as plain JSON."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return codec.iso(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value
