"""What an entity was declared as over time: a version for each time that what it says, not where it stands, changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, cast

import msgspec
import sqlalchemy as sa

from uwu.kernel import bulk, codec, paging
from uwu.kernel.model import Entity
from uwu.kernel.tables import entity_versions as v

_IN = 500
_KEPT = ("api_version", "kind", "metadata", "spec", "file", "line", "origin", "hash")
_COLUMNS = {
    "ref": "text",
    "at": "time",
    "api_version": "text",
    "kind": "text",
    "metadata": "json",
    "spec": "json",
    "file": "text",
    "line": "int",
    "origin": "text",
    "hash": "text",
}
_NAMES = f"ref, version, valid_from, {', '.join(_KEPT)}"
_NEXT = "coalesce((select max(version) from entity_versions v where v.ref = {ref}), 0) + 1"
_SAME = "select 1 from entity_versions v where v.ref = {ref} and v.valid_to is null"
# the names in this SQL are its own
_BEGIN = bulk.Bulk(
    _COLUMNS,
    f"insert into entity_versions ({_NAMES}) select :ref:, {_NEXT.format(ref=':ref:')}, :at:, "
    f"{', '.join(f':{name}:' for name in _KEPT)} where not exists ({_SAME.format(ref=':ref:')})",
    f"insert into entity_versions ({_NAMES}) select ref, {_NEXT.format(ref='given.ref')}, at, "  # noqa: S608
    f"{', '.join(_KEPT)} from given where not exists ({_SAME.format(ref='given.ref')})",
)
_END = bulk.Bulk(
    {"ref": "text", "at": "time", "hash": "text"},
    "update entity_versions set valid_to = :at: where ref = :ref: and valid_to is null and hash <> :hash:",
    "update entity_versions v set valid_to = given.at from given "
    "where v.ref = given.ref and v.valid_to is null and v.hash <> given.hash",
)


class EntityVersion(msgspec.Struct, frozen=True):
    """An entity over [valid_from, valid_to)."""

    ref: str
    version: int
    valid_from: datetime
    valid_to: datetime | None
    """None: still so."""
    api_version: str
    metadata: dict[str, Any]
    spec: dict[str, Any]
    file: str
    line: int
    changed: list[str] = []
    """Paths that differ from the version before; empty for the first."""


class EntityVersions(msgspec.Struct, frozen=True):
    """One page of versions, newest first; ``after`` is where the next begins, empty on the last."""

    items: list[EntityVersion]
    after: str


def keep(connection: sa.Connection, entities: Sequence[Entity], at: datetime) -> None:
    """Begins a version of each of ``entities`` that says something else than its last one."""
    told = [(e, codec.digest([e.api_version, e.kind, e.metadata, e.spec])) for e in entities]
    _END.run(connection, [(e.ref, at, hash) for e, hash in told])
    _BEGIN.run(
        connection,
        [
            (e.ref, at, e.api_version, e.kind, e.metadata, e.spec, e.place.file, e.place.line, e.origin, hash)
            for e, hash in told
        ],
    )


def end(connection: sa.Connection, refs: Sequence[str], at: datetime) -> None:
    """``refs`` are declared no more."""
    for start in range(0, len(refs), _IN):
        some = refs[start : start + _IN]
        connection.execute(v.update().where(v.c.ref.in_(some), v.c.valid_to.is_(None)).values(valid_to=at))


def versions(connection: sa.Connection, ref: str, *, limit: int = 50, after: str = "") -> EntityVersions:
    """The versions of ``ref``, newest first. ``after`` is that of the page before; raises ``BadInput`` for another."""
    behind = paging.place(after, int)
    query = sa.select(*(v.c[name] for name in EntityVersion.__struct_fields__[:-1])).where(v.c.ref == ref)
    if behind is not None:
        query = query.where(v.c.version < behind[0])
    rows = connection.execute(query.order_by(v.c.version.desc()).limit(limit + 1)).all()
    found = [EntityVersion(*row) for row in rows]
    items = [
        msgspec.structs.replace(new, changed=changed(_said(old), _said(new)) if old is not None else [])
        for new, old in zip_longest(found, found[1:])
    ][:limit]
    return EntityVersions(items, paging.cursor(items[-1].version) if len(rows) > limit else "")


def _said(version: EntityVersion) -> dict[str, Any]:
    return {"apiVersion": version.api_version, "metadata": version.metadata, "spec": version.spec}


def changed(before: Any, after: Any, path: str = "") -> list[str]:
    """The paths at which two JSON values differ: the deepest that both have, ``spec.owner``."""
    if before == after:
        return []
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [path]
    old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
    return [
        each
        for key in sorted({*old, *new})
        for each in changed(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    ]
