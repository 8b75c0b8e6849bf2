"""A worker that is killed while Terraform applies: nothing of Terraform lives on, nothing that was done is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.domains.iac.runs.test_runs import HELD, state, until
from tests.domains.iac.runs.world import KEY, TEO, House, declare, house
from uwu.domains.iac import state_store
from uwu.domains.iac.runs import execute, store
from uwu.kernel.plans import apply
from uwu.kernel.runtime import Kernel
from uwu.kernel.worker import Worker

ROOT = Path(__file__).parents[4]


def processes(folder: Path) -> list[int]:
    """Those whose working folder lies in ``folder``."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "cwd").readlink()).startswith(str(folder)):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("begun", [True, False])
def test_a_killed_worker_leaves_no_process_and_loses_nothing(
    sqlite_kernel: Kernel, tmp_path: Path, begun: bool
) -> None:
    kernel = sqlite_kernel
    with house(kernel, tmp_path / "estate", HELD % (tmp_path, tmp_path)) as built:
        run = built.plan()
        built.approve(run)
    job = apply.start(kernel, TEO, run.plan)
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", "tests.domains.iac.runs.worker", str(kernel.settings.home_path)]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, cwd=ROOT)
    folder = execute.sandbox(kernel, run).root
    if begun:
        until((tmp_path / "began").exists, "the provisioner did not begin")
    else:
        until(folder.exists, "the run did not begin")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.stdout is not None
    killed.stdout.close()
    until(lambda: not processes(folder), "a process of the run lives on")
    (tmp_path / "go").touch()
    again = House(kernel, Worker(kernel), built.folder)
    declare(kernel, built.folder)
    again.worker.start()
    try:
        again.worker.run_until_done(job)
        ended = again.run(run.id)
        if begun:
            assert (ended.status, state(kernel).lock) == (store.FAILED, None), again.log(ended)
            assert "a part was done" in ended.why and "is in the state now" in again.log(ended)
            assert b'"first"' in state_store.current_content(kernel, f"uwu://{KEY}")
        else:
            # it had written nothing: it is applied from the beginning
            assert ended.status == store.APPLIED, again.log(ended)
        fresh = again.plan()
        assert fresh.status == (store.PLANNED if begun else store.CLEAN), fresh.why
    finally:
        again.worker.stop(5)
