"""Every error of the API as problem+json (RFC 9457), with uwu's own members: code, place, hint."""

from __future__ import annotations

import logging
import typing
from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler

from uwu.kernel import codec
from uwu.kernel.errors import UwuError

_log = logging.getLogger(__name__)


def problem(
    status: int, title: str, *, code: str, place: str = "", hint: str = "", headers: dict[str, str] | None = None
) -> Response[bytes]:
    """A problem+json answer."""
    body: dict[str, Any] = {"type": f"urn:uwu:error:{code}", "title": title, "status": status, "code": code}
    if place:
        body["place"] = place
    if hint:
        body["hint"] = hint
    return Response(codec.encode(body), status_code=status, media_type="application/problem+json", headers=headers)


def on_uwu_error(_request: Request, error: UwuError) -> Response[bytes]:
    told = error.problem
    return problem(error.status, told.message, code=told.code, place=told.place, hint=told.hint)


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
    if error.status_code == 404:
        return problem(404, f"nothing is at {path}", code="not-found", hint="/api/v1/schema/openapi.json tells the API")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        hint = f"it takes {allowed}" if allowed else ""
        return problem(
            405, f"{path} takes no {request.method}", code="method-not-allowed", hint=hint, headers=error.headers
        )
    if error.status_code == 413:
        return problem(413, "the request is larger than 1 MB", code="request-too-large", hint="send less at once")
    code = "request-invalid" if error.status_code == 400 else "http-error"
    return problem(error.status_code, str(error.detail), code=code, headers=error.headers)


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
    _log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(
        500,
        "something failed that should not have",
        code="internal",
        hint="the log has the details; a command without a server tells them with UWU_DEBUG=1",
    )


HANDLERS = {UwuError: on_uwu_error, HTTPException: on_http_error, Exception: on_unexpected}

JSON = MediaType.JSON
