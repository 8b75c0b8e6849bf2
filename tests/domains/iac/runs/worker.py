"""A worker in a process of its own, to be killed: ``python -m tests.domains.iac.runs.worker HOME``."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from uwu.kernel.runtime import Kernel
from uwu.kernel.worker import Worker

if __name__ == "__main__":
    Worker(Kernel.open(Path(sys.argv[1]))).start()
    print("ready", flush=True)
    threading.Event().wait()
