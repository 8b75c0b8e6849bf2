"""Who can assume a role: its trust policy, and where that hands on to an account the policies of its principals.

What is not evaluated is said: service control policies, session policies, permissions boundaries, the documents of
AWS's own managed policies but the two broadest, and conditions in policies of identities.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import sqlalchemy as sa

from uwu.domains.inventory import exposure_policies as policies
from uwu.domains.inventory.exposure_facts import Facts, Thing
from uwu.kernel import urns
from uwu.kernel.exposure import Answer, Assumer
from uwu.kernel.runtime import Kernel

_ROLES, _USERS, _GROUPS, _POLICIES = "aws_iam_role", "aws_iam_user", "aws_iam_group", "aws_iam_policy"
_ASSUME = ("sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity")
_ALWAYS = "service control policies"
_UNIQUE_ID = re.compile(r"A(?:RO|ID|KI)A[A-Z0-9]{12,}")
MOST = 500
"""Principals that are named; more of an account are left out, the certain ones last."""

_SHARED_ISSUERS = (
    "token.actions.githubusercontent.com",
    "gitlab.com",
    "app.terraform.io",
    "agent.buildkite.com",
    "oidc.circleci.com",
    "api.bitbucket.org",
    "accounts.google.com",
    "cognito-identity.amazonaws.com",
    "www.amazon.com",
    "graph.facebook.com",
)
"""Issuers that give everyone a token: without a condition on whose it is, anyone comes in."""

_EVERYTHING: dict[str, list[Mapping[str, Any]]] = {
    "AdministratorAccess": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    "PowerUserAccess": [
        {"Effect": "Allow", "NotAction": ["iam:*", "organizations:*", "account:*"], "Resource": "*"},
    ],
}
"""AWS's managed policies whose documents say enough of sts:AssumeRole (AWS Managed Policy Reference Guide)."""


def assumers(kernel: Kernel, connection: sa.Connection, role: str) -> list[Assumer] | None:
    """Who may assume ``role``: the certain first, then by principal. None where it is no role that is observed."""
    del kernel
    facts = Facts(connection, few=True)
    thing = facts.some([role]).get(role)
    if thing is None or thing.type != _ROLES:
        return None
    document = policies.document(thing.attributes.get("AssumeRolePolicyDocument"))
    if document is None:
        why = "its trust policy is not read"
        return [Assumer(principal="*", kind="anyone", answer="unknown", why=why, evidence="AssumeRolePolicyDocument")]
    raw = document.get("Statement")
    statements = [s for s in (raw if isinstance(raw, list) else [raw]) if isinstance(s, Mapping)]
    denied = any(s.get("Effect") == "Deny" for s in statements)
    found: dict[tuple[str, str], Assumer] = {}
    for index, statement in enumerate(statements):
        if statement.get("Effect") != "Allow":
            continue
        for each in _named(facts, thing, statement, f"AssumeRolePolicyDocument.Statement[{index}]"):
            if denied and each.answer == "yes":
                each = _weaker(each, "a denial in the trust policy")
            key = each.principal, each.kind
            if key not in found or _RANK[each.answer] < _RANK[found[key].answer]:
                found[key] = each
    order = sorted(found.values(), key=lambda a: (_RANK[a.answer], _KINDS.index(a.kind), a.principal))
    return order[:MOST]


_RANK = {"yes": 0, "unknown": 1, "no": 2}
_KINDS = ("anyone", "account", "oidc", "saml", "user", "role", "session", "service", "gone")


def _weaker(one: Assumer, unread: str) -> Assumer:
    return Assumer(
        principal=one.principal,
        kind=one.kind,
        account=one.account,
        answer="unknown",
        why=one.why,
        evidence=one.evidence,
        conditions=one.conditions,
        unread=(*one.unread, unread),
    )


def _named(facts: Facts, role: Thing, statement: Mapping[str, Any], evidence: str) -> Iterator[Assumer]:
    actions = [a.lower() for a in policies.texts(statement.get("Action"))]
    if not any(fnmatchcase(wanted, action) for wanted in _ASSUME for action in actions):
        return
    met, conditions = policies.conditions(statement.get("Condition"))
    told = _shown(statement.get("Condition"))
    if "NotPrincipal" in statement:
        why = "its trust names those who may not, and so everyone else"
        answer: Answer = "yes" if met == "yes" else "unknown"
        yield Assumer(
            principal="*", kind="anyone", answer=answer, why=why, evidence=evidence, conditions=told, unread=(_ALWAYS,)
        )
        return
    principal = statement.get("Principal")
    named: Mapping[str, Any] = {"AWS": "*"} if principal == "*" else principal if isinstance(principal, Mapping) else {}
    for kind, values in named.items():
        for value in policies.texts(values):
            if kind == "Service":
                yield Assumer(
                    principal=value,
                    kind="service",
                    answer="yes",
                    why="its trust names the service",
                    evidence=evidence,
                    conditions=told,
                )
            elif kind == "Federated":
                yield _federated(value, statement, evidence, told)
            elif value == "*":
                answer = "yes" if met == "yes" else met
                why = "its trust names everyone" + ("" if met == "yes" else " on conditions")
                yield Assumer(
                    principal="*",
                    kind="anyone",
                    answer=answer,
                    why=why,
                    evidence=evidence,
                    conditions=tuple(conditions) or told,
                    unread=(_ALWAYS,),
                )
            elif kind == "AWS":
                yield from _principal(facts, role, value, evidence, told)


