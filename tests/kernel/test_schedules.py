"""Schedules on both databases: slots, one run a slot whoever looks, missed slots, pausing, what stands where."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.conftest import ROOT
from tests.kernel.schedules_process import TICK, kernel_of
from uwu.kernel import cleanup, codec, jobs, parts, schedules, tables
from uwu.kernel.domain import Domain, Schedule
from uwu.kernel.errors import Misconfigured
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import ScheduleSettings, Settings

WORK = threading.Event()


def has_work(kernel: Kernel) -> bool:
    del kernel
    return WORK.is_set()


def fails(kernel: Kernel) -> bool:
    raise KeyError(kernel.settings.home)


HOURLY = Schedule("clock.hourly", "clock.chime", "chime", every_minutes=60, arguments={"bells": 1})
NIGHTLY = Schedule("clock.nightly", "clock.wind", "wind up", daily="02:30")
ASKED = Schedule("clock.asked", "clock.look", "look", every_minutes=1, when="tests.kernel.test_schedules:has_work")
BROKEN = Schedule("clock.broken", "clock.look", every_minutes=1, when="tests.kernel.test_schedules:fails")
CLOCK = Domain("clock", "Clock", schedules=(HOURLY, NIGHTLY, ASKED, BROKEN))
OWN = {HOURLY.name, NIGHTLY.name, ASKED.name, BROKEN.name}


@pytest.fixture
def home(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Kernel]]:
    """Opens kernels of the same database, each as a process of its own would; but for the sync only with a clock."""
    opened: list[Kernel] = []
    monkeypatch.setattr(parts, "PARTS", ())

    def open_(*, sync_minutes: int = 0, paused: tuple[str, ...] = ()) -> Kernel:
        given = kernel.settings
        settings = Settings(
            home=given.home,
            database_url=given.database_url,
            schedule=ScheduleSettings(sync_minutes=sync_minutes, paused=paused),
        )
        opened.append(Kernel(settings, (CLOCK,)))
        return opened[-1]

    WORK.clear()
    yield open_
    for each in opened:
        each.close()


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime(2025, 3, 10, 14, 0, tzinfo=UTC)
        monkeypatch.setattr(codec, "now", lambda: self.now)

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def runs(kernel: Kernel) -> list[str]:
    with kernel.db.read() as connection:
        return sorted(job.id for job in jobs.jobs(connection))


def standing(kernel: Kernel, name: str) -> schedules.Standing:
    return next(one for one in schedules.standing(kernel) if one.name == name)


def test_slots_count_from_the_anchor_or_stand_at_a_time_of_day() -> None:
    anchor = datetime(2025, 3, 10, 14, 7, tzinfo=UTC)
    now = datetime(2025, 3, 10, 16, 6, 59, tzinfo=UTC)
    assert schedules.slot_at(HOURLY, anchor, now) == datetime(2025, 3, 10, 15, 7, tzinfo=UTC)
    assert schedules.next_slot(HOURLY, anchor, now) == datetime(2025, 3, 10, 16, 7, tzinfo=UTC)
    assert schedules.slot_at(NIGHTLY, anchor, now) == datetime(2025, 3, 10, 2, 30, tzinfo=UTC)
    assert schedules.slot_at(NIGHTLY, anchor, now.replace(hour=1)) == datetime(2025, 3, 9, 2, 30, tzinfo=UTC)
    assert schedules.next_slot(NIGHTLY, anchor, now) == datetime(2025, 3, 11, 2, 30, tzinfo=UTC)


def test_a_slot_is_asked_for_once_and_missed_ones_are_made_up_for_by_one(home: Any, clock: Clock) -> None:
    kernel = home()
    assert schedules.check(kernel) == [], "what is seen for the first time waits for its slot"
    clock.forward(minutes=59)
    assert schedules.check(kernel) == []
    clock.forward(minutes=1)
    assert schedules.check(kernel) == ["clock.hourly-20250310T150000Z"]
    assert schedules.check(kernel) == [] and schedules.check(home()) == []
    clock.forward(days=3, minutes=20)
    asked = schedules.check(kernel)
    # the hourly run of before still waits for a worker: it is not doubled, whatever was missed
    assert asked == ["clock.hourly-20250310T150000Z", "clock.nightly-20250313T023000Z"]
    assert schedules.check(kernel) == []
    assert runs(kernel) == sorted(asked)
    with kernel.db.read() as connection:
        record = jobs.job(connection, asked[0])
    assert (record.name, record.arguments) == ("clock.chime", {"bells": 1})
    assert record.requested_by == "schedule:clock.hourly" and record.status == "queued"


def test_many_that_look_at_the_same_moment_ask_for_one_run(home: Any, clock: Clock) -> None:
    crowd = [home() for _ in range(4)]
    for kernel in crowd:
        schedules.check(kernel)
        assert kernel.jobs is not None
    clock.forward(hours=1)
    together = threading.Barrier(len(crowd))
    found: list[list[str]] = []

    def look(kernel: Kernel) -> None:
        together.wait()
        found.append(schedules.check(kernel))

    threads = [threading.Thread(target=look, args=(kernel,)) for kernel in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(crowd) and any(found)
    assert {id for ids in found for id in ids} == {"clock.hourly-20250310T150000Z"}
    assert runs(crowd[0]) == ["clock.hourly-20250310T150000Z"]


def test_one_that_was_killed_between_asking_and_recording_makes_no_second_run(
    home: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = home()
    schedules.check(kernel)
    clock.forward(hours=1)

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    monkeypatch.setattr(kernel.db, "write", die)
    with pytest.raises(Killed):
        # the request itself is in the jobs database by then
        schedules.check(kernel)
    monkeypatch.undo()
    monkeypatch.setattr(parts, "PARTS", ())
    clock = Clock(monkeypatch)
    clock.now = datetime(2025, 3, 10, 15, 0, 5, tzinfo=UTC)
    assert schedules.check(home()) == ["clock.hourly-20250310T150000Z"]
    assert runs(kernel) == ["clock.hourly-20250310T150000Z"]


def test_a_slot_waits_for_work_and_one_that_breaks_holds_up_no_other(home: Any, clock: Clock, caplog: Any) -> None:
    kernel = home()
    schedules.check(kernel)
    clock.forward(minutes=5)
    assert schedules.check(kernel) == []
    assert "clock.broken" in caplog.text
    WORK.set()
    assert schedules.check(kernel) == ["clock.asked-20250310T140500Z"]
    clock.forward(seconds=30)
    assert schedules.check(kernel) == [], "once a slot, however much work there is"


def test_a_paused_one_rests_and_goes_on_with_one_run(home: Any, clock: Clock) -> None:
    schedules.check(home())
    resting = home(paused=("clock.hourly",))
    clock.forward(hours=5)
    assert schedules.check(resting) == []
    told = standing(resting, "clock.hourly")
    assert (told.state, told.next_at, told.last_at) == ("paused", None, None)
    assert standing(home(paused=("*",)), "clock.nightly").state == "paused"
    assert schedules.check(home()) == ["clock.hourly-20250310T190000Z"]


def test_the_sync_runs_by_setting(home: Any, clock: Clock) -> None:
    off, on = home(), home(sync_minutes=30)
    assert standing(off, "sync").state == "off"
    assert standing(on, "sync").next_at is None, "no worker has seen it yet"
    schedules.check(on)
    assert standing(on, "sync").next_at == clock.now + timedelta(minutes=30)
    clock.forward(minutes=31)
    asked = schedules.check(on)
    assert asked == ["sync-20250310T143000Z"]
    told = standing(on, "sync")
    assert (told.last_job, told.last_status, told.last_at) == (asked[0], "queued", clock.now)
    assert told.next_at == datetime(2025, 3, 10, 15, 0, tzinfo=UTC)
    # what a person asks for meanwhile is that same run
    again = on.jobs.enqueue("sync", {}, key=jobs.key_of("sync", {}))
    assert again == asked[0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Schedule("late", "clock.look", daily="25:00"), "HH:MM"),
        (Schedule("a:b", "clock.look", every_minutes=1), "colon"),
        (Schedule("sync", "clock.look", every_minutes=1), "twice"),
    ],
)
def test_a_schedule_that_cannot_be_is_named(sqlite_kernel: Kernel, wrong: Schedule, says: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        schedules.all_of(Kernel(sqlite_kernel.settings, (Domain("bad", "Bad", schedules=(wrong,)),)))
    assert refused.value.problem.code == "schedule-wrong"
    assert repr(wrong.name) in refused.value.problem.message and says in refused.value.problem.message


def test_every_schedule_that_is_shipped_has_its_job(sqlite_kernel: Kernel) -> None:
    from uwu.kernel.worker import installed

    shipped = schedules.all_of(sqlite_kernel)
    assert {"sync", "cleanup"} <= {schedule.name for schedule in shipped}
    assert {schedule.job for schedule in shipped} <= set(installed(sqlite_kernel))
    assert all(schedule.summary for schedule in shipped)
    assert len(parts.jobs()) >= 2


def test_two_workers_make_one_run_of_a_slot(tmp_path: Path, postgres: Any) -> None:
    url = postgres.clone()
    marks = tmp_path / "marks"
    kernel = kernel_of(tmp_path / "one", url)
    crew: list[subprocess.Popen[str]] = []
    try:
        for name in ("one", "two"):
            command = [sys.executable, "-m", "tests.kernel.schedules_process", str(tmp_path / name), url, str(marks)]
            crew.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT))
        for process in crew:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        t = tables.schedules
        expected: set[str] = set()
        for seconds in (40, 20, 0):
            _until(lambda: standing(kernel, TICK.name).next_at)
            # as if its slot had come now: both look some ten times a second
            slot = codec.now().replace(microsecond=0) - timedelta(hours=10, seconds=seconds)
            id = f"tick-{schedules.slot_at(TICK, slot, codec.now()):%Y%m%dT%H%M%SZ}"
            with kernel.db.write() as connection:
                connection.execute(t.update().where(t.c.name == TICK.name).values(anchor_at=slot, slot_at=slot))
            _until(partial(_done, kernel, id))
            expected.add(id)
        lines = [line.split() for line in marks.read_text().splitlines()]
        assert sorted(id for id, _ in lines) == runs(kernel), "each run left one mark"
        assert len(expected) == 3 and expected <= {id for id, _ in lines}
    finally:
        for process in crew:
            process.terminate()
        for process in crew:
            process.wait(20)
        kernel.close()
        postgres.drop(url)


def _done(kernel: Kernel, id: str) -> bool:
    told = standing(kernel, TICK.name)
    return (told.last_job, told.last_status) == (id, "done")


def _until(condition: Callable[[], Any], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def test_what_has_had_its_time_is_deleted(kernel: Kernel) -> None:
    now = codec.now()
    t = tables
    with kernel.db.write() as connection:
        for name, age in (("old", timedelta(days=2)), ("young", timedelta(hours=2))):
            connection.execute(
                t.idempotency.insert().values(
                    key=name, request="", status=200, content_type="", answer=b"", created_at=now - age
                )
            )
            connection.execute(
                t.sessions.insert().values(
                    id=name, hash=name, principal="user:default/ana", via="oidc", agent="",
                    created_at=now - age, seen_at=now - age, expires_at=now - age,
                )
            )  # fmt: skip
            connection.execute(
                t.sign_ins.insert().values(
                    key=name, kind="oidc", code=name, detail={}, created_at=now - age, expires_at=now - age
                )
            )
        for name, days, status in (("n_old", 100, "sent"), ("n_waits", 100, "waiting"), ("n_young", 1, "sent")):
            connection.execute(
                t.notices.insert().values(
                    id=name, dedupe=name, kind="plan.waiting", subject="p", owner="", severity="info", title="t",
                    detail={}, path="/", owners=[], created_at=now - timedelta(days=days),
                )
            )  # fmt: skip
            connection.execute(
                t.deliveries.insert().values(
                    notice=name, channel="ops", address="", status=status, due_at=now, attempts=0, digest="", error=""
                )
            )
    assert cleanup.cleanup(kernel) == {
        "idempotency": 1, "sessions": 1, "sign_ins": 1, "notices": 1, "deliveries": 1,
    }  # fmt: skip
    with kernel.db.read() as connection:
        assert set(connection.scalars(sa.select(t.notices.c.id))) == {"n_waits", "n_young"}
        assert set(connection.scalars(sa.select(t.deliveries.c.notice))) == {"n_waits", "n_young"}
        assert list(connection.scalars(sa.select(t.sessions.c.id))) == ["young"]
