from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kernel.world import QUEUES, T0, outcome, queue
from uwu.kernel import graph, tables
from uwu.kernel.db import Database
from uwu.kernel.graph import Delta
from uwu.kernel.model import Cell, CellStatus, Outcome, Relation


def observe(db: Database, at: int, *resources, status: CellStatus = CellStatus.COMPLETE, relations=()) -> Delta:
    with db.write() as connection:
        return graph.observe(connection, outcome(at, status), resources, relations)


def names(db: Database) -> list[str]:
    with db.read() as connection:
        return [item.name for item in graph.find(connection).items]


def test_an_observation_adds_changes_and_removes(db: Database) -> None:
    assert observe(db, 0, queue("a", size=1), queue("b")) == Delta(added=2)
    assert observe(db, 1, queue("a", size=2), queue("b")) == Delta(changed=1, unchanged=1)
    assert observe(db, 2, queue("a", size=2)) == Delta(removed=1, unchanged=1)
    assert names(db) == ["a"]


def test_repeating_an_observation_changes_nothing(db: Database) -> None:
    observe(db, 0, queue("a", size=1))
    assert observe(db, 0, queue("a", size=1)) == Delta(unchanged=1)
    with db.read() as connection:
        assert len(graph.history(connection, queue("a").urn)) == 1


@pytest.mark.parametrize("status", [s for s in CellStatus if s is not CellStatus.COMPLETE])
def test_only_a_complete_observation_lets_something_disappear(db: Database, status: CellStatus) -> None:
    observe(db, 0, queue("a"), queue("b"))
    assert observe(db, 1, queue("a", size=3), status=status) == Delta(changed=1)
    assert names(db) == ["a", "b"]
    with db.read() as connection:
        (cell,) = graph.coverage(connection, incomplete=True)
    assert (cell.status, cell.complete_at, cell.resources) == (status, T0, 2)


def test_an_observation_older_than_the_last_is_ignored(db: Database) -> None:
    observe(db, 5, queue("a", size=2))
    assert observe(db, 4, queue("a", size=1), queue("b")) == Delta()
    assert names(db) == ["a"]


def test_versions_hold_every_state_and_go_on_counting_after_an_absence(db: Database) -> None:
    observe(db, 0, queue("a", size=1))
    observe(db, 1, queue("a", size=2))
    observe(db, 2)
    observe(db, 3, queue("a", size=2))
    urn = queue("a").urn
    with db.read() as connection:
        versions = graph.history(connection, urn)
        at = [graph.as_of(connection, urn, T0 + timedelta(minutes=m, seconds=1)) for m in range(4)]
        now = graph.resource(connection, urn)
    assert [v.version for v in versions] == [3, 2, 1]
    assert [v.attributes["size"] if v is not None else None for v in at] == [1, 2, None, 2]
    assert now is not None
    assert (now.version, now.attributes, now.status) == (3, {"size": 2}, "complete")


def test_relations_follow_their_cell(db: Database) -> None:
    a, b, c = (queue(n).urn for n in "abc")
    observe(
        db, 0, queue("a"), relations=[Relation(source=a, kind="dead-letters-to", target=b, evidence="RedrivePolicy")]
    )
    observe(db, 1, queue("a"), relations=[Relation(source=a, kind="dead-letters-to", target=c)])
    with db.read() as connection:
        assert [r.target for r in graph.neighbours(connection, a)] == [c]
        assert graph.neighbours(connection, b) == []
    observe(db, 2, queue("a"), status=CellStatus.DENIED)
    with db.read() as connection:
        assert [r.target for r in graph.neighbours(connection, a)] == [c]


