"""How entities stand on scorecards: all of them, and one, check by check."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby

import sqlalchemy as sa

from uwu.app import identify
from uwu.app.console import links, words
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, query, redirect, tail
from uwu.app.console.lists import Query, filter_of, href_of
from uwu.app.console.views import Fact, Filter, Part, View
from uwu.domains.catalog.scorecards import cards, judge, store
from uwu.domains.catalog.scorecards.model import PREFIX, Grade, Graded, Proof, Result, Status
from uwu.domains.catalog.scorecards.store import Standing, Team
from uwu.kernel import codec, exemptions, subjects
from uwu.kernel.errors import NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

GRADES_SHOWN, TEAMS_SHOWN, PROOFS_SHOWN, DAYS_SHOWN = 50, 20, 5, 12
_ICONS = {
    Status.PASSED: ("circle-check", "green"),
    Status.FAILED: ("circle-x", "red"),
    Status.UNKNOWN: ("circle-dashed", "amber"),
    Status.EXEMPT: ("circle-off", "ink3"),
}
_STEP, _GAP = 9, 5
"""Pixels from one check to the next, and more from one level to the next."""


class Square(View, frozen=True):
    """A check in the strip of an entity."""

    x: int
    tone: str
    filled: bool
    title: str


class Strip(View, frozen=True):
    """All checks of an entity side by side, in the card's order, with a gap between levels."""

    squares: list[Square]
    width: int
    said: str


class GradeRow(View, frozen=True):
    name: str
    href: str
    owner: str
    strip: Strip
    level: str
    tone: str
    score: str
    """In percent; empty where nothing is known."""


class TeamRow(View, frozen=True):
    name: str
    href: str
    entities: int
    failed: int
    unknown: int
    score: str


class Overview(View, frozen=True):
    card: str
    title: str
    description: str
    say: list[Part]
    filters: list[Filter]
    teams: list[TeamRow]
    more_teams: int
    rows: list[GradeRow]
    total: int
    more: str
    narrowed: bool


class Mark(View, frozen=True):
    """One check of one entity."""

    id: str
    title: str
    icon: str
    tone: str
    text: str
    remedy: str
    """Empty where it is passed."""
    since: datetime
    until: datetime | None
    proofs: list[tuple[str, str]]
    """Words and address."""
    more_proofs: int
    exemption: str
    """The id of what exempts it; empty for none."""


class Day(View, frozen=True):
    day: str
    level: str
    score: str
    turned: list[str]


class Card(View, frozen=True):
    """How an entity stands on one card."""

    name: str
    title: str
    level: str
    tone: str
    score: str
    reachable: str
    """The level, were all that is not known passed; empty where it is the level."""
    levels: list[tuple[str, list[Mark]]]
    days: list[Day]


class EntityView(View, frozen=True):
    ref: str
    title: str
    href: str
    facts: list[Fact]
    cards: list[Card]
    may_exempt: bool
    open: list[tuple[str, str]]
    """Id and title of each check that is not passed."""
    first: str
    usual: str
    most: str


# ---- all entities


def overview(kernel: Kernel, asked: Query) -> Overview | None:
    """One card with whoever stands on it; None where nothing has been judged."""
    with kernel.db.read() as connection:
        known = store.cards(connection)
        if not known:
            return None
        names = {one.card: one.title for one in known}
        name = asked.get("card") or (cards.STANDARD if cards.STANDARD in names else known[0].card)
        card = store.card(connection, name)
        teams = store.teams(connection, card.card)
        page = store.grades(
            connection,
            card.card,
            owner=asked.get("owner", ""),
            level=asked.get("level"),
            check=asked.get("check", ""),
            limit=GRADES_SHOWN,
            after=asked.get("after", ""),
        )
    filters = [
        filter_of(
            links.SCORECARDS, asked, "owner", "owner", [(one.owner or "-", one.entities) for one in teams], _owner
        ),
        filter_of(links.SCORECARDS, asked, "level", "level", _levels(card, teams), lambda level: level or "none"),
        filter_of(links.SCORECARDS, asked, "check", "fails", [(one.check, None) for one in card.checks], _check),
    ]
    if len(known) > 1:
        every = [(one.card, one.entities) for one in known]
        filters.insert(0, filter_of(links.SCORECARDS, asked, "card", "card", every, lambda card: names.get(card, card)))
    return Overview(
        card=card.card,
        title=card.title,
        description=card.description,
        say=_say(card, teams),
        filters=filters,
        teams=[
            TeamRow(
                name=_owner(one.owner),
                href=href_of(links.SCORECARDS, asked, owner=one.owner or "-"),
                entities=one.entities,
                failed=one.failed,
                unknown=one.unknown,
                score=_score(one.score),
            )
            for one in teams[:TEAMS_SHOWN]
        ],
        more_teams=max(len(teams) - TEAMS_SHOWN, 0),
        rows=[_row(one, card) for one in page.items],
        total=page.total,
        more=href_of(links.SCORECARDS, asked, after=page.after) if page.after else "",
        narrowed=any(key in asked for key in ("owner", "level", "check")),
    )


