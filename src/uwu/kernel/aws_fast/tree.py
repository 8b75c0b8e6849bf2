"""Answers of the json, rest-json and smithy-rpc-v2-cbor protocols: what the wire's own parser gave, as plain data.

Closures made from shapes keep the members that the model knows and read times and blobs; what is already plain (a list
of strings) is given as it is. What botocore does is the specification, with its differences between the protocols:
rest-json reads numbers and booleans, json takes them as they come, CBOR has types of its own.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUnknownLambdaType=false
from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
from botocore.parsers import ResponseParserError
from botocore.utils import ensure_boolean

from uwu.kernel import codec
from uwu.kernel.aws_calls import plain
from uwu.kernel.aws_fast.times import wire_iso

Decode = Callable[[Any], Any]

PROTOCOLS = frozenset({"json", "rest-json", "smithy-rpc-v2-cbor"})

_Entry = tuple[str, Decode | None]
_LOCATED = frozenset({"header", "headers", "statusCode"})


def parse(body: bytes) -> Any:
    """A JSON body; ``{}`` of none, and as botocore gives it, ``{"message": body}`` of what is no JSON."""
    if not body:
        return {}
    try:
        return codec.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):  # NaN, lone surrogates: json takes them
        text = body.decode("utf-8")
        try:
            return json.loads(text)
        except ValueError:
            return {"message": text}


class TreeShapes:
    """The decoders of one service's shapes in one protocol: ``json``, ``rest-json`` or ``smithy-rpc-v2-cbor``."""

    def __init__(self, protocol: str) -> None:
        self._structures: dict[str, Decode] = {}
        self._cbor = protocol == "smithy-rpc-v2-cbor"
        self._scalars = _SCALARS[protocol]

    def decoder(self, shape: Any) -> Decode | None:
        """What makes plain data of a value of ``shape``; None where it is plain already."""
        kind = shape.type_name
        if kind == "structure":
            found = self._structures.get(shape.name)
            if found is None:
                found = self._structures[shape.name] = self._structure(shape)
            return found
        if kind == "list":
            decode = self.decoder(shape.member)
            return _elements if decode is None else _list(decode)
        if kind == "map":
            return _known if self._cbor else self._map(shape)
        return self._scalars.get(kind)

    def _map(self, shape: Any) -> Decode:
        decode = self.decoder(shape.value)
        if decode is None:
            return _known
        return lambda value: {key: decode(each) for key, each in value.items() if each is not None}

    def _structure(self, shape: Any) -> Decode:
        if shape.is_document_type:
            return plain
        members: dict[str, tuple[str, Any]] = {}
        for name, member in shape.members.items():
            if member.serialization.get("location") not in _LOCATED:
                wire = name if self._cbor else member.serialization.get("name", name)
                members[wire] = (name, member)
        table: dict[str, _Entry] = {}

        def meet(key: str) -> _Entry | None:
            found = members.get(key)
            if found is None:
                return None
            entry = table[key] = (found[0], self.decoder(found[1]))
            return entry

        def decode(value: Any) -> Any:
            out: dict[str, Any] = {}
            for key, raw in value.items():
                if raw is not None:
                    entry = table.get(key) or meet(key)
                    if entry is not None:
                        name, decoder = entry
                        out[name] = raw if decoder is None else decoder(raw)
            return out

        if shape.is_tagged_union:
            return _union(shape, decode, frozenset(members), silent=self._cbor)
        return decode


def _elements(value: Any) -> Any:
    """The elements of a list of plain values. Raises ``TypeError`` of what has none."""
    return value if isinstance(value, list) else list(value)


def _list(decode: Decode) -> Decode:
    return lambda value: [None if each is None else decode(each) for each in value]


def _known(value: Any) -> Any:
    return {key: plain(each) for key, each in value.items() if each is not None}


def _union(shape: Any, decode: Decode, known: frozenset[str], *, silent: bool) -> Decode:
    def union(value: Any) -> Any:
        tags = [key for key, each in value.items() if each is not None and key != "__type"]
        if len(tags) != 1:
            raise ResponseParserError(f"the union {shape.name} must have one member and has {len(tags)}")
        if tags[0] in known or silent:
            return decode(value)
        return {"SDK_UNKNOWN_MEMBER": {"name": next(iter(value))}}

    return union


def _blob(value: Any) -> str:
    return base64.b64encode(base64.b64decode(value)).decode()


def _integer(value: Any) -> int:
    return value if type(value) is int else int(value)


def _float(value: Any) -> float:
    return value if type(value) is float else float(value)


def _boolean(value: Any) -> bool:
    return value if type(value) is bool else ensure_boolean(value)


_JSON: dict[str, Decode] = {"blob": _blob, "timestamp": wire_iso}
_SCALARS: dict[str, dict[str, Decode]] = {
    "json": _JSON,
    "rest-json": {
        **_JSON,
        "integer": _integer,
        "long": _integer,
        "float": _float,
        "double": _float,
        "boolean": _boolean,
    },
    "smithy-rpc-v2-cbor": {},
}
