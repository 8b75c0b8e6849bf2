"""Oneself: who one is, one's own sessions and tokens."""

from __future__ import annotations

from litestar.response import Response

from uwu.app import identify
from uwu.app.console import links
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, redirect
from uwu.kernel import authorize, codec
from uwu.kernel.errors import NotFound, UwuError
from uwu.kernel.identity import Principal, sessions, tokens

SEE, CHANGE = "self.read", "self.change"
LIFETIMES = (7, 30, 90, 365)
"""Days that the form offers; those that ``access.token_max_days`` allows."""
SCOPES = (("read", "read"), ("read run", "read and run jobs"), ("*", "all that you may"))


_BROWSERS = (("Firefox/", "Firefox"), ("Edg/", "Edge"), ("OPR/", "Opera"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "an iPhone"),
    ("iPad", "an iPad"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_name(agent: str) -> str:
    """``Chrome on Linux`` of a browser's own name; what it says where it is none of those that are known."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    return f"{browser} on {system}" if browser and system else browser or agent[:60] or "A browser"


def _page(at: Frame, request: Asked, *, made: str = "", error: UwuError | None = None) -> Response[bytes]:
    principal = identify.principal_of(request)
    now = codec.now()
    with at.kernel.db.read() as connection:
        held = tokens.listed(connection, principal=principal.ref)
        open_ = sessions.listed(at.kernel, connection, principal=principal.ref)
    living = [one for one in held if one.revoked_at is None and (one.expires_at is None or one.expires_at > now)]
    access = at.kernel.settings.access
    response = at.page(
        request,
        "account.html",
        section="",
        status=error.status if error is not None else 200,
        tokens=living,
        ended=len(held) - len(living),
        sessions=[(one, browser_name(one.agent)) for one in open_],
        lifetimes=[days for days in LIFETIMES if days <= access.token_max_days] or [access.token_max_days],
        lifetime=access.token_days,
        scopes=SCOPES,
        made=made,
        problem=error.problem if error is not None else None,
    )
    if made:
        response.headers["cache-control"] = "no-store"
    return response


def show(at: Frame, request: Asked) -> Answer:
    return _page(at, request)


def create(at: Frame, request: Asked, form: Form) -> Answer:
    """Makes a token and shows it on the page, this once."""
    days = form.get("days")
    try:
        _, text = tokens.create(
            at.kernel,
            identify.principal_of(request),
            name=form.get("name"),
            scopes=form.get("scopes").split(),
            days=int(days) if days.isdecimal() and len(days) < 6 else None,
        )
    except UwuError as error:
        return _page(at, request, error=error)
    return _page(at, request, made=text)


def revoke(at: Frame, request: Asked, form: Form) -> Answer:
    del form
    principal, id = identify.principal_of(request), str(request.path_params["id"])
    with at.kernel.db.read() as connection:
        _mine(at, principal, tokens.find(connection, id).principal)
    tokens.revoke(at.kernel, principal, id)
    return redirect(links.ACCOUNT)


def end(at: Frame, request: Asked, form: Form) -> Answer:
    del form
    principal, id = identify.principal_of(request), str(request.path_params["id"])
    with at.kernel.db.read() as connection:
        _mine(at, principal, sessions.find(connection, id).principal)
    sessions.end(at.kernel, principal, id)
    return redirect(links.ACCOUNT)


def end_all(at: Frame, request: Asked, form: Form) -> Answer:
    """Signs out everywhere, here too."""
    del form
    principal = identify.principal_of(request)
    sessions.end_all(at.kernel, principal, principal.ref)
    return redirect(links.SIGN_IN + "?left=1")


def _mine(at: Frame, principal: Principal, of: str) -> None:
    """Raises ``NotFound`` for what is another's, unless one may look after others' too."""
    if of != principal.ref and not authorize.decide(at.kernel, principal, "access.manage").allowed:
        raise NotFound("there is no such thing of yours", hint="it has ended, or it is another's")


PAGES = (
    Page(links.ACCOUNT, show, SEE),
    Act(links.ACCOUNT + "/tokens", create, CHANGE),
    Act(links.ACCOUNT + "/tokens/{id:str}/revoke", revoke, CHANGE),
    Act(links.ACCOUNT + "/sessions/{id:str}/end", end, CHANGE),
    Act(links.ACCOUNT + "/sessions/end-all", end_all, CHANGE),
)
