"""A program in a process group of its own, with limits, that does not outlive whoever asked for it.

Run by its path, with nothing but the standard library: ``python -I -S supervise.py '{...}' program argument...``. A
line on its standard input, or its end, interrupts the group; what is left after the grace is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> int:
    """The exit status of the program; 128 and the signal's number where one ended it."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    with contextlib.suppress(AttributeError, OSError):  # Linux has it: what a child leaves behind becomes ours
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    held = os.open(told["lock"], os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)

    def limited() -> None:
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for name, most in told["limits"].items():
            kind = getattr(resource, name)
            _, hard = resource.getrlimit(kind)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))

    program = subprocess.Popen(
        sys.argv[2:],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=limited,
    )
    stopping = threading.Event()
    pump = threading.Thread(target=_pump, args=(program,), daemon=True)
    pump.start()

    def watch() -> None:
        sys.stdin.readline()
        stopping.set()

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    until = 0.0
    while program.poll() is None:
        if stopping.is_set() and not until:
            until = time.monotonic() + float(told["grace_seconds"])
            _signal(program.pid, signal.SIGINT)
        if until and time.monotonic() > until:
            _signal(program.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(0.05)
    _signal(program.pid, signal.SIGKILL)  # what it started and did not wait for
    _reap()
    pump.join(5)
    status = program.returncode
    return status if status >= 0 else 128 - status


def _pump(program: subprocess.Popen[bytes]) -> None:
    """Hands on what the program says. Once nobody listens it is read nevertheless: who writes to a closed pipe is
    killed, and Terraform would be before it has written the state."""
    assert program.stdout is not None
    heard = True
    while data := os.read(program.stdout.fileno(), 65_536):
        while heard and data:
            try:
                data = data[os.write(1, data) :]
            except OSError:
                heard = False


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _reap() -> None:
    """Ends orphans that took a session of their own: they are our children now."""
    for _ in range(100):
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
        except ChildProcessError:
            return


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main())
