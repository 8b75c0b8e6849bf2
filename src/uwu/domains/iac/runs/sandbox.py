"""Programs of a run: a folder and a HOME of their own, a short environment, limits, and an end that is sure.

It keeps runs apart from one another and from the worker's own secrets. It is no wall against a configuration that means
harm, which runs as the worker's user: a worker that runs what strangers propose belongs on a machine of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uwu.kernel import codec
from uwu.kernel.errors import Conflict, Unavailable, UwuError

PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
"""Variables of the worker that a run sees; ``iac.run_env`` names more."""
LINE_BYTES = 64_000
"""A longer line of output is cut."""
OUTPUT_BYTES = 512 * 1_048_576
FILES = 4096
LOOK_SECONDS = 0.3
"""How often it is asked whether the run is to stop."""
GRACE_SECONDS = 60
"""How long a program that is told to stop may take: Terraform ends what it has begun and writes the state."""
_SUPERVISE = str(Path(__file__).with_name("supervise.py"))


class Stopped(UwuError):
    """The program was told to stop, and has."""

    code, status = "run-cancelled", 409


class TookTooLong(Unavailable):
    """The program passed its time and was ended."""

    code = "run-timeout"


@dataclass(frozen=True)
class Sandbox:
    """The folder of one run, private to the worker's user."""

    root: Path
    seconds: float
    """For one program."""
    memory_mb: int
    passed: tuple[str, ...] = ()
    grace_seconds: float = GRACE_SECONDS

    @property
    def work(self) -> Path:
        """Where the configuration lies and programs run."""
        return self.root / "work"

    def open(self) -> None:
        """Makes the folder, empty. Raises ``Conflict`` (``run-alive``) while a program of an earlier try lives."""
        self.wait()
        self.close()
        for folder in (self.root, self.work, self.root / "home", self.root / "tmp"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)

    def close(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.root, ignore_errors=True)

    def wait(self) -> None:
        """Waits until no program of the folder lives, for as long as one may take to stop."""
        if not self.root.is_dir():
            return
        until = time.monotonic() + self.grace_seconds + 10
        with (self.root / "lock").open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise Conflict(
                            "a program of an earlier try is still at work", code="run-alive", place=str(self.root)
                        ) from None
                    time.sleep(0.1)

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """What a program sees: nothing of the worker's but what is named."""
        kept = {name: os.environ[name] for name in (*PASSED, *self.passed) if name in os.environ}
        own = {
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "TF_DATA_DIR": str(self.root / "data"),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": "https:ssh:file",
        }
        return {**kept, **own, **more}

    def run(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        line: Callable[[str], None],
        stopping: Callable[[], bool],
        folder: Path | None = None,
    ) -> int:
        """Runs a program to its end, each line of what it says given to ``line``; gives its exit status.

        Raises ``Stopped`` where ``stopping`` said so, ``TookTooLong``, ``Unavailable`` (``run-program``) where there is
        no such program.
        """
        program = shutil.which(arguments[0], path=os.environ.get("PATH"))
        if program is None:
            raise Unavailable(
                f"there is no program {arguments[0]}",
                code="run-program",
                place="iac.program",
                hint="put Terraform or OpenTofu on the worker's PATH, or name it in iac.program",
            )
        limits = {
            "RLIMIT_DATA": self.memory_mb * 1_048_576,
            "RLIMIT_CORE": 0,
            "RLIMIT_NOFILE": FILES,
            "RLIMIT_FSIZE": OUTPUT_BYTES * 4,
            "RLIMIT_CPU": int(self.seconds) + 60,
        }
        told = {"limits": limits, "grace_seconds": self.grace_seconds, "lock": str(self.root / "lock")}
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", _SUPERVISE, codec.encode(told).decode(), program, *arguments[1:]],
            cwd=folder or self.work,
            env=self.environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        why = ""
        until = time.monotonic() + self.seconds
        with process:
            for text in _lines(process):
                if text is not None:
                    line(text)
                elif not why:
                    why = "cancelled" if stopping() else "late" if time.monotonic() > until else ""
                    if why and process.stdin is not None:
                        with contextlib.suppress(BrokenPipeError):
                            process.stdin.close()
        if why == "cancelled":
            raise Stopped("it was cancelled", hint="uwu iac retry asks for it again")
        if why == "late":
            raise TookTooLong(
                f"{arguments[0]} took longer than {self.seconds / 60:g} minutes and was ended",
                hint="iac.run_minutes allows more; look in the log for what it waited for",
            )
        return process.returncode


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str | None]:
    """What the program says, line by line; None now and then while it says nothing, and after each batch."""
    assert process.stdout is not None
    held, cut, asked = b"", False, time.monotonic()
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            ready = selector.select(LOOK_SECONDS)
            if ready:
                data = os.read(process.stdout.fileno(), 65_536)
                if not data:
                    break
                *whole, held = (held + data).split(b"\n")
                for each in whole:
                    if not cut:
                        yield _text(each)
                    cut = False
                if len(held) > LINE_BYTES:
                    if not cut:
                        yield _text(held)
                    held, cut = b"", True
            if time.monotonic() - asked >= LOOK_SECONDS:
                asked = time.monotonic()
                yield None
    if held and not cut:
        yield _text(held)
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
        yield None


def _text(data: bytes) -> str:
    return data[:LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
