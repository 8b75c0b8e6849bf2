"""Compiled decoders give what botocore's parser gives, for the same bytes."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from botocore import parsers
from botocore.awsrequest import HeadersDict
from botocore.model import ServiceModel
from botocore.parsers import ResponseParserError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kernel import wire_world
from tests.kernel.wire_world import OPERATION, PROTOCOLS, STYLES, XML_PROTOCOLS, World
from uwu.kernel import codec
from uwu.kernel.aws_calls import plain
from uwu.kernel.aws_fast import cbor, decode, scan, tree
from uwu.kernel.aws_fast.decode import Decoders, Response
from uwu.kernel.aws_fast.times import wire_iso, wire_time

EVERY_CHECK = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
)

parser_factory = parsers.ResponseParserFactory()
parser_factory.set_parser_defaults(timestamp_parser=wire_time)


def by_botocore(model: ServiceModel, response: Response) -> Any:
    """What botocore's parser gives, as plain data."""
    operation = model.operation_model(OPERATION)
    raw = {"status_code": response.status, "headers": HeadersDict(response.headers), "body": response.body}
    answer = parser_factory.create_parser(model.metadata["protocol"]).parse(
        {**raw, "context": {}}, operation.output_shape
    )
    return {name: plain(value) for name, value in answer.items() if name != "ResponseMetadata"}


def by_us(model: ServiceModel, response: Response) -> Any:
    return Decoders(model).decoder(model.operation_model(OPERATION))(response)


def odd(_body: bytes) -> Any:
    raise scan.Odd


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_any_value_of_any_shape_is_read_as_botocore_reads_it(protocol: str) -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=EVERY_CHECK)
    @given(wire_world.worlds(protocol), STYLES)
    def holds(made: tuple[World, Any], style: wire_world.Style) -> None:
        world, value = made
        model = ServiceModel(world.model(), "things")
        headers, body = wire_world.render(world, value, style)
        response = Response(200, headers, body)
        expected = by_botocore(model, response)
        assert by_us(model, response) == expected
        if protocol in XML_PROTOCOLS:
            with pytest.MonkeyPatch.context() as patched:  # the way through a tree holds as well
                patched.setattr(decode.scan, "pieces", odd)
                assert by_us(model, response) == expected

    holds()


@pytest.mark.parametrize("protocol", XML_PROTOCOLS)
def test_plain_xml_needs_no_tree(protocol: str) -> None:
    """Most bodies are read by their pieces: were they not, all would still be right and slow."""

    @settings(max_examples=60, deadline=None, suppress_health_check=EVERY_CHECK)
    @given(wire_world.worlds(protocol), STYLES)
    def holds(made: tuple[World, Any], style: wire_world.Style) -> None:
        world, value = made
        if style.comments or any(
            each.get("union") or "Kind" in each.get("members", {}) for each in world.shapes.values()
        ):
            return
        model = ServiceModel(world.model(), "things")
        headers, body = wire_world.render(world, value, style)
        if body.rstrip().endswith(b"/>") or b"Result/>" in body:
            return
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(decode.xml, "parse", lambda _body: pytest.fail("a tree was built"))
            by_us(model, Response(200, headers, body))

    holds()


def xml_model(members: dict[str, Any], shapes: dict[str, Any]) -> ServiceModel:
    world = World("rest-xml")
    world.shapes = {"Output": {"type": "structure", "members": members}, "Text": {"type": "string"}, **shapes}
    return ServiceModel(world.model(), "things")


NAMED = xml_model(
    {"Name": {"shape": "Text"}, "Names": {"shape": "Names"}, "Inner": {"shape": "Inner"}},
    {
        "Names": {"type": "list", "member": {"shape": "Text"}},
        "Inner": {"type": "structure", "members": {"Size": {"shape": "Size"}}},
        "Size": {"type": "integer"},
    },
)


@pytest.mark.parametrize(
    "body",
    [
        "<R><Name>a &lt; b &amp;amp; &#65;&#x42; &quot;</Name></R>",
        "<R><Name>a > b</Name></R>",
        "<R><Name><![CDATA[<x>]]></Name></R>",
        "<R><Name>a<!-- c -->b</Name></R>",
        "<R>\r\n<Name>a\r\nb</Name></R>",
        "<p:R xmlns:p='u'><p:Name>a</p:Name></p:R>",
        "<R><Name >a</Name ></R>",
        "<R><Name x='1'>a</Name><Names z='/'><m>1</m></Names></R>",
        "<R><Name/><Names/><Inner/></R>",
        "<R><Name /><Names /><Inner /></R>",
        "<R><Names><m/><m></m><m> </m></Names></R>",
        "<R><Name x='a>b'>t</Name><Names><m x='/>'>1</m><m y=\"a>b\"/></Names></R>",
        "<R x='&gt;'><Name x='&quot;>'>t</Name><Inner x='&lt;/>'><Size>1</Size></Inner></R>",
        "<R/>",
        "<?xml version='1.0'?>\n<!DOCTYPE R>\n<R><Name>a</Name></R>\n",
        "\ufeff<R><Name>a</Name></R>",
        "<R><Unknown><Name>no</Name><Deep><Deep/></Deep></Unknown><Name>yes</Name></R>",
        "<R><Inner><Size>5</Size></Inner><Inner><Size>6</Size></Inner></R>",
        "",
    ],
)
def test_xml_in_every_dress(body: str) -> None:
    response = Response(200, {}, body.encode())
    assert by_us(NAMED, response) == by_botocore(NAMED, response)


