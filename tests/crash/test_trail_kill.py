"""``kill -9`` of the trail's pipeline at random moments, with messages twice and keys that come late.

Ten kills in the tests; as many as ``UWU_SOAK_TRAIL`` says in ``make soak``.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.crash import trail_process
from tests.domains.trail.pipes import Pipe, notification
from uwu.domains.trail import ingest, store

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

KILLS = int(os.environ.get("UWU_SOAK_TRAIL", "10"))
OBJECTS, EVENTS = 10, 8
"""New objects before each kill, and the events of each."""
AGAIN, LATE, SHARED = 0.20, 0.05, 0.10
"""Messages that come twice, objects that no message tells of, events that a second object holds too."""


def record(id: str, at: datetime) -> dict[str, Any]:
    return {
        "eventID": id,
        "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": "ec2.amazonaws.com",
        "eventName": "CreateTags",
        "awsRegion": "us-east-1",
        "readOnly": False,
        "recipientAccountId": "111122223333",
        "requestParameters": {"resourcesSet": {"items": [{"resourceId": f"i-{id.replace('-', '')[:17]}"}]}},
        "userIdentity": {"type": "IAMUser", "userName": "mira", "accountId": "111122223333"},
    }


class World:
    """What is delivered, and what must be held in the end."""

    def __init__(self, pipe: Pipe, chance: random.Random) -> None:
        self.pipe = pipe
        self.chance = chance
        self.ids: list[str] = []
        self.at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)

    def deliver(self) -> None:
        for _ in range(OBJECTS):
            new = [str(uuid.UUID(int=self.chance.getrandbits(128), version=4)) for _ in range(EVENTS)]
            shared = [id for id in self.ids[-200:] if self.chance.random() < SHARED / 20]
            self.ids += new
            body = [record(id, self.at) for id in (*new, *shared)]
            key = self.pipe.put(body, self.at, name=f"{self.chance.getrandbits(64):016x}")
            mark = self.pipe.s3.head_object(Bucket=self.pipe.name, Key=key)["ETag"].strip('"')
            if self.chance.random() < LATE:
                continue
            for _ in range(2 if self.chance.random() < AGAIN else 1):
                self.pipe.send(notification(self.pipe.name, key, mark, EVENTS * 130))


@pytest.mark.timeout(60 + 20 * KILLS)
def test_killed_at_random_moments_no_event_is_lost_or_doubled(
    aws_server: MotoServer, sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    shutil.copy(sqlite_template, tmp_path / "state.db")
    pipe = Pipe(aws_server.url)
    world = World(pipe, random.Random(20260310))
    given = (str(tmp_path), aws_server.url, pipe.source, pipe.queue)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.trail_process"])
    kills = 0
    for _ in range(KILLS * 3):
        if kills >= KILLS:
            break
        world.deliver()
        up = context.Event()
        process = context.Process(target=trail_process.main, args=(*given, up))
        process.start()
        assert up.wait(120)
        process.join(world.chance.uniform(0.0, 2.0))
        process.kill()
        process.join()
        assert process.exitcode in (0, -9)
        kills += process.exitcode == -9
    last = context.Process(target=trail_process.main, args=(*given, up := context.Event()))
    last.start()
    assert up.wait(120)
    last.join(60 + 10 * KILLS)
    assert last.exitcode == 0
    kernel = trail_process.kernel_of(*given[:2])
    try:
        for table in (store.EVENTS, store.EVENT_RESOURCES):
            kernel.lake.ensure(table)
            query = f"select event_id from {kernel.lake.scan(table.name)}"
            held = [row["event_id"] for row in kernel.lake.rows(query)]
            assert sorted(held) == sorted(world.ids), f"{len(held)} in {table.name}, {len(world.ids)} delivered"
        states = ingest.batches(kernel).states(10_000)
        assert {state.state for state in states} <= {"committed", "void"}
        assert pipe.waiting() == 0
        assert kills >= KILLS // 2
        print(f"{kills} kills, {len(world.ids)} events, {len(states)} batches: none lost, none doubled")
    finally:
        kernel.close()
