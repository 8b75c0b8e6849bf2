"""Deny by default, proven over all there is: every route, every command, every list."""

from __future__ import annotations

import inspect
import json
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import sqlalchemy as sa
from cyclopts import App

from tests.app.asking import ADMIN, NOBODY, Routes, person
from tests.app.console import world
from tests.kernel.test_sight import HIDDEN, HIDE
from uwu.app.cli import build
from uwu.app.cli.session import Session
from uwu.app.client import ApiClient, Embedded
from uwu.kernel import actions, domain, policies, tables
from uwu.kernel.db import metadata
from uwu.kernel.errors import Denied
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

TEO = person("teo")
STORE = person("vera", groups=("storefront",))
OWNER = person("mira", groups=("payments",))


@pytest.fixture(scope="module")
def home(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, path / "state.db")
    filler = world.open_kernel(path)
    world.fill(filler)
    filler.close()
    return path


@pytest.fixture
def kernel(home: Path, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel with every installed domain over the small world, in a home of its own."""
    shutil.copytree(home, tmp_path / "home")
    opened = Kernel(Settings(home=str(tmp_path / "home")), domain.installed())
    yield opened
    opened.close()


@pytest.fixture
def routes(kernel: Kernel) -> Routes:
    return Routes(kernel)


def group_of(handler: Any, kernel: Kernel) -> str:
    return actions.known(kernel.domains)[handler.opt["action"]].group


def everything(kernel: Kernel) -> dict[str, list[str]]:
    """All that is in the database."""
    with kernel.db.read() as connection:
        return {
            table.name: sorted(str(tuple(row)) for row in connection.execute(sa.select(table)))
            for table in metadata.sorted_tables
        }


# ---- routes


def test_every_route_names_an_action_that_there_is(routes: Routes, kernel: Kernel) -> None:
    known = actions.known(kernel.domains)
    found = list(routes.every())
    assert len(found) > 60
    unnamed = [
        f"{method} {path}" for method, path, h in found if method != "OPTIONS" and h.opt.get("action") not in known
    ]
    assert unnamed == []


def test_few_routes_are_open_and_none_of_them_reads_the_world(routes: Routes, kernel: Kernel) -> None:
    opened = {path for method, path, h in routes.every() if method != "OPTIONS" and group_of(h, kernel) == "open"}
    prefixes = (
        "/healthz",
        "/readyz",
        "/static/",
        "/favicon.ico",
        "/theme",
        "/sign-in",
        "/login",
        "/device",
        "/sign-out",
    )
    strange = {
        path
        for path in opened
        if not path.removeprefix("/api/v1").startswith((*prefixes, "/schema/openapi.json", "/assets/"))
    }
    assert strange == set()


def test_with_no_policy_every_route_denies_and_changes_nothing(routes: Routes, kernel: Kernel) -> None:
    kernel.policies.fixed = policies.NOTHING
    before = everything(kernel)
    wrong: list[str] = []
    for method, path, handler in routes.every():
        if method == "OPTIONS" or group_of(handler, kernel) == "open":
            continue
        for who, expected in ((ADMIN, 403), (person("x", break_glass="bg_1"), 403), (NOBODY, 401)):
            body: Any = None if method == "GET" else "a=b" if not path.startswith("/api") else {}
            status, _, data = routes.ask(who, method, path, body, accept="text/html")
            # nobody is led to the sign-in where a page is asked for
            if status != expected and not (who is NOBODY and status in (302, 303)):
                wrong.append(f"{method} {path} as {who.ref}: {status} {data[:80]!r}")
    assert wrong == []
    assert everything(kernel) == before


def test_a_route_without_an_action_is_refused(kernel: Kernel) -> None:
    from litestar import Litestar, get
    from litestar.testing import TestClient

    from uwu.app import guard
    from uwu.app.api import problems

    @get("/bare", sync_to_thread=False)
    def bare() -> str:
        return "in"

    @get("/misnamed", sync_to_thread=False, opt={"action": "world.raed"})
    def misnamed() -> str:
        return "in"

    handlers: Any = problems.HANDLERS
    app = Litestar([bare, misnamed], guards=[guard.guard(kernel)], exception_handlers=handlers)
    with TestClient(app) as client:
        for path in ("/bare", "/misnamed"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (403, "action-missing")
        assert client.options("/bare").status_code == 204


def test_a_viewer_changes_nothing_anywhere(routes: Routes, kernel: Kernel) -> None:
    before = everything(kernel)
    for method, path, handler in routes.every():
        if method in ("OPTIONS", "GET") or group_of(handler, kernel) in ("open", "self"):
            continue
        if handler.opt["action"] == "query.run" or handler.opt.get("reads"):
            continue
        body: Any = "a=b" if not path.startswith("/api") else {}
        status, _, data = routes.ask(TEO, method, path, body)
        assert status == 403, f"{method} {path}: {status} {data[:80]!r}"
    assert everything(kernel) == before


def test_the_front_door_itself_denies_who_shows_nothing(kernel: Kernel) -> None:
    kernel.policies.fixed = policies.NOTHING
    client = ApiClient(Embedded(kernel))
    with pytest.raises(Denied):
        client.get("/status")
    client.close()


# ---- commands

LOCAL = {
    ("demo",): "makes a home of its own and serves it",
    ("init",): "writes the home's first files",
    ("serve",): "is the server",
    ("worker",): "runs jobs that were asked for through the API",
    ("completion",): "prints a script",
    ("login",): "signs in, by routes that are open: nobody is known yet",
    ("logout",): "shows the token that it ends, at the server that gave it",
    ("catalog", "validate"): "reads the files that it is given",
    ("inventory", "catalog", "build"): "writes a file of the source from the botocore that is installed",
    ("catalog", "new", "service"): "writes a new folder from a template",
    ("catalog", "fmt"): "writes the files that it is given",
    ("catalog", "schema"): "prints what is installed",
    ("catalog", "touches"): "reads the files that it is given",
    ("iac", "check"): "judges a file by rules, for CI: it has no server and no home",
}
"""Commands that ask no API: they work on files of whoever calls them."""


def leaves(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in app:
        if name.startswith("-"):
            continue
        if app[name].default_command is not None:
            yield (*path, name), app[name].default_command
        yield from leaves(app[name], (*path, name))


COMMANDS = dict(leaves(build()))


class Recorded:
    """A transport that notes what is asked and how it was answered."""

    def __init__(self, inner: Embedded) -> None:
        self.inner = inner
        self.asked: list[tuple[str, str, int]] = []

    def send(self, method: str, path: str, body: bytes | None, *rest: Any, **more: Any) -> Any:
        answer = self.inner.send(method, path, body, *rest, **more)
        self.asked.append((method, path, answer[0]))
        return answer

    def working(self) -> Any:
        import contextlib

        return contextlib.nullcontext()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def given_to(command: Any, session: Session) -> tuple[list[Any], dict[str, Any]]:
    """Something that fits each parameter of ``command``."""
    hints = typing.get_type_hints(command)
    values, named = [], {}
    for name, parameter in inspect.signature(command).parameters.items():
        if name in ("client", "session"):
            named[name] = session
        elif parameter.kind is parameter.VAR_POSITIONAL:
            values.append("x")
        elif parameter.default is parameter.empty:
            value = _fitting(hints[name])
            if parameter.kind is parameter.KEYWORD_ONLY:
                named[name] = value
            else:
                values.append(value)
    return values, named


def _fitting(kind: Any) -> Any:
    if typing.get_origin(kind) is typing.Annotated:
        return _fitting(typing.get_args(kind)[0])
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)[0]
    if typing.get_origin(kind) in (list, tuple):
        return ["x"]
    return {int: 1, bool: True, Path: Path("x")}.get(kind, "{}" if kind is str else "x")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_asks_the_api_and_is_denied_by_default(
    path: tuple[str, ...], kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path in LOCAL:
        return
    monkeypatch.setattr("webbrowser.open", lambda *_args, **_more: False)
    kernel.policies.fixed = policies.NOTHING
    before = everything(kernel)
    transport = Recorded(Embedded(kernel))
    session = Session(json=True, home=kernel.settings.home_path)
    session.__dict__["client"] = ApiClient(transport)  # type: ignore[arg-type]
    arguments, named = given_to(COMMANDS[path], session)
    try:
        with pytest.raises(Denied):
            COMMANDS[path](*arguments, **named)
    finally:
        session.client.close()
    assert transport.asked, "it asked nothing: say in LOCAL why"
    assert {status for *_, status in transport.asked} <= {401, 403}
    assert everything(kernel) == before


def test_the_commands_that_ask_nothing_are_still_there() -> None:
    assert set(LOCAL) <= set(COMMANDS)


# ---- lists

API = "/api/v1"


def pages_of(routes: Routes, keys: list[str]) -> Iterator[str]:
    """Every list and every page, whole and as files; and for each of ``keys`` all that tells of one."""
    for method, path, handler in routes.every():
        if method == "GET" and "/x" not in path and "/1" not in path and not path.endswith(("/events", "-events")):
            if handler.opt["action"] in ("audit.read", "health.read"):
                continue  # the chain is read whole, or not at all; health tells nothing of the world
            yield path
            if not path.startswith(API):
                yield f"{path}?format=csv"
                yield f"{path}?format=json"
    for query in ("ledger", "444455556666", "payments", "prod"):
        yield f"{API}/search?q={query}&limit=50"
        yield f"/search?q={query}"
        yield f"/search?q={query}&palette=1"
    yield f"{API}/resources?limit=500"
    yield f"{API}/findings?status=all&limit=500"
    yield f"{API}/changes?hours=9000&limit=500"
    yield "/changes?days=90"
    yield "/findings?status=all"
    for key in keys:
        for name in ("resource", "explain", "neighbours", "history", "rights"):
            yield f"{API}/{name}?subject={key}"
        yield f"{API}/changes?subject={key}"
        yield f"{API}/entity?ref={key}"
        yield f"/graph?subject={key}"
        yield f"/resources/{key}" if key.startswith("arn:") else f"/catalog/{key}"


def test_a_hidden_account_appears_in_no_list_count_page_export_or_name(kernel: Kernel, home: Path) -> None:
    opened = Kernel(kernel.settings, (world.WORLD,))
    routes = Routes(opened)
    opened.policies.fixed = policies.with_estate([("policy:default/hide", "p.yaml", 1, HIDE)])
    r = tables.resources
    with opened.db.read() as connection:
        others = list(connection.scalars(sa.select(r.c.urn).where(r.c.account != HIDDEN)))
        refs = list(connection.scalars(sa.select(tables.entities.c.ref)))
        hidden = list(connection.execute(sa.select(r.c.urn, r.c.name).where(r.c.account == HIDDEN)))
    secrets = {HIDDEN, "prod-payments", *(row.name for row in hidden)}
    told: list[str] = []
    for path in pages_of(routes, [*others, *refs]):
        status, _, data = routes.ask(STORE, "GET", path, accept="text/html")
        text = data.decode("utf-8", "replace")
        asked = path.partition("q=")[2].partition("&")[0]
        for secret in secrets:
            if secret in text and secret != asked:  # what was asked for stands in the answer's own form
                at = text.find(secret)
                told.append(f"{path}: {text[max(0, at - 60) : at + 40]!r}")
        assert status < 500, f"{path}: {status} {text[:200]}"
    assert told == []
    for row in hidden:
        for path in (f"{API}/resource?subject=", f"{API}/history?subject=", f"{API}/explain?subject=", "/resources/"):
            assert routes.ask(STORE, "GET", path + row.urn)[0] == 404
            assert routes.ask(OWNER, "GET", path + row.urn)[0] == 200
    counted = {who.name: _totals(routes, who) for who in (STORE, OWNER)}
    assert counted["vera"]["resources"] == len(others)
    assert counted["mira"]["resources"] == len(others) + len(hidden)
    assert counted["vera"]["findings"] < counted["mira"]["findings"]
    opened.close()


def _totals(routes: Routes, who: Principal) -> dict[str, int]:
    status = routes.json(who, "GET", f"{API}/status")[1]
    resources = routes.json(who, "GET", f"{API}/resources")[1]["total"]
    findings = routes.json(who, "GET", f"{API}/findings?limit=500")[1]
    assert status["resources"] == resources
    assert sum(status["findings"].values()) == findings["total"] == len(findings["items"])
    return {"resources": resources, "findings": findings["total"]}


def test_a_query_takes_sight_of_everything(kernel: Kernel, routes: Routes) -> None:
    asked = {"sql": "select count(*) as n from resources"}
    assert routes.json(STORE, "POST", f"{API}/query", asked)[0] == 200
    kernel.policies.fixed = policies.with_estate([("policy:default/hide", "p.yaml", 1, HIDE)])
    status, told = routes.json(STORE, "POST", f"{API}/query", asked)
    assert (status, told["code"]) == (403, "sight-partial")
    assert told["place"] == "policy:default/hide#payments-is-private"
    assert routes.json(OWNER, "POST", f"{API}/query", asked)[0] == 200


def test_what_one_request_may_see_ends_with_it(kernel: Kernel, routes: Routes) -> None:
    kernel.policies.fixed = policies.with_estate([("policy:default/hide", "p.yaml", 1, HIDE)])
    totals = [routes.json(who, "GET", f"{API}/resources")[1]["total"] for who in (STORE, OWNER, STORE, OWNER)]
    assert totals[0] == totals[2] < totals[1] == totals[3]


# ---- rights, break-glass, the page of a denial


def test_rights_tell_what_one_may_do_with_a_subject(routes: Routes) -> None:
    status, told = routes.json(OWNER, "GET", f"{API}/rights?subject=ledger-db")
    assert status == 200
    by = {right["action"]: right for right in told["rights"]}
    assert told["owners"] == ["group:default/payments"]
    assert by["plans.approve"]["policies"] == ["owner-acts-on-what-it-owns"]
    assert not by["audit.read"]["allowed"]
    assert by["audit.read"]["missing"] == "it takes the role auditor or admin"
    status, told = routes.json(TEO, "GET", f"{API}/rights?subject=ledger-db&action=plans.approve")
    assert [right["ask"] for right in told["rights"]] == [["group:default/payments", "role:admin"]]
    assert routes.json(TEO, "GET", f"{API}/rights?action=plans.bless")[1]["code"] == "action-unknown"


def test_rights_of_another_take_leave_to_see_access(routes: Routes) -> None:
    who = "user:default/mira.k"
    assert routes.json(TEO, "GET", f"{API}/rights?who={who}")[0] == 403
    status, told = routes.json(ADMIN, "GET", f"{API}/rights?who={who}")
    assert (status, told["principal"], told["roles"]) == (200, who, ["viewer"])
    assert routes.json(ADMIN, "GET", f"{API}/rights?who=user:default/none")[0] == 404


def test_break_glass_is_opened_seen_by_all_and_ended(routes: Routes) -> None:
    asked = {"reason": "the ledger is down <script>", "minutes": 10}
    status, glass = routes.json(TEO, "POST", f"{API}/break-glass", asked)
    assert (status, glass["active"]) == (201, True)
    assert routes.json(TEO, "POST", f"{API}/break-glass", asked)[0] == 409
    for who in (STORE, TEO, ADMIN):
        page = routes.ask(who, "GET", "/findings", accept="text/html")[2].decode()
        assert "the ledger is down &lt;script&gt;" in page
        assert [g["id"] for g in routes.json(who, "GET", f"{API}/break-glass?active=true")[1]] == [glass["id"]]
    assert routes.json(STORE, "POST", f"{API}/break-glass/{glass['id']}/end")[0] == 403
    status, ended = routes.json(TEO, "POST", f"{API}/break-glass/{glass['id']}/end")
    assert (status, ended["active"], ended["ended_by"]) == (200, False, TEO.ref)
    assert "the ledger is down" not in routes.ask(STORE, "GET", "/findings", accept="text/html")[2].decode()


@pytest.mark.parametrize("body", [{"reason": "short"}, {"reason": "long enough reason", "minutes": 0}, {}])
def test_break_glass_that_does_not_fit_is_refused(routes: Routes, body: dict[str, Any]) -> None:
    assert routes.json(TEO, "POST", f"{API}/break-glass", body)[0] == 400


def test_the_form_breaks_glass_and_goes_back_within_the_console_only(routes: Routes) -> None:
    form = "reason=the+ledger+is+down&minutes=15&next="
    status, to, _ = routes.ask(TEO, "POST", "/break-glass", form + "//evil.example/")
    assert (status, to) == (303, "/")
    page = routes.ask(TEO, "GET", "/break-glass", accept="text/html")[2].decode()
    assert "End it now" in page
    assert routes.ask(STORE, "POST", "/break-glass", "reason=short&minutes=15")[0] == 400
    assert routes.ask(STORE, "POST", "/break-glass", "reason=the+ledger+is+down&minutes=x")[0] == 400


def test_a_denied_page_draws_what_is_missing(routes: Routes) -> None:
    status, kind, data = routes.ask(TEO, "GET", "/settings", accept="text/html")
    page = data.decode()
    assert status == 403
    assert "text/html" in kind
    assert "You may not see the settings" in page
    assert "role admin" in page
    assert "Break glass" in page
    assert "<script>" not in page


def test_a_denial_of_the_api_is_a_problem_with_policy_and_path(routes: Routes) -> None:
    status, told = routes.json(TEO, "POST", f"{API}/jobs", {"name": "sync"})
    assert (status, told["code"], told["place"]) == (403, "not-allowed", "no policy permits it")
    assert told["hint"] == "it takes the role operator or admin; ask role:admin"
    assert json.dumps(told)


def test_the_audit_is_read_in_a_query_by_who_may_read_it(routes: Routes) -> None:
    asked = {"sql": "select count(*) from audit"}
    status, told = routes.json(person("vera"), "POST", f"{API}/query", asked)
    assert (status, told["code"]) == (403, "not-allowed")
    assert "auditor" in told["hint"]
    assert routes.json(person("ada", roles=("auditor",)), "POST", f"{API}/query", asked)[0] == 200


def test_a_job_is_asked_for_and_audited_in_ones_own_name(routes: Routes) -> None:
    status, told = routes.json(person("rui", roles=("operator",)), "POST", f"{API}/jobs", {"name": "sync"})
    assert status == 202
    assert routes.json(person("vera"), "GET", f"{API}/jobs/{told['id']}")[1]["requested_by"] == "user:default/rui"
    latest = routes.json(person("ada", roles=("auditor",)), "GET", f"{API}/audit?limit=1")[1]["items"][0]
    assert (latest["actor"], latest["action"]) == ("user:default/rui", "job.sync")
