"""Exactly once: claims, fences, recovery, order, and what a step repeated at any point does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.kernel.lake_world import EVENTS, NAMES, counts, events, names
from uwu.kernel.db import Database
from uwu.kernel.errors import BadInput, Conflict
from uwu.kernel.lake import Batch, Batches, Lake, maintain
from uwu.kernel.settings import Settings

TABLES = (EVENTS, NAMES)


@pytest.fixture
def lake(db: Database, database_url: str, tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(Settings(home=str(tmp_path / "home"), database_url=database_url))
    yield opened
    opened.close()


@pytest.fixture
def batches(db: Database, lake: Lake) -> Batches:
    return Batches(db, lake, "trail", TABLES, holder="one")


def rows(batch: Batch) -> dict[str, pa.Table]:
    return {
        "events": pa.concat_tables([events(key) for key in batch.keys]),
        "names": pa.concat_tables([names(key) for key in batch.keys]),
    }


def take(batches: Batches, *keys: str) -> Batch:
    batch = batches.claim(keys)
    assert batch is not None
    return batch


def test_keys_become_rows_once(batches: Batches) -> None:
    assert batches.unclaimed(["a", "b", "a"]) == ["a", "b"]
    batch = take(batches, "a", "b", "a")
    assert batch.keys == ("a", "b")
    batches.write(batch, rows(batch), detail={"objects": 2})
    assert counts(batches.lake) == (0, 0)
    assert batches.commit() == [1]
    assert batches.commit() == []
    assert counts(batches.lake) == (120, 120)
    assert counts(batches.lake, "names") == (4, 4)
    assert batches.claim(["a", "b"]) is None
    assert batches.unclaimed(["b", "c"]) == ["c"]
    assert take(batches, "b", "c").keys == ("c",)
    state = batches.states()[1]
    assert (state.state, state.rows, state.detail) == ("committed", {"events": 120, "names": 4}, {"objects": 2})


def test_a_batch_without_rows_is_committed_too(batches: Batches) -> None:
    batches.write(take(batches, "empty object"), {})
    assert batches.commit() == [1]
    assert batches.claim(["empty object"]) is None
    batch = take(batches, "a")
    batches.write(batch, rows(batch))
    assert batches.commit() == [2]
    assert counts(batches.lake) == (60, 60)


def test_claims_at_the_same_time_share_no_key_and_no_number(batches: Batches) -> None:
    got: list[Batch] = []
    barrier = threading.Barrier(4)

    def claimer(n: int) -> None:
        barrier.wait()
        for i in range(5):
            batch = batches.claim([f"k{(n + i) % 6}", f"k{i}", f"own-{n}-{i}"])
            if batch is not None:
                got.append(batch)

    threads = [threading.Thread(target=claimer, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = sorted(batch.number for batch in got)
    keys = [key for batch in got for key in batch.keys]
    assert numbers == list(range(1, 21))
    assert len(keys) == len(set(keys)) == 26


def test_a_batch_waits_for_those_before_it(batches: Batches) -> None:
    first, second = take(batches, "a"), take(batches, "b")
    batches.write(second, rows(second))
    assert batches.commit() == []
    batches.write(first, rows(first))
    assert batches.commit() == [1, 2]
    assert counts(batches.lake) == (120, 120)


def test_a_lost_batch_cannot_be_recorded_by_its_old_holder(db: Database, batches: Batches) -> None:
    batch = take(batches, "a")
    other = Batches(db, batches.lake, "trail", TABLES, holder="two")
    assert other.recover() == []  # it is held, and not run out
    (again,) = batches.recover()  # the same worker after a restart
    assert (again.number, again.epoch, again.keys) == (1, 2, ("a",))
    with pytest.raises(Conflict) as caught:
        batches.write(batch, rows(batch))
    assert caught.value.problem.code == "batch-lost"
    assert not list((batches.lake.root / "events" / "data").iterdir())
    for late in (batches.renew, batches.release):
        with pytest.raises(Conflict):
            late(batch)
    batches.write(again, rows(again))
    with pytest.raises(Conflict):  # written is final
        batches.write(again, rows(again))
    assert batches.commit() == [1]
    assert counts(batches.lake) == (60, 60)


def test_writing_again_does_not_take_away_recorded_files(batches: Batches) -> None:
    batch = take(batches, "a")
    batches.write(batch, rows(batch))
    with pytest.raises(Conflict):
        batches.write(batch, rows(batch))
    assert batches.commit() == [1]
    assert counts(batches.lake) == (60, 60)


def test_a_claim_that_has_run_out_is_anyones(db: Database, lake: Lake) -> None:
    dead = Batches(db, lake, "trail", TABLES, holder="dead", claim_seconds=-1)
    take(dead, "a", "b")
    alive = Batches(db, lake, "trail", TABLES, holder="alive")
    (batch,) = alive.recover()
    assert batch.keys == ("a", "b")
    alive.write(batch, rows(batch))
    assert alive.commit() == [1]
    assert counts(lake) == (120, 120)


def test_a_released_batch_gives_its_keys_back_and_holds_no_one_up(batches: Batches) -> None:
    first, second = take(batches, "a"), take(batches, "b")
    batches.write(second, rows(second))
    batches.release(first)
    assert batches.commit() == [2]
    third = take(batches, "a")
    assert third.number == 3
    batches.write(third, rows(third))
    assert batches.commit() == [3]
    assert counts(batches.lake) == (120, 120)


def test_bad_rows_record_nothing(batches: Batches) -> None:
    batch = take(batches, "a")
    with pytest.raises(BadInput):
        batches.write(batch, {"evnts": events("a")})
    with pytest.raises(BadInput):
        batches.write(batch, {"events": events("a"), "names": names("a").append_column("no", pa.array(["", ""]))})
    assert not list((batches.lake.root / "events" / "data").glob("*"))
    batches.write(batch, rows(batch))
    assert batches.commit() == [1]


def test_a_commit_that_died_between_tables_goes_on(db: Database, batches: Batches) -> None:
    batch = take(batches, "a")
    batches.write(batch, rows(batch))
    ready = batches._next()
    assert ready is not None
    batches.lake.commit("events", "trail", 1, ready[1]["events"])  # and then it died
    again = Batches(db, Lake(batches.lake.settings), "trail", TABLES, holder="one")
    assert again.recover() == []
    assert again.commit() == [1]
    assert counts(again.lake) == (60, 60)
    assert counts(again.lake, "names") == (2, 2)
    again.lake.close()


def test_upkeep_never_touches_what_is_written_but_not_committed(batches: Batches) -> None:
    for n in range(1, 8):
        batch = take(batches, f"k{n}")
        batches.write(batch, rows(batch))
        batches.commit()
    held, waiting = take(batches, "held"), take(batches, "waiting")
    batches.write(waiting, rows(waiting))
    limits = maintain.Limits(
        compact_files=4, expire_every=1, keep_snapshots=1, grace_seconds=-1, collect_every_seconds=0
    )
    report = batches.maintain(limits)
    assert report.compacted_days == 3
    assert report.collected_files > 0
    batches.write(held, rows(held))
    assert batches.commit() == [8, 9]
    assert counts(batches.lake) == (540, 540)
    assert counts(batches.lake, "names") == (18, 18)


def test_many_workers_one_table(db: Database, lake: Lake) -> None:
    errors: list[BaseException] = []

    def worker(n: int) -> None:
        own = Batches(db, lake, "trail", TABLES, holder=f"w{n}")
        try:
            for i in range(4):
                batch = own.claim([f"k{i}-{n % 2}", f"own-{n}-{i}"])
                if batch is not None:
                    own.write(batch, rows(batch))
                    own.commit()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=worker, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    keys = 4 * 4 + 4 * 2
    assert counts(lake) == (60 * keys, 60 * keys)
    assert {state.state for state in Batches(db, lake, "trail", TABLES).states()} == {"committed"}
