"""The routes of the console: the pages of every module, the theme, the files; and errors as pages."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from litestar import get, post
from litestar.concurrency import sync_to_thread
from litestar.exceptions import HTTPException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from uwu.app import identify
from uwu.app.console import (
    catalog,
    denied,
    detections,
    exports,
    find,
    frame,
    home,
    links,
    lists,
    plan,
    plans,
    rules,
    subject,
)
from uwu.app.console.assets import PREFIX, assets
from uwu.app.console.export import exported, wanted
from uwu.app.console.frame import COOKIE, HTML, VIEW, Act, Answer, Asked, Form, Frame, Page, query, redirect, tail
from uwu.app.console.render import THEMES, render
from uwu.kernel import drift, subjects
from uwu.kernel.authorize import NotAllowed, SignInNeeded
from uwu.kernel.errors import BadInput, Conflict, Denied, NotFound, Problem, Unavailable, UwuError
from uwu.kernel.runtime import Kernel

COOKIE_SECONDS = 400 * 86_400
"""As long as browsers keep one."""
_ASSET_HEADERS = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}

log = logging.getLogger("uwu.console")


def show_home(at: Frame, request: Asked) -> Answer:
    view = home.home(at.kernel)
    name = "empty.html" if home.empty(view) else "home.html"
    waiting, waits = plans.waiting_for(at.kernel, identify.principal_of(request))
    return at.page(request, name, section=links.HOME, view=view, waiting=waiting, waits=waits)


def show_findings(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    if wanted(asked):
        return exported(at.kernel, asked, exports.findings(at.kernel, asked, request.query_params.getall("id", [])))
    view = lists.findings(at.kernel, asked)
    return at.page(request, "findings.html", section=links.FINDINGS, view=view)


def show_finding(at: Frame, request: Asked) -> Answer:
    view = subject.finding(at.kernel, tail(request, links.FINDINGS))
    with at.kernel.db.read() as connection:
        found = drift.finding(connection, view.row.id)
        mend = plan.mend(at.kernel, connection, identify.principal_of(request), found)
        exempting = rules.of_finding(at.kernel, connection, identify.principal_of(request), found)
    alert = detections.of_finding(at.kernel, identify.principal_of(request), found)
    given = {"view": view, "mend": mend, "exempting": exempting, "alert": alert}
    return at.page(request, "finding.html", section=links.FINDINGS, **given)


def show_changes(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    if wanted(asked):
        return exported(at.kernel, asked, exports.changes(at.kernel, asked))
    view = lists.changes(at.kernel, asked)
    return at.page(request, "changes.html", section=links.CHANGES, view=view)


def show_resources(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    if wanted(asked):
        return exported(at.kernel, asked, exports.resources(at.kernel, asked))
    view = lists.resources(at.kernel, asked)
    return at.page(request, "resources.html", section=links.RESOURCES, view=view)


def show_resource(at: Frame, request: Asked) -> Answer:
    """A resource by its urn; whatever else names one leads to it, an ambiguous name to the search."""
    asked = tail(request, links.RESOURCES)
    try:
        with at.kernel.db.read() as connection:
            urn = subjects.resolve(connection, asked)
    except BadInput:
        return redirect(links.with_query(links.SEARCH, {"q": asked}))
    if urn != asked:
        return redirect(links.subject(urn))
    view = subject.resource(at.kernel, urn, query(request))
    return at.page(request, "resource.html", section=links.RESOURCES, view=view)


def show_catalog(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    if wanted(asked):
        return exported(at.kernel, asked, exports.catalog(at.kernel, asked))
    view = catalog.catalog(at.kernel, asked)
    return at.page(request, "catalog.html", section=links.CATALOG, view=view)


def show_entity(at: Frame, request: Asked) -> Answer:
    view = catalog.entity(at.kernel, tail(request, links.CATALOG))
    return at.page(request, "entity.html", section=links.CATALOG, view=view)


def show_search(at: Frame, request: Asked) -> Answer:
    """The search page, or the palette's lines where ``palette`` is asked for."""
    asked = query(request)
    palette = "palette" in asked
    principal = identify.principal_of(request)
    view = find.find(at.kernel, asked.get("q", ""), palette=palette, principal=principal)
    if palette:
        return Response(render("_palette.html", view=view), media_type=HTML)
    return at.page(request, "search.html", section=links.SEARCH, view=view)


async def set_theme(request: Asked) -> Response[bytes]:
    """Keeps the chosen theme in a cookie and goes back. Refused where another site asks."""
    site = request.headers.get("sec-fetch-site", "")
    origin = request.headers.get("origin", "")
    other = urlsplit(origin).netloc != request.headers.get("host", "") if origin else site not in {"", "same-origin"}
    if other or site in {"cross-site", "same-site"}:
        raise Denied("the theme can only be set from the console itself", code="other-origin")
    form = Form(await request.body())
    chosen = form.get("theme")
    if chosen not in THEMES:
        raise BadInput(f"there is no theme {chosen[:20]!r}", hint=f"one of: {', '.join(THEMES)}")
    response = redirect(links.same_site_path(form.get("next")))
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, chosen, max_age=COOKIE_SECONDS, path="/", httponly=True, samesite="lax", secure=secure)
    return response


