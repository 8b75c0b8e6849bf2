"""The graph page: its data, its list, and where to begin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console import world
from tests.app.console.server import client as client_of
from uwu.app.console import graph, links
from uwu.kernel import codec, tables
from uwu.kernel.model import Relation
from uwu.kernel.runtime import Kernel

Client = TestClient[Any]


@pytest.fixture(scope="module")
def lived(lively_kernel: Kernel) -> Iterator[Client]:
    with client_of(lively_kernel) as client:
        yield client


def test_neighbours_come_with_their_kind_direction_and_findings(lived: Client) -> None:
    held = lived.get("/graph/neighbours", params={"subject": world.SG_PAYMENTS.urn}).json()
    assert held["subject"]["name"] == "sg-payments-db"
    assert held["subject"]["findings"] >= 1 and held["subject"]["severity"] == "critical"
    ways = {(edge["source"], edge["label"], edge["target"]) for edge in held["edges"]}
    assert (world.LEDGER.urn, "guarded by", world.SG_PAYMENTS.urn) in ways
    assert {node["id"] for node in held["nodes"]} == {
        end for way in ways for end in (way[0], way[2]) if end != world.SG_PAYMENTS.urn
    }
    ledger = next(node for node in held["nodes"] if node["id"] == world.LEDGER.urn)
    assert (ledger["detail"], ledger["icon"], ledger["href"]) == (
        "RDS instance",
        "database",
        links.resource(world.LEDGER.urn),
    )
    assert held["more"] == 0


def test_the_list_beside_says_the_same_in_words(lived: Client) -> None:
    part = lived.get("/graph/beside", params={"subject": world.SG_PAYMENTS.urn}).text
    assert "<html" not in part
    reaches, reached = part.split("It reaches")
    assert "ledger-db" in reaches and "vpc-payments" in reached
    page = lived.get(links.graph(world.SG_PAYMENTS.urn)).text
    assert "ledger-db" in page and 'data-subject="' in page
    assert "/cytoscape." in page and "/cytoscape." not in lived.get("/").text


def test_whatever_names_a_subject_leads_to_its_graph(lived: Client) -> None:
    to = lived.get("/graph?subject=sg-payments-db", follow_redirects=False)
    assert to.status_code == 303 and to.headers["location"] == links.graph(world.SG_PAYMENTS.urn)
    assert lived.get("/graph?subject=nothing-like-it").status_code == 404
    assert lived.get("/graph/neighbours?subject=nothing-like-it").status_code == 404
    begin = lived.get("/graph").text
    assert "Where something is wrong" in begin and links.graph(world.SG_PAYMENTS.urn).replace("&", "&amp;") in begin


def test_what_nobody_observed_is_known_by_those_who_name_it(empty: Kernel) -> None:
    with empty.db.write() as connection:
        row = {"source": "arn:aws:iam::1:role/a", "kind": "trusts", "target": "arn:aws:iam::2:root", "cell": "c"}
        row |= {"valid_from": codec.now(), "valid_to": None, "evidence": "policy"}
        connection.execute(tables.relations.insert().values(**row))
    held = graph.around(empty, "arn:aws:iam::2:root")
    assert (held.subject.href, held.subject.detail) == ("", "IAM, not observed")
    with client_of(empty) as client:
        page = client.get(links.graph("arn:aws:iam::2:root"))
        assert page.status_code == 200
        assert "it is known because others name it" in page.text
        assert "Open its page" not in page.text
        assert "There is nothing to draw yet" in client.get("/graph").text


def test_one_kind_of_hundreds_hides_no_other() -> None:
    many = [Relation(source=f"urn:x:{i}", kind="in", target="urn:me", evidence="") for i in range(300)]
    few = [Relation(source="urn:me", kind="guards", target=f"urn:y:{i}", evidence="") for i in range(3)]
    chosen = graph._fairly([*many, *few], "urn:me")
    assert len(chosen) == graph.EACH
    assert sum(r.kind == "guards" for r in chosen) == 3


def test_hostile_names_stay_text(lived: Client) -> None:
    page = lived.get(links.graph(world.EVIL.urn)).text
    assert world.HOSTILE not in page
    assert (
        lived.get("/graph/neighbours", params={"subject": world.EVIL.urn})
        .headers["content-type"]
        .startswith("application/json")
    )
