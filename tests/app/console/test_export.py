"""CSV and JSON of the tables: every row of the same filters, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient

from tests.app.console import world
from tests.app.console.server import client as client_of
from uwu.app.console import exports, links
from uwu.app.console.export import CUT, Column, Table, cell, exported
from uwu.kernel import drift
from uwu.kernel.runtime import Kernel

Client = TestClient[Any]


@pytest.fixture(scope="module")
def lived(lively_kernel: Kernel) -> Iterator[Client]:
    with client_of(lively_kernel) as client:
        yield client


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("page", ["findings", "resources", "changes", "coverage", "catalog", "jobs"])
def test_each_table_comes_as_csv_and_as_json_with_the_same_rows(lived: Client, page: str) -> None:
    asked = {"changes": "?who=all&days=90&", "coverage": "?status=complete&"}.get(page, "?")
    as_csv = lived.get(f"/{page}{asked}format=csv")
    as_json = lived.get(f"/{page}{asked}format=json")
    assert as_csv.status_code == as_json.status_code == 200
    assert as_csv.headers["content-type"].startswith("text/csv")
    day = f"{datetime.now(UTC):%Y-%m}"
    assert as_csv.headers["content-disposition"].startswith(f'attachment; filename="{page}-{day}')
    held = json.loads(as_json.text)
    assert len(rows(as_csv.text)) == len(held) > 1
    assert list(rows(as_csv.text)[0]) == list(held[0])
    assert CUT not in as_csv.headers


def test_an_export_holds_what_the_filters_leave_from_the_first_row(lived: Client, lively_kernel: Kernel) -> None:
    held = rows(lived.get("/findings?severity=critical&format=csv").text)
    with lively_kernel.db.read() as connection:
        wanted = [f.id for f in drift.findings(connection, severity="critical").items]
    assert [row["id"] for row in held] == wanted
    assert {row["owner"] for row in rows(lived.get("/resources?owner=&format=csv").text)} == {""}
    assert 'href="/findings?severity=critical&amp;format=csv"' in lived.get("/findings?severity=critical").text
    assert links.in_format("/findings?owner=&after=7&q=a%26b", "json") == "/findings?owner=&q=a%26b&format=json"


def test_only_what_was_picked_is_exported_in_its_order(lived: Client, lively_kernel: Kernel) -> None:
    with lively_kernel.db.read() as connection:
        some = [f.id for f in drift.findings(connection).items][:3][::-1]
    asked = "&".join(f"id={id}" for id in [*some, "f_unknown"])
    assert [row["id"] for row in rows(lived.get(f"/findings?format=csv&{asked}").text)] == some


def test_an_unknown_format_is_told(lived: Client) -> None:
    assert lived.get("/findings?format=xlsx").status_code == 400


def test_more_rows_than_allowed_are_cut_and_say_so(lively_kernel: Kernel) -> None:
    settings = msgspec.structs.replace(
        lively_kernel.settings, console=msgspec.structs.replace(lively_kernel.settings.console, export_rows=5)
    )
    kernel = type(lively_kernel)(settings, lively_kernel.domains)
    with client_of(kernel) as client:
        answer = client.get("/resources?format=csv")
        assert len(rows(answer.text)) == 5
        assert answer.headers[CUT] == f"5 of {len(world.PRESENT)}"
        assert len(client.get("/resources?format=json").json()) == 5
        assert len(rows(client.get("/changes?who=all&days=90&format=csv").text)) == 5
    kernel.close()


def test_pages_of_rows_are_asked_for_one_by_one(lively_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "ROWS", 7)
    table = exports.resources(lively_kernel, {})
    sizes = [len(page) for page in table.pages]
    assert max(sizes) == 7 and sum(sizes) == table.total == len(world.PRESENT)


def test_an_empty_table_is_a_heading_and_an_empty_array(lively_kernel: Kernel) -> None:
    for format, body in (("csv", b"a\r\n"), ("json", b"[]\n")):
        stream = exported(lively_kernel, {"format": format}, Table("x", [Column("a")], iter([]), 0))
        assert b"".join(stream.iterator) == body  # type: ignore[arg-type]


@given(st.text())
def test_no_text_begins_a_formula(text: str) -> None:
    told = cell(text)
    assert not told.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert told in {text, f"'{text}"}


def test_numbers_stay_numbers() -> None:
    assert (cell(-3), cell(2.5), cell(True), cell(None)) == (-3, 2.5, True, "")
    assert cell({"team": "payments"}) == '{"team":"payments"}'
    assert cell(["=1+1"]) == '["=1+1"]'
