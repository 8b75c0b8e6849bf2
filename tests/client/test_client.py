"""The typed client: true to the OpenAPI document, true to the server's answers, and patient within a budget."""

from __future__ import annotations

import http.server
import inspect
import json
import runpy
import shutil
import subprocess
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.console import world
from tests.app.front import ask, serving
from uwu.client import Client, _type
from uwu.client.operations import Operations
from uwu.kernel import audit
from uwu.kernel.drift import Findings
from uwu.kernel.errors import BadInput, Conflict, Denied, Misconfigured, NotFound, Unavailable
from uwu.kernel.graph import Observed
from uwu.kernel.jobs import JobRecord
from uwu.kernel.model import Finding
from uwu.kernel.runtime import Kernel

ROOT = Path(__file__).parent.parent.parent
METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[tuple[Kernel, str]]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "state.db")
    kernel = world.open_kernel(home)
    world.fill(kernel)
    with serving(kernel) as url:
        yield kernel, url
    kernel.close()


@pytest.fixture
def client(served: tuple[Kernel, str]) -> Iterator[Client]:
    with Client(served[1]) as opened:
        yield opened


def test_the_methods_are_those_that_the_routes_make() -> None:
    generator = runpy.run_path(str(ROOT / "tools" / "client.py"))
    assert generator["TARGET"].read_text("utf-8") == generator["source"](), "run: make reference"


def test_every_operation_has_a_method_with_its_parameters(sqlite_kernel: Kernel) -> None:
    with serving(sqlite_kernel) as url:  # of all installed domains
        document = ask(url, "GET", "/api/v1/schema/openapi.json").json
    known = document["components"]

    def resolved(value: dict[str, Any]) -> dict[str, Any]:
        return known[value["$ref"].split("/")[2]][value["$ref"].split("/")[3]] if "$ref" in value else value

    operations = [op for item in document["paths"].values() for name, op in item.items() if name in METHODS]
    for operation in operations:
        method: Callable[..., Any] = getattr(Operations, operation["operationId"])
        given = dict(inspect.signature(method).parameters)
        del given["self"]
        wanted = {
            parameter["name"]: bool(parameter["required"])
            for parameter in map(resolved, operation.get("parameters", []))
            if parameter["in"] != "header"
        }
        if "requestBody" in operation:
            body = resolved(operation["requestBody"]["content"]["application/json"]["schema"])
            wanted |= {name: name in body.get("required", []) for name in body["properties"]}
        assert {n: p.default is inspect.Parameter.empty for n, p in given.items()} == wanted, operation["operationId"]
        assert inspect.getdoc(method)
    own = {n for n, v in vars(Operations).items() if callable(v) and not n.startswith(("_", "each_"))}
    assert own - {op["operationId"] for op in operations} <= {"call", "lines", "query"}


def test_every_type_that_an_answer_has_is_found() -> None:
    source = inspect.getsource(sys.modules[Operations.__module__])
    names = {name for name in json.loads("[" + ",".join(_quoted(source)) + "]") if ":" in name and "." in name}
    assert len(names) > 15
    for name in names:
        assert _type(name) is not None, name


def _quoted(source: str) -> list[str]:
    import re

    return re.findall(r'"(?:list\[)*[a-z_.]+:[A-Za-z]+\]*\??"', source)


def test_answers_are_the_kernels_own_nouns(client: Client, served: tuple[Kernel, str]) -> None:
    page = client.list_findings(limit=1)
    assert isinstance(page, Findings)
    assert isinstance(page.items[0], Finding)
    assert client.get_finding(page.items[0].id) == page.items[0]
    resource = next(client.each_resources())
    assert isinstance(resource, Observed)
    assert resource.first_seen.tzinfo is not None
    assert client.get_resource(resource.urn).resource.urn == resource.urn
    assert client.get_status().resources > 0
    assert client.run_query("select count(*) as n from resources").rows[0][0] > 0


def test_pages_follow_each_other_to_the_end(client: Client) -> None:
    everything = [r.urn for r in client.list_resources(limit=500).items]
    assert [r.urn for r in client.each_resources(limit=3)] == everything
    assert len(everything) > 6
    few = [f.id for f in client.each_findings(limit=2, status="all")]
    assert len(few) == len(set(few)) == client.list_findings(status="all").total