def _shown(condition: Any) -> tuple[str, ...]:
    """The tests of a condition in words."""
    if not isinstance(condition, Mapping):
        return ()
    return tuple(
        f"{operator} {key} = {', '.join(policies.texts(values)[:3])}"
        for operator, tests in condition.items()
        if isinstance(tests, Mapping)
        for key, values in tests.items()
    )


def _federated(value: str, statement: Mapping[str, Any], evidence: str, told: tuple[str, ...]) -> Assumer:
    issuer = value.partition(":oidc-provider/")[2] or value
    if ":saml-provider/" in value:
        return Assumer(
            principal=value,
            kind="saml",
            account=urns.account_of(value),
            answer="yes",
            why="its trust names the SAML provider",
            evidence=evidence,
            conditions=told,
        )
    account = urns.account_of(value)
    if takes_any_token(issuer, statement.get("Condition")):
        why = f"its trust takes any token of {issuer}: no condition says whose"
        return Assumer(
            principal=value, kind="anyone", account=account, answer="yes", why=why, evidence=evidence, conditions=told
        )
    return Assumer(
        principal=value,
        kind="oidc",
        account=account,
        answer="yes",
        why=f"its trust names {issuer}",
        evidence=evidence,
        conditions=told,
    )


def takes_any_token(issuer: str, condition: Any) -> bool:
    """Whether a trust with ``condition`` takes a token that ``issuer`` gives to anyone at all."""
    shared = any(issuer == each or issuer.startswith(f"{each}/") for each in _SHARED_ISSUERS)
    return shared and not _pins_subject(condition, issuer)


def _pins_subject(condition: Any, issuer: str) -> bool:
    """Whether a condition says whose tokens are taken: a subject (of Cognito and Google an audience) not all wild."""
    host = issuer.partition("/")[0]
    keys = {f"{host}:sub", f"{issuer}:sub".lower()}
    if host in {"cognito-identity.amazonaws.com", "accounts.google.com", "www.amazon.com", "graph.facebook.com"}:
        keys |= {f"{host}:aud", f"{host}:oaud", f"{host}:app_id"}
    for operator, tests in (condition if isinstance(condition, Mapping) else {}).items():
        positive = "not" not in str(operator).lower() and "ifexists" not in str(operator).lower()
        for key, values in (tests if isinstance(tests, Mapping) else {}).items():
            wild = any(
                not v.strip("*?") or re.fullmatch(r"(repo|project_path):\*.*", v) for v in policies.texts(values)
            )
            if str(key).lower() in keys and positive and not wild:
                return True
    return False


def _principal(facts: Facts, role: Thing, value: str, evidence: str, told: tuple[str, ...]) -> Iterator[Assumer]:
    if _UNIQUE_ID.fullmatch(value):
        why = "its trust names a principal that was deleted"
        yield Assumer(principal=value, kind="gone", answer="no", why=why, evidence=evidence)
        return
    account = value if value.isdigit() else urns.account_of(value)
    if value.isdigit() or value.endswith(":root"):
        yield from _account(facts, role, account, evidence, told)
        return
    parts = urns.parse(value)
    kind = "session" if parts is not None and parts.service == "sts" else "user" if ":user/" in value else "role"
    unread = (_ALWAYS, *(("the conditions of the trust",) if told else ()))
    if account == role.account:
        why = "its trust names it, in its own account"
        yield Assumer(
            principal=value,
            kind=kind,
            account=account,
            answer="yes",
            why=why,
            evidence=evidence,
            conditions=told,
            unread=unread,
        )
        return
    thing = facts.some([value]).get(value)
    if thing is None:
        why = f"its trust names it, of account {account}, whose policies are not observed"
        answer: Answer = "unknown"
        lacking: Sequence[str] = ("the policies of the principal",)
    else:
        answer, why, lacking = _allowed(facts, thing, role.urn)
        why = f"its trust names it, of account {account}, and {why}"
    yield Assumer(
        principal=value,
        kind=kind,
        account=account,
        answer=answer,
        why=why,
        evidence=evidence,
        conditions=told,
        unread=(*unread, *lacking),
    )


