"""Words for people: times, ages, names, and what an event did."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from uwu.kernel import codec, moments, urns
from uwu.kernel.model import Change

# ---- times


def clock(at: datetime, now: datetime | None = None) -> str:
    """``14:02`` for today (UTC), else ``17 Nov``, with the year where it is another."""
    now = now or codec.now()
    if at.date() == now.date():
        return f"{at:%H:%M}"
    return f"{at.day} {at:%b}" if at.year == now.year else f"{at.day} {at:%b %Y}"


def stamp(at: datetime) -> str:
    """``Mon 23 Nov 14:48 UTC``."""
    return f"{at:%a} {at.day} {at:%b %H:%M} UTC"


def moment(at: datetime, now: datetime | None = None) -> str:
    """Within a sentence: ``today at 14:02 UTC``, ``on 17 Nov at 14:02 UTC``."""
    now = now or codec.now()
    if at.date() == now.date():
        return f"today at {at:%H:%M} UTC"
    year = "" if at.year == now.year else f" {at.year}"
    return f"on {at.day} {at:%b}{year} at {at:%H:%M} UTC"


def day(at: datetime, now: datetime | None = None) -> str:
    """The heading of a day: ``Today``, ``Yesterday``, ``Mon 17 Nov``."""
    now = now or codec.now()
    days = (now.date() - at.date()).days
    if days in (0, 1):
        return ("Today", "Yesterday")[days]
    return f"{at:%a} {at.day} {at:%b}" + ("" if at.year == now.year else f" {at.year}")


def last_day(until: datetime, now: datetime | None = None) -> str:
    """The last day of what holds until a time: ``31 Jan 2027``."""
    at = moments.last_day(until)
    return f"{at.day} {at:%b}" if at.year == (now or codec.now()).year else f"{at.day} {at:%b %Y}"


def age(at: datetime | None, now: datetime | None = None) -> str:
    """``38 s``, ``46 min``, ``4 h``, ``3 d``; ``never`` for None."""
    if at is None:
        return "never"
    seconds = max(0, int(((now or codec.now()) - at).total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def iso(at: datetime) -> str:
    return codec.iso(at)


# ---- names and numbers


def plural(number: int, one: str, many: str = "") -> str:
    """``1 finding``, ``2,104 findings``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def handle(name: str) -> str:
    """The name for a list: ``mira.k`` of a mail address, ``acme/web`` of the subject of a CI token."""
    ci = re.match(r"repo:([\w.-]+/[\w.-]+)(:|$)", name)
    if ci is not None:
        return ci[1]
    mail = re.fullmatch(r"([^@\s]+)@[^@\s]+\.[^@\s]+", name)
    return mail[1] if mail is not None else name


def account_number(account: str) -> str:
    """``4444-5555-6666``, as AWS shows it."""
    return "-".join((account[:4], account[4:8], account[8:])) if re.fullmatch(r"\d{12}", account) else account


def short_ref(ref: str) -> str:
    """``payments`` of ``group:default/payments``."""
    return ref.rpartition("/")[2] or ref


def short(subject: str) -> str:
    """The telling part of a urn or an entity reference."""
    return urns.short(subject) if subject.startswith(("arn:", "urn:")) else short_ref(subject)


def split_camel(name: str) -> list[str]:
    """``AuthorizeSecurityGroupIngress`` -> authorize, security, group, ingress; ``PutDBProxy`` -> put, DB, proxy."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return [part if part.isupper() and len(part) > 1 else part.lower() for part in parts]


def lower_first(text: str) -> str:
    """``Security group`` within a sentence; ``SQS queue`` stays."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def label(path: str) -> str:
    """``VpcId`` -> ``VPC id``; for names of attributes in lists of facts."""
    words = split_camel(path)
    shown = [w.upper() if w in _UPPER else w for w in words]
    text = " ".join(shown)
    return text[:1].upper() + text[1:]


_UPPER = frozenset({"vpc", "cidr", "arn", "dns", "kms", "iam", "ip", "ami", "az", "ebs", "url", "db"})

