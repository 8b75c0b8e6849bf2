"""What every comparer shares: reading both sides, and telling noise from a difference.

A state says what was set and what was computed alike. So only attributes that a person sets are looked at, one that
the state leaves empty (null) is not known to be set, and one setting gives one difference whatever it is made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from uwu.domains.iac.attach import HELD_BY, PARTS
from uwu.domains.iac.compare import severity
from uwu.kernel import codec, sensitive, urns
from uwu.kernel.model import Declaration, Difference, Resource

MISSING: Any = msgspec.UNSET
"""What the observation does not hold at all: nothing can be said of it."""

Read = Callable[[Mapping[str, Any]], Any]


class Side:
    """A declaration and the resource it should be, and the differences found so far."""

    def __init__(self, declaration: Declaration, resource: Resource) -> None:
        self.declaration = declaration
        self.declared = declaration.attributes
        self.observed = resource.attributes
        self.resource = resource
        self.differences: list[Difference] = []

    @property
    def held(self) -> bool:
        """True for a part that its whole compares."""
        return HELD_BY in self.declared

    def parts(self, *types: str) -> list[dict[str, Any]]:
        """What other declarations say of this resource, of the given types."""
        return [part for part in self.declared.get(PARTS, ()) if part["type"] in types]

    def differ(self, path: str, declared: Any, observed: Any, *, sensitive_: bool = False) -> None:
        self.differences.append(
            Difference(
                path=path,
                declared=declared,
                observed=observed,
                sensitive=sensitive_,
                severity=severity.of(path, observed),
            )
        )

    def same(self, path: str, observed: Any, *, norm: Callable[[Any], Any] | None = None) -> None:
        """Notes where the declared attribute ``path`` is not ``observed``; silent where either is not known."""
        declared = self.declared.get(path)
        if declared is None or observed is MISSING or sensitive.is_marked(declared):
            return
        left, right = plain(declared, declared), plain(observed, declared)
        if norm is not None:
            left, right = norm(left), norm(right)
        if left != right:
            self.differ(path, left, right)

    def same_set(self, path: str, observed: Any, *, empty_is_unset: bool = False) -> None:
        """Like ``same`` for lists whose order means nothing."""
        declared = self.declared.get(path)
        if declared is None or observed is MISSING or (empty_is_unset and not declared):
            return
        left, right = sorted({str(v) for v in declared}), sorted({str(v) for v in observed or ()})
        if left != right:
            self.differ(path, left, right)

    def same_document(self, path: str, observed: Any, *, absent_is_empty: bool = True) -> None:
        """Like ``same`` for JSON documents, which are policies or alike; compared by what they mean."""
        declared = self.declared.get(path)
        if declared is None or observed is MISSING or sensitive.is_marked(declared):
            return
        if not absent_is_empty and not declared:
            return
        if not equal_documents(declared, observed):
            self.differ(path, document(declared), document(observed))

    def tags(self) -> None:
        """One difference for all tags that are not as declared; AWS's own are not looked at."""
        declared = {key: value for key, value in self.declaration.tags.items() if not key.startswith("aws:")}
        observed = {key: value for key, value in self.resource.tags.items() if not key.startswith("aws:")}
        keys = [key for key in sorted({*declared, *observed}) if declared.get(key) != observed.get(key)]
        if keys:
            self.differ("tags", {key: declared.get(key) for key in keys}, {key: observed.get(key) for key in keys})


def seen(observed: Mapping[str, Any], *path: str, default: Any = MISSING) -> Any:
    """The observed member at ``path``; ``default`` where any step is missing."""
    value: Any = observed
    for step in path:
        if not isinstance(value, Mapping) or value.get(step) is None:
            return default
        value = value[step]
    return value


def block(attributes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Terraform's nested block of which there is at most one: a list of one object, or nothing."""
    value = attributes.get(name)
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, dict) else {}


def plain(value: Any, like: Any) -> Any:
    """``value`` in the type of ``like``: the APIs give numbers and booleans as texts here and there, states too."""
    if isinstance(like, bool) and isinstance(value, str):
        return value.lower() == "true"
    if isinstance(like, str) and isinstance(value, bool):
        return str(value).lower()
    if isinstance(like, str) and isinstance(value, int | float):
        return str(value)
    if isinstance(like, int | float) and not isinstance(like, bool) and isinstance(value, str):
        if re.fullmatch(r"-?\d+", value):
            return int(value)
        return float(value) if re.fullmatch(r"-?\d+\.\d+", value) else value
    if value is None:
        return {str: "", bool: False, int: 0, float: 0.0, list: [], dict: {}}.get(type(like))
    return value


def last(value: Any) -> Any:
    """The name at the end of an ARN or a path."""
    return urns.short(value) if isinstance(value, str) else value


# ---- documents


def document(value: Any) -> Any:
    """A JSON document as an object; a text that is none stays; empty becomes None."""
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            return codec.decode(value) or None
        except msgspec.DecodeError:
            return value
    return value or None


def equal_documents(one: Any, other: Any) -> bool:
    """True where two policy documents mean the same, whatever their spelling (IAM policy grammar)."""
    return canonical_document(document(one)) == canonical_document(document(other))


_SETS = frozenset({"Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal"})


def canonical_document(value: Any) -> Any:
    """A document in one spelling: one value or a list of one, any order of a set, a principal's account or its root."""
    if not isinstance(value, Mapping):
        return value
    if "Statement" not in value:
        return _sorted_keys(value)
    statements = value["Statement"]
    rest = {key: each for key, each in value.items() if key not in {"Statement", "Id"} and each not in (None, "")}
    made = [_statement(each) for each in (statements if isinstance(statements, list) else [statements])]
    return {"Version": "2008-10-17", **rest, "Statement": sorted(made, key=codec.canonical)}


def _statement(statement: Any) -> Any:
    if not isinstance(statement, Mapping):
        return statement
    made: dict[str, Any] = {}
    for key, value in statement.items():
        if key in {"Principal", "NotPrincipal"}:
            made[key] = _principal(value)
        elif key in {"Action", "NotAction"}:
            made[key] = sorted({str(each).lower() for each in _many(value)})
        elif key in _SETS:
            made[key] = sorted({str(each) for each in _many(value)})
        elif key == "Condition" and isinstance(value, Mapping):
            conditions = {
                str(operator): {str(k).lower(): sorted({_text(each) for each in _many(v)}) for k, v in tests.items()}
                for operator, tests in value.items()
                if isinstance(tests, Mapping)
            }
            if conditions:
                made[key] = conditions
        elif key == "Sid" and not value:
            continue
        else:
            made[key] = value
    return made


def _principal(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return {"AWS": ["*"]} if value == "*" else value
    return {kind: sorted({_account(str(each)) for each in _many(names)}) for kind, names in value.items()}


def _account(name: str) -> str:
    """An account is named by its id or by its root's ARN; AWS stores the second for the first."""
    found = re.fullmatch(r"arn:aws[\w-]*:iam::(\d{12}):root", name)
    return found[1] if found else name


def _many(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sorted_keys(value: Any) -> Any:
    """A document that is no policy: numbers and booleans as texts are the same (a redrive policy's count)."""
    if isinstance(value, Mapping):
        return {str(key): _sorted_keys(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_sorted_keys(each) for each in value]
    return _text(value) if isinstance(value, bool | int | float) else value


def names(items: Iterable[Mapping[str, Any]] | None, member: str) -> list[str]:
    """``member`` of each item."""
    return [str(item[member]) for item in items or () if item.get(member)]
