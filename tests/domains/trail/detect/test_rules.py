"""Each of uwu's own rules fires on what it is for, and stays silent on what looks like it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.domains.trail.detect.conftest import ACCOUNT, Told, role, root, user
from uwu.domains.trail import store
from uwu.domains.trail.actors import SessionIndex
from uwu.domains.trail.callers import Callers
from uwu.domains.trail.detect import engine, load
from uwu.domains.trail.detect.model import Detection
from uwu.domains.trail.names import Aliases, Namer
from uwu.domains.trail.read import read as read_object
from uwu.domains.trail.rows import Rows
from uwu.kernel import codec
from uwu.kernel.runtime import Kernel

MIRA, NOEL = user("mira.k"), user("noel.b")
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
DEPLOY = role("deploy", "mira.k@larkspur.example")

Story = Callable[[Told], None]


def allow(principal: Any = None, action: Any = "s3:GetObject", resource: Any = "*", **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, **more}
    statement |= {"Principal": principal} if principal is not None else {"Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def opened(cidr: str, first: int, last: int, protocol: str = "tcp") -> dict[str, Any]:
    ranges = {"Ipv6Ranges": [{"CidrIpv6": cidr}]} if ":" in cidr else {"IpRanges": [{"CidrIp": cidr}]}
    permission = {"IpProtocol": protocol, "FromPort": first, "ToPort": last, **ranges}
    return {"GroupId": "sg-0123456789abcdef0", "IpPermissions": [permission]}


def sign_ins(told: Told, failures: int, *, then: bool = False, ip: str = "203.0.113.50") -> None:
    for _ in range(failures):
        told.sign_in(user("mira.k", ip), success=False)
    if then:
        told.sign_in(user("mira.k", ip))


def reads(told: Told, services: int, **who: Any) -> None:
    calls = [("ec2", "DescribeVpcs"), ("iam", "ListUsers"), ("s3", "ListBuckets"), ("rds", "DescribeDBInstances")]
    calls += [("lambda", "ListFunctions"), ("sqs", "ListQueues"), ("sns", "ListTopics"), ("kms", "ListKeys")]
    calls += [
        ("ecs", "ListClusters"),
        ("eks", "ListClusters"),
        ("dynamodb", "ListTables"),
        ("logs", "DescribeLogGroups"),
    ]
    calls += [("ssm", "DescribeParameters"), ("glue", "GetDatabases")]
    for service, operation in calls[:services]:
        told.call(user(**who), service, operation)


def deletes(told: Told, number: int, who: Any = MIRA) -> None:
    for n in range(number):
        told.call(who, "rds", "DeleteDBSnapshot", DBSnapshotIdentifier=f"daily-{n}")


def secrets(told: Told, number: int, who: Any = MIRA) -> None:
    for n in range(number):
        told.call(who, "secretsmanager", "GetSecretValue", SecretId=f"app/{n}")


def denials(told: Told, names: list[tuple[str, str]]) -> None:
    for service, operation in names:
        told.call(MIRA, service, operation, error="AccessDenied")


TRIED = [("iam", name) for name in ("ListUsers", "ListRoles", "ListGroups", "ListPolicies", "CreateUser", "GetUser")]
TRIED += [("s3", name) for name in ("ListBuckets", "GetBucketPolicy", "GetBucketAcl", "DeleteBucket", "PutBucketAcl")]
TRIED += [("kms", name) for name in ("ListKeys", "Decrypt", "ListAliases", "DisableKey", "CreateKey")]


def armed(told: Told, *, rights: bool = True, pause: int = 0) -> None:
    told.call(MIRA, "iam", "CreateUser", UserName="backup")
    told.call(MIRA, "iam", "CreateAccessKey", UserName="backup")
    told.wait(minutes=pause)
    if rights:
        told.call(MIRA, "iam", "AttachUserPolicy", UserName="backup", PolicyArn=ADMIN)


def instance(told: Told, *addresses: str) -> None:
    for ip in addresses:
        told.call(role("web", "i-0123456789abcdef0", ip), "s3", "ListBuckets")


FIRES: dict[str, list[Story]] = {
    "root-signs-in": [lambda t: t.sign_in(root())],
    "root-acts": [lambda t: t.call(root(), "iam", "CreateUser", UserName="x")],
    "console-without-mfa": [lambda t: t.sign_in(MIRA, mfa="No")],
    "sign-ins-guessed": [lambda t: sign_ins(t, 10)],
    "guessed-then-in": [lambda t: sign_ins(t, 5, then=True)],
    "logging-stopped": [
        lambda t: t.call(MIRA, "cloudtrail", "StopLogging", Name="main"),
        lambda t: t.call(MIRA, "cloudtrail", "DeleteTrail", Name="main"),
        lambda t: t.call(MIRA, "cloudtrail", "UpdateTrail", Name="main", IsMultiRegionTrail=False),
        lambda t: t.call(
            MIRA,
            "cloudtrail",
            "PutEventSelectors",
            TrailName="main",
            EventSelectors=[{"ReadWriteType": "All", "IncludeManagementEvents": False}],
        ),
    ],
    "guards-off": [
        lambda t: t.call(MIRA, "guardduty", "DeleteDetector", DetectorId="d1"),
        lambda t: t.call(MIRA, "guardduty", "UpdateDetector", DetectorId="d1", Enable=False),
        lambda t: t.call(MIRA, "securityhub", "DisableSecurityHub"),
    ],
    "configuration-unrecorded": [
        lambda t: t.call(MIRA, "config", "StopConfigurationRecorder", ConfigurationRecorderName="default")
    ],
    "flow-logs-deleted": [lambda t: t.call(MIRA, "ec2", "DeleteFlowLogs", FlowLogIds=["fl-0123456789abcdef0"])],
    "key-for-another": [
        lambda t: t.call(MIRA, "iam", "CreateAccessKey", UserName="noel.b"),
        lambda t: t.call(DEPLOY, "iam", "CreateAccessKey", UserName="noel.b"),
    ],
    "password-for-another": [lambda t: t.call(MIRA, "iam", "UpdateLoginProfile", UserName="noel.b", Password="x")],
    "admin-attached": [lambda t: t.call(MIRA, "iam", "AttachRolePolicy", RoleName="web", PolicyArn=ADMIN)],
    "admin-written": [
        lambda t: t.call(
            MIRA, "iam", "PutRolePolicy", RoleName="w", PolicyName="p", PolicyDocument=json.dumps(allow(action=["*"]))
        )
    ],
    "role-for-everyone": [
        lambda t: t.call(
            MIRA,
            "iam",
            "UpdateAssumeRolePolicy",
            RoleName="web",
            PolicyDocument=json.dumps(allow({"AWS": "*"}, "sts:AssumeRole")),
        ),
        lambda t: t.call(
            MIRA,
            "iam",
            "CreateRole",
            RoleName="web",
            AssumeRolePolicyDocument=json.dumps(allow("*", "sts:AssumeRole")),
        ),
    ],
    "bucket-opened": [
        lambda t: t.call(MIRA, "s3", "PutBucketPolicy", Bucket="b", Policy=json.dumps(allow("*"))),
        lambda t: t.call(MIRA, "s3", "DeletePublicAccessBlock", Bucket="b"),
        lambda t: t.call(MIRA, "s3", "PutBucketAcl", Bucket="b", ACL="public-read"),
    ],
    "snapshot-shared": [
        lambda t: t.call(
            MIRA,
            "ec2",
            "ModifySnapshotAttribute",
            SnapshotId="snap-0123456789abcdef0",
            CreateVolumePermission={"Add": [{"UserId": "999988887777"}]},
        ),
        lambda t: t.call(
            MIRA,
            "rds",
            "ModifyDBSnapshotAttribute",
            DBSnapshotIdentifier="daily",
            AttributeName="restore",
            ValuesToAdd=["999988887777"],
        ),
    ],
    "port-opened": [
        lambda t: t.call(MIRA, "ec2", "AuthorizeSecurityGroupIngress", **opened("0.0.0.0/0", 22, 22)),
        lambda t: t.call(MIRA, "ec2", "AuthorizeSecurityGroupIngress", **opened("::/0", 5000, 6000)),
        lambda t: t.call(MIRA, "ec2", "AuthorizeSecurityGroupIngress", **opened("0.0.0.0/0", -1, -1, "-1")),
    ],
    "instance-credentials-elsewhere": [lambda t: instance(t, "198.51.100.10", "203.0.113.77")],
    "denied-everywhere": [lambda t: denials(t, TRIED)],
    "looks-around": [lambda t: reads(t, 13)],
    "secrets-read-in-bulk": [lambda t: secrets(t, 10)],
    "key-doomed": [lambda t: t.call(MIRA, "kms", "ScheduleKeyDeletion", KeyId="k", PendingWindowInDays=7)],
    "backups-deleted": [lambda t: deletes(t, 5)],
    "user-data-changed": [
        lambda t: t.call(
            MIRA, "ec2", "ModifyInstanceAttribute", InstanceId="i-0123456789abcdef0", UserData={"Value": b"#!/bin/sh"}
        )
    ],
    "function-opened": [
        lambda t: t.call(
            MIRA,
            "lambda",
            "AddPermission",
            FunctionName="f",
            StatementId="s",
            Action="lambda:InvokeFunction",
            Principal="*",
        ),
        lambda t: t.call(MIRA, "lambda", "CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE"),
    ],
    "mfa-removed": [lambda t: t.call(MIRA, "iam", "DeactivateMFADevice", UserName="noel.b", SerialNumber="s")],
    "organization-weakened": [
        lambda t: t.call(MIRA, "organizations", "LeaveOrganization"),
        lambda t: t.call(MIRA, "organizations", "DetachPolicy", PolicyId="p-1", TargetId=ACCOUNT),
    ],
    "federation-changed": [
        lambda t: t.call(MIRA, "iam", "CreateSAMLProvider", Name="idp", SAMLMetadataDocument="<x/>"),
    ],
    "large-machines": [
        lambda t: t.call(MIRA, "ec2", "RunInstances", InstanceType="p4d.24xlarge", MinCount=1, MaxCount=1),
        lambda t: t.call(MIRA, "ec2", "RunInstances", InstanceType="g5.xlarge", MinCount=1, MaxCount=1),
    ],
    "bucket-protection-off": [
        lambda t: t.call(
            MIRA, "s3", "PutBucketVersioning", Bucket="b", VersioningConfiguration={"Status": "Suspended"}
        ),
        lambda t: t.call(MIRA, "s3", "DeleteBucketReplication", Bucket="b"),
    ],
    "user-made-and-armed": [lambda t: armed(t, pause=20)],
}

SILENT: dict[str, list[Story]] = {
    "root-signs-in": [lambda t: t.sign_in(MIRA), lambda t: t.sign_in(root(), success=False)],
    "root-acts": [
        lambda t: t.call(root(), "iam", "ListUsers"),
        lambda t: t.call(root(), "iam", "CreateUser", UserName="x", error="AccessDenied"),
        lambda t: t.call(MIRA, "iam", "CreateUser", UserName="x"),
    ],
    "console-without-mfa": [lambda t: t.sign_in(MIRA), lambda t: t.sign_in(MIRA, success=False, mfa="No")],
    "sign-ins-guessed": [
        lambda t: sign_ins(t, 9),
        lambda t: [sign_ins(t, 3, ip=f"203.0.113.{n}") for n in range(4)],  # type: ignore[func-returns-value]
    ],
    "guessed-then-in": [
        lambda t: sign_ins(t, 4, then=True),
        lambda t: sign_ins(t, 9),
        lambda t: (sign_ins(t, 5), t.wait(hours=2), t.sign_in(user("mira.k", "203.0.113.50"))),  # type: ignore[return-value]
    ],
    "logging-stopped": [
        lambda t: t.call(MIRA, "cloudtrail", "StopLogging", Name="main", error="AccessDenied"),
        lambda t: t.call(MIRA, "cloudtrail", "StartLogging", Name="main"),
        lambda t: t.call(MIRA, "cloudtrail", "UpdateTrail", Name="main", IsMultiRegionTrail=True),
        lambda t: t.call(
            MIRA,
            "cloudtrail",
            "PutEventSelectors",
            TrailName="main",
            EventSelectors=[{"ReadWriteType": "All", "IncludeManagementEvents": True}],
        ),
    ],
    "guards-off": [
        lambda t: t.call(MIRA, "guardduty", "UpdateDetector", DetectorId="d1", Enable=True),
        lambda t: t.call(MIRA, "guardduty", "DeleteDetector", DetectorId="d1", error="AccessDeniedException"),
    ],
    "configuration-unrecorded": [
        lambda t: t.call(MIRA, "config", "StartConfigurationRecorder", ConfigurationRecorderName="default")
    ],
    "flow-logs-deleted": [lambda t: t.call(MIRA, "ec2", "DescribeFlowLogs")],
    "key-for-another": [
        lambda t: t.call(MIRA, "iam", "CreateAccessKey", UserName="mira.k"),
        lambda t: t.call(MIRA, "iam", "CreateAccessKey"),
        lambda t: t.call(MIRA, "iam", "CreateAccessKey", UserName="noel.b", error="AccessDenied"),
    ],
    "password-for-another": [lambda t: t.call(MIRA, "iam", "UpdateLoginProfile", UserName="mira.k", Password="x")],
    "admin-attached": [
        lambda t: t.call(
            MIRA, "iam", "AttachRolePolicy", RoleName="w", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess"
        ),
        lambda t: t.call(MIRA, "iam", "DetachRolePolicy", RoleName="web", PolicyArn=ADMIN),
    ],
    "admin-written": [
        lambda t: t.call(
            MIRA, "iam", "PutRolePolicy", RoleName="w", PolicyName="p", PolicyDocument=json.dumps(allow(action="s3:*"))
        ),
        lambda t: t.call(
            MIRA,
            "iam",
            "PutRolePolicy",
            RoleName="w",
            PolicyName="p",
            PolicyDocument=json.dumps(allow(action="*", resource="arn:aws:s3:::b")),
        ),
        lambda t: t.call(MIRA, "iam", "PutRolePolicy", RoleName="w", PolicyName="p", PolicyDocument="no document"),
    ],
    "role-for-everyone": [
        lambda t: t.call(
            MIRA,
            "iam",
            "CreateRole",
            RoleName="web",
            AssumeRolePolicyDocument=json.dumps(allow({"Service": "ec2.amazonaws.com"}, "sts:AssumeRole")),
        ),
        lambda t: t.call(
            MIRA,
            "iam",
            "UpdateAssumeRolePolicy",
            RoleName="web",
            PolicyDocument=json.dumps(
                allow("*", "sts:AssumeRole", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})
            ),
        ),
    ],
    "bucket-opened": [
        lambda t: t.call(
            MIRA, "s3", "PutBucketPolicy", Bucket="b", Policy=json.dumps(allow({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))
        ),
        lambda t: t.call(MIRA, "s3", "PutBucketAcl", Bucket="b", ACL="private"),
        lambda t: t.call(
            MIRA,
            "s3",
            "PutPublicAccessBlock",
            Bucket="b",
            PublicAccessBlockConfiguration={"BlockPublicAcls": True, "BlockPublicPolicy": True},
        ),
    ],
    "snapshot-shared": [
        lambda t: t.call(
            MIRA,
            "ec2",
            "ModifySnapshotAttribute",
            SnapshotId="snap-0123456789abcdef0",
            CreateVolumePermission={"Remove": [{"UserId": "999988887777"}]},
        ),
        lambda t: t.call(
            MIRA,
            "rds",
            "ModifyDBSnapshotAttribute",
            DBSnapshotIdentifier="daily",
            AttributeName="restore",
            ValuesToRemove=["999988887777"],
        ),
    ],
    "port-opened": [
        lambda t: t.call(MIRA, "ec2", "AuthorizeSecurityGroupIngress", **opened("0.0.0.0/0", 443, 443)),
        lambda t: t.call(MIRA, "ec2", "AuthorizeSecurityGroupIngress", **opened("10.0.0.0/8", 22, 22)),
        lambda t: t.call(
            MIRA,
            "ec2",
            "AuthorizeSecurityGroupIngress",
            error="UnauthorizedOperation",
            **opened("0.0.0.0/0", 22, 22),
        ),
    ],
    "instance-credentials-elsewhere": [
        lambda t: instance(t, "198.51.100.10", "198.51.100.10"),
        lambda t: instance(t, "198.51.100.10", "10.2.3.4", "172.20.1.1", "ec2.amazonaws.com"),
        lambda t: [t.call(role("web", "mira", ip), "s3", "ListBuckets") for ip in ("203.0.113.1", "203.0.113.2")],  # type: ignore[func-returns-value]
    ],
    "denied-everywhere": [lambda t: denials(t, TRIED[:14]), lambda t: denials(t, TRIED[:5] * 4)],
    "looks-around": [
        lambda t: reads(t, 11),
        lambda t: reads(t, 13, agent="Mozilla/5.0 (console)"),
    ],
    "secrets-read-in-bulk": [lambda t: secrets(t, 9), lambda t: [secrets(t, 1) for _ in range(20)]],  # type: ignore[func-returns-value]
    "key-doomed": [lambda t: t.call(MIRA, "kms", "CancelKeyDeletion", KeyId="k")],
    "backups-deleted": [
        lambda t: deletes(t, 4),
        lambda t: deletes(t, 6, role("backup", "AWSBackup", invokedBy="backup.amazonaws.com")),
    ],
    "user-data-changed": [
        lambda t: t.call(
            MIRA,
            "ec2",
            "ModifyInstanceAttribute",
            InstanceId="i-0123456789abcdef0",
            InstanceType={"Value": "m7g.large"},
        )
    ],
    "function-opened": [
        lambda t: t.call(
            MIRA,
            "lambda",
            "AddPermission",
            FunctionName="f",
            StatementId="s",
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
        ),
        lambda t: t.call(MIRA, "lambda", "CreateFunctionUrlConfig", FunctionName="f", AuthType="AWS_IAM"),
    ],
    "mfa-removed": [lambda t: t.call(MIRA, "iam", "EnableMFADevice", UserName="noel.b", SerialNumber="s")],
    "organization-weakened": [
        lambda t: t.call(MIRA, "organizations", "AttachPolicy", PolicyId="p-1", TargetId=ACCOUNT)
    ],
    "federation-changed": [lambda t: t.call(MIRA, "iam", "ListSAMLProviders")],
    "large-machines": [
        lambda t: t.call(MIRA, "ec2", "RunInstances", InstanceType="m7g.large", MinCount=1, MaxCount=1),
        lambda t: t.call(
            role("asg", "AutoScaling", invokedBy="autoscaling.amazonaws.com"),
            "ec2",
            "RunInstances",
            InstanceType="p4d.24xlarge",
            MinCount=1,
            MaxCount=1,
        ),
    ],
    "bucket-protection-off": [
        lambda t: t.call(MIRA, "s3", "PutBucketVersioning", Bucket="b", VersioningConfiguration={"Status": "Enabled"})
    ],
    "user-made-and-armed": [lambda t: armed(t, rights=False), lambda t: armed(t, pause=40)],
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Detection]]:
    from uwu.domains.trail.detect import python, sigma

    found: list[Detection] = []
    folder = Path(load.__file__).parent / "rules"
    for path in sorted(folder.iterdir()):
        if path.suffix == ".yml":
            found += sigma.read(path.read_text(), source="uwu", place=path.name)
        elif path.suffix == ".py":
            found += python.read(path.read_text(), source="uwu", place=path.name)
    yield {rule.id.removeprefix("trail."): rule for rule in found}


def fired(rule: Detection, records: list[dict[str, Any]], kernel: Kernel) -> int:
    """How often the rule fires on records, as ingest would lay them down."""
    read = read_object("x", codec.encode({"Records": records}))
    assert not read.rejects and not read.problems
    events = sorted(read.events, key=lambda event: event.time)
    who = Callers(events)
    who.resolve(SessionIndex())
    times = [codec.parse_time(event.time) for event in events]
    table = Rows(events, who, Namer(Aliases({})), times[-1]).tables()[store.EVENTS.name]
    with kernel.lake.connection() as connection:
        connection.register("landed", table)
        found = engine.run(connection, rule, "landed", min(times), max(times), lambda _since, _until: "landed")
    return len(found.firings)


def test_every_rule_is_told_of_whole(own: dict[str, Detection]):
    assert len(own) >= 25
    assert set(own) == set(FIRES) == set(SILENT)
    for rule in own.values():
        assert rule.title and not rule.title.endswith(".")
        assert len(rule.description) > 40 and rule.description.endswith(".")
        assert rule.remedy, rule.id
        assert any(tag.startswith("attack.t") for tag in rule.tags), rule.id
        assert not rule.notes, rule.notes
    assert len({rule.hash for rule in own.values()}) == len(own)


@pytest.mark.parametrize("name", sorted(FIRES))
def test_it_fires(name: str, own: dict[str, Detection], sqlite_kernel: Kernel):
    for number, story in enumerate(FIRES[name]):
        told = Told()
        story(told)
        assert fired(own[name], told.records, sqlite_kernel) == 1, (number, told.records[-1])


@pytest.mark.parametrize("name", sorted(SILENT))
def test_it_stays_silent(name: str, own: dict[str, Detection], sqlite_kernel: Kernel):
    for number, story in enumerate(SILENT[name]):
        told = Told()
        story(told)
        assert fired(own[name], told.records, sqlite_kernel) == 0, (number, told.records[-1])
