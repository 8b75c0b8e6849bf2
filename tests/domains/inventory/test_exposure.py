"""Exposure over a small written network: yes with its path, no only where every cell proves it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.kernel.world import ACCOUNT, REGION, T0
from uwu.domains.inventory import DOMAIN, exposure
from uwu.domains.inventory.exposure_roles import assumers
from uwu.domains.inventory.services import SPECS
from uwu.kernel import graph, sight
from uwu.kernel.exposure import Exposure
from uwu.kernel.model import Cell, CellStatus, Outcome, Relation, Resource
from uwu.kernel.runtime import Kernel

ONCE = {spec.name for spec in SPECS if spec.everywhere}
TYPES = tuple(spec.name for spec in SPECS)


def ec2(kind: str, id: str) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:{kind}/{id}"


LB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/front/1"
TG = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/web/2"
LISTENER = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:listener/app/front/1/3"
INSTANCE, HIDDEN = ec2("instance", "i-1"), ec2("instance", "i-2")


def group(id: str, *rules: tuple[int, str]) -> dict[str, Any]:
    """Rules are (port, CIDR or group)."""
    permissions = []
    for port, who in rules:
        rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
        if who.startswith("sg-"):
            rule["UserIdGroupPairs"] = [{"GroupId": who}]
        elif who.startswith("pl-"):
            rule["PrefixListIds"] = [{"PrefixListId": who}]
        else:
            rule["IpRanges"] = [{"CidrIp": who}]
        permissions.append(rule)
    return {"GroupId": id, "VpcId": "vpc-1", "IpPermissions": permissions}


def acl(subnets: list[str]) -> dict[str, Any]:
    rule = {"RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "CidrBlock": "0.0.0.0/0"}
    return {
        "NetworkAclId": "acl-1",
        "VpcId": "vpc-1",
        "Associations": [{"SubnetId": subnet} for subnet in subnets],
        "Entries": [{**rule, "Egress": egress} for egress in (True, False)],
    }


def instance(id: str, subnet: str, groups: list[str], public: str = "") -> dict[str, Any]:
    face: dict[str, Any] = {"SubnetId": subnet, "VpcId": "vpc-1", "Groups": [{"GroupId": g} for g in groups]}
    if public:
        face["Association"] = {"PublicIp": public}
    return {"InstanceId": id, "VpcId": "vpc-1", "NetworkInterfaces": [face]}


def estate() -> dict[str, dict[str, dict[str, Any]]]:
    """Type -> urn -> attributes: an instance in public, one behind a load balancer."""
    route = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}
    local = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}
    return {
        "aws_ec2_instance": {
            INSTANCE: instance("i-1", "subnet-1", ["sg-web"], "203.0.113.9"),
            HIDDEN: instance("i-2", "subnet-2", ["sg-app"]),
        },
        "aws_vpc_subnet": {
            ec2("subnet", "subnet-1"): {"SubnetId": "subnet-1", "VpcId": "vpc-1", "CidrBlock": "10.0.0.0/24"},
            ec2("subnet", "subnet-2"): {"SubnetId": "subnet-2", "VpcId": "vpc-1", "CidrBlock": "10.0.1.0/24"},
        },
        "aws_vpc_security_group": {
            ec2("security-group", "sg-web"): group("sg-web", (443, "0.0.0.0/0"), (22, "203.0.113.0/24")),
            ec2("security-group", "sg-app"): group("sg-app", (8080, "sg-web")),
        },
        "aws_vpc_route_table": {
            ec2("route-table", "rtb-1"): {
                "RouteTableId": "rtb-1",
                "VpcId": "vpc-1",
                "Routes": [local, route],
                "Associations": [{"SubnetId": "subnet-1"}],
            },
            ec2("route-table", "rtb-0"): {
                "RouteTableId": "rtb-0",
                "VpcId": "vpc-1",
                "Routes": [local],
                "Associations": [{"Main": True}],
            },
        },
        "aws_vpc_network_acl": {ec2("network-acl", "acl-1"): acl(["subnet-1", "subnet-2"])},
        "aws_ec2_application_load_balancer": {
            LB: {
                "LoadBalancerArn": LB,
                "Scheme": "internet-facing",
                "VpcId": "vpc-1",
                "AvailabilityZones": [{"SubnetId": "subnet-1"}],
                "SecurityGroups": ["sg-web"],
            }
        },
        "aws_ec2_load_balancer_listener": {
            LISTENER: {
                "ListenerArn": LISTENER,
                "LoadBalancerArn": LB,
                "Protocol": "HTTPS",
                "Port": 443,
                "DefaultActions": [{"Type": "forward", "TargetGroupArn": TG}],
            }
        },
        "aws_ec2_target_group": {
            TG: {
                "TargetGroupArn": TG,
                "Protocol": "HTTP",
                "Port": 8080,
                "TargetType": "instance",
                "LoadBalancerArns": [LB],
                "TargetHealthDescriptions": [{"Target": {"Id": "i-2", "Port": 8080}}],
            }
        },
    }


RELATIONS = (
    Relation(source=TG, kind="targets", target=HIDDEN),
    Relation(source=LISTENER, kind="listensFor", target=LB),
)


def fill(
    kernel: Kernel,
    held: Mapping[str, Mapping[str, Mapping[str, Any]]],
    status: Mapping[str, CellStatus] | None = None,
    without: frozenset[str] = frozenset(),
    minutes: int = 0,
) -> Kernel:
    kernel.domains = (DOMAIN,)
    with kernel.db.write() as connection:
        for type in TYPES:
            if type in without:
                continue
            cell = Cell(source="aws", account=ACCOUNT, region=REGION, type=type)
            outcome = Outcome(
                cell=cell,
                status=(status or {}).get(type, CellStatus.COMPLETE),
                observed_at=T0 + timedelta(minutes=minutes),
            )
            where = "global" if type in ONCE else REGION
            things = [
                Resource(urn=urn, type=type, account=ACCOUNT, region=where, name=urn[-12:], attributes=dict(told))
                for urn, told in held.get(type, {}).items()
            ]
            graph.observe(connection, outcome, things, [r for r in RELATIONS if r.source in held.get(type, {})])
    return kernel


def judge(kernel: Kernel, urn: str) -> Exposure:
    with kernel.db.read() as connection:
        found = exposure.of(kernel, connection, urn)
        swept = {each.urn: each for each in exposure.public(kernel, connection)}
    assert found is not None
    assert swept[urn] == found, "one by one and all at once say the same"
    return found


def says(found: Exposure) -> str:
    return " | ".join(step.says for step in found.path)


def test_a_public_instance_with_its_path_and_ports(kernel: Kernel) -> None:
    found = judge(fill(kernel, estate()), INSTANCE)
    assert (found.answer, found.ports, found.lacks) == ("yes", ("tcp/443",), ())
    assert [step.type for step in found.path[1:]] == [
        "aws_ec2_instance",
        "aws_vpc_route_table",
        "aws_vpc_network_acl",
        "aws_vpc_security_group",
    ]
    assert "203.0.113.9" in says(found) and "igw-1" in says(found) and "tcp/443" in says(found)
    assert {step.status for step in found.path[1:]} == {"complete"} and found.path[1].observed_at == T0
    assert found.conditions == ("tcp/22 from 203.0.113.0/24",)


def test_behind_a_load_balancer(kernel: Kernel) -> None:
    found = judge(fill(kernel, estate()), HIDDEN)
    assert (found.answer, found.ports) == ("yes", ("tcp/443",))
    assert "faces the internet" in says(found) and "listens on HTTPS 443 and forwards to web" in says(found)
    assert "admits tcp/8080 from the load balancer" in says(found)
    assert judge(kernel, LB).ports == ("tcp/443",)


def changed(path: str, **members: Any) -> dict[str, dict[str, dict[str, Any]]]:
    held = estate()
    for things in held.values():
        if path in things:
            things[path] = {**things[path], **members}
    return held


@pytest.mark.parametrize(
    ("urn", "held", "why"),
    [
        (INSTANCE, changed(INSTANCE, **instance("i-1", "subnet-1", ["sg-web"])), "no public address"),
        (INSTANCE, changed(ec2("route-table", "rtb-1"), Routes=[]), "no route to the internet"),
        (INSTANCE, changed(ec2("network-acl", "acl-1"), Entries=[]), "lets nothing in"),
        (INSTANCE, changed(ec2("security-group", "sg-web"), IpPermissions=[]), "admits nothing from anyone"),
        (HIDDEN, changed(LB, Scheme="internal"), "no public address"),
        (HIDDEN, changed(ec2("security-group", "sg-app"), IpPermissions=[]), "no public address"),
        (HIDDEN, changed(LISTENER, DefaultActions=[]), "no public address"),
        (HIDDEN, changed(LISTENER, Port=80), "no public address"),
        (LB, changed(LB, Scheme="internal"), "is internal"),
    ],
)
def test_each_piece_can_close_it(sqlite_kernel: Kernel, urn: str, held: Any, why: str) -> None:
    found = judge(fill(sqlite_kernel, held), urn)
    assert (found.answer, found.ports, found.lacks) == ("no", (), ())
    assert why in says(found) and found.path[-1].holds == "no"


CLOSED = changed(ec2("route-table", "rtb-1"), Routes=[])
OF_THE_PATH = (
    "aws_vpc_subnet",
    "aws_vpc_route_table",
    "aws_vpc_network_acl",
    "aws_vpc_security_group",
    "aws_ec2_application_load_balancer",
    "aws_ec2_load_balancer_listener",
    "aws_ec2_target_group",
    "aws_ec2_instance",
)


@pytest.mark.parametrize(("type", "way"), list(itertools.product(OF_THE_PATH, ("denied", "absent", "never"))))
def test_nothing_incomplete_ever_yields_no(sqlite_kernel: Kernel, type: str, way: str) -> None:
    """Whatever is missing of an open way, the answer is yes or unknown; and the cell is named where it matters."""
    held = estate()
    if way != "denied" and type != "aws_ec2_instance":
        held.pop(type)
    status = {} if way == "never" else {type: CellStatus.DENIED}
    fill(
        sqlite_kernel, held, status, frozenset({type}) if way == "never" and type != "aws_ec2_instance" else frozenset()
    )
    for urn in (INSTANCE, HIDDEN):
        found = judge(sqlite_kernel, urn)
        assert found.answer != "no", (type, way, says(found))
        if found.answer == "unknown":
            assert found.lacks, says(found)


@pytest.mark.parametrize("type", ["aws_ec2_target_group", "aws_ec2_classic_load_balancer", "aws_ec2_instance"])
def test_a_no_waits_for_what_may_pass_on_to_it(sqlite_kernel: Kernel, type: str) -> None:
    held = changed(INSTANCE, **instance("i-1", "subnet-1", ["sg-web"]))
    found = judge(fill(sqlite_kernel, held, {type: CellStatus.THROTTLED}), INSTANCE)
    assert found.answer == "unknown"
    assert [(lack.cell, lack.status) for lack in found.lacks] == [(f"aws/{ACCOUNT}/{REGION}/{type}", "throttled")]


def test_who_sees_a_part_is_told_no_proof(sqlite_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(sqlite_kernel, changed(INSTANCE, **instance("i-1", "subnet-1", ["sg-web"])))
    monkeypatch.setattr(sight, "current", lambda: sight.Visible(all=False))
    found = judge(sqlite_kernel, INSTANCE)
    assert found.answer == "unknown" and {lack.status for lack in found.lacks} == {"hidden"}


def test_vpc_block_public_access_closes_all_but_what_it_spares(sqlite_kernel: Kernel) -> None:
    blocks = "aws_vpc_block_public_access_options"
    held = {**estate(), blocks: {"urn:uwu:o": {"InternetGatewayBlockMode": "block-ingress"}}}
    found = judge(fill(sqlite_kernel, held), INSTANCE)
    assert found.answer == "no" and "block-ingress" in says(found)
    spared = {
        "ResourceArn": ec2("subnet", "subnet-1"),
        "InternetGatewayExclusionMode": "allow-bidirectional",
    }
    held["aws_vpc_block_public_access_exclusion"] = {"urn:uwu:x": spared}
    assert judge(fill(sqlite_kernel, held), INSTANCE).answer == "yes"


def test_an_unread_prefix_list_and_a_firewall_are_unknown(sqlite_kernel: Kernel) -> None:
    held = changed(ec2("security-group", "sg-web"), IpPermissions=group("x", (443, "pl-9"))["IpPermissions"])
    found = judge(fill(sqlite_kernel, held), INSTANCE)
    assert found.answer == "unknown" and any("pl-9" in lack.why for lack in found.lacks)
    route = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "vpce-7", "State": "active"}
    found = judge(fill(sqlite_kernel, changed(ec2("route-table", "rtb-1"), Routes=[route])), INSTANCE)
    assert found.answer == "unknown" and any("vpce-7" in lack.why for lack in found.lacks)


@pytest.mark.parametrize(("kind", "answer"), [("nat_gateway", "no"), ("network_load_balancer", "unknown")])
def test_an_interface_that_no_group_guards(sqlite_kernel: Kernel, kind: str, answer: str) -> None:
    urn = ec2("network-interface", "eni-1")
    told = {"SubnetId": "subnet-1", "VpcId": "vpc-1", "InterfaceType": kind, "Association": {"PublicIp": "203.0.113.8"}}
    held = {**estate(), "aws_ec2_network_interface": {urn: told}}
    assert judge(fill(sqlite_kernel, held), urn).answer == answer


def test_over_ipv6_alone(sqlite_kernel: Kernel) -> None:
    face = {"SubnetId": "subnet-1", "VpcId": "vpc-1", "Groups": [{"GroupId": "sg-web"}]}
    face["Ipv6Addresses"] = [{"Ipv6Address": "2001:db8::9"}]  # type: ignore[assignment]
    held = changed(INSTANCE, NetworkInterfaces=[face])
    assert judge(fill(sqlite_kernel, held), INSTANCE).answer == "no", "nothing of IPv6 is routed, admitted or passed"
    six = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    held["aws_vpc_security_group"][ec2("security-group", "sg-web")]["IpPermissions"] = [six]
    table = held["aws_vpc_route_table"][ec2("route-table", "rtb-1")]
    rule = {"RuleNumber": 101, "Protocol": "-1", "RuleAction": "allow", "Ipv6CidrBlock": "::/0"}
    held["aws_vpc_network_acl"][ec2("network-acl", "acl-1")]["Entries"] += [
        {**rule, "Egress": egress} for egress in (True, False)
    ]
    for target, answer in (({"EgressOnlyInternetGatewayId": "eigw-1"}, "no"), ({"GatewayId": "igw-1"}, "yes")):
        table["Routes"] = [{"DestinationIpv6CidrBlock": "::/0", "State": "active", **target}]
        assert judge(fill(sqlite_kernel, held, minutes=5 if answer == "yes" else 3), INSTANCE).answer == answer


def test_a_database_on_its_port(sqlite_kernel: Kernel) -> None:
    db = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:orders"
    told = {
        "PubliclyAccessible": True,
        "Endpoint": {"Address": "orders.x", "Port": 443},
        "DBSubnetGroup": {"VpcId": "vpc-1", "Subnets": [{"SubnetIdentifier": "subnet-1"}]},
        "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-web"}],
    }
    held = {**estate(), "aws_rds_db_instance": {db: told}}
    assert judge(fill(sqlite_kernel, held), db).ports == ("tcp/443",)
    held["aws_rds_db_instance"] = {db: {**told, "Endpoint": {"Port": 5432}}}
    assert judge(fill(sqlite_kernel, held), db).answer == "no"
    held["aws_rds_db_instance"] = {db: {**told, "PubliclyAccessible": False}}
    assert judge(fill(sqlite_kernel, held), db).answer == "no"


OPEN = {"Statement": [{"Sid": "All", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}]}
BUCKET = "arn:aws:s3:::photos"
SETTINGS = "aws_s3_account_settings"
PUBLIC_ACL = {"Grants": [{"Grantee": {"URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}]}
PRIVATE_ACL = {"Grants": []}


@pytest.mark.parametrize(
    ("told", "account", "status", "answer"),
    [
        ({"Policy": OPEN, "Acl": PRIVATE_ACL}, {}, "complete", "yes"),
        ({"Acl": PUBLIC_ACL}, {}, "complete", "yes"),
        ({"Acl": PRIVATE_ACL}, {}, "complete", "no"),
        ({"Policy": OPEN, "Acl": PRIVATE_ACL}, {"RestrictPublicBuckets": True}, "complete", "no"),
        ({"Acl": PUBLIC_ACL}, {"RestrictPublicBuckets": True}, "complete", "yes"),
        ({"Acl": PUBLIC_ACL}, {"IgnorePublicAcls": True}, "complete", "no"),
        ({"Policy": OPEN, "Acl": PRIVATE_ACL}, None, "denied", "unknown"),
        (
            {
                "Acl": PUBLIC_ACL,
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            },
            {},
            "complete",
            "no",
        ),
    ],
)
def test_a_bucket(sqlite_kernel: Kernel, told: Any, account: Any, status: str, answer: str) -> None:
    settings = {} if account is None else {"urn:uwu:s": {"PublicAccessBlockConfiguration": account} if account else {}}
    held = {"aws_s3_bucket": {BUCKET: told}, SETTINGS: settings}
    found = judge(fill(sqlite_kernel, held, {SETTINGS: CellStatus(status)}), BUCKET)
    assert found.answer == answer, says(found)


def test_who_may_assume_a_role(sqlite_kernel: Kernel) -> None:
    iam = f"arn:aws:iam::{ACCOUNT}:"
    allow = {"Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": f"{iam}role/deploy*"}]}
    trust = {
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"{iam}root"}, "Action": "sts:AssumeRole"},
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:role/ci"}, "Action": "sts:AssumeRole"},
            {
                "Effect": "Allow",
                "Principal": {"Federated": f"{iam}oidc-provider/token.actions.githubusercontent.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"}},
            },
        ]
    }
    held = {
        "aws_iam_role": {
            f"{iam}role/deploy": {"AssumeRolePolicyDocument": trust},
            f"{iam}role/app": {"RolePolicyList": [{"PolicyName": "go", "PolicyDocument": allow}]},
            f"{iam}role/idle": {},
            f"{iam}role/odd": {
                "AttachedManagedPolicies": [{"PolicyName": "X", "PolicyArn": "arn:aws:iam::aws:policy/X"}]
            },
        },
        "aws_iam_group": {
            f"{iam}group/g": {"GroupName": "g", "GroupPolicyList": [{"PolicyName": "go", "PolicyDocument": allow}]}
        },
        "aws_iam_user": {f"{iam}user/mira": {"GroupList": ["g"]}},
    }
    fill(sqlite_kernel, held)
    with sqlite_kernel.db.read() as connection:
        found = assumers(sqlite_kernel, connection, f"{iam}role/deploy")
        assert assumers(sqlite_kernel, connection, f"{iam}user/mira") is None
    assert found is not None
    told = {(each.kind, each.principal.rpartition("/")[2]): each.answer for each in found}
    assert told == {
        ("anyone", "token.actions.githubusercontent.com"): "yes",
        ("account", f"{iam}root"): "yes",
        ("service", "ec2.amazonaws.com"): "yes",
        ("user", "mira"): "yes",
        ("role", "app"): "yes",
        ("role", "ci"): "unknown",
        ("role", "odd"): "unknown",
    }
    assert found[0].kind == "anyone", "the worst comes first"
