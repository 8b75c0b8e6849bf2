"""What people and programs ask of detections: routes, and the commands that show their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, Response, Router
from litestar.di import Provide
from litestar.testing import TestClient

from tests.domains.trail.detect.conftest import Told, Trail, user
from uwu.domains.trail.detect import api, cli, jobs
from uwu.kernel import codec, sight
from uwu.kernel.domain import Client
from uwu.kernel.errors import UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.jobs import JobRecord
from uwu.kernel.runtime import Kernel

ADMIN = Principal(ref="user:local/test", name="Test", kind="local", roles=("admin",), via="home")


class Direct(Client):
    """A command's client on handlers alone; a job runs at once."""

    def __init__(self, kernel: Kernel, http: TestClient[Litestar]) -> None:
        self.kernel = kernel
        self.http = http

    def _told(self, answer: Any) -> Any:
        if answer.status_code >= 400:
            raise UwuError(answer.json()["message"], code=answer.json()["code"])
        return answer.json()

    def get(self, path: str, **parameters: Any) -> Any:
        return self._told(self.http.get(f"/api/v1{path}", params=parameters))

    def post(self, path: str, body: Any = None) -> Any:
        return self._told(self.http.post(f"/api/v1{path}", json=body))

    def put(self, path: str, body: bytes, *, sha256: str = "") -> Any:
        raise NotImplementedError(path)

    def lines(self, path: str) -> Iterator[Any]:
        raise NotImplementedError(path)

    def start(self, path: str, body: Any) -> dict[str, Any]:
        id = self.post(path, body)["id"]
        with self.kernel.db.read() as connection:
            asked: JobRecord = self.kernel.jobs.job(connection, id) if hasattr(self.kernel.jobs, "job") else None  # type: ignore[assignment]
        assert asked is None or asked.name == jobs.BACKTEST
        run = _Run(self.kernel)
        return codec.decode(codec.encode(jobs.JOBS[1].run(run, body)))  # type: ignore[arg-type]

    def run(self, job: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        raise NotImplementedError(job)


class _Run:
    id = "run"

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def step(self, function: Any, *args: Any, name: str = "") -> Any:
        return function(*args)

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None: ...

    def log(self, message: str, *, level: str = "info", data: Any = None) -> None: ...


@pytest.fixture
def client(sqlite_kernel: Kernel) -> Iterator[Direct]:
    def told(_request: Any, error: UwuError) -> Any:
        return Response({"code": error.problem.code, "message": str(error)}, status_code=error.status)

    app = Litestar(
        [Router("/api/v1", route_handlers=api.HANDLERS)],
        dependencies={
            "kernel": Provide(lambda: sqlite_kernel, sync_to_thread=False),
            "principal": Provide(lambda: ADMIN, sync_to_thread=False),
        },
        exception_handlers={UwuError: told},
    )
    with sight.everything(), TestClient(app) as http:
        yield Direct(sqlite_kernel, http)


@pytest.fixture
def landed(trail: Trail, told: Told) -> list[dict[str, Any]]:
    told.clock.set(codec.now() - timedelta(hours=1))
    told.call(user(), "iam", "CreateAccessKey", UserName="noel.b")
    told.call(user(), "iam", "ListUsers")
    trail.land(told.records)
    return told.records


def test_the_rules_are_listed_with_what_they_matched(client: Direct, landed: list[dict[str, Any]]):
    page = client.get("/trail/rules", limit=5)
    assert len(page["items"]) == 5 and page["total"] >= 31 and page["after"]
    first = page["items"][0]
    assert (first["id"], first["open"], first["matches"]) == ("trail.key-for-another", 1, 1)
    assert first["days"][-1] + first["days"][-2] == 1
    assert "event_name" in first["query"]
    rest = client.get("/trail/rules", limit=100, after=page["after"])
    assert len(rest["items"]) == page["total"] - 5 and not rest["after"]
    assert client.get("/trail/rules/key-for-another")["sha256"] == first["sha256"]
    listed = cli.rules(client=client)
    assert "trail.key-for-another" in listed.text.splitlines()[1]
    one = cli.rules("key-for-another", client=client)
    assert "where" in one.text and "Fix:" in one.text
    with pytest.raises(UwuError) as caught:
        cli.rules("key-for-anothr", client=client)
    assert caught.value.problem.code == "rule-unknown"


def test_a_rule_is_tried_on_an_event(client: Direct, landed: list[dict[str, Any]], tmp_path: Path):
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"Records": landed[:1]}))
    hit = cli.test("key-for-another", event=str(event), client=client)
    assert hit.exit_code == 0 and "user/noel.b" in hit.text
    miss = cli.test("mfa-removed", event=str(event), client=client)
    assert miss.exit_code == 1 and "does not match" in miss.text
    everything = cli.test(event=str(event), client=client)
    assert [one["rule"] for one in everything.value if one["matched"]] == [
        "trail.key-for-another",
        "trail.user-made-and-armed",
    ]
    assert "one of all of them within 30m by actor" in everything.text
    rule = tmp_path / "rule.yml"
    rule.write_text("title: T\nlogsource: {product: aws}\ndetection: {s: {eventName: CreateAccessKey}, condition: s}\n")
    assert "trail.t matches" in cli.test(str(rule), event=str(event), client=client).text
    for wrong in ({"event": {}}, {"event": {"eventID": "x"}}, {"event": landed[0], "text": "a: ["}):
        with pytest.raises(UwuError):
            client.post("/trail/rules/test", wrong)


def test_a_backtest_of_a_rule_and_of_a_file(client: Direct, landed: list[dict[str, Any]], tmp_path: Path):
    done = cli.backtest("key-for-another", since="", client=client)
    assert done.value["results"][0]["alerts"] == 1
    assert "1 alerts of 1 matches among 2 events" in done.text
    rule = tmp_path / "rule.yml"
    rule.write_text("title: T\nlogsource: {product: aws}\ndetection: {s: {readOnly: 'true'}, condition: s}\n")
    assert cli.backtest(str(rule), client=client).value["results"][0]["matches"] == 1
    for wrong in ({}, {"rule": "nothing"}, {"rule": "mfa-removed", "since": "yesterday"}):
        with pytest.raises(UwuError):
            client.post("/trail/backtests", wrong)


def test_an_alert_is_told_and_closed(client: Direct, landed: list[dict[str, Any]]):
    (alert,) = client.get("/trail/alerts")["items"]
    told = cli.alert(alert["id"], client=client)
    assert "intact" in told.text and "CreateAccessKey" in told.text
    assert "Closed" in cli.close(alert["id"], reason="noel asked for it", client=client).text
    assert client.get("/trail/alerts")["items"] == []
    assert len(client.get("/trail/alerts", closed=True)["items"]) == 1
    assert "noel asked" in cli.alert(alert["id"], client=client).text
