"""The home page: what needs attention, what changed, how far from declared, how fresh it all is."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from uwu.app.console import links, mapping, spark, words
from uwu.app.console.mapping import Names
from uwu.app.console.views import Did, Meter, Part, Row, Source, Syncing, View
from uwu.kernel import codec, domain, drift, entropy, ownership, search_index, tables
from uwu.kernel.entropy import Score
from uwu.kernel.model import Severity
from uwu.kernel.rules import ATTRIBUTE, GONE, UNDECLARED, UNOWNED
from uwu.kernel.runtime import Kernel

NEEDS_SHOWN, CHANGES_SHOWN, SCOPES_SHOWN = 7, 8, 6
CHANGES_READ = 1000
"""Changes of one day that are looked at: enough to tell people from automation."""
_NOT_AS_DECLARED = frozenset({ATTRIBUTE, GONE, UNDECLARED})

log = logging.getLogger("uwu.console")


class Home(View, frozen=True):
    """Everything on the home page."""

    say: list[Part]
    needs: list[Row]
    needs_total: int
    changed: list[Did]
    people: int
    automation: int
    events_until: datetime | None
    overall: Score | None
    scopes: list[tuple[str, list[Meter]]]
    sources: list[Source]
    accounts: int
    resources: int
    owned: tuple[int, int]
    incomplete: int
    syncing: Syncing | None


def home(kernel: Kernel) -> Home:
    """Reads it all; a source that fails costs only its line."""
    at = codec.now()
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        found = drift.findings(connection, limit=NEEDS_SHOWN)
        needs = mapping.rows(found.items, names)
        counts = drift.counts(connection)
        rules = _rules(connection)
        owned = ownership.share_owned(connection)
        c, r = tables.coverage, tables.resources
        incomplete = connection.execute(
            sa.select(sa.func.count()).select_from(c).where(c.c.status != "complete")
        ).scalar_one()
        accounts = len(connection.scalars(sa.select(c.c.account).where(c.c.account != "").distinct()).all())
        resources = connection.execute(sa.select(sa.func.count()).select_from(r)).scalar_one()
        scores = entropy.scores(connection)
        scopes = _scopes(connection, scores, names)
        running = syncing(connection)
    change_log = kernel.change_log
    lately = change_log.recent(since=at - timedelta(hours=24), limit=CHANGES_READ) if change_log is not None else []
    recent = [c for c in lately if mapping.is_change(c)]
    by_people = [c for c in recent if c.actor.kind == "human"]
    with kernel.db.read() as connection:
        changed = mapping.changes(by_people, names.on(connection), CHANGES_SHOWN)
    people = len({c.event_id for c in by_people})
    return Home(
        say=_say(counts, rules, resources),
        needs=needs,
        needs_total=found.total,
        changed=changed,
        people=people,
        automation=len({c.event_id for c in recent}) - people,
        events_until=change_log.as_of() if change_log is not None else None,
        overall=next((s for s in scores if s.scope == "all"), None),
        scopes=scopes,
        sources=_sources(kernel),
        accounts=accounts,
        resources=resources,
        owned=owned,
        incomplete=incomplete,
        syncing=running,
    )


def _rules(connection: sa.Connection) -> set[str]:
    f = tables.findings
    return set(connection.scalars(sa.select(f.c.rule).distinct().where(search_index.UNRESOLVED)))


def _say(counts: dict[str, int], rules: set[str], resources: int) -> list[Part]:
    """One sentence; every number in it leads to its rows."""
    total = sum(counts.values())
    if not total:
        link = Part(text=words.plural(resources, "resource"), kind="link", href=links.RESOURCES)
        return [Part(text="Everything is as declared and owned: "), link, Part(text=" observed.")]
    things = Part(text=words.plural(total, "thing"), kind="link", href=links.FINDINGS)
    be = "is" if total == 1 else "are"
    if rules <= _NOT_AS_DECLARED:
        what = f" {be} not as declared"
    elif rules <= _NOT_AS_DECLARED | {UNOWNED}:
        what = f" {be} not as declared, or not owned"
    else:
        what = f" {be} not as they should be" if total > 1 else " is not as it should be"
    worst = next(s for s in Severity if counts[s.value])
    number = counts[worst.value]
    href = links.with_query(links.FINDINGS, {"severity": worst.value})
    level = worst.value if worst is Severity.CRITICAL else f"of {worst.value} severity"
    of_them = Part(text=f"{number:,} {'is' if number == 1 else 'are'} {level}", kind="link", href=href)
    return [things, Part(text=f"{what}; "), of_them, Part(text=".")]


def _scopes(connection: sa.Connection, scores: list[Score], names: Names) -> list[tuple[str, list[Meter]]]:
    """Entropy by team and by account: the worst first."""
    out: list[tuple[str, list[Meter]]] = []
    for scope, title in (("owner", "By team"), ("account", "By account")):
        held = [s for s in scores if s.scope == scope and s.subjects and (s.key or s.findings)][:SCOPES_SHOWN]
        most = max((s.entropy for s in held), default=0.0)
        days = entropy.series(connection, scope, [s.key for s in held])
        meters = [
            Meter(
                label=(words.short_ref(s.key) or "nobody")
                if scope == "owner"
                else names.account(s.key) or "no account",
                href=links.entropy(scope, s.key),
                value=s.entropy,
                findings=s.findings,
                share=100 * s.entropy / most if most else 0,
                spark=spark.spark(days.get(s.key, [])),
            )
            for s in held
        ]
        if meters:
            out.append((title, meters))
    return out


def _sources(kernel: Kernel) -> list[Source]:
    out: list[Source] = []
    for each in kernel.domains:
        if not each.health:
            continue
        try:
            told = domain.load(each.health)(kernel)
        except Exception:  # one source that cannot be asked must not cost the page
            log.exception("the health of %s is not known", each.name)
            out.append(Source(name=each.title, status="failed", at=None, detail="it could not be asked"))
            continue
        out += [Source(name=s.name, status=s.status, at=s.at, detail=s.detail) for s in told]
    return out


def syncing(connection: sa.Connection) -> Syncing | None:
    """The last sync: under way, or how it ended. None where there was none."""
    j = tables.jobs
    row = connection.execute(sa.select(j).where(j.c.name == "sync").order_by(j.c.created_at.desc()).limit(1)).first()
    if row is None:
        return None
    stage, done, total = row.stage, row.done, row.total
    if row.status == "running":
        parents = [row.id]
        for _ in range(3):
            children = connection.execute(
                sa.select(j.c.id, j.c.name, j.c.done, j.c.total).where(j.c.parent.in_(parents), j.c.status == "running")
            ).all()
            counted = next((c for c in children if c.total > 1), None)
            if counted is not None:
                stage, done, total = counted.name, counted.done, counted.total
                break
            parents = [c.id for c in children]
            if not parents:
                break
    problem: Any = row.problem or {}
    return Syncing(
        id=row.id,
        status=row.status,
        stage=stage,
        done=done,
        total=total,
        started_at=row.started_at,
        finished_at=row.finished_at,
        message=str(problem.get("message", "")),
        hint=str(problem.get("hint", "")),
    )


def empty(view: Home) -> bool:
    """Nothing was ever observed: the page says what to do first."""
    return view.resources == 0 and view.needs_total == 0
