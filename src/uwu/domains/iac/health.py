"""How fresh the picture of the states is."""

from __future__ import annotations

from collections.abc import Sequence

from uwu.kernel import health as health_
from uwu.kernel.domain import SourceHealth
from uwu.kernel.runtime import Kernel


def health(kernel: Kernel) -> Sequence[SourceHealth]:
    """One line: when the states were last read, and how many of them could not be."""
    return (health_.of_job(kernel, "terraform", "iac.read", domain="iac", counted="states"),)
