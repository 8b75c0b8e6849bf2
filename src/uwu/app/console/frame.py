"""The frame of every page, and how a module of pages brings them: a tuple ``PAGES`` of ``Page`` and ``Act``.

Every module of this package that has ``PAGES`` is found; nothing else needs to know it.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import msgspec
from litestar import Request
from litestar.response import Response, Stream

from uwu.app import identify
from uwu.app.console import links
from uwu.app.console.render import THEMES, render
from uwu.kernel import authorize, break_glass, codec, drift
from uwu.kernel.break_glass import Glass
from uwu.kernel.errors import BadInput, Problem
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

COOKIE = "uwu_theme"
HTML = "text/html"
VIEW = "console.view"
SELF = ("/self", "/me", "/account")
"""Where one's own sessions and tokens may stand: the first that is a page."""
_QUERY_CHARACTERS = 500

log = logging.getLogger("uwu.console")

Asked = Request[Any, Any, Any]
Answer = Response[bytes] | Stream


class Page(msgspec.Struct, frozen=True):
    """A GET route. ``show(frame, request)`` runs in a thread where it is a plain function, else on the event loop."""

    path: str
    """``/findings/{key:path}``; what stands behind a prefix is read by ``tail``."""
    show: Callable[[Frame, Asked], Answer | Awaitable[Answer]]
    action: str = VIEW
    """What it takes to see it, of ``uwu.kernel.actions``."""


class Act(msgspec.Struct, frozen=True):
    """A POST route of a form. ``act(frame, request, form)`` runs in a thread; it changes, audits and redirects."""

    path: str
    act: Callable[[Frame, Asked, Form], Answer]
    action: str


class Form:
    """The fields of a posted form."""

    def __init__(self, body: bytes) -> None:
        self._held = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=2000)

    def get(self, name: str, default: str = "") -> str:
        """The last value of ``name``."""
        return self._held[name][-1] if name in self._held else default

    def all(self, name: str) -> list[str]:
        """Every value of ``name``: of check boxes."""
        return self._held.get(name, [])


class Frame:
    """What pages stand in: navigation, theme, who is signed in, the number of open findings."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def page(self, request: Asked, template: str, *, section: str, status: int = 200, **values: Any) -> Response[bytes]:
        """``template`` in its frame. ``section`` is the address of the place that it belongs to."""
        body = render(template, shell=self.shell(request, section), **values)
        return Response(body, status_code=status, media_type=HTML, headers={"cache-control": "private, no-cache"})

    def part(self, template: str, **values: Any) -> Response[bytes]:
        """A piece of a page, for htmx or a live run: without the frame, never kept."""
        return Response(render(template, **values), media_type=HTML, headers={"cache-control": "no-store"})

    def shell(self, request: Asked, section: str) -> dict[str, Any]:
        """What the frame needs. It never fails: an error page has it too."""
        from uwu.app.console import places, saved_views

        principal = identify.principal_of(request)
        open_findings: int | None = None
        saved: list[saved_views.Saved] = []
        glasses: list[Glass] = []
        may = self.may(principal)
        try:
            with self.kernel.db.read() as connection:
                glasses = break_glass.active(connection)
                if may("world.read"):
                    open_findings = sum(drift.counts(connection).values())
                if section:
                    saved = saved_views.of(connection, principal, section)
        except Exception:
            log.exception("what stands in the frame is not known")
        asked = request.url.query
        return {
            "section": section,
            "theme": theme(request),
            "findings": open_findings,
            "organization": self.kernel.settings.organization,
            "principal": principal,
            "may": may,
            "places": [place for place in places.standing() if may(place.action)],
            "saved": saved,
            "glasses": glasses,
            "self": next((path for path in SELF if path in paths()), ""),
            "here": request.url.path + (f"?{asked}" if asked else ""),
            "at": codec.now(),
        }

    def may(self, principal: Principal) -> Callable[[str], bool]:
        """Whether ``principal`` may do an action on the platform as a whole: what a page offers, never what it does."""

        @cache
        def allowed(action: str) -> bool:
            try:
                return authorize.allowed_of(self.kernel, principal, action, [authorize.PLATFORM])[0]
            except Exception:
                log.exception("%s could not be decided", action)
                return False

        return allowed

    def problem(self, request: Asked, problem: Problem, status: int) -> Response[bytes]:
        """An error as a page, or as a line where htmx asked: the problem itself, no trace."""
        if request.headers.get("hx-request"):
            return Response(render("_problem.html", problem=problem), status_code=status, media_type=HTML)
        return self.page(request, "problem.html", section="", status=status, problem=problem, status_code=status)


def theme(request: Asked) -> str:
    """The theme of the request's cookie: light, dark or system."""
    chosen = request.cookies.get(COOKIE, "system")
    return chosen if chosen in THEMES else "system"


def query(request: Asked) -> Mapping[str, str]:
    """The query's parameters, the last of each name. Raises ``BadInput`` for one that is too long."""
    held = dict(request.query_params.multi_items())
    for key, value in held.items():
        if len(key) + len(value) > _QUERY_CHARACTERS:
            raise BadInput(f"the parameter {key[:20]!r} is longer than {_QUERY_CHARACTERS} characters")
    return held


def tail(request: Asked, prefix: str) -> str:
    """What stands behind ``prefix`` in the request's path."""
    raw: bytes | None = request.scope.get("raw_path")
    return links.read_tail(raw, request.path_params["key"], prefix)


def redirect(to: str) -> Response[bytes]:
    return Response(b"", status_code=303, headers={"location": to})


@cache
def found() -> tuple[Page | Act, ...]:
    """What the modules of this package bring, by module name."""
    package = importlib.import_module("uwu.app.console")
    names = sorted(each.name for each in pkgutil.iter_modules(package.__path__))
    modules = (importlib.import_module(f"{package.__name__}.{name}") for name in names)
    return tuple(route for module in modules for route in getattr(module, "PAGES", ()))


@cache
def paths() -> frozenset[str]:
    """The addresses of every page that has no key."""
    return frozenset(route.path for route in found() if isinstance(route, Page) and "{" not in route.path)


def waits(function: Callable[..., Any]) -> bool:
    """``function`` is to be awaited."""
    return inspect.iscoroutinefunction(function)
