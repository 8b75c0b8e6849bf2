"""Ways through the graph: shortest first, at any time, and never a no that nothing proves."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kernel.world import ACCOUNT, REGION, T0
from uwu.kernel import graph, paths, tables
from uwu.kernel.domain import Domain, ResourceType
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Cell, CellStatus, Outcome, Relation, Resource
from uwu.kernel.paths import Asked
from uwu.kernel.runtime import Kernel

HOLDS, HOLLOW = "aws_holder", "aws_hollow"
TYPES = (
    ResourceType(HOLDS, "Holder", "x", relations=("leadsTo", "knows")),
    ResourceType(HOLLOW, "Hollow", "x", relations=()),
)


def urn(name: str) -> str:
    return f"arn:aws:x:{REGION}:{ACCOUNT}:thing/{name}"


def cell(type: str = HOLDS) -> Cell:
    return Cell(source="aws", account=ACCOUNT, region=REGION, type=type)


def thing(name: str, type: str = HOLDS) -> Resource:
    return Resource(urn=urn(name), type=type, account=ACCOUNT, region=REGION, name=name)


def edge(pair: str, kind: str = "leadsTo") -> Relation:
    source, target = pair.split(">")
    return Relation(source=urn(source), kind=kind, target=urn(target), evidence="Link")


def draw(
    kernel: Kernel,
    edges: Iterable[Relation],
    *,
    names: str = "",
    status: CellStatus = CellStatus.COMPLETE,
    minutes: int = 0,
    hollow: str = "",
) -> None:
    edges = list(edges)
    found = {e.source for e in edges} | {e.target for e in edges} | {urn(n) for n in names}
    held = [thing(u.rpartition("/")[2]) for u in sorted(found)]
    at = T0 + timedelta(minutes=minutes)
    with kernel.db.write() as connection:
        graph.observe(connection, Outcome(cell=cell(), status=status, observed_at=at), held, edges)
        others = [thing(n, HOLLOW) for n in hollow]
        graph.observe(connection, Outcome(cell=cell(HOLLOW), status=CellStatus.COMPLETE, observed_at=at), others, [])


@pytest.fixture
def world(kernel: Kernel) -> Kernel:
    kernel.domains = (Domain(name="things", title="Things", types=TYPES),)
    return kernel


def between(kernel: Kernel, a: str, b: str, asked: Asked | None = None, limit: int = 5) -> paths.Paths:
    with kernel.db.read() as connection:
        return paths.between(kernel, connection, urn(a), urn(b), asked, limit)


def walked(found: paths.Paths) -> list[str]:
    out = []
    for way in found.paths:
        here, text = found.source, found.source.rpartition("/")[2]
        for hop in way:
            assert here == (hop.source if hop.forward else hop.target)
            here = hop.target if hop.forward else hop.source
            text += (">" if hop.forward else "<") + here.rpartition("/")[2]
        assert here == found.target
        out.append(text)
    return out


def test_the_shortest_come_first_and_each_is_told_by_its_evidence(world: Kernel) -> None:
    draw(world, [edge(e) for e in ("a>b", "b>c", "a>d", "d>c", "c>z", "a>x", "x>y", "y>c", "z>q")])
    found = between(world, "a", "z", Asked(direction="out"))
    assert found.answer == "yes" and found.lacks == []
    assert walked(found) == ["a>b>c>z", "a>d>c>z", "a>x>y>c>z"]
    assert walked(between(world, "a", "z", Asked(direction="out"), limit=1)) == ["a>b>c>z"]
    assert found.paths[0][0].evidence == "Link" and found.paths[0][0].cell == cell().id
    assert found.nodes[urn("b")].type == HOLDS and found.nodes[urn("b")].name == "b"
    assert walked(between(world, "a", "a")) == ["a"]


def test_direction_and_kinds_are_followed(world: Kernel) -> None:
    draw(world, [edge("a>hub"), edge("b>hub"), edge("a>b", "knows")])
    assert walked(between(world, "a", "b", Asked(kinds=frozenset({"leadsTo"})))) == ["a>hub<b"]
    assert walked(between(world, "a", "b", Asked(direction="out"))) == ["a>b"]
    assert walked(between(world, "b", "a", Asked(direction="in"))) == ["b<a"]
    assert between(world, "b", "a", Asked(direction="out")).answer == "no"
    assert between(world, "a", "b", Asked(kinds=frozenset({"leadsTo"}), direction="out")).answer == "no"


def test_no_is_proven_by_the_cells_alone(world: Kernel) -> None:
    draw(world, [edge("a>b"), edge("c>d")])
    assert between(world, "a", "d", Asked(direction="out")).answer == "no"
    draw(world, [], status=CellStatus.DENIED, minutes=5)
    found = between(world, "a", "d", Asked(direction="out"))
    assert found.answer == "unknown"
    assert {(lack.cell, lack.status) for lack in found.lacks} == {(cell().id, "denied")}
    # what holds no relation of these kinds needs no proof
    draw(world, [edge("a>b"), edge("c>d")], minutes=10)
    assert between(world, "a", "d", Asked(kinds=frozenset({"knows"}), direction="out")).answer == "no"


def test_what_is_not_observed_may_lead_anywhere(world: Kernel) -> None:
    draw(world, [edge("c>d")], names="a")
    with world.db.write() as connection:
        graph.set_relations(
            connection, "aws/compared", [Relation(source=urn("a"), kind="knows", target=urn("ghost"))], T0
        )
    found = between(world, "a", "d", Asked(direction="out"))
    assert found.answer == "unknown" and [lack.status for lack in found.lacks] == ["unobserved"]
    assert "ghost" in found.lacks[0].why


def test_a_type_that_was_never_looked_at_is_missing(world: Kernel) -> None:
    with world.db.write() as connection:
        at = Outcome(cell=cell(HOLLOW), status=CellStatus.COMPLETE, observed_at=T0)
        graph.observe(connection, at, [thing("a", HOLLOW), thing("b", HOLLOW)], [])
    assert between(world, "a", "b", Asked(direction="out")).answer == "no", "hollow things lead nowhere"
    found = between(world, "a", "b", Asked(direction="any"))
    assert found.answer == "unknown" and [lack.status for lack in found.lacks] == ["never"]


def test_as_of_a_time(world: Kernel) -> None:
    draw(world, [edge("a>b"), edge("b>c")])
    draw(world, [edge("a>b"), edge("d>c")], minutes=30)
    assert between(world, "a", "c", Asked(direction="out")).answer == "no"
    then = Asked(direction="out", at=T0 + timedelta(minutes=10))
    assert walked(between(world, "a", "c", then)) == ["a>b>c"]
    before = between(world, "a", "c", replace(then, at=T0 - timedelta(minutes=1)))
    assert before.answer == "unknown" and "past" in {lack.status for lack in before.lacks}


def test_the_bounds_end_it_and_say_so(world: Kernel) -> None:
    draw(world, [*(edge(f"a>m{i}") for i in range(40)), *(edge(f"m{i}>n{i}") for i in range(40)), edge("y>z")])
    found = between(world, "a", "z", Asked(direction="out", nodes=10))
    assert found.answer == "no", "the other end is exhausted at once"
    with world.db.read() as connection:
        reached = paths.reach(world, connection, urn("a"), Asked(direction="out", nodes=10))
    assert not reached.complete and "bound" in {lack.status for lack in reached.lacks}
    assert between(world, "a", "n3", Asked(direction="out", length=1)).answer == "no"
    with pytest.raises(BadInput, match="21 hops"):
        between(world, "a", "z", Asked(length=21))


def test_what_is_reached_comes_by_distance(world: Kernel) -> None:
    draw(world, [edge("a>b"), edge("b>c"), edge("c>d"), edge("x>a")])
    with world.db.read() as connection:
        found = paths.reach(world, connection, urn("a"), Asked(direction="out", length=2))
        back = paths.reach(world, connection, urn("c"), Asked(direction="in"))
    assert [(r.node.name, r.distance) for r in found.items] == [("b", 1), ("c", 2)]
    assert found.complete and found.items[0].hop.forward
    assert [(r.node.name, r.distance) for r in back.items] == [("b", 1), ("a", 2), ("x", 3)]


NAMES = "abcdefgh"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda p: p[0] != p[1]), max_size=14),
    st.sampled_from(("out", "in", "any")),
    st.integers(1, 6),
)
def test_the_answer_is_that_of_a_plain_search(
    sqlite_kernel: Kernel, pairs: set[tuple[str, str]], direction: Any, length: int
) -> None:
    sqlite_kernel.domains = (Domain(name="things", title="Things", types=TYPES),)
    with sqlite_kernel.db.write() as connection:
        for table in (tables.relations, tables.resources, tables.cell_marks, tables.coverage, tables.past_versions):
            connection.execute(table.delete())
    draw(sqlite_kernel, [edge(f"{a}>{b}") for a, b in pairs], names=NAMES)
    draw_hollow(sqlite_kernel)
    steps: dict[str, set[str]] = {n: set() for n in NAMES}
    for a, b in pairs:
        if direction != "in":
            steps[a].add(b)
        if direction != "out":
            steps[b].add(a)
    distance, queue = {"a": 0}, deque("a")
    while queue:
        here = queue.popleft()
        for there in steps[here] - distance.keys():
            distance[there] = distance[here] + 1
            queue.append(there)
    found = between(sqlite_kernel, "a", "h", Asked(direction=direction, length=length))
    expected = distance.get("h", 99)
    assert found.answer == ("yes" if expected <= length else "no")
    if found.paths:
        assert len(found.paths[0]) == expected
        assert [len(way) for way in found.paths] == sorted(len(way) for way in found.paths)
        assert len({tuple(walked(replace_paths(found, way))) for way in found.paths}) == len(found.paths)


def draw_hollow(kernel: Kernel) -> None:
    with kernel.db.write() as connection:
        at = Outcome(cell=cell(HOLLOW), status=CellStatus.COMPLETE, observed_at=T0)
        graph.observe(connection, at, [], [])


def replace_paths(found: paths.Paths, way: list[paths.Hop]) -> paths.Paths:
    return paths.Paths(found.source, found.target, found.answer, [way], found.nodes, [], 0, 0)
