"""``kill -9`` of an ingest at random moments: no row is lost, none is doubled."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from pathlib import Path

from tests.crash import lake_process
from tests.kernel.lake_world import counts
from uwu.kernel.db import Database
from uwu.kernel.lake import Batches, Lake
from uwu.kernel.settings import Settings

KEYS = 200
KILLS = 25


def test_killed_at_random_moments_no_row_is_lost_or_doubled(sqlite_template: Path, tmp_path: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "state.db")
    chance = random.Random(20250310)
    # each child is a fresh process forked from one that has imported everything: it starts in milliseconds
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.lake_process"])
    kills = 0
    began = time.monotonic()
    ended = False
    while kills < KILLS and not ended and time.monotonic() - began < 20:
        up = context.Event()
        process = context.Process(target=lake_process.main, args=(str(tmp_path), KEYS, up))
        process.start()
        assert up.wait(60)
        process.join(chance.uniform(0.0, 0.7))
        process.kill()
        process.join()
        ended = process.exitcode == 0  # it may end by itself just before the kill
        assert ended or process.exitcode == -9
        kills += not ended
    last = context.Process(target=lake_process.main, args=(str(tmp_path), KEYS, up := context.Event()))
    last.start()
    assert up.wait(60)
    last.join(200)
    assert last.exitcode == 0
    assert kills >= 5
    settings = Settings(home=str(tmp_path))
    db, lake = Database(settings.state_url), Lake(settings)
    assert counts(lake) == (KEYS * 20, KEYS * 20)
    assert counts(lake, "names") == (KEYS * 2, KEYS * 2)
    states = Batches(db, lake, "trail", (), holder="judge").states(1000)
    assert {state.state for state in states} == {"committed"}
    assert sum(state.rows["events"] for state in states) == KEYS * 20
    lake.close()
    db.close()
