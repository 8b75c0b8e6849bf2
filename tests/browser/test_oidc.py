"""A whole sign-in in a real Chromium, by a real OpenID provider (npm oidc-provider): there, consent, back, out."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import sqlalchemy as sa
import uvicorn
from playwright.sync_api import Browser, Page, expect

from tests.app.console import world
from tests.conftest import ROOT, missing
from uwu.app.asgi import create_app
from uwu.kernel import tables
from uwu.kernel.runtime import Kernel

NODE = ROOT / "tests" / "node"
SECRET = "a secret of the tests"
PEOPLE = {
    "mira": {
        "preferred_username": "mira.k",
        "name": "Mira K",
        "email": "mira@example.com",
        "email_verified": True,
        "groups": ["payments"],
    },
}


class Site:
    """The console of the small world, and the provider of its people."""

    def __init__(self, kernel: Kernel, url: str, issuer: str) -> None:
        self.kernel, self.url, self.issuer = kernel, url, issuer

    def sessions(self) -> int:
        with self.kernel.db.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(tables.sessions)).scalar_one()


@pytest.fixture
def site(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "oidc-provider").is_dir():
        missing("the OpenID provider", "tools/npm.sh brings it; it needs node and npm")
    monkeypatch.setenv("UWU_OIDC_CLIENT_SECRET", SECRET)
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    asked = {
        "client_id": "uwu",
        "client_secret": SECRET,
        "redirect_uri": f"{url}/sign-in/callback",
        "post_logout_redirect_uri": f"{url}/sign-in",
        "people": PEOPLE,
    }
    command = [str(node), str(NODE / "provider.mjs"), json.dumps(asked)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    issuer = json.loads(process.stdout.readline())["issuer"]

    shutil.copy(sqlite_template, tmp_path / "state.db")
    kernel = world.open_kernel(tmp_path)
    world.fill(kernel)
    oidc = msgspec.structs.replace(kernel.settings.oidc, issuer=issuer, client_id="uwu", name="Example")
    kernel.settings = msgspec.structs.replace(kernel.settings, oidc=oidc, organization="Example")
    app: Any = create_app(kernel)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield Site(kernel, url, issuer)
    server.should_exit = True
    thread.join(20)
    kernel.close()
    listening.close()
    assert process.stdin is not None
    process.stdin.close()
    process.wait(10)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def consent(page: Page, site: Site, person: str = "mira") -> None:
    """What a person does at the provider."""
    page.get_by_role("link", name="Sign in with Example").click()
    expect(page).to_have_url(re.compile(re.escape(site.issuer)))
    page.locator("input[name=login]").fill(person)
    page.locator("input[name=password]").fill("anything")
    page.locator("button[type=submit]").click()
    page.wait_for_load_state()
    page.get_by_role("button", name=re.compile("continue", re.IGNORECASE)).click()


def test_a_person_signs_in_works_and_leaves(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/findings?severity=high")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    consent(page, site)
    expect(page).to_have_url(f"{site.url}/findings?severity=high")
    expect(page.locator(".side .me")).to_contain_text("Mira K")
    me = page.evaluate("() => fetch('/api/v1/whoami').then((answer) => answer.json())")
    assert (me["ref"], me["name"], me["via"]) == ("user:default/mira.k", "Mira K", "session")
    assert "group:default/payments" in me["groups"]
    [cookie] = [one for one in page.context.cookies(site.url) if one.get("name") == "uwu_session"]
    assert cookie.get("httpOnly") and cookie.get("sameSite") == "Lax"
    assert "uwu_session" not in page.evaluate("() => document.cookie")
    assert site.sessions() == 1

    page.goto(f"{site.url}/account")
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    assert site.sessions() == 0
    page.goto(f"{site.url}/findings")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    page.goto(f"{site.url}/sign-in?left=1")
    page.get_by_role("link", name="sign out there too").click()
    expect(page).to_have_url(re.compile(re.escape(site.issuer)))
    page.get_by_role("button", name=re.compile("yes", re.IGNORECASE)).click()
    expect(page).to_have_url(f"{site.url}/sign-in")


def test_the_way_back_is_worth_nothing_a_second_time_or_elsewhere(site: Site, page: Page, browser: Browser) -> None:
    ways: list[str] = []
    page.on("request", lambda request: ways.append(request.url) if "/sign-in/callback" in request.url else None)
    page.goto(f"{site.url}/sign-in")
    consent(page, site)
    expect(page.locator(".side .me")).to_contain_text("Mira K")
    [way] = ways
    code = parse_qs(urlsplit(way).query)["code"][0]

    page.goto(way)
    expect(page.get_by_role("alert")).to_contain_text("sign-in-elsewhere")  # its cookie went with the first use
    elsewhere = browser.new_context()
    other = elsewhere.new_page()
    other.goto(f"{site.url}/sign-in/start")
    expect(other).to_have_url(re.compile(re.escape(site.issuer)))
    other.goto(way)
    expect(other.get_by_role("alert")).to_contain_text("sign-in-elsewhere")
    # its own state, and a code that the provider has taken already
    there = other.request.get(f"{site.url}/sign-in/start", max_redirects=0).headers["location"]
    state = parse_qs(urlsplit(there).query)["state"][0]
    other.goto(f"{site.url}/sign-in/callback?code={code}&state={state}&iss={site.issuer}")
    expect(other.get_by_role("alert")).to_contain_text("token endpoint")
    assert code not in other.content()
    elsewhere.close()
    assert site.sessions() == 1


def test_who_cancels_at_the_provider_is_told(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/sign-in")
    page.get_by_role("link", name="Sign in with Example").click()
    page.get_by_role("link", name=re.compile("cancel", re.IGNORECASE)).click()
    expect(page.get_by_role("alert")).to_contain_text("access_denied")
    expect(page.get_by_role("link", name="Sign in with Example")).to_be_visible()
    assert site.sessions() == 0
