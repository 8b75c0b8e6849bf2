"""Ways through the graph, three-valued: yes with the way, no where complete cells prove it, else unknown.

A relation is told by the cell of its source. So what leads out of a resource is known where the resource's own cell is
complete; what leads into it is known where every cell whose type can hold such a relation is. Where that is not so the
answer is never no. The graph is read a neighbourhood at a time, never whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec
import sqlalchemy as sa

from uwu.kernel import sight, tables, urns
from uwu.kernel.domain import ResourceType, type_of, types_of
from uwu.kernel.errors import BadInput
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel

Direction = Literal["out", "in", "any"]
"""Along the relations, against them, or both."""
Answer = Literal["yes", "no", "unknown"]

LENGTH = 8
"""Hops of a path where nothing else is asked."""
MOST_LENGTH = 20
NODES = 20_000
"""Nodes that one search looks at; more makes it end, and its answer ``unknown``."""
EDGES = 200_000
SECONDS = 10.0
PATHS = 5
_LONGER = 2
"""Paths longer than the shortest by at most this are given too."""
_CHEAP = 100
"""Nodes whose relations are read for ways that are longer than the shortest."""
_STEPS = 20_000
_IN = 500
_LACKS = 50


class Hop(msgspec.Struct, frozen=True):
    """One relation on the way. ``forward`` is false where the way goes against it."""

    source: str
    kind: str
    target: str
    forward: bool
    evidence: str
    cell: str


class Lack(msgspec.Struct, frozen=True):
    """What would have to be known for a proof. ``cell`` is empty where no cell could tell."""

    cell: str
    status: str
    """The cell's, or ``never`` (not looked at), ``unobserved``, ``hidden``, ``past``, ``bound``."""
    why: str


class Node(msgspec.Struct, frozen=True):
    """A node on the way. ``type`` is the resource's type, or ``entity``; empty for what only others name."""

    id: str
    type: str = ""
    name: str = ""
    account: str = ""
    region: str = ""


class Paths(msgspec.Struct, frozen=True):
    """The ways between two nodes, shortest first."""

    source: str
    target: str
    answer: Answer
    paths: list[list[Hop]]
    nodes: dict[str, Node]
    lacks: list[Lack]
    """Empty where the answer is ``yes`` or ``no``."""
    visited: int
    """How many nodes were looked at."""
    length: int
    """The longest way that was looked for."""


class Reached(msgspec.Struct, frozen=True):
    """A node that can be reached in ``distance`` hops, by ``hop`` at last."""

    node: Node
    distance: int
    hop: Hop


class Reach(msgspec.Struct, frozen=True):
    """All that can be reached from a node, nearest first. ``complete`` says whether that is proven to be all."""

    source: str
    items: list[Reached]
    complete: bool
    lacks: list[Lack]
    visited: int
    length: int


@dataclass(frozen=True)
class Asked:
    """Which relations are followed, when, and how far."""

    kinds: frozenset[str] = frozenset()
    """Empty follows all."""
    direction: Direction = "any"
    at: datetime | None = None
    length: int = LENGTH
    nodes: int = NODES
    seconds: float = SECONDS


def between(
    kernel: Kernel, connection: sa.Connection, source: str, target: str, asked: Asked | None = None, limit: int = PATHS
) -> Paths:
    """The ways from ``source`` to ``target``, at most ``limit``: all of the shortest come first.

    Where ``asked.at`` is given, as of then. Raises ``BadInput`` for a length out of 1 to 20.
    """
    asked = _checked(asked or Asked())
    search = _Search(connection, asked)
    if source == target:
        return Paths(source, target, "yes", [[]], _nodes(connection, asked, [source]), [], 1, asked.length)
    ahead, behind = _Side(source, along=True), _Side(target, along=False)
    length = -1
    while ahead.frontier and behind.frontier and ahead.depth + behind.depth < asked.length and not search.ended:
        side = ahead if len(ahead.frontier) <= len(behind.frontier) else behind
        search.expand(side)
        met = [ahead.seen[node] + behind.seen[node] for node in side.frontier if _both(node, ahead, behind)]
        if met:
            length = min(met)
            break
    # somewhat longer ways are found too, where looking for them is cheap
    for _ in range(_LONGER if 0 <= length < asked.length and limit > 1 else 0):
        side = ahead if len(ahead.frontier) <= len(behind.frontier) else behind
        if len(side.frontier) > _CHEAP or search.ended:
            break
        search.expand(side)
    if length >= 0:
        found = list(_ways(search.edges, asked, source, target, length, limit))
        nodes = _nodes(connection, asked, {end for way in found for hop in way for end in (hop.source, hop.target)})
        return Paths(source, target, "yes", found, nodes, [], search.visited, asked.length)
    # one side that is exhausted proves it alone
    sides = [side for side in (ahead, behind) if not side.frontier and not search.ended] or [ahead, behind]
    proofs = [_lacks(kernel, connection, asked, search, [side]) for side in sides]
    lacks = (
        min(proofs, key=len)
        if not all(side.frontier for side in sides)
        else [lack for proof in proofs for lack in proof]
    )
    nodes = _nodes(connection, asked, {source, target})
    answer: Answer = "unknown" if lacks else "no"
    return Paths(source, target, answer, [], nodes, lacks, search.visited, asked.length)


