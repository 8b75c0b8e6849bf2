"""A port opened by hand, from the finding to the proof: planned, approved by another, applied, closed, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from tests.acceptance.world import Small, environment, opened, uwu
from uwu.kernel import audit, graph, urns
from uwu.kernel.identity import Principal
from uwu.kernel.plans import approve
from uwu.kernel.runtime import Kernel
from uwu.sim import MotoServer


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """An organisation of its own: this test changes it."""
    with MotoServer() as server:
        yield Small.built(server.url, tmp_path_factory.mktemp("mend"))


def rules(own: Small, urn: str) -> list[Any]:
    """The ingress of the group in moto itself, past everything of ours."""
    session, arn = botocore.session.Session(), urns.parse(urn)
    assert arn is not None
    keys: dict[str, Any] = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    where: dict[str, Any] = {"region_name": arn.region, "endpoint_url": own.organisation.endpoint_url}
    role = f"arn:aws:iam::{arn.account}:role/OrganizationAccountAccessRole"
    sts = session.create_client("sts", **where, **keys)
    given = sts.assume_role(RoleArn=role, RoleSessionName="look")["Credentials"]
    ec2 = session.create_client(
        "ec2",
        **where,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    (group,) = ec2.describe_security_groups(GroupIds=[urns.short(urn)])["SecurityGroups"]
    return sorted(
        (p.get("FromPort"), range_["CidrIp"]) for p in group["IpPermissions"] for range_ in p.get("IpRanges", ())
    )


def test_from_the_finding_to_the_proof_and_back(own: Small, tmp_path: Path) -> None:
    home = own.home(tmp_path / "home")
    env = environment(home, own.organisation)
    assert uwu(env, "sync", "--json").status == 0
    drift = next(d for d in own.organisation.ledger if any(e.path == "ingress" for e in d.expected))
    before = rules(own, drift.subject)
    found = uwu(env, "findings", "--json", "--limit", "500").json
    (finding,) = [f for f in found["items"] if f["subject"] == drift.subject and f["path"] == "ingress"]
    opened_by_hand = finding["observed"][0]
    story = uwu(env, "explain", drift.subject, "--json").json
    assert f"uwu plan mend {finding['id']}" in [s["text"] for s in story["sentences"] if s["about"] == "fix"]

    asked = uwu(env, "plan", "mend", finding["id"], "--json").json
    plan = asked["plan"]
    number, hash = str(plan["number"]), plan["hash"]
    assert [c["action"] for c in plan["changes"]] == ["delete"] and plan["status"] == "waiting"
    assert plan["changes"][0]["before"]["cidr"] == opened_by_hand["cidr"]
    assert plan["owners"] == [f"group:default/{drift.owner}"] and plan["reach_total"] > 0
    shown = uwu(env, "plan", "show", number)
    assert shown.status == 0 and hash in shown.out and f"approve  {drift.owner}" in shown.out
    own_hand = uwu(env, "plan", "approve", number, hash[:8], "--json")
    assert own_hand.status == 5 and "self-approval" in own_hand.err, "whoever asked does not approve"
    early = uwu(env, "plan", "apply", number, "--json")
    assert early.status == 4 and "plan-not-approved" in early.err

    kernel = opened(home)
    owner = Principal(
        ref="user:default/owner", name="Owner", kind="human", groups=(f"group:default/{drift.owner}",), via="session"
    )
    assert approve.decide(kernel, owner, number, "approve", hash=hash) == "approved"
    applied = uwu(env, "plan", "apply", number, "--hash", hash[:8], "--json")
    assert applied.status == 0, applied.err
    proof = applied.json["proof"]
    assert [closed["id"] for closed in proof["closed"]] == [finding["id"]] and proof["problems"] == []
    after = rules(own, drift.subject)
    gone = (opened_by_hand["from_port"], opened_by_hand["cidr"])
    assert gone in before and after == [rule for rule in before if rule != gone]
    assert uwu(env, "findings", "--json", "--limit", "500").json["total"] == found["total"] - 1
    assert versions(kernel, drift.subject) == 2, "the graph has seen it"

    undo = uwu(env, "plan", "undo", number, "--json").json["plan"]
    assert undo["undoes"] == plan["id"] and [c["action"] for c in undo["changes"]] == ["create"]
    approve.decide(kernel, owner, undo["id"], "approve", hash=undo["hash"])
    again = uwu(env, "plan", "apply", str(undo["number"]))
    assert again.status == 0 and "1 done" in again.out, again.err
    assert rules(own, drift.subject) == before
    reopened = uwu(env, "findings", "--json", "--limit", "500").json
    assert finding["id"] in {f["id"] for f in reopened["items"]}
    with kernel.db.read() as connection:
        actions = [entry.action for entry in reversed(audit.entries(connection)) if entry.action.startswith("plan.")]
        assert audit.verify(connection).first_bad is None
    turn = ["plan.request", "plan.approve", "plan.granted", "plan.apply", "plan.applied"]
    assert actions == turn * 2
    kernel.close()


def versions(kernel: Kernel, urn: str) -> int:
    with kernel.db.read() as connection:
        return len(graph.history(connection, urn))


def test_without_a_role_to_apply_with_nothing_is_applied(own: Small, tmp_path: Path) -> None:
    home = own.home(tmp_path / "home")
    env = environment(home, own.organisation, UWU_AWS_APPLY_ROLE_NAME="")
    assert uwu(env, "sync", "--json").status == 0
    found = uwu(env, "findings", "--json", "--limit", "500").json["items"]
    unowned = next(f for f in found if f["rule"] == "drift.unowned" and ":user/" in f["subject"])
    missing = uwu(env, "plan", "mend", unowned["id"])
    assert missing.status == 2 and "--owner" in missing.err
    plan = uwu(env, "plan", "mend", unowned["id"], "--owner", "payments", "--json").json["plan"]
    assert plan["changes"][0]["after"] == {"uwu:owner": "payments"}
    kernel = opened(home)
    admin = Principal(ref="user:default/ada", name="Ada", kind="human", roles=("admin",), via="session")
    approve.decide(kernel, admin, plan["id"], "approve", hash=plan["hash"])
    off = uwu(env, "plan", "apply", str(plan["number"]), "--json")
    assert off.status == 7 and "apply-off" in off.err and "aws.apply_role_name" in off.err
    on = {**env, "UWU_AWS_APPLY_ROLE_NAME": "uwu-applier"}
    applied = uwu(on, "plan", "apply", str(plan["number"]), "--json")
    assert applied.status == 0, applied.err
    assert [closed["id"] for closed in applied.json["proof"]["closed"]] == [unowned["id"]]
    kernel.close()
