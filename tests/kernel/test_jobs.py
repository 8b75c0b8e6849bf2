"""Jobs on real DBOS, on both databases: results, children, failures, cancelling, keys, logs, following, tidying."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from uwu.kernel import codec, jobs, tables, workers
from uwu.kernel.errors import BadInput, Conflict, Denied, NotFound
from uwu.kernel.jobs import Job, Jobs, Run
from uwu.kernel.jobs_dbos import JsonSerializer
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import JobsSettings, Settings
from uwu.kernel.worker import StepFailed, Worker, installed


class World:
    """What the jobs of one test touch."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def call(self, name: str) -> None:
        with self._lock:
            self.calls.append(name)

    @contextmanager
    def crowd(self) -> Iterator[None]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1

    def jobs(self) -> dict[str, Job]:
        def square(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
            with self.crowd():
                if arguments["n"] == 3:
                    raise Denied("three may not be squared", code="no-three", place="n", hint="take another")
                return {"square": run.step(lambda: arguments["n"] ** 2, name="square")}

        def squares(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
            numbers = range(arguments["count"])
            run.progress("squares")
            found = run.fan_out("square", [{"n": n} for n in numbers], keys=[str(n) for n in numbers])
            run.log("squared", data={"count": len(found)})
            return {"found": found}

        def errors(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
            def typed() -> None:
                raise Denied("no", code="no-entry", place="here", hint="ask")

            def untyped() -> None:
                raise KeyError("name")

            caught: list[Any] = []
            for step in (typed, untyped):
                try:
                    run.step(step)
                except (Denied, StepFailed) as error:
                    caught.append([type(error).__name__, codec.builtins(error.problem)])
            return {"caught": caught, "tuple": run.step(lambda: {"pair": (1, 2), 3: None})}

        def wait(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
            def hold() -> str:
                self.call("hold")
                self.entered.set()
                assert self.gate.wait(20)
                return "held"

            run.progress("waiting", 1, 3)
            run.step(hold)
            run.step(self.call, "after")
            return {}

        def family(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
            keys = arguments["keys"]
            return {
                "children": run.fan_out(arguments["job"], [{"keys": keys, "job": "family"} for _ in keys], keys=keys)
            }

        def crash(_run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
            raise ZeroDivisionError("by zero")

        made = (
            Job("square", square, concurrency=2),
            Job("squares", squares),
            Job("errors", errors),
            Job("wait", wait),
            Job("family", family, concurrency=1),
            Job("crash", crash),
        )
        return {job.name: job for job in made}


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Waits for the condition; fails where it does not come true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
    return value


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def worker(kernel: Kernel, world: World) -> Iterator[Worker]:
    running = Worker(kernel, jobs=world.jobs())
    running.start()
    yield running
    world.gate.set()
    assert running.stop(10)


@pytest.fixture
def port(kernel: Kernel) -> Iterator[Jobs]:
    opened = Jobs(kernel)
    yield opened
    opened.close()


def test_a_fan_out_gives_results_in_order_counts_and_survives_a_failed_child(
    kernel: Kernel, world: World, worker: Worker, port: Jobs
) -> None:
    id = port.enqueue("squares", {"count": 6}, requested_by="user:default/ana")
    record = worker.run_until_done(id)
    assert record.status == "done" and record.requested_by == "user:default/ana"
    assert record.started_at and record.finished_at and record.created_at <= record.started_at <= record.finished_at
    assert record.result == {
        "found": [
            {"square": 0},
            {"square": 1},
            {"square": 4},
            {
                "problem": {
                    "code": "no-three",
                    "message": "three may not be squared",
                    "place": "n",
                    "hint": "take another",
                }
            },
            {"square": 16},
            {"square": 25},
        ]
    }
    assert (record.stage, record.done, record.total) == ("squares", 6, 6)
    assert world.most <= 2
    with kernel.db.read() as connection:
        children = {child.id: child for child in jobs.jobs(connection, parent=id)}
        assert [line.data for line in jobs.log(connection, id)] == [{"count": 6}]
        assert [found.id for found in jobs.jobs(connection)] == [id], "children are not among those asked for"
    assert len(children) == 6
    failed = children[f"{id}:square:3"]
    assert failed.status == "failed" and failed.problem is not None and failed.problem.code == "no-three"
    done = children[f"{id}:square:4"]
    assert (done.status, done.result, done.requested_by) == ("done", {"square": 16}, "user:default/ana")
    assert done.started_at and done.finished_at

    unknown, broken, errors = (port.enqueue(name) for name in ("nonsense", "crash", "errors"))
    problem = worker.run_until_done(unknown).problem
    assert problem is not None and problem.code == "job-unknown"
    crashed = worker.run_until_done(broken)
    assert crashed.status == "failed" and crashed.problem is not None
    assert (crashed.problem.code, crashed.problem.message) == ("step-failed", "ZeroDivisionError: by zero")
    caught = worker.run_until_done(errors)
    assert caught.result == {
        "caught": [
            ["Denied", {"code": "no-entry", "message": "no", "place": "here", "hint": "ask"}],
            ["StepFailed", {"code": "step-failed", "message": "KeyError: 'name'"}],
        ],
        "tuple": {"pair": [1, 2], "3": None},
    }


def test_following_cancelling_and_keys(kernel: Kernel, world: World, worker: Worker, port: Jobs) -> None:
    id = port.enqueue("wait", key="one")
    assert world.entered.wait(10)
    assert port.enqueue("wait", key="one") == id, "while it runs its key gives the same run"
    follower = jobs.follow(kernel.db, id, poll_seconds=0.02)
    update = next(follower)
    assert (update.job.status, update.job.stage, update.job.done, update.job.total) == ("running", "waiting", 1, 3)
    port.cancel(id)
    *_, last = follower
    assert last.job.status == "cancelled" and last.job.finished
    with pytest.raises(Conflict) as refused:
        port.cancel(id)
    assert refused.value.problem.code == "job-finished"

    again = port.enqueue("wait", key="one")
    assert again != id, "a run that has ended holds its key no longer"
    world.gate.set()
    assert worker.run_until_done(again).status == "done"
    assert world.calls.count("after") == 1, "the cancelled run took no further step"
    third = port.enqueue("wait", key="one")
    assert third not in (id, again) and worker.run_until_done(third).status == "done"

    chosen = port.enqueue("wait", id="job-chosen")
    assert chosen == port.enqueue("wait", id="job-chosen") == "job-chosen"
    assert worker.run_until_done(chosen).status == "done"
    assert world.calls.count("hold") == 4
    with pytest.raises(NotFound):
        next(jobs.follow(kernel.db, "job-none"))
    with pytest.raises(BadInput):
        port.enqueue("wait", id="a:b")


def test_cancelling_a_parent_cancels_what_is_below_it(kernel: Kernel, world: World, worker: Worker, port: Jobs) -> None:
    id = port.enqueue("family", {"job": "wait", "keys": ["a", "b"]})
    assert world.entered.wait(10)
    with kernel.db.read() as connection:
        active = next(jobs.follow(kernel.db, id)).active
        assert {child.stage for child in active} == {"waiting"}
    port.cancel(id)
    with kernel.db.read() as connection:
        assert {status for _, status in jobs.descendants(connection, id)} == {"cancelled"}
        assert jobs.job(connection, id).status == "cancelled"
    world.gate.set()
    until(lambda: not worker.store.client.list_workflows(status=["ENQUEUED", "PENDING"]))
    assert "after" not in world.calls


def test_bad_fan_outs_and_a_job_among_its_own_descendants(worker: Worker, port: Jobs) -> None:
    record = worker.run_until_done(port.enqueue("family", {"job": "family", "keys": ["x"]}))
    # concurrency 1, yet it does not wait for itself; the fifth depth is refused
    below: Any = record.result
    for _ in range(3):
        (below,) = below["children"]
    assert below["problem"]["code"] == "job-depth"
    twice = worker.run_until_done(port.enqueue("family", {"job": "square", "keys": ["x", "x"]}))
    assert twice.status == "failed" and twice.problem is not None and twice.problem.code == "fan-out-keys"
    none = worker.run_until_done(port.enqueue("family", {"job": "square", "keys": []}))
    assert none.result == {"children": []}


def test_what_is_asked_before_any_worker_waits_for_one_and_a_key_left_behind_is_freed(
    kernel: Kernel, world: World, port: Jobs
) -> None:
    id = port.enqueue("squares", {"count": 2}, key="k")
    with kernel.db.read() as connection:
        assert jobs.job(connection, id).status == "queued"
        assert jobs.jobs(connection, status="queued", name="squares")[0].id == id
    # as after a kill between the end of the row and its report to DBOS
    with kernel.db.write() as connection:
        connection.execute(tables.jobs.update().where(tables.jobs.c.id == id).values(status="done", result={}))
    other = port.enqueue("squares", {"count": 2}, key="k")
    assert other != id
    worker = Worker(kernel, jobs=world.jobs())
    worker.start()
    try:
        assert worker.run_until_done(other).result == {"found": [{"square": 0}, {"square": 1}]}
    finally:
        assert worker.stop(10)


def test_one_worker_a_home_on_sqlite(sqlite_kernel: Kernel, world: World) -> None:
    home = sqlite_kernel.settings.home_path
    assert workers.holder(home) is None
    slot = workers.claim(home, "sqlite")
    try:
        assert workers.holder(home) == os.getpid()
        with pytest.raises(Conflict) as refused:
            Worker(sqlite_kernel, jobs=world.jobs()).start()
        assert refused.value.problem.code == "worker-running"
        assert str(os.getpid()) in refused.value.problem.message
    finally:
        slot.release()
    assert workers.holder(home) is None
    first, second = workers.claim(home, "postgresql"), workers.claim(home, "postgresql")
    assert slot.executor_id == "home-0" and first.executor_id != second.executor_id
    first.release()
    second.release()


def test_a_dead_peer_is_reaped_once_and_a_fenced_one_learns_it(kernel: Kernel) -> None:
    heart, peer = workers.Heart(kernel.db, "me-0"), workers.Heart(kernel.db, "peer-0")
    heart.start()
    peer.start()
    given: list[str] = []

    def give_back(executor_id: str) -> int:
        given.append(executor_id)
        return 2

    assert heart.reap(60, give_back) == {} and peer.beat()
    with kernel.db.write() as connection:
        connection.execute(
            tables.workers.update()
            .where(tables.workers.c.executor_id == "peer-0")
            .values(beat_at=codec.now() - timedelta(seconds=61))
        )
    assert heart.reap(60, give_back) == {"peer-0": 2} and given == ["peer-0"]
    assert heart.reap(60, give_back) == {}
    assert not peer.beat(), "what was given up for dead must stop"
    follower = workers.Heart(kernel.db, "me-0")
    follower.start()
    assert not heart.beat() and follower.beat(), "the later of two with one id stays"


def test_a_worker_that_lost_its_place_says_so(sqlite_template: Any, tmp_path: Any, world: World) -> None:
    settings = Settings(home=str(tmp_path), jobs=JobsSettings(stale_after_seconds=1))
    (tmp_path / "state.db").write_bytes(sqlite_template.read_bytes())
    kernel = Kernel(settings, ())
    worker = Worker(kernel, jobs=world.jobs())
    worker.start()
    try:
        workers.Heart(kernel.db, worker.executor_id).start()
        assert worker.lost.wait(10)
    finally:
        assert worker.stop(10)
        kernel.close()


def test_old_jobs_are_deleted_and_lost_ones_are_settled(kernel: Kernel, worker: Worker, port: Jobs) -> None:
    old, young = (port.enqueue("squares", {"count": 2}) for _ in range(2))
    worker.run_until_done(old)
    worker.run_until_done(young)
    long_ago = codec.now() - timedelta(days=31)
    ticket = {"name": "squares", "arguments": {}, "parent": "", "requested_by": "", "created_at": codec.iso(long_ago)}
    with kernel.db.write() as connection:
        connection.execute(tables.jobs.update().where(tables.jobs.c.id == old).values(finished_at=long_ago))
        connection.execute(tables.jobs.insert().values(jobs.queued_row("job-lost", ticket)))
    worker.tidy()
    with kernel.db.read() as connection:
        left = {record.id: record for record in jobs.jobs(connection)}
        assert set(left) == {young, "job-lost"}
        assert connection.execute(sa.select(tables.job_log.c.job)).scalars().all() == [young]
    lost = left["job-lost"]
    assert lost.status == "failed" and lost.problem is not None and lost.problem.code == "job-broken"
    assert set(worker.store.statuses([old, young])) == {young}


def test_what_is_stored_is_json() -> None:
    serializer = JsonSerializer()
    text = serializer.serialize({"args": ({"a": 1},), "kwargs": {}})
    assert text == '{"args":[{"a":1}],"kwargs":{}}' and serializer.deserialize(text)["args"] == [{"a": 1}]
    failure = serializer.deserialize(serializer.serialize(ValueError("bad")))
    assert isinstance(failure, Exception) and str(failure) == "ValueError: bad"


def test_the_kernel_brings_sync(sqlite_kernel: Kernel) -> None:
    assert "sync" in installed(Kernel(sqlite_kernel.settings, ()))
