"""``kill -9`` of a real ``uwu serve``, its worker or both, again and again in the middle of a sync.

Six times in every test run; ``make soak`` does it thirty times. Meanwhile AWS changes, and CloudTrail delivers more.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import sqlalchemy as sa

from tests.acceptance.world import UWU, Small, different, environment, facts, faults, opened, uwu, versions
from uwu.app.client import ApiClient, Remote
from uwu.app.serve import ServerInfo, read_server_info
from uwu.kernel import jobs, migrate, tables, workers
from uwu.kernel.errors import UwuError
from uwu.kernel.jobs import JobRecord
from uwu.sim import MotoServer
from uwu.sim.organisation import OBSERVER

KILLS = int(os.environ.get("UWU_SOAK") or 6)
STAGES = ("catalog", "iac", "inventory", "trail", "ownership", "drift")
TOUCHED = 3
"""Resources that change while the server is killed."""
STAGE_WITHIN_SECONDS = 15.0
"""How long a stage that is drawn is waited for: without that, kills on a busy machine never let a sync get there."""
AT_MOST_SECONDS = 4.5
"""After the sync is asked for: about as long as what is left of one takes."""


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Waits for the condition; fails where it does not come true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
    return value


class Victim:
    """A home whose server is killed, and what was done to it."""

    def __init__(self, small: Small, home: Path) -> None:
        self.home = small.home(home)
        self.env = environment(home, small.organisation)
        self.kernel = opened(home)
        migrate.upgrade(self.kernel.db)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = home / "serve.log"
        self.info: ServerInfo | None = None

    def serve(self) -> None:
        """Starts the server where it does not run."""
        if self.process is not None and self.process.poll() is None:
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([UWU, "serve", "--port", "0"], env=self.env, stdout=log, stderr=log)
        self.info = until(self._listening)

    def _listening(self) -> ServerInfo | None:
        assert self.process is not None and self.process.poll() is None, self.log.read_text()
        info = read_server_info(self.home)
        return info if info is not None and info.pid == self.process.pid else None

    def ask(self) -> str:
        """Asks the server for a sync: the one that was begun, where it has not ended."""
        assert self.info is not None
        client = ApiClient(Remote(self.info.url, self.info.token))

        def asked() -> str:
            try:
                return client.post("/jobs", {"name": "sync"})["id"]
            except UwuError as error:
                assert error.problem.code == "server-unavailable", error
                return ""

        return until(asked)

    def job(self, id: str) -> JobRecord:
        with self.kernel.db.read() as connection:
            return jobs.job(connection, id)

    def worker(self) -> int:
        """The process of the worker that lives; 0 where none does."""
        holder = workers.holder(self.home)
        with self.kernel.db.read() as connection:
            known = set(connection.execute(sa.select(tables.workers.c.pid)).scalars())
        return holder if holder in known and holder else 0

    def kill(self, what: str) -> str:
        """Kills ``what``: the server, its worker, or both; says what it was that died."""
        killed: list[str] = []
        worker = self.worker() if what != "server" else 0
        if worker:
            os.kill(worker, signal.SIGKILL)
            killed.append(f"worker {worker}")
        if what != "worker" or not worker:
            assert self.process is not None
            self.process.kill()
            self.process.wait()
            killed.append(f"server {self.process.pid}")
        return " and ".join(killed)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        # a worker whose server is gone ends by itself
        until(lambda: workers.holder(self.home) is None)
        self.kernel.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """An organisation of its own: this test changes it."""
    with MotoServer() as server:
        yield Small.built(server.url, tmp_path / "template")


@pytest.fixture
def victim(small: Small, tmp_path: Path) -> Iterator[Victim]:
    made = Victim(small, tmp_path / "victim")
    yield made
    made.close()


def change(small: Small) -> None:
    """Something new, something other and something less in AWS; old and new records in one more trail object."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}

    def client(service: str, **credentials: str) -> Any:
        made: Any = boto3.client  # its overloads are for names that are known beforehand
        url = small.organisation.endpoint_url
        return made(service, region_name="us-east-1", endpoint_url=url, **(credentials or keys))

    account = next(a["Id"] for a in client("organizations").list_accounts()["Accounts"] if "prod" in a["Name"])
    given = client("sts").assume_role(RoleArn=f"arn:aws:iam::{account}:role/{OBSERVER}", RoleSessionName="change")
    names = (("AccessKeyId", "id"), ("SecretAccessKey", "key"), ("SessionToken", "token"))
    held = {to: given["Credentials"][name] for name, to in names}
    inside = {"aws_access_key_id": held["id"], "aws_secret_access_key": held["key"], "aws_session_token": held["token"]}
    sqs, sns = client("sqs", **inside), client("sns", **inside)
    sqs.create_queue(QueueName="made-in-between")
    for url in sqs.list_queues()["QueueUrls"][:TOUCHED]:
        sqs.tag_queue(QueueUrl=url, Tags={"touched": "yes"})
    sns.delete_topic(TopicArn=sns.list_topics()["Topics"][0]["TopicArn"])

    s3 = client("s3")
    bucket, _, prefix = small.organisation.trail.removeprefix("s3://").partition("/")
    found = (held["Key"] for held in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"])
    key = next(key for key in found if "/CloudTrail/" in key)
    records = json.loads(gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))["Records"]
    more = [{**record, "eventID": f"{n:08x}-{record['eventID'][9:]}"} for n, record in enumerate(records)]
    body = gzip.compress(json.dumps({"Records": records + more}).encode())
    s3.put_object(Bucket=bucket, Key=key.replace(".json.gz", "more.json.gz"), Body=body)


