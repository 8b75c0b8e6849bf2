"""How fresh the picture of the estate is."""

from __future__ import annotations

from collections.abc import Sequence

from uwu.kernel import health as health_
from uwu.kernel.domain import SourceHealth
from uwu.kernel.runtime import Kernel


def health(kernel: Kernel) -> Sequence[SourceHealth]:
    """One line: when the estate was last read, and how many problems it had."""
    return (health_.of_job(kernel, "estate", "catalog.load", domain="catalog", counted="entities"),)