def _owner(owner: str) -> str:
    return words.short_ref(owner) if owner not in ("", "-") else "nobody"


def _check(id: str) -> str:
    return cards.CHECKS[id].title if id in cards.CHECKS else id


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _levels(card: Standing, teams: list[Team]) -> list[tuple[str, int]]:
    return [(level, sum(one.levels.get(level, 0) for one in teams)) for level in ("", *card.levels)]


def _say(card: Standing, teams: list[Team]) -> list[Part]:
    """How many reach what, the highest level that anybody reaches first."""
    counted = dict(_levels(card, teams))
    total = sum(counted.values())
    if not total:
        return [Part(text="No entity is on this scorecard.")]
    reached, best = 0, ""
    for level in reversed(card.levels):
        reached += counted[level]
        if reached:
            best = level
            break
    if not best:
        return [Part(text=f"None of {words.plural(total, 'entity', 'entities')} reaches {card.levels[0]}.")]
    below = {
        level: sum(counted[each] for each in card.levels[rank:])
        for rank, level in enumerate(card.levels)
        if rank < card.levels.index(best)
    }
    parts = [f"{reached} reach {best}" if reached != 1 else f"1 reaches {best}"]
    parts += [f"{count} {level} or better" for level, count in reversed(list(below.items()))]
    return [Part(text=f"Of {words.plural(total, 'entity', 'entities')} {', '.join(parts)}.")]


def _row(grade: Grade, card: Standing) -> GradeRow:
    return GradeRow(
        name=grade.title,
        href=links.scorecard(grade.entity),
        owner=_owner(grade.owner),
        strip=_strip(grade, card),
        level=grade.level or "none",
        tone=_tone(grade.level, card.levels),
        score=_score(grade.score),
    )


def _tone(level: str, levels: list[str]) -> str:
    if not level:
        return "ring ink3"
    return "green" if level == levels[-1] else "amber" if level == levels[0] else "accent"


def _strip(grade: Grade, card: Standing) -> Strip:
    squares: list[Square] = []
    x, level = 0, card.checks[0].level if card.checks else ""
    for one in card.checks:
        if one.level != level:
            x, level = x + _GAP, one.level
        status = grade.statuses.get(one.check, Status.UNKNOWN)
        title = f"{_check(one.check)}: {status}"
        squares.append(Square(x=x, tone=_ICONS[status][1], filled=status is not Status.UNKNOWN, title=title))
        x += _STEP
    counts = (
        ("passed", grade.passed),
        ("failed", grade.failed),
        ("not known", grade.unknown),
        ("exempt", grade.exempt),
    )
    return Strip(squares=squares, width=max(x, 1), said=", ".join(f"{count} {what}" for what, count in counts if count))


# ---- one entity


def of_entity(kernel: Kernel, ref: str, principal: Principal) -> EntityView:
    """How an entity stands on each card. Raises ``NotFound`` where none takes it."""
    with kernel.db.read() as connection:
        ref = subjects.resolve(connection, ref)
        found = store.of_entity(kernel, connection, ref)
        if not found:
            raise NotFound(f"no scorecard takes {ref}", code="not-graded", hint="the catalog tells what it is")
        known = {one.card: one for one in store.cards(connection)}
        days = {one.grade.card: store.history(connection, one.grade.card, ref, limit=DAYS_SHOWN)[0] for one in found}
        (may,) = exemptions.may(kernel, connection, principal, [(ref, "")])
        held = exemptions.holding(connection, codec.now())
    grade = found[0].grade
    today, longest = codec.now().date(), max(kernel.settings.rules.exemption_max_days - 1, 0)
    return EntityView(
        ref=ref,
        title=grade.title,
        href=links.entity(ref),
        facts=[
            Fact(label="Entity", value=words.short_ref(ref), href=links.entity(ref)),
            Fact(label="Kind", value=f"{grade.kind}, {grade.type}" if grade.type else grade.kind),
            Fact(label="Owner", value=_owner(grade.owner), href=links.entity(grade.owner) if grade.owner else ""),
        ],
        cards=[_card(one, known[one.grade.card], days[one.grade.card], held) for one in found],
        may_exempt=may,
        open=sorted(
            {
                one.check: _check(one.check)
                for graded in found
                for one in graded.results
                if one.status in (Status.FAILED, Status.UNKNOWN)
            }.items(),
            key=lambda pair: pair[1],
        ),
        first=today.isoformat(),
        usual=(today + timedelta(days=min(30, longest))).isoformat(),
        most=(today + timedelta(days=longest)).isoformat(),
    )