def reach(
    kernel: Kernel, connection: sa.Connection, source: str, asked: Asked | None = None, limit: int = 200
) -> Reach:
    """What can be reached from ``source``, at most ``limit`` nodes, nearest first. Raises as ``between``."""
    asked = _checked(asked or Asked())
    search, side = _Search(connection, asked), _Side(source, along=True)
    while side.frontier and side.depth < asked.length and not search.ended:
        search.expand(side)
    order = sorted((distance, node) for node, distance in side.seen.items() if distance)
    nodes = _nodes(connection, asked, [node for _, node in order[:limit]])
    items = [Reached(nodes[node], distance, side.by[node]) for distance, node in order[:limit]]
    lacks = _lacks(kernel, connection, asked, search, [side])
    return Reach(source, items, not lacks and len(items) == len(order), lacks, search.visited, asked.length)


def _checked(asked: Asked) -> Asked:
    if not 1 <= asked.length <= MOST_LENGTH:
        raise BadInput(f"a way of {asked.length} hops", code="paths-length", hint=f"ask for 1 to {MOST_LENGTH} hops")
    return asked


# ---- the search


@dataclass
class _Side:
    """What is known from one end: distances, and the nodes whose relations come next."""

    start: str
    along: bool
    """From the source: with the asked direction; from the target: against it."""
    depth: int = 0
    seen: dict[str, int] = field(default_factory=dict[str, int])
    by: dict[str, Hop] = field(default_factory=dict[str, Hop])
    frontier: list[str] = field(default_factory=list[str])
    expanded: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self.seen[self.start] = 0
        self.frontier = [self.start]


def _both(node: str, one: _Side, other: _Side) -> bool:
    return node in one.seen and node in other.seen


@dataclass
class _Search:
    """The relations that were read, within the bounds of one question."""

    connection: sa.Connection
    asked: Asked
    ended: str = ""
    """Why it ended before its end."""
    edges: dict[str, set[tuple[str, Hop]]] = field(default_factory=dict[str, set[tuple[str, Hop]]])
    """Node -> (next node, hop), in the direction from the source."""
    visited: int = 0
    _read: int = 0
    _until: float = 0.0

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.asked.seconds

    def expand(self, side: _Side) -> None:
        """Reads the relations of the frontier of ``side``; what is new becomes the next."""
        fresh: dict[str, None] = {}
        direction = self.asked.direction
        outward = direction == "any" or (direction == "out") == side.along
        inward = direction == "any" or (direction == "in") == side.along
        for start in range(0, len(side.frontier), _IN):
            some = side.frontier[start : start + _IN]
            self.visited += len(some)
            side.expanded.update(some)
            for here, there, hop in self._hops(some, outward, inward):
                # as it is walked from the source on: the other side walks it backwards
                hop = hop if side.along else msgspec.structs.replace(hop, forward=not hop.forward)
                first, next = (here, there) if side.along else (there, here)
                self.edges.setdefault(first, set()).add((next, hop))
                if there not in side.seen:
                    side.seen[there] = side.depth + 1
                    side.by[there] = hop
                    fresh[there] = None
            if self.visited >= self.asked.nodes:
                self.ended = f"it ended after {self.visited:,} nodes"
            elif time.monotonic() > self._until:
                self.ended = f"it ended after {self.asked.seconds:g} seconds"
            if self.ended:
                break
        side.depth += 1
        side.frontier = sorted(fresh)

    def _hops(self, some: Sequence[str], outward: bool, inward: bool) -> Iterator[tuple[str, str, Hop]]:
        t = tables.relations
        for wanted, column in ((outward, t.c.source), (inward, t.c.target)):
            if not wanted:
                continue
            query = sa.select(t.c.source, t.c.kind, t.c.target, t.c.evidence, t.c.cell).where(
                column.in_(some), t.c.source != t.c.target, *self._when()
            )
            query = query.order_by(t.c.source, t.c.kind, t.c.target).limit(EDGES - self._read + 1)
            for source, kind, target, evidence, cell in self.connection.execute(query):
                self._read += 1
                if self._read > EDGES:
                    self.ended = f"it ended after {EDGES:,} relations"
                    return
                forward = column is t.c.source
                hop = Hop(source, kind, target, forward, evidence, cell)
                yield (source, target, hop) if forward else (target, source, hop)

    def _when(self) -> list[sa.ColumnElement[bool]]:
        t, at = tables.relations, self.asked.at
        wheres = [t.c.kind.in_(sorted(self.asked.kinds))] if self.asked.kinds else []
        if at is None:
            return [*wheres, t.c.valid_to.is_(None)]
        return [*wheres, t.c.valid_from <= at, sa.or_(t.c.valid_to.is_(None), t.c.valid_to > at)]


