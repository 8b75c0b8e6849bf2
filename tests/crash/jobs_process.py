"""A process that runs jobs, for tests that kill it: ``python -m tests.crash.jobs_process MODE HOME URL MARKS``.

Its jobs leave marks: one line ``name pid`` in the file MARKS at each moment, and wait at gates: files beside it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from uwu.kernel.jobs import Job, Jobs, Run
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import JobsSettings, Settings

CHILDREN = 8
HELD = 4
"""Children that wait at the gate."""


def kernel_of(home: Path, url: str) -> Kernel:
    return Kernel(Settings(home=str(home), database_url=url, jobs=JobsSettings(stale_after_seconds=2)), ())


class Marks:
    def __init__(self, path: Path) -> None:
        self.path = path

    def leave(self, name: str) -> str:
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, f"{name} {os.getpid()}\n".encode())
        os.close(file)
        return name

    def read(self) -> list[tuple[str, int]]:
        if not self.path.exists():
            return []
        return [(name, int(pid)) for name, pid in (line.split() for line in self.path.read_text().splitlines())]

    def names(self) -> list[str]:
        return [name for name, _ in self.read()]

    @property
    def gate(self) -> Path:
        return self.path.with_suffix(".gate")

    def pass_gate(self, name: str) -> str:
        self.leave(f"{name}-begin")
        deadline = time.monotonic() + 60
        while not self.gate.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self.leave(f"{name}-end")


def jobs_of(marks: Marks) -> dict[str, Job]:
    def three(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
        run.log("begun")
        first = run.step(marks.leave, "one", name="one")
        second = run.step(marks.pass_gate, "two", name="two")
        run.log("almost")
        return {"steps": [first, second, run.step(marks.leave, "three", name="three")]}

    def child(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
        n = arguments["n"]
        done = run.step(marks.pass_gate if n < HELD else marks.leave, f"child{n}", name="child")
        return {"n": n, "done": done}

    def parent(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
        run.step(marks.leave, "parent", name="parent")
        children = run.fan_out("child", [{"n": n} for n in range(CHILDREN)], keys=[str(n) for n in range(CHILDREN)])
        run.step(marks.leave, "gathered", name="gathered")
        return {"children": [found["n"] for found in children]}

    return {job.name: job for job in (Job("three", three), Job("child", child), Job("parent", parent))}


def main() -> None:
    from uwu.app.worker import inline
    from uwu.kernel import worker as worker_

    mode, home, url, path = sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    marks = Marks(path)
    kernel = kernel_of(home, url)
    if mode == "inline":
        worker_.installed = lambda _kernel: jobs_of(marks)
        with inline(kernel) as worker:
            port = Jobs(kernel)
            id = port.enqueue("three", key="three")
            print(id, flush=True)
            print(worker.run_until_done(id).status, flush=True)
            port.close()
        kernel.close()
        return
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = worker_.Worker(kernel, jobs=jobs_of(marks))
    worker.start()
    print("ready", flush=True)
    stop.wait()
    rested = worker.stop(10)
    os._exit(0 if rested else 1)


if __name__ == "__main__":
    main()
