"""A worker that looks often: ``python -m tests.kernel.schedules_process HOME URL MARKS``.

Its one job writes a line of the slot's run and of its own process into the file MARKS.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from uwu.kernel import schedules
from uwu.kernel.domain import Domain, Schedule
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings
from uwu.kernel.worker import Worker

TICK = Schedule("tick", "tick", "leave a mark", every_minutes=1)


def kernel_of(home: Path, url: str) -> Kernel:
    return Kernel(Settings(home=str(home), database_url=url), (Domain("clock", "Clock", schedules=(TICK,)),))


def main() -> None:
    home, url, marks = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])

    def leave(id: str) -> None:
        file = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, f"{id} {os.getpid()}\n".encode())
        os.close(file)

    def tick(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
        run.step(leave, run.id, name="leave")
        return arguments

    schedules.CHECK_SECONDS = 0.1
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = Worker(kernel_of(home, url), jobs={"tick": Job("tick", tick)}, scheduling=True)
    worker.start()
    print("ready", flush=True)
    stop.wait()
    os._exit(0 if worker.stop(10) else 1)


if __name__ == "__main__":
    main()
