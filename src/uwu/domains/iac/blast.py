"""Blast radius: what depends on what a plan destroys or replaces, across states and owners, and the path that says why.

A relation of the graph, and a reference of one state to another's resource, lead from what depends to what it depends
on. They are walked against that direction, from all that would be gone at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.iac import naming, tables
from uwu.domains.iac.plan_json import GONE, Change, Op, Plan
from uwu.domains.iac.state import Instance, State
from uwu.kernel import tables as world
from uwu.kernel import urns
from uwu.kernel.model import CellStatus

LENGTH = 4
"""Hops from what would be gone: further on nearly everything hangs together."""
MOST = 2_000
"""Dependents that are told; how many there are is told in any case."""
NODES = 50_000
"""Nodes that are looked at; more ends the search, which is then not complete."""
LACKS = 20
_SOME = 500

_ABOUT = frozenset(
    {"ownedBy", "ownerOf", "hasPart", "parentOf", "hasMember", "memberOf", "childOf", "approverOf", "approvedBy"}
)
"""Kinds of relations that say whose or what something is, not what it needs."""

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "DNS name": ("route53", "dns_record", "dns_zone", "_record"),
    "certificate": ("acm_", "certificate"),
    "secret": ("secretsmanager", "ssm_parameter", "secret", "kms_"),
    "load balancer": ("load_balancer", "_lb", "_alb", "target_group", "cloudfront"),
    "database": ("rds_", "db_", "dynamodb", "elasticache", "redshift", "docdb", "neptune"),
    "service": ("lambda", "ecs_", "eks_", "instance", "autoscaling", "component", "api", "apprunner", "batch_"),
}
"""What people call it -> parts of a type's name, the most telling first."""


class Hop(msgspec.Struct, frozen=True):
    """One step of a path: ``source`` depends on ``target`` by ``kind``, as ``evidence`` says."""

    source: str
    kind: str
    target: str
    evidence: str


class Dependent(msgspec.Struct, frozen=True, kw_only=True):
    """What would feel it."""

    subject: str
    """Its urn, an entity's reference, or where it has neither the id of its declaration: ``stack#address``."""
    name: str
    type: str
    category: str
    """A key of ``CATEGORIES``, or ``other``."""
    owner: str
    account: str
    stack: str
    """The stack that declares it; empty for none."""
    distance: int
    in_plan: bool
    """The same plan changes it too."""
    path: list[Hop]
    """From it to what would be gone."""


class Radius(msgspec.Struct, frozen=True, kw_only=True):
    """The blast radius of a plan."""

    gone: list[str]
    """Addresses of what the plan destroys or replaces."""
    dependents: list[Dependent]
    """The nearest first; at most ``MOST``."""
    total: int
    owners: dict[str, int]
    """Owner -> how many of its things depend on it; empty text for nobody's."""
    categories: dict[str, int]
    stacks: list[str]
    """Stacks that hold dependents."""
    complete: bool
    """The search came to its end, and every cell of the graph was read whole."""
    lacks: list[str]
    """Cells that were not, at most ``LACKS``: what lies in them is not known to depend on nothing."""


NONE = Radius(gone=[], dependents=[], total=0, owners={}, categories={}, stacks=[], complete=True, lacks=[])


def urns_of(plan: Plan, account: str = "", region: str = "") -> dict[str, str]:
    """Address -> urn, for the changes whose resource has a name that is known before the plan is applied."""
    instances = tuple(
        Instance(address=c.address, type=c.type, provider=c.provider, attributes=c.before or c.after or {})
        for c in {**{c.address: c for c in plan.drift}, **{c.address: c for c in plan.changes}}.values()
    )
    state = State(key="plan", serial=0, lineage="", terraform_version="", instances=instances)
    scopes = naming.scopes([("plan", state, account, region)])
    found: dict[str, str] = {}
    for instance in instances:
        _, urn = naming.name(instance.type, instance.attributes, scopes["plan", instance.provider])
        if urn:
            found[instance.address] = urn
    return found


