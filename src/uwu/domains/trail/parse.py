"""CloudTrail objects -> records. One bad record costs only itself; of a cut object the whole records are kept.

An object is JSON, gzip-compressed or plain, of the shape ``{"Records": [...]}`` (CloudTrail User Guide, "CloudTrail log
file examples" and "CloudTrail record contents").
"""

from __future__ import annotations

import json
import re
import zlib
from datetime import datetime
from typing import Any

import msgspec

from uwu.kernel import codec
from uwu.kernel.errors import Problem

MAX_INFLATED_BYTES = 512 * 1024 * 1024
"""An object may not inflate to more: CloudTrail's own are a few dozen megabytes at most."""

MAX_REJECTS = 1_000
"""Malformed records after which the rest of an object is given up: it is then another kind of file."""

_RECORDS = re.compile(rb'\s*\{\s*"Records"\s*:\s*\[')
_NEXT = re.compile(r"\s*,?\s*")
_decoder = json.JSONDecoder()


class Record(msgspec.Struct, frozen=True):
    """A record that is whole: ``data`` as it was written, at ``index`` of its object."""

    index: int
    at: datetime
    data: dict[str, Any]


class Reject(msgspec.Struct, frozen=True):
    """A record that cannot be taken, and why."""

    index: int
    code: str
    message: str


class Parsed(msgspec.Struct, frozen=True):
    """What an object holds."""

    records: list[Record]
    rejects: list[Reject]
    problems: list[Problem]
    """What is wrong with the object as a whole; its rejects are told apart."""


def parse(name: str, data: bytes) -> Parsed:
    """The records of the object ``name``. Never raises for what the object holds."""
    problems: list[Problem] = []
    text = inflate(name, data, problems)
    return Parsed([], [], problems) if text is None else parse_text(name, text, problems)


def parse_text(name: str, text: bytes, problems: list[Problem]) -> Parsed:
    """The records of the object's JSON ``text``; ``problems`` are those that its compression had."""
    try:
        whole = codec.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _salvage(name, text, str(error), problems)
    if not isinstance(whole, dict) or not isinstance(whole.get("Records"), list):
        shape = "an object without a Records list" if isinstance(whole, dict) else f"a {type(whole).__name__}"
        problems.append(
            Problem(
                "object-shape",
                f"this is {shape}, not CloudTrail's {{'Records': [...]}}",
                name,
                "give the objects under AWSLogs/.../CloudTrail/; digests and other logs are not taken",
            )
        )
        return Parsed([], [], problems)
    records: list[Record] = []
    rejects: list[Reject] = []
    for index, each in enumerate(whole["Records"]):
        _take(index, each, records, rejects)
    return Parsed(records, rejects, problems)


def inflate(name: str, data: bytes, problems: list[Problem]) -> bytes | None:
    """The object's JSON text; as much of it as there is where the compression is cut or broken."""
    if not data.strip():
        problems.append(Problem("object-empty", "the object is empty", name))
        return None
    if data[:2] != b"\x1f\x8b":
        return data
    parts: list[bytes] = []
    left, rest, at = MAX_INFLATED_BYTES, data, 0
    while rest[:2] == b"\x1f\x8b":
        stream = zlib.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(rest, left))
        except zlib.error as error:
            # where the fault lies is not known: what was inflated may be wrong without a sign of it
            problems.append(
                Problem(
                    "gzip-broken",
                    f"the compression is broken, so nothing of it can be trusted: {error}",
                    f"{name} byte {at}",
                    "fetch the object again: it was changed on its way",
                )
            )
            return None
        left -= len(parts[-1])
        if stream.unconsumed_tail:
            problems.append(
                Problem("object-too-large", f"it inflates to more than {MAX_INFLATED_BYTES >> 20} MiB", name)
            )
            return None
        if not stream.eof:
            problems.append(
                Problem(
                    "gzip-truncated", "the compressed object ends too early", f"{name} byte {len(data)}", _FETCH_AGAIN
                )
            )
            return b"".join(parts)
        at += len(rest) - len(stream.unused_data)
        rest = stream.unused_data
    if rest.strip(b"\0"):
        problems.append(Problem("gzip-trailing", "bytes follow the compressed object", f"{name} byte {at}"))
    return b"".join(parts)


_FETCH_AGAIN = "fetch the object again: it was cut on its way; its whole records were kept"


def _salvage(name: str, data: bytes, why: str, problems: list[Problem]) -> Parsed:
    """The records that are whole in a text that is no JSON as a whole."""
    head = _RECORDS.match(data)
    if head is None:
        problems.append(Problem("object-json", f"this is not JSON: {why}", f"{name}:1"))
        return Parsed([], [], problems)
    text = data[head.end() :].decode("utf-8", "replace")
    records: list[Record] = []
    rejects: list[Reject] = []
    index = at = 0
    ended = False
    while not ended:
        at = _NEXT.match(text, at).end()  # type: ignore[union-attr]  # the pattern matches the empty text too
        if at >= len(text):
            break
        if text[at] == "]":
            ended = True
            break
        try:
            each, end = _decoder.raw_decode(text, at)
            _take(index, each, records, rejects)
        except (json.JSONDecodeError, RecursionError) as error:
            end = _skip(text, at)
            if end <= at or len(rejects) >= MAX_REJECTS:
                break
            message = error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deep"
            rejects.append(
                Reject(index, "record-json", f"the record is not JSON: {message} ({_place(text, at, head)})")
            )
        index += 1
        at = end
    if not ended:
        problems.append(
            Problem(
                "object-truncated",
                f"the object ends within record {index}; the {len(records)} whole records before it are kept",
                f"{name} {_place(text, at, head)}",
                "fetch the object again: it was cut on its way",
            )
        )
    elif not rejects:
        problems.append(Problem("object-json", f"this is not JSON after its records: {why}", name))
    return Parsed(records, rejects, problems)


def _place(text: str, at: int, head: re.Match[bytes]) -> str:
    line = 1 + head.string[: head.end()].count(b"\n") + text.count("\n", 0, at)
    return f"line {line} byte {head.end() + len(text[:at].encode('utf-8', 'replace'))}"


def _skip(text: str, at: int) -> int:
    """The end of the value that begins at ``at``, by its brackets alone; -1 where it does not end."""
    depth = 0
    in_text = escaped = False
    for i in range(at, len(text)):
        c = text[i]
        if in_text:
            if escaped:
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == '"':
                in_text = False
        elif c == '"':
            in_text = True
        elif c in "{[":
            depth += 1
        elif c in "}]":
            depth -= 1
            if depth == 0:
                return i + 1
            if depth < 0:
                return i
        elif c == "," and depth == 0:
            return i
    return -1


def _take(index: int, each: Any, records: list[Record], rejects: list[Reject]) -> None:
    if not isinstance(each, dict):
        rejects.append(Reject(index, "record-shape", f"the record is a {type(each).__name__}, not an object"))
        return
    for field in ("eventID", "eventTime", "eventName", "eventSource"):
        if not isinstance(each.get(field), str) or not each[field]:
            rejects.append(Reject(index, "record-field", f"the record has no {field}"))
            return
    if not isinstance(each.get("userIdentity"), dict | None):
        rejects.append(Reject(index, "record-field", "the record's userIdentity is not an object"))
        return
    try:
        at = codec.parse_time(each["eventTime"])
    except ValueError as error:
        rejects.append(Reject(index, "record-time", f"the record's eventTime is no UTC time: {error}"))
        return
    records.append(Record(index, at, each))
