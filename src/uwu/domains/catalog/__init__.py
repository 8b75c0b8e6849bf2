"""The service catalog: who there is, what services there are, and who owns what."""

from __future__ import annotations

from uwu.domains.catalog.actions import ACTIONS
from uwu.domains.catalog.declare import KINDS
from uwu.kernel.domain import Domain, Phase, Schedule

DOMAIN = Domain(
    name="catalog",
    title="Catalog",
    summary="Check, list, show and grade what the estate declares.",
    kinds=KINDS,
    jobs="uwu.domains.catalog.observe:JOBS",
    schedules=(
        Schedule("catalog.sweep", "catalog.sweep", "delete entities that have been orphans for long", daily="03:40"),
    ),
    sync=((Phase.DECLARE, "catalog.load"), (Phase.GRADE, "catalog.scorecards")),
    exemptable="uwu.domains.catalog.scorecards.cards:exemptable",
    evidence="uwu.domains.catalog.ownership:evidence",
    tables="uwu.domains.catalog.tables",
    actions=ACTIONS,
    routes="uwu.domains.catalog.api:HANDLERS",
    wire={"/scim/v2/": "uwu.domains.catalog.scim.wire:app"},
    wire_routes="uwu.domains.catalog.backstage.routes:ROUTES",
    commands="uwu.domains.catalog.cli:APP",
    health="uwu.domains.catalog.health:health",
)
