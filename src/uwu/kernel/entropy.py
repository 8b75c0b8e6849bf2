"""Entropy: the distance between what is declared and what is observed, 0 (as declared) to 100.

For any scope: the sum over its unresolved findings of weight(severity) x age factor, divided by its subjects times the
weight of a critical finding, scaled to 0-100. Stale findings count as open ones: nobody knows that they are mended.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.model import FindingStatus, Severity

WEIGHT = {Severity.CRITICAL: 10.0, Severity.HIGH: 5.0, Severity.MEDIUM: 2.0, Severity.LOW: 1.0}
AGES_OVER = timedelta(days=30)
"""A finding weighs twice as much once it is so old."""


class Score(msgspec.Struct, frozen=True):
    """The entropy of one scope: ``scope`` is ``all``, ``owner``, ``account`` or ``domain``."""

    scope: str
    key: str
    entropy: float
    findings: int
    subjects: int
    weight: float
    """The sum before scaling: what each finding adds can be read from its severity and age."""


def age_factor(opened_at: datetime, at: datetime) -> float:
    """1 for a finding of now, 2 for one of 30 days and more."""
    return 1.0 + min(max((at - opened_at) / AGES_OVER, 0.0), 1.0)


def scale(weight: float, subjects: int) -> float:
    """The sum of weights over ``subjects`` on the scale 0-100."""
    return min(100.0, 100.0 * weight / (max(subjects, 1) * WEIGHT[Severity.CRITICAL]))


def measure(connection: sa.Connection, at: datetime | None = None) -> list[Score]:
    """The entropy of the whole, of each owner, account and domain; the worst first within a scope."""
    at = at or codec.now()
    r, d, o, f = tables.resources, tables.declarations, tables.ownership, tables.findings
    subjects: dict[str, tuple[str, str]] = {}
    for row in connection.execute(
        sa.select(r.c.urn, r.c.account, sa.func.coalesce(o.c.owner, "").label("owner"))
        .select_from(r.outerjoin(o, o.c.subject == r.c.urn))
        .where(r.c.managed_by != "aws")
    ):
        subjects[row.urn] = (row.owner, row.account)
    declared = sa.select(d.c.urn, sa.func.coalesce(o.c.owner, "").label("owner")).select_from(
        d.outerjoin(o, o.c.subject == d.c.urn)
    )
    for row in connection.execute(declared.where(d.c.urn != "")):
        subjects.setdefault(row.urn, (row.owner, ""))
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for owner, account in subjects.values():
        counts["all", ""] += 1
        counts["owner", owner] += 1
        counts["account", account] += 1
    weights: defaultdict[tuple[str, str], float] = defaultdict(float)
    numbers: defaultdict[tuple[str, str], int] = defaultdict(int)
    unresolved = sa.select(f.c.severity, f.c.opened_at, f.c.owner, f.c.account, f.c.domain).where(
        f.c.status != FindingStatus.CLOSED.value
    )
    for row in connection.execute(unresolved):
        weight = WEIGHT[Severity(row.severity)] * age_factor(row.opened_at, at)
        for key in (("all", ""), ("owner", row.owner), ("account", row.account), ("domain", row.domain)):
            weights[key] += weight
            numbers[key] += 1
    scores: list[Score] = []
    for scope, key in {*counts, *weights}:
        base = counts["all", ""] if scope == "domain" else counts[scope, key]
        weight = weights[scope, key]
        scores.append(Score(scope, key, round(scale(weight, base), 2), numbers[scope, key], base, round(weight, 2)))
    order = {"all": 0, "domain": 1, "owner": 2, "account": 3}
    return sorted(scores, key=lambda s: (order[s.scope], -s.entropy, s.key))
