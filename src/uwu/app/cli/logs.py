"""What the program and the libraries below tell, and where.

A person at a terminal is not told their progress or their tracebacks; a service's log is for people and for programs.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uwu.kernel.settings import TelemetrySettings

ACCESS = "uwu.access"
"""The logger of one line for each request."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has: what else is there was given with ``extra``."""


class _Short(logging.Formatter):
    """One line: the traceback is kept for UWU_DEBUG."""

    def format(self, record: logging.LogRecord) -> str:
        kept = record.exc_info, record.exc_text, record.stack_info
        record.exc_info = record.exc_text = record.stack_info = None
        try:
            return super().format(record)
        finally:
            record.exc_info, record.exc_text, record.stack_info = kept


class _Text(logging.Formatter):
    """A line for people, with the request or the job it belongs to."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        bound = " ".join(f"{name}={value}" for name, value in _bound().items())
        return super().formatMessage(record) + (f" [{bound}]" if bound else "")


class _Json(logging.Formatter):
    """One JSON object a line: ``at``, ``level``, ``logger``, ``message``, the request and job, what else was given."""

    def format(self, record: logging.LogRecord) -> str:
        from uwu.kernel import codec

        told: dict[str, Any] = {
            "at": codec.iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_bound(),
            **{name: value for name, value in vars(record).items() if name not in _OWN},
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        try:
            return codec.encode(told).decode()
        except (TypeError, ValueError):  # what a library gave along is no JSON
            return codec.encode({name: str(value) for name, value in told.items()}).decode()


def _bound() -> dict[str, str]:
    from uwu.kernel import telemetry

    found = {"request": telemetry.request_id.get(), "job": telemetry.job_id.get()}
    return {name: value for name, value in found.items() if value}


def configure(*, service: bool = False) -> None:
    """Sends warnings and worse to standard error. A ``service`` tells their times and tracebacks: it is its log."""
    handler = logging.StreamHandler()
    if service:
        handler.setFormatter(_Text() if sys.stderr.isatty() else _Json())
    elif os.environ.get("UWU_DEBUG"):
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    else:
        handler.setFormatter(_Short("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def configure_service(settings: TelemetrySettings) -> None:
    """Sends the log of a server or a worker to standard error, as ``settings`` say."""
    handler = logging.StreamHandler()
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    handler.setFormatter(_Text() if text else _Json())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.getLogger(ACCESS).setLevel(logging.INFO if settings.access_log else logging.WARNING)
    for loud in ("botocore", "urllib3", "httpx", "httpcore", "pyiceberg"):
        # they put headers and whole answers on lower levels: no log of ours holds those
        logging.getLogger(loud).setLevel(logging.WARNING)
