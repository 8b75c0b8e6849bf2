"""How fresh the picture of AWS is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from uwu.domains.inventory.model import SOURCE
from uwu.kernel import codec, graph
from uwu.kernel.domain import SourceHealth
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel


def health(kernel: Kernel) -> Sequence[SourceHealth]:
    """One line: ``fresh`` where no complete cell is older than allowed, else ``late``, and what is not complete."""
    with kernel.db.read() as connection:
        cells = [cell for cell in graph.coverage(connection) if cell.source == SOURCE]
    if not cells:
        return (SourceHealth("aws", "never", None, "run `uwu sync inventory`"),)
    by_status = Counter(cell.status for cell in cells)
    complete = [cell.complete_at for cell in cells if cell.complete_at is not None]
    oldest = min(complete, default=None)
    late = codec.now() - timedelta(hours=kernel.settings.drift.stale_after_hours)
    status = "failed" if oldest is None else "fresh" if oldest >= late else "late"
    rest = ", ".join(f"{n} {s.value}" for s, n in sorted(by_status.items()) if s is not CellStatus.COMPLETE)
    detail = f"{by_status[CellStatus.COMPLETE]} of {len(cells)} cells complete" + (f", {rest}" if rest else "")
    return (SourceHealth("aws", status, oldest, detail),)
