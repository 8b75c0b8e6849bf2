"""How far what is observed is from what is declared: one number a scope, what it is made of, and its days."""

from __future__ import annotations

from typing import Any, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from uwu.app.api.world import READ
from uwu.kernel import entropy
from uwu.kernel.entropy import Day, Parts, Score
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

Scope = Literal["all", "domain", "service", "owner", "account"]
MOST_DAYS = 400


@get("/entropy", sync_to_thread=True, opt=READ)
def get_entropy(kernel: NamedDependency[Kernel]) -> list[Score]:
    """The entropy of the whole, of each domain, service, owner and account, as it was measured last."""
    with kernel.db.read() as connection:
        return entropy.scores(connection)


@get("/entropy/history", sync_to_thread=True, opt=READ)
def get_entropy_history(
    kernel: NamedDependency[Kernel],
    of: FromQuery[Scope] = "all",
    key: FromQuery[str] = "",
    days: FromQuery[int] = 30,
) -> list[Day]:
    """One scope by day, the oldest first; empty where it was never measured in these days."""
    if not 1 <= days <= MOST_DAYS:
        raise BadInput(f"days is 1 to {MOST_DAYS}", code="parameter-out-of-range", place="query days", hint="30")
    with kernel.db.read() as connection:
        return entropy.series(connection, of, [key], days=days).get(key, [])


@get("/entropy/{of:str}", sync_to_thread=True, opt={**READ, "problems": (404,)})
def get_entropy_rows(
    kernel: NamedDependency[Kernel],
    of: FromPath[str],
    key: FromQuery[str] = "",
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Parts:
    """What the number of a scope is made of: each finding's share, the largest first.

    The shares of all pages sum to ``exact``; ``entropy`` is that to two decimals.
    """
    with kernel.db.read() as connection:
        return entropy.rows(connection, of, key, limit=limit, after=after)


HANDLERS: list[Any] = [get_entropy, get_entropy_history, get_entropy_rows]
