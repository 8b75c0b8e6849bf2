"""Writing relations: which began, and which ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from uwu.kernel import bulk, tables
from uwu.kernel.bulk import Bulk
from uwu.kernel.model import Relation


class Given(msgspec.Struct, frozen=True):
    """The relations that go out from ``source``, as a look at ``cell`` gives them."""

    source: str
    cell: str
    at: datetime
    relations: Sequence[Relation] = ()
    complete: bool = True
    """Others ended."""
    before: str = ""
    """The cell in which the source was until now, where it was another."""


def outgoing(relations: Iterable[Relation]) -> dict[str, list[Relation]]:
    """Relations by their source."""
    found: defaultdict[str, list[Relation]] = defaultdict(list)
    for one in relations:
        found[one.source].append(one)
    return found


def set_relations(
    connection: sa.Connection, cell: str, relations: Iterable[Relation], at: datetime, *, complete: bool = True
) -> None:
    """Makes ``relations`` the current ones of ``cell``; those no longer given end, but only where complete."""
    held = {(source, kind, target) for source, kind, target in bulk.rows(connection, _OF_CELL, [cell])}
    given = {(r.source, r.kind, r.target): r.evidence for r in relations}
    ended = [(*key, cell, at) for key in held - given.keys()] if complete else []
    _write(connection, [(*key, at, None, cell, given[key]) for key in given.keys() - held], ended)


def of_sources(connection: sa.Connection, given: Sequence[Given]) -> None:
    """Records what goes out from different sources. What does so by other cells than theirs stays as it is."""
    current: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for source, kind, target, cell in bulk.rows(connection, _OF_SOURCE, (one.source for one in given)):
        current[source].append((kind, target, cell))
    begun: list[tuple[str, str, str, datetime, None, str, str]] = []
    ended: list[tuple[str, str, str, str, datetime]] = []
    for one in given:
        relations = {(r.kind, r.target): r.evidence for r in one.relations}
        held: set[tuple[str, str]] = set()
        for kind, target, cell in current[one.source]:
            if cell == one.cell and ((kind, target) in relations or not one.complete):
                held.add((kind, target))
            elif cell in (one.cell, one.before):
                ended.append((one.source, kind, target, cell, one.at))
        begun += [
            (one.source, *key, one.at, None, one.cell, evidence)
            for key, evidence in relations.items()
            if key not in held
        ]
    _write(connection, begun, ended)


_OF_CELL = "select source, kind, target from relations where cell in ({values}) and valid_to is null"
_OF_SOURCE = "select source, kind, target, cell from relations where source in ({values}) and valid_to is null"
_KEY = {"source": "text", "kind": "text", "target": "text"}
_BEGIN = bulk.upsert(
    tables.relations, {**_KEY, "valid_from": "time", "valid_to": "time", "cell": "text", "evidence": "text"}
)
_END = Bulk(
    {**_KEY, "cell": "text", "at": "time"},
    "update relations set valid_to = :at: where source = :source: and kind = :kind: and target = :target: "
    "and cell = :cell: and valid_to is null and valid_from <= :at:",
    "update relations r set valid_to = given.at from given where r.source = given.source and r.kind = given.kind "
    "and r.target = given.target and r.cell = given.cell and r.valid_to is null and r.valid_from <= given.at",
)


def _write(
    connection: sa.Connection,
    begun: list[tuple[str, str, str, datetime, None, str, str]],
    ended: list[tuple[str, str, str, str, datetime]],
) -> None:
    """In the order of their keys: unordered, two writers deadlock on PostgreSQL."""
    _END.run(connection, sorted(ended))
    _BEGIN.run(connection, sorted(begun, key=lambda row: row[:4]))