async def asset(request: Asked) -> Response[bytes]:
    """A static file by its hashed name, as gzip where that is accepted; 304 where the browser has it."""
    held = assets().by_file.get(request.path_params["file"])
    if held is None:
        raise NotFound("there is no such file", hint="reload the page: a newer release has other names")
    headers = {**_ASSET_HEADERS, "etag": held.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if held.etag in known or "*" in known:
        return Response(b"", status_code=304, headers=headers)
    packed = held.gzipped
    if packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=held.media_type, headers={**headers, "content-encoding": "gzip"})
    return Response(held.body, media_type=held.media_type, headers=headers)


async def favicon(request: Asked) -> Response[bytes]:
    """What browsers ask for without being told."""
    del request
    return redirect(assets().url("favicon.svg"))


PAGES = (
    Page(links.HOME, show_home),
    Page(links.FINDINGS, show_findings),
    Page(links.FINDINGS + "/{key:path}", show_finding),
    Page(links.CHANGES, show_changes),
    Page(links.RESOURCES, show_resources),
    Page(links.RESOURCES + "/{key:path}", show_resource),
    Page(links.CATALOG, show_catalog),
    Page(links.CATALOG + "/{key:path}", show_entity),
    Page(links.SEARCH, show_search),
)


def routes(kernel: Kernel) -> list[HTTPRouteHandler]:
    """Every handler of the console; each carries its action. Errors are pages."""
    at = Frame(kernel)

    def as_page(request: Asked, error: Exception) -> Response[bytes]:
        return error_page(at, request, error)

    # each class is named: of the handlers of all layers, the one of the nearest class wins
    handled: dict[int | type[Exception], Any] = dict.fromkeys((UwuError, HTTPException, Exception), as_page)
    common: dict[str, Any] = {"exception_handlers": handled, "include_in_schema": False}
    led: dict[str, Any] = {"exception_handlers": {SignInNeeded: as_page}, "include_in_schema": False}
    files: dict[str, Any] = {"opt": {"action": "console.files"}, **common}
    return [
        *(_handler(at, route, common) for route in frame.found()),
        post(links.THEME, status_code=303, **files)(set_theme),
        get(PREFIX + "{file:str}", **files)(asset),
        get("/favicon.ico", **files)(favicon),
        get("/{key:path}", sync_to_thread=True, opt={"action": VIEW}, **led)(_nowhere(at)),
    ]


def _handler(at: Frame, route: Page | Act, common: dict[str, Any]) -> HTTPRouteHandler:
    """The handler of ``route``: a function of the request alone, whose signature Litestar reads."""
    options: dict[str, Any] = {"opt": {"action": route.action}, "name": f"console{route.path}", **common}
    if isinstance(route, Act):
        act = route.act

        async def take(request: Asked) -> Response[Any]:
            form = Form(await request.body())
            return await sync_to_thread(act, at, request, form)  # type: ignore[return-value]

        return post(route.path, status_code=303, **{**options, "name": f"console{route.path} (form)"})(take)
    show: Any = route.show
    if frame.waits(show):

        async def answer(request: Asked) -> Response[Any]:
            return await show(at, request)

        return get(route.path, **options)(answer)

    async def give(request: Asked) -> Response[Any]:
        return await sync_to_thread(show, at, request)  # by hand: Litestar forgets to where a path has two methods

    return get(route.path, **options)(give)


def _nowhere(at: Frame) -> Any:
    def nowhere(request: Asked) -> Response[bytes]:
        """An address that no route has: a page for a browser, the front door's own answer for a program."""
        if "text/html" not in request.headers.get("accept", ""):
            raise NotFoundException(f"nothing is at {request.url.path}")
        told = Problem("not-found", "There is no such page", hint="go home, or search for what you look for")
        return at.problem(request, told, 404)

    return nowhere


def to_sign_in(request: Asked) -> Response[bytes]:
    """Leads to the page to sign in, and from there back to what was asked for."""
    asked = request.url.query
    here = request.url.path + (f"?{asked}" if asked else "")
    kept = {"cache-control": "no-store"}
    if request.headers.get("hx-request"):  # a piece of a page: the whole page goes, back to where it is now
        current = urlsplit(request.headers.get("hx-current-url", ""))
        here = current.path + (f"?{current.query}" if current.query else "")
        to = links.sign_in(links.same_site_path(here))
        return Response(b"", status_code=401, headers={"hx-redirect": to, **kept})
    to = links.sign_in(links.same_site_path(here) if request.method == "GET" else links.HOME)
    return Response(b"", status_code=303, headers={"location": to, **kept})


def error_page(at: Frame, request: Asked, error: Exception) -> Response[bytes]:
    """Any error as a page; who must sign in first is led there. What was not expected is logged whole and told without
    detail."""
    if isinstance(error, SignInNeeded):
        return to_sign_in(request)
    if isinstance(error, UwuError):
        if not isinstance(error, NotFound | BadInput | Denied | Conflict | Unavailable):
            log.error("%s: %s", error.problem.code, error.problem.message)
        if isinstance(error, NotAllowed) and error.status == 403 and not request.headers.get("hx-request"):
            return denied.page(at, request, error)
        return at.problem(request, error.problem, error.status)
    if isinstance(error, HTTPException):
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
        message = "There is no such page" if error.status_code == 404 else str(error.detail)
        return at.problem(request, Problem(code, message), error.status_code)
    log.error("a page failed", exc_info=error)
    told = Problem("internal", "This page could not be made", hint="the server's log says why")
    return at.problem(request, told, 500)
