"""How fresh the picture of the estate is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.domain import SourceHealth
from uwu.kernel.runtime import Kernel


def health(kernel: Kernel) -> Sequence[SourceHealth]:
    """One line: when the estate was last read, and how many problems it had."""
    j = tables.jobs
    query = sa.select(j.c.status, j.c.finished_at, j.c.result).where(
        j.c.name == "catalog.load", j.c.finished_at.is_not(None)
    )
    with kernel.db.read() as connection:
        row = connection.execute(query.order_by(j.c.finished_at.desc()).limit(1)).first()
    if row is None:
        return (SourceHealth("estate", "never", None, "run `uwu sync catalog`"),)
    if row.status != "done":
        return (SourceHealth("estate", "failed", row.finished_at, "the last run did not end well"),)
    late = codec.now() - timedelta(hours=kernel.settings.drift.stale_after_hours)
    result = row.result or {}
    errors = [problem for problem in result.get("problems", ()) if problem.get("severity", "error") == "error"]
    detail = f"{result.get('entities', 0)} entities, {len(errors)} errors"
    status = "failed" if errors and not result.get("entities") else "fresh" if row.finished_at >= late else "late"
    return (SourceHealth("estate", status, row.finished_at, detail),)
