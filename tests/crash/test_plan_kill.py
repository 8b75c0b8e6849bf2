"""The worker that applies a plan is killed before a write, or after it: each change reaches the world once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.crash.plan_process import kernel_of
from tests.crash.test_worker_kill import until
from tests.kernel.plan_world import built, finding, person
from tests.kernel.test_plans_apply import approved, lines, seen
from uwu.kernel import audit, jobs
from uwu.kernel.plans import apply, approve
from uwu.kernel.runtime import Kernel

MIRA, TEO = person("mira", "platform"), person("teo", "payments")


class Crew:
    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        self.kernel: Kernel = kernel_of(home, url)
        self.processes: list[subprocess.Popen[str]] = []

    def worker(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.crash.plan_process", str(self.home), self.url]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.processes.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self.kernel.close()


@pytest.fixture
def crew(database_url: str, tmp_path: Path) -> Iterator[Crew]:
    made = Crew(tmp_path / "home", database_url)
    yield made
    made.close()


@pytest.mark.parametrize("place", ["before-q1", "after-q1"])
def test_killed_in_the_middle_each_change_is_applied_once(crew: Crew, place: str) -> None:
    kernel = crew.kernel
    world = built(kernel, count=4, drifted=3)
    id = approved(kernel, 0, 1, 2)
    world.waits.write_text(place)
    first = crew.worker()
    job = apply.start(kernel, TEO, id)
    until(lambda: world.file.with_name("arrived").exists())
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    halfway = seen(kernel, id)
    assert halfway.status == "applying" and [c.status for c in halfway.changes] == ["done", "begun", "waits"]
    world.gate.touch()
    crew.worker()
    *_, last = jobs.follow(kernel.db, job, poll_seconds=0.05)
    assert last.job.status == "done", last.job.problem
    assert world.written() == ["q0", "q1", "q2"], "each once, in the order of the plan"
    plan = seen(kernel, id)
    assert plan.status == "applied" and [c.status for c in plan.changes] == ["done"] * 3
    interrupted = plan.changes[1].note.endswith("begun before an interruption")
    assert interrupted == place.startswith("after")
    told = lines(kernel, job)
    assert len(told) == len(set(told)), "no line twice"
    assert plan.proof is not None and {found["id"] for found in plan.proof["closed"]} == {finding(n) for n in range(3)}
    with kernel.db.read() as connection:
        actions = [entry.action for entry in audit.entries(connection)]
    assert actions.count("plan.apply") == actions.count("plan.applied") == 1
    undo = seen(kernel, approve.ask_undo(kernel, MIRA, id, reason="back").plan)
    assert len(undo.changes) == 3, "what was done before the interruption is ours to take back"
