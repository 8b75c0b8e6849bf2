"""The planners of the inventory against AWS as moto plays it: rules of security groups, owner tags, undoing both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.domains.inventory import world
from tests.domains.inventory.conftest import Open
from tests.domains.inventory.world import AccountWorld, Fault, FaultProxy
from uwu.domains.inventory import plan_groups, plan_observe, plan_tags
from uwu.domains.inventory.model import Scope
from uwu.domains.inventory.observe import record
from uwu.domains.inventory.reader import Reader, observe_type
from uwu.domains.inventory.services import SERVICES
from uwu.kernel import codec, declared, drift, graph, ownership, urns
from uwu.kernel.errors import BadInput, Conflict, Denied
from uwu.kernel.model import Cell, CellStatus, Declaration, Entity, Outcome, Place, Resource
from uwu.kernel.plans import Action, Plan, PlannedChange, Step
from uwu.kernel.runtime import Kernel

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

APPLIER = "uwu-applier"
HAND = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "me"}]}
V6 = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 23, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}


def declared_group(group: str, account: str, vpc: str) -> Declaration:
    """8080 from 10.0.0.0/8 and from the group itself, everything out."""
    rule = {
        "protocol": "tcp", "from_port": 8080, "to_port": 8080, "cidr_blocks": ["10.0.0.0/8"], "self": True,
        "description": "app",
    }  # fmt: skip
    out = {"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"], "description": ""}
    return Declaration(
        source="stack:default/payments",
        address="aws_security_group.app",
        place="payments.tfstate#7",
        urn=urns.ec2("security-group", group, account=account, region=world.REGION),
        type="aws_vpc_security_group",
        declared_type="aws_security_group",
        attributes={
            "id": group,
            "name": "app",
            "description": "app",
            "vpc_id": vpc,
            "ingress": [rule],
            "egress": [out],
        },
    )


class Made:
    """A group in an account of its own, declared, observed, and judged."""

    def __init__(self, kernel: Kernel, account: AccountWorld) -> None:
        self.kernel, self.account = kernel, account
        self.ec2 = kernel.aws.client("ec2", account.id, world.REGION)
        vpc = self.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        self.group = self.ec2.create_security_group(GroupName="app", Description="app", VpcId=vpc)["GroupId"]
        self.declaration = declared_group(self.group, account.id, vpc)
        self.urn = self.declaration.urn
        pairs = [{"GroupId": self.group, "Description": "app"}]
        ranges = [{"CidrIp": "10.0.0.0/8", "Description": "app"}]
        self.permission = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080}
        self.authorize({**self.permission, "IpRanges": ranges, "UserIdGroupPairs": pairs})
        with kernel.db.write() as connection:
            declared.replace_declarations(connection, self.declaration.source, [self.declaration])
        self.look()

    def authorize(self, *permissions: dict[str, Any]) -> None:
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=list(permissions))

    def look(self) -> None:
        """Observes the account's groups and judges."""
        spec = next(spec for spec in SERVICES["ec2"] if spec.name == plan_groups.TYPE)
        record(self.kernel, observe_type(Reader(self.kernel.aws, Scope(self.account.id, world.REGION), "ec2"), spec))
        ownership.settle(self.kernel)
        drift.judge(self.kernel)

    def findings(self) -> list[str]:
        with self.kernel.db.read() as connection:
            return [each.path for each in drift.findings(connection, subject=self.urn, rule="drift.attribute").items]

    def plan(self) -> Plan:
        return plan_groups.plan(self.kernel, {"subjects": [self.urn]})

    def apply(self, plan: Plan) -> list[bool]:
        """Applies every change and says for each whether it was so already."""
        return [
            plan_groups.apply(Step(self.kernel, "plan_x", 7, number), change).already
            for number, change in enumerate(plan.changes)
        ]


@pytest.fixture
def made(open_kernel: Open, aws_server: MotoServer) -> Made:
    account = world.new_account(aws_server.url)
    return Made(open_kernel(account, apply_role_name=APPLIER), account)


# ---- rules of security groups


