"""The job that reads the estate: entities of every domain's kinds, with their relations."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from uwu.kernel import codec, declared, domain, estate, tables
from uwu.kernel.estate import Estate
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel

PROBLEMS_KEPT = 500
"""Problems in a job's result and log; the rest is counted."""


def _load(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
    run.progress("reading the estate")
    result = run.step(load_estate, run.kernel, name="load")
    for problem in result["problems"]:
        text = f"{problem.get('place', '')}: {problem['message']} [{problem['code']}]"
        run.log(text, level=problem.get("severity", "error"), data=problem)
    counted = result["problems_total"]
    run.log(
        f"{result['entities']} entities, {result['changed']} changed, {result['orphaned']} orphaned, {counted} problems"
    )
    return result


def load_estate(kernel: Kernel) -> dict[str, Any]:
    """Reads ``settings.estate_paths`` and makes them what is declared. Repeating it changes nothing.

    What cannot be read keeps what was accepted from it before; an entity whose source is gone becomes an orphan.
    """
    paths = kernel.settings.estate_paths
    e = tables.entities
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(e.c.ref, e.c.file, e.c.origin, e.c.orphan)).all()
    accepted = {row.ref: row.file for row in rows if not row.orphan}
    found = estate.load(paths, domain.kinds_of(kernel.domains), accepted=accepted)
    changed = orphaned = 0
    for origin in found.origins:
        entities, relations = found.part(origin)
        with kernel.db.write() as connection:
            new, lost = declared.replace_entities(connection, origin, entities, relations, unread=found.unread)
        changed, orphaned = changed + new, orphaned + lost
    configured = {f"file:{path}" for path in paths}
    for origin in sorted({row.origin for row in rows if row.origin.startswith("file:")} - configured):
        with kernel.db.write() as connection:
            orphaned += declared.replace_entities(connection, origin, [], [])[1]
    return {**summary(found), "changed": changed, "orphaned": orphaned}


def summary(found: Estate) -> dict[str, Any]:
    """What was read, in numbers, with the problems as plain values."""
    return {
        "entities": len(found.entities),
        "relations": len(found.relations),
        "problems_total": len(found.problems),
        "problems": codec.builtins(list(found.problems[:PROBLEMS_KEPT])),
    }


JOBS = (Job("catalog.load", _load, concurrency=1),)
