"""The page of entropy: a sentence, thirty days, every scope, and what a number is made of."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from tests.app.console import world
from tests.app.console.server import client as client_of
from uwu.app.console import spark
from uwu.kernel import codec, entropy
from uwu.kernel.entropy import Day, days
from uwu.kernel.runtime import Kernel


@pytest.fixture
def measured(empty: Kernel) -> Kernel:
    world.fill(empty)
    entropy.record(empty)
    with empty.db.read() as connection:
        scores = entropy.latest(connection)
    for back in range(1, 8):
        earlier = [msgspec.structs.replace(score, entropy=score.entropy / (back + 1)) for score in scores]
        days.keep(empty, earlier, codec.now() - timedelta(days=back))
    return empty


@pytest.fixture
def pages(measured: Kernel) -> Iterator[TestClient[Any]]:
    with client_of(measured) as opened:
        yield opened


def latest(kernel: Kernel) -> dict[tuple[str, str], entropy.Score]:
    with kernel.db.read() as connection:
        return {(score.scope, score.key): score for score in entropy.latest(connection)}


def test_it_is_said_in_a_sentence_and_every_scope_has_its_line(measured: Kernel, pages: TestClient[Any]) -> None:
    scores = latest(measured)
    page = pages.get("/entropy").text
    assert f"{scores['all', ''].entropy:.1f} of 100</a> away from declared," in page
    assert "more than on" in page
    for title in ("By domain", "By team", "By account"):
        assert f">{title}</h2>" in page
    assert 'class="spark up"' in page
    assert 'class="chart up"' in page
    assert "style=" not in page


def test_every_number_leads_to_its_rows(measured: Kernel, pages: TestClient[Any]) -> None:
    page = pages.get("/entropy").text
    scopes = set(re.findall(r'href="(/entropy\?scope=[^"]+)"', page))
    assert len(scopes) > 3
    for href in scopes:
        answer = pages.get(href.replace("&amp;", "&"))
        assert answer.status_code == 200, href
        assert "What it is made of" in answer.text
    assert "/entropy?scope=owner" in pages.get("/").text


def test_the_rows_of_a_scope_sum_to_its_number(measured: Kernel, pages: TestClient[Any]) -> None:
    scores = latest(measured)
    owner = next(key for scope, key in scores if scope == "owner" and scores[scope, key].findings > 1)
    rows = json.loads(pages.get(f"/entropy?scope=owner&key={owner}&format=json").content)
    assert round(sum(row["share"] for row in rows), 2) == scores["owner", owner].entropy
    table = list(csv.DictReader(pages.get("/entropy?format=csv").text.splitlines()))
    assert {(row["scope"], row["key"]) for row in table} == set(scores)


def test_the_rows_page_on(measured: Kernel, pages: TestClient[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from uwu.app.console import entropy as page_of

    monkeypatch.setattr(page_of, "ROWS_SHOWN", 4)
    href, seen = "/entropy?scope=all&key=", 0
    while href:
        page = pages.get(href).text
        seen += page.count("<tr data-row")
        found = re.search(r'class="btn" href="(/entropy\?[^"]+)">Next rows', page)
        href = found[1].replace("&amp;", "&") if found else ""
    whole = latest(measured)["all", ""]
    assert seen == whole.findings + whole.unseen


def test_an_entity_leads_to_its_own_number(measured: Kernel, pages: TestClient[Any]) -> None:
    owner = next(key for scope, key in latest(measured) if scope == "owner" and key)
    page = pages.get(f"/catalog/{owner}").text
    assert re.search(r'href="/entropy\?scope=owner&amp;key=group', page)


def test_a_scope_that_is_none_is_refused(pages: TestClient[Any]) -> None:
    assert pages.get("/entropy?scope=planet").status_code == 400
    assert pages.get("/entropy?scope=owner&key=group:default/nobody-here").status_code == 404
    assert pages.get("/entropy?scope=all&after=nonsense").status_code == 400


def test_before_the_first_sync_it_says_what_to_do(empty: Kernel) -> None:
    with client_of(empty) as client:
        page = client.get("/entropy")
    assert page.status_code == 200
    assert "Nothing was measured yet" in page.text


# ---- drawing


def series(*values: float | None) -> list[Day]:
    return [Day(f"2026-03-{at + 1:02d}", value, None, None) for at, value in enumerate(values)]


def test_noise_stays_flat_and_what_rises_is_told() -> None:
    flat, steep = spark.spark(series(10, 10.2, 10.1, 10.3)), spark.spark(series(2, 8, 14, 20))
    assert flat is not None
    assert steep is not None

    def heights(path: str) -> list[float]:
        return [float(point.split()[1]) for point in path[1:].split("L")]

    assert max(heights(flat.path)) - min(heights(flat.path)) < 2
    assert (min(heights(steep.path)), max(heights(steep.path))) == (2.0, 14.0)
    assert (flat.rising, steep.rising) == (False, True)
    falling = spark.spark(series(9, 5))
    assert falling is not None
    assert not falling.rising


def test_days_without_a_number_leave_their_place_free() -> None:
    drawn = spark.spark(series(1, None, None, 4))
    assert drawn is not None
    assert drawn.path.count("L") == 1
    assert spark.spark(series(None, 3, None)) is None, "one number is no line"
    alone = spark.chart(series(None, 3, None))
    assert alone is not None
    assert (alone.line, alone.area) == ("", "")
    assert spark.chart(series(None, None)) is None
    whole = spark.chart(series(0, 100))
    assert whole is not None
    assert whole.scale[-1].label == "100"