@pytest.mark.timeout(120 + 30 * KILLS)
def test_nothing_is_lost_or_doubled_however_often_it_is_killed(small: Small, victim: Victim, tmp_path: Path) -> None:
    chance = random.Random(20251123)
    began = time.monotonic()
    kills = asked = 0
    told = ""
    while kills < KILLS:
        if kills == KILLS // 2 and told != "changed":
            change(small)
            told = "changed"
        victim.serve()
        id, more = strike(victim, chance)
        asked += more
        record = victim.job(id)
        killed = victim.kill(chance.choice(("server", "server", "worker", "both")))
        kills += 1
        below = _below(victim, id)
        at = f"{record.stage or record.status}{f' ({below} shards done)' if record.stage == 'inventory' else ''}"
        print(f"{time.monotonic() - began:6.1f} s  kill {kills:2}: {killed} at {at} of {id}")

    reference = small.home(tmp_path / "reference")
    env = environment(reference, small.organisation)
    with ThreadPoolExecutor(1) as pool:
        never_killed = pool.submit(uwu, env, "sync", "--json")
        final = finish(victim, id, began)
        said = never_killed.result()
    assert said.status == 0, said.err
    print(f"{time.monotonic() - began:6.1f} s  the same without a kill is known; {asked} syncs ended between kills")

    with victim.kernel.db.read() as connection:
        ended = jobs.jobs(connection, limit=1000)
        below = [pair for root in ended for pair in jobs.descendants(connection, root.id)]
    assert {record.status for record in ended} == {"done"}, [r.problem for r in ended if r.status != "done"]
    assert {status for _, status in below} == {"done"}
    assert all("problem" not in told for told in (final.result or {}).values()), final.result

    kernel = opened(reference)
    expected, got = facts(kernel), facts(victim.kernel)
    kernel.close()
    for name in ("events", "event_resources"):
        assert len(got[name]) == len(set(got[name])), f"doubled {name}"
    assert different(expected, got) == {}
    assert faults(victim.kernel) == []
    changed = [urn for urn, chain in versions(victim.kernel).items() if len(chain) > 1]
    assert len(changed) <= TOUCHED, f"only what was touched has a second version, not {changed}"


def strike(victim: Victim, chance: random.Random) -> tuple[str, int]:
    """Asks for a sync and waits for a random moment of it; its id, and how many ended meanwhile.

    Of eight moments one is before its worker runs, three are anywhere, and four within a stage that is drawn: most
    stages are short.
    """
    id, ended = victim.ask(), 0
    kind = chance.randrange(8)
    if kind:
        until(victim.worker)
    stage = chance.choice(STAGES) if kind >= 4 else ""
    moment = time.monotonic() + (STAGE_WITHIN_SECONDS if stage else chance.uniform(0, AT_MOST_SECONDS))
    while time.monotonic() < moment:
        record = victim.job(id)
        if record.finished:
            assert record.status == "done", record
            id, ended = victim.ask(), ended + 1
        elif stage and record.stage == stage and record.status == "running":
            moment, stage = time.monotonic() + chance.uniform(0, 0.4), ""
        time.sleep(0.01)
    return id, ended


def finish(victim: Victim, id: str, began: float) -> JobRecord:
    """Lets the sync ``id`` end after a last start, and one more that nobody disturbs."""
    victim.serve()
    restarted = time.monotonic()
    record = until(lambda: (r := victim.job(id)).finished and r, 90)
    now = time.monotonic()
    print(f"{now - began:6.1f} s  {id} {record.status} {now - restarted:.1f} s after the last start")
    last = victim.ask()
    return until(lambda: (r := victim.job(last)).finished and r, 90)


def _below(victim: Victim, id: str) -> int:
    with victim.kernel.db.read() as connection:
        children = jobs.descendants(connection, id)
    return sum(status == "done" and ":inventory.shard:" in child for child, status in children)
