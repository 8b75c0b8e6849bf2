"""The formula, and nothing else: what a finding weighs, and how weights become a number from 0 to 100."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from uwu.kernel.model import Severity

WEIGHT = {Severity.CRITICAL: 10.0, Severity.HIGH: 5.0, Severity.MEDIUM: 2.0, Severity.LOW: 1.0}
UNSEEN = 1.0
"""What a part of an account weighs that was not observed completely."""
AGES_OVER = timedelta(days=30)
"""A finding weighs twice as much once it is so old."""
REMEMBERED = timedelta(days=30)
"""A subject that is gone, or has moved to another owner, still counts for so long where it was."""
SCOPES = ("all", "domain", "service", "owner", "account")


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The entropy of one scope: ``scope`` is ``all``, ``domain``, ``service``, ``owner`` or ``account``."""

    scope: str
    key: str
    """A domain's name, a reference, an account's number; empty for all, for nobody, and for no account."""
    entropy: float
    """0 to 100, to two decimals."""
    findings: int
    """Unresolved ones: open and stale."""
    stale: int
    """Those of them that nobody has looked at lately."""
    unowned: int
    """Subjects without an owner."""
    unseen: int
    """Parts of accounts that were not observed completely; of the whole and of accounts."""
    subjects: int
    """What is declared or observed, or was within the last 30 days."""
    weight: float
    """The sum before scaling, to two decimals."""
    measured_at: datetime


def age_factor(opened_at: datetime, at: datetime) -> float:
    """1 for a finding of now, 2 for one of 30 days and more."""
    return 1.0 + min(max((at - opened_at) / AGES_OVER, 0.0), 1.0)


def weigh(severity: str, opened_at: datetime, at: datetime) -> float:
    """What one unresolved finding weighs."""
    return WEIGHT[Severity(severity)] * age_factor(opened_at, at)


def weigh_unseen(complete_at: datetime | None, at: datetime) -> float:
    """What a part weighs that was last seen whole then; one that never was weighs as one of 30 days ago."""
    return UNSEEN * (age_factor(complete_at, at) if complete_at is not None else 2.0)


def scale(weight: float, subjects: int) -> float:
    """The sum of weights over ``subjects`` on the scale 0-100: a critical finding of today on each would be 100."""
    return min(100.0, 100.0 * weight / (max(subjects, 1) * WEIGHT[Severity.CRITICAL]))
