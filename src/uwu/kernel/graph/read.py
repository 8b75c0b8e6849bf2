"""The resources as they are now, and what points from and to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeGuard

import msgspec
import sqlalchemy as sa

from uwu.kernel import paging, search, tables
from uwu.kernel.model import CellStatus, Relation


class Observed(msgspec.Struct, frozen=True):
    """A resource as it is now, with when and how well it was last observed, and its owner."""

    urn: str
    type: str
    account: str
    region: str
    name: str
    tags: dict[str, str]
    managed_by: str
    cell: str
    version: int
    first_seen: datetime
    changed_at: datetime
    observed_at: datetime | None
    """When it was last known to be so: by a complete look at its cell, or by one at itself."""
    status: str
    """The status of its cell's last observation."""
    owner: str
    attributes: dict[str, Any] = {}


def _observed() -> sa.Select[*tuple[Any, ...]]:
    r, c = tables.resources, tables.coverage
    return sa.select(
        r.c.urn,
        r.c.type,
        r.c.account,
        r.c.region,
        r.c.name,
        r.c.tags,
        r.c.managed_by,
        r.c.cell,
        r.c.version,
        r.c.first_seen,
        r.c.changed_at,
        sa.case((sa.or_(c.c.complete_at.is_(None), r.c.seen_at > c.c.complete_at), r.c.seen_at), else_=c.c.complete_at),
        sa.func.coalesce(c.c.status, CellStatus.STALE.value),
        r.c.owner,
    ).select_from(r.outerjoin(c, c.c.cell == r.c.cell))


def resource(connection: sa.Connection, urn: str) -> Observed | None:
    """The resource as it is now, attributes included; None where it is not, or no longer, observed."""
    row = connection.execute(
        _observed().add_columns(tables.resources.c.attributes).where(tables.resources.c.urn == urn)
    ).first()
    return Observed(*row) if row is not None else None


class Page(msgspec.Struct, frozen=True):
    """One page of resources and where the next begins; empty ``after`` where it is the last."""

    items: list[Observed]
    total: int
    """How many there are; at least so many where ``counted`` is false."""
    after: str
    counted: bool = True


SORTED_AT_MOST = 10_000
"""Of more rows than this the first by name are read from the index of names rather than all of them sorted."""


def find(
    connection: sa.Connection,
    *,
    type: str = "",
    account: str = "",
    region: str = "",
    owner: str | None = None,
    text: str = "",
    limit: int = 50,
    after: str = "",
) -> Page:
    """Resources without attributes, by name then urn. ``owner=""`` asks for the unowned, None for all.

    ``text`` is looked for in names, urns and tags. ``after`` is the ``after`` of the page before.
    Raises ``BadInput`` for another.
    """
    r = tables.resources
    behind = paging.place(after, str, str)
    wheres: list[sa.ColumnElement[bool]] = []
    for column, value in ((r.c.type, type), (r.c.account, account), (r.c.region, region), (r.c.owner, owner)):
        if value or (column is r.c.owner and value is not None):
            wheres.append(column == value)
    many = False
    if text:
        where, many = search.holding(connection, "resource", text)
        wheres.append(where)
    total = count(connection, r, wheres, most=search.COUNTED if many else None)
    query = _observed()
    if total > SORTED_AT_MOST and not text:
        # an index of the filter would give thousands of rows to sort: as an expression it is none
        wheres = [sa.func.coalesce(where.left, "") == where.right for where in wheres if _is_comparison(where)]
    query = query.where(*wheres)
    if behind is not None:
        query = query.where(sa.tuple_(r.c.name, r.c.urn) > sa.tuple_(*behind))
    rows = connection.execute(query.order_by(r.c.name, r.c.urn).limit(limit + 1)).all()
    items = [Observed(*row) for row in rows[:limit]]
    end = paging.cursor(items[-1].name, items[-1].urn) if len(rows) > limit else ""
    return Page(items, total, end, counted=not many or total < search.COUNTED)


def _is_comparison(where: sa.ColumnElement[bool]) -> TypeGuard[sa.BinaryExpression[bool]]:
    return isinstance(where, sa.BinaryExpression)


def count(
    connection: sa.Connection,
    table: sa.FromClause,
    wheres: Sequence[sa.ColumnElement[bool]],
    *,
    most: int | None = None,
) -> int:
    """How many rows of ``table`` there are; counting ends at ``most``."""
    rows = sa.select(sa.func.count()).select_from(table).where(*wheres)
    if most is not None:
        some = sa.select(sa.literal(1)).select_from(table).where(*wheres).limit(most).subquery()
        rows = sa.select(sa.func.count()).select_from(some)
    return connection.execute(rows).scalar_one()


def like(text: str) -> str:
    """``text`` as a LIKE pattern for anywhere within lower-cased values; escape character backslash."""
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def neighbours(
    connection: sa.Connection, subject: str, *, at: datetime | None = None, limit: int = 200
) -> list[Relation]:
    """The relations from and to ``subject``: the current ones, or those that held at ``at``."""
    t = tables.relations
    held = t.c.valid_to.is_(None)
    if at is not None:
        held = sa.and_(t.c.valid_from <= at, sa.or_(held, t.c.valid_to > at))
    query = (
        sa.select(t.c.source, t.c.kind, t.c.target, t.c.evidence)
        .where(sa.or_(t.c.source == subject, t.c.target == subject), held)
        .order_by(t.c.kind, t.c.source, t.c.target)
        .limit(limit)
    )
    found = {
        tuple(row[:3]): Relation(source=row[0], kind=row[1], target=row[2], evidence=row[3])
        for row in connection.execute(query)
    }
    return list(found.values())


def account_names(connection: sa.Connection) -> dict[str, str]:
    """Account id -> name: as the estate declares it, else as Organizations says."""
    r, e = tables.resources, tables.entities
    names = {
        row.account: row.name
        for row in connection.execute(sa.select(r.c.account, r.c.name).where(r.c.type == "aws_account"))
    }
    for row in connection.execute(sa.select(e.c.name, e.c.spec).where(e.c.kind == "Account")):
        names[str(row.spec.get("accountId", ""))] = row.name
    return names
