"""The marks of a cell are those of what is in it, or not known; a look that changes nothing reads no resource."""

from __future__ import annotations

import itertools
from datetime import timedelta

import msgspec
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from tests.kernel.world import T0, queue
from uwu.kernel import graph, tables
from uwu.kernel.db import Database
from uwu.kernel.graph import marks
from uwu.kernel.model import Cell, CellStatus, Outcome, Relation, Resource
from uwu.kernel.runtime import Kernel

NAMES = "abc"
_FRESH = itertools.count()
KINDS = ("complete", "complete", "partial", "refresh")

Look = tuple[int, str, dict[str, int]]
"""The cell that is looked at, how, and what is there: name -> what it is like."""

looks: st.SearchStrategy[list[Look]] = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(KINDS),
        st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2), max_size=len(NAMES)),
    ),
    max_size=7,
)


def cells() -> tuple[Cell, Cell]:
    number = next(_FRESH)
    return tuple(Cell(source="aws", account="1", region=f"r{side}", type=f"aws_marks_{number}") for side in (0, 1))  # type: ignore[return-value]


def thing(cell: Cell, name: str, size: int) -> Resource:
    """The same resource whichever cell tells of it."""
    return msgspec.structs.replace(queue(name, size=size), urn=f"urn:{cell.type}:{name}", type=cell.type)


def write(db: Database, cell: Cell, minute: int, kind: str, told: dict[str, int]) -> None:
    resources = [thing(cell, name, size) for name, size in told.items()]
    relations = [Relation(source=one.urn, kind="to", target="urn:x") for one in resources]
    at = T0 + timedelta(minutes=minute)
    with db.write() as connection:
        if kind == "refresh":
            gone = [f"urn:{cell.type}:{name}" for name in NAMES if name not in told]
            graph.refresh(connection, cell.id, at, resources, gone, relations)
        else:
            status = CellStatus.COMPLETE if kind == "complete" else CellStatus.THROTTLED
            graph.observe(connection, Outcome(cell=cell, status=status, observed_at=at), resources, relations)


def check_marks(db: Database, *both: Cell) -> None:
    with db.read() as connection:
        held = marks.held(connection, [cell.id for cell in both])
        for cell in both:
            r = tables.resources
            there = connection.execute(sa.select(sa.func.count()).where(r.c.cell == cell.id)).scalar_one()
            known = held.get(cell.id, marks.UNKNOWN).marks
            assert known is None or len(known) == there, (cell.id, known, there)


def check(db: Database, given: list[Look]) -> None:
    both = cells()
    for minute, (side, kind, told) in enumerate(given):
        write(db, both[side], minute, kind, told)
        check_marks(db, *both)
    truth = ({"a": 1}, {"b": 2, "c": 1})
    for minute in (100, 101):  # what one cell no longer tells of, the other may have held
        for cell, told in zip(both, truth, strict=True):
            write(db, cell, minute, "complete", told)
            check_marks(db, *both)
    with db.read() as connection:
        r = tables.resources
        query = sa.select(r.c.cell, r.c.name, r.c.attributes).where(r.c.type == both[0].type)
        found = {(row.cell, row.name): row.attributes["size"] for row in connection.execute(query)}
    assert found == {(both[0].id, "a"): 1, (both[1].id, "b"): 2, (both[1].id, "c"): 1}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=looks)
def test_what_moves_between_cells_is_never_lost(sqlite_kernel: Kernel, given: list[Look]) -> None:
    check(sqlite_kernel.db, given)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=looks)
def test_nor_on_either_database(db: Database, given: list[Look]) -> None:
    check(db, given)


def test_a_look_that_changes_nothing_reads_no_resource(db: Database) -> None:
    cell, _ = cells()
    told = dict.fromkeys(NAMES, 1)
    write(db, cell, 0, "complete", told)
    asked: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *given: asked.append(str(given[2])))
    write(db, cell, 1, "complete", told)
    assert asked and not any("resources" in one and "coverage" not in one for one in asked), asked


def test_marks_that_another_writer_forgot_are_not_brought_back(db: Database) -> None:
    cell, _ = cells()
    with db.write() as connection:
        marks.write(connection, {cell.id: (marks.UNKNOWN, [b"0" * marks.SIZE])})
    with db.read() as connection:
        before = marks.held(connection, [cell.id])[cell.id]
    assert before.marks == {b"0" * marks.SIZE}
    with db.write() as connection:
        marks.write(connection, {cell.id: (marks.UNKNOWN, None)})
        marks.write(connection, {cell.id: (before, [b"1" * marks.SIZE])})
    with db.read() as connection:
        assert marks.held(connection, [cell.id])[cell.id].marks is None
