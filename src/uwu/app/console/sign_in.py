"""Signing in and out: by an OpenID provider or with a token; letting a device in."""

from __future__ import annotations

import logging
from typing import Any

from litestar.datastructures import Cookie
from litestar.response import Response

from uwu.app import identify, oidc
from uwu.app.console import links
from uwu.app.console.frame import HTML, Act, Asked, Form, Frame, Page, query, redirect, theme
from uwu.app.console.render import render
from uwu.kernel.errors import BadInput, UwuError
from uwu.kernel.identity import principals, secret, sessions, sign_ins

OPEN, SEE, CHANGE = "session.sign-in", "self.read", "self.change"
START, BACK, LEAVE = links.SIGN_IN + "/start", links.SIGN_IN + "/callback", links.SIGN_IN + "/leave"
BROWSER_COOKIE, SECURE_BROWSER_COOKIE = "uwu_sign_in", "__Host-uwu-sign-in"
"""Binds a sign-in to the browser that began it; its secret makes the verifier and the nonce."""

log = logging.getLogger("uwu.sign_in")


def _door(at: Frame, request: Asked, template: str, *, status: int = 200, **values: Any) -> Response[bytes]:
    """A page before the door: without navigation, which tells of what is behind it."""
    shell = {
        "theme": theme(request),
        "organization": at.kernel.settings.organization,
        "principal": identify.principal_of(request),
        "here": _here(request),
    }
    body = render(template, shell=shell, **values)
    return Response(body, status_code=status, media_type=HTML, headers={"cache-control": "no-store"})


def _here(request: Asked) -> str:
    asked = request.url.query
    # the way back carries a code: it is left out of all that the page repeats
    return (
        request.url.path + (f"?{asked}" if asked else "") if request.url.path in {links.SIGN_IN, links.DEVICE} else "/"
    )


def _next(text: str) -> str:
    """Where to go on: a path of this site that is not about signing in."""
    path = links.same_site_path(text)
    return links.HOME if path.partition("?")[0].startswith((links.SIGN_IN, links.SIGN_OUT)) else path


def _page(
    at: Frame, request: Asked, next: str, *, error: UwuError | None = None, left: bool = False
) -> Response[bytes]:
    settings = at.kernel.settings.oidc
    return _door(
        at,
        request,
        "sign_in.html",
        status=error.status if error is not None else 200,
        provider=settings.name if settings.issuer else "",
        start=links.with_query(START, {"next": next} if next != links.HOME else {}),
        leave=LEAVE if left and settings.issuer else "",
        left=left,
        next=next,
        problem=error.problem if error is not None else None,
    )


def show(at: Frame, request: Asked) -> Response[bytes]:
    asked = query(request)
    next = _next(asked.get("next", ""))
    if identify.principal_of(request).via == "session":
        return redirect(next)
    return _page(at, request, next, left="left" in asked)


def with_token(at: Frame, request: Asked, form: Form) -> Response[bytes]:
    """A session for whoever shows a token. It keeps to the token's scopes and ends with it."""
    next, text = _next(form.get("next")), form.get("token").strip()
    try:
        principal = at.kernel.identities.of_token(text)
        return _begin(at, request, principal.ref, next, via="token", token=principal.credential)
    except UwuError as error:
        log.warning("a sign-in by token was refused: %s", error.problem.code)
        return _page(at, request, next, error=error)


def _begin(at: Frame, request: Asked, ref: str, next: str, *, via: str, token: str | None = None) -> Response[bytes]:
    scope: Any = request.scope
    shown = identify.principal_of(request)
    text = sessions.begin(
        at.kernel,
        ref,
        via=via,
        token=token,
        agent=request.headers.get("user-agent", ""),
        replaces=shown.credential if shown.via == "session" else "",
    )
    response = redirect(next)
    _set(response, identify.session_cookie(scope, at.kernel.settings, text))
    return response


def _set(response: Response[bytes], cookie: Cookie) -> None:
    response.set_cookie(cookie)
    response.headers["cache-control"] = "no-store"


def _browser_cookie(at: Frame, request: Asked, value: str) -> Cookie:
    scope: Any = request.scope
    secure = identify.is_secure(scope, at.kernel.settings)
    name = SECURE_BROWSER_COOKIE if secure else BROWSER_COOKIE
    return identify.private_cookie(
        name, value, seconds=int(sign_ins.LIVES.total_seconds()) if value else 0, secure=secure
    )


# ---- by an OpenID provider


