"""Rules in Cedar. Each change is a request: the stack as principal, what is done as action, the resource as resource.

    forbid (principal, action == Action::"delete", resource)
    when { resource.type == "aws_route53_zone" };

Of a resource: ``type``, ``address``, ``module``, ``provider``, ``account``, ``urn``, ``changed`` (a set of attributes),
``before`` and ``after`` (records; what is null is not there, a number that is no integer is text). A policy fires where
it forbids; what it permits means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import cedarpy

from uwu.domains.iac.plan_json import Change
from uwu.domains.iac.policy.model import PlanRule
from uwu.kernel.errors import BadInput, Problem

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST = 2**63 - 1


def check_text(text: str, place: str) -> None:
    """Raises ``BadInput`` (``plan-policy``) for what is no Cedar."""
    try:
        cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        raise BadInput(
            f"this is no Cedar policy: {str(error).splitlines()[0][:300]}",
            code="plan-policy",
            place=place,
            hint="forbid (principal, action, resource) when { ... };",
        ) from None


def judge(
    rules: Sequence[PlanRule],
    changes: Sequence[Change],
    *,
    stack: str,
    account: str,
    urns: Mapping[str, str],
    problems: list[Problem],
) -> Iterator[tuple[PlanRule, Change]]:
    """Each rule with each change that it forbids. Where one cannot be evaluated a problem says so."""
    if not rules:
        return
    words = {rule.id: set(_WORD.findall(rule.cedar)) for rule in rules}
    sets = {rule.id: cedarpy.PolicySet.from_str(rule.cedar) for rule in rules}
    for change in changes:
        for rule in rules:
            named = words[rule.id]
            if "aws_" in rule.cedar and change.type not in named and not _loose(rule.cedar):
                continue
            if _forbids(sets[rule.id], rule, change, named, stack, account, urns, problems):
                yield rule, change


def _loose(text: str) -> bool:
    """Whether a policy looks at types by more than their whole name."""
    return " like " in text or "resource.type !=" in text or "unless { resource.type" in text


def _forbids(
    policies: cedarpy.PolicySet,
    rule: PlanRule,
    change: Change,
    named: set[str],
    stack: str,
    account: str,
    urns: Mapping[str, str],
    problems: list[Problem],
) -> bool:
    request = {
        "principal": {"type": "Stack", "id": stack or "plan"},
        "action": {"type": "Action", "id": change.op.value},
        "resource": {"type": "Change", "id": change.address},
        "context": {},
    }
    attributes = {
        "type": change.type,
        "address": change.address,
        "module": change.module,
        "provider": change.provider,
        "account": account,
        "urn": urns.get(change.address, ""),
        "changed": list(change.changed),
        # only what the policy can speak of: the rest would be turned over for nothing
        "before": _record(change.before, named),
        "after": _record(change.after, named),
    }
    entities = [{"uid": request["resource"], "attrs": attributes, "parents": []}]
    try:
        answer = cedarpy.is_authorized(request, policies, cast("Any", entities))
    except ValueError as error:  # a value that Cedar's JSON takes for its own, such as a key __extn
        message = f"{change.address} cannot be told to Cedar: {type(error).__name__}"
        problems.append(Problem("plan-policy", message, rule.place))
        return False
    for error in answer.diagnostics.errors:
        message = f"{rule.id} cannot judge {change.address}: {str(error)[:300]}"
        problems.append(Problem("plan-policy", message, rule.place, "ask with `has` before an attribute is used"))
    return bool(answer.diagnostics.reasons)


def _record(values: Mapping[str, Any] | None, named: set[str]) -> dict[str, Any]:
    return {name: _value(each) for name, each in (values or {}).items() if name in named and each is not None}


def _value(value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int) and abs(value) <= _MOST:
        return value
    if isinstance(value, dict):
        return {str(key): _value(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_value(each) for each in value if each is not None]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value)
