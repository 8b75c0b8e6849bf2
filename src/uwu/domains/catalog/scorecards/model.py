"""The nouns of scorecards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from uwu.domains.catalog.scorecards.facts import Service, World

PREFIX = "scorecard."
"""A check as exemptions name it: ``scorecard.runbook``."""


class Status(StrEnum):
    """What a check says of an entity. What is not known is neither passed nor failed."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    EXEMPT = "exempt"
    """It is failed or not known, and somebody has said that until a day it may be."""


class Proof(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a verdict stands on, to look at."""

    kind: str
    """``finding``, ``resource``, ``entity``, ``cell`` or ``rule``."""
    key: str
    """A finding's id, a urn, a reference, a coverage cell, a rule's id."""
    text: str = ""
    """In words: a finding's title, the place of an entity."""
    subject: str = ""
    """What a finding is of."""


class Verdict(msgspec.Struct, frozen=True):
    """What a check says of one entity, in a sentence, and on what it stands."""

    status: Status
    text: str
    proofs: tuple[Proof, ...] = ()


@dataclass(frozen=True)
class Check:
    """One thing that is asked of an entity."""

    id: str
    title: str
    """What holds where it is passed: ``Names a runbook``."""
    why: str
    remedy: str
    """What mends it where it is failed."""
    theme: str
    weight: int
    judge: Callable[[World, Service], Verdict]


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A check's verdict within a scorecard."""

    check: str
    level: str
    weight: int
    status: Status
    text: str
    proofs: tuple[Proof, ...] = ()
    since: datetime
    """Since when it has been of this status."""
    until: datetime | None = None
    """When what exempts it ends."""


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """How an entity stands on a scorecard."""

    card: str
    entity: str
    title: str
    kind: str
    type: str
    owner: str
    """A reference; empty where it declares none."""
    level: str
    """The highest whose checks, and those of all levels below, are passed or exempt; empty for none."""
    reachable: str
    """The level, were all that is not known passed."""
    rank: int
    """The level's place on the card, from 1; 0 for none."""
    score: float | None
    """Percent by weight of what is passed among what is known; None where nothing is."""
    passed: int
    failed: int
    unknown: int
    exempt: int
    statuses: dict[str, Status]
    """By check, in the card's order."""


class Graded(msgspec.Struct, frozen=True):
    """A grade with every verdict of it."""

    grade: Grade
    results: list[Result]
