"""The lake's tables: files, commits, plans, upkeep, bad input, a full disk."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tests.kernel.lake_world import EVENTS, START, counts, events
from uwu.kernel.errors import BadInput, Misconfigured, NotFound
from uwu.kernel.lake import Column, Lake, maintain
from uwu.kernel.settings import LakeSettings, Settings


@pytest.fixture
def lake(database_url: str, tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(Settings(home=str(tmp_path / "home"), database_url=database_url))
    opened.ensure(EVENTS)
    yield opened
    opened.close()


@pytest.fixture
def folder_lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(Settings(home=str(tmp_path / "home")))
    opened.ensure(EVENTS)
    yield opened
    opened.close()


def add(lake: Lake, batch: int, rows: pa.Table) -> None:
    assert lake.commit("events", "s", batch, lake.copy("events", rows, f"b{batch}"))


def test_a_table_holds_what_was_committed_and_plans_by_day(lake: Lake) -> None:
    add(lake, 1, events("a"))
    assert lake.tables() == ["events"]
    assert counts(lake) == (60, 60)
    midnight = datetime(2025, 3, 11, tzinfo=UTC)
    assert len(lake.files("events")) == 2
    assert len(lake.files("events", midnight)) == 1
    assert len(lake.files("events", None, midnight)) == 1
    assert lake.files("events", midnight + timedelta(days=1)) == ()
    later = lake.rows(f"select min(event_time) as t, count(*) as n from {lake.scan('events', midnight)}")[0]
    assert later == {"t": midnight, "n": 30}


def test_an_empty_table_and_an_empty_day_read_as_no_rows(folder_lake: Lake) -> None:
    assert counts(folder_lake) == (0, 0)
    with folder_lake.connection() as connection:
        described = connection.execute(f"describe select * from {folder_lake.scan('events')}").fetchall()
    assert [row[:2] for row in described][:2] == [("event_time", "TIMESTAMP WITH TIME ZONE"), ("id", "VARCHAR")]
    assert folder_lake.copy("events", events("a", 0), "none") == []


def test_a_batch_is_taken_in_once(lake: Lake) -> None:
    files = lake.copy("events", events("a"), "b1")
    assert lake.commit("events", "s", 1, files)
    assert not lake.commit("events", "s", 1, files)
    other = Lake(lake.settings)
    assert not other.commit("events", "s", 1, files)
    assert counts(other) == (60, 60)
    assert lake.commit("events", "another stream", 1, lake.copy("events", events("b"), "other"))
    assert counts(other) == (120, 120)
    other.close()


def test_two_committers_at_once_lose_nothing(lake: Lake) -> None:
    files = {(s, n): lake.copy("events", events(f"{s}{n}", 5), f"{s}-{n}") for s in "pq" for n in (1, 2, 3)}
    errors: list[BaseException] = []

    def committer(stream: str) -> None:
        own = Lake(lake.settings)
        try:
            for number in (1, 2, 3):
                own.commit("events", stream, number, files[stream, number])
        except BaseException as error:
            errors.append(error)
        finally:
            own.close()

    # two of them commit the same stream: each batch still lands once
    threads = [threading.Thread(target=committer, args=(stream,)) for stream in ("p", "q", "q")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert counts(lake) == (30, 30)


def test_files_are_sorted_with_small_row_groups_and_bloom_filters(folder_lake: Lake) -> None:
    start = datetime(2025, 3, 10, tzinfo=UTC)
    add(folder_lake, 1, events("a", 40_000, start=start, step=timedelta(seconds=2)))
    path = folder_lake.files("events")[0]
    with duckdb.connect() as connection:
        meta = connection.execute(
            "select row_group_id, path_in_schema, bloom_filter_length, row_group_num_rows from parquet_metadata($1)",
            [path],
        ).fetchall()
        principals = [r[0] for r in connection.execute("select principal from read_parquet($1)", [path]).fetchall()]
    assert {row[3] for row in meta} == {16_384, 40_000 - 2 * 16_384}
    assert all(row[2] for row in meta if row[1] in {"id", "principal"})
    assert principals == sorted(principals)
    assert not list((folder_lake.root / "events" / "data").glob("*.tmp"))


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (pa.table({"event_time": pa.array([None], pa.timestamp("us", "UTC"))}), "lake-row-time"),
        (pa.table({"event_time": pa.array([START, None], pa.timestamp("us", "UTC"))}), "lake-row-time"),
        (pa.table({"event_time": pa.array([START.replace(tzinfo=None)], pa.timestamp("us"))}), "lake-row-time"),
        (pa.table({"id": ["x"]}), "lake-row-time"),
        (events("a").append_column("Surprise", pa.array(["x"] * 60)), "lake-columns"),
    ],
    ids=["null time", "partly null time", "naive time", "no time", "unknown column"],
)
def test_rows_that_would_lie_in_the_wrong_place_are_refused(folder_lake: Lake, rows: pa.Table, code: str) -> None:
    with pytest.raises(BadInput) as caught:
        folder_lake.copy("events", rows, "bad")
    assert caught.value.problem.code == code
    assert not list((folder_lake.root / "events" / "data").glob("*"))


def test_times_of_another_zone_and_unit_land_on_their_utc_day(folder_lake: Lake) -> None:
    at = datetime(2025, 3, 10, 23, 30, tzinfo=UTC)
    for n, kind in enumerate((pa.timestamp("ns", "UTC"), pa.timestamp("ms", "America/New_York")), 1):
        add(folder_lake, n, pa.table({"event_time": pa.array([at], kind), "id": [str(n)]}))
    rows = folder_lake.rows(f"select distinct event_time as t from {folder_lake.scan('events', at)}")
    assert [row["t"] for row in rows] == [at]
    assert all("2025-03-10" in path for path in folder_lake.files("events"))


def test_a_new_column_reads_as_null_in_older_files(folder_lake: Lake) -> None:
    add(folder_lake, 1, events("a", 5))
    wider = dataclasses.replace(EVENTS, columns=(Column("extra", "int"), *EVENTS.columns))
    newer = Lake(folder_lake.settings)
    newer.ensure(wider)
    rows = events("b", 5).append_column("extra", pa.array(range(5), pa.int32()))
    assert newer.commit("events", "s", 2, newer.copy("events", rows, "b2"))
    got = newer.rows(f"select extra, id from {newer.scan('events')} order by id")
    assert [row["extra"] for row in got] == [None] * 5 + [0, 1, 2, 3, 4]
    newer.close()


def test_a_column_of_another_type_is_refused_by_name(folder_lake: Lake) -> None:
    changed = dataclasses.replace(
        EVENTS, columns=tuple(Column("size", "text") if c.name == "size" else c for c in EVENTS.columns)
    )
    with pytest.raises(Misconfigured, match="'size'") as caught:
        Lake(folder_lake.settings).ensure(changed)
    assert caught.value.problem.code == "lake-schema"


def test_a_warehouse_that_is_no_folder_and_a_table_that_is_not_there(folder_lake: Lake) -> None:
    with pytest.raises(Misconfigured, match="s3://") as caught:
        Lake(Settings(home="/nowhere", lake=LakeSettings(warehouse="s3://bucket/lake"))).tables()
    assert caught.value.problem.code == "lake-warehouse"
    with pytest.raises(NotFound):
        folder_lake.scan("nothing")


def test_upkeep_compacts_expires_and_collects_and_loses_nothing(lake: Lake) -> None:
    for n in range(1, 15):
        add(lake, n, events(f"k{n}", 20))
    stray = lake.copy("events", events("stray", 20), "claimed-by-someone")
    pending = lake.copy("events", events("pending", 20), "written-not-committed")
    before = lake.files("events")
    report = maintain.maintain(
        lake,
        EVENTS,
        maintain.Limits(compact_files=5, expire_every=2, keep_snapshots=1, grace_seconds=-1, collect_every_seconds=0),
        keep={file.path for file in pending},
    )
    assert report.compacted_days == 1
    assert report.compacted_files == 14
    assert report.expired_snapshots >= 13
    assert len(lake.files("events")) == 1
    assert counts(lake) == (280, 280)
    assert not any(Path(path).exists() for path in before)
    assert not any(Path(file.path).exists() for file in stray)
    assert all(Path(file.path).exists() for file in pending)
    assert lake.commit("events", "s", 15, pending)
    assert not lake.commit("events", "s", 15, pending)
    assert counts(lake) == (300, 300)
    again = maintain.maintain(lake, EVENTS, maintain.Limits(), keep=set())
    assert again == maintain.Report()


def test_a_file_within_its_grace_is_kept(folder_lake: Lake) -> None:
    add(folder_lake, 1, events("a"))
    stray = folder_lake.copy("events", events("b"), "stray")
    report = maintain.maintain(folder_lake, EVENTS, maintain.Limits(collect_every_seconds=0), keep=set())
    assert report.collected_files == 0
    assert all(Path(file.path).exists() for file in stray)


def test_an_append_between_reading_and_replacing_survives_a_compaction(folder_lake: Lake) -> None:
    for n in range(1, 6):
        add(folder_lake, n, events(f"k{n}", 20))
    rewrite = folder_lake.rewrite

    def slow_rewrite(*args: str):
        written = rewrite(*args)
        add(folder_lake, 6, events("late", 20))
        return written

    folder_lake.rewrite = slow_rewrite  # type: ignore[method-assign]
    maintain.maintain(folder_lake, EVENTS, maintain.Limits(compact_files=5), keep=set())
    assert counts(folder_lake) == (120, 120)


_FULL_DISK = """
import resource, sys
from pathlib import Path
from datetime import timedelta
from tests.kernel.lake_world import EVENTS, START, counts, events
from uwu.kernel.db import Database
from uwu.kernel.errors import StorageFull
from uwu.kernel.lake import Batches, Lake
from uwu.kernel.settings import Settings