@pytest.mark.parametrize("flattened", [False, True])
@pytest.mark.parametrize(
    "inner", ["<Each x:type='k'/>", "<Each x:type='k'></Each>", "<Each x:type='k'><Size>1</Size></Each>"]
)
def test_attributes_are_members_of_what_is_empty_too(flattened: bool, inner: str) -> None:
    kind = {"shape": "Text", "locationName": "x:type", "xmlAttribute": True}
    model = xml_model(
        {"Each" if flattened else "All": {"shape": "All"}},
        {
            "All": {"type": "list", "member": {"shape": "One"}, "flattened": flattened},
            "One": {"type": "structure", "members": {"Kind": kind, "Size": {"shape": "Size"}}},
            "Size": {"type": "integer"},
        },
    )
    space = "<R xmlns:x='urn:x'>"
    body = f"{space}{inner}</R>" if flattened else f"{space}<All>{inner}</All></R>"
    response = Response(200, {}, body.encode())
    assert by_us(model, response) == by_botocore(model, response)
    assert "'Kind': 'k'" in str(by_us(model, response))


@pytest.mark.parametrize(
    "body",
    ["<R><Name>a", "<R><Name>a</R>", "no xml", "<R><Inner><Size>x</Size></Inner></R>", "<R><Name>&no;</Name></R>", "<"],
)
def test_what_is_no_answer_says_so(body: str) -> None:
    with pytest.raises(ResponseParserError):
        by_us(NAMED, Response(200, {}, body.encode()))


def test_json_that_is_none_and_json_that_only_python_takes() -> None:
    for body in (b"", b"{}", b"<html>", b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a": 123456789012345678901234567890}'):
        parser: Any = parser_factory.create_parser("json")
        assert repr(tree.parse(body)) == repr(parser._parse_body_as_json(body))


@given(st.binary(max_size=40))
def test_broken_cbor_is_an_error_of_the_answer_and_nothing_else(body: bytes) -> None:
    try:
        cbor.parse(body)
    except (ResponseParserError, ValueError, TypeError, OverflowError, RuntimeError) as error:
        assert not isinstance(error, IndexError)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:05.123456Z", "20260102T030405Z", "2026-01-02T03:04:05+02:00", "2026-01-02", "1767323045",
        "Fri, 02 Jan 2026 03:04:05 GMT", "2026-01-02T03:04:05,678Z", "0001-01-01T00:00:00Z", 1767323045, 1767323045.25,
    ],
)  # fmt: skip
def test_times_in_every_form(text: str | float) -> None:
    assert wire_iso(text) == codec.iso(wire_time(text))


@pytest.mark.parametrize("text", ["2026-13-02T03:04:05Z", "2026-W01-1T03:04:05Z", "soon", "2026-01-02T25:04:05Z"])
def test_a_time_that_is_none_is_never_given_as_one(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert wire_iso(text) != text


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "body",
    [b"", b"<html><body>no</body></html>", b'{"__type":"a.b#Throttled:http","message":"slow"}',
     b"<Error><Code>NoSuchBucket</Code><Message>m</Message></Error>",
     b"<E><Errors><Error><Code>C</Code><Message>m</Message></Error></Errors></E>"],
)  # fmt: skip
def test_errors_are_botocores(status: int, protocol: str, body: bytes) -> None:
    world = World(protocol)
    world.shapes = {"Output": {"type": "structure", "members": {}}}
    model = ServiceModel(world.model(), "things")
    raw = {"status_code": status, "headers": HeadersDict({"x-amzn-requestid": "r"}), "body": body, "context": {}}
    response = Response(status, {"x-amzn-requestid": "r"}, body)
    shape = model.operation_model(OPERATION).output_shape
    try:
        expected: Any = parser_factory.create_parser(protocol).parse(raw, shape)
    except Exception as error:
        with pytest.raises(type(error)):
            Decoders(model).error(model.operation_model(OPERATION), response)
        return
    assert Decoders(model).error(model.operation_model(OPERATION), response).get("Error") == expected.get("Error")
