"""The resource of a write is named, and it is the right one."""

# ruff: noqa: E501 (a sample a line is easier to check than one over ten)

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from uwu.domains.trail import mapping, overlay
from uwu.domains.trail.names import Aliases, Namer, base_name, is_write, short_forms

ACCOUNT = "123837392027"
EC2 = f"arn:aws:ec2:us-east-1:{ACCOUNT}:"
IAM = f"arn:aws:iam::{ACCOUNT}:"

CHECKED = {
    "AuthorizeSecurityGroupIngress": f"{EC2}security-group/sg-04cfb7a4712d75b00",
    "AllocateAddress": f"{EC2}elastic-ip/eipalloc-08a083beb7e83dbc0",
    "CreateNatGateway": f"{EC2}natgateway/nat-03575abbac42080d9",
    "CreateFlowLogs": f"{EC2}vpc-flow-log/fl-064ed3a785e4a37ef",
    "RunInstances": f"{EC2}instance/i-0dbc91f429e48eeed",
    "CreateTags": "arn:aws:ec2:us-east-1::image/ami-0aa1d83d0b0985c86",
    "CreateSnapshot": "arn:aws:ec2:us-east-1::snapshot/snap-01ee6be9876379b3b",
    "SharedSnapshotVolumeCreated": "arn:aws:ec2:us-east-1::snapshot/snap-0e83092ae538da583",
    "CreateRoute": f"{EC2}route-table/rtb-0c7c2f4aff3677054",
    "AttachRolePolicy": f"{IAM}role/stratus-red-team-ec2-steal-credentials-role",
    "AddRoleToInstanceProfile": f"{IAM}instance-profile/stratus-red-team-ec2-steal-credentials-instance",
    "CreateAccessKey": f"urn:uwu:aws:iam:access-key:{ACCOUNT}::AKIATFQR7NSC3ZO6PKAZ",
    "CreateLoginProfile": f"{IAM}user/stratus-red-team-nmfalu-gfjyeaypjt",
    "UpdateAssumeRolePolicy": f"{IAM}role/stratus-red-team-backdoor-r-role",
    "UpdateFunctionCode20150331v2": (
        f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:stratus-red-team-olc-func-xhfgzaowxc"
    ),
    "CreateDBInstance": f"arn:aws:rds:us-east-1:{ACCOUNT}:db:terraform-20230710121504061500000001",
    "ModifyDBSnapshotAttribute": f"arn:aws:rds:us-east-1:{ACCOUNT}:snapshot:exfiltration",
    "PutBucketLifecycle": "arn:aws:s3:::stratus-red-team-ctlr-bucket-zqfsvooxqj",
    "EndSecretVersionDelete": None,
    "StartLogging": None,
    "DeleteLogGroup": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/stratus-red-team/vpc-flow-logs",
    "SendCommand": f"{EC2}instance/i-0dbc91f429e48eeed",
    "PutComplianceItems": f"{EC2}instance/i-0dbc91f429e48eeed",
    "DeleteTrustAnchor": (
        f"arn:aws:rolesanywhere:us-east-1:{ACCOUNT}:trust-anchor/49e25ec3-bdfe-4150-8683-b4ea4ee85cfd"
    ),
    "CheckMfa": f"{IAM}user/bert-jan",
}
"""The target of the first real event of each name, checked by hand against the record."""


@pytest.fixture(scope="session")
def named(records: list[dict[str, Any]]) -> list[tuple[dict[str, Any], list[str], list[str]]]:
    """(record, targets, related) of every successful real write, in the order of time."""
    namer = Namer()
    found = []
    for record in records:
        if is_write(record) and not record.get("errorCode"):
            names = namer.name(record)
            found.append(
                (record, [n.urn for n in names if n.role == "target"], [n.urn for n in names if n.role != "target"])
            )
    return found


def test_real_writes_are_named(named: list[tuple[dict[str, Any], list[str], list[str]]]):
    count = sum(bool(targets) for _, targets, _ in named)
    print(f"resource named for {count} of {len(named)} successful writes: {100 * count / len(named):.1f}%")
    assert len(named) == 480
    assert count / len(named) >= 0.95
    nameless = Counter(record["eventName"] for record, targets, _ in named if not targets)
    assert not nameless


@pytest.mark.parametrize("event", [name for name, urn in CHECKED.items() if urn])
def test_checked_targets(event: str, named: list[tuple[dict[str, Any], list[str], list[str]]]):
    targets = next(targets for record, targets, _ in named if record["eventName"] == event)
    assert targets == [CHECKED[event]]


