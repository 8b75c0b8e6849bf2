"""The kernel's own parts that bring jobs and schedules, as a domain does.

Each is a module with ``JOBS``, a tuple of Job, and may have ``SCHEDULES``, a tuple of Schedule.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from uwu.kernel.domain import Schedule

if TYPE_CHECKING:
    from uwu.kernel.jobs import Job

PARTS = (
    "uwu.kernel.sync",
    "uwu.kernel.cleanup",
    "uwu.kernel.exemptions",
    "uwu.kernel.audit.checkpoints",
    "uwu.kernel.notify.deliver",
    "uwu.kernel.notify.watch",
    "uwu.kernel.plans.apply",
)


def jobs() -> dict[str, Job]:
    """Every job of the kernel by its name."""
    return {job.name: job for job in _all("JOBS")}


def schedules() -> list[Schedule]:
    """Every schedule of the kernel."""
    return _all("SCHEDULES")


def _all(attribute: str) -> list[Any]:
    return [one for part in PARTS for one in getattr(importlib.import_module(part), attribute, ())]
