"""The service catalog: who there is, what services there are, and who owns what."""

from __future__ import annotations

from uwu.domains.catalog.declare import KINDS
from uwu.kernel.domain import Domain, Phase

DOMAIN = Domain(
    name="catalog",
    title="Catalog",
    summary="Check, list and show what the estate declares.",
    kinds=KINDS,
    jobs="uwu.domains.catalog.observe:JOBS",
    sync=((Phase.DECLARE, "catalog.load"),),
    evidence="uwu.domains.catalog.ownership:evidence",
    commands="uwu.domains.catalog.cli:APP",
    health="uwu.domains.catalog.health:health",
)