def test_targets_speak_of_the_same_id(named: list[tuple[dict[str, Any], list[str], list[str]]]):
    """Deleting names what creating named: by id for EC2, by ARN, by name."""
    made: set[str] = set()
    gone: Counter[str] = Counter()
    for record, targets, _ in named:
        if record["eventName"] in {"CreateSubnet", "CreateVpc", "CreateRole", "CreateSecret", "CreateFunction20150331"}:
            made.update(targets)
        if record["eventName"] in {"DeleteSubnet", "DeleteVpc", "DeleteRole", "DeleteSecret", "DeleteFunction20150331"}:
            gone[record["eventName"]] += all(t in made for t in targets)
    assert gone["DeleteSecret"] == 17
    assert gone["DeleteRole"] == 13
    assert gone["DeleteSubnet"] == 8
    assert gone["DeleteVpc"] == 6


def test_an_association_is_an_alias_of_what_it_belongs_to(named: list[tuple[dict[str, Any], list[str], list[str]]]):
    """DisassociateRouteTable gives only rtbassoc-...: the earlier AssociateRouteTable told whose it is."""
    table = {
        record["responseElements"]["associationId"]: targets
        for record, targets, _ in named
        if record["eventName"] == "AssociateRouteTable"
    }
    taken = [
        (record["requestParameters"]["associationId"], targets)
        for record, targets, _ in named
        if record["eventName"] == "DisassociateRouteTable"
    ]
    assert len(taken) == 9
    assert all(table[id] == targets for id, targets in taken)


def test_related_are_kept(named: list[tuple[dict[str, Any], list[str], list[str]]]):
    related = next(r for record, _, r in named if record["eventName"] == "RunInstances")
    assert f"{EC2}subnet/subnet-0ed352584ab4aa265" in related
    assert f"{EC2}network-interface/eni-076fa9fb98a2500a7" in related


A = "111122223333"
HERE = f"eu-west-1:{A}"


