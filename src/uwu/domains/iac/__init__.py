"""Infrastructure as code: what Terraform's states declare, where the world is not so, and running Terraform."""

from __future__ import annotations

from uwu.domains.iac.actions import ACTIONS
from uwu.domains.iac.compare.table import COMPARE
from uwu.domains.iac.declare import STACK
from uwu.kernel.domain import Domain, Phase, Planner, Schedule

DOMAIN = Domain(
    name="iac",
    title="Infrastructure as code",
    summary="Keep Terraform states, plan and apply stacks, check plans.",
    kinds=(STACK,),
    compare=COMPARE,
    remedy="uwu.domains.iac.remedy:remedy",
    adopt="uwu.domains.iac.remedy:import_block",
    jobs="uwu.domains.iac.jobs:JOBS",
    sync=((Phase.DECLARE, "iac.read"),),
    schedules=(
        Schedule(
            "iac.drift",
            "iac.drift",
            "look for drift in the stacks that say how often",
            every_minutes=5,
            when="uwu.domains.iac.drift.schedule:is_due",
        ),
    ),
    rules="uwu.domains.iac.rules:RULES",
    sweep="uwu.domains.iac.rules:sweep",
    planners=(
        Planner(
            name="terraform",
            title="Terraform",
            plan="uwu.domains.iac.runs.planner:plan",
            apply="uwu.domains.iac.runs.planner:apply",
            observe="uwu.domains.iac.runs.planner:observe",
        ),
    ),
    tables="uwu.domains.iac.tables",
    query_tables="uwu.domains.iac.coverage:query_tables",
    actions=ACTIONS,
    wire={
        "/iac/state/": "uwu.domains.iac.wire_http:app",
        "/iac/tfe/v2/": "uwu.domains.iac.wire_cloud:app",
        "/iac/providers/": "uwu.domains.iac.registry.wire:providers",
        "/iac/modules/v1/": "uwu.domains.iac.registry.wire:modules",
        "/iac/packages/": "uwu.domains.iac.registry.wire:archives",
        "/iac/uploads/": "uwu.domains.iac.wire_uploads:app",
        "/iac/hooks/github": "uwu.domains.iac.wire_github:app",
        "/.well-known/terraform.json": "uwu.domains.iac.wire_cloud:discovery",
    },
    evidence="uwu.domains.iac.ownership:evidence",
    routes="uwu.domains.iac.api:HANDLERS",
    commands="uwu.domains.iac.cli:APP",
    health="uwu.domains.iac.health:health",
)
