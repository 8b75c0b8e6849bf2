"""Measuring: every scope's number from the findings as they are."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime

import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.entropy import members
from uwu.kernel.entropy.formula import SCOPES, Score, scale, weigh, weigh_unseen
from uwu.kernel.entropy.members import Members, Place
from uwu.kernel.model import UNRESOLVED, CellStatus, FindingStatus

UNSEEN = tuple(s.value for s in CellStatus if s not in (CellStatus.COMPLETE, CellStatus.UNSUPPORTED))
"""Statuses of a cell that leave in the dark what is there."""


def measure(connection: sa.Connection, at: datetime | None = None) -> list[Score]:
    """The entropy of the whole and of each domain, service, owner and account; the worst first within a scope."""
    at = at or codec.now()
    return of(connection, members.read(connection, at), at)


def of(connection: sa.Connection, known: Members, at: datetime) -> list[Score]:
    """The same over ``known`` subjects."""
    f, c = tables.findings, tables.coverage
    counts = known.count()
    weights: defaultdict[Place, list[float]] = defaultdict(list)
    numbers: defaultdict[Place, int] = defaultdict(int)
    stale: defaultdict[Place, int] = defaultdict(int)
    unseen: defaultdict[Place, int] = defaultdict(int)
    unowned: defaultdict[Place, int] = defaultdict(int)
    fields = (f.c.subject, f.c.severity, f.c.opened_at, f.c.owner, f.c.account, f.c.domain, f.c.status)
    for row in connection.execute(sa.select(*fields).where(f.c.status.in_(UNRESOLVED))):
        weight = weigh(row.severity, row.opened_at, at)
        services = known.now[row.subject].services if row.subject in known.now else ()
        places = [("all", ""), ("owner", row.owner), ("account", row.account), ("domain", row.domain)]
        for place in (*places, *(("service", service) for service in services)):
            weights[place].append(weight)
            numbers[place] += 1
            stale[place] += row.status == FindingStatus.STALE.value
    cells = sa.select(c.c.account, c.c.complete_at).where(c.c.status.in_(UNSEEN))
    for row in connection.execute(cells):
        weight = weigh_unseen(row.complete_at, at)
        for place in (("all", ""), ("account", row.account)):
            weights[place].append(weight)
            unseen[place] += 1
    for member in known.now.values():
        if not member.owner:
            for place in (("all", ""), *member.places()):
                unowned[place] += 1
    scores: list[Score] = []
    for place in counts.keys() | weights.keys():
        scope, key = place
        weight = math.fsum(weights[place])  # exact, so that the rows give the same in whatever order
        subjects = counts.get(("all", ""), 0) if scope == "domain" else counts.get(place, 0)
        scores.append(
            Score(
                scope=scope,
                key=key,
                entropy=round(scale(weight, subjects), 2),
                findings=numbers[place],
                stale=stale[place],
                unowned=unowned[place],
                unseen=unseen[place],
                subjects=subjects,
                weight=round(weight, 2),
                measured_at=at,
            )
        )
    return sorted(scores, key=lambda s: (SCOPES.index(s.scope), -s.entropy, s.key))
