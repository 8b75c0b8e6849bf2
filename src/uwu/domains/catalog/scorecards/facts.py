"""What checks look at: read once for all entities, in a few statements, never one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from uwu.kernel import codec, rulebook, tables
from uwu.kernel.domain import Rule
from uwu.kernel.entropy.members import Services
from uwu.kernel.model import UNRESOLVED, CellStatus, Entity, Place
from uwu.kernel.runtime import Kernel

_SEEN = (CellStatus.COMPLETE.value, CellStatus.UNSUPPORTED.value)
_IN = 500
_REGIONLESS = ("", "global")


@dataclass(frozen=True, slots=True)
class Runs:
    """A resource that a service runs."""

    urn: str
    type: str
    account: str
    region: str
    cell: str
    owner: str
    coded: bool
    """A declaring tool holds it."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """An unresolved finding on what a service runs."""

    id: str
    rule: str
    subject: str
    severity: str
    title: str
    open: bool
    """False: stale, its source has fallen silent."""
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Unseen:
    """A cell that is not known completely."""

    cell: str
    type: str
    account: str
    region: str
    status: str


@dataclass(frozen=True)
class Judged:
    """How far a rule is to be believed."""

    at: datetime | None
    """When it judged last."""
    named: dict[str, str]
    """Subjects of which it could say nothing, and why."""
    unnamed: dict[str, int]
    """Type -> how many more there are of which it could say nothing."""


@dataclass(frozen=True)
class Group:
    """A team that is declared."""

    ref: str
    place: str
    on_call: bool
    people: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """What an entity says that it stands in relation to."""

    kind: str
    target: str
    declared: bool
    place: str


@dataclass
class Service:
    """An entity with all that is known of it."""

    entity: Entity
    doubt: str = ""
    """Why what it declares may no longer be so; empty where its source says it today."""
    references: list[Reference] = field(default_factory=list[Reference])
    apis: dict[str, Any] = field(default_factory=dict[str, Any])
    """Reference of each provided API that is declared -> (its place, type, definition)."""
    runs: Sequence[Runs] = ()
    wrong: Sequence[Wrong] = ()

    @property
    def owner(self) -> str:
        """The reference of its owner; empty where it names none."""
        return next((one.target for one in self.references if one.kind == "ownedBy"), "")

    def of(self, *kinds: str) -> list[Reference]:
        """Its references of these kinds."""
        return [one for one in self.references if one.kind in kinds]


class World:
    """What is the same for every entity, and what belongs to which."""

    def __init__(self, kernel: Kernel, connection: sa.Connection) -> None:
        self.at = codec.now()
        self.rules: dict[str, Rule] = {
            rule.id: rule for _, rule in rulebook.rules(kernel) if rulebook.judges(kernel.settings.rules, rule.id)
        }
        self.themes: defaultdict[str, list[Rule]] = defaultdict(list)
        for rule in self.rules.values():
            self.themes[rule.theme].append(rule)
        self.judged = _judged(connection)
        self.groups = _groups(connection)
        self._late: dict[str, datetime] = {}
        self._unseen: defaultdict[str, list[Unseen]] = defaultdict(list)
        self.observed = self._cells(connection)
        d = tables.declarations
        coded = set(connection.scalars(sa.select(d.c.urn).where(d.c.urn != "").distinct()))
        self.any_code = bool(coded)
        """A declaring tool's state is read."""
        services = Services(connection)
        self._runs: defaultdict[str, list[Runs]] = defaultdict(list)
        self._attach(connection, services, coded)
        self._wrong: defaultdict[str, list[Wrong]] = defaultdict(list)
        self._find(connection, services)

    def _cells(self, connection: sa.Connection) -> bool:
        c = tables.coverage
        fields = (c.c.cell, c.c.type, c.c.account, c.c.region, c.c.status, c.c.due_at)
        any_ = False
        for row in connection.execute(sa.select(*fields)):
            any_ = True
            if row.status not in _SEEN:
                self._unseen[row.account].append(Unseen(row.cell, row.type, row.account, row.region, row.status))
            elif row.status == CellStatus.COMPLETE.value and row.due_at is not None and row.due_at < self.at:
                self._late[row.cell] = row.due_at
        return any_

    def _attach(self, connection: sa.Connection, services: Services, coded: set[str]) -> None:
        r = tables.resources
        fields = (r.c.urn, r.c.type, r.c.account, r.c.region, r.c.cell, r.c.owner, r.c.tags)
        self._home: dict[str, tuple[str, ...]] = {}
        query = sa.select(*fields).where(r.c.managed_by != "aws").order_by(r.c.urn)
        for urn, type, account, region, cell, owner, tags in connection.execute(query):
            held = services.of(urn, tags)
            if held:
                self._home[urn] = held
                one = Runs(urn, type, account, region, cell, owner, urn in coded)
                for ref in held:
                    self._runs[ref].append(one)

    def _find(self, connection: sa.Connection, services: Services) -> None:
        f = tables.findings
        fields = (f.c.id, f.c.rule, f.c.subject, f.c.severity, f.c.title, f.c.status, f.c.opened_at)
        query = sa.select(*fields).where(f.c.status.in_(UNRESOLVED)).order_by(f.c.opened_at, f.c.id)
        for id, rule, subject, severity, title, status, opened in connection.execute(query):
            # what is declared and gone is nobody's resource any more, and still its service's
            for ref in self._home.get(subject) or services.of(subject, {}):
                self._wrong[ref].append(Wrong(id, rule, subject, severity, title, status == "open", opened))

    @property
    def unseen_anywhere(self) -> int:
        """How many cells are not known completely."""
        return sum(map(len, self._unseen.values()))

    def unseen(self, service: Service, types: Iterable[str]) -> list[Unseen]:
        """The cells of ``types`` that are not known completely where the service runs; without types, of its own."""
        wanted = set(types) or {one.type for one in service.runs}
        places = {(one.account, one.region) for one in service.runs}
        return [
            one
            for account in sorted({account for account, _ in places})
            for one in self._unseen.get(account, ())
            if one.type in wanted and (one.region in _REGIONLESS or (account, one.region) in places)
        ]

    def late(self, service: Service) -> list[str]:
        """The cells of what it runs whose next look is overdue."""
        return sorted({one.cell for one in service.runs if one.cell in self._late})

    def services(
        self, connection: sa.Connection, after: str, limit: int, kinds: Sequence[str], only: Sequence[str] | None = None
    ) -> list[Service]:
        """The next ``limit`` entities of ``kinds`` (lower case) behind the reference ``after``, with all of theirs;
        of ``only`` alone where that is given."""
        e = tables.entities
        query = sa.select(e).where(sa.func.lower(e.c.kind).in_(kinds), e.c.ref > after).order_by(e.c.ref).limit(limit)
        if only is not None:
            query = query.where(e.c.ref.in_(only))
        found: dict[str, Service] = {}
        for row in connection.execute(query):
            entity = Entity(
                kind=row.kind,
                name=row.name,
                namespace=row.namespace,
                api_version=row.api_version,
                metadata=row.metadata,
                spec=row.spec,
                place=Place(row.file, row.line),
                origin=row.origin,
            )
            doubt = "its source no longer declares it" if row.orphan else ""
            runs = self._runs.get(row.ref, ())
            found[row.ref] = Service(entity, doubt, runs=runs, wrong=self._wrong.get(row.ref, ()))
        refs = list(found)
        for start in range(0, len(refs), _IN):
            self._complete(connection, found, refs[start : start + _IN])
        return list(found.values())

    def _complete(self, connection: sa.Connection, found: dict[str, Service], refs: Sequence[str]) -> None:
        c, n, t, e = tables.estate_claims, tables.estate_references, tables.relations, tables.entities
        claims = connection.execute(sa.select(c.c.ref, c.c.file, c.c.held).where(c.c.ref.in_(refs))).all()
        held = {row.ref for row in claims if row.held}
        for row in claims:
            if row.ref not in held and not found[row.ref].doubt:
                found[row.ref].doubt = f"{row.file} cannot be read or does not fit: this is what it said before"
        told: set[tuple[str, str, str]] = set()
        for row in connection.execute(sa.select(n).where(n.c.source.in_(refs)).order_by(n.c.source, n.c.place)):
            told.add((row.source, row.kind, row.target))
            found[row.source].references.append(Reference(row.kind, row.target, row.resolved, row.place))
        drawn = sa.select(t.c.source, t.c.kind, t.c.target, t.c.evidence)
        drawn = drawn.where(t.c.source.in_(refs), t.c.valid_to.is_(None)).order_by(t.c.source, t.c.target)
        for source, kind, target, evidence in connection.execute(drawn):
            if (source, kind, target) not in told:
                found[source].references.append(Reference(kind, target, True, evidence))
        provided = {one.target for ref in refs for one in found[ref].of("providesApi") if one.declared}
        apis: dict[str, Any] = {}
        for start in range(0, len(wanted := sorted(provided)), _IN):
            query = sa.select(e.c.ref, e.c.file, e.c.line, e.c.spec).where(e.c.ref.in_(wanted[start : start + _IN]))
            for row in connection.execute(query):
                place = str(Place(row.file, row.line))
                apis[row.ref] = (place, str(row.spec.get("type") or ""), row.spec.get("definition"))
        for ref in refs:
            service = found[ref]
            service.apis = {one.target: apis[one.target] for one in service.of("providesApi") if one.target in apis}

    def long_ago(self, days: int) -> datetime:
        """The time so many days before."""
        return self.at - timedelta(days=days)


