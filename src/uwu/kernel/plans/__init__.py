"""Plans: what would be done, who must agree, doing it, and the proof.

``model`` holds the nouns and the limits, ``store`` reads and writes of them, ``approve`` the asking and the deciding,
``apply`` the durable job.
"""

from __future__ import annotations

from uwu.kernel.plans.model import (
    DESTRUCTIVE,
    Action,
    Affected,
    Done,
    Plan,
    PlannedChange,
    SafetyLimit,
    Step,
    UnsafePlan,
    check_current,
    check_safe,
    mender_of,
)

__all__ = [
    "DESTRUCTIVE",
    "Action",
    "Affected",
    "Done",
    "Plan",
    "PlannedChange",
    "SafetyLimit",
    "Step",
    "UnsafePlan",
    "check_current",
    "check_safe",
    "mender_of",
]
