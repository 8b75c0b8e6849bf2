"""Ways as programs, people at a terminal and people at a browser meet them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.app.console.server import client as browser_client
from tests.domains.inventory import test_exposure as estate
from uwu.app.cli import ways
from uwu.app.client import ApiClient, Embedded
from uwu.kernel import domain, tables
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel

INSTANCE, HIDDEN, LB, TG = estate.INSTANCE, estate.HIDDEN, estate.LB, estate.TG
SUBNET = estate.ec2("subnet", "subnet-1")
ACL = "aws_vpc_network_acl"


@pytest.fixture
def kernel(sqlite_kernel: Kernel) -> Kernel:
    estate.fill(sqlite_kernel, estate.estate())
    sqlite_kernel.domains = domain.installed()
    return sqlite_kernel


@pytest.fixture
def api(kernel: Kernel) -> Iterator[Any]:
    client = ApiClient(Embedded(kernel))
    yield client
    client.close()


def test_a_way_is_told_with_its_relations(api: Any) -> None:
    found = api.get("/paths", source=TG, target=HIDDEN, direction="out")
    assert found["answer"] == "yes" and [hop["kind"] for hop in found["paths"][0]] == ["targets"]
    assert found["nodes"][HIDDEN]["type"] == "aws_ec2_instance"
    assert api.get("/paths", source=HIDDEN, target=TG, direction="out", kinds="targets")["answer"] == "no"
    reached = api.get("/reach", subject=TG)
    assert [each["node"]["id"] for each in reached["items"]] == [HIDDEN] and reached["complete"]
    with pytest.raises(BadInput):
        api.get("/paths", source=TG, target=HIDDEN, length=99)
    past = api.get("/paths", source=TG, target=HIDDEN, at="2020-01-01T00:00:00Z")
    assert past["answer"] == "unknown"


def test_exposure_is_told_or_refused(api: Any) -> None:
    found = api.get("/exposure", subject=HIDDEN)
    assert (found["answer"], found["ports"]) == ("yes", ["tcp/443"])
    assert found["path"][0]["urn"] == "" and found["path"][-1]["evidence"]
    with pytest.raises(NotFound, match="not judged"):
        api.get("/exposure", subject=SUBNET)
    with pytest.raises(NotFound, match="no role"):
        api.get("/assumers", subject=SUBNET)


def test_the_commands_tell_it_in_words(api: Any) -> None:
    told = ways.exposed(HIDDEN, client=api)
    assert "Exposed to the internet on tcp/443" in told.text and "listens on HTTPS 443" in told.text
    assert "1 way, the shortest of 1 hop." in ways.path(TG, HIDDEN, client=api).text
    nothing = ways.path(SUBNET, HIDDEN, direction="out", client=api)
    assert "There is no way of at most 8 hops" in nothing.text
    assert "1 targets" in " ".join(ways.reach(TG, client=api).text.split())


def test_what_is_missing_is_named(kernel: Kernel, api: Any) -> None:
    held = {name: things for name, things in estate.estate().items() if name != ACL}
    estate.fill(kernel, {**held, ACL: {}}, {ACL: CellStatus.DENIED})
    kernel.domains = domain.installed()
    with kernel.db.write() as connection:
        # it was seen once: it goes, as if it had never been
        connection.execute(tables.resources.delete().where(tables.resources.c.type == ACL))
    text = ways.exposed(INSTANCE, client=api).text
    assert "Not known" in text and "What is missing for a proof" in text and "aws_vpc_network_acl" in text


def test_the_pages_show_it(kernel: Kernel) -> None:
    with browser_client(kernel) as browser:
        page = browser.get(f"/resources/{HIDDEN}").text
        assert "Exposure" in page and "Anyone on the internet reaches it on tcp/443." in page
        graph = browser.get(f"/graph?subject={quote(HIDDEN)}&way=internet").text
        assert "From the internet" in graph and "data-way=" in graph
        drawn = browser.get(f"/graph/way?subject={quote(HIDDEN)}&way=internet").json()
        by_id = {node["id"]: column for node, column in zip(drawn["nodes"], drawn["columns"], strict=True)}
        assert by_id[HIDDEN] == 0 and by_id["internet"] == min(by_id.values()) and by_id[LB] == by_id["internet"] + 1
        assert all({edge["source"], edge["target"]} <= set(by_id) for edge in drawn["edges"])
        between = browser.get(f"/graph?subject={quote(TG)}&way={quote(HIDDEN)}").text
        assert "Reached in 1 hop" in between
