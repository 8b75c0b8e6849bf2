"""The human at the end of a chain of roles, or the machine or service; never an invented human."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from uwu.domains.trail import actors
from uwu.domains.trail.actors import SessionIndex, resolve, session_of
from uwu.kernel import codec
from uwu.kernel.model import Actor

A, B = "111122223333", "444455556666"
TEN = codec.parse_time("2026-03-10T10:00:00Z")


def who(record: Mapping[str, Any], *issued: Mapping[str, Any]) -> Actor:
    sessions = [session_of(each) for each in issued]
    assert all(sessions)
    return resolve(
        record["userIdentity"],
        codec.parse_time(record["eventTime"]),
        SessionIndex([s for s in sessions if s]),
        shared_event=str(record.get("sharedEventID") or ""),
    )


def role(
    name: str, session: str, *, account: str = A, key: str = "", at: str = "2026-03-10T10:00:00Z", **more: Any
) -> dict[str, Any]:
    """The userIdentity of a role's session."""
    path = more.pop("path", "")
    return {
        "type": "AssumedRole",
        "principalId": f"AROA{name.upper()}:{session}",
        "arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
        "accountId": account,
        **({"accessKeyId": key} if key else {}),
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": f"AROA{name.upper()}",
                "arn": f"arn:aws:iam::{account}:role/{path}{name}",
                "accountId": account,
                "userName": name,
            },
            "attributes": {"creationDate": at, "mfaAuthenticated": "false"},
            **more.pop("context", {}),
        },
        **more,
    }


def assume(
    made: Any,
    caller: dict[str, Any],
    name: str,
    session: str,
    *,
    account: str = A,
    key: str = "",
    at: str = "2026-03-10T10:00:00Z",
    **more: Any,
) -> dict[str, Any]:
    """The record of an AssumeRole."""
    response = {
        "credentials": {"accessKeyId": key, "sessionToken": "t"},
        "assumedRoleUser": {
            "assumedRoleId": f"AROA{name.upper()}:{session}",
            "arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
        },
        **more.pop("response", {}),
    }
    return made(
        more.pop("event", "AssumeRole"),
        "sts.amazonaws.com",
        eventTime=at,
        readOnly=True,
        userIdentity=caller,
        requestParameters={"roleArn": f"arn:aws:iam::{account}:role/{name}", "roleSessionName": session},
        responseElements=response,
        **more,
    )


USER = {"type": "IAMUser", "userName": "mira.k", "accountId": A, "arn": f"arn:aws:iam::{A}:user/mira.k"}


def test_real_events_name_their_actor(records: list[dict[str, Any]]):
    index = SessionIndex(filter(None, map(session_of, records)))
    found = [resolve(r["userIdentity"], codec.parse_time(r["eventTime"]), index) for r in records]
    kinds = Counter(actor.kind for actor in found)
    named = len(found) - kinds["unknown"]
    print(
        f"actor named for {named} of {len(found)} events: {100 * named / len(found):.1f}% "
        f"(human {100 * kinds['human'] / len(found):.1f}%, machine {kinds['machine']}, service {kinds['service']})"
    )
    assert named / len(found) >= 0.99
    assert kinds == {"human": 2795, "service": 82, "machine": 23}
    assert {actor.name for actor in found if actor.kind == "human"} == {
        "benjamin",
        "bert-jan",
        "stratus-red-team-nmfalu-gfjyeaypjt",
    }
    # every session of a role that a person assumed leads back to that person
    behind = [
        actor
        for record, actor in zip(records, found, strict=True)
        if record["userIdentity"].get("type") == "AssumedRole" and "aws-go-sdk" in record["userIdentity"]["arn"]
    ]
    assert len(behind) == 47
    assert {(actor.name, actor.kind) for actor in behind} == {("bert-jan", "human")}
    assert all(actor.chain[0] == "arn:aws:iam::123837392027:user/bert-jan" for actor in behind)


