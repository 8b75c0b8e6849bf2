"""Sixty days of roles at work: a policy reduced on some days lets pass all that was allowed on the others."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.domains.trail.test_ingest import take, write
from uwu.domains.trail.privilege import actions, propose, service
from uwu.domains.trail.privilege.policy import Answer, decide, statements
from uwu.domains.trail.privilege.propose import Use
from uwu.kernel.runtime import Kernel
from uwu.sim import roles

START = datetime.fromisoformat("2026-03-01T00:00:00+00:00")
DAYS = 60


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return roles.worked(START, DAYS)


@pytest.fixture
def events(sqlite_kernel: Kernel, records: list[dict[str, Any]], tmp_path: Path) -> Kernel:
    take(sqlite_kernel, write(tmp_path / "o" / "all.json.gz", *records))
    return sqlite_kernel


def uses_of(kernel: Kernel, role: roles.Role, kept: Any) -> list[Use]:
    """The role's uses on the days that ``kept`` picks."""
    found: dict[tuple[str, ...], Use] = {}
    days = [day for day in range(DAYS) if kept(day)]
    while days:
        first = last = days.pop(0)
        while days and days[0] == last + 1:
            last = days.pop(0)
        begin = START + timedelta(days=first)
        for use in service.used(kernel, role.arn, begin, START + timedelta(days=last + 1))[0]:
            key = (use.action, use.resource, *use.context.values())
            old = found.setdefault(key, use)
            if old is not use:
                old.last, old.calls = use.last, old.calls + use.calls
    return list(found.values())


SPLITS = {"the last fifteen days": lambda day: day < 45, "every fifth day": lambda day: day % 5 != 4}


@pytest.mark.parametrize("split", SPLITS)
def test_recall_on_held_out_days(split: str, events: Kernel):
    for role in roles.ROLES:
        granted = [one for name, document in role.policies.items() for one in statements(document, name)]
        train = uses_of(events, role, SPLITS[split])
        held = uses_of(events, role, lambda day: not SPLITS[split](day))
        assert sum(use.calls for use in held) > 20
        made = propose.propose(
            granted, train, since=START, until=START + timedelta(days=45), seen_data=frozenset({"s3", "dynamodb"})
        )
        reduced = statements(made.document)
        proven = propose.replay(reduced, held)
        assert proven.recall_pct == 100, (role.name, proven.misses[:5], made.document)
        # it is within what was granted, and it is less
        for use in [*train, *held]:
            if decide(reduced, use.action, use.resource, use.context) is Answer.ALLOW:
                assert decide(granted, use.action, use.resource, use.context) is not Answer.NOTHING
        never = [("iam:CreateUser", "*"), ("ec2:AuthorizeSecurityGroupIngress", "*"), ("kms:ScheduleKeyDeletion", "*")]
        for action, resource in never:
            assert decide(reduced, action, resource, {}) is not Answer.ALLOW, (role.name, action)


def test_the_report_of_a_role(events: Kernel):
    from tests.domains.trail.privilege.test_service import observe
    from uwu.kernel import sight

    observe(events, *roles.ROLES)
    with sight.everything():
        found = service.report(events, "deploy", since=START, until=START + timedelta(days=DAYS))
    assert found.principal.endswith(":role/deploy")
    assert found.replay.recall_pct == 100 and not found.replay.misses
    assert found.evidence.grade == "fair" and found.evidence.complete_pct == 100
    assert {"s3", "dynamodb"} <= set(found.evidence.data_events)
    assert "elasticloadbalancing:*" in found.unused
    assert "iam:PassRole" in found.used
    used = {row.action: row.used for row in found.granted}
    assert "ec2:RunInstances" in used["ec2:*"]
    assert found.proposal.characters < 2_500


def test_events_ask_for_the_right_actions():
    for source, name, wanted in (
        ("s3", "ListBuckets", "s3:ListAllMyBuckets"),
        ("s3", "HeadObject", "s3:GetObject"),
        ("s3", "PutBucketLifecycle", "s3:PutLifecycleConfiguration"),
        ("lambda", "UpdateFunctionCode20150331v2", "lambda:UpdateFunctionCode"),
        ("lambda", "Invoke", "lambda:InvokeFunction"),
        ("cloudfront", "CreateDistribution2020_05_31", "cloudfront:CreateDistribution"),
        ("monitoring", "PutMetricAlarm", "cloudwatch:PutMetricAlarm"),
        ("email", "SendEmail", "ses:SendEmail"),
        ("apigateway", "CreateRestApi", "apigateway:POST"),
        ("sts", "GetCallerIdentity", ""),
        ("signin", "ConsoleLogin", ""),
        ("sqs", "SendMessageBatch", "sqs:SendMessage"),
    ):
        assert actions.action_of(f"{source}.amazonaws.com", name) == wanted
