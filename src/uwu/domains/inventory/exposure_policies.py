"""Whether a resource policy lets anyone in: statements for everyone, read with their conditions, cautiously.

A condition that pins who or where (an organization, an account, a VPC endpoint, a range of addresses) restricts; one
that pins something else (TLS, a header) does not; one that is not understood leaves the answer unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from uwu.domains.inventory import exposure_sets as sets
from uwu.kernel import codec

Answer = Literal["yes", "no", "unknown"]

PINS = frozenset(
    {
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceorgid",
        "aws:sourceorgpaths",
        "aws:sourceowner",
        "aws:sourcevpc",
        "aws:sourcevpcarn",
        "aws:sourcevpce",
        "aws:userid",
        "aws:username",
        "aws:vpceaccount",
        "aws:vpceorgid",
        "aws:vpceorgpaths",
        "kms:calleraccount",
        "s3:dataaccesspointaccount",
        "s3:dataaccesspointarn",
        "ec2:sourceinstancearn",
        "lambda:sourcefunctionarn",
    }
)
"""Keys (lower case) whose fixed values say who may come, or from where."""

IRRELEVANT = frozenset(
    {
        "aws:calledvia",
        "aws:referer",
        "aws:requestedregion",
        "aws:resourceaccount",
        "aws:resourceorgid",
        "aws:resourceorgpaths",
        "aws:securetransport",
        "aws:useragent",
        "kms:encryptionalgorithm",
        "kms:grantisforawsresource",
        "kms:keyorigin",
        "kms:viaservice",
        "lambda:functionurlauthtype",
        "lambda:invokedviafunctionurl",
        "s3:authtype",
        "s3:delimiter",
        "s3:max-keys",
        "s3:prefix",
        "s3:signatureversion",
        "s3:tlsversion",
        "s3:x-amz-acl",
        "s3:x-amz-server-side-encryption",
        "sns:endpoint",
        "sns:protocol",
    }
)
"""Keys that anyone can meet, or that say nothing of who comes."""

_ADDRESSES = frozenset({"aws:sourceip"})
_SERVICES = frozenset({"aws:principalisawsservice", "aws:viaawsservice"})
"""Keys that are true for AWS's services alone."""
_FIXED = re.compile(r"\d{12}|\bo-[a-z0-9]{6,}|\bvpce?-[0-9a-f]{8,}|\bA(?:ID|RO|KI)A[A-Z0-9]{12,}")
_NEGATED = re.compile(r"^(?:StringNot|NumericNot|DateNot|ArnNot|NotIp)", re.IGNORECASE)
_EVERYTHING = frozenset({"*", "**", "arn:*", "arn:aws:*", "arn:aws:*:*:*:*", "arn:aws:iam::*:*"})


@dataclass
class Verdict:
    """What a policy says of everyone."""

    answer: Answer = "no"
    statements: list[str] = field(default_factory=list[str])
    """The statements that let everyone in: their Sid, or their number."""
    conditions: list[str] = field(default_factory=list[str])
    """What narrows those that are not open, or what was not understood."""


def document(policy: Any) -> Mapping[str, Any] | None:
    """A policy as an object; None where it cannot be read."""
    for _ in range(2):
        if isinstance(policy, Mapping):
            return policy
        if not isinstance(policy, str):
            return None
        try:
            policy = codec.decode(policy)
        except msgspec.DecodeError:
            try:  # API Gateway gives its policies with their quotes escaped once more
                policy = codec.decode(policy.replace('\\"', '"'))
            except msgspec.DecodeError:
                return None
    return policy if isinstance(policy, Mapping) else None