def _judged(connection: sa.Connection) -> dict[str, Judged]:
    found: dict[str, Judged] = {}
    for row in connection.execute(sa.select(tables.judgements)):
        named: dict[str, str] = {}
        unnamed: defaultdict[str, int] = defaultdict(int)
        for reason in row.reasons:
            named |= dict.fromkeys(reason["subjects"], reason["why"])
            unnamed[reason["type"]] += max(reason["count"] - len(reason["subjects"]), 0)
        found[row.rule] = Judged(row.judged_at, named, {type: count for type, count in unnamed.items() if count})
    return found


def _groups(connection: sa.Connection) -> dict[str, Group]:
    e, t = tables.entities, tables.relations
    people: defaultdict[str, list[str]] = defaultdict(list)
    members = sa.select(t.c.source, t.c.target).where(t.c.kind == "hasMember", t.c.valid_to.is_(None))
    for group, user in connection.execute(members.order_by(t.c.target)):
        people[group].append(user)
    query = sa.select(e.c.ref, e.c.file, e.c.line, e.c.spec).where(e.c.kind == "Group", ~e.c.orphan)
    return {
        row.ref: Group(
            row.ref, str(Place(row.file, row.line)), bool(row.spec.get("onCall")), tuple(dict.fromkeys(people[row.ref]))
        )
        for row in connection.execute(query)
    }