settings = Settings(home=sys.argv[1])
db = Database(settings.state_url)
lake = Lake(settings)
batches = Batches(db, lake, "s", (EVENTS,), holder="w")
one = batches.claim(["a"])
batches.write(one, {"events": events("a")})
batches.commit()
two = batches.claim(["b"])
big = events("b", 200_000, start=START.replace(hour=0), step=timedelta(milliseconds=400))

def full(limit, call):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        call()
    except StorageFull as error:
        assert error.problem.code == "storage-full" and error.problem.hint and error.problem.place, error.problem
        return True
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return False

assert full(50_000, lambda: batches.write(two, {"events": big}))
there = sorted(path.name for path in Path(lake.root, "events", "data").iterdir())
assert there == sorted(Path(path).name for path in lake.files("events")), there
assert counts(lake) == (60, 60) and batches.states()[0].state == "claimed"
batches.write(two, {"events": big})                      # room again: the same batch
ready = batches._next()
assert full(300, lambda: lake.commit("events", "s", 2, ready[1]["events"]))  # no room for the metadata
assert counts(lake) == (60, 60) and batches.states()[0].state == "written"
assert batches.commit() == [2]
assert counts(lake) == (200_060, 200_060)
assert not list(Path(lake.root, "events").rglob("*.tmp"))
print("kept")
"""


def test_a_full_disk_is_named_and_loses_nothing(sqlite_template: Path, tmp_path: Path) -> None:
    # the operating system refuses to let a file grow: the same failure of write() as a full disk, without root
    import shutil

    shutil.copy(sqlite_template, tmp_path / "state.db")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_FULL_DISK), str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "kept", done.stderr[-3000:]
