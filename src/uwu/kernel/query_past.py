"""The tables of ``uwu query`` as they were at a time, of those whose past is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from uwu.kernel import tables
from uwu.kernel.db import Time

KEPT = frozenset({"resources", "versions", "relations", "relation_versions", "findings", "jobs", "audit"})
"""The others hold the present only."""


def of(name: str, at: datetime, *, type: str = "") -> sa.Select[Any]:
    """The rows of ``name`` at ``at`` with the columns of today's table; of ``type`` only, where given."""
    query = _PAST[name](at)
    return query.where(tables.versions.c.type == type) if type else query


def _resources(at: datetime) -> sa.Select[Any]:
    r, v, o = tables.resources, tables.versions, tables.ownership
    first = sa.select(v.c.urn, sa.func.min(v.c.valid_from).label("at")).group_by(v.c.urn).subquery("first")
    given: dict[str, sa.ColumnElement[Any]] = {
        "first_seen": first.c["at"],
        "changed_at": v.c.valid_from,
        "owner": sa.func.coalesce(o.c.owner, ""),
        "seen_at": sa.cast(sa.null(), Time()),
    }
    columns = (given.get(c.name, v.c[c.name] if c.name in v.c else sa.null()).label(c.name) for c in r.columns)
    joined = v.join(first, first.c.urn == v.c.urn).outerjoin(o, o.c.subject == v.c.urn)
    return sa.select(*columns).select_from(joined).where(*_held(v, at))


def _held(table: sa.Table, at: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.valid_from <= at, sa.or_(table.c.valid_to.is_(None), table.c.valid_to > at)


def _relations(at: datetime) -> sa.Select[Any]:
    return sa.select(tables.relations).where(*_held(tables.relations, at))


def _begun(table: sa.Table) -> Callable[[datetime], sa.Select[Any]]:
    """What had begun, and what was not over yet is not."""

    def past(at: datetime) -> sa.Select[Any]:
        over = sa.case((table.c.valid_to <= at, table.c.valid_to), else_=None)
        columns = (over.label("valid_to") if c.name == "valid_to" else c for c in table.columns)
        return sa.select(*columns).where(table.c.valid_from <= at)

    return past


def _findings(at: datetime) -> sa.Select[Any]:
    f = tables.findings
    given: dict[str, sa.ColumnElement[Any]] = {
        "status": sa.case((f.c.status == "closed", "open"), else_=f.c.status),
        "closed_at": sa.cast(sa.null(), Time()),
    }
    columns = (given[c.name].label(c.name) if c.name in given else c for c in f.columns)
    return sa.select(*columns).where(f.c.opened_at <= at, sa.or_(f.c.closed_at.is_(None), f.c.closed_at > at))


def _until(table: sa.Table, column: str) -> Callable[[datetime], sa.Select[Any]]:
    return lambda at: sa.select(table).where(table.c[column] <= at)


_PAST: dict[str, Callable[[datetime], sa.Select[Any]]] = {
    "resources": _resources,
    "versions": _begun(tables.versions),
    "relations": _relations,
    "relation_versions": _begun(tables.relations),
    "findings": _findings,
    "jobs": _until(tables.jobs, "created_at"),
    "audit": _until(tables.audit, "at"),
}
