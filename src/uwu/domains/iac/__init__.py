"""Infrastructure as code: what Terraform's states declare, and where the world is not so."""

from __future__ import annotations

from uwu.domains.iac.compare.table import COMPARE
from uwu.domains.iac.declare import STACK
from uwu.kernel.domain import Domain, Phase

DOMAIN = Domain(
    name="iac",
    title="Infrastructure as code",
    kinds=(STACK,),
    compare=COMPARE,
    remedy="uwu.domains.iac.remedy:remedy",
    adopt="uwu.domains.iac.remedy:import_block",
    jobs="uwu.domains.iac.observe:JOBS",
    sync=((Phase.DECLARE, "iac.read"),),
    evidence="uwu.domains.iac.ownership:evidence",
    health="uwu.domains.iac.health:health",
)
