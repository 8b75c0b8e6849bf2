"""Judging an entity by a scorecard: verdicts, level and score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from uwu.domains.catalog.scorecards.cards import Card
from uwu.domains.catalog.scorecards.facts import Service, World
from uwu.domains.catalog.scorecards.model import PREFIX, Grade, Graded, Result, Status, Verdict
from uwu.kernel.exemptions import Exempting

GOOD = (Status.PASSED, Status.EXEMPT)
Verdicts = dict[str, Verdict]


def grade(
    card: Card,
    world: World,
    service: Service,
    exempting: Exempting,
    until: Mapping[str, datetime],
    before: Mapping[str, Result],
    judged: Verdicts,
) -> Graded:
    """How ``service`` stands on ``card``.

    ``before`` is what was said last, by check: a status that holds keeps its beginning. ``until`` is when exemptions
    end. ``judged`` keeps the verdicts on this entity, which are the same on every card.
    """
    results: list[Result] = []
    for asked in card.asked:
        id = asked.check.id
        if id not in judged:
            judged[id] = asked.check.judge(world, service)
        verdict, status, ends = judged[id], judged[id].status, None
        if status is not Status.PASSED:
            by = exempting.of(f"{PREFIX}{id}", service.entity.ref, "")
            if by:
                status, ends = Status.EXEMPT, until.get(by)
        old = before.get(id)
        results.append(
            Result(
                check=id,
                level=asked.level,
                weight=asked.weight,
                status=status,
                text=verdict.text,
                proofs=verdict.proofs,
                since=old.since if old is not None and old.status is status else world.at,
                until=ends,
            )
        )
    return Graded(_summed(card, service, results), results)


def _summed(card: Card, service: Service, results: Sequence[Result]) -> Grade:
    statuses = {one.check: one.status for one in results}
    weights = {status: sum(one.weight for one in results if one.status is status) for status in Status}
    known = weights[Status.PASSED] + weights[Status.FAILED]
    counted = {status: sum(one.status is status for one in results) for status in Status}
    rank = level(card, results, GOOD)
    reachable = level(card, results, (*GOOD, Status.UNKNOWN))
    entity = service.entity
    return Grade(
        card=card.name,
        entity=entity.ref,
        title=str(entity.metadata.get("title") or entity.name),
        kind=entity.kind,
        type=str(entity.spec.get("type") or ""),
        owner=service.owner,
        level=card.levels[rank - 1] if rank else "",
        reachable=card.levels[reachable - 1] if reachable else "",
        rank=rank,
        score=round(100 * weights[Status.PASSED] / known, 1) if known else None,
        passed=counted[Status.PASSED],
        failed=counted[Status.FAILED],
        unknown=counted[Status.UNKNOWN],
        exempt=counted[Status.EXEMPT],
        statuses=statuses,
    )


def level(card: Card, results: Sequence[Result], good: Sequence[Status]) -> int:
    """The place of the highest level of which, and of all below, every check is of ``good``; 0 for none."""
    for rank, name in enumerate(card.levels, 1):
        if any(one.level == name and one.status not in good for one in results):
            return rank - 1
    return len(card.levels)
