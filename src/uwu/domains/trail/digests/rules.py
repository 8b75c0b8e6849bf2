"""Findings of the trail's completeness: hours that are missing, and what somebody must have altered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

import sqlalchemy as sa

from uwu.domains.trail.detect.alerts import accounts_of
from uwu.domains.trail.digests import ledger
from uwu.kernel import codec
from uwu.kernel.domain import Rule
from uwu.kernel.model import Found, Severity
from uwu.kernel.runtime import Kernel

THEME = "Trail"
_TOLD = 20
"""Keys in a finding; all of them: `uwu trail faults`."""


def _check(tampering: bool) -> Callable[[Kernel, sa.Connection], Iterator[Found]]:
    def check(_kernel: Kernel, connection: sa.Connection) -> Iterator[Found]:
        accounts = accounts_of(connection)
        kept = [fault for fault in ledger.all_faults(connection) if fault.tampering == tampering]
        for (account, region), group in groupby(kept, key=lambda fault: (fault.account, fault.region)):
            faults = list(group)
            since, until = faults[0].since, max(fault.until for fault in faults)
            what = "was altered" if tampering else "is missing"
            yield Found(
                subject=accounts.get(account) or f"arn:aws:iam::{account}:root",
                path=region,
                title=f"CloudTrail of {region} {what}: {_files(len(faults))}, "
                f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC",
                type="aws_account" if account in accounts else "",
                account=account,
                region=region,
                observed={
                    "files": len(faults),
                    "since": codec.iso(since),
                    "until": codec.iso(until),
                    "named": [{"code": f.code, "object": f"s3://{f.bucket}/{f.key}"} for f in faults[:_TOLD]],
                },
                place=f"s3://{faults[0].bucket}/{faults[0].key}",
                since=since,
            )

    return check


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


RULES = (
    Rule(
        id="trail.tampered",
        title="What CloudTrail delivered was altered",
        severity=Severity.CRITICAL,
        check=_check(tampering=True),
        theme=THEME,
        why="A log file or digest that is not as CloudTrail signed it can hide what happened, or tell what did not.",
        remedy="Keep the bucket as it is, look for who wrote to it (its S3 data events), restore the versions.",
        references=("CIS AWS 3.0 3.2",),
    ),
    Rule(
        id="trail.gap",
        title="A part of the trail is missing",
        severity=Severity.HIGH,
        check=_check(tampering=False),
        theme=THEME,
        why="What happened in the hours that are missing cannot be told, nor that nothing happened.",
        remedy="Look for who deleted the objects or stopped the trail; restore the objects' versions, then "
        "`uwu trail verify --since` the time.",
        references=("CIS AWS 3.0 3.1", "CIS AWS 3.0 3.2"),
    ),
)
