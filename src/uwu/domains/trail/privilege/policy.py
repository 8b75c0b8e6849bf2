"""IAM's policy language: what a set of policies says of one call (IAM User Guide, "Policy evaluation logic").

Identity policies and a permissions boundary are judged. Session policies, service control policies and resource
policies are not: what they take away is seen in the events, for a call that they denied did not succeed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

from uwu.kernel import codec
from uwu.kernel.errors import BadInput

Context = Mapping[str, str | Sequence[str]]
"""Condition keys (lower case) -> value, or values, of the call."""


class Answer(StrEnum):
    """What policies say of a call."""

    ALLOW = "allow"
    DENY = "deny"
    """A statement denies it."""
    NOTHING = "nothing"
    """No statement allows it."""
    UNKNOWN = "unknown"
    """It depends on a condition of which the call tells nothing."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement, its lists as lists."""

    allow: bool
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    not_resources: tuple[str, ...] = ()
    condition: dict[str, Any] = {}
    origin: str = ""
    """The policy that holds it."""

    @property
    def key(self) -> str:
        """The same for statements of equal conditions."""
        return codec.canonical(self.condition).decode() if self.condition else ""


def statements(document: Any, origin: str = "") -> list[Statement]:
    """The statements of a policy document, an object or JSON text. Raises ``BadInput`` for what is none."""
    if isinstance(document, str | bytes):
        try:
            document = codec.decode(document)
        except ValueError as error:
            raise BadInput(f"the policy is not JSON: {error}", code="policy-shape", place=origin) from None
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise BadInput("the policy has no Statement", code="policy-shape", place=origin)
    found: list[Statement] = []
    for number, one in enumerate(_list(document["Statement"])):
        place = f"{origin} Statement[{number}]".strip()
        if not isinstance(one, Mapping) or one.get("Effect") not in {"Allow", "Deny"}:
            raise BadInput("a statement has an Effect of Allow or Deny", code="policy-shape", place=place)
        if ("Action" in one) == ("NotAction" in one) or ("Resource" in one) == ("NotResource" in one):
            raise BadInput(
                "a statement has one of Action and NotAction, and one of Resource and NotResource",
                code="policy-shape",
                place=place,
            )
        condition = one.get("Condition") or {}
        if not isinstance(condition, Mapping):
            raise BadInput("a Condition is an object", code="policy-shape", place=place)
        found.append(
            Statement(
                allow=one["Effect"] == "Allow",
                actions=_texts(one.get("Action"), place),
                not_actions=_texts(one.get("NotAction"), place),
                resources=_texts(one.get("Resource"), place),
                not_resources=_texts(one.get("NotResource"), place),
                condition=dict(condition),
                origin=origin,
            )
        )
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _texts(value: Any, place: str) -> tuple[str, ...]:
    texts = _list(value)
    if not all(isinstance(one, str) for one in texts):
        raise BadInput("actions and resources are texts", code="policy-shape", place=place)
    return tuple(texts)


# ---- matching


_PLAIN = {"\ue000": "*", "\ue001": "?"}
"""What stands in a filled pattern for characters that are no wildcards there."""
_LITERAL = {ord("*"): "\ue000", ord("?"): "\ue001"}


@lru_cache(maxsize=50_000)
def _pattern(pattern: str, fold: bool) -> re.Pattern[str]:
    text = "".join(".*" if ch == "*" else "." if ch == "?" else re.escape(_PLAIN.get(ch, ch)) for ch in pattern)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if fold else 0))


def action_matches(pattern: str, action: str) -> bool:
    """Whether an action's pattern covers ``action``, itself perhaps a pattern; case does not count."""
    return _pattern(pattern, True).fullmatch(action) is not None


def resource_matches(pattern: str, resource: str, context: Context | None = None) -> bool:
    """Whether a resource's pattern covers ``resource``: segment by segment, as ARNs are compared; ``*`` covers all.

    Variables (``${aws:username}``) are filled from ``context``; one that has no value covers nothing.
    """
    if pattern == "*":
        return True
    filled = fill(pattern, context or {})
    if filled is None:
        return False
    ours, theirs = filled.split(":", 5), resource.split(":", 5)
    if len(ours) < 6 or len(theirs) < 6:
        return _pattern(filled, False).fullmatch(resource) is not None
    return all(_pattern(a, False).fullmatch(b) is not None for a, b in zip(ours, theirs, strict=True))


_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def fill(text: str, context: Context) -> str | None:
    """``text`` with its variables filled; None where one has no value. ``${*}``, ``${?}``, ``${$}`` mean the character.

    A value's own wildcards are no wildcards.
    """
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        name, _, default = match.group(1).partition(",")
        name = name.strip()
        if name in {"*", "?", "$"}:
            return name.translate(_LITERAL)
        held = context.get(name.lower())
        if isinstance(held, str):
            return held.translate(_LITERAL)
        if default:
            return default.strip().strip("'").translate(_LITERAL)
        missing = True
        return ""

    filled = _VARIABLE.sub(value, text) if "${" in text else text
    return None if missing else filled