def _account(facts: Facts, role: Thing, account: str, evidence: str, told: tuple[str, ...]) -> Iterator[Assumer]:
    """The trust hands on to an account: whoever its policies allow."""
    root = urns.iam_root(account)
    things = [*facts.all_of(_ROLES, account, ""), *facts.all_of(_USERS, account, "")]
    known = all(
        facts.known(account, role.cell.split("/")[2], type).complete and not facts.partly_hidden
        for type in (_ROLES, _USERS, _GROUPS, _POLICIES)
    )
    own = account == role.account
    if not known:
        why = "its trust names the account" + ("" if things else ", whose principals are not observed")
        yield Assumer(
            principal=root,
            kind="account",
            account=account,
            answer="unknown",
            why=why,
            evidence=evidence,
            conditions=told,
            unread=(_ALWAYS, "principals of the account that were not observed"),
        )
    else:
        why = "its trust names the account: its root user may, and whom its policies allow"
        yield Assumer(
            principal=root,
            kind="account",
            account=account,
            answer="yes",
            why=why,
            evidence=evidence,
            conditions=told,
            unread=(_ALWAYS,),
        )
    for thing in things:
        if thing.urn == role.urn:
            continue
        answer, why, lacking = _allowed(facts, thing, role.urn)
        if answer == "no":
            continue
        where = "in its own account" if own else f"of account {account}"
        yield Assumer(
            principal=thing.urn,
            kind="role" if thing.type == _ROLES else "user",
            account=account,
            answer=answer,
            why=f"its trust names the account, and {why}, {where}",
            evidence=evidence,
            conditions=told,
            unread=(_ALWAYS, *lacking),
        )


# ---- what the policies of an identity allow


def _allowed(facts: Facts, thing: Thing, role: str) -> tuple[Answer, str, Sequence[str]]:
    """Whether the policies of ``thing`` let it assume ``role``, what says so, and what was not evaluated."""
    allows, unread = list[str](), list[str]()
    for name, statements in _documents(facts, thing):
        if statements is None:
            unread.append(f"policy {name}")
            continue
        for statement in statements:
            if not _speaks_of(statement, role):
                continue
            conditional = bool(statement.get("Condition"))
            if statement.get("Effect") == "Deny":
                if not conditional:
                    return "no", f"{name} denies it", ()
                unread.append(f"the conditions of a denial in {name}")
            elif conditional:
                unread.append(f"the conditions of {name}")
            else:
                allows.append(name)
    if thing.attributes.get("PermissionsBoundary"):
        unread.append("its permissions boundary")
    if allows and not any("denial" in each or "boundary" in each for each in unread):
        return "yes", f"{allows[0]} allows it", ()
    if allows:
        return "unknown", f"{allows[0]} allows it", unread
    if unread:
        return "unknown", "whether its policies allow it is not sure", unread
    return "no", "no policy of it allows it", ()


def _documents(facts: Facts, thing: Thing) -> Iterator[tuple[str, list[Mapping[str, Any]] | None]]:
    """Every policy of an identity by its name with its statements; None where they are not read."""
    told = thing.attributes
    holders: list[Mapping[str, Any]] = [told]
    if thing.type == _USERS:
        named = set(told.get("GroupList") or ())
        groups = [g for g in facts.all_of(_GROUPS, thing.account, "") if g.attributes.get("GroupName") in named]
        holders += [group.attributes for group in groups]
        for missing in sorted(named - {str(group.attributes.get("GroupName")) for group in groups}):
            yield f"group {missing}", None
    for holder in holders:
        for member in ("RolePolicyList", "UserPolicyList", "GroupPolicyList"):
            for each in holder.get(member) or ():
                yield str(each.get("PolicyName")), _statements(each.get("PolicyDocument"))
        for each in holder.get("AttachedManagedPolicies") or ():
            arn, name = str(each.get("PolicyArn")), str(each.get("PolicyName"))
            if urns.account_of(arn) == "aws":
                yield name, _EVERYTHING.get(name)
                continue
            found = facts.some([arn]).get(arn)
            yield name, _default(found.attributes) if found is not None else None


def _default(policy: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    for version in policy.get("PolicyVersionList") or ():
        if version.get("IsDefaultVersion"):
            return _statements(version.get("Document"))
    return None


def _statements(document: Any) -> list[Mapping[str, Any]] | None:
    read = policies.document(document)
    if read is None:
        return None
    raw = read.get("Statement")
    return [s for s in (raw if isinstance(raw, list) else [raw]) if isinstance(s, Mapping)]


def _speaks_of(statement: Mapping[str, Any], role: str) -> bool:
    return _matches(statement, "Action", ["sts:assumerole"], lower=True) and _matches(
        statement, "Resource", [role], lower=False
    )


def _matches(statement: Mapping[str, Any], member: str, values: Iterable[str], *, lower: bool) -> bool:
    def hit(patterns: Any) -> bool:
        texts = [text.lower() if lower else text for text in policies.texts(patterns)]
        return any(fnmatchcase(value, text) for value in values for text in texts)

    if f"Not{member}" in statement:
        return not hit(statement[f"Not{member}"])
    return hit(statement.get(member))
