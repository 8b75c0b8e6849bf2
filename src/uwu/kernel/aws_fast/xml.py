"""Answers of the query, ec2 and rest-xml protocols: from an element tree to plain data, by closures made from shapes.

A structure is compiled when it is first met, and each of its members when that is: a table from the tag as the parser
gives it (``{namespace}name``) to what is done with it. What botocore does is the specification; where it gives what
no service means (a member repeated that is no list), the first is taken.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from botocore.parsers import ResponseParserError

from uwu.kernel.aws_fast.times import wire_iso

Decode = Callable[[Element], Any]
TextDecode = Callable[[str], Any]

ONCE, TEXT, LIST, MAP = range(4)
"""How a child becomes a member: by its decoder, as its text, as one more of a list, as one more of a map."""

_Entry = tuple[int, str, Any]
_LOCATED = frozenset({"header", "headers", "statusCode"})
_UNKNOWN: _Entry = (ONCE, "", None)


def parse(body: bytes) -> Element:
    """The root of an XML body. Raises ``ResponseParserError``."""
    parser = XMLParser(target=TreeBuilder(), encoding="utf-8")  # noqa: S314 - expat bounds entities itself
    try:
        parser.feed(body)
        return parser.close()
    except ParseError as error:
        raise ResponseParserError(f"this is not XML: {error}") from None


def bare(tag: str) -> str:
    """A tag without its namespace."""
    return tag.rpartition("}")[2]


def child(node: Element, name: str) -> Element | None:
    """The first child of ``node`` with the name, in whatever namespace."""
    return next((each for each in node if bare(each.tag) == name), None)


class XmlShapes:
    """The decoders of one service's shapes."""

    def __init__(self, text_decoders: dict[str, TextDecode] | None = None) -> None:
        """``text_decoders``: how strings of certain shapes are read, by the shape's name."""
        self._structures: dict[str, Decode] = {}
        self._text = text_decoders or {}

    def decoder(self, shape: Any) -> Decode:
        """What makes plain data of an element of ``shape``."""
        kind = shape.type_name
        if kind == "structure":
            found = self._structures.get(shape.name)
            if found is None:
                found = self._structures[shape.name] = self._structure(shape)
            return found
        if kind == "list":
            return self._list(shape)
        if kind == "map":
            return self._map(shape)
        read = self.text(shape)
        if read is None:
            return _text
        return lambda node: read(node.text or "")

    def text(self, shape: Any) -> TextDecode | None:
        """What makes plain data of a scalar's text; None for the text itself."""
        if shape.name in self._text and shape.type_name == "string":
            return self._text[shape.name]
        return _SCALARS.get(shape.type_name)

    def _list(self, shape: Any) -> Decode:
        member = shape.member
        if member.type_name == "structure" or self.text(member) is not None or member.type_name in {"list", "map"}:
            decode = self.decoder(member)
            return lambda node: [decode(each) for each in node]
        return lambda node: [each.text or "" for each in node]

    def _map(self, shape: Any) -> Decode:
        pair = self._pair(shape)

        def decode(node: Element) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for each in node:
                key, value = pair(each)
                found[key] = value
            return found

        return decode

    def _pair(self, shape: Any) -> Callable[[Element], tuple[Any, Any]]:
        key_name = shape.key.serialization.get("name") or "key"
        value_name = shape.value.serialization.get("name") or "value"
        key_of, value_of = self.decoder(shape.key), self.decoder(shape.value)

        def decode(node: Element) -> tuple[Any, Any]:
            key = value = None
            for each in node:
                tag = bare(each.tag)
                if tag == key_name:
                    key = key_of(each)
                elif tag == value_name:
                    value = value_of(each)
                else:
                    raise ResponseParserError(f"a map has the unknown tag {tag}")
            return key, value

        return decode

    def _structure(self, shape: Any) -> Decode:
        members: dict[str, tuple[str, Any]] = {}
        attributes: list[tuple[str, str]] = []
        for name, member in shape.members.items():
            traits = member.serialization
            if traits.get("location") in _LOCATED or traits.get("eventheader"):
                continue
            members.setdefault(xml_name(name, member), (name, member))
            if traits.get("xmlAttribute"):
                attributes.append((name, traits["name"]))
        table: dict[str, _Entry] = {}
        room = 4 * len(members) + 64

        def meet(tag: str) -> _Entry:
            found = members.get(bare(tag))
            entry = _UNKNOWN if found is None else self._entry(*found)
            if len(table) < room:
                table[tag] = entry
            return entry

        def decode(node: Element) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for each in node:
                tag = each.tag
                how, name, decoder = table.get(tag) or meet(tag)
                if how == TEXT:
                    if name not in out:
                        out[name] = each.text or ""
                elif how == LIST:
                    if name in out:
                        out[name].append(decoder(each))
                    else:
                        out[name] = [decoder(each)]
                elif how == MAP:
                    key, value = decoder(each)
                    out.setdefault(name, {})[key] = value
                elif decoder is not None and name not in out:
                    out[name] = decoder(each)
            return out

        if attributes:
            return _with_attributes(decode, attributes)
        if shape.is_tagged_union:
            return _union(shape, decode, frozenset(members))
        return decode

    def _entry(self, name: str, member: Any) -> _Entry:
        flattened = member.serialization.get("flattened")
        if member.type_name == "list" and flattened:
            return LIST, name, self.decoder(member.member)
        if member.type_name == "map" and flattened:
            return MAP, name, self._pair(member)
        if member.type_name in {"structure", "list", "map"}:
            return ONCE, name, self.decoder(member)
        read = self.text(member)
        return (TEXT, name, None) if read is None else (ONCE, name, self.decoder(member))


def xml_name(name: str, member: Any) -> str:
    """The tag of a member: a flattened list has that of its own members, where they have one."""
    if member.type_name == "list" and member.serialization.get("flattened"):
        inner = member.member.serialization.get("name")
        if inner is not None:
            return inner
    return member.serialization.get("name", name)


def _with_attributes(decode: Decode, attributes: list[tuple[str, str]]) -> Decode:
    def with_attributes(node: Element) -> dict[str, Any]:
        out = decode(node)
        for name, wanted in attributes:
            prefix = wanted.partition(":")[0] + ":"
            for key, value in node.attrib.items():
                qualified = prefix + bare(key) if key.startswith("{") else key
                if qualified == wanted:
                    out.setdefault(name, value)
        return out

    return with_attributes


def _union(shape: Any, decode: Decode, known: frozenset[str]) -> Decode:
    def union(node: Element) -> dict[str, Any]:
        tags = {bare(each.tag) for each in node} - {"__type"}
        if len(tags) != 1:
            raise ResponseParserError(f"the union {shape.name} must have one member and has {len(tags)}")
        (tag,) = tags
        return decode(node) if tag in known else {"SDK_UNKNOWN_MEMBER": {"name": tag}}

    return union


def _text(node: Element) -> str:
    return node.text or ""


def _boolean(text: str) -> bool:
    return text == "true"


def _blob(text: str) -> str:
    return base64.b64encode(base64.b64decode(text)).decode()


_SCALARS: dict[str, TextDecode] = {
    "boolean": _boolean,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "timestamp": wire_iso,
    "blob": _blob,
}
