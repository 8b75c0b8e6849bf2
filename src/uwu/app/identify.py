"""Who asks: from what a request shows to the principal that it is handled for.

A bearer token counts before a cookie, and one that proves nothing is refused, never passed over. Most requests ask the
database nothing: ``uwu.kernel.identity.resolve`` holds a principal for a few seconds.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import getpass
import hmac
import ipaddress
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from uwu.app.api import problems
from uwu.app.layers import App, Message, Receive, Scope, Send, answer, header
from uwu.kernel.errors import UwuError
from uwu.kernel.identity import ANONYMOUS, Principal, sessions
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings
from uwu.kernel.wire import PRINCIPAL

COOKIE, SECURE_COOKIE = "uwu_session", "__Host-uwu"
"""The session's cookie: over HTTPS its prefix lets no other host and no plain page set it (RFC 6265bis, 4.1.3)."""

ELEVATION = "break-glass.open"
"""The action that gives a session more than it had: its secret changes with it."""


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


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on ``host``."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def nobody(settings: Settings, host: str) -> Principal:
    """Who has not signed in, on a server that listens on ``host``: see ``access.anonymous``."""
    may = settings.access.anonymous
    if may == "auto":
        within = is_loopback(host) and not settings.http.public_url and not settings.http.trusted_proxies
        may = "viewer" if within and not settings.oidc.issuer else "none"
    return msgspec.structs.replace(ANONYMOUS, roles=("viewer",)) if may == "viewer" else ANONYMOUS


def layer(app: App, kernel: Kernel, *, server_token: str, otherwise: Principal, basic: tuple[str, ...] = ()) -> App:
    """``app``, each request of it with its principal. ``server_token`` is that of whoever holds the home;
    ``otherwise`` is who shows nothing. Below the prefixes ``basic`` a token may be shown as the password of Basic
    (RFC 7617) too: clients that are not ours know nothing else."""
    expected = server_token.encode()

    async def identified(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or PRINCIPAL in scope:
            await app(scope, receive, send)
            return
        try:
            principal = await _principal(scope, kernel, expected, basic) or otherwise
        except UwuError as error:
            await answer(send, _refusal(error))
            return
        scope[PRINCIPAL] = principal
        await app(scope, receive, _watching(scope, send, kernel, principal))

    return identified


async def _principal(scope: Scope, kernel: Kernel, server_token: bytes, basic: tuple[str, ...]) -> Principal | None:
    scheme, _, rest = header(scope, b"authorization").partition(" ")
    password = _password(rest) if scheme.lower() == "basic" and scope["path"].startswith(basic) else None
    if scheme.lower() == "bearer" or password is not None:
        shown = rest.strip() if password is None else password
        if server_token and hmac.compare_digest(shown.encode("latin-1"), server_token):
            return local()
        return kernel.identities.known("token", shown) or await asyncio.to_thread(kernel.identities.of_token, shown)
    secret = session_secret(scope, kernel.settings)
    if not secret:
        return None
    return kernel.identities.known("session", secret) or await asyncio.to_thread(kernel.identities.of_session, secret)


def _password(credentials: str) -> str:
    """The password of Basic's ``user-id ":" password``; whatever it is called, a token tells whose it is."""
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[2]


def _refusal(error: UwuError) -> Any:
    if error.status != 401:
        return problems.of_error(error)
    told = error.problem
    challenge = f'Bearer realm="uwu", error="invalid_token", error_description="{told.code}"'  # RFC 6750, 3
    place, headers = "header Authorization", {"WWW-Authenticate": challenge}
    return problems.problem(401, told.message, code=told.code, place=place, hint=told.hint, headers=headers)


def _watching(scope: Scope, send: Send, kernel: Kernel, principal: Principal) -> Send:
    """``send``, which gives a session a new secret where the request has given it more rights."""

    async def watching(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] < 400 and scope["method"] == "POST":
            handler = scope.get("route_handler")
            action = handler.opt.get("action", "") if handler is not None else ""
            if "/break-glass" in scope["path"]:  # it may be ended under an action of its own
                kernel.identities.forget()
            if action == ELEVATION and principal.via == "session":
                fresh = await asyncio.to_thread(sessions.rotate, kernel, principal.credential)
                cookie = session_cookie(scope, kernel.settings, fresh)
                message = {**message, "headers": [*message["headers"], cookie.to_encoded_header()]}
        await send(message)

    return watching


# ---- cookies


def is_secure(scope: Scope, settings: Settings) -> bool:
    """Whether the browser speaks HTTPS: the request says so, or came for the host of a public address that does."""
    if scope.get("scheme") == "https":
        return True
    public = urlsplit(settings.http.public_url)
    return public.scheme == "https" and header(scope, b"host").lower() == public.netloc.lower()


def cookie_of(scope: Scope, name: str) -> str:
    """The value of the request's cookie ``name``; empty where it has none, or more than one."""
    given = (pair.strip().partition("=") for pair in header(scope, b"cookie").split(";"))
    found = [value for key, _, value in given if key == name]
    return found[0] if len(found) == 1 else ""


def session_secret(scope: Scope, settings: Settings) -> str:
    """What the session's cookie holds; empty where there is none."""
    return cookie_of(scope, SECURE_COOKIE if is_secure(scope, settings) else COOKIE)


def session_cookie(scope: Scope, settings: Settings, secret: str) -> Cookie:
    """The cookie that gives the session's ``secret`` to the browser; an empty one takes it away."""
    secure = is_secure(scope, settings)
    seconds = settings.access.session_days * 86_400 if secret else 0
    return private_cookie(SECURE_COOKIE if secure else COOKIE, secret, seconds=seconds, secure=secure)


def private_cookie(name: str, value: str, *, seconds: int, secure: bool) -> Cookie:
    """A cookie that scripts do not see and other sites' forms do not send."""
    return Cookie(name, value=value, max_age=seconds, path="/", httponly=True, samesite="lax", secure=secure)


# ---- where it is reached


def base_url(scope: Scope, settings: Settings) -> str:
    """The address of this server as the browser knows it: ``http.public_url``, else that of the request, whose host
    the front door has found to be one of its own."""
    public = settings.http.public_url.rstrip("/")
    return public or f"{scope.get('scheme', 'http')}://{header(scope, b'host')}"