@pytest.mark.parametrize(
    ("source", "event", "request_", "response", "targets"),
    [
        ("ec2", "ModifyInstanceAttribute", {"instanceId": "i-0a1b2c3d4e5f60718", "groupSet": {"items": [{"groupId": "sg-11111111"}]}}, None, [f"arn:aws:ec2:{HERE}:instance/i-0a1b2c3d4e5f60718"]),
        ("ec2", "TerminateInstances", {"instancesSet": {"items": [{"instanceId": "i-11111111"}, {"instanceId": "i-22222222"}]}}, None, [f"arn:aws:ec2:{HERE}:instance/i-11111111", f"arn:aws:ec2:{HERE}:instance/i-22222222"]),
        ("ec2", "CreateLaunchTemplate", {"CreateLaunchTemplateRequest": {"LaunchTemplateName": "web"}}, {"CreateLaunchTemplateResponse": {"launchTemplate": {"launchTemplateId": "lt-0a1b2c3d4e5f60718", "launchTemplateName": "web"}}}, [f"arn:aws:ec2:{HERE}:launch-template/lt-0a1b2c3d4e5f60718"]),
        ("ec2", "AssociateAddress", {"allocationId": "eipalloc-11111111", "instanceId": "i-11111111"}, {"associationId": "eipassoc-11111111"}, [f"arn:aws:ec2:{HERE}:elastic-ip/eipalloc-11111111"]),
        ("ec2", "EnableEbsEncryptionByDefault", {}, {}, [f"arn:aws:iam::{A}:root"]),
        ("s3", "PutBucketVersioning", {"bucketName": "logs", "Host": "logs.s3.amazonaws.com", "versioning": ""}, None, ["arn:aws:s3:::logs"]),
        ("s3", "PutBucketPublicAccessBlock", {"publicAccessBlock": "", "bucketName": "logs"}, None, ["arn:aws:s3:::logs"]),
        ("s3", "PutObject", {"bucketName": "logs", "key": "a/b.txt"}, None, ["arn:aws:s3:::logs/a/b.txt"]),
        ("rds", "ModifyDBInstance", {"dBInstanceIdentifier": "orders", "dBInstanceClass": "db.m5.large"}, {"dBInstanceArn": f"arn:aws:rds:{HERE}:db:orders"}, [f"arn:aws:rds:{HERE}:db:orders"]),
        ("elasticloadbalancing", "ModifyLoadBalancerAttributes", {"loadBalancerArn": f"arn:aws:elasticloadbalancing:{HERE}:loadbalancer/app/web/50dc6c495c0c9188"}, None, [f"arn:aws:elasticloadbalancing:{HERE}:loadbalancer/app/web/50dc6c495c0c9188"]),
        ("elasticloadbalancing", "SetSecurityGroups", {"loadBalancerArn": f"arn:aws:elasticloadbalancing:{HERE}:loadbalancer/app/web/50dc6c495c0c9188", "securityGroups": ["sg-11111111"]}, None, [f"arn:aws:elasticloadbalancing:{HERE}:loadbalancer/app/web/50dc6c495c0c9188"]),
        ("elasticloadbalancing", "RegisterTargets", {"targetGroupArn": f"arn:aws:elasticloadbalancing:{HERE}:targetgroup/web/73e2d6bc24d8a067", "targets": [{"id": "i-11111111"}]}, None, [f"arn:aws:elasticloadbalancing:{HERE}:targetgroup/web/73e2d6bc24d8a067"]),
        ("sqs", "SetQueueAttributes", {"queueUrl": f"https://sqs.eu-west-1.amazonaws.com/{A}/jobs", "attributes": {"VisibilityTimeout": "90"}}, None, [f"arn:aws:sqs:{HERE}:jobs"]),
        ("sqs", "CreateQueue", {"queueName": "jobs"}, {"queueUrl": f"https://sqs.eu-west-1.amazonaws.com/{A}/jobs"}, [f"arn:aws:sqs:{HERE}:jobs"]),
        ("sns", "SetTopicAttributes", {"topicArn": f"arn:aws:sns:{HERE}:alerts", "attributeName": "DisplayName"}, None, [f"arn:aws:sns:{HERE}:alerts"]),
        ("kms", "DisableKeyRotation", {"keyId": "1234abcd-12ab-34cd-56ef-1234567890ab"}, None, [f"arn:aws:kms:{HERE}:key/1234abcd-12ab-34cd-56ef-1234567890ab"]),
        ("kms", "CreateKey", {"policy": "", "description": "x"}, {"keyMetadata": {"arn": f"arn:aws:kms:{HERE}:key/1234abcd-12ab-34cd-56ef-1234567890ab", "keyId": "1234abcd-12ab-34cd-56ef-1234567890ab"}}, [f"arn:aws:kms:{HERE}:key/1234abcd-12ab-34cd-56ef-1234567890ab"]),
        ("route53", "ChangeResourceRecordSets", {"hostedZoneId": "Z1", "changeBatch": {"changes": [{"action": "UPSERT", "resourceRecordSet": {"name": "Api.Example.com.", "type": "A"}}]}}, None, [f"urn:uwu:aws:route53:record-set:{A}::Z1/api.example.com/A"]),
        ("route53", "CreateHostedZone", {"name": "example.com"}, {"changeInfo": {"id": "/change/C1"}, "hostedZone": {"id": "/hostedzone/Z1"}}, ["arn:aws:route53:::hostedzone/Z1"]),
        ("route53", "ChangeTagsForResource", {"resourceType": "hostedzone", "resourceId": "Z1"}, None, ["arn:aws:route53:::hostedzone/Z1"]),
        ("cloudformation", "UpdateStack", {"stackName": "net"}, {"stackId": f"arn:aws:cloudformation:{HERE}:stack/net/aa"}, [f"arn:aws:cloudformation:{HERE}:stack/net/aa"]),
        ("lambda", "UpdateFunctionConfiguration20150331v2", {"functionName": f"{A}:function:worker:live", "role": f"arn:aws:iam::{A}:role/x"}, None, [f"arn:aws:lambda:{HERE}:function:worker"]),
        ("lambda", "PublishVersion20150331", {"functionName": "worker"}, {"functionArn": f"arn:aws:lambda:{HERE}:function:worker:7"}, [f"arn:aws:lambda:{HERE}:function:worker"]),
        ("acm", "RequestCertificate", {"domainName": "example.com"}, {"certificateArn": f"arn:aws:acm:{HERE}:certificate/c1"}, [f"arn:aws:acm:{HERE}:certificate/c1"]),
        ("iam", "DeleteUserPolicy", {"userName": "ci", "policyName": "p"}, None, [f"arn:aws:iam::{A}:user/ci"]),
        ("iam", "CreatePolicyVersion", {"policyArn": f"arn:aws:iam::{A}:policy/team/deploy", "policyDocument": "{\"Resource\": \"arn:aws:s3:::x\"}"}, None, [f"arn:aws:iam::{A}:policy/team/deploy"]),
        ("iam", "UpdateAccountPasswordPolicy", {"minimumPasswordLength": 6}, None, [f"arn:aws:iam::{A}:root"]),
        ("dynamodb", "UpdateTable", {"tableName": "orders"}, {"tableDescription": {"tableArn": f"arn:aws:dynamodb:{HERE}:table/orders"}}, [f"arn:aws:dynamodb:{HERE}:table/orders"]),
        ("ecs", "UpdateService", {"cluster": "main", "service": "api"}, None, [f"arn:aws:ecs:{HERE}:service/main/api"]),
        ("monitoring", "PutMetricAlarm", {"alarmName": "cpu", "alarmActions": [f"arn:aws:sns:{HERE}:alerts"]}, None, [f"arn:aws:cloudwatch:{HERE}:alarm:cpu"]),
        ("tagging", "TagResources", {"resourceARNList": [f"arn:aws:sqs:{HERE}:jobs", f"arn:aws:sqs:{HERE}:mail"]}, None, [f"arn:aws:sqs:{HERE}:jobs", f"arn:aws:sqs:{HERE}:mail"]),
    ],
)  # fmt: skip
def test_targets(made: Any, source: str, event: str, request_: Any, response: Any, targets: list[str]):
    record = made(event, f"{source}.amazonaws.com", requestParameters=request_, responseElements=response)
    assert [n.urn for n in Namer().name(record) if n.role == "target"] == targets