def test_a_port_opened_by_hand_is_closed_and_opened_again_by_undo(made: Made) -> None:
    assert made.findings() == []
    made.authorize(HAND, V6)
    made.look()
    assert made.findings() == ["ingress"]
    plan = made.plan()
    assert [(c.action, c.title) for c in plan.changes] == [
        (Action.DELETE, "revoke ingress tcp 22 from 0.0.0.0/0"),
        (Action.DELETE, "revoke ingress tcp 22-23 from ::/0"),
    ]
    assert plan.changes[0].before == {
        "direction": "ingress", "protocol": "tcp", "from_port": 22, "to_port": 22, "cidr": "0.0.0.0/0",
        "description": "me",
    }  # fmt: skip
    assert plan.changes[0].after is None
    assert plan.changes[0].reason == drift.finding_id("drift.attribute", made.urn, "ingress")
    assert made.apply(plan) == [False, False]
    assert made.apply(plan) == [True, True], "again changes nothing and says so"
    assert plan_observe.observe(made.kernel, [made.urn]) == []
    drift.judge(made.kernel)
    assert made.findings() == [] and made.plan().changes == ()

    back = plan_groups.undo(made.kernel, plan, plan.changes)
    assert [c.action for c in back.changes] == [Action.CREATE] * 2
    assert made.apply(back) == [False, False]
    made.look()
    again = made.plan()
    assert made.findings() == ["ingress"] and [c.before for c in again.changes] == [c.before for c in plan.changes]


def test_missing_rules_are_authorized_before_the_others_are_revoked(made: Made) -> None:
    ec2, group = made.ec2, made.group
    ec2.revoke_security_group_ingress(
        GroupId=group,
        IpPermissions=[{**made.permission, "UserIdGroupPairs": [{"GroupId": group, "Description": "app"}]}],
    )
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
    made.authorize(HAND)
    made.look()
    assert sorted(made.findings()) == ["egress", "ingress"]
    plan = made.plan()
    assert sorted(c.title for c in plan.changes[:2]) == [
        "authorize egress all to 0.0.0.0/0",
        "authorize ingress tcp 8080 from itself",
    ]
    assert [c.action for c in plan.changes] == [Action.CREATE, Action.CREATE, Action.DELETE]
    assert made.apply(plan) == [False] * 3
    made.look()
    assert made.findings() == []


def test_another_description_is_described_and_nothing_is_cut(made: Made) -> None:
    ec2, group = made.ec2, made.group
    ranges = [{"CidrIp": "10.0.0.0/8", "Description": "changed by hand"}]
    ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group, IpPermissions=[{**made.permission, "IpRanges": ranges}]
    )
    made.look()
    plan = made.plan()
    assert [(c.action, c.title) for c in plan.changes] == [
        (Action.UPDATE, "describe ingress tcp 8080 from 10.0.0.0/8 as 'app'")
    ]
    assert made.apply(plan) == [False]
    made.look()
    assert made.findings() == []
    back = plan_groups.undo(made.kernel, plan, plan.changes)
    assert [c.after["description"] for c in back.changes] == ["changed by hand"]


def test_undo_leaves_what_was_changed_since(made: Made) -> None:
    made.authorize(HAND)
    made.look()
    plan = made.plan()
    made.apply(plan)
    made.authorize(HAND)
    made.look()
    back = plan_groups.undo(made.kernel, plan, plan.changes)
    assert back.changes == () and "changed since" in back.notes[0]


def test_the_hashes_hold_what_the_plan_was_made_from_and_nothing_else(made: Made) -> None:
    made.authorize(HAND)
    made.look()
    plan = made.plan()
    moved = msgspec.structs.replace(made.declaration, place="payments.tfstate#8")
    with made.kernel.db.write() as connection:
        declared.replace_declarations(connection, moved.source, [moved])
    assert made.plan() == plan, "a state that was written anew and says the same changes nothing"
    other = msgspec.structs.replace(made.declaration, attributes={**made.declaration.attributes, "ingress": []})
    with made.kernel.db.write() as connection:
        declared.replace_declarations(connection, other.source, [other])
    assert made.plan().declared_hash != plan.declared_hash
    made.authorize(V6)
    made.look()
    assert made.plan().observed_hash != plan.observed_hash


def test_what_cannot_be_planned_is_told(made: Made, open_kernel: Open) -> None:
    kernel = made.kernel
    for request, code, place in (
        ({"subjects": 3}, "request-invalid", "/request/subjects"),
        ({"colour": "red"}, "request-invalid", "/request"),
        ({}, "request-invalid", "/request"),
        ({"findings": ["f_none"]}, "finding-unknown", "/request/findings/0"),
        ({"subjects": [made.urn + "x"]}, "subject-unfit", "/request"),
        ({"subjects": [f"{made.urn}{n}" for n in range(501)]}, "plan-too-large", "/request"),
    ):
        with pytest.raises(BadInput) as caught:
            plan_groups.plan(kernel, request)
        assert (caught.value.problem.code, caught.value.problem.place) == (code, place), request
    with kernel.db.write() as connection:
        declared.replace_declarations(connection, made.declaration.source, [])
    plan = made.plan()
    assert plan.changes == () and plan.notes == ("app is not declared: nothing says what its rules should be",)


