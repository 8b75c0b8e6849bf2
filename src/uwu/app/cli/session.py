"""What one call of the command line knows: the home, the client, and how to answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uwu.kernel import codec, settings
from uwu.kernel.domain import Answer
from uwu.kernel.errors import UwuError

if TYPE_CHECKING:
    from rich.console import Console

    from uwu.app.client import ApiClient


class Session:
    """One call. It is itself the Client that commands are given: each request goes through one connection."""

    def __init__(self, *, json: bool, home: Path | None) -> None:
        self.json = json
        self.given_home = home
        self.home = (home or settings.default_home()).expanduser().absolute()

    @cached_property
    def out(self) -> Console:
        """Standard output, for answers."""
        from rich.console import Console

        return Console(highlight=False, soft_wrap=True)

    @cached_property
    def err(self) -> Console:
        """Standard error, for progress and errors."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    @cached_property
    def client(self) -> ApiClient:
        from uwu.app.client import connect

        return connect(self.home)

    def get(self, path: str, **parameters: Any) -> Any:
        return self.client.get(path, **parameters)

    def post(self, path: str, body: Any = None) -> Any:
        return self.client.post(path, body)

    def put(self, path: str, body: bytes, *, sha256: str = "") -> Any:
        """The JSON answer of PUT ``path``, which lies beside the API; ``sha256`` is the body's, in hex."""
        return self.client.put(path, body, sha256=sha256)

    def lines(self, path: str) -> Iterator[Any]:
        return self.client.lines(path)

    def run(self, job: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Asks for ``job``, shows its progress on standard error, and gives its result."""
        return self.start("/jobs", {"name": job, "arguments": dict(arguments or {})})

    def start(self, path: str, body: Any) -> dict[str, Any]:
        """Posts ``body`` to a ``path`` that begins a job, shows its progress, and gives its result."""
        from uwu.app.cli.progress import follow

        with self.client.transport.working():
            record = follow(self, self.client.post(path, body)["id"])
        if record["status"] != "done":
            told = record.get("problem") or {"message": f"the job was {record['status']}"}
            raise UwuError(
                told.get("message", ""),
                code=told.get("code", "job-failed"),
                place=told.get("place", ""),
                hint=told.get("hint", ""),
            )
        return record["result"] or {}

    def answer(self, given: object) -> int:
        """Prints what a command gave and returns its exit status."""
        if not isinstance(given, Answer):
            return given if isinstance(given, int) and not isinstance(given, bool) else 0
        if self.json:
            sys.stdout.buffer.write(codec.encode(given.value) + b"\n")
        elif given.text:
            sys.stdout.write(given.text.rstrip("\n") + "\n")
        sys.stdout.flush()
        return given.exit_code

    def fail(self, error: UwuError) -> int:
        """Tells an error where the caller reads it and returns its exit status."""
        told = error.problem
        if self.json:
            sys.stderr.write(codec.encode({"error": told}).decode() + "\n")
            return error.exit_code
        from rich.text import Text

        self.err.print(Text.assemble(("error ", "bold red"), (told.message, "bold"), (f"  {told.code}", "dim")))
        if told.place:
            self.err.print(Text.assemble(("   at ", "dim"), told.place))
        if told.hint:
            self.err.print(Text.assemble((" hint ", "cyan"), told.hint))
        return error.exit_code

    def close(self) -> None:
        """Gives the client back; the next request makes a new one."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()
