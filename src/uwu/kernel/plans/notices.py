"""Who is told of a plan: those who must decide it, then whoever asked for it, then the owners of what it changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from uwu.kernel import notify
from uwu.kernel.notify import Notice
from uwu.kernel.plans.store import APPLIED, APPROVED, REJECTED, VOID, Stored

SEVERITY = {VOID: "low", "failed": "high"}
"""What needs someone again; the other turns are good to know."""


def waits(connection: sa.Connection, stored: Stored) -> None:
    """Tells the groups of which one each must approve; where an admin must, whoever is told of what nobody owns."""
    first, *others = stored.required or [""]
    _tell(
        connection,
        stored,
        "waiting",
        "medium",
        first,
        tuple(others),
        f"Plan {stored.number} waits for approval: {stored.title}",
        {"asked by": stored.requested_by, "why": stored.reason, "expires": stored.expires_at},
    )


def turned(connection: sa.Connection, stored: Stored, status: str, why: str) -> None:
    """Tells the requester that the plan is approved, rejected or void, or has been applied or has failed.

    Of the last two the owners are told too.
    """
    owners = tuple(stored.owners) if status not in (APPROVED, REJECTED, VOID) else ()
    said = {APPLIED: "is applied", "failed": "failed"}.get(status, f"is {status}")
    title = f"Plan {stored.number} {said}: {stored.title}"
    severity = SEVERITY.get(status, "info")
    _tell(connection, stored, status, severity, stored.requested_by, owners, title, {"why": why} if why else {})


def _tell(
    connection: sa.Connection,
    stored: Stored,
    turn: str,
    severity: str,
    owner: str,
    owners: tuple[str, ...],
    title: str,
    detail: Mapping[str, Any],
) -> None:
    notify.tell(
        connection,
        Notice(
            kind=f"plan.{turn}",
            subject=stored.id,
            owner=owner,
            owners=owners,
            severity=severity,
            title=title,
            detail=detail,
            path=f"/plans/{stored.number}",
        ),
    )