def test_it_writes_in_the_role_that_applies_and_names_the_plan(
    made: Made, proxy: FaultProxy, open_kernel: Open
) -> None:
    made.authorize(HAND)
    made.look()
    plan = made.plan()
    kernel = open_kernel(made.account, url=proxy.url, apply_role_name=APPLIER)
    plan_groups.apply(Step(kernel, "plan_x", 431, 0), plan.changes[0])
    assumed = [request for request in proxy.requests if request.action == "AssumeRole"]
    assert len(assumed) == 1
    bodies = " ".join(request.body for request in assumed)
    assert f"role%2F{APPLIER}" in bodies and "uwu-plan-431" in bodies, "even in the caller's own account"
    assert proxy.count("RevokeSecurityGroupIngress") == 1


def test_a_denial_names_the_role_and_the_action(made: Made, proxy: FaultProxy, open_kernel: Open) -> None:
    made.authorize(HAND)
    made.look()
    plan = made.plan()
    kernel = open_kernel(made.account, url=proxy.url, apply_role_name=APPLIER)
    proxy.faults.append(Fault(lambda r: r.action == "RevokeSecurityGroupIngress", "UnauthorizedOperation", 403))
    with pytest.raises(Denied) as caught:
        plan_groups.apply(Step(kernel, "plan_x", 432, 0), plan.changes[0])
    assert caught.value.problem.hint == f"allow the role {APPLIER} the action ec2:RevokeSecurityGroupIngress"


# ---- owner tags


class Tagged:
    """Secrets that nobody owns, in an account of their own, and two groups."""

    def __init__(self, kernel: Kernel, account: AccountWorld) -> None:
        self.kernel, self.account = kernel, account
        self.secrets = kernel.aws.client("secretsmanager", account.id, world.REGION)
        tags = [{"Key": "stage", "Value": "prod"}]
        self.urns = [self.secrets.create_secret(Name=f"s{n}", SecretString="x", Tags=tags)["ARN"] for n in range(2)]
        groups = [
            Entity(kind="Group", name=name, api_version="backstage.io/v1alpha1", spec={}, place=Place("org.yaml", 1))
            for name in ("payments", "search")
        ]
        with kernel.db.write() as connection:
            declared.replace_entities(connection, "file:org.yaml", groups, [])
        self.look()

    def look(self) -> None:
        service = "secretsmanager"
        (spec,) = SERVICES[service]
        record(self.kernel, observe_type(Reader(self.kernel.aws, Scope(self.account.id, world.REGION), service), spec))
        ownership.settle(self.kernel)
        drift.judge(self.kernel)

    def tags(self) -> list[dict[str, str]]:
        told = [self.secrets.describe_secret(SecretId=urn).get("Tags", []) for urn in self.urns]
        return [{tag["Key"]: tag["Value"] for tag in each} for each in told]

    def unowned(self) -> list[str]:
        with self.kernel.db.read() as connection:
            return sorted(each.subject for each in drift.findings(connection, rule="drift.unowned").items)

    def apply(self, plan: Plan) -> list[str]:
        return [
            plan_tags.apply(Step(self.kernel, "plan_t", 9, number), change).note
            for number, change in enumerate(plan.changes)
        ]


@pytest.fixture
def tagged(open_kernel: Open, aws_server: MotoServer) -> Tagged:
    account = world.new_account(aws_server.url)
    return Tagged(open_kernel(account, apply_role_name=APPLIER), account)