def _ways(
    edges: Mapping[str, set[tuple[str, Hop]]], asked: Asked, source: str, target: str, shortest: int, limit: int
) -> Iterator[list[Hop]]:
    """The simple ways among the relations that were read, by length and then by what they pass."""
    left = _distances(edges, target)
    steps = [0]

    def walk(node: str, length: int, way: list[Hop], passed: set[str]) -> Iterator[list[Hop]]:
        steps[0] += 1
        if steps[0] > _STEPS:
            return
        if node == target:
            if length == 0:
                yield list(way)
            return
        taken: set[str] = set()
        for next, hop in sorted(edges.get(node, ()), key=lambda e: (e[0], e[1].kind, e[1].forward)):
            # several relations to the same node are one way: the first by its kind tells it
            if next in passed or next in taken or left.get(next, length) > length - 1:
                continue
            taken.add(next)
            yield from walk(next, length - 1, [*way, hop], {*passed, next})

    given = 0
    for length in range(shortest, min(shortest + _LONGER, asked.length) + 1):
        for way in walk(source, length, [], {source}):
            yield way
            given += 1
            if given >= limit:
                return


def _distances(edges: Mapping[str, set[tuple[str, Hop]]], target: str) -> dict[str, int]:
    back: dict[str, list[str]] = {}
    for node, ways in edges.items():
        for next, _ in ways:
            back.setdefault(next, []).append(node)
    found, frontier = {target: 0}, [target]
    while frontier:
        beyond: list[str] = []
        for node in frontier:
            for before in back.get(node, ()):
                if before not in found:
                    found[before] = found[node] + 1
                    beyond.append(before)
        frontier = beyond
    return found


# ---- what is not known


def _lacks(
    kernel: Kernel, connection: sa.Connection, asked: Asked, search: _Search, sides: Iterable[_Side]
) -> list[Lack]:
    """What keeps the search from being a proof; empty where it is one."""
    lacks: list[Lack] = []
    if search.ended:
        lacks.append(Lack("", "bound", search.ended))
    if asked.at is not None:
        lacks.append(Lack("", "past", "which cells were complete at that time is not recorded"))
    if not sight.current().all:
        lacks.append(Lack("", "hidden", "the policies hide a part of the graph from you"))
    types = types_of(kernel.domains)
    for name in connection.scalars(sa.select(tables.coverage.c.type).distinct()):
        known = types.get(name) or type_of(kernel.domains, name)
        if known is not None:
            types[name] = known
    for side in sides:
        if asked.direction == "any" or (asked.direction == "out") == side.along:
            lacks += _lacking_out(connection, asked, types, side.expanded)
        if asked.direction == "any" or (asked.direction == "in") == side.along:
            lacks += _lacking_in(connection, asked, types)
    return list(dict.fromkeys(lacks))[:_LACKS]


def _holds(kind: ResourceType | None, asked: Asked) -> bool:
    """Whether a resource of this type may hold a relation that is followed."""
    if kind is None or kind.relations is None:
        return True
    return bool(asked.kinds & set(kind.relations)) if asked.kinds else bool(kind.relations)