def test_find_pages_through_all_in_order_and_filters(db: Database) -> None:
    observe(db, 0, *(queue(f"q{i:02}", tags={"i": str(i)}) for i in range(25)), queue("100%_sure"))
    seen: list[str] = []
    after = ""
    with db.read() as connection:
        while True:
            page = graph.find(connection, limit=10, after=after)
            seen += [item.name for item in page.items]
            after = page.after
            if not after:
                break
        assert page.total == 26
        assert [i.name for i in graph.find(connection, text="100%_").items] == ["100%_sure"]
        assert graph.find(connection, text="%").total == 1
        assert graph.find(connection, type="aws_vpc").items == []
        assert graph.find(connection, owner="").total == 26
    assert seen == sorted(seen)
    assert len(set(seen)) == 26


_FRESH = itertools.count()
"""A type for each example: they share one database."""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turns=st.lists(
        st.tuples(
            st.sampled_from(list(CellStatus)),
            st.frozensets(st.sampled_from("abcd"), max_size=4),
            st.frozensets(st.sampled_from("abcd"), max_size=4),
        ),
        max_size=6,
    )
)
def test_no_order_of_outcomes_deletes_what_lives(sqlite_kernel, turns: list) -> None:
    """Whatever the source says in part, a living resource that was once seen stays until a complete look misses it."""
    db = sqlite_kernel.db
    cell = Cell(source="aws", account="1", region="r", type=f"aws_{next(_FRESH)}")
    present: set[str] = set()
    for minute, (status, living, answered) in enumerate(turns):
        seen = living if status is CellStatus.COMPLETE else living & answered
        resources = [_in(cell, name) for name in sorted(seen)]
        with db.write() as connection:
            look = Outcome(cell=cell, status=status, observed_at=T0 + timedelta(minutes=minute))
            graph.observe(connection, look, resources, [])
            found = {item.name for item in graph.find(connection, type=cell.type, limit=100).items}
        present = set(seen) if status is CellStatus.COMPLETE else present | set(seen)
        assert found == present


def _in(cell: Cell, name: str):
    import msgspec

    return msgspec.structs.replace(queue(name), urn=f"urn:{cell.type}:{name}", type=cell.type)


def test_the_same_name_in_two_cells_is_one_resource(db: Database) -> None:
    other = Cell(source="aws", account=QUEUES.account, region="us-east-1", type=QUEUES.type)
    observe(db, 0, queue("a", size=1))
    with db.write() as connection:
        graph.observe(connection, outcome(1, cell=other), [queue("a", size=1)], [])
        graph.observe(connection, outcome(2), [], [])
        found = graph.resource(connection, queue("a").urn)
    assert found is not None
    assert found.cell == other.id


def refresh(db: Database, at: int, *resources, gone=(), relations=(), cell: Cell = QUEUES) -> Delta:
    with db.write() as connection:
        when = T0 + timedelta(minutes=at)
        return graph.refresh(connection, cell.id, when, resources, [queue(name).urn for name in gone], relations)


def _size(db: Database, name: str) -> object:
    with db.read() as connection:
        found = graph.resource(connection, queue(name).urn)
    return found.attributes.get("size") if found is not None else None


def test_a_refresh_writes_its_resources_and_leaves_the_rest_and_the_coverage_alone(db: Database) -> None:
    observe(db, 0, queue("a", size=1), queue("b", size=1), queue("c", size=1))
    assert refresh(db, 3, queue("a", size=2), queue("b", size=1), gone=["c"]) == Delta(0, 1, 1, 1)
    with db.read() as connection:
        (cell,) = graph.coverage(connection)
        a, b = (graph.resource(connection, queue(name).urn) for name in "ab")
    assert names(db) == ["a", "b"]
    assert (cell.observed_at, cell.complete_at) == (T0, T0)
    assert a is not None
    assert b is not None
    assert (a.version, a.observed_at, b.version, b.observed_at) == (2, T0 + timedelta(minutes=3), 1, a.observed_at)


