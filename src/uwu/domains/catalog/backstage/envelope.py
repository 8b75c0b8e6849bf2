"""An entity as Backstage tells it: envelope, computed annotations, status of its source, relations; and parts of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from uwu.kernel import entity_facts, tables

Told = dict[str, Any]


def tell(connection: sa.Connection, rows: Sequence[Any]) -> list[Told]:
    """Rows of ``entities`` in Backstage's form, in their order, with their current relations."""
    relations = _relations(connection, [row.ref for row in rows])
    return [_entity(row, relations.get(row.ref, ())) for row in rows]


def _entity(row: Any, relations: Iterable[Told]) -> Told:
    annotations = {
        **_texts(row.metadata.get("annotations")),
        "backstage.io/managed-by-location": f"file:{row.file}",
        "backstage.io/managed-by-origin-location": row.origin,
    }
    if row.orphan:
        annotations["backstage.io/orphan"] = "true"
    return {
        "apiVersion": row.api_version,
        "kind": row.kind,
        "metadata": {
            **row.metadata,
            "namespace": row.namespace,
            "name": row.name,
            "uid": entity_facts.uid(row.ref),
            "etag": row.hash,
            "annotations": annotations,
        },
        "spec": row.spec,
        "relations": list(relations),
    }


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(each) for key, each in value.items()} if isinstance(value, dict) else {}


def _relations(connection: sa.Connection, refs: Sequence[str]) -> dict[str, list[Told]]:
    t = tables.relations
    found: defaultdict[str, dict[tuple[str, str], Told]] = defaultdict(dict)
    for start in range(0, len(refs), 500):
        some = refs[start : start + 500]
        query = sa.select(t.c.source, t.c.kind, t.c.target).where(t.c.source.in_(some), t.c.valid_to.is_(None))
        for source, kind, target in connection.execute(query.order_by(t.c.source, t.c.kind, t.c.target)):
            kind_of, _, rest = target.partition(":")
            namespace, _, name = rest.partition("/")
            if kind_of in {"arn", "urn"} or not name:
                continue  # a resource is no entity: Backstage's clients read every target as a reference
            target_of = {"kind": kind_of, "namespace": namespace, "name": name}
            found[source][kind, target] = {"type": kind, "targetRef": target, "target": target_of}
    return {source: list(each.values()) for source, each in found.items()}


def project(entity: Told, fields: Sequence[str]) -> Told:
    """``entity`` with only the paths ``fields`` (``metadata.name``); the whole where there are none."""
    if not fields:
        return entity
    kept: Told = {}
    for path in fields:
        _copy(entity, path.split("."), kept)
    return kept


def _copy(source: Any, steps: Sequence[str], into: Told) -> None:
    """A key may hold dots itself (``metadata.annotations.backstage.io/orphan``): the longest that fits is taken."""
    if not isinstance(source, dict):
        return
    for taken in range(len(steps), 0, -1):
        key = ".".join(steps[:taken])
        if key not in source:
            continue
        if taken == len(steps):
            into[key] = source[key]
        elif isinstance(source[key], dict):
            # a copy: the part may already stand there whole, as the entity's own
            into[key] = dict(into.get(key, {}))
            _copy(source[key], steps[taken:], into[key])
        return
