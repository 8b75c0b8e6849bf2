"""Every error of the API as problem+json (RFC 9457), with uwu's own members: code, place, hint."""

from __future__ import annotations

import logging
from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException

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


def on_http_error(_request: Request, error: HTTPException) -> Response[bytes]:
    if isinstance(error, ValidationException):
        where = error.extra if isinstance(error.extra, list) else []
        told = "; ".join(f"{item.get('key', '')}: {item.get('message', '')}".strip(": ") for item in where)
        place = ", ".join(str(item["source"]) for item in where if isinstance(item, dict) and item.get("source"))
        return problem(400, told or str(error.detail), code="request-invalid", place=place)
    code = {400: "request-invalid", 404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
    return problem(error.status_code, str(error.detail), code=code, headers=error.headers)


def on_unexpected(request: Request, error: Exception) -> Response[bytes]:
    """What nobody foresaw: told without its inside, which may hold a secret; the log has it."""
    _log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(
        500, "something failed that should not have", code="internal", hint="the server's log has the details"
    )


HANDLERS = {UwuError: on_uwu_error, HTTPException: on_http_error, Exception: on_unexpected}

JSON = MediaType.JSON
