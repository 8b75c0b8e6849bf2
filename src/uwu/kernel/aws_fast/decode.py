"""From the bytes of an answer to plain data: one decoder an operation, made from botocore's model of it.

The answer is that of botocore's parser with its customisations (policy documents of IAM, keys of S3 listings, the
location of a bucket, console output, templates), as ``aws_calls`` defines plain data. Errors are read by botocore's
own parser: they are few, and their code, message and fields must be the same.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote, unquote_plus
from xml.etree.ElementTree import Element

import msgspec
from botocore import parsers
from botocore.awsrequest import HeadersDict
from botocore.parsers import ResponseParserError
from botocore.utils import is_json_value_header

from uwu.kernel import codec
from uwu.kernel.aws_calls import Answer, plain
from uwu.kernel.aws_fast import cbor, scan, tree, xml
from uwu.kernel.aws_fast.times import wire_time

PROTOCOLS = frozenset({"query", "ec2", "rest-xml", "json", "rest-json", "smithy-rpc-v2-cbor"})


class Response(msgspec.Struct, gc=False):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    """By lower-case name; of a repeated one the values joined by ``, ``."""
    body: bytes


OperationDecoder = Callable[[Response], Answer]
_Body = Callable[[bytes], Answer]
_Member = Callable[[Response, Answer], None]


class Decoders:
    """The decoders of one service."""

    def __init__(self, model: Any, protocol: str = "") -> None:
        """``protocol``: that of the service, where it speaks several the one that botocore takes."""
        self.protocol: str = protocol or model.resolved_protocol
        self._service: str = model.service_name
        text: dict[str, xml.TextDecode] = {"policyDocumentType": _policy} if self._service == "iam" else {}
        self._xml = xml.XmlShapes(text)
        self._scan = scan.Scanners(self._xml)
        self._tree = tree.TreeShapes(self.protocol) if self.protocol in tree.PROTOCOLS else None
        self._made: dict[str, OperationDecoder] = {}
        self._errors = parsers.ResponseParserFactory()
        self._errors.set_parser_defaults(timestamp_parser=wire_time)

    def decoder(self, operation: Any) -> OperationDecoder:
        """The decoder of an operation's answers; raises ``ResponseParserError`` for what the model does not fit."""
        found = self._made.get(operation.name)
        if found is None:
            found = self._made[operation.name] = self._checked(self._make(operation), operation.name)
        return found

    def error(self, operation: Any, response: Response) -> dict[str, Any]:
        """What botocore tells of an answer that is an error: ``Error`` and ``ResponseMetadata``."""
        raw = {
            "status_code": response.status,
            "headers": HeadersDict(response.headers),
            "body": response.body,
            "context": {"operation_name": operation.name},
        }
        parser = self._errors.create_parser(self.protocol)
        parsed: dict[str, Any] = parser.parse(raw, operation.output_shape)
        error: dict[str, Any] = parsed.get("Error", {})
        for shape in operation.error_shapes:
            code = shape.metadata.get("error", {}).get("code") or shape.name
            if error.get("Code") == code or shape.name == error.get("Code"):
                modeled = parser.parse(raw, shape)
                parsed.update({name: each for name, each in modeled.items() if name != "ResponseMetadata"})
                break
        return parsed

    def _checked(self, decode: OperationDecoder, name: str) -> OperationDecoder:
        def checked(response: Response) -> Answer:
            try:
                return decode(response)
            except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
                raise ResponseParserError(f"the answer of {name} does not fit its model: {error!r}") from error

        return checked

    def _make(self, operation: Any) -> OperationDecoder:
        custom = _CUSTOM.get((self._service, operation.name))
        if (self._service, operation.name) == ("s3", "GetBucketLocation"):
            return _bucket_location
        shape: Any = operation.output_shape
        if shape is None:
            return lambda _response: {}
        body = self._body(shape)
        members = self._members(shape) if self.protocol in {"rest-xml", "rest-json"} else ()
        if not members and custom is None:
            return lambda response: body(response.body)

        def decode(response: Response) -> Answer:
            answer = body(response.body)
            for member in members:
                member(response, answer)
            if custom is not None:
                custom(answer)
            return answer

        return decode

    def _body(self, shape: Any) -> _Body:
        rest = self.protocol in {"rest-xml", "rest-json"}
        name = shape.serialization.get("payload") if rest else None
        inner = shape.members[name] if name else shape
        if name and inner.type_name in {"string", "blob"}:
            return lambda body: {name: body.decode("utf-8")}
        read = self._read(inner, empty_is_empty=rest)
        return read if not name else (lambda body: {name: read(body)})

    def _read(self, shape: Any, *, empty_is_empty: bool) -> Callable[[bytes], Any]:
        if self._tree is None:
            decode = self._xml.decoder(shape)
            wrapper: str = shape.serialization.get("resultWrapper", "")
            if wrapper:
                by_tree: Callable[[bytes], Any] = partial(_wrapped, decode, wrapper)
            elif empty_is_empty:
                by_tree = lambda body: decode(xml.parse(body) if body else Element(""))  # noqa: E731
            else:
                by_tree = lambda body: decode(xml.parse(body))  # noqa: E731
            return _scanned(self._scan.decoder(shape), wrapper, by_tree) if _scans(shape) else by_tree
        parse = cbor.parse if self.protocol == "smithy-rpc-v2-cbor" else tree.parse
        of_tree = self._tree.decoder(shape)
        return parse if of_tree is None else (lambda body: of_tree(parse(body)))

    def _members(self, shape: Any) -> tuple[_Member, ...]:
        made: list[_Member] = []
        for name, member in shape.members.items():
            location, wire = member.serialization.get("location"), member.serialization.get("name", name)
            if location == "statusCode":
                made.append(partial(_status, name))
            elif location == "headers":
                made.append(partial(_header_map, name, member.serialization.get("name", "").lower()))
            elif location == "header":
                made.append(partial(_header, name, wire.lower(), self._header(member)))
        return tuple(made)

    def _header(self, shape: Any) -> Callable[[str], Any]:
        if is_json_value_header(shape):
            return lambda text: json.loads(base64.b64decode(text).decode())
        if shape.type_name == "list":
            inner = self._header(shape.member)
            return lambda text: [inner(each.strip()) for each in text.split(",")]
        decode = self._xml.text(shape) if self._tree is None else self._header_of_tree(shape)
        return decode or str

    def _header_of_tree(self, shape: Any) -> Callable[[str], Any] | None:
        return None if self._tree is None else self._tree.decoder(shape)


