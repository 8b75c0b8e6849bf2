"""``uwu worker``: the process that runs jobs, alone or as the child of ``uwu serve``; and jobs within a command."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from uwu.app import traces
from uwu.app.cli import logs
from uwu.kernel.errors import UwuError
from uwu.kernel.runtime import Kernel

if TYPE_CHECKING:
    from uwu.kernel.worker import Worker

LOST = 8
"""Exit status of a worker whose jobs another took over."""

INTERRUPTED = 130
_M_ARENA_MAX = -8
"""mallopt(3)"""
INLINE_GRACE_SECONDS = 3
"""How long a command that is interrupted waits for its steps in flight."""


def main(home: Path | None = None, *, parent_fd: int | None = None, nice: int = 0) -> NoReturn:
    """Runs the jobs of ``home`` until SIGTERM or SIGINT, then gives steps in flight their grace. Never returns.

    ``parent_fd`` is the end of a pipe that its parent holds open: at its EOF the worker ends too. With a parent it
    waits for a busy home and leaves Ctrl-C to the parent; without one it is refused there, as ``Conflict``.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN if parent_fd is not None else lambda *_: stop.set())
    logs.configure(service=True)
    _few_arenas()
    if nice:
        os.nice(nice)
    if parent_fd is not None:
        _watch(parent_fd, stop)
    try:
        _exit(_work(home, stop, patient=parent_fd is not None))
    except UwuError as error:
        print(error, file=sys.stderr)
        _exit(error.exit_code)


def _work(home: Path | None, stop: threading.Event, *, patient: bool) -> int:
    from uwu.kernel.worker import Worker

    kernel = Kernel.open(home)
    logs.configure_service(kernel.settings.telemetry)
    traces.start(kernel.settings.telemetry, "worker")
    wait: Callable[[], bool] | None = (lambda: not stop.is_set()) if patient else None
    worker = Worker(kernel, wait=wait, scheduling=True)
    worker.start()
    while not stop.wait(1) and not worker.lost.is_set():
        pass
    worker.stop()
    traces.stop()
    return LOST if worker.lost.is_set() else 0


def _few_arenas() -> None:
    """Lets glibc keep two heaps instead of eight a core: what a hundred threads read would be held by all of them."""
    with contextlib.suppress(AttributeError, OSError):  # another C library has no such call
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _watch(parent_fd: int, stop: threading.Event) -> None:
    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(parent_fd, 1):
                pass
        stop.set()

    threading.Thread(target=wait, name="uwu-parent", daemon=True).start()


def _exit(status: int) -> NoReturn:
    """The end, whatever threads are still at work: a step in flight cannot be stopped in any other way."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextlib.contextmanager
def inline(kernel: Kernel) -> Iterator[Worker]:
    """A worker within a command: what the command asks for runs here, and what an earlier one left unfinished.

    Raises ``Conflict`` that names the process where the home has a worker already. Ctrl-C ends the whole process (exit
    status 130) once the steps in flight are recorded or their short grace is over; the next command goes on from there.
    """
    from uwu.kernel.worker import Worker

    worker = Worker(kernel)
    worker.start()
    try:
        yield worker
    except KeyboardInterrupt:
        print("interrupted; the next command goes on from here", file=sys.stderr)
        worker.stop(INLINE_GRACE_SECONDS)
        _exit(INTERRUPTED)
    finally:
        worker.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m uwu.app.worker")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--parent-fd", type=int)
    parser.add_argument("--nice", type=int, default=0)
    given = parser.parse_args()
    main(given.home, parent_fd=given.parent_fd, nice=given.nice)
