"""The job that judges every entity by every scorecard, some hundreds at a time, and writes what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from uwu.domains.catalog.scorecards import cards, store
from uwu.domains.catalog.scorecards.cards import Card
from uwu.domains.catalog.scorecards.facts import World
from uwu.domains.catalog.scorecards.grade import Verdicts, grade
from uwu.domains.catalog.scorecards.model import PREFIX, Graded
from uwu.kernel import codec, exemptions, sight, tables
from uwu.kernel.errors import BadInput
from uwu.kernel.exemptions import Exempting, Exemption
from uwu.kernel.identity import Principal
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel
from uwu.kernel.schema import near

JOB = "catalog.scorecards"
AT_ONCE = 500
"""Entities that are read, judged and written together: the proofs of as many are some megabytes."""


def judge(kernel: Kernel, only: Sequence[str] | None = None) -> dict[str, Any]:
    """Judges every entity on every card, or those of ``only``. Repeating it changes nothing.

    Gives how many were judged, how many grades changed, and how many verdicts were not known.
    """
    with sight.everything():
        return _judge(kernel, only)


def _judge(kernel: Kernel, only: Sequence[str] | None) -> dict[str, Any]:
    with kernel.db.read() as connection:
        standing = cards.standing(connection)
        world = World(kernel, connection)
        exempting, until = _exempting(connection, world)
    kinds = sorted({kind for card in standing for kind in card.kinds})
    counts: Counter[str] = Counter()
    gone: dict[str, set[str]] = {}
    if only is None:
        with kernel.db.read() as connection:
            gone = {card.name: store.graded_on(connection, card.name) for card in standing}
    changed = entities = unknown = 0
    after = ""
    while True:
        with kernel.db.read() as connection:
            services = world.services(connection, after, AT_ONCE, kinds, only)
            held = store.before(connection, [one.entity.ref for one in services])
        if not services:
            break
        after = services[-1].entity.ref
        entities += len(services)
        fresh: list[tuple[Graded, str, bool]] = []
        for service in services:
            verdicts: Verdicts = {}
            for card in standing:
                if not card.takes(service):
                    continue
                key = card.name, service.entity.ref
                hash, before = held.get(key, ("", {}))
                graded = grade(card, world, service, exempting, until, before, verdicts)
                counts[card.name] += 1
                unknown += graded.grade.unknown
                gone.get(card.name, set[str]()).discard(service.entity.ref)
                if (now := store.mark(graded)) != hash:
                    turned = graded.grade.statuses != {check: one.status for check, one in before.items()}
                    fresh.append((graded, now, turned))
        if fresh:
            with kernel.db.write() as connection:
                store.keep(connection, fresh, world)
        changed += len(fresh)
    if only is None:
        _close(kernel, standing, world, counts, gone)
    return {
        "cards": len(standing),
        "entities": entities,
        "grades": counts.total(),
        "changed": changed,
        "unknown": unknown,
    }


def _close(
    kernel: Kernel, standing: Sequence[Card], world: World, counts: Counter[str], gone: dict[str, set[str]]
) -> None:
    with kernel.db.write() as connection:
        for card in standing:
            store.forget(connection, card.name, sorted(gone[card.name]))
        store.close(connection, [(card, counts[card.name]) for card in standing], world)


def _exempting(connection: sa.Connection, world: World) -> tuple[Exempting, dict[str, Any]]:
    e = tables.exemptions
    query = sa.select(e.c.id, e.c.until).where(e.c.ended_at.is_(None), e.c.until > world.at)
    return exemptions.holding(connection, world.at), {row.id: row.until for row in connection.execute(query)}


def exempt(kernel: Kernel, principal: Principal, *, entity: str, check: str, until: str, reason: str) -> Exemption:
    """Exempts an entity from a check until a day, audited, and judges it anew at once.

    Raises what ``exemptions.exempt`` raises, and ``BadInput`` for a check that there is not.
    """
    if check not in cards.CHECKS:
        raise BadInput(
            f"there is no check {check[:40]!r}",
            code="check-unknown",
            place="check",
            hint=near(check, cards.CHECKS) or f"one of: {', '.join(sorted(cards.CHECKS))}",
        )
    made = exemptions.exempt(
        kernel,
        principal,
        rule=f"{PREFIX}{check}",
        subject=entity,
        until=exemptions.until(until),
        reason=reason,
    )
    judge(kernel, [made.subject])
    return made


def _run(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
    run.progress("judging scorecards")
    result = run.step(judge, run.kernel, name="judge")
    run.log(
        f"{result['entities']} entities on {result['cards']} scorecards: "
        f"{result['changed']} changed, {result['unknown']} verdicts not known"
    )
    return codec.builtins(result)


JOBS = (Job(JOB, _run, concurrency=1),)
