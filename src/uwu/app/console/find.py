"""Search: one endpoint for the page and for the palette. An answer first, then things, then places to go."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from uwu.app.console import links, look, places, saved_views, words
from uwu.app.console.mapping import Names
from uwu.app.console.views import Palette, View
from uwu.kernel import drift, explain, search
from uwu.kernel.identity import ANONYMOUS, Principal
from uwu.kernel.model import Finding
from uwu.kernel.rules import GONE, UNDECLARED
from uwu.kernel.runtime import Kernel
from uwu.kernel.search import Hit

PALETTE_HITS, PAGE_HITS, VIEWS_SHOWN = 8, 60, 6


class Results(View, frozen=True):
    """Groups of lines, each with its heading."""

    text: str
    groups: list[tuple[str, list[Palette]]]
    total: int


def find(kernel: Kernel, text: str, *, palette: bool, principal: Principal = ANONYMOUS) -> Results:
    """What ``text`` finds; without text, what needs attention and where one can go."""
    text = text.strip()[:200]
    groups: list[tuple[str, list[Palette]]] = []
    total = 0
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        if text:
            hits = search.search(connection, text, limit=PALETTE_HITS if palette else PAGE_HITS)
            total = len(hits)
            names.load(hit.key for hit in hits if hit.kind == "resource")
            told = drift.several(connection, [hit.key for hit in hits if hit.kind == "finding"])
            answer = _answer(connection, hits, names)
            if answer is not None:
                groups.append(("Answer", [answer]))
            for kind, title in (("resource", "Resources"), ("finding", "Findings"), ("entity", "Catalog")):
                some = [_hit(hit, told, names) for hit in hits if hit.kind == kind]
                if some:
                    groups.append((title, some))
        elif palette:
            worst = [_finding(f) for f in drift.findings(connection, limit=4).items]
            if worst:
                groups.append(("Needs attention", worst))
        if palette:
            kept = [
                Palette(icon="bookmark", title=view.name, detail=view.path, side=view.group, href=view.path)
                for view in saved_views.of(connection, principal)
                if text.lower() in view.name.lower()
            ][:VIEWS_SHOWN]
            if kept:
                groups.append(("Saved views", kept))
    if palette:
        going = [
            Palette(icon=place.icon, title=place.name, detail="", side="", href=place.href, keys=tuple(place.keys))
            for place in places.standing()
            if text.lower() in place.name.lower()
        ]
        if going:
            groups.append(("Go to", going))
    return Results(text=text, groups=groups, total=total)


def _answer(connection: sa.Connection, hits: list[Hit], names: Names) -> Palette | None:
    """Who changed the first thing found, where a finding knows it: most searches ask just that."""
    for hit in hits[:3]:
        if hit.kind == "finding":
            found = [drift.finding(connection, hit.key)]
        elif hit.kind == "resource":
            found = drift.findings(connection, subject=hit.key, limit=5).items
        else:
            continue
        for finding in found:
            if finding.cause is None:
                continue
            cause = finding.cause
            verb = {GONE: "deleted", UNDECLARED: "created"}.get(finding.rule, f"changed {finding.path} of")
            named = names.subject(finding.subject)
            through = f" through {cause.through}" if cause.through else ""
            account = f" in {names.account(finding.account)}" if finding.account else ""
            return Palette(
                icon="history",
                title=f"{explain.who(cause)} {verb} {named.name}, {words.moment(cause.at)}",
                detail=f"{finding.title}{account}{through}",
                side="",
                href=links.finding(finding.id),
                tall=True,
            )
    return None


def _hit(hit: Hit, told: Mapping[str, Finding], names: Names) -> Palette:
    if hit.kind == "finding":
        return _finding(told[hit.key])
    if hit.kind == "entity":
        return Palette(
            icon=look.entity_icon(hit.detail),
            title=hit.title,
            detail=hit.detail,
            side=words.short_ref(hit.owner),
            href=links.entity(hit.key),
        )
    named = names.subject(hit.key)
    return Palette(
        icon=names.icon(hit.detail),
        title=hit.title or words.short(hit.key),
        detail=names.type(hit.detail),
        side=names.account(named.account) if named.account else "",
        href=links.resource(hit.key),
    )


def _finding(finding: Finding) -> Palette:
    return Palette(
        icon="",
        title=finding.title,
        detail="",
        side=words.age(finding.opened_at),
        href=links.finding(finding.id),
        severity=finding.severity.value,
    )
