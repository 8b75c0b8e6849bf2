"""Observing anew what a plan touches: the cells that hold its subjects, and no others."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from uwu.domains.inventory import reader
from uwu.domains.inventory.model import SOURCE, Scope, Spec
from uwu.domains.inventory.observe import record
from uwu.domains.inventory.reader import Reader
from uwu.domains.inventory.services import SERVICES
from uwu.kernel import tables
from uwu.kernel.errors import Problem
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel


def observe(kernel: Kernel, subjects: Sequence[str]) -> list[Problem]:
    """Observes the cells that hold ``subjects``: a finding closes only on a cell that was seen whole.

    Gives a problem for each cell that was not, and for each subject that no cell of ours holds or held.
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
        scope = Scope(account, region, kernel.aws.identity().partition)
        seen = reader.observe_type(Reader(kernel.aws, scope, service), spec)
        record(kernel, seen)
        outcome = seen.outcome
        if outcome.status is not CellStatus.COMPLETE:
            problems.append(Problem(outcome.code or "cell-incomplete", outcome.message, place=cell))
    return problems


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
