"""Scorecards: which checks, at which level, for which entities. One is shipped; the estate declares others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa

from uwu.domains.catalog.scorecards import declared as said
from uwu.domains.catalog.scorecards import observed as seen
from uwu.domains.catalog.scorecards.facts import Service
from uwu.domains.catalog.scorecards.model import PREFIX, Check
from uwu.kernel import declared
from uwu.kernel.model import Entity
from uwu.kernel.runtime import Kernel
from uwu.kernel.schema import Violation, near

CHECKS: dict[str, Check] = {check.id: check for check in (*said.CHECKS, *seen.CHECKS)}
"""The shipped checks by their id."""
STANDARD = "standard"
"""The shipped scorecard. One of this name in the estate takes its place."""
MOST_CARDS = 50


@dataclass(frozen=True)
class Asked:
    """A check at a level of a card."""

    check: Check
    level: str
    rank: int
    """The level's place, from 1."""
    weight: int


@dataclass(frozen=True)
class Card:
    """A scorecard."""

    name: str
    title: str
    description: str
    levels: tuple[str, ...]
    """The lowest first."""
    asked: tuple[Asked, ...]
    kinds: tuple[str, ...] = ("component",)
    """Lower case."""
    types: frozenset[str] = frozenset()
    except_types: frozenset[str] = frozenset()
    lifecycles: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    """One of them is enough."""
    place: str = ""
    """Where it is declared; empty for the shipped one."""

    def takes(self, service: Service) -> bool:
        """Whether an entity stands on it."""
        entity = service.entity
        type, lifecycle = _lower(entity.spec.get("type")), _lower(entity.spec.get("lifecycle"))
        tags = {_lower(tag) for tag in cast("list[Any]", entity.metadata.get("tags") or [])}
        owner = service.owner
        return (
            entity.kind.lower() in self.kinds
            and (not self.types or type in self.types)
            and type not in self.except_types
            and (not self.lifecycles or lifecycle in self.lifecycles)
            and (not self.tags or bool(self.tags & tags))
            and (not self.owners or owner in self.owners or owner.rpartition("/")[2] in self.owners)
        )


def _lower(value: Any) -> str:
    return str(value or "").lower()


def _asked(levels: Iterable[tuple[str, Iterable[tuple[str, int]]]]) -> tuple[Asked, ...]:
    return tuple(
        Asked(CHECKS[id], level, rank, weight or CHECKS[id].weight)
        for rank, (level, checks) in enumerate(levels, 1)
        for id, weight in checks
    )


def _names(*ids: str) -> list[tuple[str, int]]:
    return [(id, 0) for id in ids]


SHIPPED = Card(
    name=STANDARD,
    title="Production standard",
    description="Owned, seen, safe, and fit to be run at night.",
    levels=("bronze", "silver", "gold"),
    asked=_asked(
        (
            ("bronze", _names("owner", "description", "tier", "attached", "coverage", "exposure", "severe-findings")),
            (
                "silver",
                _names(
                    "runbook",
                    "docs",
                    "on-call",
                    "resources-owned",
                    "in-code",
                    "no-drift",
                    "encryption",
                    "secrets",
                    "credentials",
                    "api-definition",
                ),
            ),
            ("gold", _names("slo", "team", "system", "dependencies", "supported", "resilience", "waste")),
        )
    ),
    except_types=frozenset({"library", "documentation"}),
)


def violations(spec: Mapping[str, Any]) -> Iterable[Violation]:
    """What the schema of a Scorecard cannot say: that its checks are there, each once, and its levels differ."""
    levels: set[str] = set()
    checks: set[str] = set()
    for i, level in enumerate(spec["levels"]):
        name = level["name"].lower()
        if name in levels:
            yield Violation(("levels", i, "name"), f"the level {name} stands twice", "name each level once")
        levels.add(name)
        for j, each in enumerate(level["checks"]):
            id = each if isinstance(each, str) else each["check"]
            path = ("levels", i, "checks", j)
            if id not in CHECKS:
                hint = near(id, CHECKS) or f"one of: {', '.join(sorted(CHECKS))}"
                yield Violation(path, f"there is no check {id!r}", hint)
            if id in checks:
                yield Violation(path, f"the check {id} stands twice", "ask for each check at one level")
            checks.add(id)


def of(entity: Entity) -> Card:
    """The card that an accepted entity of the kind Scorecard declares, without checks that are no longer shipped."""
    levels: list[tuple[str, list[tuple[str, int]]]] = []
    for level in entity.spec["levels"]:
        told = [(c, 0) if isinstance(c, str) else (c["check"], int(c.get("weight", 0))) for c in level["checks"]]
        levels.append((level["name"].lower(), [(id, weight) for id, weight in told if id in CHECKS]))
    selects = cast("dict[str, list[str]]", entity.spec.get("entities") or {})

    def among(name: str) -> frozenset[str]:
        return frozenset(one.lower() for one in selects.get(name, ()))

    return Card(
        name=entity.name.lower(),
        title=str(entity.metadata.get("title") or entity.name),
        description=str(entity.metadata.get("description") or ""),
        levels=tuple(name for name, _ in levels),
        asked=_asked(levels),
        kinds=tuple(sorted(among("kinds"))) or ("component",),
        types=among("types"),
        except_types=among("exceptTypes"),
        lifecycles=among("lifecycles"),
        owners=among("owners"),
        tags=among("tags"),
        place=str(entity.place),
    )


def standing(connection: sa.Connection) -> list[Card]:
    """The cards there are, by name: those of the estate (of one name the first by reference), and the shipped one."""
    cards = {STANDARD: SHIPPED}
    for entity in reversed(declared.entities(connection, kind="scorecard", orphan=False, limit=MOST_CARDS)):
        cards[entity.name.lower()] = of(entity)
    return [cards[name] for name in sorted(cards)]


def exemptable(_kernel: Kernel) -> list[str]:
    """The checks as exemptions name them."""
    return [f"{PREFIX}{id}" for id in CHECKS]
