"""The jobs of infrastructure as code."""

from __future__ import annotations

from typing import Any

from uwu.domains.iac import observe, state_crypt, state_import
from uwu.domains.iac.actions import REKEY
from uwu.domains.iac.drift import schedule
from uwu.domains.iac.runs import ask
from uwu.kernel.jobs import Job, Run


def _rekey(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
    done = turn = 0
    while count := run.step(state_crypt.rewrap, run.kernel, name=f"rewrap {turn}"):
        done, turn = done + count, turn + 1
        run.progress("wrapping keys anew", done)
    return {"rewrapped": done}


JOBS = (
    *observe.JOBS,
    *state_import.JOBS,
    *ask.JOBS,
    *schedule.JOBS,
    Job("iac.state.rekey", _rekey, concurrency=1, action=REKEY),
)
