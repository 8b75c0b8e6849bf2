"""How entities stand, kept: written only where it changed, and read as whoever asks may see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from uwu.domains.catalog.scorecards.cards import Card
from uwu.domains.catalog.scorecards.facts import World
from uwu.domains.catalog.scorecards.model import Grade, Graded, Result, Status
from uwu.domains.catalog.tables import scorecard_days, scorecard_grades, scorecards
from uwu.kernel import bulk, codec, paging, sight, tables
from uwu.kernel.db import columns, to_struct, upsert
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.runtime import Kernel
from uwu.kernel.schema import near

KEPT_DAYS = 400
_IN = 500
_G, _D, _C = scorecard_grades, scorecard_days, scorecards
_COUNTS = {"passed": "int", "failed": "int", "unknown": "int", "exempt": "int"}
_GRADES = bulk.upsert(
    _G,
    {
        **dict.fromkeys(("card", "entity", "title", "kind", "type", "owner", "level", "reachable"), "text"),
        "rank": "int",
        "score": "float",
        **_COUNTS,
        "statuses": "json",
        "results": "json",
        "hash": "text",
        "changed_at": "time",
    },
)
_DAYS = bulk.upsert(
    _D,
    {"card": "text", "entity": "text", "day": "text", "level": "text", "score": "float", **_COUNTS, "statuses": "json"},
)

Sort = Literal["score", "-score", "entity"]


class CardCheck(msgspec.Struct, frozen=True):
    """A check of a card."""

    check: str
    level: str
    weight: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A scorecard as it was judged last."""

    card: str
    title: str
    description: str
    levels: list[str]
    """The lowest first."""
    checks: list[CardCheck]
    place: str
    entities: int
    judged_at: Any


