"""The pages that list: findings, resources, changes. A filter is one query parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, cast

import msgspec
import sqlalchemy as sa

from uwu.app.console import links, mapping, words
from uwu.app.console.mapping import Names
from uwu.app.console.views import Did, Filter, Option, Row, View
from uwu.kernel import codec, drift, graph, moments, search_index, tables
from uwu.kernel.graph import Observed
from uwu.kernel.model import UNRESOLVED, Change, FindingStatus, Severity
from uwu.kernel.runtime import Kernel

FINDINGS_SHOWN, RESOURCES_SHOWN, OPTIONS_SHOWN = 100, 50, 40
CHANGES_READ, CHANGES_SHOWN = 1000, 200
GROUPS = ("rule", "severity", "owner", "account", "none")
NOBODY = "nobody"

Query = Mapping[str, str]
Label = Callable[[str], str]
Counted = Sequence[tuple[str, int]] | Sequence[tuple[str, None]]
"""Values of a filter, with how many rows each would leave where that is counted."""


def href_of(path: str, query: Query, **changes: str | None) -> str:
    """The address of the page with ``changes``; a new filter begins at the first page. None removes a parameter."""
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
        Option(label=name(v), href=href_of(path, query, **{key: v}), count=n, on=v == value)
        for v, n in values[:OPTIONS_SHOWN]
    ]
    shown = name(value) if value is not None else ""
    return Filter(key=key, label=label, value=shown, clear=href_of(path, query, **{key: None}), options=options)


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


def findings_asked(query: Query) -> dict[str, Any]:
    """What ``drift.findings`` is asked with for the filters of ``query``."""
    held: dict[str, Any] = {k: query[k] for k in ("severity", "rule", "account", "type", "actor") if query.get(k)}
    if "owner" in query:
        held["owner"] = query["owner"]
    status = query.get("status") or "unresolved"
    known = status in {s.value for s in FindingStatus} | {"all"}
    return {**held, "status": status if known else "unresolved", "text": query.get("q", "")}


def findings(kernel: Kernel, query: Query) -> FindingsPage:
    """Findings by the filters of ``query``, grouped. Most severe first within a group."""
    asked = findings_asked(query)
    conditions = {k: v for k, v in asked.items() if k not in {"status", "text"}}
    rules = mapping.rule_titles(kernel)
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        page = drift.findings(connection, **asked, limit=FINDINGS_SHOWN, after=query.get("after", ""))
        rows = mapping.rows(page.items, names)
        by = _FindingFacets(connection, asked["status"], conditions)
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
    statuses = [(s, None) for s in ("open", "stale", "exempt", "closed", "all")]
    filters.append(filter_of(links.FINDINGS, query, "status", "status", statuses, str))
    grouping = query.get("group", "rule")
    grouping = grouping if grouping in GROUPS else "rule"
    options = [Option(label=g, href=href_of(links.FINDINGS, query, group=g), on=g == grouping) for g in GROUPS]
    return FindingsPage(
        filters=filters,
        groups=_grouped(rows, grouping, rules),
        group_by=Filter(key="group", label="Group by", value=grouping, options=options),
        total=page.total,
        shown=len(rows),
        more=href_of(links.FINDINGS, query, after=page.after) if page.after else "",
        filtered=bool(conditions or query.get("q") or query.get("status")),
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
            query = query.where(search_index.UNRESOLVED)
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
    at: datetime | None
    """The past time that is looked at; None for now."""
    now: str
    """The same list as it is now."""
    filters: list[Filter]
    items: list[Listed]
    total: int
    more: str
    filtered: bool
    text: str


def resources_asked(query: Query) -> dict[str, Any]:
    """What ``graph.find`` is asked with for the filters of ``query``."""
    held: dict[str, Any] = {k: query[k] for k in ("type", "account", "region") if query.get(k)}
    if "owner" in query:
        held["owner"] = query["owner"]
    return {**held, "text": query.get("q", "")}


def resources(kernel: Kernel, query: Query) -> ResourcesPage:
    """Resources by the filters of ``query``, by name; with ``at`` as they were then."""
    asked, at = resources_asked(query), at_of(query)
    conditions = {k: v for k, v in asked.items() if k != "text"}
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        asked |= {"limit": RESOURCES_SHOWN, "after": query.get("after", "")}
        page = graph.find(connection, **asked) if at is None else graph.find_at(connection, at, **asked)
        titles: dict[str, tuple[str, Label]] = {
            "type": ("type", names.type),
            "account": ("account", names.account),
            "region": ("region", lambda v: v or "global"),
            "owner": ("owner", lambda v: words.short_ref(v) or NOBODY),
        }
        filters = [
            filter_of(links.RESOURCES, query, key, label, _resource_facet(connection, key, conditions, at), name)
            for key, (label, name) in titles.items()
        ]
        items = listed(connection, page.items, names)
    if at is not None:
        then = {"at": codec.iso(at.replace(microsecond=0))}
        items = [msgspec.structs.replace(one, href=links.with_query(one.href, then)) for one in items]
    return ResourcesPage(
        at=at,
        now=href_of(links.RESOURCES, query, at=None),
        filters=filters,
        items=items,
        total=page.total,
        more=href_of(links.RESOURCES, query, after=page.after) if page.after else "",
        filtered=bool(conditions or query.get("q")),
        text=query.get("q", ""),
    )


def listed(connection: sa.Connection, found: Sequence[Observed], names: Names) -> list[Listed]:
    """Resources as lines, each with its unresolved findings."""
    f = tables.findings
    urns = [one.urn for one in found]
    query = sa.select(f.c.subject, f.c.severity).where(f.c.subject.in_(urns), f.c.status.in_(UNRESOLVED))
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


def at_of(query: Query) -> datetime | None:
    """The past time that a page is asked for; None for now. Raises ``BadInput`` for what is none."""
    return moments.parse(query["at"], place="query at") if query.get("at") else None


def _resource_facet(
    connection: sa.Connection, key: str, conditions: Mapping[str, str], at: datetime | None
) -> list[tuple[str, int]]:
    if at is not None:
        others = {name: value for name, value in conditions.items() if name != key}
        return list(graph.census(connection, at, cast("graph.By", key), **others).items())
    r = tables.resources
    query = sa.select(r.c[key], sa.func.count())
    for other, value in conditions.items():
        if other != key:
            query = query.where(r.c[other] == value)
    found = [(row[0], row[1]) for row in connection.execute(query.group_by(r.c[key]))]
    return sorted(found, key=lambda v: (-v[1], v[0]))


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


class Asked(View, frozen=True):
    """The changes that a query asks for, and what they are of."""

    chosen: list[Change]
    events: dict[str, Change]
    """Event -> one of its changes, of everyone."""
    read: int
    whom: str
    days: str
    subject: str
    actor: str | None


def changes_asked(kernel: Kernel, query: Query, limit: int = CHANGES_READ) -> Asked:
    """The changes of the filters of ``query``, newest first; at most ``limit`` are read."""
    log = kernel.change_log
    days = query.get("days", "7")
    days = days if days in DAYS else "7"
    subject, actor = query.get("subject", ""), query.get("actor")
    since = codec.now() - timedelta(days=int(days))
    if log is None:
        found = []
    elif subject:
        found = log.changes([subject], since=since, limit=limit)
    else:
        found = log.recent(since=since, limit=limit)
    read = len(found)
    found = [c for c in found if mapping.is_change(c)]
    whom = query.get("who") or ("all" if subject or actor is not None else "people")
    whom = whom if whom in WHO else "people"
    chosen = [
        c
        for c in found
        if (whom == "all" or (c.actor.kind == "human") == (whom == "people"))
        and (actor is None or c.actor.name == actor)
    ]
    events = {c.event_id: c for c in found}
    return Asked(chosen=chosen, events=events, read=read, whom=whom, days=days, subject=subject, actor=actor)


def changes(kernel: Kernel, query: Query) -> ChangesPage:
    """Who changed what, by day, newest first; people unless automation is asked for."""
    log = kernel.change_log
    asked = changes_asked(kernel, query)
    events, whom, subject = asked.events, asked.whom, asked.subject
    people = sum(c.actor.kind == "human" for c in events.values())
    actors: dict[str, int] = {}
    for change in events.values():
        if whom == "all" or (change.actor.kind == "human") == (whom == "people"):
            actors[change.actor.name] = actors.get(change.actor.name, 0) + 1
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        rows = mapping.changes(asked.chosen, names, CHANGES_SHOWN)
        subject_name = names.subject(subject).name if subject else ""
    ranked: list[tuple[str, int]] = [(a, n) for a, n in sorted(actors.items(), key=lambda v: (-v[1], v[0]))]
    path = links.CHANGES
    filters = [
        filter_of(path, query, "who", "who", [(w, None) for w in WHO], WHO.__getitem__ if whom in WHO else str),
        filter_of(path, query, "actor", "by", ranked, lambda v: words.handle(v) or "not known"),
        filter_of(path, query, "days", "when", [(d, None) for d in DAYS], lambda v: DAYS.get(v, DAYS["7"])),
    ]
    total = len({change.event_id for change in asked.chosen})
    return ChangesPage(
        filters=filters,
        days=[(day, list(some)) for day, some in groupby(rows, key=lambda r: words.day(r.at))],
        people=people,
        automation=len(events) - people,
        automation_href=href_of(path, query, who="all") if whom == "people" else "",
        total=total,
        cut=total > CHANGES_SHOWN or asked.read >= CHANGES_READ,
        known=log is not None,
        until=log.as_of() if log is not None else None,
        subject=subject,
        subject_name=subject_name,
        span=DAYS[asked.days],
    )
