"""What policies judge of a state."""

from __future__ import annotations

from uwu.domains.iac import state_store
from uwu.domains.iac.actions import CREATE
from uwu.kernel import authorize
from uwu.kernel.authorize import Target
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel


def target(kernel: Kernel, principal: Principal, namespace: str, name: str) -> Target:
    """What policies judge of a state. One that is not there and that no stack declares is its maker's own, where
    ``principal`` may make it. Raises ``BadInput`` for what is no name."""
    state_store.named(f"{namespace}/{name}")
    with kernel.db.read() as connection:
        found = state_store.find(connection, namespace, name)
        if found is not None:
            return found.target()
        coming = state_store.prospective(connection, namespace, name)
    if not coming.owner and authorize.decide(kernel, principal, CREATE).allowed:
        return Target(coming.type, coming.id, principal.ref, "", coming.attributes)
    return coming