def start(at: Frame, request: Asked) -> Response[bytes]:
    """Sends the browser to the provider."""
    next = _next(query(request).get("next", ""))
    scope: Any = request.scope
    try:
        provider = oidc.provider(at.kernel)
        back = identify.base_url(scope, at.kernel.settings) + BACK
        state, browser = secret.opaque(), secret.opaque()
        address = provider.address(back, state, browser)
        sign_ins.begin(at.kernel, state, browser, {"next": next, "redirect_uri": back})
    except UwuError as error:
        log.warning("a sign-in could not begin: %s", error.problem.code)
        return _page(at, request, next, error=error)
    response = redirect(address)
    _set(response, _browser_cookie(at, request, browser))
    return response


def back(at: Frame, request: Asked) -> Response[bytes]:
    """Where the provider sends the browser back to."""
    asked = dict(request.query_params.multi_items())
    next = links.HOME
    scope: Any = request.scope
    secure = identify.is_secure(scope, at.kernel.settings)
    try:
        provider = oidc.provider(at.kernel)
        browser = identify.cookie_of(scope, SECURE_BROWSER_COOKIE if secure else BROWSER_COOKIE)
        state = asked.get("state", "")
        if not state or not browser:
            raise BadInput(
                "this sign-in was not begun in this browser",
                code="sign-in-elsewhere",
                hint="begin it anew, in this one",
            )
        held = sign_ins.take(at.kernel, state, browser)
        next = _next(held["next"])
        if "error" in asked:
            raise oidc.told(asked["error"])
        claims = provider.claims(
            code=asked.get("code", ""),
            redirect_uri=held["redirect_uri"],
            state=state,
            secret=browser,
            issuer=asked.get("iss", ""),
        )
        person = principals.signed_in(at.kernel, claims)
        response = _begin(at, request, person.ref, next, via="oidc")
    except UwuError as error:
        log.warning("a sign-in was refused: %s at %s", error.problem.code, error.problem.place or "-")
        return _page(at, request, next, error=error)
    _set(response, _browser_cookie(at, request, ""))
    return response


# ---- out


def leave(at: Frame, request: Asked, form: Form) -> Response[bytes]:
    """Ends the session here."""
    del form
    principal = identify.principal_of(request)
    scope: Any = request.scope
    if principal.via == "session":
        sessions.end(at.kernel, principal, principal.credential)
    response = redirect(links.SIGN_IN + "?left=1")
    _set(response, identify.session_cookie(scope, at.kernel.settings, ""))
    return response


def leave_provider(at: Frame, request: Asked) -> Response[bytes]:
    """Goes on to sign out at the provider, where it has a page for that."""
    scope: Any = request.scope
    here = identify.base_url(scope, at.kernel.settings) + links.SIGN_IN
    try:
        return redirect(oidc.provider(at.kernel).sign_out(here) or links.SIGN_IN)
    except UwuError as error:
        return _page(at, request, links.HOME, error=error)


# ---- a device


def show_device(at: Frame, request: Asked) -> Response[bytes]:
    """The device that asks to be let in, or the question for its code."""
    code = query(request).get("code", "")
    if not code:
        return _door(at, request, "device.html", device=None, done="", problem=None)
    try:
        with at.kernel.db.read() as connection:
            found = sign_ins.waiting(connection, code)
    except UwuError as error:
        return _door(at, request, "device.html", status=error.status, device=None, done="", problem=error.problem)
    return _door(at, request, "device.html", device=found, done="", problem=None)


def decide_device(at: Frame, request: Asked, form: Form) -> Response[bytes]:
    decision = form.get("decision")
    if decision not in {"allow", "deny"}:
        return redirect(links.with_query(links.DEVICE, {"code": form.get("code")[:20]}))
    try:
        found = sign_ins.decide(
            at.kernel, identify.principal_of(request), form.get("code"), "allow" if decision == "allow" else "deny"
        )
    except UwuError as error:
        return _door(at, request, "device.html", status=error.status, device=None, done="", problem=error.problem)
    return _door(at, request, "device.html", device=found, done=decision, problem=None)


PAGES = (
    Page(links.SIGN_IN, show, OPEN),
    Act(links.SIGN_IN, with_token, OPEN),
    Page(START, start, OPEN),
    Page(BACK, back, OPEN),
    Page(LEAVE, leave_provider, OPEN),
    Act(links.SIGN_OUT, leave, OPEN),
    Page(links.DEVICE, show_device, SEE),
    Act(links.DEVICE, decide_device, CHANGE),
)
