"""Rules that read policies and addresses: what they say lies deeper than a condition reaches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

from uwu.domains.trail.detect.model import Event
from uwu.domains.trail.detect.python import Rule, request
from uwu.kernel import codec
from uwu.kernel.model import Severity

GUARDED_PORTS = (22, 3389, 1433, 1521, 3306, 5432, 6379, 9200, 27017)
"""Of administration and of databases: nothing of the internet has business there."""
GUESSES = 5
"""Failed sign-ins before one that succeeds: people who mistype give up or reset earlier."""

_ANYONE = frozenset({"http://acs.amazonaws.com/groups/global/AllUsers"})
_ANYONE_SIGNED = frozenset({"http://acs.amazonaws.com/groups/global/AuthenticatedUsers"})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _statements(document: Any) -> Iterator[Mapping[str, Any]]:
    """The allowing statements of a policy document, given as JSON text or parsed."""
    if isinstance(document, str):
        try:
            document = codec.decode(document)
        except ValueError:
            return
    if not isinstance(document, Mapping):
        return
    for statement in _list(document.get("Statement")):
        if isinstance(statement, Mapping) and statement.get("Effect") == "Allow":
            yield statement


def _everyone(statement: Mapping[str, Any]) -> bool:
    """Whether it lets in everybody, without a condition."""
    principal = statement.get("Principal")
    named = principal.get("AWS") if isinstance(principal, Mapping) else principal
    return "*" in _list(named) and not statement.get("Condition")


def _allows_all(event: Event) -> bool:
    return any(
        "*" in _list(statement.get("Action")) and "*" in _list(statement.get("Resource"))
        for statement in _statements(request(event).get("policyDocument"))
    )


def _trusts_all(event: Event) -> bool:
    asked = request(event)
    document = asked.get("assumeRolePolicyDocument") or asked.get("policyDocument")
    return any(_everyone(statement) for statement in _statements(document))


def _opens_bucket(event: Event) -> bool:
    asked = request(event)
    name = event["event_name"]
    if name == "PutBucketPolicy":
        return any(_everyone(statement) for statement in _statements(asked.get("bucketPolicy")))
    if name == "PutBucketAcl":
        if any(str(acl).startswith("public-") for acl in _list(asked.get("x-amz-acl"))):
            return True
        text = codec.encode(asked).decode()
        return any(group in text for group in _ANYONE | _ANYONE_SIGNED)
    block = asked.get("PublicAccessBlockConfiguration")
    if name == "PutBucketPublicAccessBlock" and isinstance(block, Mapping):
        return any(str(value).lower() == "false" for key, value in block.items() if key != "xmlns")
    return name == "DeleteBucketPublicAccessBlock"


def _items(value: Any) -> list[Mapping[str, Any]]:
    held = value.get("items") if isinstance(value, Mapping) else value
    return [one for one in _list(held) if isinstance(one, Mapping)]


def _everywhere(cidr: Any) -> bool:
    try:
        return ip_network(str(cidr), strict=False).prefixlen == 0
    except ValueError:
        return False


def _opens_port(event: Event) -> bool:
    asked = request(event)
    permissions = _items(asked.get("ipPermissions")) or ([asked] if asked.get("cidrIp") else [])
    for one in permissions:
        ranges = [each.get("cidrIp") for each in _items(one.get("ipRanges"))] + _list(one.get("cidrIp"))
        ranges += [each.get("cidrIpv6") for each in _items(one.get("ipv6Ranges"))]
        if not any(_everywhere(each) for each in ranges):
            continue
        first, last = one.get("fromPort"), one.get("toPort")
        if str(one.get("ipProtocol")) == "-1" or first is None or last is None:
            return True
        if str(one.get("ipProtocol")).lower() not in {"tcp", "6", "udp", "17"}:
            continue
        if any(int(first) <= port <= int(last) for port in GUARDED_PORTS):
            return True
    return False


def _succeeded(event: Event) -> bool:
    return bool(event["response_elements"]) and '"Success"' in event["response_elements"]


def _guessed(events: Sequence[Event]) -> Iterable[Sequence[Event]]:
    """Each sign-in that succeeded after so many that did not, with those."""
    failed: list[Event] = []
    for event in events:
        if not _succeeded(event):
            failed.append(event)
            continue
        if len(failed) >= GUESSES:
            yield [*failed, event]
        failed = []


RULES = [
    Rule(
        name="admin-written",
        title="A policy that allows everything was written",
        description="""An inline policy or a new version of one allows every action on every resource: its principal may
        do everything, and no list of attached policies shows it.""",
        severity=Severity.HIGH,
        where="event_source = 'iam.amazonaws.com' and error_code = '' and event_name in ('PutUserPolicy', "
        "'PutRolePolicy', 'PutGroupPolicy', 'CreatePolicy', 'CreatePolicyVersion')",
        match=_allows_all,
        tags=("attack.privilege-escalation", "attack.t1098.003"),
        false_positives=("The bootstrap role of a new account.",),
        remedy="""Write what is needed instead: `uwu trail least-privilege ROLE` proposes it from what was used. Delete
        the policy if nobody ordered it.""",
    ),
    Rule(
        name="role-for-everyone",
        title="A role can be assumed by everybody",
        description="""Its trust policy names "*" without a condition: any principal of any AWS account in the world can
        become this role.""",
        severity=Severity.CRITICAL,
        where="event_source = 'iam.amazonaws.com' and error_code = '' and event_name in ('CreateRole', "
        "'UpdateAssumeRolePolicy')",
        match=_trusts_all,
        tags=("attack.persistence", "attack.t1098"),
        remedy="""Name the accounts and roles that need it, at once: `aws iam update-assume-role-policy`. Then look who
        assumed it: `uwu trail changes ROLE`.""",
    ),
    Rule(
        name="bucket-opened",
        title="A bucket was opened to everybody",
        description="""Its policy, its access list or the removal of its public access block lets anybody read it, or
        takes away what kept that from happening.""",
        severity=Severity.HIGH,
        where="event_source = 's3.amazonaws.com' and error_code = '' and event_name in ('PutBucketPolicy', "
        "'PutBucketAcl', 'PutBucketPublicAccessBlock', 'DeleteBucketPublicAccessBlock')",
        match=_opens_bucket,
        tags=("attack.exfiltration", "attack.t1530"),
        false_positives=("A website's bucket; CloudFront with an origin access control needs no public one.",),
        remedy="""`aws s3api put-public-access-block --bucket NAME --public-access-block-configuration
        BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true`.""",
    ),
    Rule(
        name="port-opened",
        title="Administration or a database was opened to the internet",
        description="""A security group lets every address reach a port of SSH, RDP or a database, or all ports.
        Scanners find it within minutes.""",
        severity=Severity.HIGH,
        where="event_source = 'ec2.amazonaws.com' and error_code = '' and event_name = 'AuthorizeSecurityGroupIngress'",
        match=_opens_port,
        tags=("attack.defense-evasion", "attack.t1562.007"),
        remedy="""Revoke the rule (`uwu plan` on the group's drift does it with an approval), and reach machines through
        Session Manager.""",
    ),
    Rule(
        name="guessed-then-in",
        title="Somebody guessed a password and is in",
        description="""Five or more sign-ins failed from one address within half an hour, then one succeeded.""",
        severity=Severity.CRITICAL,
        where="event_source = 'signin.amazonaws.com' and event_name = 'ConsoleLogin'",
        correlate=_guessed,
        by=("sourceIPAddress",),
        within=timedelta(minutes=30),
        subject="principal",
        tags=("attack.credential-access", "attack.t1110"),
        false_positives=("Several people behind one address, one of whom has forgotten the password.",),
        remedy="""Ask the user by another way than mail. If it was not them: delete the password, deny the user's
        sessions (`aws iam put-user-policy` with an AWSDenyAll), read its timeline.""",
    ),
]
