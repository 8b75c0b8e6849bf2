"""Who owns how much, and what evidence disagrees about."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.kernel import ownership
from uwu.kernel.ownership import Disputes, Holding, Share
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}


class Ownership(msgspec.Struct, frozen=True):
    """How much is owned: in all, of each account, by each owner."""

    resources: int
    """Those that someone could own: AWS's own defaults are not."""
    owned: int
    conflicts: int
    accounts: list[Share]
    """The most unowned first."""
    owners: list[Holding]
    """Those with the most first."""


@get("/ownership", sync_to_thread=True, opt=READ)
def get_ownership(kernel: NamedDependency[Kernel]) -> Ownership:
    """How much is owned: in all, of each account, by each owner, and how much of that somebody has said."""
    with kernel.db.read() as connection:
        shares = ownership.by_account(connection)
        return Ownership(
            sum(share.resources for share in shares),
            sum(share.owned for share in shares),
            sum(share.conflicts for share in shares),
            shares,
            ownership.by_owner(connection),
        )


@get("/ownership/conflicts", sync_to_thread=True, opt=READ)
def list_conflicts(kernel: NamedDependency[Kernel], limit: FromQuery[int] = 50, after: FromQuery[str] = "") -> Disputes:
    """What evidence disagrees about and nobody has settled, with all evidence, by subject."""
    with kernel.db.read() as connection:
        return ownership.disputes(connection, limit=limit, after=after)


HANDLERS = (get_ownership, list_conflicts)
