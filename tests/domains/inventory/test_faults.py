"""What stands in the way costs only its own cell, and says so."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tests.domains.inventory import world
from tests.domains.inventory.conftest import Open
from tests.domains.inventory.world import REGION, AccountWorld, Fault, FaultProxy, OrganizationWorld
from uwu.domains.inventory.health import health
from uwu.domains.inventory.observe import observe_shard
from uwu.domains.inventory.shards import Shard, units
from uwu.kernel import graph, tables
from uwu.kernel.errors import Denied, Unavailable
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel


def incomplete(kernel: Kernel) -> dict[tuple[str, str], tuple[CellStatus, str]]:
    """(account, type) -> (status, code) of the cells that are not complete, the accounts' own aside."""
    with kernel.db.read() as connection:
        cells = graph.coverage(connection, incomplete=True)
    return {(c.account, c.type): (c.status, c.code) for c in cells if c.type != "aws_account"}


def urns_of(kernel: Kernel, type: str) -> set[str]:
    r = tables.resources
    with kernel.db.read() as connection:
        return set(connection.scalars(sa.select(r.c.urn).where(r.c.type == type)))


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(lambda r: r.action == "ListQueues", "AccessDenied", 403), CellStatus.DENIED, "AccessDenied"),
        (Fault(lambda r: r.action == "ListQueues", "RequestThrottled", 400), CellStatus.THROTTLED, "RequestThrottled"),
        (
            Fault(lambda r: r.action == "ListQueues", "", 404, plain="<html>Not found</html>"),
            CellStatus.UNSUPPORTED,
            "operation-not-offered",
        ),
        (
            Fault(lambda r: r.action == "ListQueues", "UnknownOperationException", 400),
            CellStatus.UNSUPPORTED,
            "UnknownOperationException",
        ),
        (Fault(lambda r: r.action == "ListQueues", "InternalFailure", 400), CellStatus.FAILED, "InternalFailure"),
    ],
    ids=["denied", "throttled", "absent", "unknown", "failed"],
)
def test_one_bad_cell_costs_only_itself_and_deletes_nothing(
    full: AccountWorld, open_kernel: Open, proxy: FaultProxy, fault: Fault, status: CellStatus, code: str
) -> None:
    kernel = open_kernel(full, url=proxy.url)
    observe_shard(kernel, full.id, REGION, ["sqs"])
    known = urns_of(kernel, "aws_sqs_queue")
    proxy.faults.append(fault)
    second = observe_shard(kernel, full.id, REGION, ["sqs"])
    assert incomplete(kernel) == {(full.id, "aws_sqs_queue"): (status, code)}
    assert urns_of(kernel, "aws_sqs_queue") == known != set()
    assert (second["cells"], second["complete"], second["removed"], second["changed"]) == (1, 0, 0, 0)
    assert status.value in health(kernel)[0].detail


@pytest.mark.parametrize(
    ("action", "code", "type", "others"),
    [
        ("DescribeVolumes", "UnauthorizedOperation", "aws_ebs_volume", "aws_ec2_instance"),
        ("DescribeSecurityGroups", "RequestLimitExceeded", "aws_vpc_security_group", "aws_vpc"),
    ],
)
def test_a_denied_list_leaves_the_other_types_of_its_shard(
    full: AccountWorld, open_kernel: Open, proxy: FaultProxy, action: str, code: str, type: str, others: str
) -> None:
    proxy.faults.append(Fault(lambda r: r.action == action, code, 403))
    kernel = open_kernel(full, url=proxy.url)
    counts = observe_shard(kernel, full.id, REGION, ["ec2"])
    assert counts["complete"] == counts["cells"] - 1 > 7
    assert set(incomplete(kernel)) == {(full.id, type)}
    assert urns_of(kernel, type) == set() and urns_of(kernel, others) != set()


def test_a_denied_further_call_names_itself_and_keeps_what_was_known_whole(
    full: AccountWorld, open_kernel: Open, proxy: FaultProxy
) -> None:
    kernel = open_kernel(full, url=proxy.url)
    observe_shard(kernel, full.id, REGION, ["s3"])
    refused = Fault(lambda r: r.action.startswith("GET") and "policy" in r.action, "AccessDenied", 403)
    proxy.faults.append(refused)
    second = observe_shard(kernel, full.id, REGION, ["s3"])
    expected = {(full.id, "aws_s3_bucket"): (CellStatus.DENIED, "GetBucketPolicy.AccessDenied")}
    assert incomplete(kernel) == expected
    assert second["changed"] == 0
    fresh = open_kernel(full, url=proxy.url)
    observe_shard(fresh, full.id, REGION, ["s3"])
    assert incomplete(fresh) == expected
    with fresh.db.read() as connection:
        bucket = graph.resource(connection, f"arn:aws:s3:::{full.ids['bucket']}")
    assert bucket is not None and bucket.tags == {"team": "payments"} and "Policy" not in bucket.attributes


