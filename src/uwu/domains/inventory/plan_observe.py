"""Observing anew what a plan touches: its subjects by themselves, or the cells that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from uwu.domains.inventory import reader, refresh
from uwu.domains.inventory.model import SOURCE, Scope, Spec
from uwu.domains.inventory.observe import record
from uwu.domains.inventory.reader import Reader
from uwu.domains.inventory.refresh_events import CALLS_PER_EVENT
from uwu.domains.inventory.services import SERVICES
from uwu.kernel import codec, tables
from uwu.kernel.errors import Problem
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel


def observe(kernel: Kernel, subjects: Sequence[str]) -> list[Problem]:
    """Observes ``subjects``. A finding closes only where its cell was seen whole and lately: so a cell that was is not
    listed again where its few subjects take fewer calls by themselves; the others are.

    Gives a problem for each cell that was not seen whole, and for each subject that no cell of ours holds or held.
    """
    cells = _cells(kernel, subjects)
    problems = [
        Problem("subject-unobserved", f"{subject} was never observed", place=subject, hint="uwu sync")
        for subject in subjects
        if subject not in cells
    ]
    for cell in sorted(set(cells.values())):
        _, account, region, type = cell.split("/", 3)
        service, spec = _spec(type)
        if spec is None:
            problems.append(Problem("cell-foreign", f"{cell} is not of AWS's inventory", place=cell))
            continue
        if _one_by_one(kernel, cell, [subject for subject, of in cells.items() if of == cell]):
            continue
        scope = Scope(account, region, kernel.aws.identity().partition)
        seen = reader.observe_type(Reader(kernel.aws, scope, service), spec)
        record(kernel, seen)
        outcome = seen.outcome
        if outcome.status is not CellStatus.COMPLETE:
            problems.append(Problem(outcome.code or "cell-incomplete", outcome.message, place=cell))
    return problems


def _one_by_one(kernel: Kernel, cell: str, subjects: Sequence[str]) -> bool:
    """Reads ``subjects`` by themselves where that proves as much as the list of their cell and costs less.

    False where it does not, or where one of them could not be read so.
    """
    c = tables.coverage
    with kernel.db.read() as connection:
        row = connection.execute(sa.select(c.c.status, c.c.complete_at, c.c.calls).where(c.c.cell == cell)).first()
    fresh_since = codec.now() - timedelta(hours=kernel.settings.drift.stale_after_hours)
    if row is None or row.status != CellStatus.COMPLETE.value or row.complete_at < fresh_since:
        return False
    if row.calls <= len(subjects) * CALLS_PER_EVENT:
        return False
    told = [refresh.refresh_one(kernel, refresh.target(kernel, subject)) for subject in subjects]
    return all(each is not None and each.result in refresh.READ for each in told)


def _cells(kernel: Kernel, subjects: Sequence[str]) -> dict[str, str]:
    """Subject -> the cell that holds it, or held it last."""
    r, v = tables.resources, tables.versions
    cells: dict[str, str] = {}
    with kernel.db.read() as connection:
        for start in range(0, len(subjects), 500):
            some = subjects[start : start + 500]
            past = sa.select(v.c.urn, v.c.cell).where(v.c.urn.in_(some)).order_by(v.c.version)
            cells.update((row.urn, row.cell) for row in connection.execute(past))
            now = sa.select(r.c.urn, r.c.cell).where(r.c.urn.in_(some))
            cells.update((row.urn, row.cell) for row in connection.execute(now))
    return {urn: cell for urn, cell in cells.items() if cell.startswith(f"{SOURCE}/")}


def _spec(type: str) -> tuple[str, Spec | None]:
    for service, specs in SERVICES.items():
        for spec in specs:
            if spec.name == type:
                return service, spec
    return "", None
