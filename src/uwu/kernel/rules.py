"""The kernel's own rules: an attribute differs, a declared thing is gone, one is not declared, one has no owner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from uwu.kernel import domain, tables, urns
from uwu.kernel.domain import Rule
from uwu.kernel.model import CellStatus, Declaration, Difference, Found, Resource, Severity
from uwu.kernel.runtime import Kernel
from uwu.kernel.sensitive import MARK

ATTRIBUTE, GONE, UNDECLARED, UNOWNED = "drift.attribute", "drift.gone", "drift.undeclared", "drift.unowned"
THEME = "Drift"


Some = frozenset[str] | None
"""The subjects that are judged; None for all. Some are few: what is read of them goes into one query."""


def _among(column: sa.Column[Any], some: Some) -> sa.ColumnElement[bool]:
    return sa.true() if some is None else column.in_(sorted(some))


class _World:
    """What the kernel's rules look at, read once."""

    def __init__(self, kernel: Kernel, connection: sa.Connection, some: Some = None) -> None:
        self.kernel = kernel
        self.connection = connection
        self.some = some
        r = tables.resources
        fields = [r.c[name] for name in Resource.__struct_fields__]
        self.resources: dict[str, tuple[Resource, str]] = {
            row[0]: (Resource(**dict(zip(Resource.__struct_fields__, row, strict=False))), row[-1])
            for row in connection.execute(sa.select(*fields, r.c.cell).where(_among(r.c.urn, some)))
        }

    @cached_property
    def cells(self) -> dict[str, Any]:
        """Coverage by cell: of all, or of those that could hold what is judged."""
        c, d, v = tables.coverage, tables.declarations, tables.versions
        query = sa.select(c)
        if self.some is not None:
            types = sa.select(d.c.type).where(_among(d.c.urn, self.some))
            past = sa.select(v.c.cell).where(_among(v.c.urn, self.some))
            query = query.where(sa.or_(c.c.type.in_(types), c.c.cell.in_(past)))
        return {row.cell: row for row in self.connection.execute(query)}

    @cached_property
    def by_type(self) -> dict[str, list[Any]]:
        found: defaultdict[str, list[Any]] = defaultdict(list)
        for row in self.cells.values():
            found[row.type].append(row)
        return dict(found)

    def declarations(self) -> Iterable[tuple[Declaration, datetime]]:
        d = tables.declarations
        fields = Declaration.__struct_fields__
        query = sa.select(*(d.c[f] for f in fields), d.c.declared_at).where(d.c.urn != "", _among(d.c.urn, self.some))
        for row in self.connection.execute(query.order_by(d.c.id)):
            yield Declaration(**dict(zip(fields, row, strict=False))), row[-1]

    def absent(self, urn: str, type: str, declared_at: datetime) -> Any:
        """A cell that proves ``urn`` absent: all that could hold it are complete and later than its declaration."""
        v = tables.versions
        past = self.connection.execute(
            sa.select(v.c.cell).where(v.c.urn == urn).order_by(v.c.version.desc()).limit(1)
        ).scalar_one_or_none()
        if past is not None:
            candidates = [self.cells[past]] if past in self.cells else []
        else:
            parts = urns.parse(urn)
            account, region = urns.account_of(urn), parts.region if parts is not None else ""
            candidates = [
                cell
                for cell in self.by_type.get(type, [])
                if (not account or cell.account == account) and (not region or cell.region == region)
            ]
        proven = all(
            cell.status == CellStatus.COMPLETE.value
            and cell.complete_at is not None
            and cell.complete_at >= declared_at
            for cell in candidates
        )
        return candidates[0] if candidates and proven else None


def _attribute(kernel: Kernel, connection: sa.Connection, some: Some = None) -> Iterable[Found]:
    world = _World(kernel, connection, some)
    comparers = domain.comparers_of(kernel.domains)
    for declaration, _ in world.declarations():
        held = world.resources.get(declaration.urn)
        comparer = comparers.get(declaration.declared_type)
        if held is None or comparer is None:
            continue
        resource, cell = held
        compare, of = comparer
        differences = compare(declaration, resource)
        for difference in differences:
            yield Found(
                subject=resource.urn,
                path=difference.path,
                title=f"{_label(kernel, resource)}: {difference.path} is not as declared",
                type=resource.type,
                account=resource.account,
                region=resource.region,
                declared=_shown(difference, difference.declared),
                observed=_shown(difference, difference.observed),
                place=f"{declaration.source} {declaration.address} ({declaration.place})",
                cell=cell,
                remedy=domain.load(of.remedy)(declaration, [difference]) if of.remedy else "",
                severity=difference.severity,
            )


