"""How complete the trail is over HTTP, under ``/api/v1``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.domains.trail.api_pipeline import time_of
from uwu.domains.trail.digests import ledger
from uwu.domains.trail.digests.ledger import Faults, Strip
from uwu.kernel import codec, sight
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}
MAX_LIMIT = 500
DAYS, MOST_DAYS = 7, 100


@get("/trail/completeness", sync_to_thread=True, opt=READ)
def get_trail_completeness(
    kernel: NamedDependency[Kernel],
    account: FromQuery[str] = "",
    region: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
) -> list[Strip]:
    """Each hour of every account and region: proven, delivered but unproven, or missing; the last seven days without
    ``since``. It takes sight of everything."""
    sight.require_all("how complete the trail of every account is")
    last = time_of(until) or codec.now()
    first = time_of(since) or last - timedelta(days=DAYS)
    if not timedelta() < last - first <= timedelta(days=MOST_DAYS):
        raise BadInput(f"since lies before until, by {MOST_DAYS} days at the most", code="time-invalid", place="since")
    with kernel.db.read() as connection:
        return ledger.strips(connection, first, last, account=account, region=region)


@get("/trail/faults", sync_to_thread=True, opt=READ)
def list_trail_faults(
    kernel: NamedDependency[Kernel],
    account: FromQuery[str] = "",
    region: FromQuery[str] = "",
    tampering: FromQuery[bool] = False,
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Faults:
    """Digests and log files that are absent or altered, the latest hours first; a page at a time. It takes sight of
    everything."""
    sight.require_all("what is missing of the trail of every account")
    with kernel.db.read() as connection:
        most = min(max(limit, 1), MAX_LIMIT)
        return ledger.faults(
            connection, account=account, region=region, tampering=tampering, limit=most, after=after
        )  # fmt: skip


HANDLERS: list[Any] = [get_trail_completeness, list_trail_faults]
