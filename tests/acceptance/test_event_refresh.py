"""A port opened by hand, told by CloudTrail: a worker sees it within seconds, and nobody has synced."""

from __future__ import annotations

import gzip
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import sqlalchemy as sa

from tests.acceptance.world import UWU, Small, environment, opened, uwu
from uwu.kernel import codec, graph, jobs, tables, urns
from uwu.kernel.runtime import Kernel
from uwu.sim import MotoServer

PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """An organisation of its own: this test changes it."""
    with MotoServer() as server:
        yield Small.built(server.url, tmp_path_factory.mktemp("event"))


def client(own: Small, arn: urns.Arn) -> Any:
    """EC2 of the subject's account, past everything of ours."""
    session = botocore.session.Session()
    keys: dict[str, Any] = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    where: dict[str, Any] = {"region_name": arn.region, "endpoint_url": own.organisation.endpoint_url}
    role = f"arn:aws:iam::{arn.account}:role/OrganizationAccountAccessRole"
    given = session.create_client("sts", **where, **keys).assume_role(RoleArn=role, RoleSessionName="hand")[
        "Credentials"
    ]
    return session.create_client(
        "ec2",
        **where,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


@contextmanager
def worker(env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen([UWU, "worker"], env=env)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def until(what: Callable[[], Any]) -> Any:
    """What ``what`` gives once it is true."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return found


def versions(kernel: Kernel, urn: str) -> int:
    with kernel.db.read() as connection:
        return len(graph.history(connection, urn))


def refresh_job(kernel: Kernel) -> jobs.JobRecord:
    with kernel.db.read() as connection:
        (run,) = jobs.jobs(connection, name="inventory.refresh")
    return run


def finding(kernel: Kernel, urn: str) -> Any:
    f = tables.findings
    with kernel.db.read() as connection:
        return connection.execute(sa.select(f).where(f.c.subject == urn, f.c.path == "ingress")).first()


def test_an_event_reaches_graph_and_findings_without_a_sync(own: Small, tmp_path: Path) -> None:
    home = own.home(tmp_path / "home")
    env = {**environment(home, own.organisation), "UWU_SCHEDULE_PAUSED": "*"}
    assert uwu(env, "sync", "--json").status == 0
    urn = next(d.subject for d in own.organisation.ledger if any(e.path == "ingress" for e in d.expected))
    arn, kernel = urns.parse(urn), opened(home)
    assert arn is not None
    ec2, before = client(own, arn), finding(kernel, urn)
    ec2.authorize_security_group_ingress(
        GroupId=urns.short(urn), IpProtocol="tcp", FromPort=6379, ToPort=6379, CidrIp="198.51.100.0/24"
    )
    record = {
        "eventVersion": "1.09",
        "eventID": codec.new_id("e"),
        "eventTime": codec.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "ec2.amazonaws.com",
        "eventName": "AuthorizeSecurityGroupIngress",
        "awsRegion": arn.region,
        "recipientAccountId": arn.account,
        "readOnly": False,
        "userIdentity": {"type": "IAMUser", "userName": "night.shift", "accountId": arn.account},
        "requestParameters": {"groupId": urns.short(urn)},
    }
    path = tmp_path / "late.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"Records": [record]}).encode()))
    assert versions(kernel, urn) == 1
    with worker(env):
        kernel.jobs.enqueue("trail.ingest", {"sources": [str(path)]})
        until(lambda: versions(kernel, urn) == 2)
        found = until(lambda: (now := finding(kernel, urn)) and now.observed != before.observed and now)
        run = until(lambda: (now := refresh_job(kernel)).finished and now)
    assert any(rule.get("from_port") == 6379 for rule in found.observed)
    assert (found.status, found.opened_at) == ("open", before.opened_at)
    assert (run.requested_by, run.status) == ("trail", "done")
    status = uwu(env, "status").out
    assert "aws events" in status and "1 read again" in status

    # the same by hand: it was all seen, so nothing changes, and it is on record who asked
    said = uwu(env, "inventory", "refresh", urns.short(urn), "--json")
    assert said.status == 0, said.err
    (one,) = said.json
    assert (one["urn"], one["result"], one["calls"]) == (urn, "unchanged", ["DescribeSecurityGroups"])
    ec2.create_tags(Resources=[urns.short(urn)], Tags=[{"Key": "by", "Value": "hand"}])
    told = uwu(env, "inventory", "refresh", urn)
    assert told.status == 0 and told.out.startswith("changed") and "  tags.by" in told.out
    assert uwu(env, "inventory", "refresh", "no-such-thing").status == 3
    foreign = uwu(env, "inventory", "refresh", "arn:aws:nothing:::at-all", "--json")
    assert foreign.status == 2 and "refresh-foreign" in foreign.err
    a = tables.audit
    with kernel.db.read() as connection:
        asked = connection.scalars(
            sa.select(a.c.actor).where(a.c.action == "inventory.refresh", a.c.subject == urn)
        ).all()
    assert len(asked) == 2
    kernel.close()
