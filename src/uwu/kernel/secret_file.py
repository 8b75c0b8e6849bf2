"""Secrets that a home makes for itself on first use: each in a file that only its owner reads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def once(path: Path, make: Callable[[], bytes]) -> None:
    """Writes what ``make`` gives to ``path`` where nothing is there, mode 0600. Two that do it at once make one: the
    file appears whole or not at all. Raises ``OSError``."""
    if path.exists():
        return
    made = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink(missing_ok=True)
