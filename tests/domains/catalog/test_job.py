"""The jobs ``catalog.load`` and ``iac.read`` as a worker runs them, and what ``uwu status`` then says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from uwu.kernel import codec, domain, tables
from uwu.kernel.jobs import Arguments
from uwu.kernel.runtime import Kernel

T = TypeVar("T")


class Inline:
    """Runs a job's body in place; a step's result must be plain JSON, as a worker would record it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.id = "job_1"
        self.lines: list[tuple[str, str]] = []

    def step(self, function: Callable[..., T], *args: Any, name: str = "") -> T:
        assert name
        return codec.decode(codec.encode(function(*args)))

    def fan_out(self, job: str, arguments: Sequence[Arguments], *, keys: Sequence[str]) -> list[dict[str, Any]]:
        raise NotImplementedError(job, arguments, keys)

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        pass

    def log(self, message: str, *, level: str = "info", data: Any = None) -> None:
        self.lines.append((level, message))


ESTATE = """\
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: payments}
spec: {type: team, children: []}
---
apiVersion: uwu.dev/v1alpha1
kind: Stack
metadata: {name: pay}
spec: {owner: payments, state: pay.tfstate}
---
kind: a: b
"""


@pytest.fixture
def estate(sqlite_kernel: Kernel) -> Path:
    folder = sqlite_kernel.settings.home_path / "estate"
    folder.mkdir()
    (folder / "all.yaml").write_text(ESTATE)
    (folder / "pay.tfstate").write_text('{"version": 4, "serial": 1, "resources": []}')
    return folder


def run(kernel: Kernel, name: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    inline = Inline(kernel)
    job = domain.jobs_of(kernel.domains)[name]
    result = job.run(inline, {})
    with kernel.db.write() as connection:
        row = dict.fromkeys((c.name for c in tables.jobs.columns), None)
        fixed = {"arguments": {}, "parent": "job_0", "status": "done", "requested_by": "test", "stage": "", "done": 0}
        times = {"created_at": codec.now(), "finished_at": codec.now(), "total": 0, "result": result}
        connection.execute(tables.jobs.insert().values({**row, **fixed, **times, "id": name, "name": name}))
    return result, inline.lines


def health(kernel: Kernel, name: str) -> tuple[str, str]:
    found = kernel.domain(name)
    assert found is not None
    (line,) = domain.load(found.health)(kernel)
    return line.status, line.detail


def test_a_sync_of_what_is_declared(sqlite_kernel: Kernel, estate: Path) -> None:
    assert health(sqlite_kernel, "catalog") == ("never", "run `uwu sync catalog`")
    result, lines = run(sqlite_kernel, "catalog.load")
    assert (result["entities"], result["changed"], result["problems_total"]) == (2, 2, 1)
    assert lines[0][0] == "error"
    assert lines[0][1].startswith(f"{estate}/all.yaml:11: this is not YAML")
    assert lines[1] == ("info", "2 entities, 2 changed, 0 orphaned, 1 problems")
    assert health(sqlite_kernel, "catalog") == ("fresh", "2 entities, 1 errors")
    result, lines = run(sqlite_kernel, "iac.read")
    assert (result["states"], lines[-1]) == (1, ("info", "1 states, 0 declarations, 0 of them named"))
    assert health(sqlite_kernel, "iac") == ("fresh", "1 states, 0 errors")


def test_a_source_that_was_not_read_for_long_is_late(sqlite_kernel: Kernel, estate: Path) -> None:
    run(sqlite_kernel, "catalog.load")
    long_ago = codec.now() - timedelta(hours=sqlite_kernel.settings.drift.stale_after_hours + 1)
    with sqlite_kernel.db.write() as connection:
        connection.execute(sa.update(tables.jobs).values(finished_at=long_ago))
    assert health(sqlite_kernel, "catalog")[0] == "late"
    with sqlite_kernel.db.write() as connection:
        connection.execute(sa.update(tables.jobs).values(status="failed"))
    assert health(sqlite_kernel, "catalog")[0] == "failed"