def subjects(connection: sa.Connection, plan: Plan, source: str, account: str = "", region: str = "") -> dict[str, str]:
    """Address -> the urn of what is there now: as its state says, else as the plan's own values do."""
    d = world.declarations
    found = urns_of(plan, account, region)
    told = (*plan.changes, *plan.drift)
    ids = [f"{source}#{change.previous_address or change.address}" for change in told]
    declared = {row.id: row.urn for row in _rows(connection, sa.select(d.c.id, d.c.urn), d.c.id, ids)}
    for change in told:
        urn = declared.get(f"{source}#{change.previous_address or change.address}")
        if urn:
            found[change.address] = urn
    return found


def radius(
    connection: sa.Connection, plan: Plan, *, source: str, account: str = "", region: str = "", length: int = LENGTH
) -> Radius:
    """What depends on what ``plan`` destroys or replaces. ``source`` is what the declarations of its state name as
    theirs: ``stack:default/payments``."""
    gone = [change for change in plan.changes if change.op in GONE and not change.deposed]
    if not gone:
        return NONE
    known = subjects(connection, plan, source, account, region)
    walk = _Walk(connection)
    for change in gone:
        id = f"{source}#{change.previous_address or change.address}"
        walk.begin(known.get(change.address) or id, id)
    while walk.frontier and walk.depth < length and not walk.ended:
        walk.step()
    return _told(connection, walk, gone, _touched(plan.changes, known, source))


def _touched(changes: Iterable[Change], known: Mapping[str, str], source: str) -> dict[str, Op]:
    return {known.get(change.address) or f"{source}#{change.address}": change.op for change in changes}


