"""Every entity as pairs of path and value, by which lists are filtered, ordered and counted.

The pairs follow Backstage's catalog: a path is lower case and leads through objects by their keys and through lists
without a trace, so ``metadata.tags`` holds each tag; a plain item of a list is a path of its own that is ``true``
(``metadata.tags.java``). What holds something else is there where a path goes on from it. What stands in no pair
(relations, orphans) is asked where it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

import sqlalchemy as sa

from uwu.kernel import bulk
from uwu.kernel.model import Entity
from uwu.kernel.tables import entity_facts as facts

MOST_CHARACTERS = 200
"""A longer text is there, but is not compared by its value: an API's definition is no name."""
_SOME = 500
_INSERT = bulk.insert(facts, {"ref": "text", "key": "text", "value": "text", "written": "text"})


def uid(ref: str) -> str:
    """The entity's ``metadata.uid``: a UUID (RFC 9562, version 5) that any process computes alike."""
    return str(uuid5(NAMESPACE_URL, f"entity:{ref}"))


def of(entity: Entity) -> dict[tuple[str, str], str | None]:
    """The (path, value) pairs of ``entity``, each with how it is written where that is not lower case."""
    pairs: dict[tuple[str, str], str | None] = {}
    named = {"name": entity.name, "namespace": entity.namespace, "uid": uid(entity.ref)}
    _walk("kind", entity.kind, pairs)
    _walk("apiversion", entity.api_version, pairs)
    _walk("metadata", {**entity.metadata, **named}, pairs)
    _walk("spec", entity.spec, pairs)
    return pairs


def _walk(path: str, value: Any, pairs: dict[tuple[str, str], str | None]) -> None:
    # in the order of how often each comes: a large estate has millions of these
    if isinstance(value, str):
        key = compared(value)
        pairs.setdefault((path, key), value if key and value != key else None)
    elif isinstance(value, dict):
        if not value:
            pairs.setdefault((path, ""), None)
        for name, each in cast("dict[str, Any]", value).items():
            _walk(f"{path}.{str(name).lower()}", each, pairs)
    elif isinstance(value, list):
        if not value:
            pairs.setdefault((path, ""), None)
        for each in cast("list[Any]", value):
            _walk(path, each, pairs)
            if not isinstance(each, dict | list) and (plain := compared(each)):
                pairs.setdefault((f"{path}.{plain}", "true"), None)
    else:
        pairs.setdefault((path, compared(value)), None)


def compared(value: Any) -> str:
    """A plain value as it is compared: lower case, truth values as JSON writes them; empty for what is not compared."""
    if value is None:
        return ""
    plain = ("true" if value else "false") if isinstance(value, bool) else str(value).lower()
    return plain if len(plain) <= MOST_CHARACTERS else ""


def replace(connection: sa.Connection, entities: Sequence[Entity], *, fresh: bool = False) -> None:
    """Makes the pairs of ``entities`` those that are kept; ``fresh``: none of them had any."""
    if not fresh:
        forget(connection, [entity.ref for entity in entities])
    for start in range(0, len(entities), _SOME):
        rows = [
            (entity.ref, key, value, written)
            for entity in entities[start : start + _SOME]
            for (key, value), written in sorted(of(entity).items())
        ]
        _INSERT.run(connection, rows)


def forget(connection: sa.Connection, refs: Collection[str]) -> None:
    """Removes the pairs of ``refs``."""
    some = sorted(refs)
    for start in range(0, len(some), _SOME):
        connection.execute(facts.delete().where(facts.c.ref.in_(some[start : start + _SOME])))
