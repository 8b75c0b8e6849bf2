"""Entropy: the number of a scope in a sentence, its thirty days, what it is made of, and every other scope."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from uwu.app.console import links, spark, words
from uwu.app.console.export import Column, Table, exported, wanted
from uwu.app.console.frame import Answer, Asked, Frame, Page, query
from uwu.app.console.lists import Query, href_of
from uwu.app.console.mapping import Names
from uwu.app.console.spark import Chart, Spark
from uwu.app.console.views import Fact, Part, View
from uwu.kernel import entropy
from uwu.kernel.entropy import Day, Parts, Score, Share
from uwu.kernel.errors import NotFound
from uwu.kernel.model import Entity
from uwu.kernel.runtime import Kernel

SCOPES_SHOWN = 8
ROWS_SHOWN, HEAVIEST = 50, 10
TITLES = {"domain": "By domain", "service": "By service", "owner": "By team", "account": "By account"}
KERNEL = "drift"
"""The domain of the kernel's own rules."""
FILTERS = {"domain": "domain", "owner": "owner", "account": "account"}
"""Scopes that the list of findings filters by."""


class ScopeLine(View, frozen=True):
    """A scope in a list."""

    label: str
    href: str
    entropy: float
    findings: int
    subjects: int
    stale: int
    spark: Spark | None


class ScopeGroup(View, frozen=True):
    """The scopes of a sort, the worst first; ``more`` leads to all of them."""

    title: str
    lines: list[ScopeLine]
    total: int
    more: str


class ShareLine(View, frozen=True):
    """A finding, or a part that was not seen, with what it adds."""

    href: str
    title: str
    severity: str
    unseen: bool
    stale: bool
    owner: str
    owner_href: str
    account_name: str
    since: datetime | None
    share: str
    width: float
    """Of the heaviest row, 0 to 100: the length of its bar."""


class EntropyPage(View, frozen=True):
    say: list[Part]
    aside: list[Part]
    title: str
    whole: bool
    """The page of everything; else of one scope."""
    chart: Chart | None
    groups: list[ScopeGroup]
    rows: list[ShareLine]
    rows_total: int
    rows_href: str
    exact: str
    entropy: str
    capped: bool
    more: str
    measured_at: datetime | None
    subject: str
    """The page of what the scope is; empty for none."""
    empty: bool


def page(kernel: Kernel, asked: Query) -> EntropyPage:
    """The page of the scope that ``asked`` names; of everything where it names none. Raises ``NotFound``."""
    scope, key = asked.get("scope") or "all", asked.get("key", "")
    chosen = "scope" in asked
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        scores = entropy.scores(connection)
        if not scores:
            return _nothing()
        score = next((s for s in scores if (s.scope, s.key) == (scope, key)), None)
        days = entropy.series(connection, scope, [key]).get(key, [])
        limit = ROWS_SHOWN if chosen else HEAVIEST
        parts = _parts(connection, scope, key, limit, asked.get("after", ""))
        groups = _groups(connection, scores, names, asked.get("by", "")) if not chosen else []
    if score is None and parts is None and chosen:
        raise NotFound(
            "nothing belongs to this scope", code="scope-empty", hint="the page of entropy lists every scope"
        )
    name, rows = _name(scope, key, names), links.entropy(scope, key)
    return EntropyPage(
        say=_say(score, parts, days, name, rows),
        aside=_aside(score, scope, key),
        title=name,
        whole=not chosen,
        chart=spark.chart(days),
        groups=groups,
        rows=_rows(parts, names) if parts is not None else [],
        rows_total=parts.total if parts is not None else 0,
        rows_href=rows,
        exact=f"{parts.exact:.4f}" if parts is not None else "",
        entropy=f"{parts.entropy:.2f}" if parts is not None else "",
        capped=parts.capped if parts is not None else False,
        more=href_of(links.ENTROPY, asked, after=parts.after) if parts is not None and parts.after and chosen else "",
        measured_at=score.measured_at if score is not None else None,
        subject=links.entity(key) if scope in ("owner", "service") and key else "",
        empty=False,
    )


