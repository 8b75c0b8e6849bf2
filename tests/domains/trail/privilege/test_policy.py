"""The policy language, statement by statement, and against a plain reading of it on policies made at random."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwu.domains.trail.privilege.policy import Answer, covers, decide, resource_matches, statements
from uwu.kernel.errors import BadInput

BUCKET = "arn:aws:s3:::ledger"


def policy(*held: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(held)}


def allow(action: Any = "s3:GetObject", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "s3:GetObject", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


IN = {"aws:requestedregion": "eu-west-1", "aws:username": "mira", "aws:sourceip": "198.51.100.7"}


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ([], Answer.NOTHING),
        ([allow()], Answer.ALLOW),
        ([allow("S3:getobject")], Answer.ALLOW),
        ([allow("s3:Get*")], Answer.ALLOW),
        ([allow("s3:Ge?Object")], Answer.ALLOW),
        ([allow("s3:Put*")], Answer.NOTHING),
        ([allow(), deny()], Answer.DENY),
        ([allow(resource="arn:aws:s3:::ledger/*")], Answer.ALLOW),
        ([allow(resource="arn:aws:s3:::LEDGER/*")], Answer.NOTHING),
        ([allow(resource="arn:aws:s3:::ledger")], Answer.NOTHING),
        ([allow(resource="arn:aws:s3:::ledger/${aws:username}/*")], Answer.ALLOW),
        ([allow(resource="arn:aws:s3:::ledger/${aws:userid}/*")], Answer.NOTHING),
        ([allow(resource="arn:aws:s3:::ledger/${aws:userid, 'mira'}/*")], Answer.ALLOW),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], Answer.ALLOW),
        ([{"Effect": "Allow", "NotAction": ["iam:*", "s3:*"], "Resource": "*"}], Answer.NOTHING),
        ([{"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::ledger/*"}], Answer.NOTHING),
        ([allow(), {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::other/*"}], Answer.DENY),
        ([allow(Condition={"StringEquals": {"aws:RequestedRegion": "eu-west-1"}})], Answer.ALLOW),
        ([allow(Condition={"StringEquals": {"aws:RequestedRegion": ["us-east-1"]}})], Answer.NOTHING),
        ([allow(Condition={"StringNotEquals": {"aws:RequestedRegion": ["us-east-1", "us-east-2"]}})], Answer.ALLOW),
        ([allow(Condition={"StringNotEquals": {"aws:RequestedRegion": ["us-east-1", "eu-west-1"]}})], Answer.NOTHING),
        ([allow(Condition={"StringLike": {"aws:RequestedRegion": "eu-*"}})], Answer.ALLOW),
        ([allow(Condition={"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}})], Answer.ALLOW),
        ([allow(Condition={"NotIpAddress": {"aws:SourceIp": "198.51.100.0/24"}})], Answer.NOTHING),
        ([allow(Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}})], Answer.UNKNOWN),
        ([allow(), deny(Condition={"Bool": {"aws:MultiFactorAuthPresent": "false"}})], Answer.UNKNOWN),
        ([allow(), allow(Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}})], Answer.ALLOW),
        ([allow(Condition={"Strange": {"aws:RequestedRegion": "x"}})], Answer.UNKNOWN),
    ],
)
def test_what_a_policy_says(held: list[dict[str, Any]], wanted: Answer):
    read = statements(policy(*held))
    assert decide(read, "s3:GetObject", f"{BUCKET}/mira/a.csv", IN) is wanted


def test_a_boundary_only_takes_away():
    all_of_it = statements(policy(allow("*")))
    reads = statements(policy(allow("s3:Get*")))
    denies = statements(policy(allow("*"), deny("s3:GetObject")))
    assert decide(all_of_it, "s3:GetObject", BUCKET, {}, reads) is Answer.ALLOW
    assert decide(all_of_it, "s3:PutObject", BUCKET, {}, reads) is Answer.NOTHING
    assert decide(reads, "s3:PutObject", BUCKET, {}, all_of_it) is Answer.NOTHING
    assert decide(all_of_it, "s3:GetObject", BUCKET, {}, denies) is Answer.DENY


def test_a_wildcard_in_a_value_is_none():
    read = statements(policy(allow(resource="arn:aws:s3:::ledger/${aws:username}")))
    assert decide(read, "s3:GetObject", f"{BUCKET}/noel", {"aws:username": "*"}) is Answer.NOTHING
    assert decide(read, "s3:GetObject", f"{BUCKET}/*", {"aws:username": "*"}) is Answer.ALLOW
    star = statements(policy(allow(resource="arn:aws:s3:::ledger/${*}")))
    assert decide(star, "s3:GetObject", f"{BUCKET}/x", {}) is Answer.NOTHING


def test_what_is_no_policy_is_refused():
    for wrong in ("{", "[]", {}, {"Statement": [{}]}, {"Statement": [{"Effect": "Allow", "Action": "x"}]}):
        with pytest.raises(BadInput):
            statements(wrong)
    with pytest.raises(BadInput):
        statements(policy({"Effect": "Allow", "Action": 1, "Resource": "*"}))
    assert len(statements({"Statement": allow()})) == 1


# ---- against a plain reading

NAMES = st.sampled_from(["s3:GetObject", "s3:PutObject", "ec2:RunInstances", "ec2:DescribeVpcs"])
PATTERNS = st.sampled_from(["*", "s3:*", "S3:Get*", "ec2:?unInstances", "s3:GetObject", "*:Describe*", "iam:*"])
ARNS = st.sampled_from([f"{BUCKET}/a", f"{BUCKET}/b/c", "arn:aws:ec2:eu-west-1:1:instance/i-1", "*"])
ARN_PATTERNS = st.sampled_from(["*", f"{BUCKET}/*", f"{BUCKET}/?", "arn:aws:ec2:*:1:instance/*", "arn:aws:s3:::*"])


@st.composite
def made(draw: st.DrawFn) -> dict[str, Any]:
    some = lambda of: draw(st.lists(of, min_size=1, max_size=3))  # noqa: E731
    statement: dict[str, Any] = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"]))}
    statement[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = some(PATTERNS)
    statement[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = some(ARN_PATTERNS)
    return statement


def plain(pattern: str, text: str, *, fold: bool) -> bool:
    said = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(said, text, re.IGNORECASE if fold else 0) is not None


def plainly(held: list[dict[str, Any]], action: str, resource: str) -> Answer:
    answer = Answer.NOTHING
    for one in held:
        acts = any(plain(p, action, fold=True) for p in one.get("Action", one.get("NotAction", ())))
        on = any(plain(p, resource, fold=False) for p in one.get("Resource", one.get("NotResource", ())))
        if acts == ("Action" in one) and on == ("Resource" in one):
            if one["Effect"] == "Deny":
                return Answer.DENY
            answer = Answer.ALLOW
    return answer


@given(st.lists(made(), max_size=6), NAMES, ARNS)
def test_random_policies_say_the_same(held: list[dict[str, Any]], action: str, resource: str):
    assert decide(statements(policy(*held)), action, resource) is plainly(held, action, resource)


@given(ARN_PATTERNS, ARN_PATTERNS, ARNS)
def test_what_covers_a_pattern_covers_all_of_it(wider: str, narrower: str, arn: str):
    if covers(wider, narrower) and resource_matches(narrower, arn):
        assert resource_matches(wider, arn)
