"""The page and the answers of a past time, and of two compared."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console import world
from tests.app.console.server import client as client_of
from uwu.app.cli import times
from uwu.kernel import codec
from uwu.kernel.runtime import Kernel

Client = TestClient[Any]
API = "/api/v1"


@pytest.fixture(scope="module")
def lived(lively_kernel: Kernel) -> Iterator[Client]:
    with client_of(lively_kernel) as client:
        yield client


def ask(client: Client, path: str, **parameters: str) -> Any:
    answer = client.get(API + path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_api_compares_two_times_and_names_who_did_it(lived: Client) -> None:
    told = ask(lived, "/diff", since="6d")
    by_urn = {item["urn"]: item for item in told["items"]}
    assert (told["added"], told["changed"], told["removed"]) == (0, 2, 1)
    opened = by_urn[world.SG_PAYMENTS.urn]
    assert (opened["how"], opened["changes"][0]["actor"]["name"]) == ("changed", "mira.k")
    assert opened["attributes"]
    assert by_urn[world.DLQ.urn]["after"] is None
    assert ask(lived, "/diff", since="6d", how="removed")["items"] == [by_urn[world.DLQ.urn]]
    assert ask(lived, "/diff", since="6d", account="000000000000")["items"] == []


def test_lists_stories_and_queries_tell_of_a_past_time(lived: Client) -> None:
    before = codec.iso(codec.now() - timedelta(days=5))
    now, then = ask(lived, "/resources", limit="500"), ask(lived, "/resources", limit="500", at=before)
    assert world.DLQ.urn in {item["urn"] for item in then["items"]} - {item["urn"] for item in now["items"]}
    assert ask(lived, "/resource", subject=world.DLQ.urn, at=before)["resource"]["attributes"]
    story = ask(lived, "/explain", subject=world.DLQ.urn, at=before)
    assert (story["exists"], story["at"]) == (True, before)
    assert not ask(lived, "/explain", subject=world.DLQ.urn)["exists"]
    assert ask(lived, "/explain", subject=world.DLQ.urn, at="2020-01-01")["versions"] == []
    sql = f"select count(*) from resources where urn = '{world.DLQ.urn}'"
    for at, count in (("", 0), (before, 1)):
        answer = lived.post(f"{API}/query", json={"sql": sql, "at": at})
        assert answer.json()["rows"] == [[count]]


@pytest.mark.parametrize(
    ("path", "parameters", "code", "place"),
    [
        ("/resources", {"at": "soon"}, "time", "at"),
        ("/explain", {"subject": world.DLQ.urn, "at": "2999-01-01"}, "time-future", "at"),
        ("/neighbours", {"subject": world.DLQ.urn, "at": "3 fortnights"}, "time", "at"),
        ("/diff", {"since": "never"}, "time", "since"),
        ("/diff", {"since": "1h", "until": "2h"}, "time-order", "to"),
    ],
)
def test_a_time_that_is_none_is_told_where_it_is(
    lived: Client, path: str, parameters: dict[str, str], code: str, place: str
) -> None:
    answer = lived.get(API + path, params=parameters)
    assert (answer.status_code, answer.json()["code"], answer.json()["place"]) == (400, code, place)


def test_what_holds_only_the_present_is_refused_of_a_past_time(lived: Client) -> None:
    answer = lived.post(f"{API}/query", json={"sql": "select * from coverage", "at": "1d"})
    assert (answer.status_code, answer.json()["code"]) == (400, "query-no-past")
    assert "resources" in answer.json()["hint"]


def test_the_page_shows_each_difference_with_who_did_it(lived: Client) -> None:
    page = lived.get("/diff?since=6d").text
    assert '<b class="num">2</b> changed' in page
    assert "mira.k" in page
    assert world.SG_PAYMENTS.urn in page
    assert "Nothing differs" in lived.get("/diff?since=3d&until=2d").text
    assert "Nothing like that differs" in lived.get("/diff?since=6d&type=aws_nothing").text
    assert lived.get("/diff?since=soon").status_code == 400
    assert lived.get("/diff?since=1d&how=odd").status_code == 400


def test_the_differences_come_as_a_file(lived: Client) -> None:
    rows = list(csv.DictReader(io.StringIO(lived.get("/diff?since=6d&format=csv").text, newline="")))
    assert sorted(row["how"] for row in rows) == ["changed", "changed", "removed"]
    assert {row["actor"] for row in rows} >= {"mira.k"}
    assert len(lived.get("/diff?since=6d&format=json").json()) == 3


def test_the_list_of_resources_of_a_past_time_leads_to_the_past(lived: Client) -> None:
    page = lived.get("/resources?at=5d&text=").text
    assert "as of" in page
    assert "?at=" in page
    assert "Nothing was known then" in lived.get("/resources?at=2020-01-01").text


class Api:
    """What a command asks, answered by the application."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get(self, path: str, **parameters: Any) -> Any:
        given = {name: str(value) for name, value in parameters.items() if value is not None}
        return ask(self.client, path, **given)


def test_the_command_tells_it_in_lines(lived: Client) -> None:
    told = times.diff(from_="6d", client=Api(lived)).text  # type: ignore[arg-type]
    assert told.startswith("0 added, 2 changed, 1 removed")
    assert "by  mira.k" in told
    assert "→" in told
    more = times.diff(from_="6d", limit=1, client=Api(lived)).text  # type: ignore[arg-type]
    assert "There is more: --after " in more
    assert "Nothing differs" in times.diff(from_="3d", to="2d", client=Api(lived)).text  # type: ignore[arg-type]