class _Walk:
    """Outwards from all that would be gone, a distance at a time."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.seen: dict[str, int] = {}
        self.by: dict[str, Hop] = {}
        self.frontier: list[str] = []
        self.depth = 0
        self.ended = False
        self.ids: dict[str, set[str]] = {}
        """Node -> the ids of its declarations."""
        self.names: dict[str, str] = {}

    def begin(self, node: str, id: str) -> None:
        """Begins at ``node``, which the declaration ``id`` declares."""
        self.ids.setdefault(node, set()).add(id)
        if node not in self.seen:
            self.seen[node] = 0
            self.frontier.append(node)

    def step(self) -> None:
        """Goes one hop further."""
        self.depth += 1
        fresh: dict[str, None] = {}
        for hop in (*self._related(), *self._referring()):
            if hop.source not in self.seen:
                self.seen[hop.source] = self.depth
                self.by[hop.source] = hop
                fresh[hop.source] = None
        self.frontier = sorted(fresh)
        self.ended = len(self.seen) >= NODES

    def _related(self) -> Iterator[Hop]:
        t = world.relations
        query = sa.select(t.c.source, t.c.kind, t.c.target, t.c.evidence).where(
            t.c.valid_to.is_(None), t.c.kind.not_in(_ABOUT), t.c.source != t.c.target
        )
        rows = _rows(self._connection, query, t.c.target, self.frontier)
        for row in sorted(rows, key=lambda r: (r.source, r.kind, r.target)):
            yield Hop(row.source, row.kind, row.target, row.evidence)

    def _referring(self) -> Iterator[Hop]:
        d, f = world.declarations, tables.references
        query = sa.select(d.c.id, d.c.urn)
        for row in _rows(self._connection, query, d.c.urn, [n for n in self.frontier if "#" not in n]):
            self.ids.setdefault(row.urn, set()).add(row.id)
        nodes = {
            id: node for node in self.frontier for id in (*self.ids.get(node, ()), *([node] if "#" in node else []))
        }
        found = list(_rows(self._connection, sa.select(f), f.c.target, sorted(nodes)))
        sources = {row.source for row in found}
        named = {row.id: row.urn for row in _rows(self._connection, query, d.c.id, sorted(sources)) if row.urn}
        for row in sorted(found, key=lambda r: (r.source, r.target)):
            node = named.get(row.source, row.source)
            self.ids.setdefault(node, set()).add(row.source)
            self.names.setdefault(node, row.name)
            target = nodes[row.target]
            if node != target:
                yield Hop(node, "names", target, f"{row.source.partition('#')[2]}: {row.path}")


def _rows(connection: sa.Connection, query: Any, column: sa.Column[str], values: Sequence[str]) -> Iterator[Any]:
    for start in range(0, len(values), _SOME):
        yield from connection.execute(query.where(column.in_(values[start : start + _SOME])))


def _told(connection: sa.Connection, walk: _Walk, gone: Sequence[Change], touched: Mapping[str, Op]) -> Radius:
    # what the plan deletes as well does not need what is gone any more
    nodes = [n for n, distance in walk.seen.items() if distance and touched.get(n) is not Op.DELETE]
    nodes.sort(key=lambda n: (walk.seen[n], n))
    r, o, d, e, t = world.resources, world.ownership, world.declarations, world.entities, world.relations
    seen = {x.urn: x for x in _rows(connection, sa.select(r.c.urn, r.c.name, r.c.type, r.c.account), r.c.urn, nodes)}
    owners = {x.subject: x.owner for x in _rows(connection, sa.select(o.c.subject, o.c.owner), o.c.subject, nodes)}
    entities = {x.ref: x for x in _rows(connection, sa.select(e.c.ref, e.c.kind, e.c.name), e.c.ref, nodes)}
    ids = sorted({id for node in nodes for id in walk.ids.get(node, ())})
    query = sa.select(d.c.id, d.c.urn, d.c.source, d.c.declared_type)
    declared = {x.id: x for x in _rows(connection, query, d.c.id, ids)}
    by_urn = {x.urn: x for x in _rows(connection, query, d.c.urn, [n for n in nodes if "#" not in n])}
    stacks: dict[str, str] = {}
    for node in nodes:
        said = by_urn.get(node) or next((declared[i] for i in sorted(walk.ids.get(node, ())) if i in declared), None)
        stacks[node] = said.source.partition("@")[0] if said is not None else node.partition("#")[0] * ("#" in node)
    owned = sorted({*(s for s in stacks.values() if s), *entities})
    query = sa.select(t.c.source, t.c.target).where(t.c.kind == "ownedBy", t.c.valid_to.is_(None))
    groups = {x.source: x.target for x in _rows(connection, query.order_by(t.c.target.desc()), t.c.source, owned)}
    dependents: list[Dependent] = []
    for node in nodes:
        row, entity = seen.get(node), entities.get(node)
        said = by_urn.get(node) or next((declared[i] for i in sorted(walk.ids.get(node, ())) if i in declared), None)
        kind = row.type if row is not None else entity.kind if entity is not None else ""
        kind = kind or (said.declared_type if said is not None else "")
        name = (row.name if row is not None else "") or (entity.name if entity is not None else "")
        name = name or walk.names.get(node, "") or (node.partition("#")[2] if "#" in node else urns.short(node))
        dependents.append(
            Dependent(
                subject=node,
                name=name,
                type=kind,
                category=category(kind or node),
                owner=owners.get(node) or groups.get(node) or groups.get(stacks[node], ""),
                account=row.account if row is not None else urns.account_of(node),
                stack=stacks[node],
                distance=walk.seen[node],
                in_plan=node in touched,
                path=list(_path(walk, node)),
            )
        )
    lacks = _lacks(connection)
    return Radius(
        gone=[change.address for change in gone],
        dependents=dependents[:MOST],
        total=len(dependents),
        owners=_counted(each.owner for each in dependents),
        categories=_counted(each.category for each in dependents),
        stacks=sorted({each.stack for each in dependents if each.stack}),
        complete=not lacks and not walk.ended,
        lacks=lacks,
    )


def _path(walk: _Walk, node: str) -> Iterator[Hop]:
    while (hop := walk.by.get(node)) is not None:
        yield hop
        node = hop.target


def _counted(values: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def category(kind: str) -> str:
    """What people call a thing of this type."""
    lower = kind.lower()
    return next((name for name, parts in CATEGORIES.items() if any(part in lower for part in parts)), "other")


def _lacks(connection: sa.Connection) -> list[str]:
    c = world.coverage
    query = sa.select(c.c.cell).where(c.c.status.not_in((CellStatus.COMPLETE.value, CellStatus.UNSUPPORTED.value)))
    return list(connection.scalars(query.order_by(c.c.cell).limit(LACKS)))
