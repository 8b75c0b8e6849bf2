"""Completeness as the API and the commands tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.testing import TestClient

from tests.domains.trail.digests.chains import ACCOUNT, HOUR, REGION, START, Chained
from tests.domains.trail.digests.test_chain import home
from tests.domains.trail.digests.test_ledger import FIRST, NOW
from tests.domains.trail.test_api import Direct
from uwu.domains.trail.digests import api, cli, verify
from uwu.kernel import codec
from uwu.kernel.errors import UwuError
from uwu.kernel.runtime import Kernel

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

__all__ = ["home"]


class Verifying(Direct):
    """A client whose verification is of one bucket at one time."""

    source = ""

    def run(self, job: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        assert job == "trail.verify"
        assert job in {each.name for each in verify.JOBS}
        return codec.builtins(verify.run(self.kernel, [self.source], FIRST, now=NOW))


@pytest.fixture
def client(home: Kernel):
    def told(_request: Any, error: UwuError) -> Any:
        from litestar import Response

        return Response({"code": error.problem.code}, status_code=error.status)

    app = Litestar(
        [Router("/api/v1", route_handlers=api.HANDLERS)],
        dependencies={"kernel": Provide(lambda: home, sync_to_thread=False)},
        exception_handlers={UwuError: told},
    )
    with TestClient(app) as http:
        yield Verifying(home, http)


def test_a_verification_is_told_hour_by_hour_with_each_absent_digest(client: Verifying, aws_server: MotoServer):
    window = {"since": codec.iso(FIRST), "until": codec.iso(NOW)}
    assert "uwu trail verify" in (cli.completeness(client=client, **window).text or "")
    assert "No digest" in (cli.faults(client=client).text or "")
    chained = Chained(aws_server.url)
    client.source = chained.source
    chained.chain(0, 8)
    for n in (3, 4):
        chained.delete(chained.key(n))
    said = cli.verify(client=client).text or ""
    assert said.splitlines()[0] == "6 digests of 1 chains are signed, 12 log files are as they say."
    assert "2 digests or log files are absent or altered, 0 of them altered" in said
    shown = cli.completeness(client=client, **window).text or ""
    assert shown.splitlines()[0].startswith(f"{ACCOUNT} {REGION}: ")
    assert shown.splitlines()[1].endswith("  2026-03-09" + " " * 25 + "#")
    assert shown.splitlines()[2] == "  2026-03-10  ##!!!##!...."
    named = cli.faults(client=client).text or ""
    assert named.index(chained.key(4)) < named.index(chained.key(3))
    with_more = cli.faults(limit=1, client=client).text or ""
    assert "There are more" in with_more


def test_a_window_that_cannot_be_is_refused(client: Verifying):
    answer = client.http.get(
        "/api/v1/trail/completeness", params={"since": codec.iso(START), "until": codec.iso(FIRST)}
    )
    assert (answer.status_code, answer.json()) == (400, {"code": "time-invalid"})
    long = {"since": codec.iso(START - 24 * 200 * HOUR), "until": codec.iso(START)}
    assert client.http.get("/api/v1/trail/completeness", params=long).status_code == 400
    assert client.http.get("/api/v1/trail/faults", params={"after": "no"}).json() == {"code": "cursor-malformed"}
