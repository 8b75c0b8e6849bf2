"""The console's routes: thin functions from a request to a page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from litestar import Request, get, post
from litestar.exceptions import HTTPException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from uwu.app.console import catalog, find, home, links, lists, subject
from uwu.app.console.assets import PREFIX, assets
from uwu.app.console.render import THEMES, render
from uwu.kernel import codec, drift, subjects
from uwu.kernel.errors import BadInput, Conflict, Denied, NotFound, Problem, Unavailable, UwuError
from uwu.kernel.runtime import Kernel

COOKIE = "uwu_theme"
COOKIE_SECONDS = 400 * 86_400
"""As long as browsers keep one."""
ACTION = {"action": "console.view"}
HTML = "text/html"
_QUERY_CHARACTERS = 500
_ASSET_HEADERS = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}

log = logging.getLogger("uwu.console")

Page = Callable[[Request[Any, Any, Any]], Response[bytes]]


class Console:
    """The pages over one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    # ---- pages

    def home(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        view = home.home(self.kernel)
        name = "empty.html" if home.empty(view) else "home.html"
        return self.page(request, name, section=links.HOME, view=view)

    def sync_state(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The running sync, asked for every two seconds; the whole page is loaded anew once it has ended."""
        with self.kernel.db.read() as connection:
            syncing = home.syncing(connection)
        waiting = "waiting" in request.query_params
        running = syncing is not None and syncing.running
        response = Response(render("_sync.html", syncing=syncing, waiting=waiting), media_type=HTML)
        response.headers["cache-control"] = "no-store"
        if (not running and not waiting) or (waiting and syncing is not None and syncing.status == "done"):
            response.headers["hx-refresh"] = "true"
        return response

    def findings(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        view = lists.findings(self.kernel, query(request))
        return self.page(request, "findings.html", section=links.FINDINGS, view=view)

    def finding(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        view = subject.finding(self.kernel, tail(request, links.FINDINGS))
        return self.page(request, "finding.html", section=links.FINDINGS, view=view)

    def changes(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        view = lists.changes(self.kernel, query(request))
        return self.page(request, "changes.html", section=links.CHANGES, view=view)

    def resources(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        view = lists.resources(self.kernel, query(request))
        return self.page(request, "resources.html", section=links.RESOURCES, view=view)

    def resource(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """A resource by its urn; whatever else names one leads to it, an ambiguous name to the search."""
        asked = tail(request, links.RESOURCES)
        try:
            with self.kernel.db.read() as connection:
                urn = subjects.resolve(connection, asked)
        except BadInput:
            return redirect(links.with_query(links.SEARCH, {"q": asked}))
        if urn != asked:
            return redirect(links.subject(urn))
        version = query(request).get("version", "")
        if version and not version.isdigit():
            raise BadInput(f"{version!r} is not a version", hint="versions count from 1")
        view = subject.resource(self.kernel, urn, int(version) if version else None)
        return self.page(request, "resource.html", section=links.RESOURCES, view=view)

    def catalog(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        view = catalog.catalog(self.kernel, query(request))
        return self.page(request, "catalog.html", section=links.CATALOG, view=view)

    def entity(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        view = catalog.entity(self.kernel, tail(request, links.CATALOG))
        return self.page(request, "entity.html", section=links.CATALOG, view=view)

    def coverage(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        view = lists.coverage(self.kernel, query(request))
        return self.page(request, "coverage.html", section=links.COVERAGE, view=view)

    def search(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The search page, or the palette's lines where ``palette`` is asked for."""
        asked = query(request)
        palette = "palette" in asked
        view = find.find(self.kernel, asked.get("q", ""), palette=palette)
        if palette:
            return Response(render("_palette.html", view=view), media_type=HTML)
        return self.page(request, "search.html", section=links.SEARCH, view=view)

    # ---- the frame of every page

    def page(
        self, request: Request[Any, Any, Any], template: str, *, section: str, status: int = 200, **values: Any
    ) -> Response[bytes]:
        """A page in its frame: navigation, theme, the number of open findings."""
        body = render(template, shell=self.shell(request, section), **values)
        return Response(body, status_code=status, media_type=HTML, headers={"cache-control": "private, no-cache"})

    def shell(self, request: Request[Any, Any, Any], section: str) -> dict[str, Any]:
        """What the frame needs. It never fails: an error page has it too."""
        try:
            with self.kernel.db.read() as connection:
                open_findings: int | None = sum(drift.counts(connection).values())
        except Exception:
            log.exception("the number of findings is not known")
            open_findings = None
        asked = request.url.query
        return {
            "section": section,
            "theme": theme(request),
            "findings": open_findings,
            "organization": self.kernel.settings.organization,
            "here": request.url.path + (f"?{asked}" if asked else ""),
            "at": codec.now(),
        }

    def problem(self, request: Request[Any, Any, Any], problem: Problem, status: int) -> Response[bytes]:
        """An error as a page, or as a line where htmx asked: the problem itself, no trace."""
        if request.headers.get("hx-request"):
            return Response(render("_problem.html", problem=problem), status_code=status, media_type=HTML)
        return self.page(request, "problem.html", section="", status=status, problem=problem, status_code=status)


def theme(request: Request[Any, Any, Any]) -> str:
    """The theme of the request's cookie: light, dark or system."""
    chosen = request.cookies.get(COOKIE, "system")
    return chosen if chosen in THEMES else "system"


def query(request: Request[Any, Any, Any]) -> Mapping[str, str]:
    """The query's parameters, the last of each name. Raises ``BadInput`` for one that is too long."""
    held = dict(request.query_params.multi_items())
    for key, value in held.items():
        if len(key) + len(value) > _QUERY_CHARACTERS:
            raise BadInput(f"the parameter {key[:20]!r} is longer than {_QUERY_CHARACTERS} characters")
    return held


def tail(request: Request[Any, Any, Any], prefix: str) -> str:
    """What stands behind ``prefix`` in the request's path."""
    raw: bytes | None = request.scope.get("raw_path")
    return links.read_tail(raw, request.path_params["key"], prefix)


def redirect(to: str) -> Response[bytes]:
    return Response(b"", status_code=303, headers={"location": to})


async def set_theme(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Keeps the chosen theme in a cookie and goes back. Refused where another site asks."""
    site = request.headers.get("sec-fetch-site", "")
    origin = request.headers.get("origin", "")
    other = urlsplit(origin).netloc != request.headers.get("host", "") if origin else site not in {"", "same-origin"}
    if other or site in {"cross-site", "same-site"}:
        raise Denied("the theme can only be set from the console itself", code="other-origin")
    form = {key: values[-1] for key, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
    chosen = form.get("theme", "")
    if chosen not in THEMES:
        raise BadInput(f"there is no theme {chosen[:20]!r}", hint=f"one of: {', '.join(THEMES)}")
    response = redirect(links.same_site_path(form.get("next", "")))
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, chosen, max_age=COOKIE_SECONDS, path="/", httponly=True, samesite="lax", secure=secure)
    return response


async def asset(request: Request[Any, Any, Any]) -> Response[bytes]:
    """A static file by its hashed name, as gzip where that is accepted; 304 where the browser has it."""
    found = assets().by_file.get(request.path_params["file"])
    if found is None:
        raise NotFound("there is no such file", hint="reload the page: a newer release has other names")
    headers = {**_ASSET_HEADERS, "etag": found.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if found.etag in known or "*" in known:
        return Response(b"", status_code=304, headers=headers)
    packed = found.gzipped
    if packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=found.media_type, headers={**headers, "content-encoding": "gzip"})
    return Response(found.body, media_type=found.media_type, headers=headers)


async def favicon(request: Request[Any, Any, Any]) -> Response[bytes]:
    """What browsers ask for without being told."""
    del request
    return redirect(assets().url("favicon.svg"))


def routes(kernel: Kernel) -> list[HTTPRouteHandler]:
    """Every handler of the console; each carries its action. Errors are pages."""
    console = Console(kernel)

    def as_page(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        return error_page(console, request, error)

    # each class is named: of the handlers of all layers, the one of the nearest class wins
    handled: dict[int | type[Exception], Any] = dict.fromkeys((UwuError, HTTPException, Exception), as_page)
    paged: list[tuple[str, Page]] = [
        (links.HOME, console.home),
        (links.SYNC, console.sync_state),
        (links.FINDINGS, console.findings),
        (links.FINDINGS + "/{key:path}", console.finding),
        (links.CHANGES, console.changes),
        (links.RESOURCES, console.resources),
        (links.RESOURCES + "/{key:path}", console.resource),
        (links.CATALOG, console.catalog),
        (links.CATALOG + "/{key:path}", console.entity),
        (links.COVERAGE, console.coverage),
        (links.SEARCH, console.search),
    ]
    options: dict[str, Any] = {"opt": ACTION, "exception_handlers": handled, "include_in_schema": False}
    return [
        *(get(path, sync_to_thread=True, name=f"console{path}", **options)(_bare(page)) for path, page in paged),
        post(links.THEME, status_code=303, **options)(set_theme),
        get(PREFIX + "{file:str}", **options)(asset),
        get("/favicon.ico", **options)(favicon),
        get("/{key:path}", sync_to_thread=True, opt=ACTION, include_in_schema=False)(_nowhere(console)),
    ]


def _bare(page: Page) -> Page:
    """A function of the request alone: what Litestar reads the signature of."""

    def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        return page(request)

    return handle


def _nowhere(console: Console) -> Page:
    def nowhere(request: Request[Any, Any, Any]) -> Response[bytes]:
        """An address that no route has: a page for a browser, the front door's own answer for a program."""
        if "text/html" not in request.headers.get("accept", ""):
            raise NotFoundException(f"nothing is at {request.url.path}")
        told = Problem("not-found", "There is no such page", hint="go home, or search for what you look for")
        return console.problem(request, told, 404)

    return nowhere


def error_page(console: Console, request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Any error as a page. What was not expected is logged whole and told without detail."""
    if isinstance(error, UwuError):
        if not isinstance(error, NotFound | BadInput | Denied | Conflict | Unavailable):
            log.error("%s: %s", error.problem.code, error.problem.message)
        return console.problem(request, error.problem, error.status)
    if isinstance(error, HTTPException):
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
        message = "There is no such page" if error.status_code == 404 else str(error.detail)
        return console.problem(request, Problem(code, message), error.status_code)
    log.error("a page failed", exc_info=error)
    told = Problem("internal", "This page could not be made", hint="the server's log says why")
    return console.problem(request, told, 500)