def _card(graded: Graded, card: Standing, days: list[store.Day], held: exemptions.Exempting) -> Card:
    grade = graded.grade
    return Card(
        name=card.card,
        title=card.title,
        level=grade.level or "none",
        tone=_tone(grade.level, card.levels),
        score=_score(grade.score),
        reachable=grade.reachable if grade.reachable != grade.level else "",
        levels=[
            (level, [_mark(one, grade.entity, held) for one in some])
            for level, some in groupby(graded.results, key=lambda one: one.level)
        ],
        days=[
            Day(
                day=one.day,
                level=one.level or "none",
                score=_score(one.score),
                turned=[f"{_check(id)}: {was} → {now}" for id, (was, now) in sorted(one.turned.items()) if was],
            )
            for one in days
        ],
    )


def _mark(one: Result, entity: str, held: exemptions.Exempting) -> Mark:
    icon, tone = _ICONS[one.status]
    check = cards.CHECKS.get(one.check)
    return Mark(
        id=one.check,
        title=_check(one.check),
        icon=icon,
        tone=tone,
        text=one.text,
        remedy=check.remedy if check is not None and one.status in (Status.FAILED, Status.UNKNOWN) else "",
        since=one.since,
        until=one.until,
        proofs=[(_proof(each), _href(each)) for each in one.proofs[:PROOFS_SHOWN]],
        more_proofs=max(len(one.proofs) - PROOFS_SHOWN, 0),
        exemption=held.of(f"{PREFIX}{one.check}", entity, "") if one.status is Status.EXEMPT else "",
    )


def _proof(proof: Proof) -> str:
    return proof.text or (words.short(proof.key) if proof.kind == "resource" else proof.key)


def _href(proof: Proof) -> str:
    if proof.kind == "cell":
        _, account, _, type = proof.key.split("/", 3)
        return href_of(links.COVERAGE, {}, account=account, type=type)
    by = {"finding": links.finding, "resource": links.resource, "entity": links.entity, "rule": links.rule}
    return by[proof.kind](proof.key)


def fact(connection: sa.Connection, ref: str) -> Fact | None:
    """How an entity stands, in a line; None where no card takes it."""
    found = store.summaries(connection, ref)
    if not found:
        return None
    one = next((grade for grade in found if grade.card == cards.STANDARD), found[0])
    told = f"{one.level or 'no level'}, {_score(one.score)}%" if one.score is not None else one.level or "not known"
    return Fact(label="Scorecard", value=told, href=links.scorecard(ref))


# ---- pages


def show_scorecards(at: Frame, request: Asked) -> Answer:
    view = overview(at.kernel, query(request))
    return at.page(request, "scorecards.html", section=links.SCORECARDS, view=view)


def show_scorecard(at: Frame, request: Asked) -> Answer:
    view = of_entity(at.kernel, tail(request, links.SCORECARDS), identify.principal_of(request))
    return at.page(request, "scorecard.html", section=links.SCORECARDS, view=view)


def exempt(at: Frame, request: Asked, form: Form) -> Answer:
    """Exempts an entity from a check, judges it anew, and goes back to it."""
    made = judge.exempt(
        at.kernel,
        identify.principal_of(request),
        entity=form.get("entity"),
        check=form.get("check"),
        until=form.get("until"),
        reason=form.get("reason"),
    )
    return redirect(links.scorecard(made.subject))


def end(at: Frame, request: Asked, form: Form) -> Answer:
    """Ends an exemption, judges the entity anew, and goes back to it."""
    ended = exemptions.end(at.kernel, identify.principal_of(request), form.get("id"))
    judge.judge(at.kernel, [ended.subject])
    return redirect(links.scorecard(ended.subject))


PAGES = (
    Page(links.SCORECARDS, show_scorecards, "world.read"),
    Page(links.SCORECARDS + "/{key:path}", show_scorecard, "world.read"),
    Act(links.SCORECARDS + "/exempt", exempt, exemptions.ACTION),
    Act(links.SCORECARDS + "/end", end, exemptions.ACTION),
)
