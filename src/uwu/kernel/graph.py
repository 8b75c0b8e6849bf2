"""The graph of observed resources: versions over time, relations, coverage.

A cell (source, account, region, type) is observed as a whole and written in one transaction. A resource
disappears only where its cell's observation is complete; a partial, denied or late one can only add and change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeGuard

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, paging, search, tables
from uwu.kernel.db import columns, to_struct, upsert
from uwu.kernel.model import CellStatus, Outcome, Relation, Resource

_IN = 500
"""Values in one IN list: SQLite allows 32,766 parameters, PostgreSQL plans long lists badly."""


class Delta(msgspec.Struct, frozen=True):
    """What an observation changed, in resources."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


class Version(msgspec.Struct, frozen=True):
    """A resource over [valid_from, valid_to)."""

    urn: str
    version: int
    valid_from: datetime
    valid_to: datetime | None
    type: str
    account: str
    region: str
    name: str
    attributes: dict[str, Any]
    tags: dict[str, str]
    managed_by: str


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
    """When its cell was last observed completely; None before the first time."""
    status: str
    """The status of its cell's last observation."""
    owner: str
    attributes: dict[str, Any] = {}


class Covered(msgspec.Struct, frozen=True):
    """One row of the coverage ledger."""

    cell: str
    source: str
    account: str
    region: str
    type: str
    status: CellStatus
    observed_at: datetime
    complete_at: datetime | None
    resources: int
    calls: int
    seconds: float
    code: str
    message: str


def observe(
    connection: sa.Connection, outcome: Outcome, resources: Iterable[Resource], relations: Iterable[Relation]
) -> Delta:
    """Records one observation of one cell. Repeating it changes nothing; one older than the last is ignored."""
    cell, at = outcome.cell.id, outcome.observed_at
    complete = outcome.status is CellStatus.COMPLETE
    last = connection.execute(
        sa.select(tables.coverage.c.observed_at, tables.coverage.c.complete_at).where(tables.coverage.c.cell == cell)
    ).first()
    if last is not None and last.observed_at > at:
        return Delta()
    seen = {resource.urn: resource for resource in resources}
    known = _known(connection, cell, seen)
    added = changed = 0
    rows: list[dict[str, Any]] = []
    version_rows: list[dict[str, Any]] = []
    for urn, resource in seen.items():
        hash = codec.digest(
            [
                resource.type,
                resource.account,
                resource.region,
                resource.name,
                resource.attributes,
                resource.tags,
                resource.managed_by,
            ]
        )
        before = known.get(urn)
        if before is not None and before.hash == hash and before.cell == cell:
            continue
        version = before.version + 1 if before is not None else 1
        added, changed = (added, changed + 1) if before is not None else (added + 1, changed)
        facts = {
            "urn": urn,
            "cell": cell,
            "type": resource.type,
            "account": resource.account,
            "region": resource.region,
            "name": resource.name,
            "attributes": resource.attributes,
            "tags": resource.tags,
            "managed_by": resource.managed_by,
            "hash": hash,
            "version": version,
        }
        rows.append({**facts, "first_seen": before.first_seen if before is not None else at, "changed_at": at})
        version_rows.append({**facts, "valid_from": at, "valid_to": None})
    if added:
        _number_after_history(connection, rows, version_rows)
    gone = [urn for urn, row in known.items() if row.cell == cell and urn not in seen] if complete else []
    _close_versions(connection, [row["urn"] for row in rows] + gone, at)
    upsert(connection, tables.resources, rows)
    upsert(connection, tables.versions, version_rows)
    for urns in _chunks(gone):
        connection.execute(tables.resources.delete().where(tables.resources.c.urn.in_(urns)))
    set_relations(connection, cell, relations, at, complete=complete)
    present = len(seen) if complete else _count(connection, cell)
    upsert(
        connection,
        tables.coverage,
        [
            {
                "cell": cell,
                "source": outcome.cell.source,
                "account": outcome.cell.account,
                "region": outcome.cell.region,
                "type": outcome.cell.type,
                "status": outcome.status.value,
                "observed_at": at,
                "complete_at": at if complete else last.complete_at if last is not None else None,
                "resources": present,
                "calls": outcome.calls,
                "seconds": outcome.seconds,
                "code": outcome.code,
                "message": outcome.message,
            }
        ],
    )
    return Delta(added, changed, len(gone), len(seen) - added - changed)


