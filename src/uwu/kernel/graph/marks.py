"""What a cell is known to hold, so compactly that a look compares itself without reading a resource.

A mark is a digest of a resource and of what goes out from it. The marks of a cell are kept together as its last
complete look gave them. Whatever else writes one of its resources forgets them: the next look compares its resources
one by one, which takes longer and finds the same.
"""

# the names in its SQL are its own: nothing comes from outside
# ruff: noqa: S608

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from uwu.kernel import bulk, codec
from uwu.kernel.bulk import Bulk
from uwu.kernel.model import Relation, Resource

SIZE = 16
"""Bytes of a mark."""


class Held(msgspec.Struct, frozen=True):
    """The marks of a cell; None where they are not known."""

    marks: frozenset[bytes] | None = None
    turn: int = 0
    """How often they were written: what was read is overtaken where it is another by now."""


UNKNOWN = Held()


def of(resources: Mapping[str, Resource], outgoing: Mapping[str, Sequence[Relation]]) -> dict[str, bytes]:
    """The mark of each resource by its urn."""
    sha256, get = hashlib.sha256, outgoing.get
    buffer = bytearray()
    marks: dict[str, bytes] = {}
    for urn, one in resources.items():
        # not canonical, which takes twice as long: members in another order cost a second look, that finds no change
        codec.encode_into((one, get(urn)), buffer)
        marks[urn] = sha256(buffer).digest()[:SIZE]
    return marks


def held(connection: sa.Connection, cells: Iterable[str]) -> dict[str, Held]:
    """What ``cells`` are known to hold; nothing of those that were never looked at completely."""
    found: dict[str, Held] = {}
    for cell, marks, turn in bulk.rows(connection, _OF_CELLS, cells):
        if marks is None:
            found[cell] = Held(None, turn)
            continue
        joined = bytes(marks)
        found[cell] = Held(frozenset(struct.unpack(f"{SIZE}s" * (len(joined) // SIZE), joined)), turn)
    return found


def write(connection: sa.Connection, given: Mapping[str, tuple[Held, Iterable[bytes] | None]]) -> None:
    """Keeps the marks of cells, each beside what ``held`` gave of it; None forgets them.

    Marks that were forgotten by another writer since are not kept. In the order of cells: unordered, two writers
    deadlock on PostgreSQL.
    """
    rows = [
        (cell, b"".join(marks) if marks is not None else None, before.turn)
        for cell, (before, marks) in sorted(given.items())
    ]
    _WRITE.run(connection, rows)


_OF_CELLS = "select cell, marks, turn from cell_marks where cell in ({values})"
_TURN = (
    "on conflict (cell) do update set marks = case when cell_marks.turn = excluded.turn - 1 then excluded.marks end, "
    "turn = cell_marks.turn + 1"
)
_WRITE = Bulk(
    {"cell": "text", "marks": "bytes", "turn": "int"},
    f"insert into cell_marks (cell, marks, turn) values (:cell:, :marks:, :turn: + 1) {_TURN}",
    f"insert into cell_marks (cell, marks, turn) select cell, marks, turn + 1 from given {_TURN}",
)