def _shown(difference: Difference, value: Any) -> Any:
    return MARK if difference.sensitive and value is not None else value


def _gone(kernel: Kernel, connection: sa.Connection, some: Some = None) -> Iterable[Found]:
    world = _World(kernel, connection, some)
    comparers = domain.comparers_of(kernel.domains)
    told: set[str] = set()
    for declaration, declared_at in world.declarations():
        if declaration.urn in world.resources or declaration.urn in told or not declaration.type:
            continue
        cell = world.absent(declaration.urn, declaration.type, declared_at)
        if cell is None:
            continue
        told.add(declaration.urn)
        comparer = comparers.get(declaration.declared_type)
        remedy = comparer[1].remedy if comparer is not None else ""
        yield Found(
            subject=declaration.urn,
            title=f"{_title(kernel, declaration.type)} {urns.short(declaration.urn)} is declared but does not exist",
            type=declaration.type,
            account=cell.account,
            region=cell.region,
            declared=declaration.address,
            place=f"{declaration.source} {declaration.address} ({declaration.place})",
            cell=cell.cell,
            remedy=domain.load(remedy)(declaration, []) if remedy else "",
        )


def _undeclared(kernel: Kernel, connection: sa.Connection, some: Some = None) -> Iterable[Found]:
    d = tables.declarations
    declared = set(connection.scalars(sa.select(d.c.urn).where(d.c.urn != "", _among(d.c.urn, some))))
    if not declared and connection.scalars(sa.select(d.c.urn).where(d.c.urn != "").limit(1)).first() is None:
        return
    adopt = next((domain.load(each.adopt) for each in kernel.domains if each.adopt), None)
    world = _World(kernel, connection, some)
    for urn, (resource, cell) in world.resources.items():
        if urn in declared or resource.managed_by or resource.type == "aws_account":
            continue
        yield Found(
            subject=urn,
            title=f"{_label(kernel, resource)} is not declared anywhere",
            type=resource.type,
            account=resource.account,
            region=resource.region,
            observed=resource.name or urn,
            cell=cell,
            remedy=adopt(resource) if adopt is not None else "",
        )


def _unowned(kernel: Kernel, connection: sa.Connection, some: Some = None) -> Iterable[Found]:
    o = tables.ownership
    settled = sa.select(o.c.subject, o.c.owner).where(_among(o.c.subject, some))
    owners = {row.subject: row.owner for row in connection.execute(settled)}
    world = _World(kernel, connection, some)
    tags = kernel.settings.ownership.tags
    for urn, (resource, cell) in world.resources.items():
        if resource.managed_by == "aws" or owners.get(urn, "") or urn not in owners:
            continue
        yield Found(
            subject=urn,
            title=f"{_label(kernel, resource)} has no owner",
            type=resource.type,
            account=resource.account,
            region=resource.region,
            cell=cell,
            remedy=f"tag it {tags[0]}=<group>, or add `uwu.dev/owns: {urn}` to the annotations of its service's entity",
        )


def _title(kernel: Kernel, type: str) -> str:
    known = domain.type_of(kernel.domains, type)
    return known.title if known is not None else type


def _label(kernel: Kernel, resource: Resource) -> str:
    return f"{_title(kernel, resource.type)} {resource.name or resource.urn}"


RULES = (
    Rule(
        ATTRIBUTE,
        "An attribute differs from its declaration",
        Severity.MEDIUM,
        _attribute,
        _attribute,
        theme=THEME,
        why="What is declared was reviewed. What differs was changed past the review, and the next apply undoes it.",
        remedy="apply the declaration again, or take the change into it: the finding tells how",
    ),
    Rule(
        GONE,
        "A declared resource does not exist",
        Severity.HIGH,
        _gone,
        _gone,
        theme=THEME,
        why="Something relies on what is declared, and every place that could hold it was observed: it is not there.",
        remedy="apply the declaration again, or remove it",
    ),
    Rule(
        UNDECLARED,
        "A resource is not declared",
        Severity.LOW,
        _undeclared,
        _undeclared,
        theme=THEME,
        why="Nobody reviewed it, nothing rebuilds it after a loss, and nobody dares to delete it.",
        remedy="import it into a declaration, or delete it",
    ),
    Rule(
        UNOWNED,
        "A resource has no owner",
        Severity.MEDIUM,
        _unowned,
        _unowned,
        theme=THEME,
        why="When it breaks, costs or leaks there is nobody to ask.",
        remedy="tag it with its group, or add it to the annotation uwu.dev/owns of an entity",
    ),
)