def _nothing() -> EntropyPage:
    return EntropyPage(
        say=[], aside=[], title="", whole=True, chart=None, groups=[], rows=[], rows_total=0, rows_href="", exact="",
        entropy="", capped=False, more="", measured_at=None, subject="", empty=True,
    )  # fmt: skip


def _parts(connection: sa.Connection, scope: str, key: str, limit: int, after: str) -> Parts | None:
    try:
        return entropy.rows(connection, scope, key, limit=limit, after=after)
    except NotFound:
        return None


def _name(scope: str, key: str, names: Names) -> str:
    if scope == "all":
        return "Everything"
    if scope == "account":
        return names.account(key) if key else "no account"
    if scope == "domain" and key == KERNEL:
        return "Drift and ownership"
    if scope == "domain":
        found = names.kernel.domain(key)
        return found.title if found is not None else key
    return words.short_ref(key) or "nobody"


def _say(score: Score | None, parts: Parts | None, days: Sequence[Day], name: str, href: str) -> list[Part]:
    value = score.entropy if score is not None else parts.entropy if parts is not None else 0.0
    subject = f"{name} is" if name != "nobody" else "What nobody owns is"
    if not value:
        return [Part(text=f"{subject} as declared.")]
    away = Part(text=f"{value:.1f} of 100", kind="link", href=href)
    said = [Part(text=f"{subject} "), away, Part(text=" away from declared")]
    gained = spark.change(days)
    if gained is None:
        return [*said, Part(text=".")]
    points, since = gained
    if abs(points) < 0.05:
        return [*said, Part(text=f", as on {_day(since)}.")]
    return [*said, Part(text=f", {abs(points):.1f} {'more' if points > 0 else 'less'} than on {_day(since)}.")]


def _day(day: str) -> str:
    at = datetime.fromisoformat(day)
    return f"{at.day} {at:%B}"


def _aside(score: Score | None, scope: str, key: str) -> list[Part]:
    """What it counts; every number leads to its rows."""
    if score is None:
        return []
    asked = {FILTERS[scope]: key} if scope in FILTERS else {}
    findings = links.with_query(links.FINDINGS, asked)
    if scope == "service":
        findings = links.entropy(scope, key)
    said = [
        Part(text=words.plural(score.findings, "finding"), kind="link", href=findings),
        Part(text=f" over {words.plural(score.subjects, 'subject')} of the last 30 days"),
    ]
    if score.stale:
        stale = links.with_query(links.FINDINGS, {**asked, "status": "stale"})
        said += [Part(text="; "), Part(text=f"{score.stale:,} stale", kind="link", href=stale)]
    if score.unowned:
        unowned = links.with_query(links.RESOURCES, {"owner": "", **({"account": key} if scope == "account" else {})})
        said += [Part(text="; "), Part(text=f"{score.unowned:,} without an owner", kind="link", href=unowned)]
    if score.unseen:
        said += [
            Part(text="; "),
            Part(text=f"{words.plural(score.unseen, 'place')} not seen completely", kind="link", href=links.COVERAGE),
        ]
    return [*said, Part(text=".")]


def _groups(connection: sa.Connection, scores: Sequence[Score], names: Names, by: str) -> list[ScopeGroup]:
    groups: list[ScopeGroup] = []
    for scope, title in TITLES.items():
        held = [
            s for s in scores if s.scope == scope and (s.findings or s.unseen or s.subjects) and (s.key or s.findings)
        ]
        shown = held if by == scope else held[:SCOPES_SHOWN]
        series = entropy.series(connection, scope, [s.key for s in shown])
        lines = [
            ScopeLine(
                label=_name(scope, s.key, names),
                href=links.entropy(scope, s.key),
                entropy=s.entropy,
                findings=s.findings,
                subjects=s.subjects,
                stale=s.stale,
                spark=spark.spark(series.get(s.key, [])),
            )
            for s in shown
        ]
        if lines:
            more = links.with_query(links.ENTROPY, {"by": scope}) if len(held) > len(shown) else ""
            groups.append(ScopeGroup(title=title, lines=lines, total=len(held), more=more))
    return groups


