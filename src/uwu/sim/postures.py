"""What the company has declared and built wrongly: each kept in a ledger of its own with the rule that must find it.

None of it is drift: the states declare it so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uwu.sim.judge import Drift, Posture

VENDOR = "998877665544"
"""An account of somebody else, trusted without an external id."""
OPEN_DEFAULTS, NO_BLOCK = "payments-prod", "storefront-prod"
"""The account whose first region does not encrypt volumes, and the one that does not forbid public buckets."""
OLD_RUNTIME, RUNTIME = "catalogue", "python3.8"
ONE_ZONE = "sessions"
PLAIN_SECRET, VARIABLE = "mailer", "SMTP_PASSWORD"

_CHANGES = {
    "deletion_protection": "inventory.database-no-deletion-protection",
    "enable_key_rotation": "inventory.key-rotation",
}
"""Attributes that people change by hand -> the rule that a change breaks too."""


def guard(account: str, regions: Iterable[str], client: Any, *, block: bool = True, plain: str = "") -> None:
    """The account's defaults: no public buckets, volumes encrypted but in the region ``plain``."""
    if block:
        flags = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        client("s3control", "us-east-1").put_public_access_block(
            AccountId=account, PublicAccessBlockConfiguration=dict.fromkeys(flags, True)
        )
    for region in regions:
        if region != plain:
            client("ec2", region).enable_ebs_encryption_by_default()


def of_changes(ledger: Iterable[Drift]) -> list[Posture]:
    """What the changes of ``ledger`` broke beside being changes."""
    return [
        Posture(kind=drift.kind, rule=_CHANGES[expected.path], subject=expected.subject)
        for drift in ledger
        for expected in drift.expected
        if expected.path in _CHANGES
    ]
