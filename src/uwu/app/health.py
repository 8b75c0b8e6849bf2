"""Whether the server lives, and whether it is ready: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import exc

from uwu.app.api import problems
from uwu.app.metrics import Metrics
from uwu.kernel import codec, migrate, tables
from uwu.kernel.errors import UwuError
from uwu.kernel.runtime import Kernel

OPEN = {"action": "health.read"}
METRICS = {"action": "metrics.read"}


class Check(msgspec.Struct, frozen=True):
    """One thing that must be so."""

    name: str
    ok: bool
    detail: str
    """What was found; nothing that only those who signed in may know."""


class Readiness(msgspec.Struct, frozen=True):
    """Whether all is so."""

    status: str
    """``ready`` or ``unready``."""
    checks: list[Check]


def readiness(kernel: Kernel) -> Readiness:
    """Looks at the database, its migration, the workers and the room on the disk."""
    checks = [_checked("database", _database, kernel)]
    if checks[0].ok:
        checks += [_checked("migration", _migration, kernel), _checked("worker", _worker, kernel)]
    checks.append(_checked("disk", _disk, kernel))
    return Readiness("ready" if all(check.ok for check in checks) else "unready", checks)


def _checked(name: str, look: Callable[[Kernel], tuple[bool, str]], kernel: Kernel) -> Check:
    try:
        return Check(name, *look(kernel))
    except UwuError as error:
        return Check(name, False, error.problem.code)
    except (exc.SQLAlchemyError, OSError) as error:
        return Check(name, False, type(error).__name__)


def _database(kernel: Kernel) -> tuple[bool, str]:
    with kernel.db.read() as connection:
        connection.execute(sa.text("select 1"))
    return True, "answers"


def _migration(kernel: Kernel) -> tuple[bool, str]:
    at, newest = migrate.current(kernel.db), migrate.head()
    return at == newest, f"at {at}" if at == newest else f"at {at}, not {newest}"


def _worker(kernel: Kernel) -> tuple[bool, str]:
    with kernel.db.read() as connection:
        beat = connection.execute(sa.select(sa.func.max(tables.workers.c.beat_at))).scalar_one()
    if beat is None:
        return False, "no worker runs jobs"
    seconds = max((codec.now() - beat).total_seconds(), 0)
    return seconds <= kernel.settings.jobs.stale_after_seconds, f"heard of {seconds:.0f} s ago"


def _disk(kernel: Kernel) -> tuple[bool, str]:
    free = shutil.disk_usage(kernel.settings.home_path).free // 1_000_000
    return free >= kernel.settings.telemetry.min_free_mb, f"{free} MB free"


@get("/healthz", opt=OPEN, include_in_schema=False)
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@get("/readyz", sync_to_thread=True, opt=OPEN, include_in_schema=False)
def readyz(kernel: NamedDependency[Kernel]) -> Response[Any]:
    """The server can do its work: its database answers and is of this version, a worker lives, there is room.

    503 with the same checks where one of them does not hold.
    """
    found = readiness(kernel)
    if found.status == "ready":
        return Response(codec.encode(found), media_type="application/json", headers={"cache-control": "no-store"})
    bad = [check for check in found.checks if not check.ok]
    return problems.problem(
        503,
        "not ready: " + "; ".join(f"{check.name}: {check.detail}" for check in bad),
        code="unready",
        place=", ".join(check.name for check in bad),
        hint="docs/operate.md says what each check means",
        headers={"Retry-After": str(problems.RETRY_SECONDS), "cache-control": "no-store"},
        more={"checks": codec.builtins(found.checks), "retry_after": problems.RETRY_SECONDS},
    )


def routes(metrics: Metrics) -> list[HTTPRouteHandler]:
    """The handlers; ``metrics`` is what ``/metrics`` tells."""

    @get("/metrics", sync_to_thread=True, opt=METRICS, include_in_schema=False)
    def scrape(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The server's own measures, for Prometheus."""
        body, kind = metrics.exposition(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": kind, "cache-control": "no-store"})

    return [healthz, readyz, scrape]
