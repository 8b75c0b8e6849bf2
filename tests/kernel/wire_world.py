"""Random services: shapes, values of them, and the bytes by which AWS would answer such a value, in every protocol.

The bytes are made here, from the protocols' definitions, so neither botocore nor our decoders have a hand in them.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from xml.sax.saxutils import escape

from hypothesis import strategies as st

XML_PROTOCOLS = ("query", "ec2", "rest-xml")
PROTOCOLS = (*XML_PROTOCOLS, "json", "rest-json", "smithy-rpc-v2-cbor")
OPERATION = "ListThings"

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"), max_size=12)
TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1)).map(  # noqa: DTZ001 - bounds are naive by contract
    lambda at: at.replace(tzinfo=UTC, microsecond=at.microsecond // 1000 * 1000)
)
SCALARS = ("string", "integer", "long", "boolean", "double", "timestamp", "blob")


@dataclass
class World:
    """A service of one operation, and a value of its output."""

    protocol: str
    shapes: dict[str, Any] = field(default_factory=dict)
    wrapper: str = ""

    def model(self) -> dict[str, Any]:
        """As botocore's service-2.json."""
        output = {"shape": "Output", **({"resultWrapper": self.wrapper} if self.wrapper else {})}
        return {
            "version": "2.0",
            "metadata": {
                "apiVersion": "2020-01-01",
                "endpointPrefix": "things",
                "protocol": self.protocol,
                "protocols": [self.protocol],
                "serviceId": "Things",
                "signatureVersion": "v4",
                "uid": "things-2020-01-01",
            },
            "operations": {
                OPERATION: {"name": OPERATION, "http": {"method": "POST", "requestUri": "/"}, "output": output}
            },
            "shapes": self.shapes,
        }


@dataclass
class Style:
    """How a body is written: all of these mean the same."""

    pretty: bool = False
    """Line breaks between elements."""
    short: bool = True
    """``<a/>`` for what is empty."""
    comments: bool = False
    namespace: bool = True
    nulls: bool = False
    """Members that are null."""
    unknown: bool = False
    """Members that the model does not know."""
    open_ended: bool = False
    """CBOR of indefinite length."""


STYLES = st.builds(
    Style,
    pretty=st.booleans(),
    short=st.booleans(),
    comments=st.sampled_from([False, False, False, True]),
    namespace=st.booleans(),
    nulls=st.booleans(),
    unknown=st.booleans(),
    open_ended=st.booleans(),
)


@st.composite
def worlds(draw: st.DrawFn, protocol: str) -> tuple[World, Any]:
    """A service, and a value of its output."""
    world = World(protocol)
    members: dict[str, Any] = {}
    for index in range(draw(st.integers(0, 4))):
        members[f"Member{index}"] = _member(draw, world, index, depth=3)
    output: dict[str, Any] = {"type": "structure", "members": members}
    if protocol in {"rest-xml", "rest-json"}:
        _rest(draw, world, output)
    if protocol == "query":
        world.wrapper = "ListThingsResult"
    world.shapes["Output"] = output
    return world, draw(_value(world, {"shape": "Output"}, top=True))


def _rest(draw: st.DrawFn, world: World, output: dict[str, Any]) -> None:
    """Members that are elsewhere than in the body, and a payload."""
    members = output["members"]
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["string", "integer", "boolean", "timestamp"]))
        world.shapes["InHeader"] = {"type": kind}
        members["InHeader"] = {"shape": "InHeader", "location": "header", "locationName": "X-Thing"}
    if draw(st.booleans()):
        world.shapes["Code"] = {"type": "integer"}
        members["Code"] = {"shape": "Code", "location": "statusCode"}
    if draw(st.booleans()):
        world.shapes["MetaText"] = {"type": "string"}
        world.shapes["Meta"] = {"type": "map", "key": {"shape": "MetaText"}, "value": {"shape": "MetaText"}}
        members["Meta"] = {"shape": "Meta", "location": "headers", "locationName": "X-Meta-"}
    structures = [
        name
        for name, each in members.items()
        if world.shapes[each["shape"]]["type"] == "structure" and "location" not in each
    ]
    if structures and draw(st.booleans()):
        output["payload"] = structures[0]
        for name in [name for name, each in members.items() if "location" not in each and name != structures[0]]:
            del members[name]


