"""Findings that open, close or fall silent -> notices, without a flood: many of one owner at once are one notice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from uwu.kernel.notify.notices import SEVERITIES, Notice
from uwu.kernel.settings import NotifySettings

Turn = Literal["opened", "reopened", "closed", "stale"]

SINGLY = 10
"""So many turns of one owner in one judging are told one by one; more are one notice that counts them."""
SHOWN = 5
"""Titles that such a notice names."""

SAYS: dict[Turn, str] = {
    "opened": "opened",
    "reopened": "is back",
    "closed": "is closed",
    "stale": "is no longer observed",
}


class Turned(msgspec.Struct, frozen=True):
    """A finding whose status changed."""

    turn: Turn
    id: str
    title: str
    severity: str
    owner: str
    subject: str
    account: str
    actor: str
    """Who changed it; empty where unknown."""
    opened_at: datetime


def of(settings: NotifySettings, turned: Iterable[Turned], at: datetime) -> list[Notice]:
    """What is to be told of ``turned``, the outcome of the judging at ``at``."""
    worst = SEVERITIES[: SEVERITIES.index(settings.finding_severity) + 1]
    by_owner: defaultdict[str, list[Turned]] = defaultdict(list)
    for one in turned:
        if one.severity in worst:
            by_owner[one.owner].append(one)
    notices: list[Notice] = []
    for owner, found in by_owner.items():
        found.sort(key=lambda one: (SEVERITIES.index(one.severity), one.title, one.id))
        if len(found) <= SINGLY:
            notices += [_one(one, at) for one in found]
        else:
            notices.append(_many(owner, found, at))
    return notices


def _one(one: Turned, at: datetime) -> Notice:
    # silence may come and go with every sync: it is told once for each opening
    when = one.opened_at if one.turn == "stale" else at
    return Notice(
        kind=f"finding.{one.turn}",
        subject=one.id,
        owner=one.owner,
        severity=one.severity,
        title=one.title if one.turn == "opened" else f"{one.title}: {SAYS[one.turn]}",
        detail=_rows(one),
        path=f"/findings/{one.id}",
        dedupe=f"finding.{one.turn}:{one.id}:{when.isoformat()}",
    )


def _rows(one: Turned) -> dict[str, Any]:
    rows: dict[str, Any] = {"what": one.subject, "changed by": one.actor, "since": one.opened_at}
    return {label: value for label, value in rows.items() if value}


def _many(owner: str, found: list[Turned], at: datetime) -> Notice:
    turns = [(turn, sum(one.turn == turn for one in found)) for turn in SAYS]
    severities = [(severity, sum(one.severity == severity for one in found)) for severity in SEVERITIES]
    said = ", ".join(f"{count} {'silent' if turn == 'stale' else turn}" for turn, count in turns if count)
    detail: dict[str, Any] = {"severity": ", ".join(f"{count} {name}" for name, count in severities if count)}
    detail |= {f"{index}.": f"{one.title} ({one.severity})" for index, one in enumerate(found[:SHOWN], start=1)}
    detail["and"] = f"{len(found) - SHOWN} more"
    return Notice(
        kind="finding.many",
        subject=owner or "findings of nobody",
        owner=owner,
        severity=found[0].severity,
        title=f"{len(found)} findings changed at once: {said}",
        detail=detail,
        path=f"/findings?owner={quote(owner, safe=':/')}",
        dedupe=f"finding.many:{owner}:{found[0].turn}:{at.isoformat()}:{min(one.id for one in found)}",
    )
