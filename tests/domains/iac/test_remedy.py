"""Commands that put it right, and import blocks."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from tests.domains.iac.test_documents import group, permission, rule, seen
from uwu.domains.iac.attach import attach
from uwu.domains.iac.compare import groups
from uwu.domains.iac.remedy import IMPORTS, import_block, remedy
from uwu.kernel.model import Declaration, Difference, Resource


def declaration(address: str, declared_type: str = "aws_iam_role", **attributes: Any) -> Declaration:
    return Declaration(
        source="stack:default/payments@eu.tfstate",
        address=address,
        place="s#1",
        urn="arn:aws:iam::1:role/ci",
        type="aws_iam_role",
        declared_type=declared_type,
        attributes=attributes,
    )


def test_a_target_is_quoted_for_the_shell() -> None:
    one = declaration('module.db["eu"].aws_db_instance.main[0]', "aws_db_instance")
    command = remedy(one, [])
    assert shlex.split(command) == [
        "terraform",
        "-chdir=payments",
        "apply",
        '-target=module.db["eu"].aws_db_instance.main[0]',
    ]
    assert remedy(one, [Difference(path="multi_az", declared=True, observed=False)]) == command


def test_an_extra_rule_that_terraform_would_leave_is_revoked() -> None:
    ingress = {"ip_protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_ipv4": "10.0.0.0/8"}
    one, _ = attach([group([], egress=[]), rule("a", "aws_vpc_security_group_ingress_rule", **ingress)])
    differences = groups.compare(one, seen(permission("10.0.0.0/8"), permission("0.0.0.0/0", port=22)))
    words = shlex.split(remedy(one, differences))
    assert words[:7] == [
        "aws",
        "ec2",
        "revoke-security-group-ingress",
        "--group-id",
        "sg-0own",
        "--region",
        "eu-west-1",
    ]
    wanted = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    assert json.loads(words[8]) == wanted
    assert len(words) == 9
    missing = remedy(one, groups.compare(one, seen()))
    assert missing == "terraform -chdir=net apply -target=aws_vpc_security_group_ingress_rule.a"


def test_an_extra_rule_of_an_inline_group_is_applied_away() -> None:
    one = group([], egress=[])
    assert remedy(one, groups.compare(one, seen(permission("0.0.0.0/0")))) == (
        "terraform -chdir=net apply -target=aws_security_group.g"
    )


def test_extra_attachments_are_detached_and_missing_ones_applied() -> None:
    role, _ = attach(
        [
            declaration("aws_iam_role.ci", name="ci"),
            declaration("aws_iam_role_policy_attachment.a", "aws_iam_role_policy_attachment", policy_arn="p-1"),
        ]
    )
    found = remedy(
        role, [Difference(path="managed_policy_arns", declared=["p-1"], observed=["arn:aws:iam::aws:policy/X"])]
    )
    assert found.splitlines() == [
        "aws iam detach-role-policy --role-name ci --policy-arn arn:aws:iam::aws:policy/X",
        "terraform -chdir=payments apply -target=aws_iam_role_policy_attachment.a",
    ]
    found = remedy(role, [Difference(path="inline_policy", declared={}, observed={"all": {}})])
    assert found.splitlines()[0] == "aws iam delete-role-policy --role-name ci --policy-name all"


def resource(type: str, urn: str, name: str = "My Thing", **attributes: Any) -> Resource:
    return Resource(urn=urn, type=type, account="123456789012", region="eu-west-1", name=name, attributes=attributes)


@pytest.mark.parametrize(
    ("one", "block"),
    [
        (
            resource("aws_vpc_security_group", "arn:aws:ec2:eu-west-1:1:security-group/sg-1"),
            'import {\n  to = aws_security_group.my_thing\n  id = "sg-1"\n}',
        ),
        (
            resource("aws_s3_bucket", "arn:aws:s3:::b", "1st.b", Name="b"),
            'import {\n  to = aws_s3_bucket.r_1st_b\n  id = "b"\n}',
        ),
        (
            resource("aws_route53_record", "urn:uwu:x", HostedZoneId="/hostedzone/Z1", Name="\\052.a.org.", Type="A"),
            'import {\n  to = aws_route53_record.my_thing\n  id = "Z1_*.a.org_A"\n}',
        ),
        (resource("aws_iam_access_key", "urn:uwu:aws:iam:access-key:1::AKIA"), ""),
    ],
)
def test_import_blocks(one: Resource, block: str) -> None:
    assert import_block(one) == block


def test_every_importable_type_gives_a_block() -> None:
    for type in IMPORTS:
        assert "id = " in import_block(resource(type, "arn:aws:x:eu-west-1:1:y/z"))
