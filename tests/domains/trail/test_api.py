"""What people and programs ask: the API's answers, and the commands that show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.testing import TestClient

from tests.domains.trail.test_ingest import SG, take, write
from uwu.domains.trail import DOMAIN, api, cli, ingest, pipeline
from uwu.kernel import codec, domain, query
from uwu.kernel.domain import Client
from uwu.kernel.errors import BadInput, NotFound, UwuError
from uwu.kernel.runtime import Kernel


class Direct(Client):
    """A command's client on handlers alone; a job runs at once."""

    def __init__(self, kernel: Kernel, http: TestClient[Litestar]) -> None:
        self.kernel = kernel
        self.http = http

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.http.get(f"/api/v1{path}", params=parameters)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Any = None) -> Any:
        raise NotImplementedError

    def put(self, path: str, body: bytes, *, sha256: str = "") -> Any:
        raise NotImplementedError(path)

    def lines(self, path: str) -> Iterator[Any]:
        raise NotImplementedError(path)

    def start(self, path: str, body: Any) -> dict[str, Any]:
        raise NotImplementedError(path, body)

    def run(self, job: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        assert job in {each.name for each in pipeline.JOBS}
        taken = ingest.ingest(self.kernel, (arguments or {})["sources"], holder="test")
        return codec.decode(codec.encode(taken.plain()))


@pytest.fixture
def client(sqlite_kernel: Kernel):
    def told(_request: Any, error: UwuError) -> Any:
        from litestar import Response

        return Response({"code": error.problem.code}, status_code=error.status)

    app = Litestar(
        [Router("/api/v1", route_handlers=api.HANDLERS)],
        dependencies={"kernel": Provide(lambda: sqlite_kernel, sync_to_thread=False)},
        exception_handlers={UwuError: told},
    )
    with TestClient(app) as http:
        yield Direct(sqlite_kernel, http)


def test_ingest_tells_both_figures(client: Direct, objects: list[Path]):
    answer = cli.ingest(str(objects[0].parent), client=client)
    assert answer.exit_code == 0
    assert answer.value["events"] == 2900
    assert "2900 events added from 55 objects" in answer.text
    assert "of 480 successful writes (" in answer.text
    assert "of 2900 events (" in answer.text
    assert "2795 human, 105 machine or service" in answer.text
    assert "2900 events from 2023-07-10T11:42:18Z" in cli.stats(client=client).text
    shown = cli.changes("sg-04cfb7a4712d75b00", client=client)
    assert [each["urn"] for each in shown.value] == [SG] * 7
    assert "bert-jan" in shown.text
    assert "Terraform" in shown.text
    assert "ListInstanceAssociations" in cli.timeline("i-0dbc91f429e48eeed", client=client).text
    assert cli.changes("arn:aws:s3:::nobody", client=client).text == "No successful write on it is known."


def test_problems_are_shown(client: Direct, objects: list[Path], made: Any, tmp_path: Path):
    bad = tmp_path / "cut.json"
    bad.write_bytes(objects[8].read_bytes()[:-3000])
    answer = cli.ingest(str(bad), str(write(tmp_path / "good.json", made("CreateVpc"))), client=client)
    assert "cut.json line 1 byte" in answer.text
    assert "[object-truncated]" in answer.text
    assert "cut.json: the object ends within record" in cli.rejects(client=client).text


def test_what_is_not_known_is_told(client: Direct):
    assert client.http.get("/api/v1/trail/changes", params={"subject": "sg-nothing"}).status_code == NotFound.status
    wrong = client.http.get("/api/v1/trail/timeline", params={"actor": "x", "since": "yesterday"})
    assert (wrong.status_code, wrong.json()["code"]) == (BadInput.status, "time-invalid")
    naive = client.http.get("/api/v1/trail/timeline", params={"actor": "x", "since": "2026-03-10T14:00:00"})
    assert naive.json()["code"] == "time-invalid"
    assert client.get("/trail/stats")["actor_pct"] == 100.0


def test_events_are_tables_of_the_query(sqlite_kernel: Kernel, objects: list[Path]):
    take(sqlite_kernel, *objects[:6])
    result = query.run(sqlite_kernel, "select count(*), count(distinct event_id), min(event_time) from events")
    assert result.rows[0][0] == result.rows[0][1] > 500
    named = query.run(sqlite_kernel, "select count(distinct urn) from event_resources where role = 'target'")
    assert named.rows[0][0] > 10
    tables = {table.name: table for table in query.tables(sqlite_kernel)}
    assert {"events", "event_resources"} <= set(tables)


def test_the_face_of_the_domain_loads(sqlite_kernel: Kernel):
    for reference in (DOMAIN.jobs, DOMAIN.evidence, DOMAIN.tables, DOMAIN.query_tables, DOMAIN.routes, DOMAIN.commands):
        assert domain.load(reference) is not None
    assert [source.status for source in domain.load(DOMAIN.health)(sqlite_kernel)] == ["never"]
    assert all(handler.opt.get("action") for handler in api.HANDLERS)