def test_left_out_and_empty_are_not_the_same(client: Client) -> None:
    everyones = client.list_resources().total
    nobodys = client.list_resources(owner="").total
    assert nobodys < everyones


def test_errors_are_the_kernels_own(client: Client) -> None:
    with pytest.raises(NotFound):
        client.get_finding("f_none")
    with pytest.raises(BadInput) as caught:
        client.run_query("select * from resourcez")
    assert caught.value.problem.code == "query-unknown-table"
    with pytest.raises(NotFound):
        client.get_job("a/b?c#d")
    with pytest.raises(Misconfigured):
        Client("ftp://127.0.0.1")


def test_a_job_is_asked_for_and_cancelled(client: Client, served: tuple[Kernel, str]) -> None:
    id = client.ask_for_job("sync").id
    assert isinstance(client.cancel_job(id), JobRecord)
    with pytest.raises(Conflict):
        client.cancel_job(id)
    with served[0].db.read() as connection:
        assert audit.entries(connection, limit=1)[0].action == "job.cancel"


class Server:
    """A server that gives the answers of a list, one after the other."""

    def __init__(self, *answers: tuple[int, dict[str, Any]]) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        left = list(answers)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                outer.asked.append((self.command, self.path, self.headers.get("Idempotency-Key")))
                status, value = left.pop(0)
                if status == 0:  # the connection breaks
                    self.close_connection = True
                    return
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None: ...

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()


BUSY = (503, {"title": "not now", "code": "unavailable", "retry_after": 0})
LIMITED = (429, {"title": "too much", "code": "rate-limited", "retry_after": 0})
DONE = (202, {"id": "job_1"})


def test_what_may_help_is_tried_again_and_a_write_is_one_write() -> None:
    with Server(BUSY, LIMITED, DONE) as server:
        assert Client(server.url).ask_for_job("sync").id == "job_1"
        keys = {key for _, _, key in server.asked}
        assert len(server.asked) == 3
        assert len(keys) == 1
        assert None not in keys
    with Server(DONE, DONE) as server:
        for _ in range(2):
            Client(server.url).ask_for_job("sync")
        assert len({key for _, _, key in server.asked}) == 2, "another request has another key"


def test_what_will_not_help_is_told_at_once() -> None:
    with Server((403, {"title": "no", "code": "not-allowed"})) as server:
        with pytest.raises(Denied):
            Client(server.url).get_status()
        assert len(server.asked) == 1


def test_the_budget_ends() -> None:
    with Server(*[BUSY] * 9) as server:
        with pytest.raises(Unavailable):
            Client(server.url, retries=2).list_jobs()
        assert len(server.asked) == 3
    with Server((429, {"title": "later", "code": "rate-limited", "retry_after": 3600})) as server:
        with pytest.raises(Unavailable) as caught:
            Client(server.url).list_jobs()
        assert caught.value.problem.code == "rate-limited"
        assert len(server.asked) == 1, "an hour is past the budget"
    with Server(BUSY) as server:
        with pytest.raises(Unavailable):
            Client(server.url, retries=0).ask_for_job("sync")
        assert server.asked[0][2] is None


def test_an_answer_of_another_version_is_told() -> None:
    with Server((200, {"something": "else"})) as server:
        with pytest.raises(Unavailable) as caught:
            Client(server.url).get_status()
        assert caught.value.problem.code == "server-foreign"


def test_a_client_starts_without_what_it_does_not_need() -> None:
    program = (
        "import sys; from uwu.client import Client; Client('http://127.0.0.1:1')\n"
        "print([n for n in ('sqlalchemy', 'litestar', 'httpx', 'dbos', 'duckdb', 'boto3') if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert out.stdout.strip() == "[]"


def test_the_types_stand_in_the_signatures() -> None:
    hints = inspect.signature(Operations.list_findings)
    assert "Findings" in str(hints.return_annotation)
    assert typing.get_origin(_type("list[uwu.kernel.jobs:JobRecord]")) is list
