"""Plans over the API, in process: asking, deciding, applying, and what is refused on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel import plan_world
from tests.kernel.plan_world import built, finding, person
from uwu.app.client import ApiClient, Embedded
from uwu.kernel import domain
from uwu.kernel.errors import BadInput, Conflict, Denied, NotFound
from uwu.kernel.plans import approve
from uwu.kernel.runtime import Kernel

TEO = person("teo", "payments")


@pytest.fixture
def client(sqlite_kernel: Kernel) -> Iterator[ApiClient]:
    kernel = Kernel(sqlite_kernel.settings, (plan_world.DOMAIN,))
    built(kernel)
    opened = ApiClient(Embedded(kernel))
    yield opened
    opened.close()


def kernel_of(client: ApiClient) -> Kernel:
    assert isinstance(client.transport, Embedded)
    return client.transport.kernel


def asked(client: ApiClient, *numbers: int) -> dict[str, Any]:
    body = {"planner": "queues", "request": {"findings": [finding(n) for n in numbers]}, "reason": "put it right"}
    return client.post("/plans", body)


def test_a_plan_from_its_request_to_its_approval(client: ApiClient) -> None:
    (planner,) = client.get("/planners", finding=finding(0))
    assert planner == {"name": "queues", "title": "Queues", "domain": "world", "asks": [], "undoes": True}
    assert {each["name"] for each in client.get("/planners")} == {"queues", "queues-for-good"}
    given = asked(client, 0, 1)
    plan = given["plan"]
    assert plan["status"] == "waiting" and given["told"] == "Plan 1 waits for approval."
    assert asked(client, 0, 1)["plan"]["id"] == plan["id"]
    assert asked(client)["plan"] is None
    with pytest.raises(Denied) as caught:
        client.post("/plans/1/approve", {"hash": plan["hash"]})
    assert caught.value.problem.code == "self-approval"
    assert client.get("/plans", mine=True)["total"] == 0 and client.get("/plans", status="waiting")["total"] == 1
    approve.decide(kernel_of(client), TEO, "1", "approve", hash=plan["hash"])
    assert client.get("/plans/1")["status"] == "approved"
    with pytest.raises(Conflict) as caught_:
        client.post("/plans/1/apply", {"hash": "0" * 64})
    assert caught_.value.problem.code == "plan-changed"
    job = client.post("/plans/1/apply", {"hash": plan["hash"]})["id"]
    assert client.get(f"/jobs/{job}")["name"] == "plans.apply" and client.get("/plans/1")["job"] == job
    assert client.get("/plans/1")["status"] == "applying"
    with pytest.raises(Conflict):
        client.post("/plans/1/withdraw")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/plans", {"planner": "queues", "request": {}, "reason": ""}),
        ("/plans", {"planner": "queues", "request": [], "reason": "x"}),
        ("/plans", {"planner": "queues", "request": {}, "reason": "x", "colour": "red"}),
        ("/plans", {"planner": "none", "request": {}, "reason": "x"}),
        ("/plans/1/approve", {"hash": "9c41"}),
        ("/plans/1/approve", {}),
    ],
)
def test_what_does_not_fit_is_refused(client: ApiClient, path: str, body: dict[str, Any]) -> None:
    asked(client, 0)
    with pytest.raises(BadInput):
        client.post(path, body)


def test_what_is_not_there_is_not_found(client: ApiClient) -> None:
    for path in ("/plans/7", "/plans/plan_none", "/plans/99999999999999"):
        with pytest.raises(NotFound):
            client.get(path)
    with pytest.raises(NotFound):
        client.post("/plans/7/undo", {"reason": "x"})


def test_withdrawing_ones_own(client: ApiClient) -> None:
    asked(client, 0)
    assert client.post("/plans/1/withdraw")["status"] == "withdrawn"
    with pytest.raises(Conflict):
        client.post("/plans/1/undo", {"reason": "x"})


def test_the_installed_planners_name_functions_that_exist() -> None:
    for planner, _ in domain.planners_of(domain.installed()).values():
        for reference in (planner.plan, planner.apply, planner.observe, planner.undo):
            assert not reference or callable(domain.load(reference)), reference
