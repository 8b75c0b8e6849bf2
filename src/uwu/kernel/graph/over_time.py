"""Resources over time: each version holds over [valid_from, valid_to)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import paging, tables
from uwu.kernel.db import columns


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


def history(connection: sa.Connection, urn: str, *, at: datetime | None = None, limit: int = 100) -> list[Version]:
    """The versions of ``urn``, newest first; those that had begun at ``at``, where given."""
    return versions(connection, urn, at=at, limit=limit).items


class Versions(msgspec.Struct, frozen=True):
    """One page of a resource's versions; ``after`` is where the next begins, empty on the last."""

    items: list[Version]
    after: str


def versions(
    connection: sa.Connection, urn: str, *, at: datetime | None = None, limit: int = 100, after: str = ""
) -> Versions:
    """The versions of ``urn``, newest first; those that had begun at ``at``, where given.

    ``after`` is the ``after`` of the page before. Raises ``BadInput`` for another.
    """
    v = tables.versions
    behind = paging.place(after, int)
    query = sa.select(*columns(v, Version)).where(v.c.urn == urn)
    if at is not None:
        query = query.where(v.c.valid_from <= at)
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