def test_a_role_by_its_name_alone_is_found_by_what_was_learned(made: Any):
    namer = Namer()
    path = f"arn:aws:iam::{A}:role/team/ci/deploy"
    namer.name(
        made("CreateRole", "iam.amazonaws.com", requestParameters={"roleName": "deploy", "path": "/team/ci/"},
             responseElements={"role": {"roleName": "deploy", "arn": path}})
    )  # fmt: skip
    later = namer.name(made("PutRolePolicy", "iam.amazonaws.com", requestParameters={"roleName": "deploy"}))
    assert [n.urn for n in later] == [path]
    assert namer.aliases.learned == {f"arn:aws:iam::{A}:role/deploy": path}


def test_inventory_knows_what_a_name_stands_for(made: Any):
    aliases = Aliases()
    secret, stack = f"arn:aws:secretsmanager:{HERE}:secret:db-AbCdEf", f"arn:aws:cloudformation:{HERE}:stack/net/aa-bb"
    account = f"arn:aws:organizations::999988887777:account/o-abc/{A}"
    aliases.add_inventory([secret, stack, account])
    namer = Namer(aliases)
    for event, source, request, urn in (
        ("TagResource", "secretsmanager", {"secretId": "db"}, secret),
        ("DeleteStack", "cloudformation", {"stackName": "net"}, stack),
        ("CreateAccountAlias", "iam", {"accountAlias": "acme"}, account),
    ):
        record = made(event, f"{source}.amazonaws.com", requestParameters=request)
        assert [n.urn for n in namer.name(record) if n.role == "target"] == [urn]
    assert aliases.learned == {}


def test_what_only_stands_in_a_policy_is_not_named(made: Any):
    record = made(
        "PutBucketPolicy",
        "s3.amazonaws.com",
        requestParameters={
            "bucketName": "logs",
            "bucketPolicy": {"Statement": [{"Principal": {"AWS": "arn:aws:iam::999988887777:role/other"}}]},
        },
    )
    assert [n.urn for n in Namer().name(record)] == ["arn:aws:s3:::logs"]


def test_a_resource_of_another_service_alone_is_only_related(made: Any):
    record = made("CreateThing", "newservice.amazonaws.com", requestParameters={"roleArn": f"arn:aws:iam::{A}:role/x"})
    assert [(n.urn, n.role) for n in Namer().name(record)] == [(f"arn:aws:iam::{A}:role/x", "related")]


def test_odd_members_do_no_harm(made: Any):
    for odd in ("text", ["a"], {"a": {"b": [[{"c": None}], 3, "arn:"]}}, {"instanceId": 7}, {"arn:aws:x": "i-"}):
        Namer().name(made("ModifyInstanceAttribute", requestParameters=odd, responseElements=odd, resources=odd))


def test_short_forms():
    assert short_forms(f"arn:aws:iam::{A}:role/a/b/c") == [f"arn:aws:iam::{A}:role/c"]
    assert short_forms(f"arn:aws:iam::{A}:role/c") == []
    assert short_forms("arn:aws:s3:::logs") == []


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("UpdateFunctionCode20150331v2", "UpdateFunctionCode"),
        ("CreateDistribution2020_05_31", "CreateDistribution"),
        ("PutRule", "PutRule"),
    ],
)
def test_base_name(name: str, base: str):
    assert base_name(name) == base


def test_the_verb_tells_where_read_only_is_missing(records: list[dict[str, Any]]):
    wrong = sum(is_write({**record, "readOnly": None}) == record["readOnly"] for record in records)
    assert wrong / len(records) < 0.03


def test_the_action_map_is_fresh_and_small():
    missing, total = mapping.unknown()
    assert mapping.FILE.stat().st_size <= 150_000
    assert mapping.load().format == mapping.FORMAT
    assert total > 10_000
    # built again when botocore has moved on: python -m uwu.domains.trail.mapping build
    assert missing / total < 0.15


def test_the_overlay_is_written_as_it_is_looked_up():
    for table in (overlay.KEYS, overlay.ACCOUNT_ACTIONS, overlay.PRINCIPAL_ACTIONS):
        assert all(mapping.norm(member) == member for of in table.values() for member in of)
    assert all(mapping.norm(action) == action for _, action in overlay.TARGETS)
    assert all(mapping.norm(member) == member for member in overlay.SKIP)
