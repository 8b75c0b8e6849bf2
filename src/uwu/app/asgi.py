"""The front door: what every request passes before the API and the console see it."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import sqlalchemy as sa
from litestar import Litestar, Response, Router, get
from litestar.connection import Request
from litestar.di import NamedDependency, Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from uwu import __version__
from uwu.app import console, identify
from uwu.app.api import findings, problems, work, world
from uwu.kernel import domain
from uwu.kernel.errors import BadInput
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/api/v1"
HEALTH = {"action": "health.read"}
MAX_BODY_BYTES = 1_000_000
"""Nothing that is sent here today is larger than a query."""

SECURITY_HEADERS = [
    (b"content-security-policy", console.CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@get("/healthz", opt=HEALTH, include_in_schema=False)
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@get("/readyz", sync_to_thread=True, opt=HEALTH, include_in_schema=False)
def readyz(kernel: NamedDependency[Kernel]) -> dict[str, str]:
    """The process and its database answer."""
    with kernel.db.read() as connection:
        connection.execute(sa.text("select 1"))
    return {"status": "ok"}


BOUNDS = {"limit": (1, 500), "hours": (1, 87_600), "after_line": (0, 2**53), "before": (1, 2**53)}
"""What a number may be, wherever a route takes one of this name: a page stays a page, an integer one of a database."""


async def refuse_bad_parameters(request: Request) -> None:
    """A query parameter that a route does not know is an error: a misspelt filter must not answer with everything.

    So are a number out of its bounds, and a parameter given twice, of which one would be dropped in silence.
    """
    handler = request.route_handler
    known = set(handler.parsed_fn_signature.parameters)
    given = dict(request.query_params)
    unknown = sorted(set(given) - known)
    if unknown:
        offered = sorted(known - {"kernel", "principal", "data", "request", *request.path_params})
        raise BadInput(
            f"{request.url.path} knows no parameter {', '.join(map(repr, unknown))}",
            code="parameter-unknown",
            place=f"query {unknown[0]}",
            hint=f"it knows {', '.join(offered)}" if offered else "it takes none",
        )
    for name in given:
        if len(request.query_params.getall(name)) > 1:
            raise BadInput(
                f"{name} is given more than once", code="parameter-twice", place=f"query {name}", hint="once"
            )
        low, high = BOUNDS.get(name, (None, None))
        if low is None or high is None:
            continue
        try:
            fits = low <= int(given[name]) <= high
        except ValueError:
            continue  # what is no number at all is told where it is parsed
        if not fits:
            raise BadInput(
                f"{name} is {low} to {high}, not {given[name][:20]}",
                code="parameter-out-of-range",
                place=f"query {name}",
                hint="ask for the next page with after" if "after" in known else "ask for less",
            )


def create_app(kernel: Kernel, *, host: str = "", token: str = "") -> App:
    """The ASGI application of one home: the API under ``/api/v1``, the console at ``/``.

    ``host`` is where it listens, if that is not ``http.host``. A bearer token that is not ``token`` is refused.
    """
    of_domains = [handler for d in kernel.domains if d.routes for handler in domain.load(d.routes)]
    api = Router(
        API,
        route_handlers=[*world.HANDLERS, *findings.HANDLERS, *work.HANDLERS, *of_domains],
        before_request=refuse_bad_parameters,
        exception_handlers=problems.HANDLERS,  # type: ignore[arg-type]
    )
    app = Litestar(
        route_handlers=[api, healthz, readyz, *console.routes(kernel)],
        dependencies={
            "kernel": Provide(lambda: kernel, sync_to_thread=False),
            "principal": Provide(identify.principal_of, sync_to_thread=False),
        },
        exception_handlers=problems.HANDLERS,  # type: ignore[arg-type]
        signature_types=[Kernel, Principal],
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,  # Litestar would set the root logger to INFO: every library would talk to the terminal
        openapi_config=OpenAPIConfig(
            title="uwu",
            version=__version__,
            description="What is it, who owns it, is it as declared, who changed it, what puts it right.",
            path=f"{API}/schema",
            openapi_router=Router(f"{API}/schema", route_handlers=[], opt={"action": "health.read"}),
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        ),
    )
    hosts = {name.lower() for name in (kernel.settings.http.host, host) if name}
    return _guarded(app, LOOPBACK | hosts, token)


def _guarded(app: Litestar, hosts: frozenset[str], token: str) -> App:
    bearer = f"bearer {token}".encode() if token else b""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)  # type: ignore[arg-type]
            return
        method = scope["method"]
        refusal = _refusal(scope, method, hosts, bearer)
        if refusal is not None:
            await send(
                {
                    "type": "http.response.start",
                    "status": refusal.status_code,
                    "headers": [
                        (b"content-type", b"application/problem+json"),
                        *((name.lower().encode(), value.encode()) for name, value in refusal.headers.items()),
                        *SECURITY_HEADERS,
                    ],
                }
            )
            await send({"type": "http.response.body", "body": refusal.content})
            return
        head = method == "HEAD"
        if head:
            scope = {**scope, "method": "GET"}
        scope.setdefault(identify.PRINCIPAL, identify.local())

        async def secured(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *SECURITY_HEADERS]
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await app(scope, receive, secured)  # type: ignore[arg-type]

    return guarded


def _refusal(scope: Scope, method: str, hosts: frozenset[str], bearer: bytes) -> Response[bytes] | None:
    headers = dict(scope["headers"])
    host = headers.get(b"host", b"").decode("latin-1")
    if _split(f"//{host}").hostname not in hosts:
        # a name that resolves to loopback on the reader's machine would let any web page read this one
        return problems.problem(
            421,
            f"this server does not answer for the host {host!r}",
            code="host-unknown",
            hint=f"ask it by {', '.join(sorted(hosts))}, or set http.host",
        )
    scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
    if bearer and scheme.lower() == b"bearer" and not hmac.compare_digest(b"bearer " + secret.strip(), bearer):
        return problems.problem(
            401,
            "this server does not know the token",
            code="token-unknown",
            hint="unset UWU_TOKEN; the token of a running server is in its home's server.json",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if method not in SAFE:
        origin = headers.get(b"origin", b"").decode("latin-1")
        site = headers.get(b"sec-fetch-site", b"same-origin")
        if (origin and _split(origin).netloc != host) or site not in {b"same-origin", b"none"}:
            return problems.problem(403, "a write may only come from this server's own pages", code="cross-origin")
    return None


def _split(url: str) -> SplitResult:
    """``url`` in its parts, which are empty where it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
