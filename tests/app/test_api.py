"""The API as programs meet it: in process, through the embedded transport that the command line uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.handlers import HTTPRouteHandler

from tests.app.console import world
from uwu.app.asgi import SECURITY_HEADERS
from uwu.app.client import ApiClient, Embedded
from uwu.kernel import audit
from uwu.kernel.errors import BadInput, Denied, NotFound
from uwu.kernel.runtime import Kernel


@pytest.fixture
def api(sqlite_kernel: Kernel) -> Iterator[ApiClient]:
    kernel = world.open_kernel(sqlite_kernel.settings.home_path)
    world.fill(kernel)
    client = ApiClient(Embedded(kernel))
    yield client
    client.close()


def raw(client: ApiClient, method: str, path: str, body: bytes | None = None) -> tuple[int, str, Any]:
    status, kind, pieces = client.transport.send(method, path, body)
    data = b"".join(pieces)
    return status, kind, json.loads(data) if "json" in kind and data else data


def test_resources_are_found_paged_and_explained(api: ApiClient) -> None:
    first = api.get("/resources", limit=2)
    assert len(first["items"]) == 2
    assert first["total"] > 2
    second = api.get("/resources", limit=2, after=first["after"])
    assert {r["urn"] for r in first["items"]}.isdisjoint({r["urn"] for r in second["items"]})
    urn = first["items"][0]["urn"]
    assert api.get("/resource", subject=urn)["resource"]["urn"] == urn
    assert api.get("/explain", subject=urn)["subject"] == urn
    assert api.get("/history", subject=urn)["items"][0]["version"] >= 1


def test_findings_filter_and_each_can_be_asked_for(api: ApiClient) -> None:
    page = api.get("/findings")
    assert page["total"] == len(page["items"]) > 0
    one = page["items"][0]
    assert api.get(f"/findings/{one['id']}") == one
    assert api.get("/findings", severity=one["severity"])["total"] <= page["total"]
    assert api.get("/findings", actor="nobody-here")["items"] == []


@pytest.mark.parametrize(
    "path", ["/status", "/coverage", "/entities", "/entropy", "/search?q=a", "/jobs", "/query/tables"]
)
def test_every_list_answers(api: ApiClient, path: str) -> None:
    status, kind, answer = raw(api, "GET", f"/api/v1{path}")
    assert (status, kind) == (200, "application/json")
    assert answer is not None


def test_a_query_runs_and_a_bad_one_says_where(api: ApiClient) -> None:
    result = api.post("/query", {"sql": "select count(*) as n from resources"})
    assert result["columns"] == ["n"]
    assert result["rows"][0][0] > 0
    with pytest.raises(BadInput) as caught:
        api.post("/query", {"sql": "select * from resourcez"})
    assert caught.value.problem.code == "query-unknown-table"
    assert "resources" in caught.value.problem.hint


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/v1/nothing", None, 404, "not-found"),
        ("GET", "/api/v1/findings/f_none", None, 404, "not-found"),
        ("GET", "/api/v1/explain?subject=zzz", None, 404, "subject-unknown"),
        ("GET", "/api/v1/explain", None, 400, "request-invalid"),
        ("GET", "/api/v1/resources?ownr=x", None, 400, "parameter-unknown"),
        ("GET", "/api/v1/resources?limit=many", None, 400, "request-invalid"),
        ("GET", "/api/v1/resources?limit=0", None, 400, "parameter-out-of-range"),
        ("GET", "/api/v1/resources?limit=501", None, 400, "parameter-out-of-range"),
        ("GET", f"/api/v1/audit?limit={10**30}", None, 400, "parameter-out-of-range"),
        ("GET", f"/api/v1/changes?hours={10**12}", None, 400, "parameter-out-of-range"),
        ("GET", "/api/v1/jobs/x/log?after_line=-1", None, 400, "parameter-out-of-range"),
        ("GET", "/api/v1/resources?type=a&type=b", None, 400, "parameter-twice"),
        ("GET", "/api/v1/findings?status=bogus", None, 400, "request-invalid"),
        ("GET", "/api/v1/coverage?status=bogus", None, 400, "request-invalid"),
        ("GET", "/nothing", None, 404, "not-found"),
        ("GET", "/api/v1", None, 404, "not-found"),
        ("PUT", "/healthz", b"{}", 405, "method-not-allowed"),
        ("POST", "/api/v1/query", b"", 400, "request-invalid"),
        ("POST", "/api/v1/query", b"[]", 400, "request-invalid"),
        ("POST", "/api/v1/query", b"\xff", 400, "request-invalid"),
        ("POST", "/api/v1/query", b'{"sql": "select 1", "max_rows": -1}', 400, "request-invalid"),
        ("POST", "/api/v1/query", b'{"sql": "' + b"x" * 1_100_000 + b'"}', 413, "request-too-large"),
        ("DELETE", "/api/v1/resources", None, 405, "method-not-allowed"),
        ("POST", "/api/v1/query", b"{", 400, "request-invalid"),
        ("POST", "/api/v1/query", b'{"sql": "select 1", "nope": 1}', 400, "request-invalid"),
        ("POST", "/api/v1/jobs", b'{"name": "nothing"}', 400, "job-unknown"),
        ("POST", "/api/v1/jobs", b'{"name": "sync", "arguments": {"domain": "x"}}', 400, "domain-unknown"),
        ("GET", "/api/v1/jobs/job_none", None, 404, "job-unknown"),
    ],
)
def test_every_error_is_a_problem(
    api: ApiClient, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    got, kind, answer = raw(api, method, path, body)
    assert (got, kind, answer["code"]) == (status, "application/problem+json", code)
    assert answer["title"]


def test_a_misspelt_filter_is_told_what_there_is(api: ApiClient) -> None:
    _, _, answer = raw(api, "GET", "/api/v1/resources?ownr=x")
    assert "owner" in answer["hint"]


def test_a_value_that_a_filter_does_not_know_is_told_what_there_is(api: ApiClient) -> None:
    _, _, answer = raw(api, "GET", "/api/v1/findings?severity=urgent")
    assert answer["place"] == "query severity"
    assert answer["hint"] == "one of critical, high, medium, low"


def test_an_entity_is_found_by_its_name_and_two_are_told_apart(api: ApiClient) -> None:
    entities = api.get("/entities")["items"]
    names = [e["name"].lower() for e in entities]
    once = next(e for e in entities if names.count(e["name"].lower()) == 1)
    assert api.get("/entity", ref=once["name"].upper())["entity"] == once


def test_errors_arrive_as_what_they_are(api: ApiClient) -> None:
    with pytest.raises(NotFound):
        api.get("/findings/f_none")


def send(client: ApiClient, method: str, path: str, headers: dict[str, str]) -> tuple[int, list[tuple[bytes, bytes]]]:
    """A request with headers of our own, straight to the front door."""
    import asyncio

    transport = client.transport
    assert isinstance(transport, Embedded)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def keep(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }

    async def ask() -> None:
        await transport._app(scope, receive, keep)

    asyncio.run_coroutine_threadsafe(ask(), transport._loop).result(timeout=30)
    return sent[0]["status"], sent[0]["headers"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8420", 200), ("localhost", 200), ("[::1]:8420", 200), ("evil.example", 421), ("", 421)],
)
def test_only_loopback_names_are_answered(api: ApiClient, host: str, status: int) -> None:
    assert send(api, "GET", "/healthz", {"host": host})[0] == status


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"origin": "http://127.0.0.1"}, False),
        ({"origin": "https://evil.example"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-origin"}, False),
    ],
)
def test_another_site_may_not_write(api: ApiClient, headers: dict[str, str], refused: bool) -> None:
    given = {"host": "127.0.0.1", "content-type": "application/json", **headers}
    status, _ = send(api, "POST", "/api/v1/jobs", given)
    assert (status == 403) is refused


def test_every_answer_carries_the_security_headers(api: ApiClient) -> None:
    for path in ("/healthz", "/readyz", "/", "/api/v1/status", "/nothing", "/api/v1/nothing"):
        _, headers = send(api, "GET", path, {"host": "127.0.0.1"})
        names = [name for name, _ in headers]
        for name, value in SECURITY_HEADERS:
            assert (name, value) in headers
            assert names.count(name) == 1, (path, name)


def test_head_is_get_without_its_body(api: ApiClient) -> None:
    for path in ("/healthz", "/", "/findings", "/api/v1/status", "/api/v1/schema/openapi.json", "/nothing"):
        status, kind, body = raw(api, "HEAD", path)
        assert (status, kind, body) == (*raw(api, "GET", path)[:2], b""), path


def test_every_route_names_its_action(sqlite_kernel: Kernel) -> None:
    from uwu.app import asgi
    from uwu.app.metrics import Metrics

    app = asgi.litestar(sqlite_kernel, Metrics(sqlite_kernel))
    handlers = [h for route in app.routes for h in getattr(route, "route_handlers", [])]
    named = [h for h in handlers if isinstance(h, HTTPRouteHandler) and set(h.http_methods) != {"OPTIONS"}]
    assert len(named) > 30
    assert [sorted(h.paths) for h in named if not h.opt.get("action")] == []


def test_the_openapi_document_tells_every_route(api: ApiClient) -> None:
    status, _, document = raw(api, "GET", "/api/v1/schema/openapi.json")
    assert status == 200
    assert document["openapi"].startswith("3.1")
    assert {"/api/v1/explain", "/api/v1/findings", "/api/v1/jobs", "/api/v1/query"} <= set(document["paths"])


def test_asking_for_a_job_is_audited_and_asking_twice_is_once(api: ApiClient) -> None:
    first = api.post("/jobs", {"name": "sync"})
    assert api.post("/jobs", {"name": "sync", "arguments": {"domain": "world"}}) == first
    assert api.get("/audit")["items"][0]["action"] == "job.sync"
    assert api.get("/audit/verify")["first_bad"] is None
    assert api.post(f"/jobs/{first['id']}/cancel")["status"] == "cancelled"


def test_a_broken_audit_chain_is_told(api: ApiClient) -> None:
    transport = api.transport
    assert isinstance(transport, Embedded)
    db = transport.kernel.db
    with db.write() as connection:
        for i in range(3):
            audit.append(connection, actor="mira", action="x", subject=str(i))
        connection.exec_driver_sql("update audit set actor = 'teo' where seq = 2")
    assert api.get("/audit/verify")["first_bad"] == 2


def test_what_nobody_foresaw_tells_no_inside(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from uwu.kernel import graph

    def explode(*_: Any, **__: Any) -> Any:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(graph, "find", explode)
    status, kind, answer = raw(api, "GET", "/api/v1/resources")
    assert (status, kind, answer["code"]) == (500, "application/problem+json", "internal")
    assert "hunter2" not in json.dumps(answer)


def test_denied_and_bad_input_keep_their_kinds() -> None:
    from uwu.client.transport import error_of

    told = error_of(403, "application/problem+json", b'{"title": "no", "code": "denied", "hint": "ask"}')
    assert isinstance(told, Denied)
    assert told.problem.hint == "ask"
