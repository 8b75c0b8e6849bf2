"""The client's two transports: the same answers from both, streams that stream, and errors that say whose they are."""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.app.console import server, world
from uwu.app.client import ApiClient, Embedded, Remote
from uwu.kernel.domain import Domain
from uwu.kernel.errors import BadInput, Misconfigured, Unavailable, UwuError
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

GATE = threading.Event()


def _wait(run: Run, _arguments: Mapping[str, Any]) -> dict[str, Any]:
    def hold() -> bool:
        return GATE.wait(30)

    return {"was_read_first": run.step(hold)}


JOBS = (Job("slow.wait", _wait),)
SLOW = Domain(name="slow", title="Slow", jobs="tests.app.test_client:JOBS")


def test_the_first_line_of_a_stream_arrives_before_its_job_ends(sqlite_kernel: Kernel) -> None:
    from tests.app import test_client as loaded  # the module that the domain names, whatever this one is called here

    loaded.GATE.clear()
    client = ApiClient(Embedded(Kernel(Settings(home=sqlite_kernel.settings.home), (SLOW,))))
    with client.transport.working():
        updates = client.follow(client.post("/jobs", {"name": "slow.wait"})["id"])
        assert next(updates)["job"]["status"] in {"queued", "running"}
        loaded.GATE.set()
        *_, last = updates
    client.close()
    assert last["job"]["status"] == "done"
    assert last["job"]["result"] == {"was_read_first": True}


def test_a_stream_that_nobody_reads_to_its_end_does_not_hold_the_command(sqlite_kernel: Kernel) -> None:
    client = ApiClient(Embedded(Kernel(Settings(home=sqlite_kernel.settings.home), (SLOW,))))
    job = client.post("/jobs", {"name": "slow.wait"})["id"]
    assert next(client.follow(job))["job"]["status"] == "queued"
    client.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/resources?limit=3", None),
        ("GET", "/api/v1/findings?severity=high", None),
        ("GET", "/api/v1/entity?ref=payments", None),
        ("GET", "/api/v1/nothing", None),
        ("GET", "/api/v1/resources?limit=0", None),
        ("GET", "/api/v1/explain?subject=%C3%A9t%C3%A9", None),
        ("POST", "/api/v1/query", b'{"sql": "select 1 as one"'),
        ("PUT", "/api/v1/status", b"{}"),
        ("HEAD", "/api/v1/findings", None),
        ("GET", "/api/v1/schema/openapi.json", None),
    ],
)
def test_both_transports_give_the_same(filled: Kernel, method: str, path: str, body: bytes | None) -> None:
    with server.serve(filled) as url:
        embedded, remote = Embedded(filled), Remote(url)
        answers: list[Any] = []
        for transport in (embedded, remote):
            status, kind, pieces = transport.send(method, path, body)
            # a problem names the request it answers: that differs
            answers.append((status, kind, re.sub(rb"urn:uwu:request:\w+", b"", b"".join(pieces))))
        embedded.close()
    assert answers[0] == answers[1]


@pytest.fixture
def filled(sqlite_kernel: Kernel) -> Kernel:
    kernel = world.open_kernel(sqlite_kernel.settings.home_path)
    world.fill(kernel)
    return kernel


@contextmanager
def foreign(status: int, kind: str, body: bytes) -> Iterator[str]:
    """Some other HTTP server, as one that a wrong UWU_URL names."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        listening.server_close()


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (404, "text/html", b"<h1>Not found</h1>"),
        (200, "text/html", b"<h1>It works</h1>"),
        (500, "application/problem+json", b"{"),
        (200, "application/json", b"\xff"),
    ],
)
def test_another_server_behind_the_url_is_named_as_that(status: int, kind: str, body: bytes) -> None:
    with foreign(status, kind, body) as url, pytest.raises(Unavailable) as caught:
        ApiClient(Remote(url)).get("/status")
    assert caught.value.problem.code == "server-foreign"
    assert "UWU_URL" in caught.value.problem.hint


def test_what_speaks_no_http_is_told_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        with pytest.raises(Unavailable) as caught:
            ApiClient(Remote(f"http://127.0.0.1:{listening.getsockname()[1]}")).get("/status")
        thread.join(10)
    assert caught.value.problem.code == "server-foreign"


@pytest.mark.parametrize("url", ["127.0.0.1:8420", "ftp://127.0.0.1", "http://", "localhost"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Remote(url)
    assert caught.value.problem.code == "url-invalid"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "internal", UwuError),
        (500, "database-unsupported", Misconfigured),
        (413, "request-too-large", BadInput),
        (418, "whatever", BadInput),
        (507, "storage-full", Unavailable),
    ],
)
def test_an_error_keeps_its_exit_status_over_the_wire(status: int, code: str, kind: type[UwuError]) -> None:
    body = json.dumps({"title": "no", "code": code}).encode()
    with foreign(status, "application/problem+json", body) as url, pytest.raises(UwuError) as caught:
        ApiClient(Remote(url)).get("/status")
    assert caught.value.problem.code == code
    assert isinstance(caught.value, kind)
    assert caught.value.exit_code == (6 if kind is Unavailable else kind.exit_code)


def test_a_file_of_a_server_that_is_gone_is_seen_through(tmp_path: Path) -> None:
    from uwu.app.client import connect

    for stale in ('{"url": "http://127.0.0.1:9", "token": "t", "pid": 1}', "{", "", '{"url": 7}'):
        (tmp_path / "server.json").write_text(stale)
        client = connect(tmp_path)
        assert isinstance(client.transport, Embedded), stale
        assert client.get("/status")["resources"] == 0
        client.close()
