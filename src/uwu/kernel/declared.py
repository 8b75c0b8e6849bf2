"""What is declared: entities of the estate, and resources that a declaring tool holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, entity_facts, graph, paging, tables
from uwu.kernel.db import upsert
from uwu.kernel.model import Declaration, Entity, Place, Relation


def replace_entities(
    connection: sa.Connection,
    origin: str,
    entities: Sequence[Entity],
    relations: Iterable[Relation],
    *,
    unread: Collection[str] = (),
) -> tuple[int, int]:
    """Makes ``entities`` those of ``origin`` and gives (changed, newly orphaned).

    An entity that ``origin`` no longer holds becomes an orphan and is kept, except where its file is in ``unread``:
    what could not be read says nothing about what it declares. An orphan that is declared again is none any more.
    """
    t = tables.entities
    at = codec.now()
    before = {
        row.ref: row
        for row in connection.execute(
            sa.select(t.c.ref, t.c.hash, t.c.file, t.c.orphan, t.c.first_seen).where(t.c.origin == origin)
        )
    }
    rows: list[dict[str, Any]] = []
    changed: list[Entity] = []
    given: set[str] = set()
    for entity in entities:
        given.add(entity.ref)
        hash = codec.digest([entity.api_version, entity.kind, entity.metadata, entity.spec, str(entity.place)])
        old = before.get(entity.ref)
        if old is not None and old.hash == hash and not old.orphan:
            continue
        changed.append(entity)
        rows.append(
            {
                "ref": entity.ref,
                "kind": entity.kind,
                "namespace": entity.namespace,
                "name": entity.name,
                "api_version": entity.api_version,
                "metadata": entity.metadata,
                "spec": entity.spec,
                "file": entity.place.file,
                "line": entity.place.line,
                "origin": origin,
                "hash": hash,
                "orphan": False,
                "first_seen": old.first_seen if old is not None else at,
                "last_seen": at,
            }
        )
    upsert(connection, t, rows)
    entity_facts.replace(connection, changed)
    orphans = [r for r, row in before.items() if r not in given and row.file not in unread and not row.orphan]
    for i in range(0, len(orphans), 500):
        connection.execute(t.update().where(t.c.ref.in_(orphans[i : i + 500])).values(orphan=True))
    graph.set_relations(connection, f"estate/{origin}", relations, at, complete=not unread)
    return len(rows), len(orphans)


def _entity(row: sa.Row[Any]) -> Entity:
    return Entity(
        kind=row.kind,
        name=row.name,
        namespace=row.namespace,
        api_version=row.api_version,
        metadata=row.metadata,
        spec=row.spec,
        place=Place(row.file, row.line),
        origin=row.origin,
    )


def entity(connection: sa.Connection, ref: str) -> Entity | None:
    """The entity of a full reference (``kind:namespace/name``, any case)."""
    t = tables.entities
    row = connection.execute(sa.select(t).where(t.c.ref == ref.lower())).first()
    return _entity(row) if row is not None else None


def entities(
    connection: sa.Connection, *, kind: str = "", orphan: bool | None = None, limit: int = 100_000
) -> list[Entity]:
    """Entities by reference; ``kind`` in any case; ``orphan`` None for all."""
    t = tables.entities
    query = sa.select(t).order_by(t.c.ref).limit(limit)
    if kind:
        query = query.where(sa.func.lower(t.c.kind) == kind.lower())
    if orphan is not None:
        query = query.where(t.c.orphan == orphan)
    return [_entity(row) for row in connection.execute(query)]


class Entities(msgspec.Struct, frozen=True):
    """One page of entities; ``after`` is where the next begins, empty on the last."""

    items: list[Entity]
    total: int
    after: str


def page(
    connection: sa.Connection, *, kind: str = "", orphan: bool | None = None, limit: int = 100, after: str = ""
) -> Entities:
    """Entities by reference, which is by kind, namespace and name; ``kind`` in any case; ``orphan`` None for all.

    ``after`` is the ``after`` of the page before. Raises ``BadInput`` for another.
    """
    t = tables.entities
    behind = paging.place(after, str)
    wheres: list[sa.ColumnElement[bool]] = []
    if kind:
        wheres.append(sa.func.lower(t.c.kind) == kind.lower())
    if orphan is not None:
        wheres.append(t.c.orphan == orphan)
    total = graph.count(connection, t, wheres)
    if behind is not None:
        wheres.append(t.c.ref > behind[0])
    rows = connection.execute(sa.select(t).where(*wheres).order_by(t.c.ref).limit(limit + 1)).all()
    items = [_entity(row) for row in rows[:limit]]
    return Entities(items, total, paging.cursor(rows[limit - 1].ref) if len(rows) > limit else "")


def orphans(connection: sa.Connection) -> set[str]:
    """The references of the entities whose source no longer holds them."""
    t = tables.entities
    return {row.ref for row in connection.execute(sa.select(t.c.ref).where(t.c.orphan))}


def replace_declarations(connection: sa.Connection, source: str, declarations: Sequence[Declaration]) -> int:
    """Makes ``declarations`` those of ``source`` and gives how many changed or went."""
    t = tables.declarations
    at = codec.now()
    before = {row.id: row.hash for row in connection.execute(sa.select(t.c.id, t.c.hash).where(t.c.source == source))}
    rows: dict[str, dict[str, Any]] = {}
    for d in declarations:
        hash = codec.digest([d.place, d.urn, d.type, d.declared_type, d.attributes, d.tags])
        if before.get(d.id) == hash:
            before.pop(d.id)
            continue
        before.pop(d.id, None)
        rows[d.id] = {
            "id": d.id,
            "source": source,
            "address": d.address,
            "place": d.place,
            "urn": d.urn,
            "type": d.type,
            "declared_type": d.declared_type,
            "attributes": d.attributes,
            "tags": d.tags,
            "hash": hash,
            "declared_at": at,
        }
    upsert(connection, t, list(rows.values()))
    gone = list(before)
    for i in range(0, len(gone), 500):
        connection.execute(t.delete().where(t.c.id.in_(gone[i : i + 500])))
    return len(rows) + len(gone)


def declarations(connection: sa.Connection, *, urn: str = "", source: str = "") -> list[Declaration]:
    """Declarations by source and address; of one subject or one source where given."""
    t = tables.declarations
    fields = Declaration.__struct_fields__
    query = sa.select(*(t.c[field] for field in fields)).order_by(t.c.id)
    if urn:
        query = query.where(t.c.urn == urn)
    if source:
        query = query.where(t.c.source == source)
    return [Declaration(**dict(zip(fields, row, strict=True))) for row in connection.execute(query)]