def test_an_account_that_denies_the_role_is_denied_at_once(
    organized: OrganizationWorld, open_kernel: Open, proxy: FaultProxy
) -> None:
    denied, open_ = organized.accounts["payments"].id, organized.accounts["staging"].id
    proxy.faults.append(Fault(lambda r: r.action == "AssumeRole" and denied in r.body, "AccessDenied", 403))
    kernel = open_kernel(organized.management, url=proxy.url)
    result = world.sync(kernel)
    assert result["accounts_denied"] == [denied] and result["accounts"] == 2
    assert {account for account, _ in incomplete(kernel)} == {denied}
    assert set(incomplete(kernel).values()) == {(CellStatus.DENIED, "assume-role-denied")}
    assert sum(1 for r in proxy.requests if r.action == "AssumeRole" and denied in r.body) == 1
    with kernel.db.read() as connection:
        cells = graph.coverage(connection, account=open_)
    assert cells and all(c.status is CellStatus.COMPLETE for c in cells)


@pytest.mark.parametrize("code", ["AuthFailure", "OptInRequired", "UnrecognizedClientException"])
def test_a_region_that_is_off_is_unsupported_not_empty(
    full: AccountWorld, open_kernel: Open, proxy: FaultProxy, code: str
) -> None:
    proxy.faults.append(Fault(lambda r: r.region == "af-south-1", code, 401))
    kernel = open_kernel(full, url=proxy.url, regions=(REGION, "af-south-1"))
    world.sync(kernel)
    with kernel.db.read() as connection:
        cells = graph.coverage(connection)
    off = {(c.status, c.code) for c in cells if c.region == "af-south-1"}
    assert off == {(CellStatus.UNSUPPORTED, "region-off")}
    assert {c.status for c in cells if c.region == REGION and c.type != "aws_account"} == {CellStatus.COMPLETE}
    ec2 = [r for r in proxy.requests if r.region == "af-south-1" and r.service == "ec2"]
    parts = [unit for unit in units(Shard(full.id, ("af-south-1",))) if unit.service == "ec2"]
    assert len(ec2) <= len(parts), "the first refusal of each thread is its last call"


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch"])
def test_wrong_credentials_end_the_sync_with_a_hint(
    full: AccountWorld, open_kernel: Open, proxy: FaultProxy, code: str
) -> None:
    message = "The Canonical String should have been x-amz-security-token:AbCdEf AKIAABCDEFGHIJKLMNOP"
    proxy.faults.append(Fault(lambda r: r.action == "GetCallerIdentity", code, 403, message))
    kernel = open_kernel(full, url=proxy.url)
    with pytest.raises(Denied) as caught:
        world.sync(kernel)
    assert caught.value.problem.code == "aws-credentials"
    assert "aws sso login" in caught.value.problem.hint
    assert "AbCdEf" not in str(caught.value) and "AKIA" not in str(caught.value)
    with kernel.db.read() as connection:
        assert graph.coverage(connection) == []


def test_no_credentials_at_all(open_kernel: Open) -> None:
    with pytest.raises(Denied) as caught:
        world.sync(open_kernel(None))
    assert caught.value.problem.code == "aws-credentials"


def test_an_endpoint_that_does_not_answer(full: AccountWorld, open_kernel: Open) -> None:
    with pytest.raises(Unavailable) as caught:
        world.sync(open_kernel(full, url="http://127.0.0.1:9"))
    assert caught.value.problem.code == "aws-unreachable"


def test_without_organizations_the_own_account_is_observed(
    full: AccountWorld, open_kernel: Open, proxy: FaultProxy
) -> None:
    proxy.faults.append(Fault(lambda r: r.service == "organizations", "AccessDeniedException", 400))
    kernel = open_kernel(full, url=proxy.url)
    run = world.InlineRun(kernel)
    result: dict[str, Any] = world.JOBS[0].run(run, {})  # type: ignore[arg-type]
    assert result["accounts"] == 1 and urns_of(kernel, "aws_vpc") != set()
    assert any(full.id in line and "AccessDenied" in line for line in run.lines)
    with kernel.db.read() as connection:
        cell = next(c for c in graph.coverage(connection) if c.type == "aws_account")
    assert (cell.status, cell.resources) == (CellStatus.DENIED, 1)


def test_what_vanishes_between_two_calls_is_not_there(full: AccountWorld, open_kernel: Open, proxy: FaultProxy) -> None:
    gone = full.ids["dlq"].rsplit(":", 1)[-1]
    proxy.faults.append(
        Fault(
            lambda r: r.action == "GetQueueAttributes" and gone in r.body,
            "com.amazonaws.sqs#QueueDoesNotExist",
            400,
        )
    )
    kernel = open_kernel(full, url=proxy.url)
    observe_shard(kernel, full.id, REGION, ["sqs"])
    assert incomplete(kernel) == {}
    assert urns_of(kernel, "aws_sqs_queue") == {full.ids["queue"]}
