"""Every page of the console with an address: those without a key come from the routes, the others have samples here."""

from __future__ import annotations

from collections.abc import Callable

from tests.app.console import lively, world
from uwu.app.console import frame, links
from uwu.kernel import drift, tables
from uwu.kernel.runtime import Kernel

Sample = Callable[[Kernel], list[str]]
LEDGER = links.resource(world.LEDGER.urn)


def _findings(kernel: Kernel) -> list[str]:
    with kernel.db.read() as connection:
        found = drift.findings(connection, status="all", limit=100).items
    worst, closed = found[0], next(f for f in found if f.closed_at is not None)
    exempt = next(f for f in found if f.exemption)
    return [links.finding(each.id) for each in (worst, closed, exempt)]


def _plans(kernel: Kernel) -> list[str]:
    with kernel.db.read() as connection:
        return [f"/plans/{id}" for id in connection.scalars(tables.plans.select().with_only_columns(tables.plans.c.id))]


SAMPLES: dict[str, Sample] = {
    "/findings/{key:path}": _findings,
    "/resources/{key:path}": lambda _: [
        links.resource(world.SG_PAYMENTS.urn),
        links.resource(world.DLQ.urn),
        links.resource(world.EVIL.urn),
        LEDGER,
        f"{LEDGER}?version=2",
        f"{LEDGER}?version=2&with=4",
    ],
    "/catalog/{key:path}": lambda _: ["/catalog/group:default/payments"],
    "/jobs/{id:str}": lambda _: [links.job(id) for id in (lively.SYNC, "job_inventory", lively.FAILED, lively.RUNNING)],
    "/plans/{id:str}": _plans,
    "/detections/{key:path}": lambda _: [links.detection(id) for id in ("trail.key-for-another", "trail.looks-around")],
    "/rules/{key:path}": lambda _: [links.rule(id) for id in ("world.open", "drift.undeclared", "drift.gone")],
    "/runs/{id:str}": lambda _: ["/runs/1", "/runs/2"],
    "/scorecards/{key:path}": lambda _: [links.scorecard("component:default/thumbnails")],
    "/stacks/{key:path}": lambda _: ["/stacks/default/ledger-live"],
    "/states/{key:path}": lambda _: ["/states/default/payments", "/states/default/payments?before=1&after=2"],
}
"""Route with a key -> pages of it. A new kind of page gets its row here, its data in tests/app/console/lively.py."""

NO_PAGE = frozenset({
    "/graph/neighbours", "/graph/way", "/graph/beside",
    "/runs/{id:str}/events", "/runs/{id:str}/log",
    "/jobs/{id:str}/events", "/jobs/{id:str}/log", "/plans/{id:str}/events",
    links.SYNC, "/sign-in/start", "/sign-in/callback", "/sign-in/leave",
})  # fmt: skip
"""Routes that give data or a part of a page, and the steps of signing in at a provider, which has a test of its own."""

SHAPED = (
    "/findings?severity=critical&group=owner",
    "/findings?severity=low&actor=nobody",
    "/findings?status=exempt",
    "/rules?show=exempt",
    "/rules?show=off",
    "/changes?days=90&who=all",
    "/diff?since=6d",
    "/resources?at=1h",
    "/coverage?status=complete",
    "/jobs?status=failed",
    "/scorecards?level=gold&owner=-",
    "/jobs?parent=job_inventory",
    "/search?q=ledger",
    links.graph(world.SG_PAYMENTS.urn),
    links.graph(world.SG_PAYMENTS.urn) + "&way=ledger",
    links.graph(world.SG_PAYMENTS.urn) + "&at=1d",
    "/nowhere",
)
"""Pages whose look depends on the query, and one that is not there."""


def routes() -> list[str]:
    """The paths of every GET route that is a page."""
    return [r.path for r in frame.found() if isinstance(r, frame.Page) and r.path not in NO_PAGE]


def every(kernel: Kernel) -> list[str]:
    """The address of every page. Raises ``KeyError`` for a route with a key that has no sample."""
    plain = [path for path in routes() if "{" not in path]
    keyed = [page for path in routes() if "{" in path for page in SAMPLES[path](kernel)]
    return [*plain, *keyed, *SHAPED]
