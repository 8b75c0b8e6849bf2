"""The outermost layer: every request gets an id, a span, a measure and, by setting, a line of the log."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

from uwu.app import identify, traces
from uwu.app.api import problems
from uwu.app.cli.logs import ACCESS
from uwu.app.layers import App, Message, Receive, Scope, Send, answer, header, with_headers
from uwu.kernel import codec, telemetry
from uwu.kernel.errors import UwuError

if TYPE_CHECKING:
    from uwu.app.metrics import Metrics

SANE = re.compile(r"[A-Za-z0-9._-]{8,128}")
"""A request id that a caller may choose: nothing that a log or a header could take for something else."""

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00."""

UNMATCHED = "(none)"
"""The route of a request that no route takes: its path is the caller's own and would make endless series."""

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})

_log = logging.getLogger("uwu.app")
_access = logging.getLogger(ACCESS)


class Queries:
    """How many SQL statements one request has sent."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


queries: ContextVar[Queries | None] = ContextVar("uwu_queries", default=None)


def count_queries(engine: sa.Engine, told: Callable[[], None]) -> None:
    """Calls ``told`` at each statement that ``engine`` runs, and counts it for the request that it belongs to."""

    @event.listens_for(engine, "after_cursor_execute")
    def _told(*_: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        told()

    if not event.contains(engine, "after_cursor_execute", _counted):
        event.listen(engine, "after_cursor_execute", _counted)


def _counted(*_: Any) -> None:
    if (found := queries.get()) is not None:
        found.count += 1


def layer(app: App, metrics: Metrics) -> App:
    """``app``, each request of it with an id (``X-Request-Id``), measured, logged and traced.

    What escapes the layers below before an answer has begun becomes a problem: no caller is left without one.
    """

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = header(scope, b"x-request-id")
        id = given if SANE.fullmatch(given) else codec.new_id("req")
        bound, counted = telemetry.request_id.set(id), Queries()
        counting = queries.set(counted)
        began = time.perf_counter()
        status = size = 0

        async def watched(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        sending = with_headers(watched, (b"x-request-id", id.encode()))
        try:
            with metrics.in_flight(), _request_span(scope, id) as finish:
                try:
                    await app(scope, receive, sending)
                except Exception as error:
                    if status:
                        raise  # half an answer is out: the connection must break, not end as if it were whole
                    await answer(sending, _unforeseen(scope, error))
                finish(route_of(scope), status)
        finally:
            seconds = time.perf_counter() - began
            route = route_of(scope)
            method = scope["method"] if scope["method"] in METHODS else "other"
            metrics.answered(route, method, status, seconds)
            if _access.isEnabledFor(logging.INFO):
                _tell(scope, route, status, size, seconds, counted.count)
            queries.reset(counting)
            telemetry.request_id.reset(bound)

    return told


def route_of(scope: Scope) -> str:
    """The template of the route that took the request: ``/api/v1/jobs/{id}``."""
    template = scope.get("path_template")
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", template) if template else UNMATCHED


def _tell(scope: Scope, route: str, status: int, size: int, seconds: float, statements: int) -> None:
    principal = scope.get(identify.PRINCIPAL)
    who = principal.ref if principal is not None else ""
    client = (scope.get("client") or ("",))[0]
    # the path alone: a query may hold what a person searched for
    path = scope["path"][:500].encode("ascii", "backslashreplace").decode()
    extra = {
        "method": scope["method"],
        "path": path,
        "route": route,
        "status": status,
        "ms": round(seconds * 1000, 2),
        "bytes": size,
        "queries": statements,
        "principal": who,
        "client": client,
    }
    line = "%s %s %d %.1f ms", scope["method"], ascii(path)[1:-1], status, seconds * 1000
    _access.info(*line, extra=extra)


def _unforeseen(scope: Scope, error: Exception) -> Any:
    if isinstance(error, UwuError):
        return problems.of_error(error)
    _log.exception("%s %s failed", scope["method"], ascii(scope["path"]), exc_info=error)
    return problems.internal()


@contextmanager
def _request_span(scope: Scope, id: str) -> Generator[Callable[[str, int], None]]:
    """The span of a request; its route is known only at its end, so it is named then."""
    spans = traces.current()
    if spans is None:
        yield lambda _route, _status: None
        return
    asked = header(scope, b"traceparent")
    parent = asked if TRACEPARENT.fullmatch(asked) else ""
    attributes = {"http.request.method": scope["method"], "url.path": scope["path"], "uwu.request": id}
    with spans.span(scope["method"], attributes, parent, kind="server") as span:

        def finish(route: str, status: int) -> None:
            span.update_name(f"{scope['method']} {route}")
            span.set_attributes({"http.route": route, "http.response.status_code": status})
            if status >= 500:
                traces.fail(span)

        yield finish