def test_an_owner_is_named_and_the_tags_are_as_they_were_after_undo(tagged: Tagged) -> None:
    assert tagged.unowned() == sorted(tagged.urns)
    findings = [drift.finding_id("drift.unowned", urn, "") for urn in tagged.urns]
    plan = plan_tags.plan(tagged.kernel, {"findings": findings, "owner": "payments"})
    assert plan.title == "Name payments the owner of 2 resources"
    assert [(c.action, c.title, c.owner, c.reason) for c in plan.changes] == [
        (Action.CREATE, f"tag s{n} uwu:owner=payments", "group:default/payments", findings[n]) for n in range(2)
    ]
    assert plan.changes[0].before == {"uwu:owner": None} and plan.changes[0].after == {"uwu:owner": "payments"}
    assert tagged.apply(plan) == [f"tag:TagResources {urn}" for urn in tagged.urns]
    assert tagged.tags() == [{"stage": "prod", "uwu:owner": "payments"}] * 2
    assert plan_observe.observe(tagged.kernel, tagged.urns) == []
    tagged.look()
    assert tagged.unowned() == []

    moved = plan_tags.plan(tagged.kernel, {"subjects": tagged.urns[:1], "owner": "search"})
    assert [c.action for c in moved.changes] == [Action.UPDATE]
    tagged.apply(moved)
    tagged.look()
    back = plan_tags.undo(tagged.kernel, moved, moved.changes)
    assert back.changes[0].after == {"uwu:owner": "payments"}
    tagged.apply(back)
    tagged.look()
    rest = plan_tags.undo(tagged.kernel, plan, plan.changes)
    assert [c.action for c in rest.changes] == [Action.DELETE] * 2
    tagged.apply(rest)
    assert tagged.tags() == [{"stage": "prod"}] * 2
    tagged.look()
    assert tagged.unowned() == sorted(tagged.urns)
    assert plan_tags.undo(tagged.kernel, plan, plan.changes).notes[0] == "the tags of s0 were changed since"


def test_an_owner_that_is_no_group_and_what_has_no_tags_are_told(tagged: Tagged) -> None:
    with pytest.raises(BadInput) as caught:
        plan_tags.plan(tagged.kernel, {"subjects": tagged.urns, "owner": "nobody-knows"})
    assert caught.value.problem.place == "/request/owner"
    with pytest.raises(BadInput) as caught:
        plan_tags.plan(tagged.kernel, {"subjects": tagged.urns})
    assert "owner" in caught.value.problem.message
    record_set = urns.record_set("Z1", "www.example.com", "CNAME", account=tagged.account.id)
    outcome = Outcome(
        cell=Cell(source="aws", account=tagged.account.id, region="us-east-1", type="aws_route53_record"),
        status=CellStatus.COMPLETE,
        observed_at=codec.now(),
    )
    record_ = Resource(
        urn=record_set, type="aws_route53_record", account=tagged.account.id, region="global", name="www.example.com"
    )
    with tagged.kernel.db.write() as connection:
        graph.observe(connection, outcome, [record_], [])
    plan = plan_tags.plan(tagged.kernel, {"subjects": [record_set], "owner": "payments"})
    assert plan.changes == () and plan.notes == ("www.example.com: AWS gives it no ARN, so it cannot be tagged",)


def test_what_the_tagging_api_could_not_tag_is_a_failure_of_the_change(tagged: Tagged) -> None:
    gone = PlannedChange(subject=tagged.urns[0], action=Action.CREATE, before={}, after={"uwu:owner": "payments"})
    elsewhere = tagged.urns[0].replace(":secretsmanager:", ":ec2:")
    outcome = Outcome(
        cell=Cell(source="aws", account=tagged.account.id, region=world.REGION, type="aws_nowhere"),
        status=CellStatus.COMPLETE,
        observed_at=codec.now(),
    )
    strange = Resource(urn=elsewhere, type="aws_nowhere", account=tagged.account.id, region=world.REGION, name="x")
    with tagged.kernel.db.write() as connection:
        graph.observe(connection, outcome, [strange], [])
    with pytest.raises(Conflict, match="tag:TagResources"):
        plan_tags.apply(Step(tagged.kernel, "plan_t", 9, 0), msgspec.structs.replace(gone, subject=elsewhere))


def test_a_cell_that_is_denied_is_a_problem_and_no_proof(made: Made, proxy: FaultProxy, open_kernel: Open) -> None:
    kernel = open_kernel(made.account, url=proxy.url)
    spec = next(spec for spec in SERVICES["ec2"] if spec.name == plan_groups.TYPE)
    record(kernel, observe_type(Reader(kernel.aws, Scope(made.account.id, world.REGION), "ec2"), spec))
    proxy.faults.append(Fault(lambda r: r.action == "DescribeSecurityGroups", "UnauthorizedOperation", 403))
    (problem,) = plan_observe.observe(kernel, [made.urn])
    assert problem.code == "UnauthorizedOperation" and problem.place.endswith("/aws_vpc_security_group")
    (unknown,) = plan_observe.observe(kernel, [made.urn + "0"])
    assert unknown.code == "subject-unobserved"