def everyone(policy: Any, actions: Sequence[str] = ()) -> Verdict:
    """Whether ``policy`` lets anyone do anything, or one of ``actions`` where they are given."""
    if policy in (None, "", {}):
        return Verdict()
    read = document(policy)
    if read is None:
        return Verdict("unknown", [], ["the policy cannot be read"])
    statements = _each(read.get("Statement"))
    denials = [s for s in statements if s.get("Effect") == "Deny" and _names_everyone(s) is True]
    out = Verdict()
    for index, statement in enumerate(statements):
        if statement.get("Effect") != "Allow" or not _concerns(statement, actions):
            continue
        named = _names_everyone(statement)
        if named is False:
            continue
        answer, why = conditions(statement.get("Condition"))
        if named is None:
            answer, why = "unknown", [*why, "its principal is not understood"]
        for denial in denials:
            if answer == "no":
                break
            effect, told = _denied(statement, denial)
            if effect != "yes":
                answer, why = effect, [*why, *told]
        name = str(statement.get("Sid") or f"Statement[{index}]")
        if answer == "yes":
            out.answer = "yes"
            out.statements.append(name)
        elif answer == "unknown" and out.answer == "no":
            out.answer = "unknown"
        out.conditions += [f"{name}: {each}" for each in why if answer != "yes"]
    out.conditions = list(dict.fromkeys(out.conditions))
    return out


def _each(value: Any) -> list[Any]:
    found = value if isinstance(value, list) else [value]
    return [each for each in found if isinstance(each, Mapping)]


def texts(value: Any) -> list[str]:
    """A text or a list of texts as a list."""
    found = value if isinstance(value, list) else [value]
    return [str(each) for each in found if isinstance(each, str | int | bool)]


def _names_everyone(statement: Mapping[str, Any]) -> bool | None:
    """Whether it speaks of everyone; None where that is not understood."""
    if "NotPrincipal" in statement:
        return True  # everyone but some, which is anyone
    principal = statement.get("Principal")
    if principal is None:
        return None
    if isinstance(principal, str):
        return principal == "*"
    if not isinstance(principal, Mapping):
        return None
    return "*" in texts(principal.get("AWS")) or "*" in texts(principal.get("*"))


def _concerns(statement: Mapping[str, Any], actions: Sequence[str]) -> bool:
    if not actions or "NotAction" in statement:
        return True
    allowed = [action.lower() for action in texts(statement.get("Action"))]
    return any(
        fnmatchcase(wanted.lower(), each) or fnmatchcase(each, wanted.lower()) for wanted in actions for each in allowed
    )


# ---- conditions


def conditions(condition: Any) -> tuple[Answer, list[str]]:
    """Whether everyone meets ``condition``: yes, no (it restricts), or unknown; and what was decisive."""
    if condition in (None, {}, []):
        return "yes", []
    if not isinstance(condition, Mapping):
        return "unknown", ["its condition cannot be read"]
    restricts, unclear = list[str](), list[str]()
    for operator, tests in condition.items():
        if not isinstance(tests, Mapping):
            unclear.append(f"{operator} cannot be read")
            continue
        for key, values in tests.items():
            answer = _test(str(operator), str(key), texts(values))
            shown = f"{key} = {', '.join(texts(values)[:3])}" + (" and more" if len(texts(values)) > 3 else "")
            if answer == "no":
                restricts.append(shown)
            elif answer == "unknown":
                unclear.append(f"{operator} {shown}")
    if restricts:
        return "no", restricts
    return ("unknown", unclear) if unclear else ("yes", [])


def _test(operator: str, key: str, values: Sequence[str]) -> Answer:
    """Whether everyone meets one test."""
    name, key = operator, key.lower()
    if name.lower().startswith("forallvalues:"):
        return "yes"  # a request without the key meets it
    name = name.split(":", 1)[-1]
    if name.lower().endswith("ifexists"):
        return "yes"
    if key in IRRELEVANT or _NEGATED.match(name):
        return "yes"
    if key in _ADDRESSES:
        return _addresses(values)
    if key in _SERVICES:
        return "yes" if values and all(value.lower() == "false" for value in values) else "no"
    if name.lower() == "null":
        # true asks that the key be absent, as with everyone; false that it be there, whatever it is
        return "yes" if values and all(v.lower() == "true" for v in values) else "unknown"
    if key not in PINS:
        return "unknown"
    if any("${" in value for value in values) or not values:
        return "unknown"
    if name.lower() in {"stringlike", "arnlike", "arnequals"}:
        return _patterns(values)
    if name.lower() in {"stringequals", "stringequalsignorecase"}:
        return "no"
    return "unknown"


