"""The loop on PostgreSQL: two workers of two homes share a database and a lake, and find what one finds on SQLite."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.acceptance.conftest import Synced
from tests.acceptance.world import UWU, Small, different, environment, facts, faults, opened, uwu
from uwu.kernel import jobs, settings
from uwu.kernel.runtime import Kernel

if TYPE_CHECKING:
    from tests.conftest import PostgresServer

ROOM = 64 * 1024
"""Bytes that a file may have where the disk is full: enough for locks, too few for an event table."""


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    url = postgres.clone()
    yield url
    postgres.drop(url)


def _until_all_beat(kernel: Kernel, count: int) -> None:
    """Waits for the workers to be there: who comes first could take everything."""
    while True:
        with kernel.db.read() as connection:
            if len(connection.execute(sa.text("select executor_id from workers")).all()) == count:
                return
        time.sleep(0.1)


def test_two_workers_share_a_database_and_a_lake(small: Small, synced: Synced, database: str, tmp_path: Path) -> None:
    shared = {"UWU_DATABASE_URL": database, "UWU_LAKE_WAREHOUSE": str(tmp_path / "lake")}
    homes = [small.home(tmp_path / name) for name in ("one", "two")]
    estate = {"UWU_ESTATE": str(homes[0] / "estate")}
    processes: list[subprocess.Popen[bytes]] = []
    kernel = Kernel(settings.load(homes[0], shared))
    try:
        for home in homes:
            env = environment(home, small.organisation, UWU_JOBS_CONCURRENCY="1", **shared, **estate)
            processes.append(subprocess.Popen([UWU, "worker"], env=env))
        _until_all_beat(kernel, len(homes))
        job = kernel.jobs.enqueue("sync", key="one")
        *_, last = jobs.follow(kernel.db, job)
        assert last.job.status == "done" and last.job.result is not None, last.job.problem
        assert all("problem" not in told for told in last.job.result.values()), last.job.result
        with kernel.db.read() as connection:
            ran = sa.text("select executor_id, count(*) from dbos.workflow_status group by executor_id")
            workers = {row[0]: row[1] for row in connection.execute(ran)}
        # how many each takes is luck: a sync of so little is nine jobs, most of them short
        assert len(workers) == 2, f"both took part, not {workers}"
        assert different(facts(synced.kernel), facts(kernel)) == {}
        assert faults(kernel) == []
    finally:
        for process in processes:
            process.terminate()
        statuses = [process.wait(30) for process in processes]
        kernel.close()
    assert statuses == [0, 0]


def test_a_full_disk_in_the_lake_costs_only_the_events_until_there_is_room(
    small: Small, synced: Synced, database: str, tmp_path: Path
) -> None:
    home = small.home(tmp_path / "home")
    env = environment(home, small.organisation, UWU_DATABASE_URL=database)

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))

    done = subprocess.run(
        [UWU, "sync"], env=env, preexec_fn=no_room, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "trail.ingest failed" in done.stdout and "storage-full" in done.stdout and "hint" in done.stdout
    expected = facts(synced.kernel)
    kernel = opened(home, database)
    got = facts(kernel)
    for name in ("resources", "relations", "entities", "declarations", "coverage"):
        assert got[name] == expected[name]
    assert got["events"] == []
    lasting = {row[0] for row in expected["findings"] if not row[1].startswith("trail.")}
    assert {row[0] for row in got["findings"]} == lasting, "found, and not explained; alerts are of events"

    assert uwu(env, "sync", "trail").status == 0
    assert different(expected, facts(kernel)) == {}
    kernel.close()
