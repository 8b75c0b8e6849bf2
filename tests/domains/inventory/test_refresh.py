"""From an event to the resource that it touched: noted once, read within a budget, written, judged, and on record."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from tests.domains.inventory import world
from tests.domains.inventory.conftest import Open
from tests.domains.inventory.world import REGION, AccountWorld, FaultProxy
from uwu.domains.inventory import plan_observe, reader, refresh, refresh_events, refresh_queue
from uwu.domains.inventory import tables as own
from uwu.domains.inventory.ledger_write import record
from uwu.domains.inventory.model import Scope
from uwu.domains.inventory.reader import Reader
from uwu.domains.inventory.refresh_types import specs
from uwu.domains.trail.ingest import ingest
from uwu.kernel import codec, declared, drift, graph, tables
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Actor, Change, Declaration
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import InventorySettings

SG, VPC, BUCKET, QUEUE = "aws_vpc_security_group", "aws_vpc", "aws_s3_bucket", "aws_sqs_queue"


@pytest.fixture
def account(aws_server: Any) -> AccountWorld:
    """An account with a network, empty but for what is in it."""
    made = world.new_account(aws_server.url)
    ec2 = made.client("ec2")
    made.ids["vpc"] = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    made.ids["sg"] = group(made, "web")
    return made


def group(account: AccountWorld, name: str) -> str:
    made = account.client("ec2").create_security_group(GroupName=name, Description=name, VpcId=account.ids["vpc"])
    return made["GroupId"]


def sg_urn(account: AccountWorld, id: str) -> str:
    return f"arn:aws:ec2:{REGION}:{account.id}:security-group/{id}"


def look(kernel: Kernel, account: AccountWorld, *types: str) -> None:
    """Lists the cells of ``types``."""
    for type in types:
        spec = specs()[type]
        record(kernel, reader.observe_type(Reader(kernel.aws, Scope(account.id, REGION), spec.service), spec))


def event(
    account: AccountWorld,
    name: str,
    urn: str,
    *,
    role: str = "target",
    at: datetime | None = None,
    id: str = "",
    **more: Any,
) -> Change:
    given: dict[str, Any] = {
        "event_id": id or codec.new_id("e"),
        "at": at or codec.now() - timedelta(minutes=2),
        "name": name,
        "source": "ec2.amazonaws.com",
        "account": account.id,
        "region": REGION,
        "urn": urn,
        "role": role,
        "actor": Actor(kind="human", name="mira"),
    }
    return Change(**{**given, **more})


def queue(kernel: Kernel) -> dict[str, Any]:
    with kernel.db.read() as connection:
        return {row.urn: row for row in connection.execute(sa.select(own.touched))}


def past(kernel: Kernel, by: timedelta = timedelta(minutes=10)) -> None:
    """All that was seen was seen so long before now: events since then are news."""
    c, r = tables.coverage, tables.resources
    then = codec.now() - by
    with kernel.db.write() as connection:
        connection.execute(c.update().values(complete_at=then, observed_at=then))
        connection.execute(r.update().values(changed_at=then, seen_at=None))


def attributes(kernel: Kernel, urn: str) -> dict[str, Any] | None:
    with kernel.db.read() as connection:
        return connection.execute(
            sa.select(tables.resources.c.attributes).where(tables.resources.c.urn == urn)
        ).scalar()


def told(kernel: Kernel) -> list[refresh_queue.Refreshed]:
    with kernel.db.read() as connection:
        return refresh_queue.latest(connection)


@pytest.fixture
def kernel(account: AccountWorld, open_kernel: Open) -> Kernel:
    kernel = open_kernel(account)
    look(kernel, account, SG, VPC)
    past(kernel)
    return kernel


def open_port(account: AccountWorld, id: str, port: int = 22) -> None:
    account.client("ec2").authorize_security_group_ingress(
        GroupId=id, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="0.0.0.0/0"
    )


# ---- one event


def test_an_event_updates_just_its_resource(kernel: Kernel, account: AccountWorld) -> None:
    urn = sg_urn(account, account.ids["sg"])
    open_port(account, account.ids["sg"])
    assert refresh_events.note(kernel, [event(account, "AuthorizeSecurityGroupIngress", urn)]) == refresh.JOB
    result = refresh.refresh_touched(kernel)
    assert result == {"results": {"changed": 1}, "subjects": [urn], "more": True}
    held = attributes(kernel, urn)
    assert held is not None
    assert held["IpPermissions"][0]["FromPort"] == 22
    one = told(kernel)[0]
    assert (one.calls, one.paths, one.result) == (("DescribeSecurityGroups",), ("IpPermissions",), "changed")
    assert one.events == ("AuthorizeSecurityGroupIngress",)
    assert not queue(kernel)
    with kernel.db.read() as connection:
        assert [version.version for version in graph.history(connection, urn)] == [2, 1]
        cell = next(each for each in graph.coverage(connection) if each.type == SG)
    assert cell.calls == 1  # the cell's own look stays what it was


def test_what_is_new_comes_and_what_is_deleted_goes(kernel: Kernel, account: AccountWorld) -> None:
    urn = sg_urn(account, group(account, "fresh"))
    refresh_events.note(kernel, [event(account, "CreateSecurityGroup", urn)])
    assert refresh.refresh_touched(kernel)["results"] == {"added": 1}
    assert attributes(kernel, urn) is not None
    account.client("ec2").delete_security_group(GroupId=urn.rsplit("/", 1)[-1])
    later = event(account, "DeleteSecurityGroup", urn, at=codec.now() - refresh_events.SETTLE)
    refresh_events.note(kernel, [later])
    due_now(kernel)
    assert refresh.refresh_touched(kernel)["results"] == {"gone": 1}
    assert attributes(kernel, urn) is None
    with kernel.db.read() as connection:
        assert graph.history(connection, urn)[0].valid_to is not None


def due_now(kernel: Kernel) -> None:
    """Lets the time pass until all that waits is due."""
    with kernel.db.write() as connection:
        connection.execute(own.touched.update().values(due_at=codec.now()))


def test_many_events_on_one_resource_are_one_refresh(kernel: Kernel, account: AccountWorld) -> None:
    urn = sg_urn(account, account.ids["sg"])
    events = [event(account, name, urn) for name in ("CreateTags", "AuthorizeSecurityGroupIngress", "CreateTags")]
    refresh_events.note(kernel, events[:1])
    refresh_events.note(kernel, events[1:])
    row = queue(kernel)[urn]
    assert (row.events, row.allowance) == (["CreateTags", "AuthorizeSecurityGroupIngress"], 9)
    assert refresh.refresh_touched(kernel)["results"] == {"unchanged": 1}
    assert refresh.refresh_touched(kernel)["more"] is False


def test_an_event_while_it_is_read_is_not_lost(kernel: Kernel, account: AccountWorld) -> None:
    urn = sg_urn(account, account.ids["sg"])
    refresh_events.note(kernel, [event(account, "CreateTags", urn)])
    with kernel.db.write() as connection:
        (taken,) = refresh_queue.take(connection, codec.now(), 10)
        assert not refresh_queue.take(connection, codec.now(), 10)
    refresh_events.note(kernel, [event(account, "CreateTags", urn)])
    with kernel.db.write() as connection:
        refresh_queue.done(connection, taken)
    with kernel.db.write() as connection:
        assert [each.urn for each in refresh_queue.take(connection, codec.now(), 10)] == [urn]


def test_a_worker_that_dies_leaves_what_it_took_to_another(kernel: Kernel, account: AccountWorld) -> None:
    refresh_events.note(kernel, [event(account, "CreateTags", sg_urn(account, account.ids["sg"]))])
    with kernel.db.write() as connection:
        assert refresh_queue.take(connection, codec.now(), 10)
        assert not refresh_queue.take(connection, codec.now(), 10)
        assert refresh_queue.take(connection, codec.now() + refresh_queue.TAKEN, 10)


def test_what_a_later_look_has_seen_is_not_read_again(kernel: Kernel, account: AccountWorld) -> None:
    urn = sg_urn(account, account.ids["sg"])
    old = event(account, "CreateTags", urn, at=codec.now() - timedelta(hours=1))
    assert refresh_events.note(kernel, [old]) == ""
    assert refresh_events.note(kernel, [event(account, "CreateTags", urn)]) == refresh.JOB


def test_who_is_not_heard(kernel: Kernel, account: AccountWorld, open_kernel: Open) -> None:
    """uwu's own writes, failed ones, what no sync has seen, what is no observed resource."""
    urn, other = sg_urn(account, account.ids["sg"]), "arn:aws:s3:::never-looked-at"
    own_kernel = open_kernel(account, apply_role_name="uwu-applier")
    look(own_kernel, account, SG)
    past(own_kernel)
    mine = Actor(kind="machine", name="uwu", principal=f"arn:aws:iam::{account.id}:role/uwu-applier")
    assert refresh_events.note(own_kernel, [event(account, "CreateTags", urn, actor=mine)]) == ""
    assert refresh_events.note(own_kernel, [event(account, "CreateTags", urn, error="AccessDenied")]) == ""
    assert refresh_events.note(own_kernel, [event(account, "PutBucketPolicy", other)]) == ""
    assert refresh_events.note(own_kernel, [event(account, "X", "arn:aws:nothing:::here")]) == ""
    assert refresh_events.note(own_kernel, [event(account, "CreateTags", urn)]) == refresh.JOB


