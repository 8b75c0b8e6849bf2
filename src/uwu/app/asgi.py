"""The front door: what every request passes before the API and the console see it.

From the outside in: telemetry (id, measure, log), the refusal of foreign hosts and pages, who asks (identify), how much
they may ask (limits), what was asked before (idempotency), tags and compression (etags); then Litestar's routes.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from litestar import Litestar, Response, Router
from litestar.di import Provide

from uwu.app import console, etags, forwarded, guard, health, idempotency, identify, limits, telemetry, wires
from uwu.app.api import (
    access,
    audit,
    break_glass,
    coverage,
    entropy,
    findings,
    graph,
    notices,
    openapi,
    owning,
    plans,
    problems,
    rights,
    rules,
    work,
    world,
)
from uwu.app.api.parameters import BOUNDS, refuse_bad_parameters
from uwu.app.layers import MAX_BODY_BYTES, SAFE, App, Message, Receive, Scope, Send, answer, header, sent
from uwu.app.metrics import Metrics
from uwu.kernel import domain
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

__all__ = ["API", "BOUNDS", "MAX_BODY_BYTES", "SECURITY_HEADERS", "create_app", "litestar"]

API = "/api/v1"

SECURITY_HEADERS = [
    (b"content-security-policy", console.CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def create_app(kernel: Kernel, *, host: str = "", token: str = "", principal: Principal | None = None) -> App:
    """The ASGI application of one home: the API under ``/api/v1``, the console at ``/``.

    ``host`` is where it listens, if that is not ``http.host``. ``token`` is that of whoever holds the home.
    ``principal`` is who everyone is that shows no token and no session: of the home's own process, its holder.
    """
    metrics = Metrics(kernel)
    telemetry.count_queries(kernel.db.engine, metrics.statement)
    http = kernel.settings.http
    listens = host or http.host
    hosts = {name.lower() for name in (http.host, host, _split(http.public_url).hostname) if name}
    app: App = guard.layer(litestar(kernel, metrics))  # type: ignore[arg-type]
    app = etags.layer(_offering(app))
    app = idempotency.layer(app, kernel.db, MAX_BODY_BYTES)
    app = wires.layer(app, kernel)
    app = limits.layer(app, kernel.settings.limits, lambda policy: metrics.limited.labels(policy).inc())
    nobody = principal or identify.nobody(kernel.settings, listens)
    app = identify.layer(app, kernel, server_token=token, otherwise=nobody, basic=wires.prefixes(kernel))
    app = _guarded(app, LOOPBACK | hosts)
    app = telemetry.layer(app, metrics)
    plain = not identify.is_loopback(listens) and not http.tls_certificate
    return forwarded.layer(app, http.trusted_proxies, only=plain)


def litestar(kernel: Kernel, metrics: Metrics) -> Litestar:
    """The routes: the API, the console, health."""
    of_domains = [handler for d in kernel.domains if d.routes for handler in domain.load(d.routes)]
    of_wires = [handler for d in kernel.domains if d.wire_routes for handler in domain.load(d.wire_routes)]
    api = Router(
        API,
        route_handlers=[
            *world.HANDLERS,
            *coverage.HANDLERS,
            *graph.HANDLERS,
            *findings.HANDLERS,
            *rules.HANDLERS,
            *owning.HANDLERS,
            *entropy.HANDLERS,
            *work.HANDLERS,
            *audit.HANDLERS,
            *plans.HANDLERS,
            *break_glass.HANDLERS,
            *rights.HANDLERS,
            *access.HANDLERS,
            *notices.HANDLERS,
            *of_domains,
        ],
        before_request=refuse_bad_parameters,
        exception_handlers=problems.HANDLERS,  # type: ignore[arg-type]
    )
    return Litestar(
        route_handlers=[api, openapi.route(API), *health.routes(metrics), *console.routes(kernel), *of_wires],
        dependencies={
            "kernel": Provide(lambda: kernel, sync_to_thread=False),
            "principal": Provide(identify.principal_of, sync_to_thread=False),
        },
        guards=[guard.guard(kernel)],
        exception_handlers=problems.HANDLERS,  # type: ignore[arg-type]
        signature_types=[Kernel, Principal],
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,  # Litestar would set the root logger to INFO: every library would talk to the terminal
        openapi_config=None,  # ours is made from the types themselves: bounds, problems and streams stand in it
    )


def _offering(app: App) -> App:
    """``app``, which answers OPTIONS with every method that the path takes: with those of all its handlers."""

    async def offering(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            await app(scope, receive, send)
            return
        found = False

        async def allowed(message: Message) -> None:
            nonlocal found
            if message["type"] == "http.response.start" and message["status"] == 405:
                found = True
                await send({**message, "status": 204, "headers": [(b"allow", sent(message["headers"], b"allow"))]})
            else:
                await send({**message, "body": b""} if found else message)

        await app({**scope, "method": "TRACE"}, receive, allowed)  # no path takes it: the refusal names all that are

    return offering


def _guarded(app: App, hosts: frozenset[str]) -> App:
    """``app`` for requests of its own hosts and pages alone; every answer with the security headers, HEAD as GET."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *SECURITY_HEADERS]
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        refusal = _refusal(scope, hosts)
        if refusal is not None:
            await answer(secured, refusal)
            return
        if head:
            scope["method"] = "GET"
        try:
            await app(scope, receive, secured)
        finally:
            scope["method"] = "HEAD" if head else scope["method"]

    return guarded