def applies(statement: Statement, action: str, resource: str, context: Context) -> bool | None:
    """Whether ``statement`` speaks of the call; None where a condition depends on what the call does not tell."""
    if statement.actions and not any(action_matches(one, action) for one in statement.actions):
        return False
    if statement.not_actions and any(action_matches(one, action) for one in statement.not_actions):
        return False
    if statement.resources and not any(resource_matches(one, resource, context) for one in statement.resources):
        return False
    if statement.not_resources and any(resource_matches(one, resource, context) for one in statement.not_resources):
        return False
    return condition_holds(statement.condition, context)


def decide(
    policies: Iterable[Statement],
    action: str,
    resource: str,
    context: Context | None = None,
    boundary: Iterable[Statement] | None = None,
) -> Answer:
    """What the identity's ``policies``, within its ``boundary``, say of a call: an explicit deny wins."""
    known = context or {}
    answer = _judged(policies, action, resource, known)
    if boundary is None or answer is Answer.DENY:
        return answer
    within = _judged(boundary, action, resource, known)
    order = (Answer.DENY, Answer.NOTHING, Answer.UNKNOWN, Answer.ALLOW)
    return min(answer, within, key=order.index)


def _judged(policies: Iterable[Statement], action: str, resource: str, context: Context) -> Answer:
    allowed: bool | None = False
    doubt = False
    for statement in policies:
        said = applies(statement, action, resource, context)
        if said is False:
            continue
        if not statement.allow:
            if said:
                return Answer.DENY
            doubt = True
        elif said:
            allowed = True
        elif allowed is False:
            allowed = None
    if allowed is False:
        return Answer.NOTHING
    return Answer.UNKNOWN if doubt or allowed is None else Answer.ALLOW


# ---- conditions


def condition_holds(condition: Mapping[str, Any], context: Context) -> bool | None:
    """Whether every operator of a Condition holds; None where one depends on a key that the call does not tell."""
    answer: bool | None = True
    for operator, keys in condition.items():
        for key, wanted in keys.items() if isinstance(keys, Mapping) else ():
            held = _holds(operator, key, [str(one) for one in _list(wanted)], context)
            if held is False:
                return False
            if held is None:
                answer = None
    return answer


def _holds(operator: str, key: str, wanted: list[str], context: Context) -> bool | None:
    name = operator.lower()
    quantifier, _, rest = name.rpartition(":")
    base = rest.removesuffix("ifexists")
    found = context.get(key.lower())
    if base == "null":
        # that a key is not in the record does not say that it was not in the call
        return (wanted[:1] == ["false"]) if found is not None else None
    if found is None:
        return None
    values = [found] if isinstance(found, str) else [str(one) for one in found]
    negated = base.startswith(("stringnot", "arnnot", "numericnot", "datenot", "notip"))
    test = _TESTS.get(base.replace("not", "", 1) if negated else base)
    if test is None:
        return None
    filled = [one for one in (fill(text, context) for text in wanted) if one is not None]

    def one(value: str) -> bool:
        return any(test(value, text) for text in filled) != negated

    if quantifier == "forallvalues":
        return all(one(value) for value in values)
    return any(one(value) for value in values)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _in_network(value: str, text: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False


def _arn_like(value: str, text: str) -> bool:
    return resource_matches(text, value)


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "stringequals": lambda value, text: value == text,
    "stringequalsignorecase": lambda value, text: value.lower() == text.lower(),
    "stringlike": lambda value, text: _pattern(text, False).fullmatch(value) is not None,
    "arnequals": _arn_like,
    "arnlike": _arn_like,
    "bool": lambda value, text: value.lower() == text.lower(),
    "ipaddress": _in_network,
    "numericequals": lambda value, text: _number(value) == _number(text),
    "numericlessthan": lambda value, text: _number(value) < _number(text),
    "numericlessthanequals": lambda value, text: _number(value) <= _number(text),
    "numericgreaterthan": lambda value, text: _number(value) > _number(text),
    "numericgreaterthanequals": lambda value, text: _number(value) >= _number(text),
    "dateequals": lambda value, text: value == text,
    "datelessthan": lambda value, text: value < text,
    "datelessthanequals": lambda value, text: value <= text,
    "dategreaterthan": lambda value, text: value > text,
    "dategreaterthanequals": lambda value, text: value >= text,
}


def covers(pattern: str, narrower: str, *, action: bool = False) -> bool:
    """Whether everything that ``narrower`` (itself perhaps a pattern) stands for is covered by ``pattern``.

    Its wildcards are tried as nothing and as a long text that no pattern spells: what takes both takes all between.
    """
    matches = action_matches if action else resource_matches
    one = narrower.replace("?", "\ue002")
    return matches(pattern, one.replace("*", "\ue002" * 97)) and matches(pattern, one.replace("*", ""))
