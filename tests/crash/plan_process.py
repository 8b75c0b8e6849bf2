"""A worker of the changeable world, for tests that kill it: ``python -m tests.crash.plan_process HOME URL``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from tests.kernel import plan_world
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import JobsSettings, Settings


def kernel_of(home: Path, url: str) -> Kernel:
    settings = Settings(home=str(home), database_url=url, jobs=JobsSettings(stale_after_seconds=2))
    return Kernel(settings, (plan_world.DOMAIN,))


def main() -> None:
    from uwu.kernel.worker import Worker

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = Worker(kernel_of(Path(sys.argv[1]), sys.argv[2]))
    worker.start()
    print("ready", flush=True)
    stop.wait()
    os._exit(0 if worker.stop(10) else 1)


if __name__ == "__main__":
    main()
