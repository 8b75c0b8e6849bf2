"""Terraform states: addresses, names, secrets, and every way in which a file is no state."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from uwu.domains.iac import naming, observe, sensitive
from uwu.domains.iac.state import parse
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Declaration

AWS = 'provider["registry.terraform.io/hashicorp/aws"]'


def resource(type: str, *instances: dict[str, Any], name: str = "x", **more: Any) -> dict[str, Any]:
    made = [i if "attributes" in i or "attributes_flat" in i else {"attributes": i} for i in instances]
    return {"mode": "managed", "type": type, "name": name, "provider": AWS, "instances": made, **more}


def state(*resources: dict[str, Any], **more: Any) -> bytes:
    top = {"version": 4, "terraform_version": "1.11.4", "serial": 7, "lineage": "l-1", "resources": list(resources)}
    return json.dumps({**top, **more}, indent=2).encode()


def declared(data: bytes, *, account: str = "", region: str = "") -> list[Declaration]:
    read = parse(data, "s.tfstate")
    scopes = naming.scopes([("stack:default/s", read, account, region)])
    return [
        observe.declaration("stack:default/s", read, i, scopes["stack:default/s", i.provider]) for i in read.instances
    ]


def test_addresses_are_as_terraform_prints_them() -> None:
    data = state(
        resource("aws_vpc", {"id": "a"}),
        resource("aws_vpc", {"index_key": 0, "attributes": {}}, {"index_key": 'eu "${x}"', "attributes": {}}, name="y"),
        resource("aws_vpc", {"id": "b"}, module='module.net["eu"].module.core[1]'),
        resource("aws_vpc", {"deposed": "00000001", "attributes": {}}, {"attributes": {}}, name="z"),
        resource("aws_ami", {"id": "c"}, mode="data"),
    )
    read = parse(data, "s.tfstate")
    assert [i.address for i in read.instances] == [
        "aws_vpc.x",
        "aws_vpc.y[0]",
        'aws_vpc.y["eu \\"$${x}\\""]',
        'module.net["eu"].module.core[1].aws_vpc.x',
        "aws_vpc.z",
    ]
    assert (read.serial, read.lineage, read.place, read.data_sources) == (7, "l-1", "s.tfstate#7", 1)


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        (b"", "state-empty", "s.tfstate"),
        (state(version=3), "state-version", "s.tfstate"),
        (b'{"format_version": "1.0", "values": {}}', "state-version", "s.tfstate"),
        (state()[:-20], "state-truncated", "s.tfstate:5"),
        (b'{\n "version": 4,\n <<<<<<< HEAD\n}', "state-json", "s.tfstate:3"),
        (b'{"version": 4,\n "x": "\xff"}', "state-json", "s.tfstate:2"),
        (b"[]", "state-shape", "s.tfstate"),
        (b'{"version": 4, "resources": {}}', "state-shape", "s.tfstate"),
        (b'{"meta": {}, "encrypted_data": "x", "encryption_version": "v0"}', "state-encrypted", "s.tfstate"),
    ],
)
def test_what_is_no_state_says_why(data: bytes, code: str, place: str) -> None:
    with pytest.raises(BadInput) as error:
        parse(data, "s.tfstate")
    problem = error.value.problem
    assert (problem.code, problem.place) == (code, place)
    assert problem.hint


def test_one_malformed_resource_costs_only_itself() -> None:
    read = parse(state({"mode": "managed", "type": "aws_vpc"}, resource("aws_vpc", {"id": "a"})), "s.tfstate")
    assert [i.address for i in read.instances] == ["aws_vpc.x"]
    assert [(p.code, p.place) for p in read.problems] == [("state-resource", "s.tfstate /resources/0")]


def test_secrets_are_replaced_before_anything_is_kept() -> None:
    data = state(
        resource(
            "aws_db_instance",
            {
                "attributes": {
                    "password": "hunter2",
                    "username": "root",
                    "engine": "x",
                    "nested": [{"auth_token": "t0k"}],
                },
                "sensitive_attributes": [
                    [{"type": "get_attr", "value": "username"}],
                    [
                        {"type": "get_attr", "value": "absent"},
                        {"type": "index", "value": {"value": 3, "type": "number"}},
                    ],
                ],
            },
        ),
        resource(
            "aws_lambda_function",
            {"environment": [{"variables": {"MODE": "fast", "API_KEY": "k-123"}}], "role": "r"},
        ),
        resource("aws_iam_access_key", {"id": "AKIA", "secret": "s3cr", "ses_smtp_password_v4": "m41l"}),
        resource("random_password", {"result": "r4nd0m"}),
    )
    found = declared(data)
    for secret in ("hunter2", "root", "t0k", "k-123", "s3cr", "m41l", "r4nd0m", "fast"):
        assert secret not in repr(found)
    database, function, _, other = found
    assert database.attributes == {
        "password": sensitive.MARK,
        "username": sensitive.MARK,
        "engine": "x",
        "nested": [{"auth_token": sensitive.MARK}],
    }
    variables = function.attributes["environment"][0]["variables"]
    assert variables == {"MODE": sensitive.fingerprint("fast"), "API_KEY": sensitive.MARK}
    assert other.attributes == {}


def test_switches_with_secret_names_are_no_secrets() -> None:
    kept = sensitive.redacted("x", {"password_reset_required": True, "secret_id": "s", "password": ""}, [])
    assert kept == {"password_reset_required": True, "secret_id": "s", "password": ""}


def test_flat_attributes_of_old_providers_still_name_their_resource() -> None:
    flat = {"id": "i-1", "arn": "arn:aws:ec2:eu-west-1:1:instance/i-1", "tags.%": "1", "tags.team": "pay", "ebs.#": "0"}
    (found,) = declared(state(resource("aws_instance", {"attributes_flat": flat})))
    assert (found.urn, found.tags) == ("arn:aws:ec2:eu-west-1:1:instance/i-1", {"team": "pay"})


# ---- names

E, R = "123456789012", "eu-west-1"
EC2 = f"arn:aws:ec2:{R}:{E}"


@pytest.mark.parametrize(
    ("type", "attributes", "observed", "urn"),
    [
        ("aws_instance", {"id": "i-1", "arn": f"{EC2}:instance/i-1"}, "aws_ec2_instance", f"{EC2}:instance/i-1"),
        ("aws_instance", {"id": "i-1"}, "aws_ec2_instance", f"{EC2}:instance/i-1"),
        ("aws_ebs_volume", {"id": "vol-1"}, "aws_ebs_volume", f"{EC2}:volume/vol-1"),
        ("aws_security_group", {"id": "sg-1"}, "aws_vpc_security_group", f"{EC2}:security-group/sg-1"),
        (
            "aws_security_group_rule",
            {"security_group_id": "sg-1"},
            "aws_vpc_security_group",
            f"{EC2}:security-group/sg-1",
        ),
        ("aws_vpc", {"id": "vpc-1"}, "aws_vpc", f"{EC2}:vpc/vpc-1"),
        ("aws_subnet", {"id": "subnet-1"}, "aws_vpc_subnet", f"{EC2}:subnet/subnet-1"),
        ("aws_network_interface", {"id": "eni-1"}, "aws_ec2_network_interface", f"{EC2}:network-interface/eni-1"),
        ("aws_eip", {"id": "eipalloc-1"}, "aws_vpc_eip", f"{EC2}:elastic-ip/eipalloc-1"),
        (
            "aws_eip",
            {"id": "eipalloc-1", "public_dns": "ec2-1-2-3-4.ap-south-1.compute.amazonaws.com"},
            "aws_vpc_eip",
            f"arn:aws:ec2:ap-south-1:{E}:elastic-ip/eipalloc-1",
        ),
        ("aws_ami", {"id": "ami-1"}, "aws_ec2_ami", f"arn:aws:ec2:{R}::image/ami-1"),
        ("aws_launch_template", {"id": "lt-1"}, "aws_ec2_launch_template", f"{EC2}:launch-template/lt-1"),
        ("aws_s3_bucket", {"id": "b", "arn": "arn:aws:s3:::b"}, "aws_s3_bucket", "arn:aws:s3:::b"),
        ("aws_s3_bucket_versioning", {"id": "b", "bucket": "b"}, "aws_s3_bucket", "arn:aws:s3:::b"),
        ("aws_s3_object", {"id": "k", "arn": "arn:aws:s3:::b/k"}, "", "arn:aws:s3:::b/k"),
        ("aws_iam_role", {"name": "ci"}, "aws_iam_role", f"arn:aws:iam::{E}:role/ci"),
        ("aws_iam_role_policy_attachment", {"role": "ci"}, "aws_iam_role", f"arn:aws:iam::{E}:role/ci"),
        ("aws_iam_user", {"name": "jo"}, "aws_iam_user", f"arn:aws:iam::{E}:user/jo"),
        ("aws_iam_policy", {"id": f"arn:aws:iam::{E}:policy/p"}, "aws_iam_policy", f"arn:aws:iam::{E}:policy/p"),
        ("aws_iam_access_key", {"id": "AKIA1"}, "aws_iam_access_key", f"urn:uwu:aws:iam:access-key:{E}::AKIA1"),
        (
            "aws_db_instance",
            {"id": "db-X", "arn": f"arn:aws:rds:{R}:{E}:db:main"},
            "aws_rds_db_instance",
            f"arn:aws:rds:{R}:{E}:db:main",
        ),
        (
            "aws_lambda_function",
            {"id": "f", "arn": f"arn:aws:lambda:{R}:{E}:function:f"},
            "aws_lambda_function",
            f"arn:aws:lambda:{R}:{E}:function:f",
        ),
        (
            "aws_lambda_alias",
            {"arn": f"arn:aws:lambda:{R}:{E}:function:f:live"},
            "",
            f"arn:aws:lambda:{R}:{E}:function:f:live",
        ),
        (
            "aws_lb",
            {"id": "arn:aws:elb:1:1:x", "load_balancer_type": "network"},
            "aws_ec2_network_load_balancer",
            "arn:aws:elb:1:1:x",
        ),
        ("aws_alb", {"id": "arn:aws:elb:1:1:x"}, "aws_ec2_application_load_balancer", "arn:aws:elb:1:1:x"),
        ("aws_lb_target_group", {"id": "arn:aws:elb:1:1:t"}, "aws_ec2_target_group", "arn:aws:elb:1:1:t"),
        ("aws_route53_zone", {"id": "Z1"}, "aws_route53_zone", "arn:aws:route53:::hostedzone/Z1"),
        (
            "aws_route53_record",
            {"zone_id": "Z1", "name": "www", "fqdn": "WWW.example.org", "type": "A", "set_identifier": "eu"},
            "aws_route53_record",
            f"urn:uwu:aws:route53:record-set:{E}::Z1/www.example.org/A/eu",
        ),
        ("aws_kms_key", {"key_id": "k-1"}, "aws_kms_key", f"arn:aws:kms:{R}:{E}:key/k-1"),
        (
            "aws_secretsmanager_secret",
            {"id": f"arn:aws:secretsmanager:{R}:{E}:secret:s-1"},
            "aws_secretsmanager_secret",
            f"arn:aws:secretsmanager:{R}:{E}:secret:s-1",
        ),
        (
            "aws_sqs_queue",
            {"url": f"https://sqs.us-east-2.amazonaws.com/{E}/q"},
            "aws_sqs_queue",
            f"arn:aws:sqs:us-east-2:{E}:q",
        ),
        (
            "aws_sqs_queue_policy",
            {"queue_url": f"http://127.0.0.1:5000/{E}/q"},
            "aws_sqs_queue",
            f"arn:aws:sqs:{R}:{E}:q",
        ),
        ("aws_sns_topic_policy", {"arn": f"arn:aws:sns:{R}:{E}:t"}, "aws_sns_topic", f"arn:aws:sns:{R}:{E}:t"),
        (
            "aws_acm_certificate",
            {"arn": f"arn:aws:acm:{R}:{E}:certificate/c"},
            "aws_acm_certificate",
            f"arn:aws:acm:{R}:{E}:certificate/c",
        ),
        (
            "aws_cloudformation_stack",
            {"id": f"arn:aws:cloudformation:{R}:{E}:stack/s/1"},
            "aws_cloudformation_stack",
            f"arn:aws:cloudformation:{R}:{E}:stack/s/1",
        ),
        ("aws_autoscaling_group", {"arn": f"arn:aws:autoscaling:{R}:{E}:g"}, "", f"arn:aws:autoscaling:{R}:{E}:g"),
        ("aws_network_acl_rule", {"id": "nacl-1"}, "", ""),
        ("null_resource", {"id": "1"}, "", ""),
    ],
)
def test_names(type: str, attributes: dict[str, Any], observed: str, urn: str) -> None:
    (found,) = declared(state(resource(type, attributes)), account=E, region=R)
    assert (found.type, found.urn) == (observed, urn)


def test_the_account_and_region_come_from_what_the_provider_holds_elsewhere() -> None:
    other = {"provider": f"{AWS}.edge"}
    data = state(
        resource("aws_vpc", {"id": "vpc-1", "arn": "arn:aws:ec2:eu-west-1:111111111111:vpc/vpc-1"}),
        resource("aws_vpc", {"id": "vpc-2", "arn": "arn:aws:ec2:us-east-1:222222222222:vpc/vpc-2"}, name="o", **other),
        resource("aws_iam_role", {"name": "ci", "arn": "arn:aws:iam::111111111111:role/team/ci"}),
        resource("aws_eip", {"id": "eipalloc-1"}),
        resource("aws_eip", {"id": "eipalloc-2"}, name="o", **other),
        resource("aws_iam_role_policy", {"role": "ci"}),
    )
    assert [d.urn for d in declared(data)[3:]] == [
        "arn:aws:ec2:eu-west-1:111111111111:elastic-ip/eipalloc-1",
        "arn:aws:ec2:us-east-1:222222222222:elastic-ip/eipalloc-2",
        "arn:aws:iam::111111111111:role/team/ci",
    ]
    told = declared(data, account="333333333333", region="eu-west-3")
    assert told[3].urn == "arn:aws:ec2:eu-west-3:333333333333:elastic-ip/eipalloc-1"
    assert told[4].urn == "arn:aws:ec2:us-east-1:222222222222:elastic-ip/eipalloc-2"


def test_tags_are_those_with_the_providers_defaults() -> None:
    (found,) = declared(state(resource("aws_vpc", {"id": "v", "tags": {"a": "1"}, "tags_all": {"a": "1", "b": "2"}})))
    assert found.tags == {"a": "1", "b": "2"}
    assert set(found.attributes) == {"id"}


# ---- real states


def test_every_real_state_loads_or_says_why(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted((shared_data / "terraform-states").glob("*.tfstate"))
    assert len(paths) == 33
    loaded: list[str] = []
    failed: dict[str, str] = {}
    unnamed: Counter[str] = Counter()
    total = 0
    for path in paths:
        try:
            found = declared(path.read_bytes(), account=E, region=R)
        except BadInput as error:
            failed[path.name] = error.problem.code
            continue
        loaded.append(path.name)
        total += len(found)
        unnamed.update(d.declared_type for d in found if not d.urn)
        assert all(d.place.startswith("s.tfstate#") for d in found)
        assert "foobarbaz" not in repr(found)  # the password in one of them
        assert not [d for d in found if d.declared_type in naming.KINDS and not d.urn]
    with capsys.disabled():
        print(
            f"\n{len(loaded)} states load, {len(failed)} fail {failed}; {total} instances,"
            f" without a name: {dict(unnamed)}"
        )
    assert len(loaded) + len(failed) == 33
    assert all(code.startswith("state-") for code in failed.values())
    assert total == 105
