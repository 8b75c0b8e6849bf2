"""What must not grow with the world: queries, rows that are read, the weight of a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from bench import world_at_scale
from bench.world_at_scale import Size, World
from sqlalchemy import event

from uwu.app.console import catalog, coverage, find, home, lists
from uwu.kernel import declared, drift, graph, jobs, migrate, search_index, tables
from uwu.kernel.db import Database
from uwu.kernel.domain import installed
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

SMALL = Size(resources=300, findings=60, entities=80, groups=20, accounts=5, changes=60, days=3)
LARGE = Size(resources=1500, findings=300, entities=160, groups=20, accounts=10, changes=300, days=3)


def made(folder: Path, size: Size) -> tuple[Kernel, World]:
    folder.mkdir()
    kernel = Kernel(Settings(home=str(folder)), installed())
    migrate.upgrade(kernel.db)
    return kernel, world_at_scale.build(kernel, size)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Kernel, World]]]:
    root = tmp_path_factory.mktemp("scale")
    held = {name: made(root / name, size) for name, size in (("small", SMALL), ("large", LARGE))}
    yield held
    for kernel, _ in held.values():
        kernel.close()


@pytest.fixture
def large(worlds: dict[str, tuple[Kernel, World]]) -> tuple[Kernel, World]:
    return worlds["large"]


@contextmanager
def counted(db: Database) -> Iterator[list[str]]:
    statements: list[str] = []

    def count(_connection, _cursor, statement: str, *_) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", count)
    try:
        yield statements
    finally:
        event.remove(db.engine, "before_cursor_execute", count)


PAGES = {
    "home": lambda kernel: home.home(kernel),
    "findings": lambda kernel: lists.findings(kernel, {}),
    "findings of an owner": lambda kernel: lists.findings(kernel, {"owner": world_at_scale.group_ref(2)}),
    "resources": lambda kernel: lists.resources(kernel, {}),
    "resources with a text": lambda kernel: lists.resources(kernel, {"q": "ledger"}),
    "changes": lambda kernel: lists.changes(kernel, {"who": "all"}),
    "coverage": lambda kernel: coverage.overview(kernel, {}),
    "cells": lambda kernel: coverage.cells(kernel, {"status": "complete"}),
    "catalog": lambda kernel: catalog.catalog(kernel, {}),
    "search": lambda kernel: find.find(kernel, "prod", palette=False),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_a_larger_world_takes_no_more_queries(worlds: dict[str, tuple[Kernel, World]], name: str) -> None:
    taken = {}
    for size, (kernel, _) in worlds.items():
        PAGES[name](kernel)
        with counted(kernel.db) as statements:
            PAGES[name](kernel)
        taken[size] = len(statements)
    assert taken["large"] <= taken["small"] + 2
    assert taken["large"] <= 50


def ids(kernel: Kernel, ask, limit: int) -> list:
    out, after, first = [], "", True
    while first or after:
        with kernel.db.read() as connection:
            page = ask(connection, limit, after)
        assert len(page.items) <= limit
        out += page.items
        after, first = page.after, False
    return out


def test_every_list_gives_each_thing_once_whatever_the_page(large: tuple[Kernel, World]) -> None:
    kernel, world = large
    found = ids(kernel, lambda c, n, a: drift.findings(c, limit=n, after=a), 17)
    assert sorted(f.id for f in found) == sorted(world.findings)
    rank = ["critical", "high", "medium", "low"]
    key = [(rank.index(f.severity.value), -f.opened_at.timestamp(), f.id) for f in found]
    assert key == sorted(key)
    assert [r.urn for r in ids(kernel, lambda c, n, a: graph.find(c, limit=n, after=a), 400)] == [
        urn for _, urn in sorted(zip(world.names, world.urns, strict=True))
    ]
    cells = ids(kernel, lambda c, n, a: graph.cells(c, limit=n, after=a), 100)
    with kernel.db.read() as connection:
        assert {c.cell for c in cells} == {c.cell for c in graph.coverage(connection)}
    entities = ids(kernel, lambda c, n, a: declared.page(c, limit=n, after=a), 33)
    assert [e.ref for e in entities] == sorted(world.refs)


def test_a_page_stays_where_it_is_when_something_comes_before_it(sqlite_kernel: Kernel) -> None:
    world_at_scale.build(sqlite_kernel, SMALL)
    f = tables.findings
    with sqlite_kernel.db.read() as connection:
        first = drift.findings(connection, limit=20)
        second = drift.findings(connection, limit=20, after=first.after)
        row = dict(connection.execute(sa.select(f).where(f.c.id == first.items[0].id)).one()._mapping)
    with sqlite_kernel.db.write() as connection:
        connection.execute(f.insert(), [{**row, "id": f"f_new{i}"} for i in range(5)])
        connection.execute(f.delete().where(f.c.id == first.items[-1].id))
    with sqlite_kernel.db.read() as connection:
        assert drift.findings(connection, limit=20, after=first.after).items == second.items


@pytest.mark.parametrize("after", ["20", "!!", "WzFd", "bnVsbA", "W251bGwsbnVsbF0", "x" * 9000, "é"])
def test_a_cursor_that_no_list_gave_is_refused(sqlite_kernel: Kernel, after: str) -> None:
    with sqlite_kernel.db.read() as connection:
        for ask in (drift.findings, graph.find, graph.cells, declared.page, jobs.page):
            with pytest.raises(BadInput) as caught:
                ask(connection, after=after)
            assert caught.value.problem.code == "cursor-malformed"


def test_lists_and_counts_of_sqlite_read_indexes_not_rows(large: tuple[Kernel, World]) -> None:
    kernel, _ = large

    def plan(statement: str) -> str:
        with kernel.db.read() as connection:
            return "; ".join(str(row[3]) for row in connection.exec_driver_sql(f"explain query plan {statement}"))

    for column in ("owner", "account", "type", "region"):
        assert "COVERING INDEX" in plan(f"select {column}, count(*) from resources group by {column}")
    for column in ("owner", "account", "type", "actor", "rule", "severity"):
        told = plan(f"select {column}, count(*) from findings where status <> 'closed' group by {column}")
        assert f"COVERING INDEX search_findings_by_{column}" in told
        assert "TEMP B-TREE" not in told
    ordered = sa.select(tables.findings.c.id).where(search_index.UNRESOLVED)
    ordered = ordered.order_by(search_index.RANK, tables.findings.c.opened_at.desc(), tables.findings.c.id)
    assert "search_findings_by_rank" in plan(str(ordered.compile(kernel.db.engine)))
    tail, unlike = search_index.tail("sqlite", "resources.urn"), search_index.unlike_name("sqlite")
    assert "search_resources_by_tail" in plan(f"select urn from resources where {tail} = 'x' and {unlike}")
    assert "TEMP B-TREE" not in plan("select urn from resources order by name, urn limit 50")
