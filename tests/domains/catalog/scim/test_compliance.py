"""SCIM as another's client and its suite of compliance ask for it, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

from tests.app.front import serving
from uwu.domains.catalog import DOMAIN
from uwu.kernel.runtime import Kernel


@pytest.fixture
def http(kernel: Kernel) -> Iterator[Client]:
    opened = Kernel(kernel.settings, (DOMAIN,))
    with serving(opened) as address, Client(base_url=f"{address}/scim/v2", timeout=20) as client:
        yield client
    opened.close()


def test_the_suite_of_compliance_finds_nothing(http: Client) -> None:
    scim = SyncSCIMClient(http)
    scim.discover()
    results = check_server(scim)
    wrong: list[Any] = [(r.title, r.reason) for r in results if r.status in {Status.ERROR, Status.CRITICAL}]
    assert not wrong, "\n".join(map(str, wrong))
    assert sum(r.status == Status.SUCCESS for r in results) > 100