def _known(connection: sa.Connection, cell: str, seen: dict[str, Resource]) -> dict[str, Any]:
    r = tables.resources
    known_as = sa.select(r.c.urn, r.c.hash, r.c.version, r.c.cell, r.c.first_seen)
    known = {row.urn: row for row in connection.execute(known_as.where(r.c.cell == cell))}
    elsewhere = [urn for urn in seen if urn not in known]
    for urns in _chunks(elsewhere):
        known.update({row.urn: row for row in connection.execute(known_as.where(r.c.urn.in_(urns)))})
    return known


def _number_after_history(
    connection: sa.Connection, rows: list[dict[str, Any]], version_rows: list[dict[str, Any]]
) -> None:
    """A resource that was gone and is back goes on counting its versions."""
    v = tables.versions
    fresh = {row["urn"] for row in rows if row["version"] == 1}
    past: dict[str, int] = {}
    for urns in _chunks(sorted(fresh)):
        query = sa.select(v.c.urn, sa.func.max(v.c.version)).where(v.c.urn.in_(urns)).group_by(v.c.urn)
        past.update((row[0], row[1]) for row in connection.execute(query))
    for row in (*rows, *version_rows):
        if row["urn"] in past and row["version"] == 1:
            row["version"] = past[row["urn"]] + 1


def _close_versions(connection: sa.Connection, urns: Sequence[str], at: datetime) -> None:
    v = tables.versions
    for some in _chunks(urns):
        connection.execute(v.update().where(v.c.urn.in_(some), v.c.valid_to.is_(None)).values(valid_to=at))


def set_relations(
    connection: sa.Connection, cell: str, relations: Iterable[Relation], at: datetime, *, complete: bool = True
) -> None:
    """Makes ``relations`` the current ones of ``cell``; those no longer given end, but only where complete."""
    t = tables.relations
    given = {(r.source, r.kind, r.target): r for r in relations}
    query = sa.select(t.c.source, t.c.kind, t.c.target).where(t.c.cell == cell, t.c.valid_to.is_(None))
    current = {tuple(row) for row in connection.execute(query)}
    upsert(
        connection,
        t,
        [
            {
                "source": r.source,
                "kind": r.kind,
                "target": r.target,
                "valid_from": at,
                "valid_to": None,
                "cell": cell,
                "evidence": r.evidence,
            }
            for key, r in given.items()
            if key not in current
        ],
    )
    if complete:
        ended = sorted(key for key in current if key not in given)
        if ended:
            connection.execute(
                t.update()
                .where(
                    t.c.cell == cell,
                    t.c.valid_to.is_(None),
                    t.c.source == sa.bindparam("s"),
                    t.c.kind == sa.bindparam("k"),
                    t.c.target == sa.bindparam("t"),
                )
                .values(valid_to=at),
                [{"s": s, "k": k, "t": g} for s, k, g in ended],
            )


def _count(connection: sa.Connection, cell: str) -> int:
    r = tables.resources
    return connection.execute(sa.select(sa.func.count()).where(r.c.cell == cell)).scalar_one()


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[i : i + _IN] for i in range(0, len(values), _IN))


# ---- reading


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
        c.c.complete_at,
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


_SORTED_AT_MOST = 10_000
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
    if total > _SORTED_AT_MOST and not text:
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


def history(connection: sa.Connection, urn: str, *, limit: int = 100) -> list[Version]:
    """The versions of ``urn``, newest first."""
    return versions(connection, urn, limit=limit).items