def _member(draw: st.DrawFn, world: World, index: int, depth: int) -> dict[str, Any]:
    """A member of a structure, with a shape made for it."""
    member: dict[str, Any] = {"shape": _shape(draw, world, depth, flat=True)}
    if world.protocol != "smithy-rpc-v2-cbor" and draw(st.booleans()):
        member["locationName"] = f"wire{index}"
    shape = world.shapes[member["shape"]]
    if shape["type"] == "list" and shape.get("flattened"):
        inner = shape["member"]
        if draw(st.booleans()):
            inner["locationName"] = f"each{index}"
    return member


def _shape(draw: st.DrawFn, world: World, depth: int, *, flat: bool = False) -> str:
    """A new shape's name. Only what is a member of a structure can be flattened."""
    kinds = SCALARS if depth == 0 else (*SCALARS, "structure", "structure", "list", "list", "map")
    kind = draw(st.sampled_from(kinds))
    name = f"Shape{len(world.shapes)}"
    shape: dict[str, Any] = {"type": kind}
    world.shapes[name] = shape
    xml = world.protocol in XML_PROTOCOLS
    if kind == "structure":
        count = draw(st.integers(0, 4))
        shape["members"] = {f"Part{index}": _member(draw, world, index, depth - 1) for index in range(count)}
        if count and draw(st.sampled_from([False, False, True])):
            flat = any(world.shapes[each["shape"]].get("flattened") for each in shape["members"].values())
            shape["union"] = not flat
        if world.protocol == "rest-xml" and not shape.get("union") and draw(st.booleans()):
            world.shapes.setdefault("Attribute", {"type": "string"})
            shape["members"]["Kind"] = {
                "shape": "Attribute",
                "locationName": "xsi:type",
                "xmlAttribute": True,
            }
    elif kind == "list":
        shape["member"] = {"shape": _shape(draw, world, depth - 1)}
        if xml:
            shape["flattened"] = flat and draw(st.booleans())
            if not shape["flattened"] and draw(st.booleans()):
                shape["member"]["locationName"] = "item"
    elif kind == "map":
        world.shapes.setdefault("Key", {"type": "string"})
        shape["key"] = {"shape": "Key"}
        shape["value"] = {"shape": _shape(draw, world, depth - 1)}
        if xml:
            shape["flattened"] = flat and draw(st.booleans())
            if draw(st.booleans()):
                shape["key"]["locationName"], shape["value"]["locationName"] = "Name", "Value"
    elif kind == "timestamp":
        forms = ["iso8601", "unixTimestamp", "rfc822"]
        shape["timestampFormat"] = draw(st.sampled_from(forms))
    return name


def _value(world: World, ref: dict[str, Any], *, top: bool = False) -> st.SearchStrategy[Any]:
    """Values of a shape."""
    shape = world.shapes[ref["shape"]]
    kind = shape["type"]
    if kind == "structure":
        members = {name: _value(world, each) for name, each in shape["members"].items()}
        if shape.get("union"):
            return st.one_of([st.fixed_dictionaries({name: value}) for name, value in members.items()])
        if not members:
            return st.just({})
        required = {name: value for name, value in members.items() if top and name == shape.get("payload")}
        optional = {name: value for name, value in members.items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional)
    if kind == "list":
        return st.lists(_value(world, shape["member"]), max_size=3)
    if kind == "map":
        keys = st.text("abcXYZ-:.0", min_size=1, max_size=5)
        return st.dictionaries(keys, _value(world, shape["value"]), max_size=3)
    header = ref.get("location") in {"header", "headers"} or ref["shape"] == "MetaText"
    whole_seconds = TIMES.map(lambda at: at.replace(microsecond=0))
    return {
        "string": st.text("abc XYZ-_.0", max_size=8).map(str.strip) if header else TEXT,
        "integer": st.integers(-(2**31), 2**31 - 1) if ref.get("location") != "statusCode" else st.just(200),
        "long": st.integers(-(2**63), 2**63 - 1),
        "boolean": st.booleans(),
        "double": st.floats(allow_nan=False, allow_infinity=False),
        "timestamp": TIMES if shape.get("timestampFormat") == "iso8601" else whole_seconds,
        "blob": st.binary(max_size=12),
    }[kind]  # fmt: skip


