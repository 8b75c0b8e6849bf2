"""The kernel's own rules: an attribute differs, a declared thing is gone, one is not declared, one has no owner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from uwu.kernel import domain, tables, urns
from uwu.kernel.domain import Rule
from uwu.kernel.model import CellStatus, Declaration, Difference, Found, Resource, Severity
from uwu.kernel.runtime import Kernel
from uwu.kernel.sensitive import MARK

ATTRIBUTE, GONE, UNDECLARED, UNOWNED = "drift.attribute", "drift.gone", "drift.undeclared", "drift.unowned"


class _World:
    """What the kernel's rules look at, read once."""

    def __init__(self, kernel: Kernel, connection: sa.Connection) -> None:
        self.kernel = kernel
        self.connection = connection
        r, c = tables.resources, tables.coverage
        self.cells = {row.cell: row for row in connection.execute(sa.select(c))}
        self.by_type: defaultdict[str, list[Any]] = defaultdict(list)
        for row in self.cells.values():
            self.by_type[row.type].append(row)
        fields = [r.c[name] for name in Resource.__struct_fields__]
        self.resources: dict[str, tuple[Resource, str]] = {
            row[0]: (Resource(**dict(zip(Resource.__struct_fields__, row, strict=False))), row[-1])
            for row in connection.execute(sa.select(*fields, r.c.cell))
        }

    def declarations(self) -> Iterable[tuple[Declaration, datetime]]:
        d = tables.declarations
        fields = Declaration.__struct_fields__
        query = sa.select(*(d.c[f] for f in fields), d.c.declared_at).where(d.c.urn != "").order_by(d.c.id)
        for row in self.connection.execute(query):
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


def _attribute(kernel: Kernel, connection: sa.Connection) -> Iterable[Found]:
    world = _World(kernel, connection)
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


def _gone(kernel: Kernel, connection: sa.Connection) -> Iterable[Found]:
    world = _World(kernel, connection)
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


def _undeclared(kernel: Kernel, connection: sa.Connection) -> Iterable[Found]:
    d = tables.declarations
    declared = set(connection.scalars(sa.select(d.c.urn).where(d.c.urn != "")))
    if not declared:
        return
    adopt = next((domain.load(each.adopt) for each in kernel.domains if each.adopt), None)
    world = _World(kernel, connection)
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


def _unowned(kernel: Kernel, connection: sa.Connection) -> Iterable[Found]:
    o = tables.ownership
    owners = {row.subject: row.owner for row in connection.execute(sa.select(o.c.subject, o.c.owner))}
    world = _World(kernel, connection)
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
    known = domain.types_of(kernel.domains).get(type)
    return known.title if known is not None else type


def _label(kernel: Kernel, resource: Resource) -> str:
    return f"{_title(kernel, resource.type)} {resource.name or resource.urn}"


RULES = (
    Rule(ATTRIBUTE, "An attribute differs from its declaration", Severity.MEDIUM, _attribute),
    Rule(GONE, "A declared resource does not exist", Severity.HIGH, _gone),
    Rule(UNDECLARED, "A resource is not declared", Severity.LOW, _undeclared),
    Rule(UNOWNED, "A resource has no owner", Severity.MEDIUM, _unowned),
)