def test_what_is_named_in_passing_is_read_only_where_it_changed_too(kernel: Kernel, account: AccountWorld) -> None:
    vpc = f"arn:aws:ec2:{REGION}:{account.id}:vpc/{account.ids['vpc']}"
    urn = sg_urn(account, account.ids["sg"])
    refresh_events.note(
        kernel, [event(account, "CreateTags", urn, id="1"), event(account, "CreateTags", vpc, id="1", role="related")]
    )
    assert queue(kernel).keys() == {urn}
    refresh_events.note(
        kernel, [event(account, "AttachIt", urn, id="2"), event(account, "AttachIt", vpc, id="2", role="related")]
    )
    rows = queue(kernel)
    assert {urn: row.allowance for urn, row in rows.items()} == {urn: 3 + 2, vpc: 1}


def test_an_event_on_many_of_a_cell_lists_the_cell(kernel: Kernel, account: AccountWorld) -> None:
    urns = [sg_urn(account, group(account, f"many-{number}")) for number in range(6)]
    refresh_events.note(kernel, [event(account, "CreateSecurityGroup", urn, id="one") for urn in urns])
    (row,) = queue(kernel).values()
    assert row.urn == row.cell
    assert refresh.refresh_touched(kernel)["results"] == {"changed": 1}
    assert all(attributes(kernel, urn) is not None for urn in urns)
    assert told(kernel)[0].calls == ("DescribeSecurityGroups",)


