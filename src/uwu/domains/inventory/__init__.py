"""AWS as it is: accounts, resources, relations, and how much of it could be seen."""

from __future__ import annotations

from uwu.domains.inventory.services import ACCOUNT, SPECS
from uwu.kernel.domain import Domain, EntityKind, Mends, Phase, Planner, ResourceType

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

DOMAIN = Domain(
    name="inventory",
    title="Inventory",
    kinds=(
        EntityKind(
            kind="Account",
            api_versions=("uwu.dev/v1alpha1",),
            schema=_ACCOUNT_SPEC,
            references={"owner": ("group", "ownedBy", "ownerOf")},
        ),
    ),
    types=(
        *(ResourceType(spec.name, spec.title, spec.service, spec.icon) for spec in SPECS),
        ResourceType(ACCOUNT, "Account", "organizations", "building-2"),
    ),
    jobs="uwu.domains.inventory.observe:JOBS",
    planners=PLANNERS,
    sync=((Phase.OBSERVE, "inventory.sync"),),
    evidence="uwu.domains.inventory.evidence:evidence",
    health="uwu.domains.inventory.health:health",
)
