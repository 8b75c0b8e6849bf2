"""What a principal holds, as inventory observed it; the grade of the evidence; what people are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from uwu.domains.trail.privilege import service
from uwu.domains.trail.privilege.policy import Statement
from uwu.domains.trail.privilege.propose import Use
from uwu.kernel import graph
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.model import Cell, CellStatus, Outcome, Resource
from uwu.kernel.runtime import Kernel
from uwu.sim import roles

AT = datetime(2026, 5, 1, tzinfo=UTC)
ACCOUNT = roles.ACCOUNT


def put(kernel: Kernel, *resources: Resource) -> None:
    with kernel.db.write() as connection:
        for type in {one.type for one in resources}:
            cell = Cell(source="aws", account=ACCOUNT, region="aws-global", type=type)
            outcome = Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=AT)
            graph.observe(connection, outcome, [one for one in resources if one.type == type], [])


def resource(type: str, urn: str, **attributes: Any) -> Resource:
    return Resource(
        urn=urn, type=type, account=ACCOUNT, region="aws-global", name=urn.rsplit("/", 1)[-1], attributes=attributes
    )


def observe(kernel: Kernel, *held: roles.Role) -> None:
    put(kernel, *(resource("aws_iam_role", role.arn, **role.attributes) for role in held))


def use(action: str, day: int, resource: str = "*", calls: int = 1) -> Use:
    at = AT - timedelta(days=day)
    return Use(action=action, resource=resource, context={}, first=at, last=at, calls=calls)


def test_what_a_role_holds_is_read_with_its_groups_and_its_boundary(sqlite_kernel: Kernel):
    arn = f"arn:aws:iam::{ACCOUNT}:policy/reads"
    document = {"Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
    versions = [{"IsDefaultVersion": False, "Document": {}}, {"IsDefaultVersion": True, "Document": document}]
    attached = [
        {"PolicyName": "reads", "PolicyArn": arn},
        {"PolicyName": "AdministratorAccess", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
        {"PolicyName": "Odd", "PolicyArn": "arn:aws:iam::aws:policy/Odd"},
    ]
    put(
        sqlite_kernel,
        resource("aws_iam_policy", arn, PolicyVersionList=versions),
        resource(
            "aws_iam_group",
            f"arn:aws:iam::{ACCOUNT}:group/devs",
            GroupName="devs",
            GroupPolicyList=[{"PolicyName": "g", "PolicyDocument": document}],
        ),
    )
    held = {
        "AttachedManagedPolicies": attached,
        "GroupList": ["devs", "gone"],
        "UserPolicyList": [{"PolicyName": "broken", "PolicyDocument": "{"}],
        "PermissionsBoundary": {"PermissionsBoundaryArn": arn},
    }
    with sqlite_kernel.db.read() as connection:
        holdings, granted, boundary = service.held(connection, f"arn:aws:iam::{ACCOUNT}:user/x", held)
    told = {(one.name, one.kind): one.read for one in holdings}
    assert told == {
        ("reads", "attached"): True,
        ("AdministratorAccess", "aws"): True,
        ("Odd", "aws"): False,
        ("group gone", "attached"): False,
        ("g", "inline"): True,
        ("broken", "inline"): False,
        ("reads", "boundary"): True,
    }
    assert {one.origin for one in granted} == {"reads", "AdministratorAccess", "g"}
    assert boundary is not None and boundary[0].actions == ("s3:Get*",)


def test_the_grade_says_why():
    since = AT - timedelta(days=90)
    steady = [use("s3:GetObject", 80), use("ec2:RunInstances", 70)]
    everything = ["dynamodb", "lambda", "s3"]
    assert service.grade(since, AT, steady, 1.0, everything).grade == "strong"
    assert service.grade(since, AT, steady, 0.95, everything).grade == "fair"
    assert service.grade(since, AT, steady, 0.5, everything).grade == "weak"
    assert service.grade(AT - timedelta(days=7), AT, steady, 1.0, everything).grade == "weak"
    assert service.grade(since, AT, [], 1.0, everything).grade == "weak"
    silent = service.grade(since, AT, steady, 1.0, ["s3"])
    assert silent.grade == "fair" and "lambda, dynamodb" in silent.reasons[0]
    new = service.grade(since, AT, [*steady, use("kms:Decrypt", 2)], 1.0, everything)
    assert new.grade == "weak" and "kms:Decrypt" in new.reasons[0]


def test_a_policy_that_is_not_observed_keeps_what_was_used():
    holdings = [service.Holding(name="Odd", kind="aws", read=False, statements=0)]
    uses = [use("s3:PutBucketPolicy", 3, "arn:aws:s3:::b")]
    evidence = service.grade(AT - timedelta(days=90), AT, uses, 1.0, ["s3"])
    found = service.of("arn:x", AT - timedelta(days=90), AT, evidence, holdings, [], None, uses, 0)
    assert found.replay.recall_pct == 100
    assert found.proposal.document["Statement"][0]["Action"] == "s3:PutBucketPolicy"
    assert any("Odd" in note for note in found.notes)


def test_denials_and_conditions_are_kept_and_what_events_cannot_tell_stays():
    condition = {"StringEquals": {"aws:PrincipalTag/team": "shop"}}
    granted = [
        Statement(allow=True, actions=("ec2:*",), resources=("*",), condition=condition, origin="p"),
        Statement(allow=True, actions=("s3:*", "logs:*"), resources=("*",), origin="p"),
        Statement(allow=False, actions=("ec2:Run*",), resources=("*",), origin="p"),
    ]
    uses = [use("ec2:StopInstances", 40, f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-1")]
    evidence = service.grade(AT - timedelta(days=90), AT, uses, 1.0, [])
    found = service.of("arn:x", AT - timedelta(days=90), AT, evidence, [], granted, None, uses, 0)
    written = found.proposal.document["Statement"]
    stop = next(one for one in written if one["Action"] == "ec2:StopInstances")
    assert stop["Condition"] == condition and stop["Resource"].endswith("instance/i-1")
    assert {"Effect": "Deny", "Action": "ec2:Run*", "Resource": "*"} in written
    assert {"s3:GetObject", "logs:PutLogEvents"} <= set(found.proposal.kept)
    assert found.replay.on_condition == 1 and found.replay.recall_pct == 100
    seen = service.of(
        "arn:x",
        AT - timedelta(days=90),
        AT,
        service.grade(AT - timedelta(days=90), AT, uses, 1.0, ["s3"]),
        [],
        granted,
        None,
        uses,
        0,
    )
    assert "s3:GetObject" not in seen.proposal.kept


def test_who_is_meant(sqlite_kernel: Kernel):
    observe(sqlite_kernel, *roles.ROLES)
    assert service.resolve(sqlite_kernel, "deploy")[0] == f"arn:aws:iam::{ACCOUNT}:role/deploy"
    with pytest.raises(NotFound):
        service.resolve(sqlite_kernel, "nobody")
    with pytest.raises(BadInput):
        service.report(sqlite_kernel, "deploy", since=AT, until=AT)
