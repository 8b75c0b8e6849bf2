"""The pages of rules, and exempting from where one stands."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from sqlalchemy import event

from tests.app.asking import ADMIN, Routes, person
from tests.app.console import world
from tests.app.console.server import ORIGIN
from tests.app.console.server import client as client_of
from uwu.app import identify
from uwu.app.console import links
from uwu.kernel import codec, drift, exemptions, tables
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

SAME = {"origin": ORIGIN}
IN_A_WEEK = (codec.now() + timedelta(days=7)).date().isoformat()
RULE = "/rules/world.open"


@pytest.fixture
def kernel(sqlite_template: Path, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel that tests may change."""
    shutil.copy(sqlite_template, tmp_path / "state.db")
    opened = world.open_kernel(tmp_path)
    world.fill(opened)
    yield opened
    opened.close()


@pytest.fixture
def browser(kernel: Kernel) -> Iterator[TestClient[Any]]:
    with client_of(kernel) as opened:
        yield opened


def words(browser: TestClient[Any], path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text.partition("<main")[2]))


def open_one(kernel: Kernel, status: str = "unresolved") -> Any:
    with kernel.db.read() as connection:
        return drift.findings(connection, rule="world.open", status=status).items[0]


def post(browser: TestClient[Any], path: str, **form: str) -> Any:
    return browser.post(path, data=form, headers=SAME, follow_redirects=False)


def test_the_rules_are_in_the_navigation_and_the_palette(browser: TestClient[Any]) -> None:
    assert 'href="/rules"' in browser.get("/").text
    assert "Rules" in browser.get("/search?palette=1&q=rules").text


def test_every_rule_is_listed_with_its_numbers(browser: TestClient[Any], kernel: Kernel) -> None:
    text = words(browser, "/rules")
    for title in ("Exposure", "A port is open to the internet", "Drift", "A resource has no owner"):
        assert title in text
    assert "rules judge after every sync" in text
    assert "A port is open" not in words(browser, "/rules?show=exempt") and "No rule fits" in words(
        browser, "/rules?show=off"
    )


def test_before_the_first_sync_it_says_so(empty: Kernel) -> None:
    with client_of(empty) as browser:
        assert "No rule has judged yet" in words(browser, "/rules")
        assert "It judges with the next sync" in words(browser, RULE)


def test_a_rule_tells_why_what_and_what_it_could_not_see(lively_kernel: Kernel) -> None:
    with client_of(lively_kernel) as browser:
        text = words(browser, RULE)
        assert "tries every password that ever leaked" in text and "revoke-security-group-ingress" in text
        assert "CIS AWS 3.0 5.2" in text and "Port 5432 of sg-payments-db is open to the internet" in text
        assert "14 SQS queue: Policy was not observed" in text
        assert world.HOSTILE not in browser.get(RULE).text
        exempt = words(browser, "/rules?show=exempt")
        assert "Everything in prod-web" in exempt and "tmp-export" in exempt and "11 days left, by" in exempt
        assert browser.get("/rules/world.none").status_code == 404


def test_what_was_not_observed_is_no_pass(browser: TestClient[Any], kernel: Kernel) -> None:
    assert "not observed" not in words(browser, "/rules").partition("Drift")[0].partition("Exposure")[2]
    with kernel.db.write() as connection:
        connection.execute(tables.coverage.delete().where(tables.coverage.c.type.in_((world.SG, world.INSTANCE))))
        connection.execute(tables.findings.delete())
    text = words(browser, "/rules")
    assert "1 rule looks at what was not observed." in text and "not known" in text
    assert "A port is open to the internet" in words(browser, "/rules?show=not+judged")
    text = words(browser, RULE)
    assert "nothing of it observed" in text and "Not known: nothing that it looks at was observed." in text
    assert "Security group never observed" in text and "nothing open" not in text


