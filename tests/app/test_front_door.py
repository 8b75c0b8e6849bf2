"""The front door of a running server: whom it answers, whose token it takes, and that no reader can hold it up."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from uwu.app import identify
from uwu.app.api import work
from uwu.app.asgi import create_app
from uwu.app.client import ApiClient, Embedded, Remote, connect
from uwu.kernel import codec, jobs, tables
from uwu.kernel.errors import Denied
from uwu.kernel.runtime import Kernel

READ, QUEUED = 20, 64
"""Updates that are read before the reader leaves, and those that wait for a reader at most."""
MANY = 40
"""More readers than a server has threads for requests."""


@contextmanager
def serving(kernel: Kernel, **given: str) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    app: Any = create_app(kernel, principal=identify.local(), **given)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def ask(url: str, path: str, **headers: str) -> tuple[int, http.client.HTTPResponse]:
    """The status and the answer, which is still to be read."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response


def queued(kernel: Kernel) -> str:
    """A job that nobody runs."""
    ticket = {"name": "x", "arguments": {}, "parent": "", "requested_by": "", "created_at": codec.iso(codec.now())}
    with kernel.db.write() as connection:
        connection.execute(tables.jobs.insert().values(jobs.queued_row("job-waiting", ticket)))
    return "/api/v1/jobs/job-waiting/events"


def test_readers_that_wait_hold_up_nobody(sqlite_kernel: Kernel) -> None:
    events = queued(sqlite_kernel)
    with serving(sqlite_kernel) as url, ExitStack() as readers:
        for _ in range(MANY):
            status, stream = ask(url, events)
            readers.callback(stream.close)
            assert status == 200
            assert json.loads(stream.readline())["job"]["status"] == "queued"
        assert ask(url, "/api/v1/resources")[0] == 200


def test_a_stream_with_no_news_says_so(sqlite_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "KEEP_ALIVE_SECONDS", 0)
    events = queued(sqlite_kernel)
    with serving(sqlite_kernel) as url:
        _, stream = ask(url, events)
        assert stream.readline().startswith(b"{")
        assert stream.readline() == b"\n"
        stream.close()
        updates = ApiClient(Remote(url)).follow("job-waiting")
        assert next(updates)["job"]["status"] == "queued"
        with sqlite_kernel.db.write() as connection:
            connection.execute(tables.jobs.update().values(status="done", finished_at=codec.now()))
        assert [update["job"]["status"] for update in updates] == ["done"], "empty lines are no updates"


def test_queries_that_are_slow_hold_up_no_page(sqlite_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        assert gate.wait(30)
        return {"rows": []}

    monkeypatch.setattr(work.query, "run", slow)
    with serving(sqlite_kernel) as url:
        answers: list[Any] = []
        askers = [
            threading.Thread(target=lambda: answers.append(ApiClient(Remote(url)).post("/query", {"sql": "select 1"})))
            for _ in range(MANY)
        ]
        for asker in askers:
            asker.start()
        try:
            assert ask(url, "/api/v1/resources")[0] == 200
            assert answers == []
        finally:
            gate.set()
            for asker in askers:
                asker.join(30)
        assert len(answers) == MANY


def test_a_reader_who_leaves_a_long_stream_lets_the_command_end(
    sqlite_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    full = threading.Event()

    class Endless:
        finished, behind = False, True

        def __init__(self, *_: Any) -> None: ...

        def look(self) -> dict[str, str]:
            nonlocal looks
            looks += 1
            if looks > READ + QUEUED:
                full.set()
            return {"says": "more"}

    monkeypatch.setattr(work.jobs, "Follower", Endless)
    queued(sqlite_kernel)
    transport = Embedded(Kernel.open(sqlite_kernel.settings.home_path))
    client = ApiClient(transport)
    updates = client.follow("job-waiting")
    assert [next(updates) for _ in range(READ)] == [{"says": "more"}] * READ
    assert full.wait(20)
    held = [thread for thread in threading.enumerate() if not thread.daemon]
    client.close()
    for thread in held:
        if thread.name.startswith("asyncio"):
            thread.join(10)
            assert not thread.is_alive(), "the process would wait for it"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.2", 200),
        ("LocalHost:1", 200),
        ("[::1]", 200),
        ("uwu.example", 421),
        ("[::1", 421),
        ("[", 421),
        ("", 421),
    ],
)
def test_it_answers_where_it_listens_and_on_loopback(sqlite_kernel: Kernel, host: str, status: int) -> None:
    with serving(sqlite_kernel, host="127.0.0.2") as url:
        assert ask(url, "/healthz", Host=host)[0] == status


def test_an_origin_that_is_none_may_not_write(sqlite_kernel: Kernel) -> None:
    with serving(sqlite_kernel) as url:
        for origin in ("http://[", "null", "http://127.0.0.1:9"):
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
            connection.request("POST", "/api/v1/jobs", b"{}", {"Origin": origin, "Content-Type": "application/json"})
            assert connection.getresponse().status == 403, origin
            connection.close()


def test_a_token_that_is_not_its_own_is_refused(sqlite_kernel: Kernel) -> None:
    with serving(sqlite_kernel, token="right") as url:
        assert ApiClient(Remote(url, "right")).get("/status")["resources"] == 0
        assert ApiClient(Remote(url)).get("/status")["resources"] == 0
        with pytest.raises(Denied) as caught:
            ApiClient(Remote(url, "wrong")).get("/status")
        assert caught.value.problem.code == "token-unknown"
        status, refused = ask(url, "/healthz", Authorization="Bearer wrong")
        assert (status, (refused.getheader("www-authenticate") or "").split()[0]) == (401, "Bearer")
        assert ask(url, "/healthz", Authorization="Basic cHJveHk6cHJveHk=")[0] == 200, "a proxy's own, not ours"


def test_the_server_of_another_home_is_not_taken_for_ones_own(sqlite_kernel: Kernel, tmp_path: Path) -> None:
    import os

    home = tmp_path / "mine"
    home.mkdir()
    with serving(sqlite_kernel, token="theirs") as url:
        for token, transport in (("mine", Embedded), ("theirs", Remote)):
            info = {"url": url, "token": token, "pid": os.getpid()}
            (home / "server.json").write_text(json.dumps(info))
            client = connect(home)
            assert isinstance(client.transport, transport)
            client.close()
