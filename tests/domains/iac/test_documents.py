"""Policies are equal when they mean the same; security group rules when they admit the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwu.domains.iac.attach import attach
from uwu.domains.iac.compare import groups
from uwu.domains.iac.compare.base import equal_documents
from uwu.kernel.model import Declaration, Resource

ROOT = "arn:aws:iam::123456789012:root"


def policy(**statement: Any) -> dict[str, Any]:
    made = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"], **statement}
    return {"Version": "2012-10-17", "Statement": [made]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (policy(), json.dumps(policy(), indent=4)),
        (policy(), policy(Action="s3:GetObject", Resource="*")),
        (policy(Action=["s3:a", "s3:b"]), policy(Action=["s3:b", "S3:A"])),
        (policy(), {**policy(), "Statement": policy()["Statement"][0]}),
        (policy(), {**policy(), "Id": "x"}),
        (policy(), policy(Sid="")),
        (policy(Principal="*"), policy(Principal={"AWS": "*"})),
        (policy(Principal={"AWS": "123456789012"}), policy(Principal={"AWS": [ROOT]})),
        (
            policy(Condition={"Bool": {"aws:SecureTransport": "false"}}),
            policy(Condition={"Bool": {"AWS:SecureTransport": [False]}}),
        ),
        ({"Statement": []}, {"Version": "2008-10-17", "Statement": []}),
        ('{"maxReceiveCount": 3, "deadLetterTargetArn": "q"}', {"deadLetterTargetArn": "q", "maxReceiveCount": "3"}),
        ("", None),
        ("", {}),
    ],
)
def test_equal_documents(one: Any, other: Any) -> None:
    assert equal_documents(one, other)
    assert equal_documents(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (policy(), policy(Effect="Deny")),
        (policy(), policy(Action=["s3:GetObject", "s3:PutObject"])),
        (policy(Resource="arn:aws:s3:::A"), policy(Resource="arn:aws:s3:::a")),
        (policy(), {**policy(), "Version": "2008-10-17"}),
        (policy(), policy(Condition={"Bool": {"aws:SecureTransport": "false"}})),
        (policy(Principal={"AWS": ROOT}), policy(Principal="*")),
        (policy(Principal={"AWS": "*"}), policy(Principal={"Service": "*"})),
        (policy(), ""),
        ("not json", policy()),
    ],
)
def test_different_documents(one: Any, other: Any) -> None:
    assert not equal_documents(one, other)
    assert not equal_documents(other, one)


_names = st.lists(st.sampled_from(["s3:Get*", "s3:PutObject", "sqs:SendMessage", "ec2:*"]), min_size=1, max_size=4)
_statements = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"]), "Action": _names, "Resource": _names},
    optional={"Principal": st.fixed_dictionaries({"AWS": _names}), "Sid": st.sampled_from(["", "one", "two"])},
)


@given(statements=st.lists(_statements, min_size=1, max_size=4), data=st.data())
def test_any_spelling_of_a_policy_is_equal(statements: list[dict[str, Any]], data: st.DataObject) -> None:
    def respelled(value: Any) -> Any:
        if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
            shuffled = data.draw(st.permutations(value))
            return shuffled[0] if len(set(value)) == 1 else list(shuffled)
        if isinstance(value, dict):
            return {key: respelled(value[key]) for key in data.draw(st.permutations(list(value)))}
        return value

    other = [respelled(each) for each in data.draw(st.permutations(statements))]
    one = {"Version": "2012-10-17", "Statement": statements}
    assert equal_documents(one, json.dumps({"Statement": other, "Version": "2012-10-17"}))
    changed = [{**other[0], "Effect": "Deny" if other[0]["Effect"] == "Allow" else "Allow"}, *other[1:]]
    flipped = sorted(json.dumps(each, sort_keys=True) for each in changed)
    if flipped != sorted(json.dumps(each, sort_keys=True) for each in other) and len(statements) == 1:
        assert not equal_documents(one, {"Version": "2012-10-17", "Statement": changed})


# ---- security groups

OWN = "sg-0own"
GROUP = f"arn:aws:ec2:eu-west-1:123456789012:security-group/{OWN}"


def group(ingress: list[Any] | None, *, egress: list[Any] | None = None, **more: Any) -> Declaration:
    return Declaration(
        source="stack:default/net",
        address="aws_security_group.g",
        place="s#1",
        urn=GROUP,
        type="aws_vpc_security_group",
        declared_type="aws_security_group",
        attributes={"id": OWN, "description": "web", "ingress": ingress, "egress": egress, **more},
    )


def rule(name: str, declared_type: str, **attributes: Any) -> Declaration:
    return Declaration(
        source="stack:default/app",
        address=f"{declared_type}.{name}",
        place="s#1",
        urn=GROUP,
        type="aws_vpc_security_group",
        declared_type=declared_type,
        attributes={"security_group_id": OWN, **attributes},
    )


def seen(*permissions: dict[str, Any], egress: list[dict[str, Any]] | None = None) -> Resource:
    return Resource(
        urn=GROUP,
        type="aws_vpc_security_group",
        account="123456789012",
        region="eu-west-1",
        name="web",
        attributes={
            "GroupId": OWN,
            "Description": "web",
            "IpPermissions": list(permissions),
            "IpPermissionsEgress": egress or [],
        },
    )


def inline(*cidrs: str, port: int = 443, protocol: str = "tcp", **more: Any) -> dict[str, Any]:
    entry = {"cidr_blocks": list(cidrs), "from_port": port, "to_port": port, "protocol": protocol, "description": ""}
    return {**entry, "ipv6_cidr_blocks": [], "prefix_list_ids": [], "security_groups": [], "self": False, **more}


def permission(*cidrs: str, port: int = 443, protocol: str = "tcp", **more: Any) -> dict[str, Any]:
    ranges = [{"CidrIp": cidr} for cidr in cidrs]
    return {"IpProtocol": protocol, "FromPort": port, "ToPort": port, "IpRanges": ranges, **more}


def test_the_same_rules_grouped_otherwise_are_equal() -> None:
    declared = group(
        [
            inline("10.0.0.0/8"),
            inline(
                "10.1.0.9/16", ipv6_cidr_blocks=["2001:DB8:0::/32"], self=True, security_groups=["123456789012/sg-2"]
            ),
            inline("10.9.0.0/16", protocol="6", port=22, description="bastion"),
        ],
        egress=[inline("0.0.0.0/0", protocol="-1", port=0)],
    )
    observed = seen(
        permission(
            "10.1.0.0/16",
            "10.0.0.0/8",
            Ipv6Ranges=[{"CidrIpv6": "2001:db8::/32"}],
            UserIdGroupPairs=[{"GroupId": "sg-2", "UserId": "123456789012"}, {"GroupId": OWN}],
        ),
        permission(port=22, IpRanges=[{"CidrIp": "10.9.0.0/16", "Description": "bastion"}]),
        egress=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    )
    assert groups.compare(declared, observed) == []


def test_only_the_rules_that_differ_are_told() -> None:
    declared = group([inline("10.0.0.0/8"), inline("10.2.0.0/16", port=22)], egress=[])
    observed = seen(permission("10.0.0.0/8"), permission("0.0.0.0/0", port=22))
    (found,) = groups.compare(declared, observed)
    assert found.path == "ingress"
    assert found.declared == [{"protocol": "tcp", "from_port": 22, "to_port": 22, "cidr": "10.2.0.0/16"}]
    assert found.observed == [{"protocol": "tcp", "from_port": 22, "to_port": 22, "cidr": "0.0.0.0/0"}]


def test_rules_of_their_own_stand_for_the_groups_own_stale_list() -> None:
    declared = attach(
        [
            group([], egress=[]),
            rule("a", "aws_security_group_rule", type="ingress", protocol="tcp", from_port=443, to_port=443, self=True),
            rule(
                "b",
                "aws_vpc_security_group_ingress_rule",
                ip_protocol="udp",
                from_port=53,
                to_port=53,
                cidr_ipv4="10.0.0.0/8",
            ),
            rule("c", "aws_vpc_security_group_egress_rule", ip_protocol="-1", cidr_ipv6="::/0"),
        ]
    )
    right = [
        permission(UserIdGroupPairs=[{"GroupId": OWN}]),
        permission("10.0.0.0/8", port=53, protocol="udp"),
    ]
    egress = [{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]
    assert groups.compare(declared[0], seen(*right, egress=egress)) == []
    (found,) = groups.compare(declared[0], seen(*right, permission("0.0.0.0/0", port=22), egress=egress))
    assert (found.path, found.declared) == ("ingress", [])
    assert all(groups.compare_rule(each, seen()) == () for each in declared[1:])


def test_a_rule_whose_group_nobody_declares_is_compared_by_itself() -> None:
    (declared,) = attach([rule("c", "aws_vpc_security_group_egress_rule", ip_protocol="-1", cidr_ipv4="0.0.0.0/0")])
    assert (
        groups.compare_rule(declared, seen(egress=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])) == []
    )
    (found,) = groups.compare_rule(declared, seen())
    assert found.path == "egress.aws_vpc_security_group_egress_rule.c"


_cidrs = st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "192.168.7.0/24"])
_groups = st.sampled_from(["sg-1", "sg-2", OWN])
_atoms = st.tuples(
    st.sampled_from([("tcp", 22), ("tcp", 443), ("udp", 53), ("-1", 0), ("icmp", -1)]),
    st.one_of(_cidrs.map(lambda c: ("cidr", c)), _groups.map(lambda g: ("group", g))),
    st.sampled_from(["", "office"]),
)


@given(atoms=st.sets(_atoms, max_size=8), data=st.data())
def test_any_grouping_of_the_same_rules_is_equal(atoms: set[Any], data: st.DataObject) -> None:
    declared: list[dict[str, Any]] = []
    for (protocol, port), (kind, peer), text in atoms:
        if kind == "cidr":
            declared.append(inline(peer, port=port, protocol=protocol, description=text))
        elif peer == OWN:
            declared.append(inline(port=port, protocol=protocol, description=text, self=True))
        else:
            declared.append(inline(port=port, protocol=protocol, description=text, security_groups=[peer]))
    grouped: dict[Any, dict[str, Any]] = {}
    for (protocol, port), (kind, peer), text in data.draw(st.permutations(sorted(atoms))):
        entry = grouped.setdefault((protocol, port), {"IpProtocol": protocol})
        if protocol != "-1":
            entry |= {"FromPort": port, "ToPort": port}
        member, name = ("IpRanges", "CidrIp") if kind == "cidr" else ("UserIdGroupPairs", "GroupId")
        entry.setdefault(member, []).append({name: peer, **({"Description": text} if text else {})})
    observed = seen(*grouped.values())
    assert groups.compare(group(declared, egress=[]), observed) == []
    if atoms:
        (found,) = groups.compare(group(declared[1:], egress=[]), observed)
        assert (len(found.declared), len(found.observed)) == (0, 1)