def test_a_finding_is_exempt_from_its_page_and_back(browser: TestClient[Any], kernel: Kernel) -> None:
    found = open_one(kernel)
    page = links.finding(found.id)
    assert "Exempt it until a day" in words(browser, page)
    form = {"rule": found.rule, "subject": found.subject, "until": IN_A_WEEK, "reason": "a test until then"}
    made = post(browser, "/rules/exempt", **form, next=page)
    assert (made.status_code, made.headers["location"]) == (303, page)
    text = words(browser, page)
    assert "exempt until" in text and "a test until then" in text and re.search(r"[67] days left", text)
    assert found.title not in words(browser, "/findings")
    listed = words(browser, "/findings?status=exempt")
    assert found.title in listed and "exempt until" in listed
    id = open_one(kernel, "exempt").exemption
    ended = post(browser, "/rules/end", id=id, next="https://elsewhere.example/")
    assert (ended.status_code, ended.headers["location"]) == (303, "/")
    assert open_one(kernel).id == found.id and "exempt until" not in words(browser, page)


def test_an_account_is_exempt_from_the_page_of_a_rule(browser: TestClient[Any], kernel: Kernel) -> None:
    assert f'value="{world.PAYMENTS}"' in browser.get(f"{RULE}?subject={world.PAYMENTS}").text
    made = post(browser, "/rules/exempt", rule="world.open", subject=world.PAYMENTS, until=IN_A_WEEK, reason="it moves")
    assert made.headers["location"] == RULE
    text = words(browser, RULE)
    assert "Everything in prod-payments" in text and "1 finding hidden" in text and "nothing open" in text


def test_only_who_may_is_offered_it(kernel: Kernel) -> None:
    until = codec.now() + timedelta(days=9)
    for account in (world.PAYMENTS, world.WEB):
        exemptions.exempt(kernel, ADMIN, rule="drift.gone", account=account, until=until, reason="it moves")
    found = open_one(kernel)
    routes = Routes(kernel)

    def page(who: Principal, path: str) -> str:
        status, _, data = routes.ask(who, "GET", path, accept="text/html")
        assert status == 200
        return data.decode()

    mira, teo = person("mira", groups=("payments",)), person("teo")
    assert "Exempt it until a day" in page(mira, links.finding(found.id))
    assert "Exempt it until a day" not in page(teo, links.finding(found.id))
    assert "/rules/exempt" in page(mira, RULE) and "/rules/exempt" not in page(teo, RULE)
    for who, offered in ((ADMIN, 2), (mira, 0), (teo, 0)):
        text = page(who, "/rules?show=exempt")
        assert text.count('action="/rules/end"') == offered and "Everything in prod-web" in text


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"until": ""}, 400, "neither a day nor a time"),
        ({"until": "2020-01-01"}, 400, "ends between now and 366 days"),
        ({"reason": ""}, 400, "needs a reason"),
        ({"subject": "nothing-is-so-called"}, 404, "nothing here is called"),
        ({"rule": "world.none"}, 400, "there is no rule"),
    ],
)
def test_a_form_that_does_not_fit_is_a_page_that_says_why(
    browser: TestClient[Any], kernel: Kernel, changed: dict[str, str], status: int, says: str
) -> None:
    form = {"rule": "world.open", "subject": world.SG_PAYMENTS.urn, "until": IN_A_WEEK, "reason": "x", **changed}
    answer = post(browser, "/rules/exempt", **form)
    assert answer.status_code == status and says in answer.text
    with kernel.db.read() as connection:
        assert exemptions.listed(connection).total == 0


def test_another_site_cannot_exempt(browser: TestClient[Any], kernel: Kernel) -> None:
    form = {"rule": "world.open", "subject": world.SG_PAYMENTS.urn, "until": IN_A_WEEK, "reason": "x"}
    answer = browser.post(
        "/rules/exempt", data=form, headers={"origin": "https://elsewhere.example"}, follow_redirects=False
    )
    assert answer.status_code == 403
    assert open_one(kernel).status == "open"


def test_the_pages_ask_little(browser: TestClient[Any], kernel: Kernel) -> None:
    until = codec.now() + timedelta(days=9)
    exemptions.exempt(kernel, identify.local(), rule="*", account=world.WEB, until=until, reason="it moves out")
    asked: list[str] = []
    event.listen(kernel.db.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    for path in ("/rules", "/rules?show=exempt", RULE, "/findings?status=exempt"):
        browser.get(path)
        asked.clear()
        browser.get(path)
        queries = [one for one in asked if one.lstrip().lower().startswith(("select", "with"))]
        assert len(queries) <= 20, (path, len(queries), queries)
