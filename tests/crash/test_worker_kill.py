"""Workers are killed in the middle of a step: each job ends once, and no recorded step is repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.crash.jobs_process import CHILDREN, HELD, Marks, kernel_of
from uwu.kernel import jobs
from uwu.kernel.jobs import JobRecord, Jobs
from uwu.kernel.runtime import Kernel


def until(condition: Callable[[], Any], seconds: float = 40) -> Any:
    """Waits for the condition; fails where it does not come true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
    return value


class Crew:
    """The processes, the database and the marks of one test."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.marks = Marks(root / "marks")
        self.processes: list[subprocess.Popen[str]] = []
        self.kernel: Kernel = kernel_of(root / "home", url)
        self.port = Jobs(self.kernel)

    def spawn(self, mode: str, home: str = "home") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.crash.jobs_process", mode, str(self.root / home), self.url]
        process = subprocess.Popen([*command, str(self.marks.path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.processes.append(process)
        return process

    def worker(self, home: str = "home") -> subprocess.Popen[str]:
        process = self.spawn("worker", home)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    def kill_at(self, mark: str) -> int:
        """Kills the process that left ``mark``, as soon as it has."""
        until(lambda: mark in self.marks.names())
        pid = dict(self.marks.read())[mark]
        os.kill(pid, signal.SIGKILL)
        next(p for p in self.processes if p.pid == pid).wait()
        return pid

    def open_gate(self) -> None:
        self.marks.gate.touch()

    def finished(self, id: str) -> JobRecord:
        *_, last = jobs.follow(self.kernel.db, id, poll_seconds=0.05)
        return last.job

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self.port.close()
        self.kernel.close()


@pytest.fixture
def crew(database_url: str, tmp_path: Path) -> Iterator[Crew]:
    made = Crew(tmp_path, database_url)
    yield made
    made.close()


def test_a_worker_killed_in_a_step_and_the_job_ends_once(crew: Crew) -> None:
    """On PostgreSQL a peer on another machine goes on; on SQLite the worker that is started again does."""
    crew.worker()
    if crew.kernel.db.dialect == "postgresql":
        crew.worker("elsewhere")
    id = crew.port.enqueue("three", key="three")
    killed = crew.kill_at("two-begin")
    assert crew.port.enqueue("three", key="three") == id, "an unfinished run keeps its key"
    crew.open_gate()
    if crew.kernel.db.dialect == "sqlite":
        crew.worker()
    record = crew.finished(id)
    assert record.status == "done" and record.result == {"steps": ["one", "two-end", "three"]}
    marks = crew.marks.read()
    assert Counter(name for name, _ in marks) == {"one": 1, "two-begin": 2, "two-end": 1, "three": 1}
    assert {pid for name, pid in marks if name in ("one", "two-begin")} > {killed}
    assert killed not in {pid for name, pid in marks if name in ("two-end", "three")}
    with crew.kernel.db.read() as connection:
        assert [line.message for line in jobs.log(connection, id)] == ["begun", "almost"], "no line twice"


def test_a_parent_and_its_children_survive_a_kill(crew: Crew) -> None:
    crew.worker()
    id = crew.port.enqueue("parent")
    free = {f"child{n}" for n in range(HELD, CHILDREN)}
    held = {f"child{n}-begin" for n in range(HELD)}
    until(lambda: free | held <= set(crew.marks.names()))

    def recorded() -> bool:
        with crew.kernel.db.read() as connection:
            return sum(status == "done" for _, status in jobs.descendants(connection, id)) == CHILDREN - HELD

    until(recorded)
    crew.kill_at("child0-begin")
    crew.open_gate()
    # a new process of the same home has the same executor id: no peer and no silence is needed
    crew.worker()
    record = crew.finished(id)
    assert record.status == "done" and record.result == {"children": list(range(CHILDREN))}
    assert (record.done, record.total) == (CHILDREN, CHILDREN)
    counts = Counter(crew.marks.names())
    assert all(counts[name] == 1 for name in ("parent", "gathered", *free))
    assert all(counts[f"child{n}-end"] == 1 for n in range(HELD))


def test_a_terminated_worker_ends_its_step_and_hands_over_the_rest(crew: Crew) -> None:
    first = crew.worker()
    id = crew.port.enqueue("three")
    until(lambda: "two-begin" in crew.marks.names())
    first.terminate()
    crew.open_gate()
    assert first.wait(20) == 0
    second = crew.worker("elsewhere" if crew.kernel.db.dialect == "postgresql" else "home")
    assert crew.finished(id).status == "done"
    counts = Counter(crew.marks.names())
    assert counts == {"one": 1, "two-begin": 1, "two-end": 1, "three": 1}
    assert dict(crew.marks.read())["three"] in (first.pid, second.pid)


@pytest.fixture
def alone(sqlite_kernel: Kernel, tmp_path: Path) -> Iterator[Crew]:
    """A crew on SQLite only."""
    made = Crew(tmp_path, sqlite_kernel.settings.state_url)
    yield made
    made.close()


def test_a_command_is_interrupted_then_killed_in_a_step_and_the_next_one_finishes_the_job(alone: Crew) -> None:
    def begun(times: int) -> tuple[subprocess.Popen[str], str]:
        process = alone.spawn("inline")
        assert process.stdout is not None
        id = process.stdout.readline().strip()
        until(lambda: alone.marks.names().count("two-begin") == times)
        return process, id

    interrupted, id = begun(1)
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait(20) == 130, "it does not wait for the step that is held at the gate"
    killed, same = begun(2)
    assert same == id
    command = [sys.executable, "-m", "tests.crash.jobs_process", "inline", str(alone.root / "home"), alone.url]
    refused = subprocess.run(
        [*command, str(alone.marks.path)], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )
    assert refused.returncode != 0 and f"process {killed.pid}" in refused.stderr
    alone.kill_at("two-begin")
    alone.open_gate()
    output, _ = alone.spawn("inline").communicate(timeout=60)
    assert output.split() == [id, "done"]
    assert Counter(alone.marks.names()) == {"one": 1, "two-begin": 3, "two-end": 1, "three": 1}