# ---- limits


def test_the_budget_of_an_account_holds_and_the_rest_is_counted(
    kernel: Kernel, account: AccountWorld, open_kernel: Open
) -> None:
    tight = open_kernel(account)
    tight.settings = msgspec.structs.replace(tight.settings, inventory=InventorySettings(refresh_calls_per_minute=2))
    look(tight, account, SG)
    groups = [sg_urn(account, group(account, f"busy-{number}")) for number in range(5)]
    look(tight, account, SG)
    past(tight)
    refresh_events.note(tight, [event(account, "CreateTags", urn) for urn in groups])
    before = codec.now().minute
    result = refresh.refresh_touched(tight)
    if codec.now().minute == before:
        assert result["results"] == {"unchanged": 2}
        assert len(queue(tight)) == 3
    with tight.db.write() as connection:  # they have waited too long
        now = codec.now()
        connection.execute(own.touched.update().values(due_at=now, noted_at=now - timedelta(hours=1)))
        connection.execute(own.budgets.update().values(used=2, minute=now.replace(second=0, microsecond=0)))
    while refresh.refresh_touched(tight)["more"]:
        pass
    left = [one for one in told(tight) if one.result == "left"]
    assert {one.code for one in left} == {"refresh-budget"}
    assert {one.urn for one in told(tight)} == set(groups)
    assert not queue(tight)
    (line,) = refresh.health(tight)
    assert f"{len(left)} left to the next sync" in line.detail


