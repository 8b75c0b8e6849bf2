"""One JSON codec, one clock, one id scheme, one digest."""

from __future__ import annotations

import hashlib
import os
import time
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder()


def encode(value: Any) -> bytes:
    """``value`` as compact JSON bytes (UTF-8)."""
    return _encoder.encode(value)


def encode_into(value: Any, buffer: bytearray) -> None:
    """As ``encode``, with ``buffer`` becoming those bytes: for many values one after another, twice as fast."""
    _encoder.encode_into(value, buffer)


def decode(data: bytes | str) -> Any:
    """JSON to plain Python values. Raises ``msgspec.DecodeError``."""
    return _decoder.decode(data)


def canonical(value: Any) -> bytes:
    """``value`` as JSON bytes that are the same for equal values: keys sorted, no spaces."""
    return _canonical.encode(value)


def digest(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical(value)).hexdigest()


def builtins(value: Any) -> Any:
    """Structs, times and enums as plain JSON values."""
    return msgspec.to_builtins(value)


def now() -> datetime:
    """The current time, UTC and timezone-aware, in microseconds."""
    return datetime.now(UTC)


def parse_time(text: str) -> datetime:
    """An ISO 8601 time as UTC. Raises ``ValueError`` where it is naive or malformed."""
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError(f"{text!r} has no timezone; write it with Z or an offset")
    return value.astimezone(UTC)


def iso(value: datetime) -> str:
    """``value`` as ``2025-03-10T14:02:11Z``, with microseconds only where there are any."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """A unique id that sorts by its time: ``prefix_`` and 26 characters (a lower-case ULID)."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return f"{prefix}_" + "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
