"""What a route may be given: read from its signature, so that the check, the document and the client agree."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from litestar.connection import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import BodyKwarg, PathParameter, QueryParameter
from msgspec import Meta

from uwu.kernel import codec
from uwu.kernel.errors import BadInput

BOUNDS = {"limit": (1, 500), "hours": (1, 87_600), "days": (1, 400), "after_line": (0, 2**53), "before": (1, 2**53)}
"""What a number may be, wherever a route takes one of this name: a page stays a page, an integer one of a database."""

WHOLE = (0, 2**53)
"""The bounds of an integer that has none of its own: what JSON and both databases hold."""

MAX_DEPTH = 64
"""Levels of a body."""


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a query or a path."""

    name: str
    type: Any
    """Without None: a parameter that is not given is left out, none is sent as null."""
    required: bool
    default: Any
    low: int | None = None
    high: int | None = None


class Inputs(msgspec.Struct, frozen=True):
    """What a route takes."""

    query: dict[str, Parameter]
    path: dict[str, Parameter]
    body: Any
    """The type of its body; None where it takes none."""


def function(handler: HTTPRouteHandler) -> Callable[..., Any]:
    """The function as it is written: Litestar wraps one that is sent to a thread."""
    return getattr(handler.fn, "func", handler.fn)


def inputs(handler: HTTPRouteHandler) -> Inputs:
    """What ``handler`` takes, by the names of its signature."""
    return _inputs(function(handler))


@cache
def _inputs(function: Callable[..., Any]) -> Inputs:
    hints = typing.get_type_hints(function, include_extras=True)
    query: dict[str, Parameter] = {}
    path: dict[str, Parameter] = {}
    body: Any = None
    for name, declared in inspect.signature(function).parameters.items():
        hint = hints.get(name)
        marks = getattr(hint, "__metadata__", ())
        if any(isinstance(mark, BodyKwarg) for mark in marks):
            body = typing.get_args(hint)[0]
        elif any(isinstance(mark, PathParameter) for mark in marks):
            path[name] = _parameter(name, hint, inspect.Parameter.empty)
        elif any(isinstance(mark, QueryParameter) for mark in marks):
            query[name] = _parameter(name, hint, declared.default)
    return Inputs(query, path, body)


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    kind, *marks = typing.get_args(hint)
    kind, low, high = _without_none(kind), None, None
    if kind is int:
        low, high = BOUNDS.get(name, WHOLE)
        for mark in (mark for mark in marks if isinstance(mark, Meta)):
            low, high = _least(mark, low), _most(mark, high)
    required = default is inspect.Parameter.empty
    return Parameter(name, kind, required, None if required else default, low, high)


def _least(mark: Meta, otherwise: int) -> int:
    if mark.ge is not None:
        return int(mark.ge)
    return int(mark.gt) + 1 if mark.gt is not None else otherwise


def _most(mark: Meta, otherwise: int) -> int:
    if mark.le is not None:
        return int(mark.le)
    return int(mark.lt) - 1 if mark.lt is not None else otherwise


def _without_none(kind: Any) -> Any:
    rest = [each for each in typing.get_args(kind) if each is not type(None)]
    if type(None) in typing.get_args(kind) and len(rest) == 1:
        return rest[0]
    return kind


async def refuse_bad_parameters(request: Request[Any, Any, Any]) -> None:
    """A query parameter that a route does not know is an error: a misspelt filter must not answer with everything.

    So are a number out of its bounds, a parameter given twice, of which one would be dropped in silence, and text that
    is no UTF-8 or holds a NUL, which no database keeps.
    """
    handler = request.route_handler
    if not isinstance(handler, HTTPRouteHandler) or handler.handler_name == "options_handler":
        return
    known = inputs(handler).query
    _refuse_bad_text(request)
    given = dict(request.query_params)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BadInput(
            f"{request.url.path} knows no parameter {', '.join(map(repr, unknown))}",
            code="parameter-unknown",
            place=f"query {unknown[0]}",
            hint=f"it knows {', '.join(sorted(known))}" if known else "it takes none",
        )
    for name, value in given.items():
        if len(request.query_params.getall(name)) > 1:
            raise BadInput(
                f"{name} is given more than once", code="parameter-twice", place=f"query {name}", hint="once"
            )
        _refuse_misfit(known[name], value)
        _refuse_out_of_range(known, name, value)
    body = await request.body() if inputs(handler).body is not None else b""
    if b"\\u0000" in body or body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _refuse_bad_values(body)


def _refuse_bad_text(request: Request[Any, Any, Any]) -> None:
    raw: bytes = request.scope.get("raw_path") or b""
    for place, text in (("path", raw.split(b"?", 1)[0]), ("query", request.scope["query_string"])):
        try:
            decoded = unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8")
        except UnicodeDecodeError:
            raise BadInput(
                f"the {place} is no UTF-8", code="encoding-invalid", place=place, hint="percent-encode UTF-8"
            ) from None
        if "\0" in decoded:
            raise BadInput(f"the {place} holds a NUL", code="text-invalid", place=place, hint="leave U+0000 out")


def _refuse_misfit(parameter: Parameter, value: str) -> None:
    """What would be read as another type, or as none at all: ``before=null`` must not mean "from the start"."""
    misfit = (parameter.type is bool and value not in ("true", "false")) or (
        parameter.type is int and not re.fullmatch(r"-?[0-9]{1,40}", value)
    )
    if misfit:
        wanted = "true or false" if parameter.type is bool else "a whole number"
        raise BadInput(
            f"{parameter.name} is {wanted}, not {value[:20]!r}",
            code="request-invalid",
            place=f"query {parameter.name}",
            hint="one of true, false" if parameter.type is bool else "",
        )


def _refuse_out_of_range(known: Mapping[str, Parameter], name: str, value: str) -> None:
    low, high = known[name].low, known[name].high
    if low is None or high is None:
        return
    if not low <= int(value) <= high:
        raise BadInput(
            f"{name} is {low} to {high}, not {value[:20]}",
            code="parameter-out-of-range",
            place=f"query {name}",
            hint="ask for the next page with after" if "after" in known else "ask for less",
        )


def _refuse_bad_values(body: bytes) -> None:
    """NUL, which no database keeps, and depth, which no reader of a tree survives."""
    try:
        level: list[Any] = [codec.decode(body)]
    except ValueError:
        return  # what is no JSON is told where it is decoded
    except RecursionError:
        raise _too_deep() from None
    for _ in range(MAX_DEPTH):
        if any(isinstance(value, str) and "\0" in value for value in level):
            raise BadInput("the body holds a NUL", code="text-invalid", place="body", hint="leave U+0000 out")
        level = [inner for value in level for inner in _within(value)]
        if not level:
            return
    raise _too_deep()


def _within(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _too_deep() -> BadInput:
    return BadInput(
        "the body is nested too deep", code="body-too-deep", place="body", hint=f"at most {MAX_DEPTH} levels"
    )
