"""How the trail's sources stand, and what could not be taken: rows that the pipeline writes and pages show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.trail import tables
from uwu.kernel import codec
from uwu.kernel.db import Database, columns, to_struct, upsert
from uwu.kernel.errors import UwuError

QUEUE, BUCKET, FOLDER = "queue", "bucket", "folder"
_BODY = 1_000
"""Characters kept of a message that names no object."""


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """A source as it stands."""

    source: str
    kind: str
    """queue, bucket or folder."""
    listed_at: datetime | None
    seen_at: datetime | None
    objects: int
    late: int
    """Of them, those that listing found although a queue should have told."""
    waiting: int
    lag_seconds: int
    problem: str


class Dead(msgspec.Struct, frozen=True, kw_only=True):
    """An object that could not be taken, or a message that names none."""

    object: str
    source: str
    mark: str
    code: str
    message: str
    body: str
    attempts: int
    first_at: datetime
    last_at: datetime


class Backfill(msgspec.Struct, frozen=True, kw_only=True):
    """A backfill as it stands."""

    id: str
    source: str
    since: str
    until: str
    left: int
    """Prefixes of days that are still to be listed."""
    total: int
    objects: int
    events: int
    bytes: int
    seconds: int
    state: str
    problem: str
    started_at: datetime
    updated_at: datetime

    @property
    def seconds_left(self) -> int | None:
        """At the pace so far; None before the first day is done."""
        done = self.total - self.left
        return round(self.seconds / done * self.left) if done else None


def kind_of(source: str) -> str:
    """What kind of source this is."""
    return QUEUE if "://" in source and not source.startswith("s3://") else BUCKET if "://" in source else FOLDER


# ---- sources


def sources(connection: sa.Connection) -> list[SourceState]:
    t = tables.sources
    rows = connection.execute(sa.select(*columns(t, SourceState)).order_by(t.c.kind.desc(), t.c.source))
    return [to_struct(SourceState, row) for row in rows]


def update_source(db: Database, source: str, *, objects: int = 0, late: int = 0, **values: Any) -> None:
    """Adds to what is counted of ``source`` and sets ``values``."""
    t = tables.sources
    new = {"roots": [], "objects": 0, "late": 0, "waiting": 0, "lag_seconds": 0, "problem": ""}
    with db.write() as connection:
        upsert(connection, t, [{"source": source, "kind": kind_of(source), **new}], update=())
        counted = {"objects": t.c.objects + objects, "late": t.c.late + late}
        connection.execute(sa.update(t).where(t.c.source == source).values(**counted, **values))


def row_of(db: Database, source: str) -> Mapping[str, Any]:
    """The row of ``source``; empty where there is none yet."""
    t = tables.sources
    with db.read() as connection:
        row = connection.execute(sa.select(t).where(t.c.source == source)).first()
    return {} if row is None else dict(row._mapping)


# ---- dead letters


def bury(
    db: Database, source: str, dead: Iterable[tuple[str, str, UwuError]], *, attempts: int = 1, body: str = ""
) -> None:
    """Keeps (object, mark, why) that are given up; one that is there already is brought up to date."""
    t, now = tables.dead, codec.now()
    with db.write() as connection:
        for name, mark, error in dead:
            row = {
                "object": name,
                "source": source,
                "mark": mark,
                "code": error.problem.code,
                "message": error.problem.message,
                "body": body[:_BODY],
                "attempts": attempts,
                "first_at": now,
                "last_at": now,
            }
            again = ("mark", "code", "message", "attempts", "last_at")
            upsert(connection, t, [row], update=again)


def dead(connection: sa.Connection, limit: int = 100) -> list[Dead]:
    """The latest first."""
    t = tables.dead
    query = sa.select(*columns(t, Dead)).order_by(t.c.last_at.desc(), t.c.object).limit(limit)
    return [to_struct(Dead, row) for row in connection.execute(query)]


def dead_count(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(tables.dead)).scalar_one())


def forget_dead(connection: sa.Connection, objects: Sequence[str]) -> int:
    """Strikes entries off; gives how many there were."""
    t = tables.dead
    return connection.execute(t.delete().where(t.c.object.in_(list(objects)))).rowcount


# ---- backfills


def backfills(connection: sa.Connection, limit: int = 20) -> list[Backfill]:
    """The latest first."""
    t = tables.backfills
    rows = connection.execute(sa.select(t).order_by(t.c.started_at.desc(), t.c.id).limit(limit))
    found: list[Backfill] = []
    for row in rows:
        held = dict(row._mapping)
        left = len(held.pop("prefixes"))
        found.append(Backfill(left=left, **held))
    return found