def _patterns(values: Iterable[str]) -> Answer:
    answer: Answer = "no"
    for value in values:
        if value in _EVERYTHING or not value.strip("*?"):
            return "yes"
        if ("*" in value or "?" in value) and not _FIXED.search(value):
            answer = "unknown"
    return answer


def _addresses(values: Sequence[str]) -> Answer:
    blocks = [sets.block(value) for value in values]
    if any(block is None for block in blocks):
        return "unknown"
    for family in sets.FAMILIES:
        ranges = sets.merged(pair for block in blocks if block and block[0] == family for pair in block[1])
        if sets.anyone(ranges, family):
            return "yes"
    return "no"


# ---- denials


def _denied(allow: Mapping[str, Any], deny: Mapping[str, Any]) -> tuple[Answer, list[str]]:
    """Whether what ``allow`` opens stays open to everyone in spite of ``deny``."""
    reach = _covers(allow, deny)
    if reach == "no":
        return "yes", []
    effect, why = _spared(deny.get("Condition"))
    if effect == "yes":
        return "yes", []
    if effect == "no" and reach == "yes":
        return "no", why or ["a statement denies it to everyone"]
    return "unknown", why or ["a statement denies it in part"]


def _spared(condition: Any) -> tuple[Answer, list[str]]:
    """Whether a denial with ``condition`` still lets anyone through: yes, no (or only those it pins), unknown."""
    if condition in (None, {}, []):
        return "no", []
    if not isinstance(condition, Mapping):
        return "unknown", ["the condition of a denial cannot be read"]
    tests = [
        (str(operator), str(key), texts(values))
        for operator, each in condition.items()
        if isinstance(each, Mapping)
        for key, values in each.items()
    ]
    # all tests must hold for the denial: one that everyone can escape spares them
    if any(key.lower() in {"aws:securetransport", "s3:tlsversion"} for _, key, _ in tests):
        return "yes", []
    shown = [f"{key} = {', '.join(values[:3])}" for _, key, values in tests]
    for operator, key, values in tests:
        name = operator.split(":", 1)[-1].lower().removesuffix("ifexists")
        positive = {
            "stringnotequals": "StringEquals",
            "stringnotequalsignorecase": "StringEquals",
            "stringnotlike": "StringLike",
            "arnnotequals": "ArnEquals",
            "arnnotlike": "ArnLike",
            "notipaddress": "IpAddress",
        }.get(name)
        if name == "null" and all(v.lower() == "true" for v in values) and key.lower() in PINS:
            continue  # denies those without the key: everyone on the internet
        if key.lower() in _SERVICES and all(v.lower() == "false" for v in values):
            continue
        if positive is None:
            return "unknown", shown
        answer = _test(positive, key, values)
        if answer != "no":
            return answer, shown
    return "no", shown


def _covers(allow: Mapping[str, Any], deny: Mapping[str, Any]) -> Answer:
    """Whether ``deny`` speaks of all (yes), of nothing (no) or perhaps of some of what ``allow`` opens."""
    worst: Answer = "yes"
    for name, lower in (("Action", True), ("Resource", False)):
        if f"Not{name}" in deny or f"Not{name}" in allow:
            worst = "unknown"
            continue
        wanted = [v.lower() if lower else v for v in texts(allow.get(name))] or ["*"]
        denied = [v.lower() if lower else v for v in texts(deny.get(name))] or ["*"]
        if all(any(fnmatchcase(each, pattern) for pattern in denied) for each in wanted):
            continue
        apart = [
            each
            for each in wanted
            if not any(fnmatchcase(each, pattern) or fnmatchcase(pattern, each) for pattern in denied)
        ]
        if apart:
            return "no"
        worst = "unknown"
    return worst