def test_what_takes_more_calls_than_its_event_stands_for_is_left(
    account: AccountWorld, open_kernel: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = open_kernel(account)
    account.client("sqs").create_queue(QueueName="jobs")
    look(kernel, account, QUEUE)
    past(kernel)
    urn = f"arn:aws:sqs:{REGION}:{account.id}:jobs"
    place = refresh.target(kernel, urn).place
    one = refresh.refresh_one(kernel, refresh.Target(urn=urn, place=place, events=("SetQueueAttributes",), allowance=0))
    assert one is not None
    assert (one.result, one.code, one.calls) == ("left", "refresh-calls", ())


def test_what_is_denied_changes_nothing_and_is_told(
    account: AccountWorld, open_kernel: Open, proxy: FaultProxy
) -> None:
    kernel = open_kernel(account, url=proxy.url)
    look(kernel, account, SG)
    past(kernel)
    urn = sg_urn(account, account.ids["sg"])
    before = attributes(kernel, urn)
    open_port(account, account.ids["sg"], 2222)
    proxy.faults.append(
        world.Fault(lambda request: request.action == "DescribeSecurityGroups", "UnauthorizedOperation")
    )
    refresh_events.note(kernel, [event(account, "AuthorizeSecurityGroupIngress", urn)])
    assert refresh.refresh_touched(kernel)["results"] == {"denied": 1}
    assert attributes(kernel, urn) == before
    assert (told(kernel)[0].code, queue(kernel)) == ("UnauthorizedOperation", {})


def test_an_answer_that_may_be_older_than_its_event_is_asked_once_more(kernel: Kernel, account: AccountWorld) -> None:
    missing = sg_urn(account, "sg-0123456789abcdef0")
    refresh_events.note(
        kernel, [event(account, "CreateSecurityGroup", missing, at=codec.now() - timedelta(seconds=10))]
    )
    assert refresh.refresh_touched(kernel)["results"] == {"absent": 1}
    assert queue(kernel)[missing].tries == 1
    due_now(kernel)
    assert refresh.refresh_touched(kernel)["results"] == {"absent": 1}
    assert not queue(kernel)


# ---- asked for


def test_somebody_asks(kernel: Kernel, account: AccountWorld) -> None:
    urn = sg_urn(account, account.ids["sg"])
    open_port(account, account.ids["sg"], 3389)
    result = refresh.refresh_asked(kernel, [urn])
    (one,) = result["refreshed"]
    assert (one["result"], one["calls"], one["paths"]) == ("changed", ("DescribeSecurityGroups",), ("IpPermissions",))
    assert one["seconds"] > 0
    with pytest.raises(BadInput) as error:
        refresh.refresh_asked(kernel, ["component:default/api"])
    assert error.value.problem.code == "refresh-foreign"


def test_a_plan_reads_its_subjects_by_themselves_where_their_cell_is_long(
    account: AccountWorld, open_kernel: Open, proxy: FaultProxy
) -> None:
    kernel = open_kernel(account, url=proxy.url)
    urn = sg_urn(account, account.ids["sg"])
    look(kernel, account, SG)
    before = len(proxy.requests)
    assert plan_observe.observe(kernel, [urn]) == []
    assert "GroupId.1" not in proxy.requests[before].body  # a short list is listed: its coverage is renewed with it
    with kernel.db.write() as connection:
        connection.execute(tables.coverage.update().values(calls=40))
    open_port(account, account.ids["sg"])
    before = len(proxy.requests)
    assert plan_observe.observe(kernel, [urn]) == []
    (request,) = proxy.requests[before:]
    assert account.ids["sg"] in request.body
    held = attributes(kernel, urn)
    assert held is not None
    assert held["IpPermissions"]
    proxy.faults.append(world.Fault(lambda request: "GroupId.1" in request.body, "UnauthorizedOperation"))
    assert plan_observe.observe(kernel, [urn]) == []  # then the cell as a whole


# ---- the whole way


def cloudtrail(account: AccountWorld, name: str, request: dict[str, Any], response: Any = None) -> dict[str, Any]:
    return {
        "eventVersion": "1.09",
        "eventID": codec.new_id("e"),
        "eventTime": codec.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "ec2.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "recipientAccountId": account.id,
        "readOnly": False,
        "userIdentity": {"type": "IAMUser", "userName": "mira", "accountId": account.id},
        "requestParameters": request,
        "responseElements": response,
        "eventType": "AwsApiCall",
    }


@pytest.fixture
def deliver(tmp_path: Path) -> Callable[..., Path]:
    def write(*records: dict[str, Any]) -> Path:
        path = tmp_path / "trail" / f"{codec.new_id('object')}.json.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(json.dumps({"Records": records}).encode()))
        return path.parent

    return write


def test_an_object_lands_and_the_finding_opens(
    kernel: Kernel, account: AccountWorld, deliver: Callable[..., Path]
) -> None:
    """Trail ingest, refresh, drift: and the next object closes what the first has opened."""
    id = account.ids["sg"]
    urn = sg_urn(account, id)
    declare(kernel, urn)
    drift.judge(kernel)
    open_port(account, id)
    ingest(kernel, [str(deliver(cloudtrail(account, "AuthorizeSecurityGroupIngress", {"groupId": id})))], holder="t")
    assert queue(kernel).keys() == {urn}
    with kernel.db.read() as connection:
        jobs = set(connection.execute(sa.select(tables.jobs.c.name, tables.jobs.c.requested_by)).all())
    assert jobs == {(refresh.JOB, "trail"), ("trail.detect", "trail")}
    assert findings(kernel, urn) == []
    due_now(kernel)
    assert refresh.judge(kernel, refresh.refresh_touched(kernel)["subjects"])["opened"] == 1
    (found,) = findings(kernel, urn)
    assert (found.rule, found.path, found.status, found.actor) == ("drift.attribute", "ingress", "open", "mira")
    account.client("ec2").revoke_security_group_ingress(
        GroupId=id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    ingest(kernel, [str(deliver(cloudtrail(account, "RevokeSecurityGroupIngress", {"groupId": id})))], holder="t")
    due_now(kernel)
    assert refresh.judge(kernel, refresh.refresh_touched(kernel)["subjects"])["closed"] == 1
    assert [each.status for each in findings(kernel, urn)] == ["closed"]
    assert not unrelated_changed(kernel, urn)


def declare(kernel: Kernel, urn: str) -> None:
    one = Declaration(
        source="state:default/web",
        address="aws_security_group.web",
        declared_type="aws_security_group",
        urn=urn,
        type=SG,
        attributes={"ingress": [], "egress": None, "name": "web"},
        place="web.tfstate",
    )
    with kernel.db.write() as connection:
        declared.replace_declarations(connection, one.source, [one])


def findings(kernel: Kernel, urn: str) -> list[Any]:
    f = tables.findings
    with kernel.db.read() as connection:
        return list(connection.execute(sa.select(f).where(f.c.subject == urn, f.c.rule != "drift.unowned")))


def unrelated_changed(kernel: Kernel, urn: str) -> list[str]:
    """Resources other than ``urn`` that have more than one version."""
    v = tables.versions
    with kernel.db.read() as connection:
        return list(connection.scalars(sa.select(v.c.urn).where(v.c.version > 1, v.c.urn != urn)))


# ---- whatever comes in whatever order


@pytest.mark.parametrize("seed", range(6))
def test_events_late_doubled_and_out_of_order_end_in_the_truth(
    seed: int, kernel: Kernel, account: AccountWorld
) -> None:
    """And a listing that began before the last refresh never undoes it, whenever it is written."""
    draw = random.Random(seed)
    ec2, alive = account.client("ec2"), [account.ids["sg"]]
    ever = set(alive)
    waiting: list[Change] = []
    listings: list[Any] = []
    spec, scope = specs()[SG], Scope(account.id, REGION)
    for step in range(25):
        what = draw.choice(("create", "open", "tag", "delete", "tell", "tell", "refresh", "list", "write"))
        if what == "create" or not alive:
            alive.append(group(account, f"g-{seed}-{step}"))
            ever.add(alive[-1])
            waiting.append(event(account, "CreateSecurityGroup", sg_urn(account, alive[-1]), at=codec.now()))
        elif what == "open":
            id = draw.choice(alive)
            open_port(account, id, 1000 + step)
            waiting.append(event(account, "AuthorizeSecurityGroupIngress", sg_urn(account, id), at=codec.now()))
        elif what == "tag":
            id = draw.choice(alive)
            ec2.create_tags(Resources=[id], Tags=world.tags(step=str(step)))
            waiting.append(event(account, "CreateTags", sg_urn(account, id), at=codec.now()))
        elif what == "delete":
            id = alive.pop(draw.randrange(len(alive)))
            ec2.delete_security_group(GroupId=id)
            waiting.append(event(account, "DeleteSecurityGroup", sg_urn(account, id), at=codec.now()))
        elif what == "tell" and waiting:
            some = draw.sample(waiting, draw.randint(1, len(waiting)))
            refresh_events.note(kernel, [*some, *draw.sample(some, 1)])
            waiting = [each for each in waiting if each not in some or draw.random() < 0.2]
        elif what == "refresh":
            due_now(kernel)
            refresh.refresh_touched(kernel)
        elif what == "list":
            listings.append(reader.observe_type(Reader(kernel.aws, scope, spec.service), spec))
        elif what == "write" and listings:
            record(kernel, listings.pop(draw.randrange(len(listings))))
    refresh_events.note(kernel, waiting)
    for _ in range(10):
        due_now(kernel)
        if not refresh.refresh_touched(kernel)["more"]:
            break
    draw.shuffle(listings)
    for listing in listings:
        record(kernel, listing)
    truth = reader.observe_type(Reader(kernel.aws, scope, spec.service), spec)
    by_urn = {one.urn: one.attributes for one in truth.resources}
    for id in ever:
        urn = sg_urn(account, id)
        assert attributes(kernel, urn) == by_urn.get(urn), urn
    assert not queue(kernel)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run does not wait here for what is due soon."""
    monkeypatch.setattr(refresh, "WAIT", timedelta(0))
    yield
