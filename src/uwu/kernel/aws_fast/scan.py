"""The same XML without a tree: closures over the pieces between ``<`` and ``<``, for the plain XML that AWS writes.

A body is split once; each structure, list and map takes its pieces from the one iterator until its own end tag. That
is about twice as fast as a tree that is built and walked. Whatever is not plain (CDATA, comments, prefixes, carriage
returns, text where elements are meant) raises, and ``xml`` reads the same body by a real parser: ``Odd`` is never an
error of the answer.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from uwu.kernel.aws_fast.xml import XmlShapes, xml_name

Pieces = Iterator[str]
Decode = Callable[[Pieces], Any]

TEXT, SCALAR, NESTED, EMPTY, LIST, LIST_TEXT, MAP, SKIP, NOTHING = range(9)
"""How an element becomes a member: its text; its text, read; by its pieces; a value that is the same each time; one
more of a list, by its pieces or its text; one more of a map; not at all, with its pieces or without any."""

_Entry = tuple[int, str, Any]
_LOCATED = frozenset({"header", "headers", "statusCode"})
_ENTITY = re.compile(r"&(#[0-9]+|#x[0-9a-fA-F]+|[a-z]+);?")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_ATTRIBUTE = re.compile(r"""([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


class Odd(Exception):
    """This is XML that only a real parser reads."""


def pieces(body: bytes) -> Pieces:
    """The pieces of a body after the tag of its root. Raises ``Odd``."""
    if b"<!" in body or b"\r" in body:
        raise Odd
    parts = body.decode("utf-8").split("<")
    if len(parts) < 3 or parts[0].strip("\ufeff \n\t"):
        raise Odd
    if b"&" in body:
        parts = [_unescape(part) if "&" in part else part for part in parts]
    found = iter(parts)
    next(found)
    root = next(found)
    if root.startswith("?xml"):
        root = next(found)
    head = root.partition(">")[0]
    if head.endswith("/") or ":" in head.split(None, 1)[0] or head.startswith("?"):
        raise Odd
    return found


def enter(found: Pieces, name: str) -> None:
    """Goes on to behind the start tag of the child ``name``. Raises ``Odd`` where there is none."""
    for part in found:
        if part[0] == "/":
            break
        head = part.partition(">")[0]
        if head.split(None, 1)[0] == name:
            return
        if head[-1] != "/":
            _skip(found)
    raise Odd


class Scanners:
    """The decoders of one service's shapes, over pieces."""

    def __init__(self, shapes: XmlShapes) -> None:
        self._shapes = shapes
        self._structures: dict[str, Decode] = {}

    def decoder(self, shape: Any) -> Decode:
        """What makes plain data of the pieces of a structure, list or map, up to its end tag."""
        if shape.type_name == "structure":
            found = self._structures.get(shape.name)
            if found is None:
                found = self._structures[shape.name] = self._structure(shape)
            return found
        if shape.type_name == "list":
            return self._list(shape)
        return self._map(shape)

    def _list(self, shape: Any) -> Decode:
        member = shape.member
        if _nested(member):
            inner, empty = self.decoder(member), _empty(member)
            attributed = member.type_name == "structure" and _attributes(member)

            def nested(found: Pieces) -> list[Any]:
                out: list[Any] = []
                for part in found:
                    if part[0] == "/":
                        return out
                    if attributed:
                        raise Odd
                    if "/>" in part and (head := part.partition(">")[0])[-1] == "/":
                        _whole(head)
                        out.append(empty())
                    else:
                        out.append(inner(found))
                raise Odd

            return nested
        read = self._shapes.text(member) or str

        def scalars(found: Pieces) -> list[Any]:
            out: list[Any] = []
            for part in found:
                if part[0] == "/":
                    return out
                out.append(read(_leaf(part, found)))
            raise Odd

        return scalars

    def _map(self, shape: Any) -> Decode:
        pair = self._pair(shape)

        def decode(found: Pieces) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for part in found:
                if part[0] == "/":
                    return out
                if part.partition(">")[0][-1] == "/":
                    raise Odd
                key, value = pair(found)
                out[key] = value
            raise Odd

        return decode

    def _pair(self, shape: Any) -> Callable[[Pieces], tuple[Any, Any]]:
        key_name = shape.key.serialization.get("name") or "key"
        value_name = shape.value.serialization.get("name") or "value"
        read_key = self._shapes.text(shape.key) or str
        inner = self.decoder(shape.value) if _nested(shape.value) else None
        read = None if inner is not None else self._shapes.text(shape.value) or str
        empty = _empty(shape.value) if inner is not None else None

        def decode(found: Pieces) -> tuple[Any, Any]:
            key = value = None
            for part in found:
                if part[0] == "/":
                    return key, value
                head = part.partition(">")[0]
                if head == key_name:
                    key = read_key(_leaf(part, found))
                elif head == value_name:
                    value = inner(found) if inner is not None else read(_leaf(part, found))  # pyright: ignore[reportOptionalCall]
                elif head == value_name + "/":
                    value = empty() if empty is not None else read("")  # pyright: ignore[reportOptionalCall]
                else:
                    raise Odd
            raise Odd

        return decode

    def _structure(self, shape: Any) -> Decode:
        if shape.is_tagged_union:
            return _odd
        members: dict[str, tuple[str, Any]] = {}
        for name, member in shape.members.items():
            if member.serialization.get("location") in _LOCATED or member.serialization.get("eventheader"):
                continue
            members.setdefault(xml_name(name, member), (name, member))
        table: dict[str, _Entry] = {}
        room = 4 * len(members) + 64

        def meet(head: str) -> _Entry:
            _whole(head)
            tag = head.rstrip("/").split(None, 1)[0]
            if ":" in tag:
                raise Odd
            found = members.get(tag)
            if found is None:
                entry: _Entry = (NOTHING if head[-1] == "/" else SKIP, "", None)
            else:
                entry = self._entry(found[0], found[1], head)
            if len(table) < room:
                table[head] = entry
            return entry

        def decode(found: Pieces) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for part in found:
                if part[0] == "/":
                    return out
                head, _, text = part.partition(">")
                how, name, decoder = table.get(head) or meet(head)
                if how == TEXT:
                    out[name] = text
                    if next(found)[0] != "/":
                        raise Odd
                elif how == SCALAR:
                    out[name] = decoder(text)
                    if next(found)[0] != "/":
                        raise Odd
                elif how == NESTED:
                    if name in out:
                        raise Odd
                    out[name] = decoder(found)
                elif how == EMPTY:
                    if name in out:
                        raise Odd
                    out[name] = decoder()
                elif how == LIST:
                    out.setdefault(name, []).append(decoder(found))
                elif how == LIST_TEXT:
                    out.setdefault(name, []).append(decoder(_leaf(part, found)))
                elif how == MAP:
                    key, value = decoder(found)
                    out.setdefault(name, {})[key] = value
                elif how == SKIP:
                    _skip(found)
            raise Odd

        return decode

    def _entry(self, name: str, member: Any, head: str) -> _Entry:
        closed, kind, flattened = head[-1] == "/", member.type_name, member.serialization.get("flattened")
        if kind == "list" and flattened:
            inner = member.member
            if not _nested(inner):
                return LIST_TEXT, name, self._shapes.text(inner) or str
            if closed:
                if inner.type_name == "structure" and _attributes(inner):
                    raise Odd
                empty = _empty(inner)
                return LIST, name, _constant(empty)
            return LIST, name, self._with_attributes(inner, head)
        if kind == "map" and flattened:
            if closed:
                raise Odd
            return MAP, name, self._pair(member)
        if _nested(member):
            if closed:
                if kind == "structure" and _attributes(member):
                    raise Odd
                return EMPTY, name, _empty(member)
            return NESTED, name, self._with_attributes(member, head)
        read = self._shapes.text(member)
        if closed:
            return EMPTY, name, (lambda: read("")) if read is not None else str
        return (TEXT, name, None) if read is None else (SCALAR, name, read)

    def _with_attributes(self, shape: Any, head: str) -> Decode:
        """The decoder of ``shape`` where its start tag is ``head``."""
        inner = self.decoder(shape)
        wanted = _attributes(shape) if shape.type_name == "structure" else {}
        told = {key: value for key, *values in _ATTRIBUTE.findall(head) for value in ["".join(values)]}
        given = {member: told[attribute] for member, attribute in wanted.items() if attribute in told}
        return inner if not given else (lambda found: {**given, **inner(found)})


def _nested(shape: Any) -> bool:
    return shape.type_name in {"structure", "list", "map"}


def _empty(shape: Any) -> Callable[[], Any]:
    return list if shape.type_name == "list" else dict


def _attributes(shape: Any) -> dict[str, str]:
    """Members that are attributes: member -> attribute."""
    return {
        name: member.serialization["name"]
        for name, member in shape.members.items()
        if member.serialization.get("xmlAttribute")
    }


def _leaf(part: str, found: Pieces) -> str:
    """The text of an element that begins with ``part``, behind its end."""
    head, _, text = part.partition(">")
    if "=" in head:
        _whole(head)
    if head[-1] == "/":
        return ""
    if next(found)[0] != "/":
        raise Odd
    return text


def _skip(found: Pieces) -> None:
    """Goes on to behind the end of the element whose start tag was the last piece."""
    depth = 1
    for part in found:
        if part[0] == "/":
            depth -= 1
            if not depth:
                return
        elif part.partition(">")[0][-1] != "/":
            depth += 1
    raise Odd


def _constant(make: Callable[[], Any]) -> Decode:
    def constant(_found: Pieces) -> Any:
        return make()

    return constant


def _odd(_found: Pieces) -> Any:
    raise Odd


def _unescape(part: str) -> str:
    head, bracket, text = part.partition(">")
    if "&" in head:
        raise Odd
    return f"{head}{bracket}{_ENTITY.sub(_entity, text)}"


def _whole(head: str) -> None:
    """Raises ``Odd`` where the start tag goes on: a ``>`` within the value of an attribute."""
    if head.count('"') % 2 or head.count("'") % 2:
        raise Odd


def _entity(match: re.Match[str]) -> str:
    name = match[1]
    if not match[0].endswith(";"):
        raise Odd
    if name.startswith("#"):
        return chr(int(f"0{name[1:]}", 0) if name[1] == "x" else int(name[1:]))
    if name not in _NAMED:
        raise Odd
    return _NAMED[name]


FALLS_BACK = (Odd, IndexError, KeyError, ValueError, TypeError, StopIteration, OverflowError)
"""What a scan raises where it cannot read: the parser then tells what is so."""
