"""The page of the audit: what was done, by whom, and whether it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console import world
from tests.app.console.server import ORIGIN
from tests.app.console.server import client as client_of
from uwu.kernel import audit, codec
from uwu.kernel.audit import checkpoints, export
from uwu.kernel.runtime import Kernel

SAME = {"sec-fetch-site": "same-origin", "origin": ORIGIN}


@pytest.fixture
def acted(empty: Kernel) -> Kernel:
    world.fill(empty)
    with empty.db.read() as connection:
        from uwu.kernel import drift

        finding = drift.findings(connection, limit=1).items[0].id
    for actor, action, subject, detail in (
        ("user:default/mira.k", "plan.approve", "plan_x", {"comment": "<script>alert(1)</script>"}),
        ("user:default/teo", "finding.accept", finding, {"reason": "until December"}),
        ("service:default/deployer", "job.sync", "job_1", {}),
        ("user:default/mira.k", "ownership.declare", "arn:aws:sqs:eu-west-1:111122223333:orders", None),
    ):
        with empty.db.write() as connection:
            audit.append(connection, actor=actor, action=action, subject=subject, detail=detail)
    return empty


@pytest.fixture
def pages(acted: Kernel) -> Iterator[TestClient[Any]]:
    with client_of(acted) as opened:
        yield opened


def test_it_says_first_whether_the_chain_holds(acted: Kernel, pages: TestClient[Any]) -> None:
    assert "4 entries hold; not signed yet." in pages.get("/audit").text
    checkpoints.take(acted, actor="test")
    assert "5 entries hold; signed up to 4" in pages.get("/audit").text
    with acted.db.write() as connection:
        connection.exec_driver_sql("update audit set actor = 'nobody' where seq = 2")
    assert "5 entries hold" in pages.get("/audit").text, "what was verified is not read again at each look"
    answer = pages.post("/audit/verify", headers=SAME, follow_redirects=True)
    assert answer.status_code == 200
    assert "Entry 2</a> does not hold: its content does not match its hash." in answer.text


def test_newest_first_each_with_its_page(acted: Kernel, pages: TestClient[Any]) -> None:
    page = pages.get("/audit").text
    rows = page.split("<tr data-row")[1:]
    assert [row.split('id="e')[1].split('"')[0] for row in rows] == ["4", "3", "2", "1"]
    assert '/resources/arn:aws:sqs:eu-west-1:111122223333:orders"' in rows[0]
    assert "/jobs/job_1" in rows[1]
    with acted.db.read() as connection:
        finding = audit.entries(connection)[2].subject
    assert f"/findings/{finding}" in rows[2]
    assert "&lt;script&gt;" in rows[3]
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ("actor=user:default/mira.k", ["4", "1"]),
        ("action=plan.*", ["1"]),
        ("action=job.sync", ["3"]),
        ("subject=job_1", ["3"]),
        ("day=2020-01-01", []),
    ],
)
def test_filters_are_chips(pages: TestClient[Any], asked: str, numbers: list[str]) -> None:
    page = pages.get(f"/audit?{asked}").text
    assert [part.split('"')[0] for part in page.split('<tr data-row id="e')[1:]] == numbers
    assert 'class="fchip"' in page
    assert numbers or "No entry is like that" in page


def test_today_is_a_day(pages: TestClient[Any]) -> None:
    page = pages.get(f"/audit?day={codec.now().date()}").text
    assert page.count("<tr data-row") == 4
    assert pages.get("/audit?day=yesterday").status_code == 400


def test_earlier_entries_are_a_page_away(
    acted: Kernel, pages: TestClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from uwu.app.console import audit as page_of

    monkeypatch.setattr(page_of, "SHOWN", 3)
    page = pages.get("/audit").text
    more = page.split('class="next"><a class="btn" href="')[1].split('"')[0].replace("&amp;", "&")
    assert pages.get(more).text.count("<tr data-row") == 1


def test_exports_hold_what_the_page_shows(pages: TestClient[Any]) -> None:
    lines = pages.get("/audit?format=jsonl").content.splitlines(keepends=True)
    assert export.verify_lines(lines).entries == 4
    rows = json.loads(pages.get("/audit?format=json&action=plan.*").content)
    assert [row["seq"] for row in rows] == [1]
    table = pages.get("/audit?format=csv").text
    assert table.startswith("seq,at,actor,action,subject,detail,prev,hash")
    assert pages.get("/audit?format=xml").status_code == 400


def test_an_empty_audit_says_what_will_stand_here(empty: Kernel) -> None:
    with client_of(empty) as client:
        page = client.get("/audit").text
    assert page.count("Nothing was done yet") == 2
    assert "Verify all of it" not in page
