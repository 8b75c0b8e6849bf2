"""How fresh the picture of AWS is: its cells, and what events touched since."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from uwu.domains.inventory import refresh
from uwu.domains.inventory.model import SOURCE
from uwu.kernel import codec, tables
from uwu.kernel.domain import SourceHealth
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel


def health(kernel: Kernel) -> Sequence[SourceHealth]:
    """A line of the cells and, where events have touched anything, one of what they made read again."""
    return (_cells(kernel), *refresh.health(kernel))


def _cells(kernel: Kernel) -> SourceHealth:
    """``fresh`` where no complete cell is late, and how many are late or not complete, and why not."""
    c = tables.coverage
    late = sa.func.count().filter(c.c.due_at < codec.now())
    query = sa.select(c.c.status, sa.func.count(), sa.func.min(c.c.complete_at), late).where(c.c.source == SOURCE)
    with kernel.db.read() as connection:
        rows = connection.execute(query.group_by(c.c.status)).all()
    if not rows:
        return SourceHealth("aws", "never", None, "run `uwu sync inventory`")
    by_status = {CellStatus(status): (number, overdue) for status, number, _, overdue in rows}
    complete, overdue = by_status.pop(CellStatus.COMPLETE, (0, 0))
    oldest = min((at for _, _, at, _ in rows if at is not None), default=None)
    status = "failed" if oldest is None else "late" if overdue else "fresh"
    told = [f"{complete} of {sum(number for _, number, _, _ in rows)} cells complete"]
    told += [f"{overdue} late"] if overdue else []
    told += [f"{number} {status.value}" for status, (number, _) in sorted(by_status.items())]
    return SourceHealth("aws", status, oldest, ", ".join(told))
