"""What the libraries below tell, and where: a person at a terminal is not told their progress or their tracebacks."""

from __future__ import annotations

import logging
import os


class _Short(logging.Formatter):
    """One line: the traceback is kept for UWU_DEBUG."""

    def format(self, record: logging.LogRecord) -> str:
        kept = record.exc_info, record.exc_text, record.stack_info
        record.exc_info = record.exc_text = record.stack_info = None
        try:
            return super().format(record)
        finally:
            record.exc_info, record.exc_text, record.stack_info = kept


def configure(*, service: bool = False) -> None:
    """Sends warnings and worse to standard error. A ``service`` tells their times and tracebacks: it is its log."""
    handler = logging.StreamHandler()
    if service:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    elif os.environ.get("UWU_DEBUG"):
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    else:
        handler.setFormatter(_Short("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
