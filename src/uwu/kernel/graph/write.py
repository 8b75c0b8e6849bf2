"""Writing what was observed: resources and their versions, and with them the relations and coverage of their cells.

What is known of a resource has a time: that of the last look which told of it. A look changes and removes only what is
known from before it began, so that the order in which looks are written does not matter: a listing that began before a
resource was refreshed neither overwrites nor removes it, and does not bring back what was gone by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec
from uwu.kernel.graph import ledger, links, marks, rows
from uwu.kernel.graph.known import Past, State, lock, resources
from uwu.kernel.graph.links import Given
from uwu.kernel.graph.marks import UNKNOWN, Held
from uwu.kernel.model import Cell, CellStatus, Outcome, Relation, Resource


class Delta(msgspec.Struct, frozen=True):
    """What an observation changed, in resources."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


class Look(msgspec.Struct, frozen=True):
    """One observation of one cell, ready to be written: see ``prepare``."""

    outcome: Outcome
    resources: dict[str, Resource]
    marks: dict[str, bytes]
    """By each resource its mark: where it is a known one, nothing changed."""
    relations: Mapping[str, Sequence[Relation]]
    """By their source."""


def prepare(outcome: Outcome, resources: Iterable[Resource], relations: Iterable[Relation]) -> Look:
    """An observation with the mark of each resource: what takes time and needs no database.

    ``relations`` go out from ``resources``; those of others are not looked at.
    """
    seen = {resource.urn: resource for resource in resources}
    outgoing = links.outgoing(relations)
    return Look(outcome, seen, marks.of(seen, outgoing), outgoing)


def _hash(one: Resource) -> str:
    return codec.digest([one.type, one.account, one.region, one.name, one.attributes, one.tags, one.managed_by])


def observe(
    connection: sa.Connection, outcome: Outcome, resources: Iterable[Resource], relations: Iterable[Relation]
) -> Delta:
    """Records one observation of one cell. Repeating it changes nothing; nor does one older than a complete one."""
    return observe_all(connection, [prepare(outcome, resources, relations)])[0]


def observe_all(connection: sa.Connection, looks: Sequence[Look]) -> list[Delta]:
    """Records observations of many cells at once, as if one after another. Some 20,000 resources are a good measure."""
    deltas: list[Delta] = []
    while len(deltas) < len(looks):
        deltas += _some(connection, looks[len(deltas) :])
    return deltas


def refresh(
    connection: sa.Connection,
    cell: str,
    at: datetime,
    seen: Sequence[Resource],
    gone: Sequence[str] = (),
    relations: Iterable[Relation] = (),
) -> Delta:
    """Records that ``seen`` were there and ``gone`` were not at ``at``; the rest of ``cell`` stays as it is.

    ``relations`` are all of those that go out from ``seen``. The coverage of the cell stays as it is. A look that began
    before ``at`` changes none of these resources afterwards; what is known from after ``at`` stays.
    """
    lock(connection, [cell])
    look = prepare(Outcome(cell=_NOWHERE, status=CellStatus.COMPLETE, observed_at=at), seen, relations)
    missed = sorted({urn for urn in gone if urn not in look.resources})
    state = State({}, {}, ledger.last(connection, [cell]))
    state.read(connection, {*look.resources, *missed})
    held = marks.held(connection, [cell])
    work = _Work(state)
    passed = [urn for urn in look.resources if not work.put(look, cell, urn, complete=True)]
    work.noted += [(urn, at) for urn in look.resources]
    kept = {urn for urn in missed if not work.remove(urn, cell, at)}
    if work.removed or not (held.get(cell, UNKNOWN).marks or set()).issuperset(look.marks.values()):
        work.touched.add(cell)
    work.write(connection, held)
    rows.BURY.run(connection, [(urn, cell, at) for urn in missed if urn not in kept])
    unchanged = len(look.resources) - len(passed) - work.added - work.changed
    return Delta(work.added, work.changed, work.removed, unchanged)


_NEVER = Past(0, None)
_NOWHERE = Cell(source="", account="", region="", type="")


# ---- what is to be written


class _Version(msgspec.Struct, frozen=True):
    """A version to write."""

    one: Resource
    cell: str
    hash: str
    number: int
    at: datetime

    def facts(self) -> tuple[object, ...]:
        r = self.one
        where = (r.urn, self.cell, r.type, r.account, r.region, r.name)
        return (*where, r.attributes, r.tags, r.managed_by, self.hash, self.number)

    def place(self) -> tuple[str, ...]:
        return (self.one.urn, self.cell, *_place(self.one))


