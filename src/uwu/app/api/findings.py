"""What is not as it should be: findings, changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from uwu.app.api.world import READ
from uwu.kernel import codec, drift, moments, subjects
from uwu.kernel.drift import Findings
from uwu.kernel.model import Change, Finding
from uwu.kernel.runtime import Kernel

Status = Literal["unresolved", "open", "stale", "closed", "exempt", "all"]


@get("/findings", sync_to_thread=True, opt=READ)
def list_findings(
    kernel: NamedDependency[Kernel],
    status: FromQuery[Status] = "unresolved",
    severity: FromQuery[Literal["critical", "high", "medium", "low", ""]] = "",
    rule: FromQuery[str] = "",
    domain: FromQuery[str] = "",
    owner: FromQuery[str | None] = None,
    account: FromQuery[str] = "",
    type: FromQuery[str] = "",
    actor: FromQuery[str] = "",
    subject: FromQuery[str] = "",
    text: FromQuery[str] = "",
    at: FromQuery[str] = "",
    limit: FromQuery[int] = 50,
    after: FromQuery[str] = "",
) -> Findings:
    """Findings, the most severe first. ``status`` is open, stale, closed, exempt, unresolved or all.

    ``at`` asks for those that were unresolved at a past time (ISO 8601, a day, or so long ago: 3h, 2d).
    """
    with kernel.db.read() as connection:
        return drift.findings(
            connection,
            status=status,
            severity=severity,
            rule=rule,
            domain=domain,
            owner=owner,
            account=account,
            type=type,
            actor=actor,
            subject=subjects.resolve(connection, subject) if subject else "",
            text=text,
            at=moments.parse(at) if at else None,
            limit=limit,
            after=after,
        )


@get("/findings/{id:str}", sync_to_thread=True, opt=READ)
def get_finding(kernel: NamedDependency[Kernel], id: FromPath[str]) -> Finding:
    """One finding."""
    with kernel.db.read() as connection:
        return drift.finding(connection, id)


@get("/changes", sync_to_thread=True, opt=READ)
def list_changes(
    kernel: NamedDependency[Kernel],
    subject: FromQuery[str] = "",
    hours: FromQuery[int] = 24,
    limit: FromQuery[int] = 100,
) -> list[Change]:
    """Successful writes, newest first: of one subject, or of everything in the last ``hours``."""
    log = kernel.change_log
    if log is None:
        return []
    if not subject:
        return log.recent(since=codec.now() - timedelta(hours=hours), limit=limit)
    with kernel.db.read() as connection:
        urn = subjects.resolve(connection, subject)
    return log.changes([urn], limit=limit)


HANDLERS: list[Any] = [list_findings, get_finding, list_changes]
