"""Noise rules hold for what nobody changed, and for nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.domains.iac import plans
from uwu.domains.iac.drift import found, noise
from uwu.kernel.sensitive import MARK

ONE = '{"Statement":[{"Action":"s3:Get","Effect":"Allow","Resource":["b","a"]}],"Version":"2012-10-17"}'
SAME = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get"],"Resource":["a","b"]}]}'
OTHER = SAME.replace("s3:Get", "s3:*")


@pytest.mark.parametrize(
    ("type", "before", "after", "rule"),
    [
        ("aws_instance", {"public_ip": "1.1.1.1"}, {"public_ip": "2.2.2.2"}, "computed"),
        ("aws_instance", {"last_modified": "a"}, {"last_modified": "b"}, "computed"),
        ("aws_instance", {"user_data": None}, {"user_data": ""}, "default"),
        ("aws_instance", {"ebs": []}, {"ebs": None}, "default"),
        ("aws_instance", {"monitoring": None}, {"monitoring": False}, ""),
        ("aws_iam_policy", {"policy": ONE}, {"policy": SAME}, "json"),
        ("aws_iam_policy", {"policy": ONE}, {"policy": OTHER}, ""),
        ("aws_lb", {"subnets": ["a", "b"]}, {"subnets": ["b", "a"]}, "order"),
        ("aws_lb", {"subnets": ["a", "a"]}, {"subnets": ["a", "b"]}, ""),
        ("aws_lb", {"listeners": ["a", "b"]}, {"listeners": ["b", "a"]}, ""),
        ("aws_lb", {"tags": {"aws:x": "1"}}, {"tags": {"aws:x": "2"}}, "aws-tag"),
        ("aws_lb", {"tags": {"env": "1"}}, {"tags": {"env": "2"}}, ""),
        ("aws_lb", {"tags_all": {"env": "1"}}, {"tags_all": {"env": "2"}}, ""),
    ],
)
def test_what_is_noise(type: str, before: dict[str, Any], after: dict[str, Any], rule: str) -> None:
    plan = plans.plan(resource_drift=[plans.change(type, "update", before=before, after=after)])
    assert [each.noise for each in found.of(plan, {})] == [rule]


def test_every_rule_has_a_case_and_says_why() -> None:
    assert {"computed", "default", "json", "order", "repeats", "aws-tag"} == {rule.id for rule in noise.RULES}
    assert all(rule.why for rule in noise.RULES)


def test_tags_all_repeats_what_tags_says() -> None:
    before = {"tags": {"env": "a"}, "tags_all": {"env": "a", "team": "x"}}
    after = {"tags": {"env": "b"}, "tags_all": {"env": "b", "team": "y"}}
    plan = plans.plan(resource_drift=[plans.change("aws_vpc", "update", before=before, after=after)])
    told = {each.path: each.noise for each in found.of(plan, {})}
    assert told == {"tags.env": "", "tags_all.env": "repeats", "tags_all.team": ""}


def test_a_stack_lets_attributes_be() -> None:
    before, after = {"size": 1, "tags": {"env": "a"}}, {"size": 2, "tags": {"env": "b"}}
    plan = plans.plan(resource_drift=[plans.change("aws_vpc", "update", before=before, after=after)])
    for pattern, quiet in (
        ("aws_vpc.tags", {"tags.env"}),
        ("aws_vpc.x.tags.env", {"tags.env"}),
        ("*.size", {"size"}),
        ("aws_vpc.tag", set()),
        ("aws_subnet.size", set()),
    ):
        told = found.of(plan, {}, [pattern])
        assert {each.path for each in told if each.noise == "ignored"} == quiet, pattern


def test_a_secret_that_changed_is_told_and_not_shown() -> None:
    before, after = {"token": "old-secret-1", "size": 1}, {"token": "new-secret-2", "size": 1}
    masks: dict[str, Any] = {"before_sensitive": {"token": True}, "after_sensitive": {"token": True}}
    plan = plans.plan(
        resource_drift=[plans.change("world_thing", "update", before=before, after=after, **masks)],
        output_changes={
            "token": {
                "actions": ["update"],
                "before": "old-secret-1",
                "after": "new-secret-2",
                "before_sensitive": True,
                "after_sensitive": True,
            }
        },
    )
    thing, output = found.of(plan, {"world_thing.x": "urn"})
    assert (thing.path, thing.before, thing.after, thing.sensitive, thing.subject) == ("token", MARK, MARK, True, "urn")
    assert (output.kind, output.address, output.before, output.after) == ("output", "token", MARK, MARK)


def test_what_is_gone_is_one_fact() -> None:
    plan = plans.plan(resource_drift=[plans.change("aws_vpc", "delete", before={"id": "vpc-1"})])
    assert [(each.kind, each.address, each.path) for each in found.of(plan, {})] == [("gone", "aws_vpc.x", "")]
