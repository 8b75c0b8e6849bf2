"""Calls of AWS operations by the API's own names, with answers as plain data: what every observer speaks through.

An answer is JSON: times are ISO 8601 in UTC as ``codec.iso`` writes them, blobs are base64 text, members that AWS did
not send are not there. Whatever client stands behind it, the same bytes give the same answer.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from botocore import xform_name

from uwu.kernel import codec

Answer = dict[str, Any]


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

    def __init__(self, client: Any) -> None:
        self._client = client

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Answer:
        return _answer(getattr(self._client, xform_name(operation))(**arguments))

    def pages(self, operation: str, arguments: Mapping[str, Any]) -> Iterator[Answer]:
        name = xform_name(operation)
        if not self._client.can_paginate(name):
            yield self.call(operation, arguments)
            return
        for page in self._client.get_paginator(name).paginate(**arguments):
            yield _answer(page)


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
