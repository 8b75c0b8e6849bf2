"""How fresh the picture of AWS is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from uwu.domains.inventory.model import SOURCE
from uwu.kernel import codec, tables
from uwu.kernel.domain import SourceHealth
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel


def health(kernel: Kernel) -> Sequence[SourceHealth]:
    """One line: ``fresh`` where no complete cell is older than allowed, else ``late``, and what is not complete."""
    c = tables.coverage
    query = sa.select(c.c.status, sa.func.count(), sa.func.min(c.c.complete_at)).where(c.c.source == SOURCE)
    with kernel.db.read() as connection:
        rows = connection.execute(query.group_by(c.c.status)).all()
    if not rows:
        return (SourceHealth("aws", "never", None, "run `uwu sync inventory`"),)
    by_status = Counter({CellStatus(status): number for status, number, _ in rows})
    oldest = min((at for _, _, at in rows if at is not None), default=None)
    late = codec.now() - timedelta(hours=kernel.settings.drift.stale_after_hours)
    status = "failed" if oldest is None else "fresh" if oldest >= late else "late"
    rest = ", ".join(f"{n} {s.value}" for s, n in sorted(by_status.items()) if s is not CellStatus.COMPLETE)
    detail = f"{by_status[CellStatus.COMPLETE]} of {by_status.total()} cells complete" + (f", {rest}" if rest else "")
    return (SourceHealth("aws", status, oldest, detail),)
