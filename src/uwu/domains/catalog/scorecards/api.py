"""Scorecards over HTTP, under ``/api/v1``."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from uwu.domains.catalog.scorecards import cards, judge, store
from uwu.domains.catalog.scorecards.model import Graded
from uwu.domains.catalog.scorecards.store import Day, Grades, Sort, Standing, Team
from uwu.kernel import exemptions, subjects
from uwu.kernel.errors import NotFound
from uwu.kernel.exemptions import Exemption
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}


class CheckText(msgspec.Struct, frozen=True):
    """A check that is shipped: what it asks for, why, and what mends it."""

    check: str
    title: str
    why: str
    remedy: str
    theme: str
    weight: int


class Scorecards(msgspec.Struct, frozen=True):
    """Every scorecard that has been judged, and every check that one can ask for."""

    cards: list[Standing]
    checks: list[CheckText]


class Scorecard(msgspec.Struct, frozen=True):
    """One scorecard, and how each owner's entities stand on it."""

    card: Standing
    teams: list[Team]
    """The leaders first."""


class Days(msgspec.Struct, frozen=True):
    """One page of history, the newest first; ``after`` is empty on the last."""

    items: list[Day]
    after: str


class Exempting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which entity is to be exempt from which check, until when and why."""

    entity: Annotated[str, Meta(min_length=1, max_length=500)]
    check: Annotated[str, Meta(min_length=1, max_length=80)]
    until: Annotated[str, Meta(min_length=1, max_length=40)]
    """A day, which is the last (UTC), or a time in ISO 8601."""
    reason: Annotated[str, Meta(max_length=500)]


@get("/scorecards", sync_to_thread=True, opt=READ)
def list_scorecards(kernel: NamedDependency[Kernel]) -> Scorecards:
    """The scorecards, and every check with why it is asked and what mends it."""
    checks = [CheckText(c.id, c.title, c.why, c.remedy, c.theme, c.weight) for c in cards.CHECKS.values()]
    with kernel.db.read() as connection:
        return Scorecards(store.cards(connection), checks)


@get("/scorecards/{card:str}", sync_to_thread=True, opt=READ)
def get_scorecard(kernel: NamedDependency[Kernel], card: FromPath[str]) -> Scorecard:
    """One scorecard: its levels and checks, and how each owner's entities stand."""
    with kernel.db.read() as connection:
        return Scorecard(store.card(connection, card), store.teams(connection, card))


@get("/scorecards/{card:str}/grades", sync_to_thread=True, opt=READ)
def list_grades(
    kernel: NamedDependency[Kernel],
    card: FromPath[str],
    owner: FromQuery[str] = "",
    level: FromQuery[str | None] = None,
    check: FromQuery[str] = "",
    status: FromQuery[str] = "",
    sort: FromQuery[Sort] = "score",
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Grades:
    """How entities stand on a scorecard, the worst first; those of which nothing is known are the last.

    ``check`` picks those that fail it, or those of which it says ``status`` (passed, failed, unknown, exempt). An empty
    ``level`` is of those that reach none; ``owner`` ``-`` of those that name nobody.
    """
    with kernel.db.read() as connection:
        return store.grades(
            connection,
            card,
            owner=owner,
            level=level,
            check=check,
            status=status,
            sort=sort,
            limit=limit,
            after=after,
        )


@get("/scorecards/{card:str}/history", sync_to_thread=True, opt=READ)
def list_days(
    kernel: NamedDependency[Kernel],
    card: FromPath[str],
    entity: FromQuery[str],
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Days:
    """The days on which an entity's standing turned, the newest first, with what turned."""
    with kernel.db.read() as connection:
        ref = subjects.resolve(connection, entity)
        return Days(*store.history(connection, store.card(connection, card).card, ref, limit=limit, after=after))


@get("/graded", sync_to_thread=True, opt=READ)
def get_graded(kernel: NamedDependency[Kernel], entity: FromQuery[str], card: FromQuery[str] = "") -> list[Graded]:
    """How one entity stands on each scorecard: every verdict in words, since when, and the proofs behind it."""
    with kernel.db.read() as connection:
        ref = subjects.resolve(connection, entity)
        found = store.of_entity(kernel, connection, ref, store.card(connection, card).card if card else "")
    if not found:
        raise NotFound(
            f"no scorecard takes {ref}",
            code="not-graded",
            place="entity",
            hint="uwu catalog score lists what is graded",
        )
    return found


@post("/scorecards/exempt", sync_to_thread=True, opt={"action": exemptions.ACTION})
def exempt_from_check(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Exempting]
) -> Exemption:
    """Exempts an entity from a check until a day; it is judged anew at once.

    ``POST /exemptions/{id}/end`` ends it before its time.
    """
    with kernel.db.read() as connection:
        ref = subjects.resolve(connection, data.entity)
    return judge.exempt(kernel, principal, entity=ref, check=data.check, until=data.until, reason=data.reason)


HANDLERS: tuple[Any, ...] = (
    list_scorecards,
    get_scorecard,
    list_grades,
    list_days,
    get_graded,
    exempt_from_check,
)
