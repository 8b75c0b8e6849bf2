"""Each rule that comes with uwu: a plan on which it fires, and the nearest one on which it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.domains.iac.plans import change, plan
from uwu.domains.iac.plan_json import UNKNOWN, Plan
from uwu.domains.iac.policy import files
from uwu.domains.iac.policy.check import judge
from uwu.domains.iac.policy.shipped import SHIPPED
from uwu.kernel import codec
from uwu.kernel.errors import BadInput
from uwu.kernel.exemptions import Exempting, Exemption

SG, LISTENER = "aws_security_group", "aws_lb_listener"
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def ingress(cidr: str, first: int, last: int, protocol: str = "tcp") -> dict[str, Any]:
    return {"ingress": [{"cidr_blocks": [cidr], "from_port": first, "to_port": last, "protocol": protocol}]}


def document(**statement: Any) -> str:
    return json.dumps({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", **statement}})


def module(**call: str) -> dict[str, Any]:
    return {"configuration": {"root_module": {"module_calls": {"net": call}}}}


def kept(count: int) -> list[dict[str, Any]]:
    return [change("aws_sns_topic", "no-op", f"n{n}", before={"name": "x"}) for n in range(count)]


def gone(count: int) -> list[dict[str, Any]]:
    return [change("aws_sns_topic", "delete", f"d{n}", before={"name": "x"}) for n in range(count)]


def provisioned(*kinds: str) -> dict[str, Any]:
    resource = {"address": "aws_instance.x", "provisioners": [{"type": kind} for kind in kinds]}
    return {"configuration": {"root_module": {"resources": [resource]}}}


CASES: Mapping[str, tuple[Plan, Plan]] = {
    "plan.security-group-open": (
        plan(change(SG, after=ingress("0.0.0.0/0", 22, 22))),
        plan(change(SG, after=ingress("0.0.0.0/0", 443, 443)), change(SG, name="y", after=ingress("10.0.0.0/8", 0, 0))),
    ),
    "plan.listener-plain-http": (
        plan(change(LISTENER, after={"protocol": "HTTP", "port": 80, "default_action": [{"type": "forward"}]})),
        plan(change(LISTENER, after={"protocol": "HTTP", "port": 80, "default_action": [{"type": "redirect"}]})),
    ),
    "plan.bucket-public-acl": (
        plan(change("aws_s3_bucket_acl", after={"acl": "public-read"})),
        plan(change("aws_s3_bucket_acl", after={"acl": "private"})),
    ),
    "plan.bucket-public-access": (
        plan(change("aws_s3_bucket_public_access_block", "delete", before={"block_public_acls": True})),
        plan(change("aws_s3_bucket_public_access_block", after={"block_public_acls": True})),
    ),
    "plan.bucket-force-destroy": (
        plan(change("aws_s3_bucket", after={"force_destroy": True})),
        plan(change("aws_s3_bucket", after={"force_destroy": None})),
    ),
    "plan.database-public": (
        plan(change("aws_db_instance", "update", after={"publicly_accessible": True})),
        plan(change("aws_db_instance", "delete", before={"publicly_accessible": True})),
    ),
    "plan.database-unencrypted": (
        plan(change("aws_rds_cluster", after={"storage_encrypted": False})),
        plan(change("aws_rds_cluster", after={"storage_encrypted": UNKNOWN})),
    ),
    "plan.volume-unencrypted": (
        plan(change("aws_instance", after={"root_block_device": [{"encrypted": False}]})),
        plan(change("aws_ebs_volume", after={"encrypted": True})),
    ),
    "plan.data-destroyed": (
        plan(change("aws_dynamodb_table", "replace", before={"name": "t"})),
        plan(change("aws_dynamodb_table", "update", before={"name": "t"}, after={"name": "t", "ttl": []})),
    ),
    "plan.no-final-snapshot": (
        plan(change("aws_db_instance", "delete", before={"skip_final_snapshot": True})),
        plan(change("aws_db_instance", "delete", before={"skip_final_snapshot": False})),
    ),
    "plan.protection-off": (
        plan(change("aws_lb", "update", before={"enable_deletion_protection": True},
                    after={"enable_deletion_protection": False})),
        plan(change("aws_lb", after={"enable_deletion_protection": False})),
    ),
    "plan.iam-all-powerful": (
        plan(change("aws_iam_policy", after={"policy": json.dumps(ALL)})),
        plan(change("aws_iam_policy", after={"policy": document(Action="*", Resource="arn:aws:s3:::b")})),
    ),
    "plan.iam-trusts-anyone": (
        plan(change("aws_iam_role", after={"assume_role_policy": document(Principal={"AWS": "*"})})),
        plan(change("aws_iam_role", after={"assume_role_policy": document(Principal="*", Condition={"x": {}})})),
    ),
    "plan.iam-access-key": (
        plan(change("aws_iam_access_key", after={"user": "ci"})),
        plan(change("aws_iam_access_key", "delete", before={"user": "ci"})),
    ),
    "plan.kms-key-deleted": (
        plan(change("aws_kms_key", after={"deletion_window_in_days": 7})),
        plan(change("aws_kms_key", after={"deletion_window_in_days": 30})),
    ),
    "plan.kms-no-rotation": (
        plan(change("aws_kms_key", after={"enable_key_rotation": False})),
        plan(change("aws_kms_key", after={"enable_key_rotation": False, "customer_master_key_spec": "RSA_2048"})),
    ),
    "plan.secret-no-recovery": (
        plan(change("aws_secretsmanager_secret", "delete", before={"recovery_window_in_days": 0})),
        plan(change("aws_secretsmanager_secret", after={"recovery_window_in_days": 7})),
    ),
    "plan.name-destroyed": (
        plan(change("aws_route53_record", "delete", before={"fqdn": "pay.example.com"})),
        plan(change("aws_acm_certificate", "replace-first", before={"domain_name": "pay.example.com"})),
    ),
    "plan.metadata-v1": (
        plan(change("aws_instance", after={"metadata_options": [{"http_tokens": "optional"}]})),
        plan(change("aws_instance", after={"metadata_options": [{"http_tokens": "required"}]})),
    ),
    "plan.logs-kept-forever": (
        plan(change("aws_cloudwatch_log_group", after={"retention_in_days": 0})),
        plan(change("aws_cloudwatch_log_group", after={"retention_in_days": 30})),
    ),
    "plan.mass-destruction": (plan(*kept(6), *gone(4)), plan(*kept(7), *gone(3))),
    "plan.module-unpinned": (
        plan(**module(source="git::https://example.com/net.git")),
        plan(**module(source="terraform-aws-modules/vpc/aws", version_constraint="~> 5.0")),
    ),
    "plan.provisioner": (plan(**provisioned("local-exec")), plan(**provisioned())),
}  # fmt: skip


def fired(given: Plan) -> set[str]:
    verdict = judge(given, SHIPPED)
    assert not verdict.problems
    return {violation.rule for violation in verdict.violations}


def test_every_rule_has_a_case_a_reason_and_a_remedy() -> None:
    assert {rule.id for rule in SHIPPED} == set(CASES) and len(SHIPPED) >= 20
    for rule in SHIPPED:
        assert rule.why.endswith(".") and rule.remedy.endswith("."), rule.id
        assert [rule.change is not None, rule.plan is not None, bool(rule.cedar)].count(True) == 1


@pytest.mark.parametrize("rule", sorted(CASES))
def test_a_rule_fires_and_is_silent(rule: str) -> None:
    fires, silent = CASES[rule]
    assert rule in fired(fires)
    assert rule not in fired(silent)


def test_shapes_that_a_rule_does_not_expect_are_told_not_passed_over() -> None:
    verdict = judge(plan(change(SG, after={"ingress": [{"cidr_blocks": 7}]})), SHIPPED)
    assert [problem.code for problem in verdict.problems] == ["plan-policy"]
    assert "plan.security-group-open cannot judge aws_security_group.x" in verdict.problems[0].message


def test_the_worst_comes_first_and_an_exemption_ends() -> None:
    given = plan(
        change("aws_cloudwatch_log_group", after={"retention_in_days": 0}),
        change("aws_s3_bucket_acl", after={"acl": "public-read"}),
    )
    now = codec.now()
    exemption = Exemption(
        id="ex_1",
        rule="plan.bucket-*",
        subject="stack:default/site#aws_s3_bucket_acl.x",
        account="",
        until=now + timedelta(days=1),
        reason="a public site",
        made_by="user:default/ada",
        made_at=now,
        ended_at=None,
        ended_by="",
    )
    before = judge(given, SHIPPED, source="stack:default/site")
    assert [v.rule for v in before.failed] == ["plan.bucket-public-acl"] and before.violations[0] == before.failed[0]
    after = judge(given, SHIPPED, source="stack:default/site", exempting=Exempting([exemption]))
    assert not after.failed and [v.exemption for v in after.exempt] == ["ex_1"] and len(after.warned) == 1


CEDAR = """
@id("team.no-zone-deletes") @title("A zone is deleted") @why("Names are gone.") @remedy("Keep it.")
@severity("critical") @mandatory("true")
forbid (principal, action == Action::"delete", resource) when { resource.type == "aws_route53_zone" };
@id("team.size") @title("An instance is too large") @why("It costs.") @remedy("Take a smaller one.")
forbid (principal, action, resource)
when { resource.type like "aws_inst*" && resource.after.instance_type like "*.metal" };
"""


def test_rules_of_files_in_cedar_and_python(tmp_path: Path) -> None:
    (tmp_path / "team.cedar").write_text(CEDAR)
    (tmp_path / "own.py").write_text(
        "from uwu.domains.iac.policy.model import PlanRule\nfrom uwu.kernel.model import Severity\n"
        "RULES = (PlanRule(id='own.topics', title='A topic', severity=Severity.LOW, why='Because.', remedy='Do not.',\n"
        "  change=lambda change: ['no topics'], types=frozenset({'aws_sns_topic'})),)\n"
    )
    rules = files.rules([tmp_path])
    assert len(rules) == len(SHIPPED) + 3
    given = plan(
        change("aws_route53_zone", "delete", before={"name": "z"}),
        change("aws_sns_topic", after={"name": "t"}),
        change("aws_instance", after={"instance_type": "m7i.metal"}),
    )
    verdict = judge(given, rules)
    assert {"team.no-zone-deletes", "own.topics", "team.size"} <= {v.rule for v in verdict.violations}
    assert "team.no-zone-deletes" in {v.rule for v in verdict.failed}
    lacking = judge(plan(change("aws_instance", after={"ami": "x"})), rules)
    assert any("team.size cannot judge" in p.message for p in lacking.problems)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.cedar", "forbid (principal", "no Cedar"),
        ("a.cedar", "forbid (principal, action, resource);", "lacks @id"),
        ("a.cedar", CEDAR.replace("forbid", "permit"), "permits"),
        ("a.cedar", CEDAR.replace("critical", "grave"), "no severity"),
        ("a.py", "1 / 0", "ZeroDivisionError"),
        ("a.py", "RULES = ('x',)", "names no rules"),
    ],
)
def test_rules_that_cannot_be_read_are_named_with_their_file(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=told) as caught:
        files.rules([tmp_path])
    assert name in caught.value.problem.place and caught.value.problem.code == "plan-policy"