# ---- what an event did

_PAST = {
    "put": "set",
    "run": "launched",
    "set": "set",
    "reset": "reset",
    "modify": "changed",
    "update": "changed",
    "change": "changed",
    "stop": "stopped",
    "tag": "tagged",
    "untag": "untagged",
    "send": "sent",
    "get": "read",
    "describe": "described",
    "list": "listed",
}
SIGN_IN = frozenset({
    "ConsoleLogin", "CheckMfa", "SwitchRole", "ExitRole", "RenewRole", "Authenticate", "Federate", "UserAuthentication",
    "AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "AssumeRoot", "GetSessionToken",
    "GetFederationToken", "CreateToken",
})  # fmt: skip
"""Events by which somebody comes in. They change nothing, and CloudTrail does not call all of them read-only."""

_DATED = re.compile(r"\d{8}(v\d+)?$")
"""Lambda's events carry the version of its API: ``CreateFunction20150331``."""

_PARTS = frozenset({
    "policy", "policies", "rule", "rules", "attribute", "attributes", "configuration", "encryption", "ingress",
    "egress", "block", "tags", "logging", "versioning", "lifecycle", "tagging", "notification", "permission",
    "concurrency", "address", "profile", "listener", "targets", "alias", "role", "key", "code", "description",
    "rotation", "status", "acl", "website", "cors", "replication",
})  # fmt: skip


def past(verb: str) -> str:
    """The past tense of an API's verb."""
    if verb in _PAST:
        return _PAST[verb]
    if verb.endswith("e"):
        return verb + "d"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    return verb + "ed"


def did(change: Change) -> str:
    """What the change did, to stand before the name of what it was done to: ``set bucket policy on``."""
    if change.name in SIGN_IN:
        return "signed in as"
    opened = _ingress(change)
    if opened:
        return opened
    verb, *rest = split_camel(_DATED.sub("", change.name)) or ["touch"]
    if verb in {"tag", "untag"}:
        return past(verb)
    what = " ".join(rest)
    if change.name in {"CreateTags", "DeleteTags"}:
        return "set tags on" if verb == "create" else "removed tags from"
    if not rest:
        return past(verb)
    joins = {"attach": "to", "detach": "from", "add": "to", "remove": "from", "delete": "of", "revoke": "of"}
    preposition = joins.get(verb, "on") if rest[-1].lower() in _PARTS else ""
    return " ".join(filter(None, (past(verb), what, preposition)))


def _ingress(change: Change) -> str:
    """``opened port 5432 to 0.0.0.0/0 on`` for a change of a security group's rules, where the request says so."""
    match = re.fullmatch(r"(Authorize|Revoke)SecurityGroup(In|E)gress", change.name)
    if match is None or not isinstance(change.request, dict):
        return ""
    rules = _items(change.request.get("ipPermissions"))
    if not rules:
        return ""
    first = rules[0]
    begin, end = first.get("fromPort"), first.get("toPort")
    protocol = str(first.get("ipProtocol", ""))
    ports = (
        "every port"
        if protocol == "-1" or begin is None
        else f"port {begin}"
        if begin == end
        else f"ports {begin}-{end}"
    )
    ranges = [
        str(r.get("cidrIp") or r.get("cidrIpv6") or "")
        for k in ("ipRanges", "ipv6Ranges")
        for r in _items(first.get(k))
    ]
    ranges += [str(g.get("groupId", "")) for g in _items(first.get("groups"))]
    whom = ", ".join(filter(None, ranges[:2])) or "a group"
    way = {"In": "from" if match[1] == "Revoke" else "to", "E": "out to"}[match[2]]
    return f"{'opened' if match[1] == 'Authorize' else 'closed'} {ports} {way} {whom} on"


def _items(value: Any) -> list[dict[str, Any]]:
    """CloudTrail writes EC2's lists as ``{"items": [...]}``."""
    held = value.get("items", []) if isinstance(value, dict) else value
    return [item for item in held if isinstance(item, dict)] if isinstance(held, list) else []
