"""CBOR (RFC 8949) as AWS answers it: bytes to plain data, times (tag 1) as ISO 8601 text and byte strings as base64.

Members that are null or undefined are not there, as botocore leaves them out.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import base64
import struct
from typing import Any

from botocore.parsers import ResponseParserError

from uwu.kernel.aws_fast.times import wire_iso

_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_SIMPLE: dict[int, bool | None] = {20: False, 21: True, 22: None, 23: None}
_OPEN, _BREAK = 31, 0xFF


def parse(body: bytes) -> Any:
    """The first data item of ``body``; ``{}`` of none. Raises ``ResponseParserError``."""
    if not body:
        return {}
    try:
        return _item(body, 0)[0]
    except (IndexError, struct.error, UnicodeDecodeError, RecursionError) as error:
        raise ResponseParserError(f"this is not CBOR: {error}") from None


def _item(data: bytes, at: int) -> tuple[Any, int]:
    """The item that begins at ``at``, and where the next one begins."""
    first = data[at]
    major, info = first >> 5, first & 31
    at += 1
    if major == 7:
        return _simple(data, at, info)
    if info < 24:
        size = info
    elif info in _WIDTHS:
        end = at + _WIDTHS[info]
        size = int.from_bytes(_slice(data, at, end), "big")
        at = end
    elif info == _OPEN and major in {2, 3, 4, 5}:
        size = -1
    else:
        raise ResponseParserError(f"CBOR has no additional information {info} for major type {major}")
    if major == 3 or major == 2:
        raw, at = _string(data, at, size)
        return (raw.decode() if major == 3 else base64.b64encode(raw).decode()), at
    if major == 5:
        return _map(data, at, size)
    if major == 4:
        return _array(data, at, size)
    if major == 0:
        return size, at
    if major == 1:
        return -1 - size, at
    value, at = _item(data, at)
    if size != 1 or isinstance(value, bool) or not isinstance(value, int | float):
        raise ResponseParserError(f"AWS gives no CBOR tag {size} of {type(value).__name__}")
    return wire_iso(value), at


def _slice(data: bytes, at: int, end: int) -> bytes:
    if end > len(data):
        raise IndexError("it ends within an item")
    return data[at:end]


def _string(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if size >= 0:
        return _slice(data, at, at + size), at + size
    chunks: list[bytes] = []
    while data[at] != _BREAK:
        length, at = _item(bytes([data[at] & 31]) + data[at + 1 : at + 9], 0)[0], at + 1 + _WIDTHS.get(data[at] & 31, 0)
        chunks.append(_slice(data, at, at + length))
        at += length
    return b"".join(chunks), at + 1


def _map(data: bytes, at: int, size: int) -> tuple[dict[Any, Any], int]:
    found: dict[Any, Any] = {}
    while size:
        if size < 0 and data[at] == _BREAK:
            return found, at + 1
        first = data[at]
        if 0x60 <= first < 0x78:  # a short text, as most keys are
            end = at + 1 + first - 0x60
            key: Any = data[at + 1 : end].decode()
            at = end
        else:
            key, at = _item(data, at)
        value, at = _item(data, at)
        if value is not None:
            found[key] = value
        size -= size > 0
    return found, at


def _array(data: bytes, at: int, size: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while size:
        if size < 0 and data[at] == _BREAK:
            return found, at + 1
        value, at = _item(data, at)
        found.append(value)
        size -= size > 0
    return found, at


def _simple(data: bytes, at: int, info: int) -> tuple[Any, int]:
    if info in _SIMPLE:
        return _SIMPLE[info], at
    if info in _FLOATS:
        form = _FLOATS[info]
        return form.unpack_from(data, at)[0], at + form.size
    raise ResponseParserError(f"CBOR's simple value {info} is none that AWS gives")