class Grades(msgspec.Struct, frozen=True):
    """One page of a scorecard; ``after`` is empty on the last."""

    items: list[Grade]
    total: int
    after: str


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """How the entities of one owner stand."""

    owner: str
    """Empty for those that name none."""
    entities: int
    score: float | None
    """The mean of their scores; None where of none anything is known."""
    passed: int
    failed: int
    unknown: int
    exempt: int
    levels: dict[str, int]
    """How many are at each level; the empty name for none."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """How an entity stood from the end of a day on."""

    day: str
    level: str
    score: float | None
    passed: int
    failed: int
    unknown: int
    exempt: int
    turned: dict[str, tuple[str, str]]
    """Check -> (what it was, what it is) against the day before it in this list; all that is asked on the first."""


# ---- writing


def before(connection: sa.Connection, refs: Sequence[str]) -> dict[tuple[str, str], tuple[str, dict[str, Result]]]:
    """(card, entity) -> the hash that is kept, and what was said by check; of at most some hundreds of entities."""
    found: dict[tuple[str, str], tuple[str, dict[str, Result]]] = {}
    query = sa.select(_G.c.card, _G.c.entity, _G.c.hash, _G.c.results).where(_G.c.entity.in_(refs))
    for card, entity, hash, results in connection.execute(query):
        held = msgspec.convert(results, list[Result])
        found[card, entity] = (hash, {one.check: one for one in held})
    return found


def mark(graded: Graded) -> str:
    """A digest of a grade: it is the same as long as nothing of it changes."""
    return codec.digest(graded)


def keep(connection: sa.Connection, changed: Sequence[tuple[Graded, str, bool]], world: World) -> None:
    """Writes grades, each with its ``mark`` and whether a status turned: then also how it stands today."""
    day = world.at.date().isoformat()
    grades: list[tuple[Any, ...]] = []
    days: list[tuple[Any, ...]] = []
    for graded, hash, turned in changed:
        g = graded.grade
        counts = (g.passed, g.failed, g.unknown, g.exempt)
        named = (g.card, g.entity, g.title, g.kind, g.type, g.owner, g.level, g.reachable, g.rank, g.score)
        grades.append((*named, *counts, g.statuses, codec.builtins(graded.results), hash, world.at))
        if turned:
            days.append((g.card, g.entity, day, g.level, g.score, *counts, g.statuses))
    _GRADES.run(connection, grades)
    _DAYS.run(connection, days)


def close(connection: sa.Connection, cards: Iterable[tuple[Card, int]], world: World) -> None:
    """Notes which cards there are, with how many entities, and forgets the others and what is too old."""
    rows: list[dict[str, Any]] = [
        {
            "card": card.name,
            "title": card.title,
            "description": card.description,
            "levels": list(card.levels),
            "checks": [{"check": a.check.id, "level": a.level, "weight": a.weight} for a in card.asked],
            "place": card.place,
            "entities": count,
            "judged_at": world.at,
        }
        for card, count in cards
    ]
    upsert(connection, _C, rows)
    names = [row["card"] for row in rows]
    connection.execute(_C.delete().where(_C.c.card.not_in(names)))
    connection.execute(_G.delete().where(_G.c.card.not_in(names)))
    oldest = (world.at - timedelta(days=KEPT_DAYS)).date().isoformat()
    connection.execute(_D.delete().where(_D.c.day < oldest))


def forget(connection: sa.Connection, card: str, entities: Sequence[str]) -> None:
    """Removes the grades of ``entities``, which are no longer on ``card``. Their days stay."""
    for start in range(0, len(entities), _IN):
        connection.execute(_G.delete().where(_G.c.card == card, _G.c.entity.in_(entities[start : start + _IN])))


def graded_on(connection: sa.Connection, card: str) -> set[str]:
    """The references of every entity that has a grade on ``card``."""
    return set(connection.scalars(sa.select(_G.c.entity).where(_G.c.card == card)))


# ---- reading


def cards(connection: sa.Connection) -> list[Standing]:
    """Every card that has been judged, by name."""
    query = sa.select(*columns(_C, Standing)).order_by(_C.c.card)
    return [to_struct(Standing, row) for row in connection.execute(query)]


def card(connection: sa.Connection, name: str) -> Standing:
    """One card. Raises ``NotFound``."""
    known = {one.card: one for one in cards(connection)}
    if name.lower() not in known:
        hint = near(name, known) or (f"one of: {', '.join(known)}" if known else "uwu sync judges them")
        raise NotFound(f"there is no scorecard {name[:100]!r}", code="scorecard-unknown", place="card", hint=hint)
    return known[name.lower()]


def shown() -> sa.ColumnElement[bool]:
    """The entity may be seen: the statement that reads entities is narrowed, and this with it."""
    return _G.c.entity.in_(sa.select(tables.entities.c.ref))


def grades(
    connection: sa.Connection,
    name: str,
    *,
    owner: str = "",
    level: str | None = None,
    check: str = "",
    status: str = "",
    entity: str = "",
    sort: Sort = "score",
    limit: int = 100,
    after: str = "",
) -> Grades:
    """How entities stand on the card ``name``, the worst first; those of which nothing is known are the last.

    ``check`` with ``status`` picks those of which the check says so (``failed`` where no status is given); ``level``
    those at a level, empty for none. Raises ``NotFound`` for a card, ``BadInput`` for a check, status or sorting that
    there is not.
    """
    standing = card(connection, name)
    wheres: list[sa.ColumnElement[bool]] = [_G.c.card == standing.card, shown()]
    if owner:
        wheres.append(_G.c.owner == ("" if owner == "-" else owner))
    if entity:
        wheres.append(_G.c.entity == entity)
    if level is not None:
        if level and level not in standing.levels:
            raise BadInput(f"there is no level {level[:40]!r}", code="level-unknown", hint=", ".join(standing.levels))
        wheres.append(_G.c.level == level)
    if check or status:
        wheres.append(_of_check(standing, check, status))
    total = connection.execute(sa.select(sa.func.count()).select_from(_G).where(*wheres)).scalar_one()
    score = sa.func.coalesce(_G.c.score, 101.0 if sort == "score" else -1.0)
    if sort == "entity":
        behind = paging.place(after, str)
        order: list[Any] = [_G.c.entity]
        if behind is not None:
            wheres.append(_G.c.entity > behind[0])
    elif sort in ("score", "-score"):
        place = paging.place(after, float, str)
        order = [score if sort == "score" else score.desc(), _G.c.entity]
        if place is not None:
            further = score > place[0] if sort == "score" else score < place[0]
            wheres.append(sa.or_(further, sa.and_(score == place[0], _G.c.entity > place[1])))
    else:
        raise BadInput(
            f"{sort[:40]!r} is no order", code="sort-unknown", place="sort", hint="one of: score, -score, entity"
        )
    query = sa.select(*columns(_G, Grade), score.label("by")).where(*wheres).order_by(*order).limit(limit + 1)
    rows = connection.execute(query).all()
    items = [to_struct(Grade, row[:-1]) for row in rows[:limit]]
    if len(rows) <= limit:
        return Grades(items, total, "")
    last = rows[limit - 1]
    return Grades(
        items, total, paging.cursor(last.entity) if sort == "entity" else paging.cursor(float(last.by), last.entity)
    )


def _of_check(standing: Standing, check: str, status: str) -> sa.ColumnElement[bool]:
    known = [one.check for one in standing.checks]
    if status and status not in set(Status):
        raise BadInput(f"there is no status {status[:40]!r}", code="status-unknown", hint=", ".join(Status))
    if not check:
        return _G.c[status] > 0
    if check not in known:
        hint = near(check, known) or f"one of: {', '.join(known)}"
        raise BadInput(f"the scorecard asks for no {check[:40]!r}", code="check-unknown", place="check", hint=hint)
    return _G.c.statuses[check].as_string() == (status or Status.FAILED.value)


def teams(connection: sa.Connection, name: str) -> list[Team]:
    """How each owner's entities stand: the leaders first, those of whom nothing is known last."""
    standing = card(connection, name)
    sums = [sa.func.sum(_G.c[count]).label(count) for count in _COUNTS]
    query = sa.select(
        _G.c.owner, _G.c.level, sa.func.count().label("n"), sa.func.sum(_G.c.score), sa.func.count(_G.c.score), *sums
    ).where(_G.c.card == standing.card, shown())
    held: dict[str, list[Any]] = {}
    for row in connection.execute(query.group_by(_G.c.owner, _G.c.level)):
        held.setdefault(row.owner, []).append(row)
    found: list[Team] = []
    for owner, rows in held.items():
        scored = sum(row[4] for row in rows)
        found.append(
            Team(
                owner=owner,
                entities=sum(row.n for row in rows),
                score=round(sum(row[3] or 0.0 for row in rows) / scored, 1) if scored else None,
                passed=sum(row.passed for row in rows),
                failed=sum(row.failed for row in rows),
                unknown=sum(row.unknown for row in rows),
                exempt=sum(row.exempt for row in rows),
                levels={row.level: row.n for row in rows},
            )
        )
    return sorted(found, key=lambda one: (-(one.score if one.score is not None else -1.0), one.owner))


