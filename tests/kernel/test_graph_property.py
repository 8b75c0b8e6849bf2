"""Whatever is seen of a world, in whatever order it is told: what lives stays, what is gone stays gone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.kernel.world import T0, queue
from uwu.kernel import graph
from uwu.kernel.db import Database
from uwu.kernel.model import Cell, CellStatus, Outcome, Relation, Resource

NAMES = "abcd"
_FRESH = itertools.count()
"""A type for each example: they share one database."""

State = dict[str, int]
"""Name -> what it is like, of what is there."""


@dataclass(frozen=True)
class Seen:
    """A look at the world at ``at``: of the whole cell as ``status`` says, or of ``names`` by themselves."""

    at: int
    world: State
    status: CellStatus | None = None
    """None: a refresh of ``names``."""
    names: frozenset[str] = frozenset()
    """What a look in part saw, as far as it was there."""

    @property
    def told(self) -> State:
        if self.status is CellStatus.COMPLETE:
            return self.world
        return {name: size for name, size in self.world.items() if name in self.names}


@dataclass
class History:
    """A world over time and the looks at it, in the order in which they are written."""

    worlds: list[State]
    looks: list[Seen] = field(default_factory=list)


@st.composite
def histories(draw: DrawFn) -> History:
    steps = draw(st.integers(1, 7))
    world: State = {}
    worlds: list[State] = []
    for _ in range(steps):
        for name in draw(st.frozensets(st.sampled_from(NAMES), max_size=3)):
            if name in world and draw(st.booleans()):
                del world[name]
            else:
                world[name] = draw(st.integers(1, 3))
        worlds.append(dict(world))
    status = st.sampled_from([None, CellStatus.COMPLETE, CellStatus.COMPLETE, CellStatus.THROTTLED, CellStatus.DENIED])
    looks = [Seen(at, worlds[at], draw(status), draw(st.frozensets(st.sampled_from(NAMES)))) for at in range(steps)]
    return History(worlds, draw(st.permutations(looks)))


def _when(at: int) -> datetime:
    return T0 + timedelta(minutes=at)


def _resources(cell: Cell, told: State) -> tuple[list[Resource], list[Relation]]:
    resources = [
        msgspec.structs.replace(queue(name, size=size), urn=_urn(cell, name), type=cell.type)
        for name, size in told.items()
    ]
    relations = [Relation(source=_urn(cell, n), kind="to", target=f"urn:{size}") for n, size in told.items()]
    return resources, relations


def _urn(cell: Cell, name: str) -> str:
    return f"urn:{cell.type}:{name}"


def write(db: Database, cell: Cell, look: Seen) -> None:
    resources, relations = _resources(cell, look.told)
    with db.write() as connection:
        if look.status is None:
            gone = [_urn(cell, name) for name in look.names if name not in look.told]
            graph.refresh(connection, cell.id, _when(look.at), resources, gone, relations)
        else:
            outcome = Outcome(cell=cell, status=look.status, observed_at=_when(look.at))
            graph.observe(connection, outcome, resources, relations)


def known(db: Database, cell: Cell) -> tuple[State, set[tuple[str, str]]]:
    """What is there and what it points to, as the graph has it."""
    with db.read() as connection:
        found = {item.name: item.urn for item in graph.find(connection, type=cell.type, limit=100).items}
        sizes = {n: _size(graph.resource(connection, urn)) for n, urn in found.items()}
        to = {(n, r.target) for n in NAMES for r in graph.neighbours(connection, _urn(cell, n))}
    return sizes, to


def _size(found: Any) -> int:
    return found.attributes["size"]


def expected(looks: Sequence[Seen]) -> State:
    """What is known by ``looks``, whatever their order: of each the latest that tells of it."""
    state: State = {}
    for look in sorted(looks, key=lambda look: look.at):
        if look.status is CellStatus.COMPLETE:
            state = dict(look.told)
            continue
        state |= look.told
        if look.status is None:
            for name in look.names - look.told.keys():
                state.pop(name, None)
    return state


def check_versions(db: Database, cell: Cell) -> None:
    """They number from one, none overlaps the next, and the last is open where the resource is there."""
    with db.read() as connection:
        for name in NAMES:
            versions = graph.history(connection, _urn(cell, name))[::-1]
            assert [v.version for v in versions] == list(range(1, len(versions) + 1))
            for v, after in itertools.pairwise(versions):
                assert v.valid_to is not None
                assert v.valid_from < v.valid_to <= after.valid_from
            there = graph.resource(connection, _urn(cell, name))
            last = versions[-1] if versions else None
            assert (there is not None) == (last is not None and last.valid_to is None)
            if there is not None and last is not None:
                assert (there.version, there.attributes) == (last.version, last.attributes)


def check(db: Database, history: History) -> None:
    cell = Cell(source="aws", account="1", region="r", type=f"aws_{next(_FRESH)}")
    for number, look in enumerate(history.looks, 1):
        write(db, cell, look)
        sizes, _ = known(db, cell)
        assert sizes == expected(history.looks[:number])
        check_versions(db, cell)
    end = Seen(len(history.worlds), history.worlds[-1], CellStatus.COMPLETE)
    write(db, cell, end)
    sizes, to = known(db, cell)
    assert sizes == history.worlds[-1]
    assert to == {(name, f"urn:{size}") for name, size in history.worlds[-1].items()}
    check_versions(db, cell)
    with db.read() as connection:
        for minute in range(len(history.worlds) + 1):
            past = graph.find_at(connection, _when(minute), type=cell.type)
            assert past.total == len(past.items)
            for item in past.items:
                held = graph.as_of(connection, item.urn, _when(minute))
                assert held is not None
                assert held.version == item.version


FEW: Any = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=60, **FEW)
@given(history=histories())
def test_order_of_arrival_never_matters(sqlite_kernel, history: History) -> None:
    check(sqlite_kernel.db, history)


@settings(max_examples=8, **FEW)
@given(history=histories())
def test_order_of_arrival_never_matters_on_either_database(db: Database, history: History) -> None:
    check(db, history)
