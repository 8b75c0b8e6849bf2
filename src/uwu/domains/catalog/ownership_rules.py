"""Ownership by rule: the estate's ``OwnershipRule`` entities say who owns what matches.

All conditions of a rule must hold; of a condition with several patterns one. The rule with the most conditions decides,
among equals the one that spells out more; where two decide differently, they contradict each other and that is shown.
"""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import graph, tables, urns
from uwu.kernel.model import Entity, Evidence
from uwu.kernel.schema import Violation

_PLACES = ("type", "account", "region")
STACK_TAG = "aws:cloudformation:stack-name"


def check(spec: Mapping[str, Any]) -> Iterable[Violation]:
    """What the schema cannot say: a rule that matches everything is none."""
    match = spec.get("match")
    if isinstance(match, Mapping) and all(set(p) <= {"*"} for _, several in _conditions(match) for p in several):
        hint = "say an account, a name or a tag; that an account has an owner is said by its Account"
        yield Violation(("match",), "it matches every resource", hint)


def _conditions(match: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for name, given in match.items():
        if name == "tags" and isinstance(given, Mapping):
            for key, value in given.items():
                yield f"tags.{key}", _several(value)
        else:
            yield name, _several(given)


def _several(given: Any) -> list[str]:
    return [str(each) for each in given] if isinstance(given, list) else [str(given)]


class Rule(msgspec.Struct, frozen=True):
    """An ``OwnershipRule``, ready to be asked."""

    ref: str
    place: str
    owner: str
    exact: bool
    """It names resources by their ARN: that is the estate's own word, stronger than a tag."""
    rank: tuple[int, int]
    """How many conditions it has, and how much they spell out."""
    conditions: dict[str, re.Pattern[str]]
    settles: tuple[str, ...]


def rule(entity: Entity, owner: str) -> Rule:
    """The rule that ``entity`` is, for its ``owner`` as a reference."""
    conditions: dict[str, re.Pattern[str]] = {}
    spelled, exact = 0, False
    for name, patterns in _conditions(entity.spec["match"]):
        if name == "arn":
            exact = not any(set(pattern) & set("*?[") for pattern in patterns)
            patterns = [urns.canonical(pattern) if urns.parse(pattern) else pattern for pattern in patterns]
        spelled += min(sum(char not in "*?" for char in pattern) for pattern in patterns)
        conditions[name] = re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in patterns))
    settles = tuple(str(each) for each in entity.spec.get("settles", ()))
    rank = (len(conditions), spelled)
    return Rule(entity.ref, str(entity.place), owner, exact, rank, conditions, settles)


def evidence(
    connection: sa.Connection, entities: Sequence[Entity], owners: Mapping[str, str], rows: Iterable[Any]
) -> Iterator[Evidence]:
    """What the rules say of ``rows`` (urn, name, tags, type, account, region).

    ``owners``: a rule's reference -> its owner; a rule whose owner is not declared says nothing.
    """
    rules = [rule(each, owners[each.ref]) for each in entities if owners.get(each.ref)]
    if not rules:
        return
    asked = {name for one in rules for name in one.conditions}
    names = graph.account_names(connection) if "account" in asked else {}
    states = _states(connection) if "state" in asked else {}
    near: dict[tuple[str, str, str], list[Rule]] = {}
    for row in rows:
        place = (row.type, row.account, row.region)
        if place not in near:
            near[place] = [one for one in rules if _placed(one, *place, names.get(row.account, ""))]
        matching = [one for one in near[place] if _matches(one, row, states)]
        if matching:
            best = max(one.rank for one in matching)
            for one in matching:
                if one.rank == best:
                    yield Evidence(
                        subject=row.urn,
                        owner=one.owner,
                        kind="estate" if one.exact else "rule",
                        source=f"{one.ref} at {one.place}",
                        settles=one.settles,
                    )


def _placed(one: Rule, type: str, account: str, region: str, name: str) -> bool:
    given = {"type": (type,), "region": (region,), "account": (account, name)}
    return all(
        any(one.conditions[key].match(value.lower()) for value in given[key])
        for key in _PLACES
        if key in one.conditions
    )


def _matches(one: Rule, row: Any, states: Mapping[str, set[str]]) -> bool:
    tags: dict[str, str] | None = None
    for name, pattern in one.conditions.items():
        if name in _PLACES:
            continue
        if name.startswith("tags.") or name == "stack":
            if tags is None:
                tags = {str(key).lower(): str(value).lower() for key, value in row.tags.items()}
            value = tags.get(STACK_TAG if name == "stack" else name.removeprefix("tags.").lower())
            if value is None or not pattern.match(value):
                return False
        elif name == "state":
            if not any(pattern.match(each) for each in states.get(row.urn, ())):
                return False
        elif not pattern.match((row.urn if name == "arn" else row.name).lower()):
            return False
    return True


def _states(connection: sa.Connection) -> dict[str, set[str]]:
    """By urn the stacks whose states hold it, as reference and as name."""
    d = tables.declarations
    found: defaultdict[str, set[str]] = defaultdict(set)
    for urn, source in connection.execute(sa.select(d.c.urn, d.c.source).where(d.c.urn != "")):
        stack = str(source).partition("@")[0].lower()
        found[urn] |= {stack, stack.rpartition("/")[2]}
    return found