def test_a_listing_that_began_before_a_refresh_changes_nothing_of_it(db: Database) -> None:
    observe(db, 0, queue("a", size=1), queue("b", size=1), queue("c", size=1))
    refresh(db, 5, queue("a", size=5), queue("new", size=5), gone=["b"])
    assert observe(db, 4, queue("a", size=4), queue("b", size=1), queue("c", size=4)) == Delta(0, 1, 0, 2)
    assert [(name, _size(db, name)) for name in names(db)] == [("a", 5), ("c", 4), ("new", 5)]
    assert observe(db, 6, queue("a", size=5), queue("b", size=6)) == Delta(1, 0, 2, 1)
    with db.read() as connection:
        assert [v.version for v in graph.history(connection, queue("b").urn)] == [2, 1]


def test_what_a_refresh_misses_before_it_was_ever_listed_is_not_brought_back(db: Database) -> None:
    refresh(db, 5, gone=["a"])
    assert observe(db, 4, queue("a"), queue("b")) == Delta(added=1, unchanged=1)
    assert names(db) == ["b"]
    assert observe(db, 6, queue("a"), queue("b")) == Delta(added=1, unchanged=1)
    with db.read() as connection:
        assert connection.execute(tables.tombstones.select()).all() == []


def test_a_refresh_older_than_what_is_known_changes_nothing(db: Database) -> None:
    observe(db, 5, queue("a", size=5))
    assert refresh(db, 4, queue("a", size=4), queue("gone"), gone=["a"]) == Delta()
    assert refresh(db, 4, gone=["a"]) == Delta()
    assert [(name, _size(db, name)) for name in names(db)] == [("a", 5)]


def test_a_refresh_gives_all_relations_of_its_resources(db: Database) -> None:
    a, b, c, d = (queue(n).urn for n in "abcd")
    to = {n: Relation(source=a, kind="to", target=n) for n in (b, c, d)}
    other = Relation(source=b, kind="to", target=d)
    observe(db, 0, queue("a", size=1), queue("b"), relations=[to[b], other])
    refresh(db, 5, queue("a", size=5), relations=[to[c]])
    observe(db, 4, queue("a", size=4), queue("b"), relations=[to[d], other])
    with db.read() as connection:
        assert {(r.source, r.target) for r in graph.neighbours(connection, a)} == {(a, c)}
        assert {(r.source, r.target) for r in graph.neighbours(connection, d)} == {(b, d)}
    refresh(db, 7, gone=["a"])
    with db.read() as connection:
        assert graph.neighbours(connection, a) == []


def test_a_complete_look_that_comes_after_a_later_one_that_failed_still_tells(db: Database) -> None:
    observe(db, 0, queue("a"), queue("b"), queue("c"))
    observe(db, 6, queue("b", size=6), status=CellStatus.THROTTLED)
    assert observe(db, 5, queue("a", size=5), queue("d")) == Delta(1, 1, 1, 0)
    assert [(name, _size(db, name)) for name in names(db)] == [("a", 5), ("b", 6), ("d", None)]
    with db.read() as connection:
        (cell,) = graph.coverage(connection)
    assert (cell.status, cell.complete_at) == (CellStatus.THROTTLED, T0 + timedelta(minutes=5))


def test_many_looks_at_once_are_as_one_after_another(db: Database) -> None:
    cells = [Cell(source="aws", account=QUEUES.account, region=f"r{i}", type=QUEUES.type) for i in range(3)]
    looks = [
        graph.prepare(outcome(i, cell=cell), [queue("same", size=1), queue(f"q{i}")], [])
        for i, cell in enumerate(cells)
    ]
    looks.append(graph.prepare(outcome(9, cell=cells[0]), [queue("q0", size=9)], []))
    with db.write() as connection:
        deltas = graph.observe_all(connection, looks)
        found = graph.resource(connection, queue("same").urn)
        assert len(graph.history(connection, queue("same").urn)) == 1
    assert deltas == [Delta(added=2), Delta(added=1, unchanged=1), Delta(added=1, unchanged=1), Delta(changed=1)]
    assert found is not None
    assert found.cell == cells[2].id
