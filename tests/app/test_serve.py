"""The server of a home as a real process: its worker is kept alive and ends with it; the ways in which it refuses."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from uwu.app.serve import ServerInfo, read_server_info, serve
from uwu.kernel import codec, jobs, tables, workers
from uwu.kernel.errors import Conflict
from uwu.kernel.runtime import Kernel

SERVE = "import sys; from pathlib import Path; from uwu.app.serve import serve; serve(Path(sys.argv[1]), port=0)"


def until(condition: Callable[[], Any], seconds: float = 40) -> Any:
    """Waits for the condition; fails where it does not come true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
    return value


class Served:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.home = kernel, kernel.settings.home_path
        self.process = subprocess.Popen([sys.executable, "-c", SERVE, str(self.home)])
        self.info: ServerInfo = until(lambda: read_server_info(self.home))

    def get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(urlsplit(self.info.url).netloc, timeout=20)
        connection.request("GET", path)
        return connection.getresponse()

    def worker(self) -> int | None:
        with self.kernel.db.read() as connection:
            return connection.execute(sa.select(tables.workers.c.pid)).scalar()


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.fixture
def served(sqlite_kernel: Kernel) -> Iterator[Served]:
    made = Served(sqlite_kernel)
    yield made
    if made.process.poll() is None:
        made.process.kill()
    made.process.wait()
    until(lambda: workers.holder(made.home) is None)


def test_a_server_keeps_its_worker_alive_and_ends_clean(served: Served, sqlite_kernel: Kernel) -> None:
    assert (served.home / "server.json").stat().st_mode & 0o777 == 0o600
    assert served.info.pid == served.process.pid and len(served.info.token) >= 32
    assert served.get("/healthz").status == 200
    first = until(served.worker)
    assert first != served.process.pid
    id = sqlite_kernel.jobs.enqueue("nonsense")
    *_, last = jobs.follow(sqlite_kernel.db, id)
    assert last.job.problem is not None and last.job.problem.code == "job-unknown", "its worker runs jobs"

    os.kill(first, signal.SIGKILL)
    second = until(lambda: served.worker() != first and served.worker())
    with pytest.raises(Conflict) as refused:
        serve(served.home, port=0)
    assert refused.value.problem.code == "server-running" and served.info.url in refused.value.problem.message

    # a stream of a job that never ends must not hold the server
    ticket = {"name": "x", "arguments": {}, "parent": "", "requested_by": "", "created_at": codec.iso(codec.now())}
    with sqlite_kernel.db.write() as connection:
        connection.execute(tables.jobs.insert().values(jobs.queued_row("job-endless", ticket)))
    stream = served.get("/api/v1/jobs/job-endless/events")
    assert stream.status == 200 and stream.readline()
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(30)
    stream.close()
    assert not (served.home / "server.json").exists()
    assert not alive(second) and served.worker() is None, "the worker said goodbye"


def test_a_worker_ends_with_a_server_that_is_killed(served: Served) -> None:
    worker = until(served.worker)
    served.process.kill()
    served.process.wait()
    until(lambda: not alive(worker))
    assert (served.home / "server.json").exists()
    assert read_server_info(served.home) is None, "what a killed server left behind is known to be stale"


def test_a_port_that_is_taken_is_named(sqlite_kernel: Kernel) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Conflict) as refused:
            serve(sqlite_kernel.settings.home_path, "127.0.0.1", port)
    assert refused.value.problem.code == "port-in-use" and str(port) in refused.value.problem.message
    assert read_server_info(sqlite_kernel.settings.home_path) is None
