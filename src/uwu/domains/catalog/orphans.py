"""Orphans: entities that no file holds any more. They are kept for a while, then deleted, unless that were too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from uwu.kernel import audit, codec, entity_facts, tables
from uwu.kernel.errors import Problem
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel

SWEEP = "catalog.sweep"
ENOUGH = 10
"""Of fewer entities a share says nothing: two of three may well be gone."""

_E = tables.entities


def sweep(kernel: Kernel, actor: str, force: bool = False) -> dict[str, Any]:
    """Deletes the orphans of more than ``catalog.orphan_days``, with an entry in the audit for each source.

    A source of ``ENOUGH`` or more entities that would lose more than ``catalog.orphan_percent`` of them loses none, and
    is told as a problem; ``force`` deletes them all the same.
    """
    settings = kernel.settings.catalog
    before = codec.now() - timedelta(days=settings.orphan_days)
    deleted = 0
    problems: list[Problem] = []
    with kernel.db.read() as connection:
        counted = connection.execute(sa.select(_E.c.origin, sa.func.count()).group_by(_E.c.origin))
        held = {row[0]: int(row[1]) for row in counted}
        due = sa.select(_E.c.ref, _E.c.origin).where(_E.c.orphan, _E.c.last_seen < before).order_by(_E.c.ref)
        orphans = connection.execute(due).all()
    lost = Counter(row.origin for row in orphans)
    for origin, count in sorted(lost.items()):
        share = 100 * count / held[origin]
        if held[origin] >= ENOUGH and share > settings.orphan_percent and not force:
            problems.append(
                Problem(
                    "too-many-orphans",
                    f"{count} of {held[origin]} entities ({share:.0f} %) would be deleted; none was",
                    origin,
                    "bring the source back, or run uwu catalog sweep --force",
                )
            )
            continue
        refs = [row.ref for row in orphans if row.origin == origin]
        with kernel.db.write() as connection:
            # what was declared again meanwhile is no orphan any more
            still = _E.c.orphan & (_E.c.last_seen < before)
            gone = [
                ref
                for start in range(0, len(refs), 500)
                for ref in connection.scalars(
                    _E.delete().where(_E.c.ref.in_(refs[start : start + 500]), still).returning(_E.c.ref)
                )
            ]
            entity_facts.forget(connection, gone)
            if gone:
                audit.append(
                    connection,
                    actor=actor,
                    action="entities.delete",
                    subject=origin,
                    detail={"entities": len(gone), "first": gone[:20], "forced": force},
                )
        deleted += len(gone)
    return {"deleted": deleted, "waiting": sum(lost.values()) - deleted, "problems": codec.builtins(problems)}


def _run(run: Run, arguments: Mapping[str, Any]) -> dict[str, Any]:
    result = run.step(sweep, run.kernel, "uwu", bool(arguments.get("force")), name="sweep")
    for problem in result["problems"]:
        run.log(f"{problem['place']}: {problem['message']} [{problem['code']}]", level="warning", data=problem)
    return result


JOBS = (Job(SWEEP, _run, concurrency=1),)
