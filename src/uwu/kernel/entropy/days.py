"""Entropy by day: the last measuring of each day is kept, so that a number has a past."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.db import ROWS_PER_WRITE, upsert
from uwu.kernel.entropy import members, sums
from uwu.kernel.entropy.formula import SCOPES, Score
from uwu.kernel.runtime import Kernel

KEPT_DAYS = 400
SHOWN_DAYS = 30


class Day(msgspec.Struct, frozen=True):
    """The entropy of a scope at the end of a day; None where nothing was measured that day."""

    day: str
    """``YYYY-MM-DD``, UTC."""
    entropy: float | None
    findings: int | None
    subjects: int | None


def record(kernel: Kernel) -> Score | None:
    """Measures every scope, keeps it as today's, and keeps what belongs where. Gives the score of the whole."""
    at = codec.now()
    with kernel.db.read() as connection:
        known = members.read(connection, at)
        scores = sums.of(connection, known, at)
        s = tables.entropy_subjects
        before = {row["subject"]: dict(row) for row in connection.execute(sa.select(s)).mappings()}
    after = members.rows(known)
    changed = [row for subject, row in sorted(after.items()) if before.get(subject) != row]
    for i in range(0, len(changed), ROWS_PER_WRITE):
        with kernel.db.write() as connection:
            upsert(connection, s, changed[i : i + ROWS_PER_WRITE])
    lost = sorted(before.keys() - after.keys())
    for i in range(0, len(lost), 500):
        with kernel.db.write() as connection:
            connection.execute(s.delete().where(s.c.subject.in_(lost[i : i + 500])))
    keep(kernel, scores, at)
    return next((score for score in scores if score.scope == "all"), None)


def keep(kernel: Kernel, scores: list[Score], at: datetime) -> None:
    """``scores`` as those of the day of ``at``, instead of what was measured that day before."""
    d = tables.entropy_days
    day = at.date().isoformat()
    rows = [{"day": day, **msgspec.structs.asdict(score), "measured_at": at} for score in scores]
    with kernel.db.write() as connection:
        upsert(connection, d, rows)
        connection.execute(d.delete().where(d.c.day == day, d.c.measured_at < at))
        connection.execute(d.delete().where(d.c.day < (at.date() - timedelta(days=KEPT_DAYS)).isoformat()))


def latest(connection: sa.Connection, scope: str = "", key: str | None = None) -> list[Score]:
    """The last measuring: every scope, the worst first within each; nothing where there was none.

    Of one ``scope`` and ``key`` only where they are given.
    """
    d = tables.entropy_days
    last = sa.select(sa.func.max(d.c.day)).scalar_subquery()
    fields = [d.c[name] for name in Score.__struct_fields__]
    query = sa.select(*fields).where(d.c.day == last)
    if scope:
        query = query.where(d.c.scope == scope)
    if key is not None:
        query = query.where(d.c.key == key)
    found = [_score(row) for row in connection.execute(query)]
    return sorted(found, key=lambda s: (SCOPES.index(s.scope), -s.entropy, s.key))


def _score(row: Any) -> Score:
    return Score(**dict(zip(Score.__struct_fields__, row, strict=True)))


def scores(connection: sa.Connection) -> list[Score]:
    """The last measuring; where there was none yet, one of now."""
    return latest(connection) or sums.measure(connection)


def series(
    connection: sa.Connection,
    scope: str,
    keys: list[str] | None = None,
    *,
    days: int = SHOWN_DAYS,
    today: date | None = None,
) -> dict[str, list[Day]]:
    """Key -> one Day for each of the last ``days``, the oldest first; of all keys of ``scope`` where none are given."""
    d = tables.entropy_days
    today = today or codec.now().date()
    names = [(today - timedelta(days=back)).isoformat() for back in range(days - 1, -1, -1)]
    query = sa.select(d.c.key, d.c.day, d.c.entropy, d.c.findings, d.c.subjects)
    query = query.where(d.c.scope == scope, d.c.day >= names[0], d.c.day <= names[-1])
    if keys is not None:
        query = query.where(d.c.key.in_(keys))
    held: dict[str, dict[str, Day]] = {}
    for row in connection.execute(query):
        held.setdefault(row.key, {})[row.day] = Day(row.day, row.entropy, row.findings, row.subjects)
    return {key: [by_day.get(name) or Day(name, None, None, None) for name in names] for key, by_day in held.items()}
