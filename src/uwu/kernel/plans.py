"""Plans: ordered changes bound to the hash of what was declared and of what was observed. Safety before size.

Appliers come with the domains; here are the types, the hashes and the limits.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from uwu.kernel import codec
from uwu.kernel.errors import Conflict


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"


DESTRUCTIVE = frozenset({Action.UPDATE, Action.REPLACE, Action.DELETE})


class PlannedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one subject."""

    subject: str
    action: Action
    before: Any = None
    after: Any = None
    reason: str = ""
    """The finding or the declaration that asks for it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done, in order."""

    domain: str
    title: str
    changes: tuple[PlannedChange, ...]
    declared_hash: str
    observed_hash: str
    subjects_total: int
    """How many subjects the plan's scope holds: the base of the safety limit."""

    @property
    def hash(self) -> str:
        """What an approval binds: any other change, order, declaration or observation gives another one."""
        return codec.digest(self)


class SafetyLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How much of its scope a plan may touch unless it is forced (the limit that octoDNS proved for zones)."""

    min_subjects: int = 10
    """Below so many subjects in scope no share is computed: small scopes change whole."""
    max_share: float = 0.30
    """The share of the scope that updates, replacements and deletions may touch."""


class UnsafePlan(Conflict):
    """The plan touches more than its safety limit allows."""

    code = "plan-unsafe"


def check_safe(plan: Plan, limit: SafetyLimit | None = None, *, force: bool = False) -> None:
    """Raises ``UnsafePlan`` where updates, replacements and deletions exceed the limit and ``force`` is not given."""
    limit = limit or SafetyLimit()
    if force or plan.subjects_total < limit.min_subjects:
        return
    touched = len({change.subject for change in plan.changes if change.action in DESTRUCTIVE})
    share = touched / plan.subjects_total
    if share > limit.max_share:
        raise UnsafePlan(
            f"{plan.title} would change or delete {touched} of {plan.subjects_total} subjects "
            f"({share:.0%}; the limit is {limit.max_share:.0%})",
            hint="check that the source is whole; where it is meant, ask for it with force",
        )


def check_current(plan: Plan, *, declared_hash: str, observed_hash: str) -> None:
    """Raises ``Conflict`` where what was declared or observed is no longer what the plan was made from."""
    for what, planned, found in (
        ("declared", plan.declared_hash, declared_hash),
        ("observed", plan.observed_hash, observed_hash),
    ):
        if planned != found:
            raise Conflict(
                f"what is {what} has changed since {plan.title} was made",
                code="plan-outdated",
                hint="make the plan again; approvals of the old one do not count",
            )
