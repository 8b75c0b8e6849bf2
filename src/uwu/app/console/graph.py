"""The graph page: what reaches a subject at the left, what it reaches at the right; neighbours come on demand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby, islice, pairwise, zip_longest
from typing import Any

import sqlalchemy as sa
from litestar.response import Response

from uwu.app.console import links, ways, words
from uwu.app.console.frame import VIEW, Answer, Asked, Frame, Page, query, redirect
from uwu.app.console.lists import at_of
from uwu.app.console.mapping import Names
from uwu.app.console.render import drawn
from uwu.app.console.views import View
from uwu.kernel import codec, declared, drift, exposure, paths, subjects, tables
from uwu.kernel import graph as relations
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.model import UNRESOLVED, Relation, Severity
from uwu.kernel.runtime import Kernel

EACH = 40
"""Neighbours of one node at once: more is a list, not a picture."""
READ = 400
"""Relations that are looked at for them."""
NODES = 300
"""Nodes of one page: beyond it nobody sees anything."""
BEGIN = 8
_SYSTEMS = ("system", "domain", "component")


class Point(View, frozen=True):
    """A node as the page draws it."""

    id: str
    name: str
    detail: str
    icon: str
    href: str
    """Its page; empty for what others name and nobody observed."""
    graph: str
    findings: int
    severity: str


class Edge(View, frozen=True):
    """An edge from ``source`` to ``target``; ``label`` is its kind in words."""

    source: str
    target: str
    kind: str
    label: str


class Around(View, frozen=True):
    """A node with its neighbours; ``more`` relations were left out."""

    subject: Point
    nodes: list[Point]
    edges: list[Edge]
    more: int


class Line(View, frozen=True):
    """A neighbour in the list beside the graph."""

    point: Point
    label: str


class Panel(View, frozen=True):
    """A node in words: the graph for those who do not look at it."""

    subject: Point
    reaches: list[Line]
    """What reaches it."""
    reached: list[Line]
    """What it reaches."""
    more: int


class Drawn(View, frozen=True):
    """A way as the page draws it: ``nodes`` in their order, each with its distance from the subject."""

    nodes: list[Point]
    columns: list[int]
    edges: list[Edge]
    answer: str


class Begin(View, frozen=True):
    """Where one can begin."""

    wrong: list[Point]
    systems: list[Point]


def around(kernel: Kernel, subject: str, at: datetime | None = None) -> Around:
    """The neighbours of ``subject``, some of each kind first: the current ones, or those of a past time."""
    t = tables.relations
    held = t.c.valid_to.is_(None)
    if at is not None:
        held = sa.and_(t.c.valid_from <= at, sa.or_(held, t.c.valid_to > at))
    with kernel.db.read() as connection:
        found = [r for r in relations.neighbours(connection, subject, at=at, limit=READ) if r.source != r.target]
        total = connection.execute(
            sa.select(sa.func.count()).select_from(t).where(sa.or_(t.c.source == subject, t.c.target == subject), held)
        ).scalar_one()
        chosen = _fairly(found, subject)
        ids = list(dict.fromkeys(_other(r, subject) for r in chosen))
        points = _points(connection, kernel, [subject, *ids])
    return Around(
        subject=points[subject],
        nodes=[points[id] for id in ids],
        edges=[Edge(source=r.source, target=r.target, kind=r.kind, label=label(r.kind)) for r in chosen],
        more=max(0, total - len(chosen)),
    )


def label(kind: str) -> str:
    """A kind of relation in words: ``attached_to`` -> ``attached to``."""
    return " ".join(words.split_camel(kind.replace("_", " ")))


def _other(relation: Relation, subject: str) -> str:
    return relation.target if relation.source == subject else relation.source


def _fairly(found: Sequence[Relation], subject: str) -> list[Relation]:
    """At most ``EACH`` neighbours, in turn of each kind and direction, so that one kind of hundreds hides no other."""

    def way(relation: Relation) -> tuple[str, bool]:
        return relation.kind, relation.source == subject

    groups = [list(some) for _, some in groupby(sorted(found, key=way), key=way)]
    turns = (relation for turn in zip_longest(*groups) for relation in turn if relation is not None)
    return sorted(islice(turns, EACH), key=way)


def _points(connection: sa.Connection, kernel: Kernel, ids: Sequence[str]) -> dict[str, Point]:
    names = Names(kernel, connection)
    names.load(ids)
    f = tables.findings
    wrong: dict[str, list[str]] = {}
    unresolved = sa.select(f.c.subject, f.c.severity).where(f.c.subject.in_(ids), f.c.status.in_(UNRESOLVED))
    for subject, severity in connection.execute(unresolved):
        wrong.setdefault(subject, []).append(severity)
    rank = [s.value for s in Severity]
    d = tables.declarations
    declared_ones = set(connection.scalars(sa.select(d.c.urn).where(d.c.urn.in_(ids))))
    out: dict[str, Point] = {}
    for id in ids:
        named = names.subject(id)
        known = bool(named.type) or id in wrong or id in declared_ones
        kind = names.type(named.type) if named.type else id.split(":")[2].upper() if _urn(id) else id.partition(":")[0]
        out[id] = Point(
            id=id,
            name=named.name,
            detail=kind + ("" if named.exists else ", gone" if known else ", not observed"),
            icon=drawn(names.icon_of(id)),
            href=links.subject(id) if known else "",
            graph=links.graph(id),
            findings=len(wrong.get(id, [])),
            severity=min(wrong.get(id, [""]), key=lambda s: rank.index(s) if s else len(rank)),
        )
    return out


def _urn(id: str) -> bool:
    return id.startswith(("arn:", "urn:")) and id.count(":") > 1


def panel(found: Around) -> Panel:
    """``found`` in words."""
    by_id = {point.id: point for point in found.nodes}
    me = found.subject.id
    return Panel(
        subject=found.subject,
        reaches=[Line(point=by_id[e.source], label=e.label) for e in found.edges if e.target == me],
        reached=[Line(point=by_id[e.target], label=e.label) for e in found.edges if e.source == me],
        more=found.more,
    )


INTERNET = "internet"
"""The way that is asked for by this word comes from there."""


def to(kernel: Kernel, subject: str, other: str) -> tuple[ways.Way | None, Drawn]:
    """The way between ``subject`` and ``other``, or from the internet: in words, and as it is drawn."""
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        if other == INTERNET:
            return ways.exposed(kernel, connection, subject, names), _from_internet(kernel, connection, subject)
        found = paths.between(kernel, connection, subject, other)
        chains = [[subject, *(hop.target if hop.forward else hop.source for hop in way)] for way in found.paths]
        columns: dict[str, int] = {}
        for chain in chains:
            for column, id in enumerate(chain):
                columns.setdefault(id, column)
        points = _points(connection, kernel, list(columns))
        hops = {(h.source, h.kind, h.target): None for way in found.paths for h in way}
        edges = [Edge(source=s, target=t, kind=k, label=label(k)) for s, k, t in hops]
        drawn = Drawn(
            nodes=[points[id] for id in columns], columns=list(columns.values()), edges=edges, answer=found.answer
        )
        return ways.between(found, names), drawn


def _from_internet(kernel: Kernel, connection: sa.Connection, subject: str) -> Drawn:
    """The steps from the internet to ``subject``, one after the other; the subject comes last."""
    found = exposure.of(kernel, connection, subject)
    if found is None:
        return Drawn(nodes=[], columns=[], edges=[], answer="")
    steps = [step for step in found.path if step.urn]
    along, guards = _told_apart(steps, subject)
    points = _points(connection, kernel, list(dict.fromkeys([*along, *(step.urn for step, _ in guards)])))
    door = Point(
        id=INTERNET, name="The internet", detail="anyone", icon="globe", href="", graph="", findings=0, severity=""
    )
    nodes, columns = [door], [-len(along)]
    for column, id in enumerate(along):
        nodes.append(points[id])
        columns.append(column - len(along) + 1)
    holds = {step.urn: step.holds for step in reversed(steps)}
    edges = [_way_in(before.id, after.id, holds.get(after.id, "yes")) for before, after in pairwise(nodes)]
    place = dict(zip((point.id for point in nodes), columns, strict=True))
    for step, guarded in guards:
        if step.urn not in place:
            nodes.append(points[step.urn])
            columns.append(place[guarded] - 1)
            place[step.urn] = place[guarded] - 1
        edges.append(_way_in(step.urn, guarded, step.holds))
    return Drawn(nodes=nodes, columns=columns, edges=edges, answer=found.answer)


_GUARDS = ("route_table", "network_acl", "security_group", "block_public_access_options", "account_settings")


def _told_apart(steps: Sequence[exposure.Step], subject: str) -> tuple[list[str], list[tuple[exposure.Step, str]]]:
    """What is passed on the way, the subject last; and what guards it, each with what it guards."""
    along: list[str] = []
    guards: list[tuple[exposure.Step, str]] = []
    here = ""
    for step in steps:
        if step.type.endswith(_GUARDS):
            guards.append((step, here or subject))
            continue
        # what follows a target group, or the second word of a load balancer, guards the target
        here = "" if step.type == "aws_ec2_target_group" or step.urn in along else step.urn
        if step.urn not in along and step.urn != subject:
            along.append(step.urn)
    return [*along, subject], guards


def _way_in(source: str, target: str, holds: str) -> Edge:
    kind = {"no": "closed", "unknown": "not known"}.get(holds, "lets in")
    return Edge(source=source, target=target, kind=kind, label=kind)


def begin(kernel: Kernel) -> Begin:
    """Good places to begin: what is wrong the most, and the systems of the catalog."""
    with kernel.db.read() as connection:
        worst = drift.findings(connection, limit=4 * BEGIN).items
        wrong = list(dict.fromkeys(f.subject for f in worst))[:BEGIN]
        every = sorted(
            (e for e in declared.entities(connection) if e.kind.lower() in _SYSTEMS),
            key=lambda e: (_SYSTEMS.index(e.kind.lower()), e.name),
        )
        systems = [e.ref for e in every[:BEGIN]]
        points = _points(connection, kernel, [*wrong, *systems])
    return Begin(wrong=[points[id] for id in wrong], systems=[points[id] for id in systems])


def _subject(at: Frame, asked: str) -> str:
    """The subject that ``asked`` names, also one that only others name. Raises ``NotFound`` or ``BadInput``."""
    t = tables.relations
    with at.kernel.db.read() as connection:
        try:
            return subjects.resolve(connection, asked)
        except NotFound:
            named = sa.select(t.c.source).where(
                sa.or_(t.c.source == asked, t.c.target == asked), t.c.valid_to.is_(None)
            )
            if connection.execute(named.limit(1)).first() is None:
                raise
            return asked


def show(at: Frame, request: Asked) -> Answer:
    """The graph around ``subject``; without one, where to begin. What names several things leads to the search."""
    asked = query(request).get("subject", "").strip()
    if not asked:
        return at.page(request, "graph_begin.html", section=links.GRAPH, view=begin(at.kernel))
    try:
        id = _subject(at, asked)
    except BadInput:
        return redirect(links.with_query(links.SEARCH, {"q": asked}))
    if id != asked:
        return redirect(links.graph(id))
    then = at_of(query(request))
    view = panel(around(at.kernel, id, then))
    values: dict[str, Any] = {"view": view, "nodes": NODES, "way": None, "drawn": "", "at": then}
    other = query(request).get("way", "").strip()
    if other:
        try:
            end = other if other == INTERNET else _subject(at, other)
        except BadInput:
            return redirect(links.with_query(links.SEARCH, {"q": other}))
        values["way"], _ = to(at.kernel, id, end)
        values["drawn"] = links.with_query(links.GRAPH + "/way", {"subject": id, "way": end})
    return at.page(request, "graph.html", section=links.GRAPH, **values)


def neighbours(at: Frame, request: Asked) -> Answer:
    """The neighbours of ``subject`` as JSON."""
    asked = query(request)
    found = around(at.kernel, _subject(at, asked.get("subject", "")), at_of(asked))
    headers = {"cache-control": "private, no-cache"}
    return Response(codec.encode(found), media_type="application/json", headers=headers)


def way(at: Frame, request: Asked) -> Answer:
    """The way between ``subject`` and ``way`` as JSON."""
    asked = query(request)
    other = asked.get("way", "")
    end = other if other == INTERNET else _subject(at, other)
    _, drawn = to(at.kernel, _subject(at, asked.get("subject", "")), end)
    headers = {"cache-control": "private, no-cache"}
    return Response(codec.encode(drawn), media_type="application/json", headers=headers)


def beside(at: Frame, request: Asked) -> Answer:
    """The list beside the graph, for ``subject``."""
    asked = query(request)
    found = around(at.kernel, _subject(at, asked.get("subject", "")), at_of(asked))
    return at.part("_graph.html", view=panel(found))


PAGES = (
    Page(links.GRAPH, show, VIEW),
    Page(links.GRAPH + "/neighbours", neighbours, VIEW),
    Page(links.GRAPH + "/way", way, VIEW),
    Page(links.GRAPH + "/beside", beside, VIEW),
)
