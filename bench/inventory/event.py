"""One event: from the object that holds it to the version of its resource that anyone can read.

The clock starts where ``trail.ingest`` is asked for with the new object, and stops at the first read of the database
that finds the new version. In between: a real worker process takes the job, parses the object, names its resources,
commits the events to the lake, asks for the refresh, and reads the one resource from moto, another process; its
drift is judged afterwards. The event is two minutes old, as CloudTrail delivers them; one of the last three seconds
would wait until AWS's own answers have settled.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import botocore.session
import sqlalchemy as sa

from bench.harness import Report
from uwu.kernel import codec, graph, tables
from uwu.kernel.model import Cell, CellStatus, Outcome
from uwu.kernel.runtime import Kernel

FULL, QUICK = 40, 5
WARM = 1
"""Events before those that are measured: a worker imports the lake and the models of a service once."""
REGION, TYPE = "eu-west-1", "aws_vpc_security_group"
GIVE_UP_SECONDS = 60.0


def measure(report: Report, *, quick: bool) -> None:
    """p50 and p95 of one event at a time, the calls that each took, and a burst at once."""
    events = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as folder, _moto() as url, _home(Path(folder), url) as kernel:
        world = _World(kernel, url, events + WARM)
        for number in range(WARM):
            world.event(number)
        taken = sorted(world.event(WARM + number) for number in range(events))
        p50, p95 = taken[len(taken) // 2], taken[math.ceil(0.95 * len(taken)) - 1]
        report.figure(f"one event to the readable version, median of {events}", p50, unit="s")
        report.bar(f"one event to the readable version, p95 of {events}", p95, at_most=2.0, unit="s")
        report.bar("AWS calls of one event, the most", world.most_calls(), at_most=3)
        if not quick:
            burst = world.burst(range(WARM, WARM + events))
            report.figure(f"{events} events in one object, to the last readable version", burst, unit="s")


@contextmanager
def _moto() -> Iterator[str]:
    from uwu.sim.server import MotoServer

    with MotoServer() as server:
        yield server.url


@contextmanager
def _home(folder: Path, url: str) -> Iterator[Kernel]:
    """A home on SQLite, and a worker process that runs its jobs."""
    variables = {
        "UWU_HOME": str(folder / "home"),
        "UWU_AWS_ENDPOINT_URL": url,
        "UWU_AWS_HOME_REGION": REGION,
        "UWU_AWS_REGIONS": REGION,
        "UWU_INVENTORY_REFRESH_CALLS_PER_MINUTE": "10000",
        "UWU_SCHEDULE_PAUSED": "*",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    held = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    kernel = Kernel.open(folder / "home")
    worker = subprocess.Popen([str(Path(sys.executable).with_name("uwu")), "worker"])
    try:
        yield kernel
    finally:
        worker.terminate()
        worker.wait(30)
        kernel.close()
        for name, value in held.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class _World:
    """Security groups that were listed ten minutes ago, and events on them."""

    def __init__(self, kernel: Kernel, url: str, groups: int) -> None:
        self.kernel = kernel
        self.folder = kernel.settings.home_path.parent / "trail"
        self.folder.mkdir()
        keys: dict[str, Any] = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        self.ec2: Any = botocore.session.Session().create_client("ec2", REGION, endpoint_url=url, **keys)
        vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.groups = [
            self.ec2.create_security_group(GroupName=f"g{number}", Description="-", VpcId=vpc)["GroupId"]
            for number in range(groups)
        ]
        self.account = kernel.aws.identity().account
        self._listed()

    def _listed(self) -> None:
        from uwu.domains.inventory import reader
        from uwu.domains.inventory.model import Scope
        from uwu.domains.inventory.refresh_types import specs

        (seen,) = reader.observe(self.kernel.aws, Scope(self.account, REGION), "ec2", [specs()[TYPE]])
        cell = Cell(source="aws", account=self.account, region=REGION, type=TYPE)
        at = codec.now() - timedelta(minutes=10)
        outcome = Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=at, calls=1)
        with self.kernel.db.write() as connection:
            graph.observe(connection, outcome, seen.resources, seen.relations)

    def urn(self, number: int) -> str:
        return f"arn:aws:ec2:{REGION}:{self.account}:security-group/{self.groups[number]}"

    def change(self, number: int, port: int) -> dict[str, Any]:
        """Opens a port, and gives the record of it."""
        id = self.groups[number]
        self.ec2.authorize_security_group_ingress(
            GroupId=id, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="0.0.0.0/0"
        )
        return {
            "eventVersion": "1.09",
            "eventID": codec.new_id("e"),
            "eventTime": (codec.now() - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": "ec2.amazonaws.com",
            "eventName": "AuthorizeSecurityGroupIngress",
            "awsRegion": REGION,
            "recipientAccountId": self.account,
            "readOnly": False,
            "userIdentity": {"type": "IAMUser", "userName": "mira", "accountId": self.account},
            "requestParameters": {"groupId": id},
        }

    def deliver(self, records: list[dict[str, Any]]) -> str:
        path = self.folder / f"{codec.new_id('object')}.json.gz"
        path.write_bytes(gzip.compress(json.dumps({"Records": records}).encode()))
        return str(path)

    def event(self, number: int) -> float:
        """Seconds from asking for the ingest of one event's object to its readable version."""
        path = self.deliver([self.change(number, 22)])
        began = time.perf_counter()
        self.kernel.jobs.enqueue("trail.ingest", {"sources": [path]})
        self._await({self.urn(number): 2})
        return time.perf_counter() - began

    def burst(self, numbers: range) -> float:
        """The same for one more event on each of ``numbers`` in one object."""
        time.sleep(6)  # each was read by itself a moment ago: that is waited for
        past = (codec.now() - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = self.deliver([{**self.change(number, 443), "eventTime": past} for number in numbers])
        began = time.perf_counter()
        self.kernel.jobs.enqueue("trail.ingest", {"sources": [path]})
        self._await({self.urn(number): 3 for number in numbers})
        return time.perf_counter() - began

    def _await(self, wanted: dict[str, int]) -> None:
        r, until = tables.resources, time.monotonic() + GIVE_UP_SECONDS
        query = sa.select(r.c.urn, r.c.version).where(r.c.urn.in_(sorted(wanted)))
        while True:
            with self.kernel.db.read() as connection:
                found = {row.urn: row.version for row in connection.execute(query)}
            if all(found.get(urn, 0) >= version for urn, version in wanted.items()):
                return
            if time.monotonic() > until:
                raise TimeoutError(f"no version of {min(wanted)} after {GIVE_UP_SECONDS} s")
            time.sleep(0.005)

    def most_calls(self) -> int:
        from uwu.domains.inventory import refresh_queue

        with self.kernel.db.read() as connection:
            return max(len(one.calls) for one in refresh_queue.latest(connection, limit=1000))
