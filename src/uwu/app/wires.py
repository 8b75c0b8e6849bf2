"""The wires at the front door: what lies below a prefix that a domain has named goes to its own application.

They stand behind identification and the limits, and before what is only for the API and the console: idempotency keys,
entity tags, routes. Who may is decided by each wire itself, by ``uwu.kernel.wire``.
"""

from __future__ import annotations

from uwu.app import identify
from uwu.app.layers import App, Receive, Scope, Send
from uwu.kernel import domain
from uwu.kernel.runtime import Kernel
from uwu.kernel.wire import BASE_URL


def prefixes(kernel: Kernel) -> tuple[str, ...]:
    """The paths below which wires lie; one that does not end in a slash is a path by itself."""
    return tuple(sorted({prefix for each in kernel.domains for prefix in each.wire}))


def layer(app: App, kernel: Kernel) -> App:
    """``app``, and the wires of every domain beside it. The longest prefix takes the request."""
    wires: list[tuple[str, App]] = [
        (prefix, domain.load(reference)(kernel)) for each in kernel.domains for prefix, reference in each.wire.items()
    ]
    wires.sort(key=lambda pair: -len(pair[0]))

    async def dispatched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            for prefix, wire in wires:
                if path == prefix or (prefix.endswith("/") and path.startswith(prefix)):
                    given = {
                        **scope,
                        "root_path": prefix.rstrip("/"),
                        BASE_URL: identify.base_url(scope, kernel.settings),
                    }
                    try:
                        await wire(given, receive, send)
                    finally:
                        scope["path_template"] = given.get("path_template")
                    return
        await app(scope, receive, send)

    return dispatched
