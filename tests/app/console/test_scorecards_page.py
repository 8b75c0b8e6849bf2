"""The pages of scorecards: who stands where, what a check says and why, exemptions by a form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console.server import client as client_of
from tests.domains.catalog.scorecards import world
from uwu.app.console import links
from uwu.domains.catalog.scorecards import judge
from uwu.domains.catalog.scorecards.cards import CHECKS
from uwu.kernel import codec, drift
from uwu.kernel.runtime import Kernel

BARE = "component:default/bare"


@pytest.fixture
def graded(sqlite_kernel: Kernel) -> Kernel:
    world.write(sqlite_kernel, world.company(world.service("bare", slo=[], links=[], owner="search")))
    world.observe(sqlite_kernel)
    world.find(sqlite_kernel, "drift.attribute")
    judge.judge(sqlite_kernel)
    return sqlite_kernel


@pytest.fixture
def client(graded: Kernel) -> Iterator[TestClient[Any]]:
    with client_of(graded) as client:
        yield client


def _told(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_before_anything_is_graded_the_page_says_so(sqlite_kernel: Kernel) -> None:
    with client_of(sqlite_kernel) as client:
        told = client.get("/scorecards")
    assert told.status_code == 200
    assert "Nothing is graded yet" in told.text


def test_everybody_stands_in_one_list_with_each_check_drawn(client: TestClient[Any]) -> None:
    page = client.get("/scorecards").text
    assert f'href="{links.scorecard(world.SHOP)}"' in page
    assert f'href="{links.scorecard(BARE)}"' in page
    assert f"{CHECKS['no-drift'].title}: failed</title>" in page
    only = client.get("/scorecards?owner=group:default/search").text
    assert links.scorecard(world.SHOP) not in only
    assert links.scorecard(BARE) in only
    none = client.get("/scorecards?level=gold&owner=group:default/search").text
    assert "No entity stands so" in none
    assert client.get("/scorecards?level=wood").status_code == 400


def test_one_entity_shows_what_fails_its_proof_and_what_mends_it(client: TestClient[Any], graded: Kernel) -> None:
    page = client.get(links.scorecard(world.SHOP)).text
    assert CHECKS["no-drift"].remedy in page
    with graded.db.read() as connection:
        (id,) = [one.id for one in drift.findings(connection, subject=world.QUEUE, limit=1).items]
    assert f'href="{links.finding(id)}"' in page
    assert client.get(links.finding(id)).status_code == 200
    assert "History" in page
    assert client.get(links.scorecard("component:default/nobody")).status_code == 404


def test_a_form_exempts_until_a_day_and_another_ends_it(client: TestClient[Any], graded: Kernel) -> None:
    until = (codec.now() + timedelta(days=5)).date().isoformat()
    given = {"entity": BARE, "check": "slo", "until": until, "reason": "it goes away in June"}
    made = client.post("/scorecards/exempt", data=given, headers={"origin": "http://127.0.0.1:8420"})
    assert made.status_code == 200, made.text
    assert "Exempt until" in _told(made.text)
    (id,) = set(re.findall(r'name="id" value="([^"]+)"', made.text))
    ended = client.post("/scorecards/end", data={"id": id}, headers={"origin": "http://127.0.0.1:8420"})
    assert "Exempt until" not in _told(ended.text)
    wrong = client.post(
        "/scorecards/exempt", data={**given, "check": "slos"}, headers={"origin": "http://127.0.0.1:8420"}
    )
    assert wrong.status_code == 400
    assert "no check" in wrong.text
