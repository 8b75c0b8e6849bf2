"""Errors as Backstage's clients read them: ``{"error": {"name", "message"}, "request", "response"}``."""

from __future__ import annotations

import logging
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from uwu.kernel import codec
from uwu.kernel.errors import Problem, UwuError

_log = logging.getLogger(__name__)

_NAMES = {
    400: "InputError",
    401: "AuthenticationError",
    403: "NotAllowedError",
    404: "NotFoundError",
    405: "NotAllowedError",
    409: "ConflictError",
    429: "ServiceUnavailableError",
    503: "ServiceUnavailableError",
}


def _answer(request: Request, status: int, problem: Problem) -> Response[bytes]:
    body: dict[str, Any] = {
        "error": {
            "name": _NAMES.get(status, "Error"),
            "message": problem.message,
            "code": problem.code,
            "place": problem.place,
            "hint": problem.hint,
        },
        "request": {"method": request.method, "url": request.url.path},
        "response": {"statusCode": status},
    }
    return Response(codec.encode(body), status_code=status, media_type="application/json")


def _on_uwu_error(request: Request, error: UwuError) -> Response[bytes]:
    return _answer(request, error.status, error.problem)


def _on_http_error(request: Request, error: HTTPException) -> Response[bytes]:
    return _answer(request, error.status_code, Problem("request-invalid", str(error.detail)))


def _on_unexpected(request: Request, error: Exception) -> Response[bytes]:
    _log.exception("%s %s failed", request.method, ascii(request.url.path), exc_info=error)
    return _answer(request, 500, Problem("internal", "something failed that should not have", hint="the log has it"))


HANDLERS: Any = {UwuError: _on_uwu_error, HTTPException: _on_http_error, Exception: _on_unexpected}
