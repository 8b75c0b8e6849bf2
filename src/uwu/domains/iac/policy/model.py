"""A rule over plans, and what it says of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from uwu.domains.iac.plan_json import Change, Op, Plan
from uwu.kernel.errors import Problem
from uwu.kernel.model import Severity


@dataclass(frozen=True)
class PlanRule:
    """What a plan must not do. Exactly one of ``change``, ``plan`` and ``cedar`` says when it fires."""

    id: str
    """``plan.bucket-public``."""
    title: str
    severity: Severity
    why: str
    """Why it is worth a stop, in one sentence."""
    remedy: str
    """What to write instead."""
    mandatory: bool = False
    """A run is refused where it fires; else it is told, and whoever approves decides."""
    change: Callable[[Change], Iterable[str]] | None = None
    """A sentence for each thing that is wrong with one change. It is asked for changes alone, no no-op."""
    plan: Callable[[Plan], Iterable[tuple[str, str]]] | None = None
    """(address, sentence) for each thing that is wrong with the whole; the address may be empty."""
    cedar: str = ""
    """A policy: it fires where it forbids. See ``cedar``."""
    types: frozenset[str] = frozenset()
    """The types that ``change`` is asked for; empty for all."""
    place: str = ""
    """``file:line`` of a rule that a file brings."""


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a rule says of a plan."""

    rule: str
    title: str
    severity: Severity
    mandatory: bool
    address: str
    """Of the resource; empty where it is the plan as a whole."""
    subject: str
    """The resource's urn, or ``stack#address`` where it has none: what an exemption names."""
    message: str
    why: str
    remedy: str
    exemption: str = ""
    """The id of what exempts it; empty where nothing does."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What all rules say of a plan."""

    rules: int
    """How many were asked."""
    violations: tuple[Violation, ...]
    """The most severe first; the exempt ones too."""
    problems: tuple[Problem, ...] = ()
    """Rules that could not judge: nothing is known to be right then."""

    @property
    def failed(self) -> tuple[Violation, ...]:
        """Those that stop a run."""
        return tuple(v for v in self.violations if v.mandatory and not v.exemption)

    @property
    def warned(self) -> tuple[Violation, ...]:
        """Those that are told only."""
        return tuple(v for v in self.violations if not v.mandatory and not v.exemption)

    @property
    def exempt(self) -> tuple[Violation, ...]:
        """Those that an exemption covers."""
        return tuple(v for v in self.violations if v.exemption)


def wanted(change: Change) -> dict[str, Any]:
    """What the resource would be; empty where it is destroyed."""
    return (change.after or {}) if change.op is not Op.DELETE else {}


def blocks(value: Any) -> list[dict[str, Any]]:
    """The blocks of an attribute: Terraform writes a block as a list of objects."""
    if isinstance(value, dict):
        return [value]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
