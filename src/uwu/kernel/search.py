"""Search over everything that has a name: resources, entities, findings."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import tables
from uwu.kernel.graph import like
from uwu.kernel.model import FindingStatus


class Hit(msgspec.Struct, frozen=True):
    """One thing found. ``kind`` is ``resource``, ``entity`` or ``finding``; ``key`` is its urn, reference or id."""

    kind: str
    key: str
    title: str
    detail: str
    owner: str
    rank: int
    """0 where the name is the text, 1 where it begins with it, 2 where it holds it, 3 where only the key does."""


def search(connection: sa.Connection, text: str, *, limit: int = 20) -> list[Hit]:
    """The best hits first: names before keys, whole before part, short before long."""
    text = text.strip()
    if not text:
        return []
    r, e, f, o = tables.resources, tables.entities, tables.findings, tables.ownership
    needle = like(text)

    def holds(*columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        return sa.or_(*(sa.func.lower(column).like(needle, escape="\\") for column in columns))

    def rank(name: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        lowered = sa.func.lower(name)
        return sa.case(
            (lowered == text.lower(), 0),
            (lowered.like(needle[1:], escape="\\"), 1),
            (lowered.like(needle, escape="\\"), 2),
            else_=3,
        )

    title = sa.func.coalesce(e.c.metadata["title"].as_string(), e.c.name)
    queries = (
        sa.select(
            sa.literal("entity"),
            e.c.ref,
            title,
            e.c.kind,
            sa.func.coalesce(e.c.spec["owner"].as_string(), ""),
            rank(title),
        ).where(holds(e.c.name, title, e.c.ref)),
        sa.select(sa.literal("resource"), r.c.urn, r.c.name, r.c.type, sa.func.coalesce(o.c.owner, ""), rank(r.c.name))
        .select_from(r.outerjoin(o, o.c.subject == r.c.urn))
        .where(holds(r.c.name, r.c.urn)),
        sa.select(sa.literal("finding"), f.c.id, f.c.title, f.c.severity, f.c.owner, rank(f.c.title)).where(
            holds(f.c.title, f.c.id), f.c.status != FindingStatus.CLOSED.value
        ),
    )
    hits: list[Hit] = []
    for query in queries:
        best = query.order_by(query.selected_columns[5], sa.func.length(query.selected_columns[2])).limit(limit)
        hits.extend(Hit(*row) for row in connection.execute(best))
    order = {"entity": 0, "resource": 1, "finding": 2}
    return sorted(hits, key=lambda hit: (hit.rank, order[hit.kind], len(hit.title), hit.key))[:limit]