def test_a_chain_of_three_roles_leads_to_the_human(made: Any):
    first = assume(made, USER, "Hub", "mira", key="ASIAONE")
    second = assume(made, role("Hub", "mira", key="ASIAONE"), "Deploy", "d", account=B, key="ASIATWO")
    third = assume(made, role("Deploy", "d", account=B, key="ASIATWO"), "Admin", "x", account=B, key="ASIATHREE")
    actor = who(made("RunInstances", userIdentity=role("Admin", "x", account=B, key="ASIATHREE")), first, second, third)
    assert (actor.kind, actor.name, actor.confidence) == ("human", "mira.k", "certain")
    assert actor.how == "IAM user, through 3 roles"
    assert actor.principal == f"arn:aws:iam::{B}:role/Admin"
    assert [link.split(":")[5] for link in actor.chain] == [
        "user/mira.k",
        "assumed-role/Hub/mira",
        "assumed-role/Deploy/d",
        "assumed-role/Admin/x",
    ]


def test_a_source_identity_is_believed_first(made: Any):
    issued = assume(made, USER, "Deploy", "s", key="ASIAONE")
    identity = role("Deploy", "s", key="ASIAONE", context={"sourceIdentity": "jonas.b"})
    assert who(made("RunInstances", userIdentity=identity), issued).name == "jonas.b"
    hidden = assume(made, role("Hub", "x"), "Deploy", "s", key="ASIATWO", response={"sourceIdentity": "jonas.b"})
    actor = who(made("RunInstances", userIdentity=role("Deploy", "s", key="ASIATWO")), hidden)
    assert (actor.name, actor.how) == ("jonas.b", "source identity")


def test_single_sign_on_names_its_user(made: Any):
    path = "aws-reserved/sso.amazonaws.com/eu-west-1/"
    identity = role("AWSReservedSSO_Admin_0123456789abcdef", "mira.k", path=path, key="ASIASSO")
    actor = who(made("RunInstances", userIdentity=identity))
    assert (actor.kind, actor.name, actor.how) == ("human", "mira.k", "SSO session name")
    onwards = assume(made, identity, "Deploy", "d", account=B, key="ASIANEXT")
    actor = who(made("RunInstances", userIdentity=role("Deploy", "d", account=B, key="ASIANEXT")), onwards)
    assert (actor.name, actor.how) == ("mira.k", "SSO session name, through 1 role")


def test_federated_users(made: Any):
    saml = {"type": "SAMLUser", "userName": "mira@example.com", "principalId": "x:mira@example.com"}
    issued = assume(made, saml, "Fed", "mira@example.com", key="ASIASAML", event="AssumeRoleWithSAML")
    actor = who(made("RunInstances", userIdentity=role("Fed", "mira@example.com", key="ASIASAML")), issued)
    assert (actor.kind, actor.name, actor.confidence) == ("human", "mira@example.com", "certain")
    web = {"type": "WebIdentityUser", "userName": "repo:acme/shop:ref:refs/heads/main", "principalId": "x"}
    issued = assume(made, web, "Ci", "run-7", key="ASIAWEB", event="AssumeRoleWithWebIdentity")
    actor = who(made("RunInstances", userIdentity=role("Ci", "run-7", key="ASIAWEB")), issued)
    assert (actor.kind, actor.name) == ("machine", "repo:acme/shop:ref:refs/heads/main")


def test_without_a_key_the_second_tells_where_one_caller_alone_fits(made: Any):
    other = {**USER, "userName": "jonas.b", "arn": f"arn:aws:iam::{A}:user/jonas.b"}
    identity = role("Deploy", "s", at="2026-03-10T10:00:00Z")
    record = made("RunInstances", userIdentity=identity)
    mine = assume(made, USER, "Deploy", "s", at="2026-03-10T10:00:01Z")
    earlier = assume(made, other, "Deploy", "s", at="2026-03-10T09:00:00Z")
    assert who(record, mine, earlier).name == "mira.k"
    again = assume(made, USER, "Deploy", "s", at="2026-03-10T10:00:00Z")
    assert who(record, mine, again).name == "mira.k"
    same_second = assume(made, other, "Deploy", "s", at="2026-03-10T10:00:00Z")
    actor = who(record, mine, same_second)
    assert (actor.kind, actor.confidence) == ("unknown", "none")


