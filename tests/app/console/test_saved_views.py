"""Saved views: saving, finding, renaming and deleting; for oneself, and for one's group."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console.server import client as client_of
from uwu.app import identify
from uwu.app.console import saved_views
from uwu.kernel import codec, tables
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

SAME_SITE = {"sec-fetch-site": "same-origin"}
PATH = "/findings?severity=critical&group=owner"


def save(client: TestClient[Any], name: str = "Critical", path: str = PATH, **more: str) -> int:
    answer = client.post("/views", data={"name": name, "path": path, **more}, headers=SAME_SITE, follow_redirects=False)
    return answer.status_code


def test_a_view_is_saved_listed_found_renamed_and_deleted(empty: Kernel) -> None:
    with client_of(empty) as client:
        answer = client.post(
            "/views", data={"name": " Critical  ones ", "path": PATH}, headers=SAME_SITE, follow_redirects=False
        )
        assert (answer.status_code, answer.headers["location"]) == (303, PATH)
        assert "Critical ones" in client.get("/findings").text
        assert "Critical ones" not in client.get("/changes").text
        found = client.get("/search?palette=1&q=critical").text
        assert "Saved views" in found and 'href="/findings?severity=critical&amp;group=owner"' in found
        with empty.db.read() as connection:
            id = connection.execute(tables.saved_views.select()).one().id
        renamed = client.post(f"/views/{id}/rename", data={"name": "Worst"}, headers=SAME_SITE)
        assert "Worst" in renamed.text and "Critical ones" not in renamed.text
        client.post(f"/views/{id}/delete", headers=SAME_SITE)
        assert "No view is saved yet" in client.get("/views").text
    with empty.db.read() as connection:
        told = [row.action for row in connection.execute(tables.audit.select().order_by(tables.audit.c.seq))]
    assert told == ["view.save", "view.rename", "view.delete"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("", PATH),
        ("x" * 61, PATH),
        ("x", "//evil.example"),
        ("x", "https://evil.example/"),
        ("x", "javascript:alert(1)"),
        ("x", "/\\evil.example"),
        ("x", ""),
        ("x", "/findings?q=" + "x" * 1000),
    ],
)
def test_only_an_address_of_this_console_is_saved(empty: Kernel, name: str, path: str) -> None:
    with client_of(empty) as client:
        assert save(client, name, path) == 400
    with empty.db.read() as connection:
        assert connection.execute(tables.saved_views.select()).first() is None


def test_a_name_is_taken_once_and_a_group_must_be_ones_own(empty: Kernel) -> None:
    with client_of(empty) as client:
        assert save(client) == 303
        assert save(client) == 409
        assert save(client, "Other", owner="group:default/payments") == 400


def test_the_views_of_a_group_are_its_members_and_nobody_elses(empty: Kernel) -> None:
    v = tables.saved_views
    row = {
        "id": "v_1",
        "owner": "group:default/payments",
        "name": "Ours",
        "path": PATH,
        "created_by": "user:default/teo",
    }
    with empty.db.write() as connection:
        connection.execute(v.insert().values(**row, created_at=codec.now()))

    def principal(ref: str, *groups: str) -> Principal:
        return Principal(ref=ref, name=ref, kind="human", groups=groups)

    with empty.db.read() as connection:
        mine = saved_views.of(connection, principal("user:default/mira", "group:default/payments"))
        assert [(view.name, view.group) for view in mine] == [("Ours", "payments")]
        assert saved_views.of(connection, principal("user:default/jun", "group:default/web")) == []
        assert saved_views.of(connection, identify.local()) == []
    with client_of(empty) as client:  # of no group
        assert client.post("/views/v_1/delete", headers=SAME_SITE).status_code == 404
        assert client.post("/views/v_1/rename", data={"name": "x"}, headers=SAME_SITE).status_code == 404


def test_one_owner_has_so_many_views(empty: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "EACH", 2)
    with client_of(empty) as client:
        assert [save(client, name) for name in "abc"] == [303, 303, 409]