def _lacking_out(
    connection: sa.Connection, asked: Asked, types: Mapping[str, ResourceType], expanded: Iterable[str]
) -> list[Lack]:
    """The cells of the nodes that were looked at, where they are not complete; and the nodes that are in none."""
    r, c, e = tables.resources, tables.coverage, tables.entities
    missing, cells, needed = sorted(expanded), dict[str, tuple[str, str]](), set[str]()
    nowhere: list[str] = []
    for start in range(0, len(missing), _IN):
        some = missing[start : start + _IN]
        known: set[str] = set()
        query = (
            sa.select(r.c.urn, r.c.type, r.c.cell, c.c.status)
            .select_from(r.outerjoin(c, c.c.cell == r.c.cell))
            .where(r.c.urn.in_(some))
        )
        for urn, type, cell, status in connection.execute(query):
            known.add(urn)
            if not _holds(types.get(type), asked):
                continue
            needed.update(types[type].needs if type in types else ())
            if status != CellStatus.COMPLETE.value:
                cells.setdefault(cell, (status or "never", urn))
        known.update(connection.scalars(sa.select(e.c.ref).where(e.c.ref.in_(some))))
        nowhere += [node for node in some if node not in known and not _barren(node)]
    lacks = [
        Lack(cell, status, f"what {urns.short(urn)} leads to: its cell is {_words(status)}")
        for cell, (status, urn) in sorted(cells.items())
    ]
    lacks += [Lack("", "unobserved", f"{node} is named by others and not observed itself") for node in nowhere]
    return lacks + _incomplete(connection, types, needed)


def _barren(node: str) -> bool:
    """A node that holds nothing wherever it is: what AWS owns, and principals that are no resource."""
    parts = urns.parse(node)
    if parts is not None:
        return parts.account == "aws"
    return node.startswith("urn:uwu:") and not urns.account_of(node)


def _lacking_in(connection: sa.Connection, asked: Asked, types: Mapping[str, ResourceType]) -> list[Lack]:
    """The cells that are not complete, of all types that may hold a relation that is followed."""
    return _incomplete(connection, types, {name for name, kind in types.items() if _holds(kind, asked)})


def _incomplete(connection: sa.Connection, types: Mapping[str, ResourceType], names: Iterable[str]) -> list[Lack]:
    wanted = sorted(names)
    if not wanted:
        return []
    c = tables.coverage
    lacks = [
        Lack(cell, status, f"what others lead there: {cell} is {_words(status)}")
        for cell, status in connection.execute(
            sa.select(c.c.cell, c.c.status)
            .where(c.c.type.in_(wanted), c.c.status != CellStatus.COMPLETE.value)
            .order_by(c.c.cell)
            .limit(_LACKS)
        )
    ]
    counted = connection.execute(sa.select(c.c.type, sa.func.count()).group_by(c.c.type)).all()
    counts: dict[str, int] = {row[0]: row[1] for row in counted}
    # every account and region has a cell of each type; a type that has fewer was added since, or never looked at
    most = {
        once: max((n for t, n in counts.items() if t in types and types[t].once is once), default=0)
        for once in (True, False)
    }
    for type in wanted:
        expected = most[types[type].once] if type in types else 0
        if types.get(type) is not None and counts.get(type, 0) < max(expected, 1):
            lacks.append(Lack("", "never", f"{type} was not looked at everywhere yet"))
    return lacks


def _words(status: str) -> str:
    return "not looked at" if status == "never" else status


def _nodes(connection: sa.Connection, asked: Asked, ids: Iterable[str]) -> dict[str, Node]:
    """What the nodes are called, as of the time asked for."""
    wanted = sorted(set(ids))
    found: dict[str, Node] = {id: Node(id, name=urns.short(id)) for id in wanted}
    table: sa.Table = tables.resources if asked.at is None else tables.versions
    e = tables.entities
    when: list[sa.ColumnElement[bool]] = []
    if asked.at is not None:
        v = tables.versions
        when = [v.c.valid_from <= asked.at, sa.or_(v.c.valid_to.is_(None), v.c.valid_to > asked.at)]
    for start in range(0, len(wanted), _IN):
        some = wanted[start : start + _IN]
        told = sa.select(table.c.urn, table.c.type, table.c.name, table.c.account, table.c.region).where(
            table.c.urn.in_(some), *when
        )
        found.update((row[0], Node(*row)) for row in connection.execute(told))
        for ref, name in connection.execute(sa.select(e.c.ref, e.c.name).where(e.c.ref.in_(some))):
            found[ref] = Node(ref, "entity", name)
    return found