def summaries(connection: sa.Connection, ref: str) -> list[Grade]:
    """How one entity stands on each card, without the verdicts."""
    query = sa.select(*columns(_G, Grade)).where(_G.c.entity == ref, shown()).order_by(_G.c.card)
    return [to_struct(Grade, row) for row in connection.execute(query)]


def of_entity(kernel: Kernel, connection: sa.Connection, ref: str, name: str = "") -> list[Graded]:
    """How one entity stands on each card, or on one, with every verdict. Proofs that one may not see are left out."""
    query = sa.select(*columns(_G, Grade), _G.c.results).where(_G.c.entity == ref, shown()).order_by(_G.c.card)
    if name:
        query = query.where(_G.c.card == name.lower())
    found = [(to_struct(Grade, row[:-1]), msgspec.convert(row[-1], list[Result])) for row in connection.execute(query)]
    seen = sight.current()
    if seen.all:
        return [Graded(grade, results) for grade, results in found]
    keys = {proof.subject or proof.key for _, results in found for one in results for proof in one.proofs}
    allowed = sight.seen_of(kernel, seen, keys)

    def narrowed(one: Result) -> Result:
        proofs = [
            proof
            for proof in one.proofs
            if (seen.sees_account(proof.key.split("/")[1]) if proof.kind == "cell" else _key(proof) in allowed)
        ]
        return msgspec.structs.replace(one, proofs=tuple(proofs))

    return [Graded(grade, [narrowed(one) for one in results]) for grade, results in found]


def _key(proof: Any) -> str:
    return proof.subject or proof.key


def history(
    connection: sa.Connection, name: str, ref: str, *, limit: int = 100, after: str = ""
) -> tuple[list[Day], str]:
    """The days on which it changed how ``ref`` stands on the card, newest first, and where the next page begins."""
    behind = paging.place(after, str)
    visible = _D.c.entity.in_(sa.select(tables.entities.c.ref))
    query = sa.select(_D).where(_D.c.card == name.lower(), _D.c.entity == ref, visible)
    if behind is not None:
        query = query.where(_D.c.day < behind[0])
    rows = connection.execute(query.order_by(_D.c.day.desc()).limit(limit + 1)).all()
    days: list[Day] = []
    for i, row in enumerate(rows[:limit]):
        old = rows[i + 1].statuses if i + 1 < len(rows) else {}
        turned = {
            check: (old.get(check, ""), status) for check, status in row.statuses.items() if old.get(check) != status
        }
        days.append(
            Day(
                day=row.day,
                level=row.level,
                score=row.score,
                passed=row.passed,
                failed=row.failed,
                unknown=row.unknown,
                exempt=row.exempt,
                turned=turned,
            )
        )
    return days, paging.cursor(rows[limit - 1].day) if len(rows) > limit else ""
