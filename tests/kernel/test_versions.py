"""Looking at a past time, and comparing two."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.kernel.world import LOG, T0, WORLD, change, outcome, queue
from uwu.kernel import differences, graph, tables
from uwu.kernel.db import Database, upsert
from uwu.kernel.errors import BadInput
from uwu.kernel.graph import AttributeChange
from uwu.kernel.model import CellStatus, Relation
from uwu.kernel.runtime import Kernel


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def build(db: Database) -> None:
    """a: there from 0, changed at 10 and back at 20; b: gone at 10; c: came at 10; d: there at 10 only; e: the same."""
    looks = {
        0: [queue("a", size=1), queue("b", size=1, tags={"team": "pay"}), queue("e")],
        10: [queue("a", size=2), queue("c", size=1), queue("d"), queue("e")],
        20: [queue("a", size=1), queue("c", size={"of": 2}), queue("e")],
    }
    for minute, resources in looks.items():
        with db.write() as connection:
            to = [Relation(source=queue("a").urn, kind="to", target=f"urn:{minute}")]
            graph.observe(connection, outcome(minute), resources, to)


@pytest.mark.parametrize(
    ("minute", "there"), [(-1, ""), (0, "abe"), (5, "abe"), (10, "acde"), (15, "acde"), (20, "ace"), (99, "ace")]
)
def test_what_was_there_at_a_time(db: Database, minute: int, there: str) -> None:
    build(db)
    with db.read() as connection:
        page = graph.find_at(connection, at(minute))
        assert [item.name for item in page.items] == list(there)
        assert page.total == graph.count_at(connection, at(minute)) == len(there)
        assert graph.census(connection, at(minute), "type") == ({"aws_sqs_queue": len(there)} if there else {})
        to = graph.neighbours(connection, queue("a").urn, at=at(minute))
    assert [r.target for r in to] == ([f"urn:{max(m for m in (0, 10, 20) if m <= minute)}"] if there else [])


def test_a_past_list_filters_searches_and_pages_as_the_present_one(db: Database) -> None:
    build(db)
    with db.write() as connection:
        owned = {"owner": "group:default/pay", "strength": "tag", "evidence": [], "conflicts": [], "settled_at": at(30)}
        upsert(connection, tables.ownership, [{"subject": queue(n).urn, **owned} for n in "ab"])
    with db.read() as connection:
        whole = [i.name for i in graph.find_at(connection, at(5)).items]
        pages, after = [], ""
        while True:
            page = graph.find_at(connection, at(5), limit=1, after=after)
            pages += [i.name for i in page.items]
            after = page.after
            if not after:
                break
        assert pages == whole
        assert [i.name for i in graph.find_at(connection, at(5), owner="").items] == ["e"]
        assert [i.name for i in graph.find_at(connection, at(5), owner="group:default/pay").items] == ["a", "b"]
        assert graph.find_at(connection, at(5), text="TEAM").total == 1
        assert graph.find_at(connection, at(5), type="aws_vpc").total == 0
        b = graph.find_at(connection, at(5), text=":b").items[0]
    assert (b.first_seen, b.changed_at, b.version, b.status, b.observed_at) == (T0, T0, 1, "", None)


def test_two_times_compared(db: Database) -> None:
    build(db)
    with db.read() as connection:
        early = graph.between(connection, at(0), at(15))
        whole = graph.between(connection, at(0), at(20))
        late = graph.between(connection, at(15), at(20))
        none = graph.between(connection, at(20), at(40))
    assert [(i.name, i.how) for i in early.items] == [
        ("a", "changed"),
        ("b", "removed"),
        ("c", "added"),
        ("d", "added"),
    ]
    assert (early.added, early.changed, early.removed, early.total) == (2, 1, 1, 4)
    assert early.items[0].attributes == [AttributeChange("size", 1, 2)]
    assert [(i.name, i.how, i.before, i.after) for i in whole.items] == [
        ("b", "removed", 1, None),
        ("c", "added", None, 2),
    ]
    assert late.items[1].attributes == [AttributeChange("size", 1, {"of": 2})]
    assert (none.items, none.total) == ([], 0)


def test_a_comparison_is_filtered_and_paged(db: Database) -> None:
    build(db)
    with db.read() as connection:
        assert [i.name for i in graph.between(connection, at(0), at(15), how="added").items] == ["c", "d"]
        assert graph.between(connection, at(0), at(15), type="aws_vpc").total == 0
        assert graph.between(connection, at(0), at(15), account="1").total == 0
        names, after = [], ""
        while True:
            page = graph.between(connection, at(0), at(15), limit=1, after=after)
            assert page.total == 4
            names += [i.name for i in page.items]
            after = page.after
            if not after:
                break
        assert names == ["a", "b", "c", "d"]
        with pytest.raises(BadInput) as caught:
            graph.between(connection, at(15), at(15))
    assert caught.value.problem.code == "time-order"


def test_a_comparison_tells_who_did_it(kernel: Kernel) -> None:
    told_of = Kernel(kernel.settings, (WORLD,))
    build(kernel.db)
    a, b = queue("a").urn, queue("b").urn
    LOG.held = (
        change("Before", -5, urn=b, human="tom"),
        change("Set", 4, urn=a),
        change("Later", 30, urn=a),
        change("Long", -600, urn=queue("c").urn),
    )
    try:
        told = {i.name: [c.name for c in i.changes] for i in differences.between(told_of, at(0), at(15)).items}
    finally:
        LOG.held = ()
        told_of.close()
    assert told == {"a": ["Set"], "b": ["Before"], "c": [], "d": []}


def test_a_refused_look_ends_no_version(db: Database) -> None:
    build(db)
    with db.write() as connection:
        graph.observe(connection, outcome(30, CellStatus.DENIED), [], [])
        assert graph.between(connection, at(25), at(40)).total == 0


def test_more_differences_than_are_read_at_once_are_told_the_same(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(db)
    with db.read() as connection:
        asked = [{}, {"how": "added"}, {"limit": 2}, {"limit": 2, "how": "removed"}]
        few = [graph.between(connection, at(0), at(15), **each) for each in asked]
        monkeypatch.setattr("uwu.kernel.graph.diff._AT_ONCE", 1)
        many = [graph.between(connection, at(0), at(15), **each) for each in asked]
        again = graph.between(connection, at(0), at(15), limit=2, after=many[2].after)
    assert many == few
    assert [item.name for item in again.items] == ["c", "d"]
