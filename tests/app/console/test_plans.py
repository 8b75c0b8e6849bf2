"""The pages of plans: what they offer to whom, and that deciding on them is bound to what was looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console.server import ORIGIN
from tests.app.console.test_pages import Reader
from tests.kernel import plan_world
from tests.kernel.plan_world import DOMAIN, person
from uwu.app.asgi import create_app
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

Client = TestClient[Any]
MIRA = person("mira.k", "payments", roles=("viewer", "operator"))
TEO = person("teo", "payments", roles=("viewer", "operator"))
NOA = person("noa", "identity", roles=("viewer",))


@pytest.fixture
def drifted(sqlite_kernel: Kernel) -> Kernel:
    """Three queues of the team payments, of which two are not as declared."""
    kernel = Kernel(sqlite_kernel.settings, (DOMAIN,))
    plan_world.built(kernel)
    return kernel


@pytest.fixture
def as_(drifted: Kernel) -> Iterator[Callable[[Principal], Client]]:
    with ExitStack() as stack:

        def client(who: Principal) -> Client:
            opened = TestClient(create_app(drifted, principal=who), base_url=ORIGIN)  # type: ignore[arg-type]
            opened.follow_redirects = False
            return stack.enter_context(opened)

        yield client


def read(client: Client, path: str) -> Reader:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text[:2000]
    return Reader(answer.text)


def field(page: Reader, name: str) -> str:
    return next(str(attrs["value"]) for tag, attrs in page.tags if tag == "input" and attrs.get("name") == name)


def ask(client: Client, number: int = 0) -> str:
    form = {"finding": plan_world.finding(number), "reason": "It was changed by hand"}
    answer = client.post("/plans", data=form)
    assert answer.status_code == 303, answer.text[-2000:]
    return answer.headers["location"]


def test_before_anything_is_planned_the_page_says_where_plans_come_from(as_: Callable[[Principal], Client]) -> None:
    page = read(as_(MIRA), "/plans")
    assert "Nothing is planned" in page.text
    assert "/findings" in page.hrefs


def test_a_finding_that_can_be_mended_offers_a_plan_and_then_shows_it(as_: Callable[[Principal], Client]) -> None:
    client = as_(MIRA)
    finding = f"/findings/{plan_world.finding(0)}"
    assert "Plan the repair" in read(client, finding).text
    plan = ask(client)
    page = read(client, plan)
    assert "Set the retention of 1 queues" in page.text
    assert "It was changed by hand" in page.text
    assert "whoever asked for a plan does not decide it" in page.text
    assert "Approve" not in [text.strip() for text in page.pieces]
    after = read(client, finding)
    assert "Plan the repair" not in after.text
    assert plan in after.hrefs


def test_it_waits_for_those_who_may_decide_and_for_nobody_else(as_: Callable[[Principal], Client]) -> None:
    plan = ask(as_(MIRA))
    for path in ("/", "/plans"):
        assert "1 plan waits for you" in read(as_(TEO), path).text
        for other in (MIRA, NOA):
            assert "waits for you" not in read(as_(other), path).text
    assert "Approve" in [text.strip() for text in read(as_(TEO), plan).pieces]


def test_a_decision_is_bound_to_the_plan_that_was_looked_at(as_: Callable[[Principal], Client]) -> None:
    plan = ask(as_(MIRA))
    teo = as_(TEO)
    stale = teo.post(f"{plan}/decide", data={"decision": "approve", "hash": "0" * 64})
    assert stale.status_code == 409
    assert "not the plan that you looked at" in stale.text
    own = field(read(teo, plan), "hash")
    for who in (MIRA, NOA):
        refused = as_(who).post(f"{plan}/decide", data={"decision": "approve", "hash": own})
        assert refused.status_code == 403
    granted = teo.post(f"{plan}/decide", data={"decision": "approve", "hash": own, "comment": "It is ours"})
    assert (granted.status_code, granted.headers["location"]) == (303, plan)
    page = read(teo, plan)
    assert "It is approved and can be applied" in page.text
    assert "“It is ours”" in page.text
    assert "Apply plan 1" in page.text


def test_a_plan_that_was_declined_says_by_whom_and_why(as_: Callable[[Principal], Client]) -> None:
    plan = ask(as_(MIRA))
    teo = as_(TEO)
    own = field(read(teo, plan), "hash")
    assert teo.post(f"{plan}/decide", data={"decision": "reject", "hash": own, "comment": "Not now"}).status_code == 303
    page = read(as_(MIRA), plan)
    assert "It was declined" in page.text
    assert "teo" in page.text
    assert "Not now" in page.text
    assert "Withdraw" not in page.text


def test_plans_are_filtered_and_exported(as_: Callable[[Principal], Client]) -> None:
    client = as_(MIRA)
    first, second = ask(client, 0), ask(client, 1)
    assert client.post(f"{first}/withdraw").status_code == 303
    shown = read(client, "/plans?status=open").hrefs
    assert second in shown
    assert first not in shown
    assert "No plan is like that" in read(client, "/plans?owner=group:default/identity").text
    rows = client.get("/plans?format=csv").text.splitlines()
    assert len(rows) == 3
    assert re.match(r"2,.*,waiting,", rows[1])
    assert client.get("/plans?format=json&status=withdrawn").json()[0]["number"] == 1


def test_what_cannot_be_planned_is_told(as_: Callable[[Principal], Client]) -> None:
    client = as_(MIRA)
    nothing = client.post("/plans", data={"reason": "because"})
    assert nothing.status_code == 400
    assert "needs findings" in nothing.text
    unknown = client.post("/plans", data={"finding": "f_0", "reason": "because"})
    assert unknown.status_code == 404
    assert client.get("/plans/77").status_code == 404