def _scans(shape: Any) -> bool:
    """Attributes of the root itself are the parser's."""
    attributed = (each.serialization.get("xmlAttribute") for each in getattr(shape, "members", {}).values())
    return shape.type_name == "structure" and not any(attributed)


def _scanned(decode: scan.Decode, wrapper: str, by_tree: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Reads plain XML by its pieces and any other by a parser."""

    def read(body: bytes) -> Any:
        try:
            pieces = scan.pieces(body)
            if wrapper:
                scan.enter(pieces, wrapper)
            return decode(pieces)
        except scan.FALLS_BACK:
            return by_tree(body)

    return read


def _wrapped(decode: xml.Decode, wrapper: str, body: bytes) -> Any:
    root = xml.parse(body)
    inner = xml.child(root, wrapper)
    if inner is None:
        raise ResponseParserError(f"there is no {wrapper} in {xml.bare(root.tag)}")
    return decode(inner)


def _status(name: str, response: Response, answer: Answer) -> None:
    answer[name] = response.status


def _header(name: str, wire: str, decode: Callable[[str], Any], response: Response, answer: Answer) -> None:
    text = response.headers.get(wire)
    if text is not None:
        answer[name] = decode(text)


def _header_map(name: str, prefix: str, response: Response, answer: Answer) -> None:
    answer[name] = {
        header[len(prefix) :]: text for header, text in response.headers.items() if header.startswith(prefix)
    }


# ---- what botocore changes after it has parsed


def _policy(text: str) -> Any:
    """A policy document of IAM, that is URL-encoded JSON; the text where it is not."""
    try:
        document = codec.decode(_unquote(text) if "%" in text else text)
    except (msgspec.DecodeError, UnicodeError):
        return text
    return plain(document) if "null" in text else document


def _unquote(text: str) -> str:
    """As ``urllib.parse.unquote``, at the speed of a codec: each ``%`` begins two hex digits in what AWS writes."""
    if "\\" not in text and text.isascii():
        try:
            return text.replace("%", "\\x").encode("ascii").decode("unicode_escape").encode("latin-1").decode("utf-8")
        except UnicodeError:
            pass
    return unquote(text)


def _bucket_location(response: Response) -> Answer:
    return {"LocationConstraint": xml.parse(response.body).text}


def _console_output(answer: Answer) -> None:
    if isinstance(answer.get("Output"), str):
        answer["Output"] = base64.b64decode(answer["Output"]).decode("utf-8", "replace")


def _template(answer: Answer) -> None:
    try:
        answer["TemplateBody"] = plain(json.loads(answer["TemplateBody"]))
    except (KeyError, ValueError, TypeError):
        return


def _keys(top: tuple[str, ...], nested: tuple[tuple[str, str], ...], answer: Answer) -> None:
    """The keys of an S3 listing that was asked for with URL-encoded keys, so that every key is XML."""
    if answer.get("EncodingType") != "url":
        return
    for name in top:
        if name in answer:
            answer[name] = unquote_plus(answer[name])
    for name, key in nested:
        each: dict[str, Any]
        for each in answer.get(name, ()):
            each[key] = unquote_plus(each[key])


_CUSTOM: Mapping[tuple[str, str], Callable[[Answer], None]] = {
    ("ec2", "GetConsoleOutput"): _console_output,
    ("cloudformation", "GetTemplate"): _template,
    ("s3", "ListObjects"): partial(
        _keys, ("Delimiter", "Marker", "NextMarker"), (("Contents", "Key"), ("CommonPrefixes", "Prefix"))
    ),
    ("s3", "ListObjectsV2"): partial(
        _keys, ("Delimiter", "Prefix", "StartAfter"), (("Contents", "Key"), ("CommonPrefixes", "Prefix"))
    ),
    ("s3", "ListObjectVersions"): partial(
        _keys,
        ("KeyMarker", "NextKeyMarker", "Prefix", "Delimiter"),
        (("Versions", "Key"), ("DeleteMarkers", "Key"), ("CommonPrefixes", "Prefix")),
    ),
}
