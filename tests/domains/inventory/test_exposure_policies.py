"""Resource policies, read for whether they let everyone in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from uwu.domains.inventory.exposure_policies import everyone

ANY: dict[str, Any] = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}


def allow(**members: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{**ANY, **members}]}


def on(operator: str, key: str, *values: str) -> dict[str, Any]:
    return {operator: {key: list(values)}}


def denied(**members: Any) -> dict[str, Any]:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*", **members}
    return {"Statement": [ANY, deny]}


@pytest.mark.parametrize(
    ("policy", "answer"),
    [
        (None, "no"),
        ("", "no"),
        ({"Statement": []}, "no"),
        (allow(), "yes"),
        (json.dumps(allow()), "yes"),
        (json.dumps(allow()).replace('"', '\\"'), "yes"),
        ("{not json", "unknown"),
        (allow(Principal={"AWS": "*"}), "yes"),
        (allow(Principal={"AWS": ["arn:aws:iam::111122223333:root", "*"]}), "yes"),
        (allow(Principal={"AWS": "arn:aws:iam::111122223333:root"}), "no"),
        (allow(Principal={"Service": "sns.amazonaws.com"}), "no"),
        ({"Statement": [{"Effect": "Allow", "NotPrincipal": {"AWS": "1"}, "Action": "*", "Resource": "*"}]}, "yes"),
        (allow(Condition=on("StringEquals", "aws:PrincipalOrgID", "o-abc123def4")), "no"),
        (allow(Condition=on("StringEqualsIfExists", "aws:PrincipalOrgID", "o-abc123def4")), "yes"),
        (allow(Condition=on("StringNotEquals", "aws:PrincipalOrgID", "o-abc123def4")), "yes"),
        (allow(Condition=on("ForAllValues:StringEquals", "aws:PrincipalOrgID", "o-abc123def4")), "yes"),
        (allow(Condition=on("StringEquals", "aws:SourceVpce", "vpce-0a1b2c3d4")), "no"),
        (allow(Condition=on("StringLike", "aws:SourceVpce", "*")), "yes"),
        (allow(Condition=on("ArnLike", "aws:SourceArn", "arn:aws:s3:*:*:photos")), "unknown"),
        (allow(Condition=on("ArnLike", "aws:SourceArn", "arn:aws:sns:*:111122223333:*")), "no"),
        (allow(Condition=on("StringEquals", "aws:PrincipalAccount", "${aws:SourceAccount}")), "unknown"),
        (allow(Condition=on("IpAddress", "aws:SourceIp", "198.51.100.0/24")), "no"),
        (allow(Condition=on("IpAddress", "aws:SourceIp", "0.0.0.0/0")), "yes"),
        (allow(Condition=on("IpAddress", "aws:SourceIp", "0.0.0.0/1", "128.0.0.0/1")), "yes"),
        (allow(Condition=on("NotIpAddress", "aws:SourceIp", "198.51.100.0/24")), "yes"),
        (allow(Condition=on("Bool", "aws:SecureTransport", "true")), "yes"),
        (allow(Condition=on("StringEquals", "what:Ever", "x")), "unknown"),
        (allow(Condition=on("Null", "aws:SourceVpce", "false")), "unknown"),
        (denied(), "no"),
        (denied(Condition=on("Bool", "aws:SecureTransport", "false")), "yes"),
        (denied(Condition=on("StringNotEquals", "aws:SourceVpce", "vpce-0a1b2c3d4")), "no"),
        (denied(Condition=on("StringNotEqualsIfExists", "aws:PrincipalOrgID", "o-abc123def4")), "no"),
        (denied(Condition=on("NumericLessThan", "x:y", "1")), "unknown"),
        (denied(Action="sqs:DeleteQueue"), "yes"),
        (denied(Action="sqs:Send*"), "no"),
        (denied(Principal={"AWS": "arn:aws:iam::111122223333:root"}), "yes"),
    ],
)
def test_whether_everyone_is_let_in(policy: Any, answer: str) -> None:
    verdict = everyone(policy)
    assert verdict.answer == answer, verdict
    assert bool(verdict.statements) == (answer == "yes")


def test_what_restricts_is_named() -> None:
    verdict = everyone(allow(Sid="Org", Condition=on("StringEquals", "aws:PrincipalOrgID", "o-abc123def4")))
    assert verdict.conditions == ["Org: aws:PrincipalOrgID = o-abc123def4"]


def test_only_the_actions_that_are_asked_for_count() -> None:
    assert everyone(allow(Action="lambda:GetFunction"), ("lambda:InvokeFunction",)).answer == "no"
    assert everyone(allow(Action="lambda:*"), ("lambda:InvokeFunction",)).answer == "yes"
    assert everyone(allow(Action="LAMBDA:invokefunction"), ("lambda:InvokeFunction",)).answer == "yes"
