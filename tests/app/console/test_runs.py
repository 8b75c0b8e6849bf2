"""The pages of runs: the list, what a run would change and what depends on it, its log as it happens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.testing import TestClient

from tests.app.console import lively, world
from tests.app.console.server import client as client_of
from uwu.domains.iac.runs import store
from uwu.kernel import domain
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings


@pytest.fixture
def kernel(sqlite_template: Path, tmp_path: Path) -> Iterator[Kernel]:
    (tmp_path / "home").mkdir()
    shutil.copy(sqlite_template, tmp_path / "home" / "state.db")
    filler = world.open_kernel(tmp_path / "home")
    world.fill(filler)
    lively.keep_runs(filler)
    filler.close()
    opened = Kernel(Settings(home=str(tmp_path / "home")), domain.installed())
    yield opened
    opened.close()


@pytest.fixture
def client(kernel: Kernel) -> Iterator[TestClient]:
    with client_of(kernel) as made:
        yield made


def test_the_list_tells_status_changes_and_who_depends(client: TestClient) -> None:
    text = client.get("/runs").text
    assert 'href="/runs/1"' in text and "planned" in text and "failed" in text and "speculative" in text
    assert "No run is like that" in client.get("/runs?status=applied").text
    assert world.HOSTILE not in text


def test_a_run_shows_changes_blast_radius_policy_and_no_secret(client: TestClient) -> None:
    text = client.get("/runs/1").text
    for told in ("aws_lb.pay", "forced by name", "pay.example.com", "DNS name of edge", "alias.name", "Move it."):
        assert told in text, told
    assert "Not all of the world was seen" in text and "plan.data-destroyed" in text and world.HOSTILE not in text
    failed = client.get("/runs/2").text
    assert "terraform plan" in failed and "Plan again" in failed and "data-live" not in failed
    assert client.get("/runs/99").status_code == 404
    assert "error   Error" in client.get("/runs/2/log").text


def test_a_page_follows_a_run_that_is_at_work(kernel: Kernel, client: TestClient) -> None:
    with kernel.db.write() as connection:
        id = store.get(connection, "2").id
        store.update(connection, id, status=store.PLANNING, finished_at=None)
    assert 'data-live="/runs/2/events?after=2"' in client.get("/runs/2").text
    log = store.Log(kernel, id, "plan")
    log.say("a third line")
    log.flush()
    with kernel.db.write() as connection:
        store.update(connection, id, status=store.CLEAN)
    text = client.get("/runs/2/events?after=2").text
    assert "event: lines" in text and "a third line" in text and "event: end" in text and "event: part" in text


def test_a_run_is_asked_for_withdrawn_and_tried_again(kernel: Kernel, client: TestClient) -> None:
    origin = {"origin": str(client.base_url)}
    asked = client.post("/runs", data={"stack": "ledger-live", "reason": "x"}, headers=origin, follow_redirects=False)
    assert asked.status_code in (302, 303) and asked.headers["location"] == "/runs/3"
    assert client.post("/runs/3/cancel", headers=origin, follow_redirects=False).status_code in (302, 303)
    with kernel.db.read() as connection:
        assert store.get(connection, "3").status == store.CANCELLED
    again = client.post("/runs/3/retry", headers=origin, follow_redirects=False)
    assert again.headers["location"] == "/runs/4"