def _rows(parts: Parts, names: Names) -> list[ShareLine]:
    most = max((row.share for row in parts.items), default=0.0)
    return [_row(row, names, most) for row in parts.items]


def _row(row: Share, names: Names, most: float) -> ShareLine:
    found = row.finding
    if found is None:
        _, account, region, type = [*row.id.split("/", 3), "", "", "", ""][:4]
        where = " ".join(filter(None, (names.type(type), "in", region or "no region")))
        return ShareLine(
            href=links.with_query(links.COVERAGE, {"account": account}),
            title=f"{where} was not observed completely",
            severity="low",
            unseen=True,
            stale=False,
            owner="",
            owner_href="",
            account_name=names.account(account) if account else "",
            since=row.since,
            share=_share(row.share),
            width=100 * row.share / most if most else 0.0,
        )
    return ShareLine(
        href=links.finding(found.id),
        title=found.title,
        severity=found.severity.value,
        unseen=False,
        stale=found.status.value == "stale",
        owner=words.short_ref(found.owner),
        owner_href=links.entity(found.owner) if found.owner else "",
        account_name=names.account(found.account) if found.account else "",
        since=row.since,
        share=_share(row.share),
        width=100 * row.share / most if most else 0.0,
    )


def _share(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def fact(connection: sa.Connection, entity: Entity) -> Fact | None:
    """The entropy of an entity that is a scope of its own (a group, a component, a system, an account)."""
    kind = entity.kind.lower()
    scope = {"group": "owner", "component": "service", "system": "service", "account": "account"}.get(kind, "")
    key = str(entity.spec.get("accountId") or "") if kind == "account" else entity.ref
    if not scope or not key:
        return None
    score = next((s for s in entropy.latest(connection, scope, key)), None)
    return score and Fact(label="Entropy", value=f"{score.entropy:.1f}", href=links.entropy(scope, key))


# ---- export

SCORES = tuple(
    Column(name)
    for name in (
        "scope",
        "key",
        "entropy",
        "findings",
        "stale",
        "unowned",
        "unseen",
        "subjects",
        "weight",
        "measured_at",
    )
)
ROWS = (
    Column("kind"),
    Column("id"),
    Column("share"),
    Column("weight"),
    Column("severity"),
    Column("title"),
    Column("subject", lambda row: row.finding.subject if row.finding is not None else ""),
    Column("owner", lambda row: row.finding.owner if row.finding is not None else ""),
    Column("account", lambda row: row.finding.account if row.finding is not None else ""),
    Column("since"),
)


def table(kernel: Kernel, asked: Query) -> Table:
    """Every scope, or every row of the scope that is asked for. Raises ``NotFound``."""
    if "scope" not in asked:
        with kernel.db.read() as connection:
            scores = entropy.scores(connection)
        return Table("entropy", SCORES, iter([scores]), len(scores))
    scope, key = asked["scope"], asked.get("key", "")
    with kernel.db.read() as connection:
        first = entropy.rows(connection, scope, key, limit=500)

    def pages() -> Iterator[Sequence[Any]]:
        given = first
        yield given.items
        while given.after:
            with kernel.db.read() as connection:
                given = entropy.rows(connection, scope, key, limit=500, after=given.after)
            yield given.items

    return Table("entropy-rows", ROWS, pages(), first.total)


# ---- route


def show(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    if wanted(asked):
        return exported(at.kernel, asked, table(at.kernel, asked))
    return at.page(request, "entropy.html", section=links.ENTROPY, view=page(at.kernel, asked))


PAGES = (Page(links.ENTROPY, show),)
