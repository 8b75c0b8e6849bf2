"""AWS as it is: accounts, resources, relations, and how much of it could be seen."""

from __future__ import annotations

from uwu.domains.inventory.services import ACCOUNT, SPECS
from uwu.kernel.domain import Domain, EntityKind, Phase, ResourceType

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
    sync=((Phase.OBSERVE, "inventory.sync"),),
    evidence="uwu.domains.inventory.evidence:evidence",
    health="uwu.domains.inventory.health:health",
)