# ---- bytes


def render(world: World, value: dict[str, Any], style: Style) -> tuple[dict[str, str], bytes]:
    """Headers (lower-case) and body by which the service answers ``value``."""
    headers, output = {"content-type": "x"}, world.shapes["Output"]
    body = dict(value)
    if world.protocol in {"rest-xml", "rest-json"}:
        for name, member in output["members"].items():
            location = member.get("location")
            if location is None or name not in value:
                continue
            told = body.pop(name)
            if location == "header":
                headers[member["locationName"].lower()] = _scalar(world, member, told)
            elif location == "headers":
                headers.update({member["locationName"].lower() + key.lower(): text for key, text in told.items()})
    return headers, _body(world, body, style)


def _body(world: World, value: dict[str, Any], style: Style) -> bytes:
    output = world.shapes["Output"]
    payload = output.get("payload")
    ref = output["members"][payload] if payload else {"shape": "Output"}
    inner = value[payload] if payload else value
    if world.protocol in {"json", "rest-json"}:
        tree = _tree(world, ref, inner, style)
        return b"" if not tree and style.short else json.dumps(tree, ensure_ascii=style.pretty).encode()
    if world.protocol == "smithy-rpc-v2-cbor":
        return _cbor(_tree(world, ref, inner, style), style)
    return _document(world, ref, inner, style)


def _scalar(world: World, ref: dict[str, Any], value: Any) -> str:
    """A scalar as text."""
    shape = world.shapes[ref["shape"]]
    kind = shape["type"]
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind == "timestamp":
        form = shape.get("timestampFormat")
        if form == "unixTimestamp":
            return str(int(value.timestamp()))
        if form == "rfc822":
            return format_datetime(value, usegmt=True)
        return value.strftime("%Y-%m-%dT%H:%M:%S") + (
            f".{value.microsecond // 1000:03d}Z" if value.microsecond else "Z"
        )
    return repr(value) if kind == "double" else str(value)


def _tree(world: World, ref: dict[str, Any], value: Any, style: Style) -> Any:
    """As JSON, or what CBOR encodes."""
    shape = world.shapes[ref["shape"]]
    kind = shape["type"]
    if kind == "structure":
        out = {}
        for name, member in shape["members"].items():
            if name in value:
                wire = name if world.protocol == "smithy-rpc-v2-cbor" else member.get("locationName", name)
                out[wire] = _tree(world, member, value[name], style)
            elif style.nulls and "location" not in member:
                out[member.get("locationName", name)] = None
        if style.unknown and not shape.get("union"):
            out["NoOneKnows"] = {"this": [1, None, "x"]}
        return out
    if kind == "list":
        return [_tree(world, shape["member"], each, style) for each in value]
    if kind == "map":
        return {key: _tree(world, shape["value"], each, style) for key, each in value.items()}
    if world.protocol == "smithy-rpc-v2-cbor":
        return value
    if kind == "timestamp" and shape.get("timestampFormat") == "unixTimestamp":
        return value.timestamp()
    return value if kind in {"string", "integer", "long", "boolean", "double"} else _scalar(world, ref, value)


def _document(world: World, ref: dict[str, Any], value: Any, style: Style) -> bytes:
    inner = _children(world, ref, value, style)
    space = ' xmlns="https://things.amazonaws.com/doc/2020-01-01/"' if style.namespace else ""
    prolog = '<?xml version="1.0" encoding="UTF-8"?>\n' if style.pretty else ""
    attributes = _attributes(world, ref, value)
    if world.protocol == "query":
        inner = _element(world.wrapper, inner, style) + "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
    elif world.protocol == "ec2":
        inner = f"<requestId>r</requestId>{inner}"
    return f"{prolog}<ListThingsResponse{space}{attributes}>{inner}</ListThingsResponse>".encode()


