"""The graph of observed resources: versions over time, relations, coverage.

A cell (source, account, region, type) is observed as a whole and written in one transaction. A resource
disappears only where its cell's observation is complete; a partial, denied or late one can only add and change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, tables
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
    r, c, o = tables.resources, tables.coverage, tables.ownership
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
        sa.func.coalesce(o.c.owner, ""),
    ).select_from(r.outerjoin(c, c.c.cell == r.c.cell).outerjoin(o, o.c.subject == r.c.urn))


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
    after: str


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

    ``after`` is the urn of the last item of the page before.
    """
    r, o = tables.resources, tables.ownership
    wheres: list[sa.ColumnElement[bool]] = []
    for column, value in ((r.c.type, type), (r.c.account, account), (r.c.region, region)):
        if value:
            wheres.append(column == value)
    if owner is not None:
        wheres.append(sa.func.coalesce(o.c.owner, "") == owner)
    if text:
        needle = like(text)
        wheres.append(
            sa.or_(sa.func.lower(r.c.name).like(needle, escape="\\"), sa.func.lower(r.c.urn).like(needle, escape="\\"))
        )
    joined = r.outerjoin(o, o.c.subject == r.c.urn)
    total = connection.execute(sa.select(sa.func.count()).select_from(joined).where(*wheres)).scalar_one()
    query = _observed().where(*wheres)
    if after:
        name = sa.select(r.c.name).where(r.c.urn == after).scalar_subquery()
        query = query.where(sa.tuple_(r.c.name, r.c.urn) > sa.tuple_(sa.func.coalesce(name, ""), after))
    rows = connection.execute(query.order_by(r.c.name, r.c.urn).limit(limit + 1)).all()
    items = [Observed(*row) for row in rows[:limit]]
    return Page(items, total, items[-1].urn if len(rows) > limit else "")


def like(text: str) -> str:
    """``text`` as a LIKE pattern for anywhere within lower-cased values; escape character backslash."""
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def history(connection: sa.Connection, urn: str, *, limit: int = 100) -> list[Version]:
    """The versions of ``urn``, newest first."""
    v = tables.versions
    query = sa.select(*columns(v, Version)).where(v.c.urn == urn)
    return [Version(*row) for row in connection.execute(query.order_by(v.c.version.desc()).limit(limit))]


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
