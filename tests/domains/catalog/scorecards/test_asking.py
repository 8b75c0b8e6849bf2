"""Scorecards over the API and on the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console.server import client as client_of
from tests.domains.catalog.scorecards import world
from uwu.domains.catalog.scorecards import cli, judge
from uwu.domains.catalog.scorecards.cards import CHECKS
from uwu.kernel import codec
from uwu.kernel.domain import Client
from uwu.kernel.runtime import Kernel

BARE = "component:default/bare"


class Through(Client):
    """What a command asks, answered by the whole application."""

    def __init__(self, client: TestClient[Any]) -> None:
        self.client = client

    def get(self, path: str, **parameters: Any) -> Any:
        given = {name: value for name, value in parameters.items() if value not in (None, "")}
        answer = self.client.get(f"/api/v1{path}", params=given)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.client.post(f"/api/v1{path}", json=body)
        answer.raise_for_status()
        return answer.json()

    def put(self, path: str, body: bytes, *, sha256: str = "") -> Any:
        raise NotImplementedError(path)

    def lines(self, path: str) -> Iterator[Any]:
        raise NotImplementedError(path)

    def run(self, job: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        raise NotImplementedError(job)

    def start(self, path: str, body: Any) -> dict[str, Any]:
        raise NotImplementedError(path)


@pytest.fixture
def asked(kernel: Kernel) -> Iterator[TestClient[Any]]:
    world.write(kernel, world.company(world.service("bare", slo=[], links=[], owner="search")))
    world.observe(kernel)
    world.find(kernel, "drift.attribute")
    judge.judge(kernel)
    with client_of(kernel) as client:
        yield client


def get(client: TestClient[Any], path: str, status: int = 200, **given: str) -> Any:
    answer = client.get(f"/api/v1{path}", params=given)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_cards_checks_grades_verdicts_and_days(asked: TestClient[Any]) -> None:
    found = get(asked, "/scorecards")
    assert [one["card"] for one in found["cards"]] == ["standard"]
    assert {one["check"] for one in found["checks"]} == set(CHECKS)
    assert all(one["why"] and one["remedy"] for one in found["checks"])
    card = get(asked, "/scorecards/standard")
    assert {one["owner"] for one in card["teams"]} == {world.PAY, "group:default/search"}
    first = get(asked, "/scorecards/standard/grades", limit="1")
    second = get(asked, "/scorecards/standard/grades", limit="1", after=first["after"])
    assert {one["entity"] for one in (*first["items"], *second["items"])} == {world.SHOP, BARE}
    failing = get(asked, "/scorecards/standard/grades", check="no-drift")
    assert [one["entity"] for one in failing["items"]] == [world.SHOP]
    (graded,) = get(asked, "/graded", entity="shop")
    (drifted,) = [one for one in graded["results"] if one["check"] == "no-drift"]
    assert drifted["status"] == "failed"
    assert [proof["kind"] for proof in drifted["proofs"]] == ["finding"]
    assert len(get(asked, "/scorecards/standard/history", entity=world.SHOP)["items"]) == 1


def test_what_there_is_not_is_told_with_what_there_is(asked: TestClient[Any]) -> None:
    assert "standard" in get(asked, "/scorecards/standrd", 404)["hint"]
    assert get(asked, "/scorecards/standard/grades", 400, check="runbok")["hint"] == "did you mean runbook?"
    assert get(asked, "/graded", 404, entity="group:default/search")["code"] == "not-graded"


def test_the_command_line_lists_shows_and_excuses(asked: TestClient[Any]) -> None:
    client = Through(asked)
    listed = cli.score(client=client).text.splitlines()
    assert listed[0].split() == ["score", "level", "checks", "entity", "owner"]
    assert sorted(line.split()[-2] for line in listed[1:]) == [BARE, world.SHOP]
    one = cli.score(BARE, client=client).text
    assert "FAIL    slo" in one
    until = (codec.now() + timedelta(days=5)).date().isoformat()
    told = cli.excuse(BARE, "slo", until=until, reason="it goes away", client=client).text
    assert f"{BARE} is exempt from slo until {until}" in told
    assert "exempt  slo" in cli.score(BARE, client=client).text
    assert "standard" in cli.cards(client=client).text
    assert "Mend: " in cli.cards(checks=True, client=client).text
    assert cli.score(BARE, history=True, client=client).text.startswith(codec.now().date().isoformat())
    assert cli.score(level="gold", owner="group:default/search", client=client).text == "No entity stands so."
