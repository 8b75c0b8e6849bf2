"""What nobody does and somebody must hear of: a source that has fallen silent, a sync that failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

import sqlalchemy as sa

from uwu.kernel import codec, domain, jobs, tables
from uwu.kernel.domain import Schedule
from uwu.kernel.jobs import Job, JobRecord, Run
from uwu.kernel.notify.notices import Notice, tell
from uwu.kernel.runtime import Kernel

LOOKS_BACK = timedelta(hours=24)
SYNCS = 5
"""The latest syncs that are looked at."""


def untold(kernel: Kernel) -> list[Notice]:
    """What is amiss now and was not told yet."""
    amiss = [*_sources(kernel), *_syncs(kernel)]
    n = tables.notices
    with kernel.db.read() as connection:
        known = sa.select(n.c.dedupe).where(n.c.dedupe.in_([notice.dedupe for notice in amiss]))
        told = set(connection.scalars(known))
    return [notice for notice in amiss if notice.dedupe not in told]


def is_amiss(kernel: Kernel) -> bool:
    """Whether there is anything of it."""
    return bool(untold(kernel))


def _sources(kernel: Kernel) -> list[Notice]:
    found: list[Notice] = []
    for source in domain.health_of(kernel.domains, kernel):
        if source.status not in ("late", "failed"):
            continue
        since = codec.iso(source.at) if source.at is not None else "never"
        found.append(
            Notice(
                kind="source.late",
                subject=f"source {source.name}",
                owner="",
                severity="medium",
                title=f"The source {source.name} {'is late' if source.status == 'late' else 'has failed'}",
                detail={"says": source.detail, "fresh until": since} if source.detail else {"fresh until": since},
                path="/coverage",
                dedupe=f"source.{source.status}:{source.name}:{since}",
            )
        )
    return found


def _syncs(kernel: Kernel) -> list[Notice]:
    with kernel.db.read() as connection:
        latest = jobs.jobs(connection, name="sync", limit=SYNCS)
    begun = codec.now() - LOOKS_BACK
    return [
        notice
        for record in latest
        if record.finished_at is not None and record.finished_at > begun and (notice := _sync(record)) is not None
    ]


def _sync(record: JobRecord) -> Notice | None:
    """Told once a day for the same reason, however often it is tried."""
    wrong: dict[str, str] = {}
    codes: set[str] = set()
    if record.problem is not None:
        wrong["why"] = record.problem.message
        codes.add(record.problem.code)
    for part, result in (record.result or {}).items():
        problem = cast("dict[str, Any]", result).get("problem") if isinstance(result, dict) else None
        if problem:
            wrong[part] = str(problem.get("message", ""))
            codes.add(f"{part} {problem.get('code', '')}")
    if not wrong or record.finished_at is None:
        return None
    parts = ", ".join(part for part in wrong if part != "why")
    return Notice(
        kind="sync.failed",
        subject="sync",
        owner="",
        severity="high",
        title=f"The sync failed in part: {parts}" if parts else "The sync failed",
        detail={**wrong, "since": record.finished_at},
        path=f"/jobs/{record.id}",
        dedupe=f"sync.failed:{record.finished_at:%Y-%m-%d}:{' '.join(sorted(codes))}",
    )


def _tell(kernel: Kernel) -> int:
    notices = untold(kernel)
    with kernel.db.write() as connection:
        tell(connection, *notices)
    return len(notices)


def _run(run: Run, arguments: Mapping[str, Any]) -> dict[str, Any]:
    del arguments
    return {"told": run.step(_tell, run.kernel, name="tell")}


JOBS = (Job("notify.watch", _run, concurrency=1),)
SCHEDULES = (
    Schedule(
        "notify.watch",
        "notify.watch",
        "tell of sources that are late and of syncs that failed",
        every_minutes=5,
        when="uwu.kernel.notify.watch:is_amiss",
    ),
)