def test_a_cross_account_call_is_joined_with_its_sibling(made: Any):
    shared = "5f2f8a90-0000-4000-8000-000000000001"
    ours = assume(made, USER, "Deploy", "d", account=B, key="ASIAX", sharedEventID=shared)
    theirs = assume(
        made,
        {"type": "AWSAccount", "principalId": "AIDAX", "accountId": A},
        "Deploy",
        "d",
        account=B,
        key="ASIAX",
        sharedEventID=shared,
        recipientAccountId=B,
    )
    assert who(theirs, ours, theirs).name == "mira.k"
    used = made("RunInstances", userIdentity=role("Deploy", "d", account=B, key="ASIAX"))
    assert who(used, theirs, ours).name == "mira.k"
    assert who(used, ours, theirs).name == "mira.k"
    alone = who(theirs, theirs)
    assert (alone.kind, alone.confidence) == ("unknown", "none")
    assert A in alone.how


def test_machines_and_services_are_named_as_such(made: Any):
    instance = role("Web", "i-0a1b2c3d4e5f60718", context={"ec2RoleDelivery": "2.0"})
    actor = who(made("PutObject", userIdentity=instance))
    assert (actor.kind, actor.name) == ("machine", "i-0a1b2c3d4e5f60718")
    linked = role("AWSServiceRoleForRDS", "SLR", path="aws-service-role/rds.amazonaws.com/")
    actor = who(made("CreateNetworkInterface", userIdentity=linked))
    assert (actor.kind, actor.name) == ("service", "rds.amazonaws.com")
    service = {"type": "AWSService", "invokedBy": "lambda.amazonaws.com"}
    issued = assume(made, service, "Worker", "worker-fn", key="ASIAFN")
    actor = who(made("PutItem", userIdentity=role("Worker", "worker-fn", key="ASIAFN")), issued)
    assert (actor.kind, actor.name) == ("service", "lambda.amazonaws.com")
    actor = who(made("CreateGrant", userIdentity={**USER, "invokedBy": "rds.amazonaws.com"}))
    assert (actor.kind, actor.name, actor.how) == ("human", "mira.k", "IAM user, via rds.amazonaws.com")


def test_a_session_name_is_only_a_guess(made: Any):
    actor = who(made("RunInstances", userIdentity=role("Deploy", "mira@example.com")))
    assert (actor.kind, actor.name, actor.confidence) == ("human", "mira@example.com", "guess")
    actor = who(made("RunInstances", userIdentity=role("Deploy", "mira")))
    assert (actor.kind, actor.confidence, actor.how) == (
        "unknown",
        "none",
        "no event that issued the session is known",
    )
    assert actor.name == f"arn:aws:sts::{A}:assumed-role/Deploy/mira"


def test_other_identities(made: Any):
    assert who(made("x", userIdentity={"type": "Root", "accountId": A})).name == f"root of {A}"
    center = {"type": "IdentityCenterUser", "onBehalfOf": {"userId": "u-1"}, "userName": "mira.k"}
    assert who(made("x", userIdentity=center)).name == "mira.k"
    federated = {"type": "FederatedUser", "sessionContext": {"sessionIssuer": {"type": "IAMUser", "userName": "ops"}}}
    assert who(made("x", userIdentity=federated)).name == "ops"
    assert who(made("x", userIdentity={})).kind == "unknown"


def test_sessions_that_name_each_other_end(made: Any):
    one = assume(made, role("B", "b", key="ASIAB"), "A", "a", key="ASIAA")
    two = assume(made, role("A", "a", key="ASIAA"), "B", "b", key="ASIAB")
    assert who(made("x", userIdentity=role("A", "a", key="ASIAA")), one, two).kind == "unknown"


def test_a_refused_call_opens_no_session(made: Any):
    assert session_of(made("AssumeRole", "sts.amazonaws.com", errorCode="AccessDenied")) is None
    assert session_of(made("AssumeRole", "sts.amazonaws.com", eventTime="yesterday")) is None
    assert timedelta(seconds=1) <= actors.CREATION_SLACK <= timedelta(seconds=2)
