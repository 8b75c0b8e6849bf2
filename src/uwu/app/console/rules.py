"""Rules: what is judged and why, what was found, what could not be judged, and what is exempt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from uwu.app import identify
from uwu.app.console import links, mapping, words
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, query, redirect, tail
from uwu.app.console.lists import href_of
from uwu.app.console.mapping import Names
from uwu.app.console.views import Days, Fact, Filter, Kept, Option, Part, Row, View
from uwu.kernel import codec, drift, exemptions, rulebook
from uwu.kernel.exemptions import Exemption
from uwu.kernel.identity import Principal
from uwu.kernel.model import Finding
from uwu.kernel.rulebook import Standing
from uwu.kernel.rules import THEME
from uwu.kernel.runtime import Kernel

_ACCOUNT = re.compile(r"\d{12}")
FOUND_SHOWN, EXEMPT_SHOWN, LISTED = 20, 50, 200
USUAL_DAYS = 30
"""What the form proposes."""
SHOW = ("open", "not judged", "exempt", "off", "all")


class Line(View, frozen=True):
    """A rule as a line."""

    id: str
    href: str
    title: str
    severity: str
    """The worst of its open findings; its own where it has none."""
    open: int
    exempt: int
    unjudged: int
    blind: bool
    """Nothing that it looks at was observed."""
    enabled: bool


class Group(View, frozen=True):
    title: str
    open: int
    lines: list[Line]


class RulesPage(View, frozen=True):
    """Every rule, by theme."""

    say: list[Part]
    aside: str
    show: Filter
    groups: list[Group]
    kept: list[Kept]
    """Every exemption that holds, where those are asked for; the first to end first."""
    kept_total: int
    total: int
    judged_at: datetime | None


class Unread(View, frozen=True):
    """Why a rule could say nothing of some subjects."""

    why: str
    type: str
    count: int
    subjects: list[tuple[str, str]]
    """(name, address) of some."""


class Exempting(View, frozen=True):
    """What the page of a finding says of its exemption."""

    kept: Kept | None
    """The one that holds; None where it is not exempt."""
    may: bool
    days: Days


class RulePage(View, frozen=True):
    """One rule."""

    id: str
    title: str
    theme: str
    severity: str
    why: str
    remedy: str
    pastes: bool
    """The remedy is a command."""
    facts: list[Fact]
    found: list[Row]
    open: int
    worst: str
    """The severity of its worst open finding; empty where there is none."""
    found_href: str
    exempt_href: str
    unread: list[Unread]
    unjudged: int
    unseen: list[Fact]
    kept: list[Kept]
    exempt: int
    blind: bool
    """Nothing that it looks at was observed."""
    enabled: bool
    judged: bool
    may_exempt: bool
    days: Days
    asked: str
    """A subject for which an exemption is to be made."""


def overview(kernel: Kernel, asked: Mapping[str, str], principal: Principal) -> RulesPage:
    """The rules of a filter, by theme; those with the most severe findings first."""
    with kernel.db.read() as connection:
        rows = rulebook.standing(kernel, connection)
        chosen = asked.get("show", "all")
        chosen = chosen if chosen in SHOW else "all"
        names = Names(kernel, connection)
        held = exemptions.listed(connection, limit=LISTED) if chosen == "exempt" else exemptions.Exemptions([], 0, "")
        exempt = _kept(kernel, principal, held.items, names)
    kept = [row for row in rows if _fits(row, chosen)]
    themes: dict[str, list[Standing]] = {}
    for row in kept:
        themes.setdefault(row.theme or THEME, []).append(row)
    counts = {name: sum(_fits(row, name) for row in rows) for name in SHOW}
    options = [
        Option(label=name, href=href_of(links.RULES, {}, show=name), on=name == chosen, count=counts[name])
        for name in SHOW
    ]
    value = "" if chosen == "all" else chosen
    return RulesPage(
        say=_say(rows),
        aside=f"{words.plural(sum(row.enabled for row in rows), 'rule')} judge after every sync. What a rule asks for "
        "and was not observed it does not judge: that is no pass.",
        show=Filter(key="show", label="show", value=value, clear=links.RULES, options=options),
        groups=[
            Group(title=theme, open=sum(row.open for row in held), lines=[_line(row) for row in held])
            for theme, held in themes.items()
        ],
        kept=exempt,
        kept_total=held.total,
        total=len(rows),
        judged_at=max((row.judged_at for row in rows if row.judged_at is not None), default=None),
    )


def _fits(row: Standing, show: str) -> bool:
    if show == "open":
        return row.open > 0
    if show == "not judged":
        return row.unjudged > 0 or row.blind
    if show == "exempt":
        return row.exempt > 0
    return not row.enabled if show == "off" else True


def _say(rows: list[Standing]) -> list[Part]:
    firing = [row for row in rows if row.open]
    if not any(row.judged_at for row in rows):
        return [Part(text="No rule has judged yet: that begins with the first sync.")]
    if firing:
        said = [
            Part(text=f"{words.plural(len(firing), 'rule')} of {len(rows)} found "),
            Part(text=words.plural(sum(row.open for row in firing), "thing"), kind="link", href=links.FINDINGS),
            Part(text="."),
        ]
    else:
        said = [Part(text=f"None of {len(rows)} rules has found anything.")]
    href = href_of(links.RULES, {}, show="not judged")
    unjudged, blind = sum(row.unjudged for row in rows), sum(row.blind for row in rows)
    if unjudged:
        said += [Part(text=" "), Part(text=f"{unjudged:,} could not be judged.", kind="link", href=href)]
    if blind:
        look = "rule looks" if blind == 1 else "rules look"
        said += [Part(text=" "), Part(text=f"{blind} {look} at what was not observed.", kind="link", href=href)]
    return said


def _line(row: Standing) -> Line:
    return Line(
        id=row.id,
        href=links.rule(row.id),
        title=row.title,
        severity=(row.worst or row.severity).value,
        open=row.open,
        exempt=row.exempt,
        unjudged=row.unjudged,
        blind=row.blind,
        enabled=row.enabled,
    )


def of_rule(kernel: Kernel, id: str, principal: Principal, *, may_exempt: bool, asked: str = "") -> RulePage:
    """One rule with what it found, what it could not judge and what is exempt. Raises ``NotFound``."""
    with kernel.db.read() as connection:
        row = rulebook.standing(kernel, connection, only=id)[0]
        names = Names(kernel, connection)
        page = drift.findings(connection, rule=id, limit=FOUND_SHOWN)
        found = mapping.rows(page.items, names)
        held = exemptions.listed(connection, rule=id, limit=EXEMPT_SHOWN)
        kept = _kept(kernel, principal, held.items, names, id)
    severity = row.severity.value + (f", higher {row.rises}" if row.rises else "")
    facts = [Fact(label="Severity", value=severity)]
    facts += [Fact(label="Also asked by", value=", ".join(row.references))] if row.references else []
    if row.types:
        titles = list(dict.fromkeys(names.type(type) for type in row.types))
        facts.append(Fact(label="Looks at", value=", ".join(titles)))
    if row.subjects is not None:
        facts.append(Fact(label="Resources", value=f"{row.subjects:,}"))
    if row.planner:
        facts.append(Fact(label="Mended by", value=f"the planner {row.planner}"))
    if row.judged_at is not None:
        facts.append(Fact(label="Judged", value=words.moment(row.judged_at)))
    return RulePage(
        id=row.id,
        title=row.title,
        theme=row.theme or THEME,
        severity=row.severity.value,
        why=row.why,
        remedy=row.remedy,
        pastes=mapping.is_command(row.remedy),
        facts=facts,
        found=found,
        open=row.open,
        worst=row.worst.value if row.worst is not None else "",
        found_href=href_of(links.FINDINGS, {}, rule=id),
        exempt_href=href_of(links.FINDINGS, {}, rule=id, status="exempt"),
        unread=[
            Unread(
                why=reason.why,
                type=names.type(reason.type),
                count=reason.count,
                subjects=[(words.short(urn), links.resource(urn)) for urn in reason.subjects],
            )
            for reason in row.reasons
        ],
        unjudged=row.unjudged,
        unseen=[
            Fact(
                label=names.type(one.type),
                value=f"{words.plural(one.cells, 'place')} {one.status}" if one.cells else "never observed",
                href=href_of(links.COVERAGE, {}, type=one.type, status=one.status) if one.cells else "",
                tone="amber",
            )
            for one in row.unseen
        ],
        kept=kept,
        days=_days(kernel),
        exempt=row.exempt,
        blind=row.blind,
        enabled=row.enabled,
        judged=row.judged_at is not None,
        may_exempt=may_exempt,
        asked=asked,
    )


def of_finding(kernel: Kernel, connection: sa.Connection, principal: Principal, found: Finding) -> Exempting:
    """The exemption of a finding, and whether ``principal`` may make or end one."""
    if found.exemption:
        (kept,) = _kept(
            kernel, principal, [exemptions.one(connection, found.exemption)], Names(kernel, connection), found.rule
        )
        return Exempting(kept=kept, may=kept.may_end, days=_days(kernel))
    (may,) = exemptions.may(kernel, connection, principal, [(found.subject, "")])
    return Exempting(kept=None, may=may, days=_days(kernel))


def _days(kernel: Kernel) -> Days:
    today = codec.now().date()
    most = max(kernel.settings.rules.exemption_max_days - 1, 0)
    return Days(
        first=today.isoformat(),
        usual=(today + timedelta(days=min(USUAL_DAYS, most))).isoformat(),
        most=(today + timedelta(days=most)).isoformat(),
    )


def _kept(kernel: Kernel, principal: Principal, held: Sequence[Exemption], names: Names, rule: str = "") -> list[Kept]:
    """Exemptions as ``principal`` sees them, on the page of ``rule``."""
    allowed = exemptions.may(kernel, names.connection, principal, [(one.subject, one.account) for one in held])
    now = codec.now()
    return [
        Kept(
            id=one.id,
            what=words.short(one.subject) if one.subject else f"Everything in {names.account(one.account)}",
            href=links.subject(one.subject) if one.subject else "",
            until=one.until,
            left=words.plural(max(0, (one.until - now).days), "day"),
            reason=one.reason,
            by=words.short_ref(one.made_by),
            pattern="" if one.rule == rule else one.rule,
            account=bool(one.account),
            may_end=may,
        )
        for one, may in zip(held, allowed, strict=True)
    ]


# ---- pages


def show_rules(at: Frame, request: Asked) -> Answer:
    view = overview(at.kernel, query(request), identify.principal_of(request))
    return at.page(request, "rules.html", section=links.RULES, view=view)


def show_rule(at: Frame, request: Asked) -> Answer:
    principal = identify.principal_of(request)
    may = at.may(principal)(exemptions.ACTION)
    subject = query(request).get("subject", "")
    view = of_rule(at.kernel, tail(request, links.RULES), principal, may_exempt=may, asked=subject)
    return at.page(request, "rule.html", section=links.RULES, view=view)


def exempt(at: Frame, request: Asked, form: Form) -> Answer:
    """Exempts what the form names from its rule, and goes back to where the form was."""
    rule, what = form.get("rule"), form.get("subject").strip()
    named = {"account": what} if _ACCOUNT.fullmatch(what) else {"subject": what}
    exemptions.exempt(
        at.kernel,
        identify.principal_of(request),
        rule=rule,
        until=exemptions.until(form.get("until")),
        reason=form.get("reason"),
        **named,
    )
    return redirect(links.same_site_path(form.get("next")) if form.get("next") else links.rule(rule))


def end(at: Frame, request: Asked, form: Form) -> Answer:
    """Ends an exemption, and goes back to where the form was."""
    ended = exemptions.end(at.kernel, identify.principal_of(request), form.get("id"))
    return redirect(links.same_site_path(form.get("next")) if form.get("next") else links.rule(ended.rule))


PAGES = (
    Page(links.RULES, show_rules),
    Act(links.RULES + "/exempt", exempt, exemptions.ACTION),
    Act(links.RULES + "/end", end, exemptions.ACTION),
    Page(links.RULES + "/{key:path}", show_rule),
)
