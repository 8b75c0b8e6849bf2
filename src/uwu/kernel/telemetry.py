"""What ties a line of the log, an answer and a span together: the request and the job that are being worked on.

The kernel only names what it does; whoever runs it (the app) decides where spans go. Without that they cost nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

request_id: ContextVar[str] = ContextVar("uwu_request_id", default="")
"""The id of the request that is being answered, or of the one that asked for the job that runs."""

job_id: ContextVar[str] = ContextVar("uwu_job_id", default="")
"""The id of the job that runs."""


class Tracer(Protocol):
    """Where spans go."""

    def span(self, name: str, attributes: Mapping[str, Any], parent: str) -> AbstractContextManager[None]:
        """A span around a block; ``parent`` is a W3C traceparent, or empty for the span around the caller."""
        ...

    def traceparent(self) -> str:
        """The current span as a W3C traceparent; empty outside of any."""
        ...


_tracer: Tracer | None = None


def install(tracer: Tracer | None) -> None:
    """Sends the spans of this process to ``tracer``; None sends them nowhere."""
    global _tracer
    _tracer = tracer


@contextmanager
def span(name: str, /, parent: str = "", **attributes: Any) -> Generator[None]:
    """A span around the block. ``attributes`` hold no secret: they leave the process."""
    if _tracer is None:
        yield
        return
    with _tracer.span(name, attributes, parent):
        yield


def carried() -> dict[str, str]:
    """What a job is told of the request that asks for it: ``request`` and ``traceparent``, where there are any."""
    told = {"request": request_id.get(), "traceparent": _tracer.traceparent() if _tracer is not None else ""}
    return {name: value for name, value in told.items() if value}


@contextmanager
def job(id: str, name: str, carried: Mapping[str, str]) -> Generator[None]:
    """Binds the job ``id`` to what is logged and traced within the block, and the request that asked for it."""
    bound: list[tuple[ContextVar[str], Any]] = [
        (job_id, job_id.set(id)),
        (request_id, request_id.set(carried.get("request", ""))),
    ]
    try:
        with span(f"job {name}", parent=carried.get("traceparent", ""), **{"uwu.job": id}):
            yield
    finally:
        for variable, token in bound:
            variable.reset(token)