class Versions(msgspec.Struct, frozen=True):
    """One page of a resource's versions; ``after`` is where the next begins, empty on the last."""

    items: list[Version]
    after: str


def versions(connection: sa.Connection, urn: str, *, limit: int = 100, after: str = "") -> Versions:
    """The versions of ``urn``, newest first.

    ``after`` is the ``after`` of the page before. Raises ``BadInput`` for another.
    """
    v = tables.versions
    behind = paging.place(after, int)
    query = sa.select(*columns(v, Version)).where(v.c.urn == urn)
    if behind is not None:
        query = query.where(v.c.version < behind[0])
    rows = connection.execute(query.order_by(v.c.version.desc()).limit(limit + 1)).all()
    items = [Version(*row) for row in rows[:limit]]
    return Versions(items, paging.cursor(items[-1].version) if len(rows) > limit else "")


def as_of(connection: sa.Connection, urn: str, at: datetime) -> Version | None:
    """The version that held at ``at``."""
    v = tables.versions
    row = connection.execute(
        sa.select(*columns(v, Version)).where(
            v.c.urn == urn, v.c.valid_from <= at, sa.or_(v.c.valid_to.is_(None), v.c.valid_to > at)
        )
    ).first()
    return Version(*row) if row is not None else None


def neighbours(connection: sa.Connection, subject: str, *, limit: int = 200) -> list[Relation]:
    """The current relations from and to ``subject``."""
    t = tables.relations
    query = (
        sa.select(t.c.source, t.c.kind, t.c.target, t.c.evidence)
        .where(sa.or_(t.c.source == subject, t.c.target == subject), t.c.valid_to.is_(None))
        .order_by(t.c.kind, t.c.source, t.c.target)
        .limit(limit)
    )
    found = {
        tuple(row[:3]): Relation(source=row[0], kind=row[1], target=row[2], evidence=row[3])
        for row in connection.execute(query)
    }
    return list(found.values())


def coverage(
    connection: sa.Connection, *, account: str = "", type: str = "", status: str = "", incomplete: bool = False
) -> list[Covered]:
    """The coverage ledger, by cell. ``incomplete`` leaves out the complete cells."""
    c = tables.coverage
    query = sa.select(*columns(c, Covered)).order_by(c.c.cell)
    for column, value in ((c.c.account, account), (c.c.type, type), (c.c.status, status)):
        if value:
            query = query.where(column == value)
    if incomplete:
        query = query.where(c.c.status != CellStatus.COMPLETE.value)
    return [to_struct(Covered, row) for row in connection.execute(query)]


class Cells(msgspec.Struct, frozen=True):
    """One page of the coverage ledger; ``after`` is where the next begins, empty on the last."""

    items: list[Covered]
    total: int
    after: str


def cells(
    connection: sa.Connection,
    *,
    account: str = "",
    type: str = "",
    status: str = "",
    incomplete: bool = False,
    limit: int = 100,
    after: str = "",
) -> Cells:
    """Cells by account, type and cell. ``incomplete`` leaves out the complete ones.

    ``after`` is the ``after`` of the page before. Raises ``BadInput`` for another.
    """
    c = tables.coverage
    behind = paging.place(after, str, str, str)
    wheres = [column == value for column, value in ((c.c.account, account), (c.c.type, type)) if value]
    if status:
        wheres.append(c.c.status == status)
    if incomplete:
        wheres.append(c.c.status != CellStatus.COMPLETE.value)
    total = count(connection, c, wheres)
    if behind is not None:
        wheres.append(sa.tuple_(c.c.account, c.c.type, c.c.cell) > sa.tuple_(*behind))
    query = sa.select(*columns(c, Covered)).where(*wheres).order_by(c.c.account, c.c.type, c.c.cell).limit(limit + 1)
    found = [to_struct(Covered, row) for row in connection.execute(query)]
    items = found[:limit]
    last = items[-1] if len(found) > limit else None
    return Cells(items, total, paging.cursor(last.account, last.type, last.cell) if last is not None else "")


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
