"""Every error of the API as problem+json (RFC 9457), with uwu's own members: code, place, hint.

``instance`` names the request: the log has it under the same id.
"""

from __future__ import annotations

import logging
import typing
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler

from uwu.app.layers import MAX_BODY_BYTES
from uwu.kernel import codec, telemetry
from uwu.kernel.errors import BadInput, Problem, UwuError

_log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = 2
"""What ``Retry-After`` says where a part does not answer now: a database that restarts is back within seconds."""


class TooLarge(BadInput):
    """The request's body passes a limit."""

    code, status = "request-too-large", 413


def too_large(most: int) -> TooLarge:
    """The refusal of a body of more than ``most`` bytes."""
    return TooLarge(f"the request is larger than {most / 1_000_000:g} MB", hint="send less at once")


def problem(
    status: int,
    title: str,
    *,
    code: str,
    place: str = "",
    hint: str = "",
    headers: dict[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response[bytes]:
    """A problem+json answer; ``more`` are members beside uwu's own."""
    body: dict[str, Any] = {"type": f"urn:uwu:error:{code}", "title": title, "status": status, "code": code}
    if place:
        body["place"] = place
    if hint:
        body["hint"] = hint
    if request := telemetry.request_id.get():
        body["instance"] = f"urn:uwu:request:{request}"
    body |= more or {}
    return Response(codec.encode(body), status_code=status, media_type=PROBLEM_JSON, headers=headers)


def of_error(error: UwuError) -> Response[bytes]:
    """The answer that tells ``error``."""
    told = error.problem
    headers = {503: {"Retry-After": str(RETRY_SECONDS)}, 401: {"WWW-Authenticate": "Bearer"}}.get(error.status)
    more = {"retry_after": RETRY_SECONDS} if error.status == 503 else None
    return problem(
        error.status, told.message, code=told.code, place=told.place, hint=told.hint, headers=headers, more=more
    )


def on_uwu_error(_request: Request, error: UwuError) -> Response[bytes]:
    return of_error(error)


def on_http_error(request: Request, error: HTTPException) -> Response[bytes]:
    """What Litestar refuses, told as the rest is: what, where, and what there is instead."""
    path = request.url.path
    if isinstance(error, ValidationException):
        where = [item for item in error.extra if isinstance(item, dict)] if isinstance(error.extra, list) else []
        told = "; ".join(_invalid(item) for item in where)
        return problem(
            400,
            told or str(error.detail),
            code="request-invalid",
            place=", ".join(filter(None, map(_place, where))),
            hint="; ".join(filter(None, (_choices(request, item) for item in where))),
        )
    if (told := _misread(error)) is not None:
        return problem(400, told.message, code=told.code, place=told.place)
    if error.status_code == 404:
        return problem(404, f"nothing is at {path}", code="not-found", hint="/api/v1/schema/openapi.json tells the API")
    if error.status_code == 405:
        offered = {name.lower(): value for name, value in (error.headers or {}).items()}.get("allow", "")
        methods = sorted({name.strip() for name in offered.split(",") if name.strip()})
        if "GET" in methods:
            methods = sorted({*methods, "HEAD"})
        hint = f"it takes {', '.join(methods)}" if methods else ""
        headers = {"Allow": ", ".join(methods)} if methods else None
        return problem(405, f"{path} takes no {request.method}", code="method-not-allowed", hint=hint, headers=headers)
    if error.status_code == 413:
        return of_error(too_large(MAX_BODY_BYTES))
    code = "request-invalid" if error.status_code == 400 else "http-error"
    return problem(error.status_code, str(error.detail), code=code, headers=error.headers)


def _misread(error: HTTPException) -> Problem | None:
    """What is wrong with a body whose member is called as one of our dependencies: Litestar blames the server."""
    cause = error.__cause__
    if error.status_code != 500 or not isinstance(cause, msgspec.ValidationError):
        return None
    message, _, place = str(cause).partition(" - at `$.data")
    if not place:
        return None
    pointer = place.rstrip("`").replace(".", "/")
    return Problem("request-invalid", f"{pointer.lstrip('/')}: {message}".lstrip(": "), f"body {pointer}".strip())


def _invalid(item: dict[str, Any]) -> str:
    key, message = str(item.get("key", "")), str(item.get("message", ""))
    if key == "data" and message == "'data'":
        return "the request has no body"
    return f"{key}: {message}".strip(": ")


def _place(item: dict[str, Any]) -> str:
    source = item.get("source")
    name = str(getattr(source, "value", source or ""))
    return f"{name} {item.get('key', '')}".strip() if name and item.get("key") != "data" else name


def _choices(request: Request, item: dict[str, Any]) -> str:
    """What a parameter with few values may be."""
    handler = request.scope.get("route_handler")
    known = handler.parsed_fn_signature.parameters if isinstance(handler, HTTPRouteHandler) else {}
    field = known.get(str(item.get("key", "")))
    values = [str(v) for v in _literals(field.annotation) if v] if field is not None else []
    return f"one of {', '.join(values)}" if values else ""


def _literals(kind: Any) -> list[Any]:
    inner = typing.get_args(kind)
    return list(inner) if typing.get_origin(kind) is typing.Literal else [v for k in inner for v in _literals(k)]


def on_unexpected(request: Request, error: Exception) -> Response[bytes]:
    """What nobody foresaw: told without its inside, which may hold a secret; the log has it."""
    _log.exception("%s %s failed", request.method, ascii(request.url.path), exc_info=error)
    return internal()


def internal() -> Response[bytes]:
    """The answer to what nobody foresaw."""
    return problem(
        500,
        "something failed that should not have",
        code="internal",
        hint="the log has the details; a command without a server tells them with UWU_DEBUG=1",
    )


HANDLERS = {UwuError: on_uwu_error, HTTPException: on_http_error, Exception: on_unexpected}