def _element(name: str, inner: str, style: Style, attributes: str = "") -> str:
    if not inner and style.short:
        return f"<{name}{attributes}/>" + ("\n" if style.pretty else "")
    return f"<{name}{attributes}>{inner}</{name}>" + ("\n  " if style.pretty else "")


def _attributes(world: World, ref: dict[str, Any], value: Any) -> str:
    shape = world.shapes[ref["shape"]]
    if shape["type"] != "structure" or "Kind" not in shape["members"] or "Kind" not in value:
        return ""
    text = escape(value["Kind"], {'"': "&quot;"})
    return f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{text}"'


def _children(world: World, ref: dict[str, Any], value: Any, style: Style) -> str:
    """What stands within the element of a value."""
    shape = world.shapes[ref["shape"]]
    kind = shape["type"]
    if kind == "structure":
        out = "\n" if style.pretty and shape["members"] else ""
        for name, member in shape["members"].items():
            if name in value and not member.get("xmlAttribute") and "location" not in member:
                out += _named(world, member, name, value[name], style)
        if style.comments and not shape.get("union"):
            out += "<!-- nothing -->"
        if style.unknown and not shape.get("union"):
            out += "<NoOneKnows><a>1</a><b/></NoOneKnows>"
        return out
    if kind == "list":
        name = shape["member"].get("locationName", "member")
        return "".join(_one(world, shape["member"], name, each, style) for each in value)
    if kind == "map":
        return "".join(_element("entry", _pair(world, shape, key, each, style), style) for key, each in value.items())
    text = escape(_scalar(world, ref, value), {"'": "&apos;", "\t": "&#9;"})
    return f"<![CDATA[{_scalar(world, ref, value)}]]>" if style.comments and "]]>" not in text and text else text


def _one(world: World, ref: dict[str, Any], name: str, value: Any, style: Style) -> str:
    return _element(name, _children(world, ref, value, style), style, _attributes(world, ref, value))


def _pair(world: World, shape: dict[str, Any], key: str, value: Any, style: Style) -> str:
    key_name, value_name = shape["key"].get("locationName", "key"), shape["value"].get("locationName", "value")
    return _one(world, shape["key"], key_name, key, style) + _one(world, shape["value"], value_name, value, style)


def _named(world: World, member: dict[str, Any], name: str, value: Any, style: Style) -> str:
    shape = world.shapes[member["shape"]]
    wire = member.get("locationName", name)
    if shape.get("flattened"):
        if shape["type"] == "list":
            wire = shape["member"].get("locationName", wire)
            return "".join(_one(world, shape["member"], wire, each, style) for each in value)
        return "".join(_element(wire, _pair(world, shape, key, each, style), style) for key, each in value.items())
    return _one(world, member, wire, value, style)


def _cbor(value: Any, style: Style) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, int):
        return _sized(0, value) if value >= 0 else _sized(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, datetime):
        return b"\xc1" + b"\xfb" + struct.pack(">d", value.timestamp())
    if isinstance(value, bytes | str):
        raw, major = (value, 2) if isinstance(value, bytes) else (value.encode(), 3)
        if style.open_ended and major == 2:
            half = len(raw) // 2
            return b"\x5f" + _sized(2, half) + raw[:half] + _sized(2, len(raw) - half) + raw[half:] + b"\xff"
        return _sized(major, len(raw)) + raw
    if isinstance(value, list):
        inner = b"".join(_cbor(each, style) for each in value)
        return b"\x9f" + inner + b"\xff" if style.open_ended else _sized(4, len(value)) + inner
    inner = b"".join(_cbor(key, style) + _cbor(each, style) for key, each in value.items())
    return b"\xbf" + inner + b"\xff" if style.open_ended else _sized(5, len(value)) + inner


def _sized(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * width:
            return bytes([major << 5 | info]) + number.to_bytes(width, "big")
    raise OverflowError(number)
