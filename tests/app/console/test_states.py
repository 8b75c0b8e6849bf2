"""The pages of Terraform states: who holds a lock, what has changed, taking a lock away, bringing a version back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console import lively, world
from tests.app.console.server import ORIGIN
from tests.app.console.server import client as client_of
from uwu.domains.iac import state_store
from uwu.kernel.runtime import Kernel

KEY = "/states/default/payments"
SAME = {"origin": ORIGIN}


@pytest.fixture
def kept(sqlite_template: Path, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel with two states, one of them locked."""
    shutil.copy(sqlite_template, tmp_path / "state.db")
    kernel = lively.open_kernel(tmp_path)
    lively.keep_states(kernel)
    yield kernel
    kernel.close()


@pytest.fixture
def client(kept: Kernel) -> Iterator[TestClient[Any]]:
    with client_of(kept) as opened:
        yield opened


def words(client: TestClient[Any], path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text.partition("<main")[2]))


def test_the_list_tells_who_holds_what(client: TestClient[Any]) -> None:
    text = words(client, "/states")
    assert "default/network" in text and "default/payments" in text and "free" in text
    assert "default/network" not in words(client, "/states?locked=yes")
    assert "No state is like that" in words(client, "/states?owner=group:default/none")


def test_a_state_shows_its_holder_its_versions_and_why_a_write_was_refused(client: TestClient[Any]) -> None:
    text = words(client, KEY)
    assert "service:default/ci" in text and "mira@laptop" in text and "applies" in text
    assert "serial 3, 2 resources" in text and "The state has the serial 1; the one that is kept is newer (3)" in text
    assert world.HOSTILE not in client.get(KEY).text


def test_what_changed_is_shown_and_no_secret(client: TestClient[Any]) -> None:
    page = client.get(f"{KEY}?before=1&after=2").text
    text = words(client, f"{KEY}?before=1&after=2")
    assert "instance_class" in text and "a secret has changed; its values are never shown" in text
    assert "hunter2" not in page and "(sensitive value)" in page
    assert client.get(f"{KEY}?after=99").status_code == 404
    assert client.get(f"{KEY}?after=x").status_code == 400


def test_a_lock_is_taken_away_and_a_version_brought_back(client: TestClient[Any], kept: Kernel) -> None:
    form = {"state": "default/payments", "lock": "4f6b", "reason": "gone"}
    held = client.post("/state-rollback", data={**form, "version": "1"}, headers=SAME, follow_redirects=False)
    assert held.status_code == 423
    assert client.post("/state-unlock", data={**form, "lock": "x"}, headers=SAME).status_code == 423
    taken = client.post("/state-unlock", data=form, headers=SAME, follow_redirects=False)
    assert (taken.status_code, taken.headers["location"]) == (303, KEY)
    back = client.post("/state-rollback", data={**form, "version": "1"}, headers=SAME, follow_redirects=False)
    assert back.headers["location"] == f"{KEY}?after=4"
    with kept.db.read() as connection:
        found = state_store.get(connection, "default/payments")
    assert found.lock is None and found.version is not None
    assert (found.version.serial, found.version.restored) == (4, 1)
    assert "version 1 brought back" in words(client, KEY)
    for data in ({**form, "version": "99"}, {**form, "version": "x"}, {**form, "state": "default/none"}):
        assert client.post("/state-rollback", data=data, headers=SAME).status_code == 404
