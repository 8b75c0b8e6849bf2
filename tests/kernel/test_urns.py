from __future__ import annotations

import pytest

from uwu.kernel import urns


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("arn:aws:lambda:eu-west-1:1:function:f:PROD", "arn:aws:lambda:eu-west-1:1:function:f"),
        ("arn:aws:logs:eu-west-1:1:log-group:/a:*", "arn:aws:logs:eu-west-1:1:log-group:/a"),
        ("arn:aws:s3:::bucket/key/of/object", "arn:aws:s3:::bucket"),
        (" arn:aws:sqs:eu-west-1:1:q ", "arn:aws:sqs:eu-west-1:1:q"),
        ("not an arn", "not an arn"),
    ],
)
def test_one_name_for_one_resource(given: str, canonical: str) -> None:
    assert urns.canonical(given) == canonical
    assert urns.canonical(canonical) == canonical


def test_builders_give_what_aws_gives() -> None:
    assert urns.ec2("image", "ami-1", account="1", region="eu-west-1") == "arn:aws:ec2:eu-west-1::image/ami-1"
    assert urns.ec2("vpc", "vpc-1", account="1", region="cn-north-1") == "arn:aws-cn:ec2:cn-north-1:1:vpc/vpc-1"
    assert urns.iam("role", "/team/ci", account="1") == "arn:aws:iam::1:role/team/ci"


def test_record_sets_of_any_spelling_are_one() -> None:
    one = urns.record_set("/hostedzone/Z1", r"\052.Example.com.", "A", account="1")
    assert one == urns.record_set("Z1", "*.example.com", "A", account="1")
    assert urns.account_of(one) == "1"
    assert urns.short(one) == "Z1/*.example.com/A"
