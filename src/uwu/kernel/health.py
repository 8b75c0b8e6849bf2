"""How fresh a source is that a job reads as a whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.domain import SourceHealth
from uwu.kernel.runtime import Kernel


def of_job(kernel: Kernel, source: str, job: str, *, domain: str, counted: str) -> SourceHealth:
    """The freshness of ``source`` by the last run of ``job``; ``counted`` is the member of its result that counts
    what was read, and its ``problems`` are what could not be."""
    j = tables.jobs
    query = sa.select(j.c.status, j.c.finished_at, j.c.result).where(j.c.name == job, j.c.finished_at.is_not(None))
    with kernel.db.read() as connection:
        row = connection.execute(query.order_by(j.c.finished_at.desc()).limit(1)).first()
    if row is None:
        return SourceHealth(source, "never", None, f"run `uwu sync {domain}`")
    if row.status != "done":
        return SourceHealth(source, "failed", row.finished_at, "the last run did not end well")
    late = codec.now() - timedelta(hours=kernel.settings.drift.stale_after_hours)
    result: dict[str, Any] = row.result or {}
    errors = [problem for problem in result.get("problems", ()) if problem.get("severity", "error") == "error"]
    detail = f"{result.get(counted, 0)} {counted}, {len(errors)} errors"
    status = "failed" if errors and not result.get(counted) else "fresh" if row.finished_at >= late else "late"
    return SourceHealth(source, status, row.finished_at, detail)
