"""Typed errors: a code, a message, a place and a hint. One rendering for API, CLI and page.

A message says what is wrong in one sentence; the hint says what to do next. Neither may hold a secret.
"""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with an input, told without stopping the rest.

    ``code`` is stable and kebab-case; ``place`` is a file:line, a JSON pointer or a line of a batch.
    """

    code: str
    message: str
    place: str = ""
    hint: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}" if self.place else self.message
        return f"{head} [{self.code}]" + (f"\n  hint: {self.hint}" if self.hint else "")


class UwuError(Exception):
    """The base of every error that a person may read. ``status`` is its HTTP status, ``exit_code`` its exit status."""

    code = "internal"
    status = 500
    exit_code = 1

    def __init__(self, message: str, *, code: str = "", place: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(code or self.code, message, place, hint)

    def __str__(self) -> str:
        return str(self.problem)

    def __reduce__(self) -> tuple[object, ...]:
        p = self.problem
        return _rebuild, (type(self), p.message, p.code, p.place, p.hint)


def _rebuild(cls: type[UwuError], message: str, code: str, place: str, hint: str) -> UwuError:
    return cls(message, code=code, place=place, hint=hint)


class BadInput(UwuError):
    """The caller gave something that cannot be taken as it is."""

    code, status, exit_code = "bad-input", 400, 2


class NotFound(UwuError):
    """The subject does not exist, or not for this caller."""

    code, status, exit_code = "not-found", 404, 3


class Conflict(UwuError):
    """The subject has moved on, or another holds it."""

    code, status, exit_code = "conflict", 409, 4


class Denied(UwuError):
    """The caller may not, or the far side would not let us."""

    code, status, exit_code = "denied", 403, 5


class Unavailable(UwuError):
    """A part that is needed does not answer now; trying again may help."""

    code, status, exit_code = "unavailable", 503, 6


class Misconfigured(UwuError):
    """A setting, the home or the database does not fit this version."""

    code, status, exit_code = "misconfigured", 500, 7


class StorageFull(Unavailable):
    """No room was left where state or events are kept; nothing half-written was recorded."""

    code, status = "storage-full", 507
