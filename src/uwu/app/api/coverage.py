"""The coverage ledger: each cell, its sums, and why cells are not complete."""

from __future__ import annotations

from typing import Any, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.kernel import codec, ledger
from uwu.kernel.graph import Cells
from uwu.kernel.ledger import Asked, By, Causes, Sums
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}

Status = Literal["complete", "denied", "throttled", "unsupported", "failed", "stale", ""]


@get("/coverage", sync_to_thread=True, opt=READ)
def list_coverage(
    kernel: NamedDependency[Kernel],
    account: FromQuery[str] = "",
    region: FromQuery[str] = "",
    type: FromQuery[str] = "",
    status: FromQuery[Status] = "",
    code: FromQuery[str | None] = None,
    run: FromQuery[str] = "",
    incomplete: FromQuery[bool] = False,
    holes: FromQuery[bool] = False,
    late: FromQuery[bool] = False,
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Cells:
    """The coverage ledger: each cell, when it was observed, how it went, what it cost and which job wrote it.

    ``holes`` leaves out what AWS does not offer; ``late`` keeps the complete cells whose next look is overdue.
    """
    asked = Asked(
        account=account, region=region, type=type, status=status, code=code, run=run, incomplete=incomplete,
        holes=holes, late=late,
    )  # fmt: skip
    with kernel.db.read() as connection:
        return ledger.cells(connection, asked, at=codec.now(), limit=limit, after=after)


@get("/coverage/sums", sync_to_thread=True, opt=READ)
def list_coverage_sums(
    kernel: NamedDependency[Kernel],
    by: FromQuery[By] = "account",
    account: FromQuery[str] = "",
    region: FromQuery[str] = "",
    type: FromQuery[str] = "",
    run: FromQuery[str] = "",
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Sums:
    """How each account, region, type, status or run was seen and what that cost, those with the most holes first.

    ``total`` is all that was asked for, on all pages.
    """
    asked = Asked(account=account, region=region, type=type, run=run)
    with kernel.db.read() as connection:
        return ledger.sums(connection, asked, by, at=codec.now(), limit=limit, after=after)


@get("/coverage/causes", sync_to_thread=True, opt=READ)
def list_coverage_causes(
    kernel: NamedDependency[Kernel],
    account: FromQuery[str] = "",
    region: FromQuery[str] = "",
    type: FromQuery[str] = "",
    run: FromQuery[str] = "",
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Causes:
    """Why cells are not complete: one line for each cause, with the actions that are denied and what to do."""
    asked = Asked(account=account, region=region, type=type, run=run)
    with kernel.db.read() as connection:
        return ledger.causes(connection, asked, at=codec.now(), limit=limit, after=after)


HANDLERS: list[Any] = [list_coverage, list_coverage_sums, list_coverage_causes]
