"""A resource over time: the slider, looking at a time, two versions side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console import world
from tests.app.console.server import client as client_of
from uwu.app.console import history, links
from uwu.app.console.history import Look
from uwu.kernel import codec
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.graph import Version
from uwu.kernel.runtime import Kernel

T = datetime(2026, 5, 1, tzinfo=UTC)
PAGE = links.resource(world.LEDGER.urn)
Client = TestClient[Any]


@pytest.fixture(scope="module")
def lived(lively_kernel: Kernel) -> Iterator[Client]:
    with client_of(lively_kernel) as client:
        yield client


def version(number: int, begin: int, end: int | None, **attributes: Any) -> Version:
    """A version from day ``begin`` to day ``end``."""
    return Version(
        urn="urn:x",
        version=number,
        valid_from=T + timedelta(days=begin),
        valid_to=T + timedelta(days=end) if end is not None else None,
        type="t",
        account="",
        region="",
        name="x",
        attributes=attributes,
        tags={},
        managed_by="",
    )


PAST = [version(3, 8, None, a=3), version(2, 2, 5, a=2), version(1, 0, 2, a=1)]


@pytest.mark.parametrize(
    ("asked", "looked"),
    [
        ({}, Look()),
        ({"version": "2"}, Look(2)),
        ({"at": "2026-05-04T00:00:00Z"}, Look(2, T + timedelta(days=3))),
        ({"at": str(int((T + timedelta(days=1)).timestamp()))}, Look(1, T + timedelta(days=1))),
        ({"at": "2026-05-07T00:00:00Z"}, Look(2, T + timedelta(days=6))),  # it was away: its last version
        ({"version": "1", "with": "3"}, Look(1, None, 3)),
        ({"version": "3", "with": "1"}, Look(1, None, 3)),
        ({"version": "1", "with": "now"}, Look(1, None, 3)),
        ({"at": "2026-05-01T12:00:00Z", "with": "2026-05-10T00:00:00Z"}, Look(1, None, 3)),
        ({"with": "3"}, Look(2, None, 3)),
    ],
)
def test_a_request_names_a_version_a_time_or_two(asked: dict[str, str], looked: Look) -> None:
    assert history.look(PAST, asked) == looked


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"version": "x"}, BadInput),
        ({"at": "yesterday"}, BadInput),
        ({"at": "9" * 30}, BadInput),
        ({"at": "2026-05-04T10:00"}, BadInput),
        ({"with": ""}, BadInput),
        ({"at": "2020-01-01T00:00:00Z"}, NotFound),
    ],
)
def test_what_is_no_time_is_told(asked: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        history.look(PAST, asked)


def test_the_slider_stands_on_time_and_knows_when_it_was_away() -> None:
    now = T + timedelta(days=10)
    track = history.slider(PAST, [], [], Look(), now, exists=True)
    assert track is not None
    assert [tick.x for tick in track.ticks] == [0.0, 20.0, 80.0]
    assert [(s.x1, s.x2) for s in track.away] == [(50.0, 80.0)]
    assert track.value == track.end and track.text == "now" and track.version == 3
    assert (track.older, track.newer) == ("?version=2", "")
    past = history.slider(PAST, [], [], Look(2, T + timedelta(days=3)), now, exists=True)
    assert past is not None
    assert past.value == int((T + timedelta(days=3)).timestamp())
    assert (past.older, past.newer) == ("?version=1", "?version=3")
    stops = codec.decode(past.json)
    assert [stop[1] for stop in stops] == ["?version=1", "?version=2", "?version=3", ""]
    assert history.slider(PAST[:1], [], [], Look(), now, exists=True) is None


def test_the_page_marks_when_it_was_not_as_declared(lived: Client) -> None:
    page = lived.get(PAGE).text
    assert page.count('class="drift"') == 2
    stretches = [tuple(map(float, m)) for m in re.findall(r'class="drift" x1="([\d.]+)%" x2="([\d.]+)%"', page)]
    assert abs(stretches[0][0] - 40) < 1 and abs(stretches[0][1] - 45) < 1  # 12 to 11 of 20 days ago
    assert 'type="range"' in page and 'aria-valuetext="now, version 4"' in page


def test_the_past_says_so_and_shows_what_was(lived: Client) -> None:
    at = codec.iso(world.NOW - timedelta(days=11, hours=12))
    page = lived.get(links.with_query(PAGE, {"at": at})).text
    assert "You are looking at <b>version 2</b>" in page
    assert '<code class="ink2 val">7</code>' in page
    assert "Declared and observed" not in page
    assert lived.get(PAGE + "?at=2001-01-01T00:00:00Z").status_code == 404
    assert lived.get(PAGE + "?at=noon").status_code == 400
    assert lived.get(PAGE + "?version=9").status_code == 404


def test_two_versions_stand_side_by_side_with_who_came_between(lived: Client) -> None:
    page = lived.get(PAGE + "?version=2&with=4").text
    assert "Version 2 and version 4" in page
    assert "BackupRetentionPeriod = 7" in page and "<mark>1</mark>" in page
    between = page[page.index("Who and what came between them") :]
    assert "ModifyDBInstance, AWS CLI" in between and "jun" in between
    assert between.count("no event that is known explains it") == 1
    assert "It is the same version" in lived.get(PAGE + "?version=2&with=2").text
    assert "Nothing that is kept differs" in lived.get(PAGE + "?version=1&with=3").text
    assert lived.get(PAGE + "?version=2&with=77").status_code == 404
