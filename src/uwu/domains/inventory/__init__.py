"""AWS as it is: accounts, resources, relations, and how much of it could be seen."""

from __future__ import annotations

from uwu.domains.inventory.compared import NEEDS, kinds_of
from uwu.domains.inventory.services import ACCOUNT, SPECS
from uwu.kernel.actions import Action
from uwu.kernel.domain import Domain, EntityKind, Mends, Phase, Planner, ResourceType, Schedule

_ACCOUNT_SPEC = {
    "type": "object",
    "required": ["accountId", "owner"],
    "properties": {
        "accountId": {"type": "string", "pattern": "^[0-9]{12}$"},
        "owner": {"type": "string", "minLength": 1},
        "environment": {"type": "string", "minLength": 1},
        "lifecycle": {"type": "string", "minLength": 1},
    },
}

_OBSERVE = "uwu.domains.inventory.plan_observe:observe"

PLANNERS = (
    Planner(
        name="security-group-rules",
        title="Rules of security groups",
        plan="uwu.domains.inventory.plan_groups:plan",
        apply="uwu.domains.inventory.plan_groups:apply",
        undo="uwu.domains.inventory.plan_groups:undo",
        observe=_OBSERVE,
        mends=(Mends("drift.attribute", ("aws_vpc_security_group",), ("ingress", "egress")),),
        in_aws=True,
    ),
    Planner(
        name="tags",
        title="Owner tags",
        plan="uwu.domains.inventory.plan_tags:plan",
        apply="uwu.domains.inventory.plan_tags:apply",
        undo="uwu.domains.inventory.plan_tags:undo",
        observe=_OBSERVE,
        mends=(Mends("drift.unowned"),),
        asks=("owner",),
        in_aws=True,
    ),
)

REFRESH = Schedule(
    "inventory.refresh",
    "inventory.refresh",
    "read again what events have touched and what could not be read at once",
    every_minutes=1,
    when="uwu.domains.inventory.refresh:due",
)

DOMAIN = Domain(
    name="inventory",
    title="Inventory",
    summary="Tell what of AWS is collected, and by which calls.",
    kinds=(
        EntityKind(
            kind="Account",
            api_versions=("uwu.dev/v1alpha1",),
            schema=_ACCOUNT_SPEC,
            references={"owner": ("group", "ownedBy", "ownerOf")},
        ),
    ),
    types=(
        *(
            ResourceType(
                spec.name,
                spec.title,
                spec.service,
                spec.icon,
                relations=kinds_of(spec),
                needs=NEEDS.get(spec.name, ()),
                once=spec.everywhere,
            )
            for spec in SPECS
        ),
        ResourceType(ACCOUNT, "Account", "organizations", "building-2", relations=(), once=True),
    ),
    more_types="uwu.domains.inventory.services:resource_types",
    jobs="uwu.domains.inventory.jobs:JOBS",
    schedules=(REFRESH,),
    tables="uwu.domains.inventory.tables",
    actions=(Action("inventory.refresh", "run", "read a resource in AWS again"),),
    on_changes="uwu.domains.inventory.refresh_events:note",
    rules="uwu.domains.inventory.rules:RULES",
    sweep="uwu.domains.inventory.rules:sweep",
    planners=PLANNERS,
    sync=((Phase.OBSERVE, "inventory.sync"),),
    routes="uwu.domains.inventory.api:HANDLERS",
    commands="uwu.domains.inventory.cli:APP",
    evidence="uwu.domains.inventory.evidence:evidence",
    exposure="uwu.domains.inventory.exposure:of",
    assumers="uwu.domains.inventory.exposure_roles:assumers",
    health="uwu.domains.inventory.health:health",
)
