"""How fresh the picture of the states is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.domain import SourceHealth
from uwu.kernel.runtime import Kernel


def health(kernel: Kernel) -> Sequence[SourceHealth]:
    """One line: when the states were last read, and how many problems it had."""
    j = tables.jobs
    query = sa.select(j.c.status, j.c.finished_at, j.c.result).where(
        j.c.name == "iac.read", j.c.finished_at.is_not(None)
    )
    with kernel.db.read() as connection:
        row = connection.execute(query.order_by(j.c.finished_at.desc()).limit(1)).first()
    if row is None:
        return (SourceHealth("terraform", "never", None, "run `uwu sync iac`"),)
    if row.status != "done":
        return (SourceHealth("terraform", "failed", row.finished_at, "the last run did not end well"),)
    late = codec.now() - timedelta(hours=kernel.settings.drift.stale_after_hours)
    result = row.result or {}
    errors = [problem for problem in result.get("problems", ()) if problem.get("severity", "error") == "error"]
    detail = f"{result.get('states', 0)} states, {len(errors)} errors"
    status = "failed" if errors and not result.get("states") else "fresh" if row.finished_at >= late else "late"
    return (SourceHealth("terraform", status, row.finished_at, detail),)
