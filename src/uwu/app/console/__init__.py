"""The console: pages for people, rendered on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from uwu.kernel.runtime import Kernel

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)
"""What every page keeps to: no inline script, no inline style, nothing from elsewhere."""


def routes(kernel: Kernel) -> list[HTTPRouteHandler]:
    """Every handler of the console over ``kernel``, each with ``opt={"action": ...}``."""
    from uwu.app.console import pages

    return pages.routes(kernel)
