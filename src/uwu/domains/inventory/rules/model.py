"""How a rule is written: what it says of one resource, or of all together, and what it needs to have seen for that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from uwu.kernel import codec
from uwu.kernel.domain import Rule
from uwu.kernel.model import Found, Severity, Unjudged

if TYPE_CHECKING:
    from uwu.domains.inventory.rules.world import World

CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW


class Row(msgspec.Struct, frozen=True):
    """A resource as the rules look at it."""

    urn: str
    type: str
    account: str
    region: str
    name: str
    attributes: dict[str, Any]
    tags: dict[str, str]
    managed_by: str
    cell: str
    changed_at: datetime
    whole: bool
    """Its cell was observed completely: what it lacks is not set, rather than not seen."""

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute ``name``."""
        return self.attributes.get(name, default)

    def unread(self, *names: str) -> Lacking | None:
        """What is missing where one of ``names`` is not there and may only not have been seen."""
        missing = [name for name in names if name not in self.attributes]
        return Lacking(f"{missing[0]} was not observed") if missing and not self.whole else None

    def time(self, name: str) -> datetime | None:
        """The attribute ``name`` as a time; None where it is none."""
        value = self.attributes.get(name)
        try:
            return codec.parse_time(value) if isinstance(value, str) and value else None
        except ValueError:
            return None


@dataclass(frozen=True)
class Wrong:
    """What a rule says of a resource that is not as it should be."""

    title: str
    """What is wrong, after the resource's name: ``is open to the internet on tcp/22``."""
    path: str = ""
    observed: Any = None
    severity: Severity | None = None
    """Where it is not the rule's own."""
    remedy: str = ""
    """Where the rule's own does not fit."""
    since: datetime | None = None
    about: str = ""
    """What the title speaks of, where that is not the resource: ``Region eu-west-1``."""


@dataclass(frozen=True)
class Lacking:
    """What was not observed and is asked for: the rule can say nothing."""

    why: str


Said = Wrong | Lacking | None
OfOne = Callable[["World", Row], Iterable[Said] | Said]
OfAll = Callable[["World"], Iterable["Found | Unjudged"]]


@dataclass(frozen=True)
class Check:
    """A rule with how it judges: one resource of ``rule.types`` after another, or all together."""

    rule: Rule
    one: OfOne | None = None
    all: OfAll | None = None
    on: tuple[str, ...] = ()
    """The types whose resources ``one`` is given; the rule's others are only looked at."""
    exposed: bool = False
    """It asks whether the internet reaches the resource."""
    of_aws: bool = False
    """It judges what AWS itself makes too."""


@dataclass
class Book:
    """The checks of a module, in the order in which they are written."""

    theme: str
    checks: list[Check] = field(default_factory=list[Check])

    def one(
        self,
        id: str,
        title: str,
        severity: Severity,
        types: tuple[str, ...],
        *,
        why: str,
        remedy: str,
        references: tuple[str, ...] = (),
        rises: str = "",
        beside: tuple[str, ...] = (),
        exposed: bool = False,
        of_aws: bool = False,
        some: bool = True,
    ) -> Callable[[OfOne], OfOne]:
        """A rule that looks at one resource of ``types`` after another; ``beside`` are types that it stands on too."""

        def keep(judge: OfOne) -> OfOne:
            rule = self._rule(id, title, severity, (*types, *beside), why, remedy, references, rises, some)
            self.checks.append(Check(rule, one=judge, on=types, exposed=exposed, of_aws=of_aws))
            return judge

        return keep

    def all(
        self,
        id: str,
        title: str,
        severity: Severity,
        types: tuple[str, ...],
        *,
        why: str,
        remedy: str,
        references: tuple[str, ...] = (),
        rises: str = "",
    ) -> Callable[[OfAll], OfAll]:
        """A rule that must see all resources of ``types`` together."""

        def keep(judge: OfAll) -> OfAll:
            self.checks.append(
                Check(self._rule(id, title, severity, types, why, remedy, references, rises, False), all=judge)
            )
            return judge

        return keep

    def _rule(
        self,
        id: str,
        title: str,
        severity: Severity,
        types: tuple[str, ...],
        why: str,
        remedy: str,
        references: tuple[str, ...],
        rises: str,
        some: bool,
    ) -> Rule:
        return Rule(
            f"inventory.{id}",
            title,
            severity,
            some=some,
            theme=self.theme,
            why=why,
            remedy=remedy,
            references=references,
            types=types,
            rises=rises,
        )