class _Work:
    """The rows to write."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.new: list[_Version] = []
        self.altered: list[_Version] = []
        self.placed: list[_Version] = []
        self.ended: list[tuple[str, datetime, str]] = []
        self.moved: list[tuple[str, int]] = []
        self.gone: list[tuple[str]] = []
        self.noted: list[tuple[str, datetime]] = []
        self.relations: list[Given] = []
        self.marks: dict[str, Iterable[bytes]] = {}
        self.touched: set[str] = set()
        """Cells that are no longer as their marks say."""
        self.added = self.changed = self.removed = self.arrived = 0

    def put(self, look: Look, cell: str, urn: str, *, complete: bool) -> bool:
        """Takes ``urn`` as seen by ``look``; false where something newer is known of it."""
        at, one = look.outcome.observed_at, look.resources[urn]
        outgoing = look.relations.get(urn, ())
        known = self.state.known.get(urn)
        if known is None:
            past = self.state.past.get(urn, _NEVER)
            last = self.state.last.get(cell)
            missed_at = last.complete_at if last is not None else None
            if any(gone_at is not None and gone_at > at for gone_at in (past.gone_at, missed_at)):
                return False
            self.new.append(_Version(one, cell, _hash(one), past.version + 1, at))
            self.relations.append(Given(urn, cell, at, outgoing, complete))
            self.added += 1
            self.arrived += 1
            return True
        if known.until > at:
            return False
        if known.cell != cell:
            self.arrived += 1
            self.touched.add(known.cell)
        self.relations.append(Given(urn, cell, at, outgoing, complete, known.cell))
        hash, number = _hash(one), known.version
        if known.hash == hash:
            if known.cell != cell:  # it is the same, seen from elsewhere
                self.placed.append(_Version(one, cell, hash, number, at))
                self.noted.append((urn, at))
            return True
        if known.changed_at < at:
            self.ended.append((urn, at, "changed" if known.place == _place(one) else "moved"))
            number += 1
        elif known.place != _place(one):
            self.moved.append((urn, number - 1))
        self.altered.append(version := _Version(one, cell, hash, number, at))
        if (known.cell, known.place) != (cell, _place(one)):
            self.placed.append(version)
        self.changed += 1
        return True

    def remove(self, urn: str, cell: str, at: datetime) -> bool:
        """Takes ``urn`` as gone at ``at``; false where it was seen then or later."""
        known = self.state.known.get(urn)
        if known is None:
            return True
        if known.until >= at:
            return False
        if known.cell != cell:
            self.touched.add(known.cell)
        self.ended.append((urn, at, "gone"))
        self.gone.append((urn,))
        self.relations.append(Given(urn, cell, at, before=known.cell))
        self.removed += 1
        return True

    def write(self, connection: sa.Connection, held: Mapping[str, Held]) -> None:
        """Writes it all, in the order of urns: unordered, two writers deadlock on PostgreSQL."""
        for versions in (self.new, self.altered, self.placed):
            versions.sort(key=_urn)
        rows.KEEP.run(connection, sorted(self.ended))
        rows.MOVED.run(connection, sorted(self.moved))
        rows.ADD.run(connection, [(*v.facts(), v.at, v.at) for v in self.new])
        content = [(v.one.urn, v.one.attributes, v.one.tags, v.hash, v.number, v.at) for v in self.altered]
        rows.CHANGE.run(connection, content)
        rows.MOVE.run(connection, [v.place() for v in self.placed])
        rows.REMOVE.run(connection, sorted(self.gone))
        rows.NOTE.run(connection, sorted(self.noted))
        links.of_sources(connection, self.relations)
        given = {**self.marks, **dict.fromkeys(self.touched)}
        marks.write(connection, {cell: (held.get(cell, UNKNOWN), some) for cell, some in given.items()})


def _place(one: Resource) -> tuple[str, ...]:
    return one.type, one.account, one.region, one.name, one.managed_by


def _urn(version: _Version) -> str:
    return version.one.urn


# ---- looks


class _Told(msgspec.Struct, frozen=True):
    """What one look says that is not known yet."""

    look: Look
    held: Held
    differing: Sequence[str] = ()
    missed: Sequence[str] = ()
    before: int = 0
    """Resources of its cell until now."""
    outdated: bool = False
    """A complete look that began later is known: it says nothing."""

    @property
    def cell(self) -> str:
        return self.look.outcome.cell.id

    @property
    def at(self) -> datetime:
        return self.look.outcome.observed_at

    @property
    def complete(self) -> bool:
        return self.look.outcome.status is CellStatus.COMPLETE


def _some(connection: sa.Connection, looks: Sequence[Look]) -> list[Delta]:
    """Writes the first of ``looks``: as many as speak of different cells and resources."""
    looks = _of_different_cells(looks)
    cells = [look.outcome.cell.id for look in looks]
    lock(connection, cells)
    last, held = ledger.last(connection, cells), marks.held(connection, cells)
    told = [_tell(look, held.get(cell, UNKNOWN), last.get(cell)) for cell, look in zip(cells, looks, strict=True)]
    state = State({}, {}, last)
    state.read(connection, {urn for one in told for urn in one.differing})
    told = _of_different_resources(_listed(connection, told, state))
    state.read(connection, {urn for one in told for urn in one.missed})
    work = _Work(state)
    covered: list[tuple[Outcome, int]] = []
    deltas = [_take(work, one, covered) for one in told]
    work.write(connection, held)
    rows.UNBURY.run(connection, [(one.cell, one.at) for one in told if one.complete and not one.outdated])
    ledger.note(connection, covered, last)
    return deltas


def _of_different_cells(looks: Sequence[Look]) -> Sequence[Look]:
    cells: set[str] = set()
    for number, look in enumerate(looks):
        if look.outcome.cell.id in cells:
            return looks[:number]
        cells.add(look.outcome.cell.id)
    return looks


def _of_different_resources(told: Sequence[_Told]) -> Sequence[_Told]:
    urns: set[str] = set()
    for number, one in enumerate(told):
        mine = {*one.differing, *one.missed}
        if not urns.isdisjoint(mine):
            return told[:number]
        urns |= mine
    return told


def _tell(look: Look, held: Held, last: ledger.Last | None) -> _Told:
    at = look.outcome.observed_at
    if last is not None and last.complete_at is not None and last.complete_at > at:
        return _Told(look, held, outdated=True)
    if held.marks is None or (last is not None and last.observed_at > at):
        # nothing is known, or a later look in part may have told of any of them
        return _Told(look, msgspec.structs.replace(held, marks=None), list(look.marks))
    marks = held.marks
    return _Told(look, held, [urn for urn, mark in look.marks.items() if mark not in marks])


def _listed(connection: sa.Connection, told: Sequence[_Told], state: State) -> list[_Told]:
    """``told`` with what was in their cells until now: read only where marks do not say it."""
    asked: set[str] = set()
    for one in told:
        if one.outdated:
            continue
        if one.held.marks is None:
            asked.add(one.cell)
        elif one.complete:
            known = (state.known.get(urn) for urn in one.differing)
            here = len(one.look.marks) - len(one.differing) + sum(k is not None and k.cell == one.cell for k in known)
            if here != len(one.held.marks):
                asked.add(one.cell)
    found = resources(connection, sorted(asked))
    listed: list[_Told] = []
    for one in told:
        urns = found.get(one.cell, [])
        missed = [urn for urn in urns if urn not in one.look.marks] if one.complete else []
        before = len(urns) if one.held.marks is None else len(one.held.marks)
        listed.append(msgspec.structs.replace(one, missed=sorted(missed), before=before))
    return listed


def _take(work: _Work, one: _Told, covered: list[tuple[Outcome, int]]) -> Delta:
    if one.outdated:
        return Delta()
    look, cell, at = one.look, one.cell, one.at
    added, changed, removed, arrived = work.added, work.changed, work.removed, work.arrived
    newer = 0
    for urn in one.differing:
        newer += not work.put(look, cell, urn, complete=one.complete)
    for urn in one.missed:
        newer += not work.remove(urn, cell, at)
    if not one.complete:
        # a complete look is noted once, with its cell; what another saw, with each resource
        work.noted += [(urn, at) for urn in look.marks]
    if not one.complete or newer:
        # what another look saw may be less than all of its relations: it is looked at again
        work.touched |= {cell} if one.differing or one.missed else set()
    elif one.differing or one.missed or one.held.marks is None:
        work.marks[cell] = look.marks.values()
    added, changed, removed = work.added - added, work.changed - changed, work.removed - removed
    covered.append((look.outcome, one.before + work.arrived - arrived - removed))
    return Delta(added, changed, removed, len(look.marks) - added - changed)
