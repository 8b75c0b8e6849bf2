"""What the ledger holds of each look: its cost, its run, since when, what is denied; and when the next look is due."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from tests.domains.inventory import world
from tests.domains.inventory.conftest import Open
from tests.domains.inventory.world import REGION, AccountWorld, Fault, FaultProxy
from uwu.domains.inventory import ledger_actions, ledger_cost, observe
from uwu.domains.inventory.health import health
from uwu.domains.inventory.observe import observe_shard
from uwu.domains.inventory.shards import Shard, plan, units
from uwu.kernel import codec, graph, ledger, tables
from uwu.kernel.errors import BadInput
from uwu.kernel.graph import Covered
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import InventorySettings


def cell_of(kernel: Kernel, type: str, region: str = REGION) -> Covered:
    with kernel.db.read() as connection:
        return next(c for c in graph.coverage(connection, type=type) if c.region == region)


def test_a_look_is_accounted_for(full: AccountWorld, open_kernel: Open, proxy: FaultProxy) -> None:
    kernel = open_kernel(full, url=proxy.url)
    run = world.InlineRun(kernel)
    asked = {"types": ["aws_sqs_queue", "aws_s3_bucket"], "regions": [REGION]}
    result: dict[str, Any] = observe.JOBS[0].run(run, asked)  # type: ignore[arg-type]
    queue, bucket = cell_of(kernel, "aws_sqs_queue"), cell_of(kernel, "aws_s3_bucket")
    sent = sum(1 for request in proxy.requests if request.service == "sqs")
    assert queue.calls == queue.attempts == sent > 1
    assert queue.bytes > 0 and queue.seconds > 0 and queue.run == run.id
    assert queue.cost == pytest.approx(sent * 4e-7)
    assert bucket.cost > 5e-6, "a list, and what is read of each bucket"
    assert result["cells"] == 3 and result["cost"] >= queue.cost + bucket.cost, "and the accounts"
    due = queue.due_at
    assert due is not None and due - queue.observed_at == timedelta(hours=kernel.settings.drift.stale_after_hours)


def test_a_denial_names_its_action_and_keeps_since_when(
    full: AccountWorld, open_kernel: Open, proxy: FaultProxy
) -> None:
    kernel = open_kernel(full, url=proxy.url)
    observe_shard(kernel, full.id, REGION, ["sqs"])
    whole = cell_of(kernel, "aws_sqs_queue")
    told = "User: arn:aws:iam::1:user/x is not authorized to perform: sqs:listqueues2 on resource: *"
    proxy.faults.append(Fault(lambda r: r.action == "ListQueues", "AccessDenied", 403))
    observe_shard(kernel, full.id, REGION, ["sqs"])
    denied = cell_of(kernel, "aws_sqs_queue")
    assert (denied.action, denied.status, denied.complete_at) == ("sqs:ListQueues", "denied", whole.complete_at)
    assert denied.since is not None
    assert denied.since == denied.observed_at > whole.observed_at
    observe_shard(kernel, full.id, REGION, ["sqs"])
    again = cell_of(kernel, "aws_sqs_queue")
    assert again.since == denied.since < again.observed_at
    proxy.faults[0] = Fault(lambda r: r.action == "ListQueues", "AccessDenied", 403, told)
    observe_shard(kernel, full.id, REGION, ["sqs"])
    assert cell_of(kernel, "aws_sqs_queue").action == "sqs:listqueues2", "AWS's own word"
    with kernel.db.read() as connection:
        (cause,) = ledger.causes(connection, ledger.Asked(), at=codec.now()).items
    assert cause.hole and cause.actions == ["sqs:listqueues2"] and "allow sqs:listqueues2" in cause.hint


@pytest.mark.parametrize(
    ("service", "operation", "action"),
    [
        ("ec2", "DescribeVpcs", "ec2:DescribeVpcs"),
        ("elbv2", "DescribeTargetGroups", "elasticloadbalancing:DescribeTargetGroups"),
        ("s3", "ListBuckets", "s3:ListAllMyBuckets"),
        ("s3", "GetBucketEncryption", "s3:GetEncryptionConfiguration"),
        ("s3control", "GetPublicAccessBlock", "s3:GetAccountPublicAccessBlock"),
        ("apigateway", "GetRestApis", "apigateway:GET"),
        ("stepfunctions", "ListStateMachines", "states:ListStateMachines"),
        ("ec2", "", ""),
    ],
)
def test_actions_are_named_as_policies_name_them(service: str, operation: str, action: str) -> None:
    assert ledger_actions.lacking(service, operation, "no") == action


def test_most_calls_are_free() -> None:
    assert ledger_cost.price("ec2", "DescribeInstances") == ledger_cost.price("iam", "ListRoles") == 0
    assert ledger_cost.price("s3", "ListBuckets") > ledger_cost.price("s3", "GetBucketPolicy") > 0
    assert ledger_cost.price("ce", "GetCostAndUsage") == 0.01


def test_a_complete_cell_is_late_when_it_was_due(full: AccountWorld, open_kernel: Open) -> None:
    kernel = open_kernel(full)
    observe_shard(kernel, full.id, REGION, ["sqs"])
    assert health(kernel)[0].status == "fresh"
    c = tables.coverage
    with kernel.db.write() as connection:
        connection.execute(c.update().values(due_at=codec.now() - timedelta(minutes=1)))
    (told,) = health(kernel)
    assert told.status == "late" and "1 late" in told.detail
    with kernel.db.read() as connection:
        (seen,) = ledger.accounts(connection, at=codec.now())
        late = ledger.cells(connection, ledger.Asked(late=True), at=codec.now())
    assert (seen.late, seen.complete, seen.holes) == (1, 1, 0) and [one.type for one in late.items] == ["aws_sqs_queue"]


def test_a_type_with_a_freshness_of_its_own_rests_until_it_is_due(
    full: AccountWorld, open_kernel: Open, proxy: FaultProxy
) -> None:
    kernel = open_kernel(full, url=proxy.url)
    kernel.settings = msgspec.structs.replace(
        kernel.settings, inventory=InventorySettings(freshness={"aws_sqs_*": 600})
    )
    asked = [unit for unit in units(Shard(full.id, (REGION,))) if unit.service in ("sqs", "kms")]

    def look() -> dict[str, Any]:
        return observe.observe_units(kernel, full.id, asked, rested=True)

    assert look()["cells"] == 2
    assert look()["cells"] == 1 and proxy.count("ListQueues") == 1
    assert observe.observe_units(kernel, full.id, asked)["cells"] == 2, "asked for by name it is looked at"
    with kernel.db.write() as connection:
        c = tables.coverage
        connection.execute(c.update().values(complete_at=codec.now() - timedelta(minutes=599)))
    assert look()["cells"] == 2, "it would be late before the next sync"


def test_a_sync_can_be_narrowed_and_says_what_it_does_not_know(full: AccountWorld, open_kernel: Open) -> None:
    kernel = open_kernel(full, regions=(REGION, "us-west-2"))

    def sync(**asked: list[str]) -> Any:
        return observe.JOBS[0].run(world.InlineRun(kernel), asked)  # type: ignore[arg-type]

    sync(types=["aws_vpc_*"], regions=["us-west-2"])
    with kernel.db.read() as connection:
        cells = [c for c in graph.coverage(connection) if c.type != "aws_account"]
    assert {c.region for c in cells} == {"us-west-2"} and all(c.type.startswith("aws_vpc_") for c in cells)
    for asked, code in (
        ({"types": ["aws_nothing"]}, "type-unknown"),
        ({"regions": ["mars-1"]}, "region-unknown"),
        ({"accounts": ["000000000000"]}, "account-unknown"),
        ({"account": ["000000000000"]}, "sync-scope"),
        ({"types": "aws_vpc"}, "sync-scope"),
    ):
        with pytest.raises(BadInput) as caught:
            sync(**asked)  # type: ignore[arg-type]
        assert caught.value.problem.code == code


@pytest.mark.parametrize(("accounts", "regions"), [(1, 1), (1, 17), (12, 5), (100, 17), (1000, 3), (3, 0)])
def test_shards_hold_every_region_of_every_account_once(accounts: int, regions: int) -> None:
    names = [f"{n:012d}" for n in range(accounts)]
    places = [f"region-{n}" for n in range(regions)]
    shards = plan(names, places, "home")
    assert len({shard.key for shard in shards}) == len(shards) <= max(accounts, 128 + accounts)
    assert sorted((s.account, r) for s in shards for r in s.regions) == [(a, r) for a in names for r in sorted(places)]
    assert sorted(s.account for s in shards if s.once) == names


def test_types_that_share_a_list_are_asked_by_one_thread() -> None:
    made = list(units(Shard("1", ("eu-west-1",), "eu-west-1")))
    names = [spec.name for unit in made for spec in unit.specs]
    assert len(names) == len(set(names)), "each type once"
    balancers = {"aws_ec2_application_load_balancer", "aws_ec2_network_load_balancer", "aws_ec2_gateway_load_balancer"}
    assert any(balancers <= {spec.name for spec in unit.specs} for unit in made)


def test_counts_of_problems_do_not_read_every_cell(full: AccountWorld, open_kernel: Open, proxy: FaultProxy) -> None:
    kernel = open_kernel(full, url=proxy.url)
    proxy.faults.append(
        Fault(lambda r: r.service == "ec2" and r.action != "DescribeRegions", "UnauthorizedOperation", 403)
    )
    observe_shard(kernel, full.id, REGION, ["ec2", "sqs"])
    (problem,) = observe.not_observed(kernel, [])
    assert (
        problem["code"] == "UnauthorizedOperation" and REGION in problem["place"] and "types were" in problem["message"]
    )
    assert observe.not_observed(kernel, [full.id]) == []
    with kernel.db.read() as connection:
        denied = connection.execute(
            sa.select(sa.func.count()).where(tables.coverage.c.status == CellStatus.DENIED.value)
        ).scalar_one()
        sums = ledger.sums(connection, ledger.Asked(), "status", at=codec.now())
    assert {one.key: one.cells for one in sums.items} == {"denied": denied, "complete": 1}
    assert sums.total.holes == denied and sums.total.calls is not None and sums.total.calls >= denied
