"""Somebody asks over HTTP or by the button of a page: named as people name things, allowed, audited, done once."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tests.app.console.server import client
from tests.domains.inventory import world
from tests.domains.inventory.conftest import Open
from tests.domains.inventory.world import REGION
from uwu.app.console import links
from uwu.kernel import codec, graph, tables
from uwu.kernel.model import Cell, CellStatus, Outcome, Resource
from uwu.kernel.runtime import Kernel

ACCOUNT = "777700001111"
URN = f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-0aaaabbbbccccdddd"
TYPE = "aws_vpc_security_group"


@pytest.fixture
def kernel(open_kernel: Open, aws_server: Any) -> Kernel:
    kernel = open_kernel(world.AccountWorld(aws_server.url, ACCOUNT))
    cell = Cell(source="aws", account=ACCOUNT, region=REGION, type=TYPE)
    one = Resource(urn=URN, type=TYPE, account=ACCOUNT, region=REGION, name="web", attributes={"GroupName": "web"})
    with kernel.db.write() as connection:
        outcome = Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=codec.now(), calls=1)
        graph.observe(connection, outcome, [one], [])
    return kernel


def asked(kernel: Kernel) -> list[tuple[str, str]]:
    """(subject, job) as the audit tells it."""
    a = tables.audit
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(a.c.subject, a.c.detail).where(a.c.action == "inventory.refresh"))
        return [(row.subject, row.detail["job"]) for row in rows]


def test_it_is_asked_by_name_and_done_once(kernel: Kernel) -> None:
    with client(kernel) as http:
        first = http.post("/api/v1/inventory/refresh", json={"subjects": ["web", URN]})
        assert first.status_code == 202, first.text
        again = http.post("/api/v1/inventory/refresh", json={"subjects": [URN]})
    id = first.json()["id"]
    assert again.json()["id"] == id
    assert asked(kernel) == [(URN, id), (URN, id)]
    with kernel.db.read() as connection:
        row = connection.execute(sa.select(tables.jobs).where(tables.jobs.c.id == id)).one()
    assert (row.name, row.arguments) == ("inventory.refresh", {"urns": [URN]})


@pytest.mark.parametrize(
    ("subjects", "status", "code"),
    [
        ([], 400, "refresh-count"),
        ([URN] * 101, 400, "refresh-count"),
        (["no-such-thing"], 404, "subject-unknown"),
        (["arn:aws:nothing:::at-all"], 400, "refresh-foreign"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(
    kernel: Kernel, subjects: list[str], status: int, code: str
) -> None:
    with client(kernel) as http:
        answer = http.post("/api/v1/inventory/refresh", json={"subjects": subjects})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert asked(kernel) == []


def test_the_page_has_the_button(kernel: Kernel) -> None:
    with client(kernel) as http:
        page = http.get(links.subject(URN))
        assert f'name="subject" value="{URN}"' in page.text
        sent = http.post(
            links.RESOURCES, data={"subject": URN}, headers={"origin": str(http.base_url)}, follow_redirects=False
        )
    (told,) = asked(kernel)
    assert (sent.status_code, sent.headers["location"]) == (303, links.job(told[1]))
