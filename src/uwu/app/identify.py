"""Who asks: from what a request shows to the principal that it is handled for."""

from __future__ import annotations

import getpass
from typing import Any

from litestar.connection import ASGIConnection

from uwu.kernel.identity import ANONYMOUS, Principal

PRINCIPAL = "uwu.principal"
"""Where the front door leaves the principal in the scope of a request; no header can set it."""


def local() -> Principal:
    """Whoever holds the home itself: its files are theirs, so nothing is kept from them."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "local"
    return Principal(ref=f"user:local/{name}".lower(), name=name, kind="local", roles=("admin",), via="home")


def principal_of(request: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    """The principal that the front door found."""
    found: Principal | None = request.scope.get(PRINCIPAL)  # type: ignore[assignment]
    return found or ANONYMOUS