def _refusal(scope: Scope, hosts: frozenset[str]) -> Response[bytes] | None:
    host = header(scope, b"host")
    names = [name for name, _ in scope["headers"]]
    if b"transfer-encoding" in names and b"content-length" in names:
        # a proxy before us may have believed the other one: what follows on this connection is anyone's (RFC 9112, 6.1)
        return problems.problem(
            400,
            "the request tells its length twice",
            code="request-ambiguous",
            hint="send either Content-Length or Transfer-Encoding",
            headers={"Connection": "close"},
        )
    if _split(f"//{host}").hostname not in hosts or names.count(b"host") != 1:
        # a name that resolves to loopback on the reader's machine would let any web page read this one
        return problems.problem(
            421,
            f"this server does not answer for the host {host[:200]!r}",
            code="host-unknown",
            hint=f"ask it by {', '.join(sorted(hosts))}, or set http.public_url",
        )
    return None if scope["method"] in SAFE else _foreign_write(scope, host)


def _foreign_write(scope: Scope, host: str) -> Response[bytes] | None:
    """The refusal of a write that another site's page may have sent with the reader's own cookie."""
    origin, site = header(scope, b"origin"), header(scope, b"sec-fetch-site")
    foreign = (origin and _split(origin).netloc != host) or site not in {"", "same-origin", "none"}
    # every browser says one of the two with a POST; what says neither and shows a session cannot be told from a forgery
    cookies = (identify.COOKIE, identify.SECURE_COOKIE)
    signed_in = any(identify.cookie_of(scope, name) for name in cookies) and not header(scope, b"authorization")
    silent = signed_in and not origin and not site
    if foreign or silent:
        return problems.problem(
            403,
            "a write may only come from this server's own pages",
            code="cross-origin",
            hint="a program signs in with a token, not with a cookie" if silent else "",
        )
    sized = header(scope, b"content-length") not in {"", "0"} or header(scope, b"transfer-encoding")
    kind = header(scope, b"content-type").partition(";")[0].strip().lower()
    if scope["path"].startswith("/api/") and sized and kind != "application/json":
        # a form of another site can send text/plain without asking first, never application/json
        return problems.problem(
            415,
            f"the API takes JSON, not {kind[:100] or 'a body without a type'}",
            code="media-type-unsupported",
            place="header Content-Type",
            hint="Content-Type: application/json",
            headers={"Accept": "application/json"},
        )
    return None


def _split(url: str) -> SplitResult:
    """``url`` in its parts, which are empty where it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
