from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kernel.world import QUEUES, T0, outcome, queue
from uwu.kernel import graph
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
