"""Backfills go on where they were, upkeep keeps days, two workers make no event twice, an original is found again."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.domains.trail.pipes import Pipe, records
from tests.domains.trail.test_ingest import count, take, write
from tests.domains.trail.test_s3 import s3_kernel
from uwu.domains.trail import backfill, ingest, original, pipeline, sources, standing, window
from uwu.domains.trail.ingest import Ingest
from uwu.kernel.errors import BadInput, NotFound, Unavailable
from uwu.kernel.lake import Lake
from uwu.kernel.runtime import Kernel

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

__all__ = ["s3_kernel"]
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def pipe(aws_server: MotoServer, s3_kernel: Kernel) -> Pipe:
    return Pipe(aws_server.url)


def back(kernel: Kernel, pipe: Pipe, since: datetime, until: str = "") -> standing.Backfill:
    (done,) = backfill.run(kernel, [pipe.source], f"{since:%Y-%m-%d}", until, holder="t", progress=lambda *_: None)
    return done


def test_a_backfill_that_was_cut_goes_on(pipe: Pipe, s3_kernel: Kernel, made: Any, monkeypatch: pytest.MonkeyPatch):
    days = [NOW - timedelta(days=n) for n in (40, 39, 38)]
    for day in days:
        pipe.put(records(made, 6, day), day)
    monkeypatch.setattr(ingest, "OBJECTS_PER_BATCH", 1)
    fetch, read = sources.fetch, []

    def cut(kernel: Kernel, held: sources.Object) -> bytes:
        if len(read) == 1 and not monkeypatch_done:
            raise Unavailable("S3 does not answer", code="s3-failed")
        read.append(held.name)
        return fetch(kernel, held)

    monkeypatch_done: list[bool] = []
    monkeypatch.setattr(sources, "fetch", cut)
    with pytest.raises(Unavailable):
        back(s3_kernel, pipe, days[0])
    with s3_kernel.db.read() as connection:
        (state,) = standing.backfills(connection)
    assert (state.state, state.total) == ("running", 41)
    assert "run it again" in state.problem
    monkeypatch_done.append(True)
    done = back(s3_kernel, pipe, days[0])
    assert (done.state, done.left, done.problem, done.id) == ("done", 0, "", state.id)
    assert count(s3_kernel) == 18
    assert len(read) == len(set(read)) == 3, "each object was read once"
    # the window is a done-set: the same days again take nothing
    assert back(s3_kernel, pipe, days[0]).events == 0


@pytest.mark.parametrize(("since", "until"), [("2026-03-32", ""), ("2026-03-10", "2026-03-10"), ("1999-01-01", "")])
def test_wrong_days_are_told(s3_kernel: Kernel, since: str, until: str):
    with pytest.raises(BadInput) as told:
        backfill.run(s3_kernel, ["s3://x/"], since, until, holder="t", progress=lambda *_: None)
    assert told.value.problem.code == "backfill-days"


def test_the_window_lists_days_and_not_the_bucket(pipe: Pipe, s3_kernel: Kernel, made: Any):
    for account in ("111122223333", "444455556666"):
        for region in ("us-east-1", "eu-west-1"):
            key = f"AWSLogs/o-abc/{account}/CloudTrail/{region}/{NOW:%Y/%m/%d}/x.json.gz"
            pipe.s3.put_object(Bucket=pipe.name, Key=key, Body=b"{}")
    pipe.s3.put_object(Bucket=pipe.name, Key="AWSLogs/o-abc/1/CloudTrail-Digest/eu-west-1/x.json.gz", Body=b"{}")
    assert window.roots(s3_kernel, pipe.source) == [
        f"AWSLogs/o-abc/{account}/CloudTrail/{region}/"
        for account in ("111122223333", "444455556666")
        for region in ("eu-west-1", "us-east-1")
    ]
    today = NOW.date()
    found = window.prefixes(s3_kernel, pipe.source, today - timedelta(days=1), today + timedelta(days=1))
    assert len(found) == 8
    assert (
        found[0]
        == f"s3://{pipe.name}/AWSLogs/o-abc/111122223333/CloudTrail/eu-west-1/{NOW - timedelta(days=1):%Y/%m/%d}/"
    )
    # a source that is one region's prefix lists that one alone
    one = f"{pipe.source}o-abc/111122223333/CloudTrail/us-east-1/"
    assert len(window.prefixes(s3_kernel, one, today, today + timedelta(days=1))) == 1


def test_two_workers_make_no_event_twice(kernel: Kernel, made: Any, tmp_path: Path):
    """Both read while neither has committed: the later one is compared again before it is."""
    same = records(made, 8, NOW - timedelta(hours=1))
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        write(folder / "x.json.gz", *same, *records(made, 2, NOW - timedelta(hours=1)))
    meet = threading.Barrier(2, timeout=60)

    class Met(Ingest):
        def _fresh(self, opened: Any) -> Any:
            found = super()._fresh(opened)
            meet.wait()
            return found

    failures: list[Exception] = []

    def work(folder: Path) -> None:
        try:
            with Met.opened(kernel, folder.name, lambda *_: None, lane=folder.name) as run:
                run.source(str(folder))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    ingest.batches(kernel).commit()
    assert count(kernel, what="count(distinct event_id)") == 12
    assert count(kernel) == 12
    assert count(kernel, "event_resources", "count(distinct event_id)") <= 12


def test_days_that_are_not_kept_leave_as_whole_files(
    sqlite_kernel: Kernel, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import msgspec

    for days in (50, 10, 1):
        at = NOW - timedelta(days=days)
        write(tmp_path / f"{days}.json.gz", *records(made, 3, at))
    take(sqlite_kernel, tmp_path)
    keeping = msgspec.structs.replace(sqlite_kernel.settings.trail, retention_days=30)
    settings = msgspec.structs.replace(sqlite_kernel.settings, trail=keeping)
    monkeypatch.setattr(sqlite_kernel, "settings", settings)
    before = set(sqlite_kernel.lake.files("events"))
    assert pipeline.upkeep(sqlite_kernel)["dropped_files"] >= 1
    after = set(sqlite_kernel.lake.files("events"))
    assert after < before, "no file was rewritten"
    assert count(sqlite_kernel) == 6
    assert pipeline.upkeep(sqlite_kernel)["dropped_files"] == 0


def test_the_original_of_an_event(sqlite_kernel: Kernel, made: Any, tmp_path: Path):
    at = NOW - timedelta(hours=1)
    answer = {"credentials": {"accessKeyId": "ASIAEXAMPLE", "sessionToken": "never-shown"}}
    wanted = made("AssumeRole", "sts.amazonaws.com", eventID="wanted", eventTime=f"{at:%Y-%m-%dT%H:%M:%SZ}")
    path = write(tmp_path / "x.json.gz", *records(made, 3, at), {**wanted, "responseElements": answer})
    take(sqlite_kernel, path)
    found = original.fetch(sqlite_kernel, "wanted")
    assert (found.object, found.index, found.record["userAgent"]) == (str(path), 3, "aws-cli/2.15.0")
    assert "never-shown" not in str(found.record)
    with pytest.raises(NotFound):
        original.fetch(sqlite_kernel, "not-there")
    path.unlink()
    with pytest.raises(sources.Gone):
        original.fetch(sqlite_kernel, "wanted")


def test_records_written_another_way_give_the_same_rows(sqlite_kernel: Kernel, made: Any, tmp_path: Path):
    """The careful way and the quick one: what an object's other records are must not change an event."""
    at = NOW - timedelta(hours=1)
    member = {"name": "caf\u00e9", "password": "x", "nested": [{"secretString": "y"}]}
    one, two = (
        made("CreateTags", eventID=id, eventTime=f"{at:%Y-%m-%dT%H:%M:%SZ}", requestParameters=member)
        for id in ("quick", "careful")
    )
    write(tmp_path / "quick.json", one)
    write(tmp_path / "careful.json", two, {"eventID": 7})
    taken = take(sqlite_kernel, tmp_path)
    assert (taken.events, taken.rejected) == (2, 1)
    lake: Lake = sqlite_kernel.lake
    rows = lake.rows(f"select * exclude (event_id, object, record_index) from {lake.scan('events')}")
    assert rows[0] == rows[1]
    assert rows[0]["request_parameters"] == (
        '{"name":"caf\u00e9","password":"(redacted)","nested":[{"secretString":"(redacted)"}]}'
    )
