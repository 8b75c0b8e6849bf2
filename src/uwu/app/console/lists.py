"""The pages that list: findings, resources, changes, coverage, catalog. A filter is one query parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from uwu.app.console import links, mapping, words
from uwu.app.console.mapping import Names
from uwu.app.console.views import Did, Filter, Option, Row, View
from uwu.kernel import codec, drift, graph, tables
from uwu.kernel.graph import Covered, Observed
from uwu.kernel.model import FindingStatus, Severity
from uwu.kernel.runtime import Kernel

FINDINGS_SHOWN, RESOURCES_SHOWN, OPTIONS_SHOWN = 100, 50, 40
CHANGES_READ, CHANGES_SHOWN = 2000, 200
GROUPS = ("rule", "severity", "owner", "account", "none")
NOBODY = "nobody"

Query = Mapping[str, str]
Label = Callable[[str], str]
Counted = Sequence[tuple[str, int]] | Sequence[tuple[str, None]]
"""Values of a filter, with how many rows each would leave where that is counted."""


def _href(path: str, query: Query, **changes: str | None) -> str:
    held = {k: v for k, v in query.items() if k != "after"} | changes
    return links.with_query(path, {k: v for k, v in held.items() if v is not None})


def filter_of(
    path: str,
    query: Query,
    key: str,
    label: str,
    values: Sequence[tuple[str, int]] | Sequence[tuple[str, None]],
    name: Label,
) -> Filter:
    """The filter ``key`` of the page ``path`` with the addresses that set and clear it."""
    value = query.get(key)
    options = [
        Option(label=name(v), href=_href(path, query, **{key: v}), count=n, on=v == value)
        for v, n in values[:OPTIONS_SHOWN]
    ]
    shown = name(value) if value is not None else ""
    return Filter(key=key, label=label, value=shown, clear=_href(path, query, **{key: None}), options=options)


# ---- findings


class FindingsPage(View, frozen=True):
    filters: list[Filter]
    groups: list[tuple[str, list[Row]]]
    group_by: Filter
    total: int
    shown: int
    more: str
    filtered: bool
    text: str


def findings(kernel: Kernel, query: Query) -> FindingsPage:
    """Findings by the filters of ``query``, grouped. Most severe first within a group."""
    held = {k: query[k] for k in ("severity", "rule", "account", "type", "actor") if query.get(k)}
    owner = query.get("owner")
    status = query.get("status") or "unresolved"
    rules = mapping.rule_titles(kernel)
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        page = drift.findings(
            connection,
            status=status if status in {s.value for s in FindingStatus} | {"all"} else "unresolved",
            owner=owner,
            text=query.get("q", ""),
            limit=FINDINGS_SHOWN,
            after=query.get("after", ""),
            **held,
        )
        rows = mapping.rows(page.items, names)
        conditions = {**held, **({"owner": owner} if owner is not None else {})}
        by = _FindingFacets(connection, status, conditions)
        titles: dict[str, Label] = {
            "severity": str,
            "rule": lambda v: rules.get(v, v),
            "owner": lambda v: words.short_ref(v) or NOBODY,
            "account": names.account,
            "type": names.type,
            "actor": lambda v: words.handle(v) or "not known",
        }
        labels = {"rule": "rule", "severity": "severity", "owner": "owner", "account": "account"}
        labels |= {"type": "type", "actor": "changed by"}
        filters = [filter_of(links.FINDINGS, query, k, labels[k], by.values(k), titles[k]) for k in labels]
    statuses = [(s, None) for s in ("open", "stale", "closed", "all")]
    filters.append(filter_of(links.FINDINGS, query, "status", "status", statuses, str))
    grouping = query.get("group", "rule")
    grouping = grouping if grouping in GROUPS else "rule"
    options = [Option(label=g, href=_href(links.FINDINGS, query, group=g), on=g == grouping) for g in GROUPS]
    return FindingsPage(
        filters=filters,
        groups=_grouped(rows, grouping, rules),
        group_by=Filter(key="group", label="Group by", value=grouping, options=options),
        total=page.total,
        shown=len(rows),
        more=_href(links.FINDINGS, query, after=page.after) if page.after else "",
        filtered=bool(held or owner is not None or query.get("q") or query.get("status")),
        text=query.get("q", ""),
    )


def _grouped(rows: list[Row], grouping: str, rules: Mapping[str, str]) -> list[tuple[str, list[Row]]]:
    if grouping == "none":
        return [("", rows)] if rows else []
    titles: dict[str, Callable[[Row], str]] = {
        "rule": lambda r: rules.get(r.rule, r.rule),
        "severity": lambda r: r.severity,
        "owner": lambda r: r.owner or NOBODY,
        "account": lambda r: r.account_name or "no account",
    }
    title = titles[grouping]
    order = list(dict.fromkeys(title(r) for r in rows))
    ranked = sorted(rows, key=lambda r: order.index(title(r)))
    return [(key, list(some)) for key, some in groupby(ranked, key=title)]


class _FindingFacets:
    """How many findings each value of a filter would leave, the other filters kept."""

    def __init__(self, connection: sa.Connection, status: str, conditions: Mapping[str, str]) -> None:
        self.connection = connection
        self.status = status
        self.conditions = conditions

    def values(self, key: str) -> list[tuple[str, int]]:
        f = tables.findings
        query = sa.select(f.c[key], sa.func.count()).group_by(f.c[key])
        if self.status == "unresolved":
            query = query.where(f.c.status != FindingStatus.CLOSED.value)
        elif self.status != "all":
            query = query.where(f.c.status == self.status)
        for other, value in self.conditions.items():
            if other != key:
                query = query.where(f.c[other] == value)
        found = [(row[0], row[1]) for row in self.connection.execute(query)]
        if key == "severity":
            rank = [s.value for s in Severity]
            return sorted(found, key=lambda v: rank.index(v[0]))
        return sorted(found, key=lambda v: (-v[1], v[0]))


# ---- resources


class Listed(View, frozen=True):
    resource: Observed
    href: str
    name: str
    icon: str
    type_title: str
    account_name: str
    owner: str
    owner_href: str
    findings: int
    severity: str


class ResourcesPage(View, frozen=True):
    filters: list[Filter]
    items: list[Listed]
    total: int
    more: str
    filtered: bool
    text: str


def resources(kernel: Kernel, query: Query) -> ResourcesPage:
    """Resources by the filters of ``query``, by name."""
    held = {k: query[k] for k in ("type", "account", "region") if query.get(k)}
    owner = query.get("owner")
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        page = graph.find(
            connection,
            owner=owner,
            text=query.get("q", ""),
            limit=RESOURCES_SHOWN,
            after=query.get("after", ""),
            **held,
        )
        conditions = {**held, **({"owner": owner} if owner is not None else {})}
        titles: dict[str, tuple[str, Label]] = {
            "type": ("type", names.type),
            "account": ("account", names.account),
            "region": ("region", lambda v: v or "global"),
            "owner": ("owner", lambda v: words.short_ref(v) or NOBODY),
        }
        filters = [
            filter_of(links.RESOURCES, query, key, label, _resource_facet(connection, key, conditions), name)
            for key, (label, name) in titles.items()
        ]
        items = listed(connection, page.items, names)
    return ResourcesPage(
        filters=filters,
        items=items,
        total=page.total,
        more=_href(links.RESOURCES, query, after=page.after) if page.after else "",
        filtered=bool(conditions or query.get("q")),
        text=query.get("q", ""),
    )


def listed(connection: sa.Connection, found: Sequence[Observed], names: Names) -> list[Listed]:
    """Resources as lines, each with its unresolved findings."""
    f = tables.findings
    urns = [one.urn for one in found]
    query = sa.select(f.c.subject, f.c.severity).where(f.c.subject.in_(urns), f.c.status != FindingStatus.CLOSED.value)
    severities: dict[str, list[str]] = {}
    for row in connection.execute(query):
        severities.setdefault(row.subject, []).append(row.severity)
    rank = [s.value for s in Severity]
    return [
        Listed(
            resource=one,
            href=links.resource(one.urn),
            name=one.name or words.short(one.urn),
            icon=names.icon(one.type),
            type_title=names.type(one.type),
            account_name=names.account(one.account) if one.account else "",
            owner=words.short_ref(one.owner),
            owner_href=mapping.owner_href(one.owner),
            findings=len(severities.get(one.urn, [])),
            severity=min(severities.get(one.urn, [""]), key=lambda s: rank.index(s) if s else 9),
        )
        for one in found
    ]


def _resource_facet(connection: sa.Connection, key: str, conditions: Mapping[str, str]) -> list[tuple[str, int]]:
    r, o = tables.resources, tables.ownership
    owner = sa.func.coalesce(o.c.owner, "")
    columns: dict[str, sa.ColumnElement[Any]] = {"type": r.c.type, "account": r.c.account, "region": r.c.region}
    columns["owner"] = owner
    query = sa.select(columns[key], sa.func.count()).select_from(r.outerjoin(o, o.c.subject == r.c.urn))
    for other, value in conditions.items():
        if other != key:
            query = query.where(columns[other] == value)
    return sorted(
        ((row[0], row[1]) for row in connection.execute(query.group_by(columns[key]))), key=lambda v: (-v[1], v[0])
    )


# ---- changes

DAYS = {"1": "last 24 h", "7": "last 7 days", "30": "last 30 days", "90": "last 90 days"}
WHO = {"people": "people", "automation": "automation", "all": "everyone"}


class ChangesPage(View, frozen=True):
    filters: list[Filter]
    days: list[tuple[str, list[Did]]]
    people: int
    automation: int
    automation_href: str
    total: int
    cut: bool
    known: bool
    """A domain tells who changed what."""
    until: datetime | None
    subject: str
    subject_name: str
    span: str


def changes(kernel: Kernel, query: Query) -> ChangesPage:
    """Who changed what, by day, newest first; people unless automation is asked for."""
    log = kernel.change_log
    days = query.get("days", "7")
    days = days if days in DAYS else "7"
    subject, actor = query.get("subject", ""), query.get("actor")
    since = codec.now() - timedelta(days=int(days))
    if log is None:
        found = []
    elif subject:
        found = log.changes([subject], since=since, limit=CHANGES_READ)
    else:
        found = log.recent(since=since, limit=CHANGES_READ)
    read = len(found)
    found = [c for c in found if mapping.is_change(c)]
    events = {c.event_id: c for c in found}
    people = sum(c.actor.kind == "human" for c in events.values())
    whom = query.get("who") or ("all" if subject or actor is not None else "people")
    whom = whom if whom in WHO else "people"
    actors: dict[str, int] = {}
    for change in events.values():
        if whom == "all" or (change.actor.kind == "human") == (whom == "people"):
            actors[change.actor.name] = actors.get(change.actor.name, 0) + 1
    chosen = [
        c
        for c in found
        if (whom == "all" or (c.actor.kind == "human") == (whom == "people"))
        and (actor is None or c.actor.name == actor)
    ]
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        rows = mapping.changes(chosen, names)
        subject_name = names.subject(subject).name if subject else ""
    ranked: list[tuple[str, int]] = [(a, n) for a, n in sorted(actors.items(), key=lambda v: (-v[1], v[0]))]
    path = links.CHANGES
    filters = [
        filter_of(path, query, "who", "who", [(w, None) for w in WHO], WHO.__getitem__ if whom in WHO else str),
        filter_of(path, query, "actor", "by", ranked, lambda v: words.handle(v) or "not known"),
        filter_of(path, query, "days", "when", [(d, None) for d in DAYS], lambda v: DAYS.get(v, DAYS["7"])),
    ]
    shown = rows[:CHANGES_SHOWN]
    return ChangesPage(
        filters=filters,
        days=[(day, list(some)) for day, some in groupby(shown, key=lambda r: words.day(r.at))],
        people=people,
        automation=len(events) - people,
        automation_href=_href(path, query, who="all") if whom == "people" else "",
        total=len(rows),
        cut=len(rows) > CHANGES_SHOWN or read >= CHANGES_READ,
        known=log is not None,
        until=log.as_of() if log is not None else None,
        subject=subject,
        subject_name=subject_name,
        span=DAYS[days],
    )


# ---- coverage


class CoveragePage(View, frozen=True):
    filters: list[Filter]
    types: dict[str, str]
    """Type -> its title."""
    groups: list[tuple[str, list[Covered]]]
    total: int
    complete: int
    shown: int
    filtered: bool


def coverage(kernel: Kernel, query: Query) -> CoveragePage:
    """The cells that are not complete, by account; all of them where a status or type is asked for."""
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        every = graph.coverage(connection)
    held = {k: query[k] for k in ("status", "account", "type") if query.get(k)}
    cells = [c for c in every if all(getattr(c, k) == v for k, v in held.items())]
    if not held:
        cells = [c for c in cells if c.status != "complete"]
    filters: list[Filter] = []
    for key, name in (("status", str), ("account", names.account), ("type", names.type)):
        counts: dict[str, int] = {}
        for cell in every:
            if all(getattr(cell, k) == v for k, v in held.items() if k != key):
                value = str(getattr(cell, key))
                counts[value] = counts.get(value, 0) + 1
        ranked: list[tuple[str, int]] = [(v, n) for v, n in sorted(counts.items(), key=lambda v: (-v[1], v[0]))]
        filters.append(filter_of(links.COVERAGE, query, key, key, ranked, name))
    cells.sort(key=lambda c: (names.account(c.account), names.type(c.type), c.region))
    groups = [(account, list(some)) for account, some in groupby(cells, key=lambda c: names.account(c.account))]
    return CoveragePage(
        filters=filters,
        types={c.type: names.type(c.type) for c in cells},
        groups=groups,
        total=len(every),
        complete=sum(c.status == "complete" for c in every),
        shown=len(cells),
        filtered=bool(held),
    )
