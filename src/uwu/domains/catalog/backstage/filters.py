"""What a Backstage client asks to be told: ``filter`` parameters and predicates, as one condition on entities.

A filter is ``key=value,key2``: all must hold, values of one key are alternatives, several filters are alternatives. A
predicate (``$all``, ``$any``, ``$not``, ``$exists``, ``$in``, ``$contains``, ``$hasPrefix``) says the same and more.
Everything is compared without case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import sqlalchemy as sa

from uwu.kernel import tables
from uwu.kernel.entity_facts import compared
from uwu.kernel.errors import BadInput

E, F, R = tables.entities, tables.entity_facts, tables.relations

ORPHAN = "metadata.annotations.backstage.io/orphan"
LOCATION = "metadata.annotations.backstage.io/managed-by-location"
ORIGIN = "metadata.annotations.backstage.io/managed-by-origin-location"
RELATIONS = "relations"

MOST_CONDITIONS = 200
"""Conditions of one question: a database plans more of them badly."""

Condition = sa.ColumnElement[bool]


def of_filters(filters: Sequence[str]) -> Condition | None:
    """The condition of the ``filter`` parameters; None where there are none. Raises ``BadInput``."""
    sets = [_parts(text) for text in filters if text.strip()]
    if not sets:
        return None
    if sum(len(some) for some in sets) > MOST_CONDITIONS:
        raise _too_many()
    return either([sa.and_(*(_has(key, values) for key, values in some.items())) for some in sets])


def either(conditions: Sequence[Condition]) -> Condition:
    """That one of ``conditions`` holds: a union looks each up by itself, where an OR would look at all rows."""
    if len(conditions) == 1:
        return conditions[0]
    return E.c.ref.in_(sa.union(*(sa.select(E.c.ref).where(each) for each in conditions)))


def _parts(text: str) -> dict[str, list[str] | None]:
    """Key -> the values that it may have; None for any."""
    found: dict[str, list[str] | None] = {}
    for part in text.split(","):
        key, equals, value = (each.strip() for each in part.partition("="))
        if not key:
            raise _unreadable(f"{text!r} has a condition without a key", "write key or key=value, parted by commas")
        if not equals:
            found.setdefault(key, None)
        else:
            found[key] = [*(found.get(key) or ()), value]
    return found


def of_predicate(predicate: Any) -> Condition:
    """The condition of a predicate. Raises ``BadInput`` for one that is not of the language."""
    return _Predicates().read(predicate)


class _Predicates:
    def __init__(self) -> None:
        self._left = MOST_CONDITIONS

    def read(self, predicate: Any) -> Condition:
        self._left -= 1
        if self._left < 0:
            raise _too_many()
        if not isinstance(predicate, Mapping):
            return sa.false()  # an entity is an object: it equals no plain value
        told = cast("Mapping[str, Any]", predicate)
        operators = [key for key in told if key.startswith("$")]
        if operators:
            if len(told) > 1 or operators[0] not in {"$all", "$any", "$not"}:
                raise _unreadable(f"{', '.join(told)} do not stand together", "wrap them in $all")
            return self._joined(operators[0], told[operators[0]])
        return sa.and_(sa.true(), *(self._field(key, value) for key, value in told.items()))

    def _joined(self, operator: str, value: Any) -> Condition:
        if operator == "$not":
            return sa.not_(self.read(value))
        if not isinstance(value, list):
            raise _unreadable(f"{operator} takes a list", "")
        parts = [self.read(each) for each in cast("list[Any]", value)]
        if operator == "$all":
            return sa.and_(sa.true(), *parts)
        return either(parts) if parts else sa.false()

    def _field(self, key: str, value: Any) -> Condition:
        self._left -= 1
        if not isinstance(value, Mapping):
            return _has(key, [compared(value)]) if not isinstance(value, list) and value is not None else sa.false()
        told = cast("Mapping[str, Any]", value)
        if len(told) != 1:
            raise _unreadable(f"{key} has {len(told)} conditions", "give one, and wrap several in $all")
        (operator, given), *_ = told.items()
        if operator == "$exists":
            return _has(key, None) if given else sa.not_(_has(key, None))
        if operator == "$in" and isinstance(given, list):
            return _has(key, [compared(each) for each in cast("list[Any]", given)])
        if operator == "$hasPrefix" and isinstance(given, str):
            return _begins(key, given)
        if operator == "$contains":
            return self._contains(key, given)
        raise _unreadable(f"{key} has no {operator} of that form", "$exists, $in, $contains or $hasPrefix")

    def _contains(self, key: str, given: Any) -> Condition:
        if not isinstance(given, Mapping):
            return _has(f"{key}.{compared(given)}", ["true"])
        told = {str(k).lower(): v for k, v in cast("Mapping[str, Any]", given).items()}
        if key.lower() == RELATIONS and told.keys() <= {"type", "targetref"}:
            kind, target = told.get("type"), told.get("targetref")
            return _related(*(str(v).lower() if isinstance(v, str) else "" for v in (kind, target)))
        raise _unreadable(f"$contains of {key} takes a plain value", "objects are compared in relations alone")


def _has(key: str, values: Iterable[str] | None) -> Condition:
    """That the entity has ``key``, with one of ``values`` where they are given."""
    key = key.lower()
    wanted = None if values is None else [value.lower() for value in values]
    if key == RELATIONS and wanted is None:
        return _related("", "")
    if key.startswith(f"{RELATIONS}."):
        kind = key.removeprefix(f"{RELATIONS}.")
        if not wanted:
            return _related(kind, "") if wanted is None else sa.false()
        return either([_related(kind, target) for target in wanted])
    if key == ORPHAN:
        return E.c.orphan if wanted is None or "true" in wanted else sa.false()
    for name, column in ((LOCATION, "file:" + E.c.file), (ORIGIN, E.c.origin)):
        if key == name:
            return sa.true() if wanted is None else sa.func.lower(column).in_(wanted)
    if wanted is not None:
        return E.c.ref.in_(sa.select(F.c.ref).where(F.c.key == key, F.c.value.in_(wanted)))
    within = sa.and_(F.c.key > f"{key}.", F.c.key < f"{key}/")  # "/" follows "." in the order of bytes
    return E.c.ref.in_(sa.union(*(sa.select(F.c.ref).where(each) for each in (F.c.key == key, within))))


def _begins(key: str, prefix: str) -> Condition:
    low = prefix.lower()
    found = sa.select(F.c.ref).where(F.c.key == key.lower(), F.c.value.startswith(low, autoescape=True))
    return E.c.ref.in_(found)


def _related(kind: str, target: str) -> Condition:
    found = sa.select(R.c.source).where(R.c.valid_to.is_(None))
    if kind:
        found = found.where(sa.func.lower(R.c.kind) == kind)
    return E.c.ref.in_(found.where(R.c.target == target) if target else found)


def _unreadable(what: str, hint: str) -> BadInput:
    return BadInput(what, code="filter-malformed", place="filter", hint=hint)


def _too_many() -> BadInput:
    return _unreadable(f"there are more than {MOST_CONDITIONS} conditions", "ask several times")
