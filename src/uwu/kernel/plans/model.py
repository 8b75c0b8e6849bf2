"""Plans: ordered changes bound to the hash of what was declared and of what was observed. Safety before size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from uwu.kernel import codec
from uwu.kernel.domain import Domain, Planner
from uwu.kernel.errors import Conflict, Misconfigured
from uwu.kernel.model import Finding
from uwu.kernel.settings import AwsSettings

if TYPE_CHECKING:
    from uwu.kernel.aws import Aws
    from uwu.kernel.runtime import Kernel


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"


DESTRUCTIVE = frozenset({Action.UPDATE, Action.REPLACE, Action.DELETE})


class PlannedChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of one subject."""

    subject: str
    action: Action
    title: str = ""
    """For people, with its verb: ``revoke ingress tcp 22 from 0.0.0.0/0``."""
    before: Any = None
    after: Any = None
    reason: str = ""
    """The finding or the declaration that asks for it."""
    owner: str = ""
    """Who must agree beside the subject's own owner: the group that a change makes its owner."""
    harmless: bool = False
    """Where it fails, those after it are applied nevertheless."""


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan does not change and would feel it: it depends on what is deleted or replaced."""

    subject: str
    owner: str
    """A group's reference; empty for nobody."""
    why: str
    """The shortest path from it to what is gone, for people."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done, in order."""

    domain: str
    planner: str = ""
    title: str
    changes: tuple[PlannedChange, ...]
    declared_hash: str
    observed_hash: str
    subjects_total: int
    """How many subjects the plan's scope holds: the base of the safety limit."""
    notes: tuple[str, ...] = ()
    """What was asked for and is not in it, and why."""
    affected: tuple[Affected, ...] = ()
    """The blast radius, where the planner knows it: the nearest of each owner."""

    @property
    def hash(self) -> str:
        """What an approval binds: any other change, order, declaration or observation gives another one."""
        return codec.digest(self)

    @property
    def subjects(self) -> tuple[str, ...]:
        """What it touches, in the order of its changes."""
        return tuple(dict.fromkeys(change.subject for change in self.changes))


class SafetyLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How much of its scope a plan may touch unless it is forced (the limit that octoDNS proved for zones)."""

    min_subjects: int = 10
    """Below so many subjects in scope no share is computed: small scopes change whole."""
    max_share: float = 0.30
    """The share of the scope that updates, replacements and deletions may touch."""


class UnsafePlan(Conflict):
    """The plan touches more than its safety limit allows."""

    code = "plan-unsafe"


def touched(plan: Plan) -> int:
    """How many subjects it updates, replaces or deletes."""
    return len({change.subject for change in plan.changes if change.action in DESTRUCTIVE})


def check_safe(plan: Plan, limit: SafetyLimit | None = None, *, force: bool = False) -> None:
    """Raises ``UnsafePlan`` where updates, replacements and deletions exceed the limit and ``force`` is not given."""
    limit = limit or SafetyLimit()
    if force or plan.subjects_total < limit.min_subjects:
        return
    share = touched(plan) / plan.subjects_total
    if share > limit.max_share:
        raise UnsafePlan(
            f"{plan.title} would change or delete {touched(plan)} of {plan.subjects_total} subjects "
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


def mender_of(domains: Iterable[Domain], finding: Finding) -> Planner | None:
    """The planner that can mend ``finding``; None where none can."""
    for domain in domains:
        for planner in domain.planners:
            for mends in planner.mends:
                fits = mends.rule == finding.rule
                fits = fits and (not mends.types or finding.type in mends.types)
                if fits and (not mends.paths or finding.path.partition(".")[0] in mends.paths):
                    return planner
    return None


# ---- applying one change


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How applying one change went where it did not fail."""

    note: str
    """What was called, for the log: ``ec2:RevokeSecurityGroupIngress``. No secret."""
    already: bool = False
    """It was so before: an earlier try of this plan, or another hand, had done it."""


@dataclass(frozen=True)
class Step:
    """What a planner's ``apply`` is given: one change of one plan at a time."""

    kernel: Kernel
    plan: str
    plan_number: int
    number: int
    """Of the change, from 0."""

    @property
    def token(self) -> str:
        """The same for every try of this change, 64 characters at the most: AWS's ClientToken."""
        return codec.digest([self.plan, self.number])

    @property
    def aws(self) -> Aws:
        """AWS in the role that applies, each session named for the plan: CloudTrail tells which one it was.

        Raises ``Misconfigured`` (code ``apply-off``) where no such role is set.
        """
        settings = self.kernel.settings.aws
        require_apply_role(settings.apply_role_name, settings.role_name)
        return _hands(settings, self.plan_number)


@lru_cache(maxsize=4)
def _hands(settings: AwsSettings, plan_number: int) -> Aws:
    """One way to AWS for all changes of a plan: its clients and credentials are made once."""
    from uwu.kernel.aws import Aws

    return Aws(settings, role=settings.apply_role_name, session_name=f"uwu-plan-{plan_number}")


def require_apply_role(apply_role: str, observer_role: str) -> None:
    """Raises ``Misconfigured`` (code ``apply-off``) where there is no role to apply with, or it is the observer's."""
    if not apply_role:
        raise Misconfigured(
            "applying is off: there is no role to apply with",
            code="apply-off",
            place="aws.apply_role_name",
            hint="set aws.apply_role_name to a role of its own that each account lets us assume",
        )
    if apply_role == observer_role:
        raise Misconfigured(
            f"applying is off: {apply_role} is the observer's role, which must only read",
            code="apply-off",
            place="aws.apply_role_name",
            hint="give aws.apply_role_name a role of its own",
        )
