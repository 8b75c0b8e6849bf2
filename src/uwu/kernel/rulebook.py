"""The rules as people read them: what each asks for and why, what it found, and what it could not judge."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import domain, search_index, sight, tables
from uwu.kernel.domain import Rule
from uwu.kernel.errors import NotFound
from uwu.kernel.model import UNRESOLVED, CellStatus, FindingStatus, Severity
from uwu.kernel.rules import RULES
from uwu.kernel.runtime import Kernel
from uwu.kernel.schema import near
from uwu.kernel.settings import RulesSettings

PLATFORM = "drift"
"""The domain of the kernel's own rules."""
_RANK = {severity: rank for rank, severity in enumerate(Severity)}
_SEEN = (CellStatus.COMPLETE.value, CellStatus.UNSUPPORTED.value)
NEVER = "never"
EXAMPLES = 5
"""Subjects that are named for each reason."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a rule could say nothing of some subjects, at its last judging."""

    why: str
    type: str
    count: int
    subjects: list[str]
    """Some of them."""


class Unseen(msgspec.Struct, frozen=True, kw_only=True):
    """Cells that a rule stands on and that are not complete: of what is in them nothing may be known."""

    type: str
    status: str
    """That of the cells; ``never`` for a type that was never looked for."""
    cells: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A rule and how it stands."""

    id: str
    domain: str
    title: str
    theme: str
    severity: Severity
    rises: str
    why: str
    remedy: str
    references: tuple[str, ...]
    types: tuple[str, ...]
    planner: str
    """The planner that mends what it finds; empty where people do."""
    enabled: bool
    open: int
    """Findings that are open or stale."""
    stale: int
    exempt: int
    worst: Severity | None
    """Of its open findings; None where there is none."""
    subjects: int | None
    """How many resources there are of the types that it looks at; None where it looks at all or at none."""
    unjudged: int
    reasons: list[Reason]
    unseen: list[Unseen]
    blind: bool
    """Nothing that it looks at was observed anywhere: that it found nothing says nothing."""
    judged_at: datetime | None
    """When it judged last; None before its first time."""


def rules(kernel: Kernel) -> list[tuple[str, Rule]]:
    """(domain, rule) of every rule there is, whether it judges or not."""
    found = [(PLATFORM, rule) for rule in RULES] + domain.rules_of(kernel.domains)
    for each in kernel.domains:
        if each.more_rules:
            found += [(each.name, rule) for rule in domain.load(each.more_rules)(kernel)]
    return found


def judges(settings: RulesSettings, id: str) -> bool:
    """Whether the settings let the rule ``id`` judge."""
    return any(fnmatchcase(id, one) for one in settings.enabled) and not any(
        fnmatchcase(id, one) for one in settings.disabled
    )


def standing(kernel: Kernel, connection: sa.Connection, *, only: str = "") -> list[Standing]:
    """Every rule with its counts: those with the worst open findings first, then by theme and severity.

    ``only`` is one rule's id. Raises ``NotFound`` where there is none of it. Of what it could not judge those are named
    that one may see; how many there are is told of all.
    """
    known = [(name, rule) for name, rule in rules(kernel) if not only or rule.id == only]
    if only and not known:
        raise NotFound(f"there is no rule {only}", code="rule-unknown", hint=_hint(kernel, only))
    found = _found(connection, only)
    told = _judgements(connection, only)
    named = {subject for row in told.values() for reason in row.reasons for subject in reason["subjects"]}
    seen = sight.seen_of(kernel, sight.current(), named)
    wanted = sorted({type for _, rule in known for type in rule.types})
    sizes = _sizes(connection, wanted)
    cells, observed = _cells(connection, wanted)
    mends = {mend.rule: planner.name for each in kernel.domains for planner in each.planners for mend in planner.mends}
    rows: list[Standing] = []
    for name, rule in known:
        counted = found.get(rule.id, {})
        open = {severity: number for (status, severity), number in counted.items() if status in UNRESOLVED}
        judged = told.get(rule.id)
        rows.append(
            Standing(
                id=rule.id,
                domain=name,
                title=rule.title,
                theme=rule.theme,
                severity=rule.severity,
                rises=rule.rises,
                why=rule.why,
                remedy=rule.remedy,
                references=rule.references,
                types=rule.types,
                planner=mends.get(rule.id, ""),
                enabled=judges(kernel.settings.rules, rule.id),
                open=sum(n for (status, _), n in counted.items() if status in UNRESOLVED),
                stale=sum(n for (status, _), n in counted.items() if status == FindingStatus.STALE.value),
                exempt=sum(n for (status, _), n in counted.items() if status == FindingStatus.EXEMPT.value),
                worst=min((Severity(severity) for severity in open), key=_RANK.__getitem__, default=None),
                subjects=sum(sizes.get(type, 0) for type in rule.types) if rule.types else None,
                unjudged=judged.unjudged if judged is not None else 0,
                reasons=_reasons(judged.reasons, seen) if judged is not None else [],
                unseen=[one for type in rule.types for one in cells[type]],
                blind=bool(rule.types) and observed.isdisjoint(rule.types),
                judged_at=judged.judged_at if judged is not None else None,
            )
        )
    return sorted(rows, key=lambda row: (_RANK[row.worst] if row.worst else 9, row.theme, _RANK[row.severity], row.id))


def _reasons(held: Any, seen: set[str]) -> list[Reason]:
    return [
        msgspec.structs.replace(one, subjects=[subject for subject in one.subjects if subject in seen])
        for one in msgspec.convert(held, list[Reason])
    ]


def _hint(kernel: Kernel, asked: str) -> str:
    ids = [rule.id for _, rule in rules(kernel)]
    whole = next((id for id in ids if id.endswith(f".{asked}")), asked)
    return f"{near(whole, ids)} uwu rules --all lists them all".lstrip()


def _found(connection: sa.Connection, only: str) -> dict[str, dict[tuple[str, str], int]]:
    f = tables.findings
    query = sa.select(f.c.rule, f.c.status, f.c.severity, sa.func.count()).where(search_index.NOT_CLOSED)
    if only:
        query = query.where(f.c.rule == only)
    found: dict[str, dict[tuple[str, str], int]] = {}
    for rule, status, severity, number in connection.execute(query.group_by(f.c.rule, f.c.status, f.c.severity)):
        key = str(status), str(severity)
        counted = found.setdefault(rule, {})
        counted[key] = counted.get(key, 0) + number
    return found


def _judgements(connection: sa.Connection, only: str) -> dict[str, Any]:
    j = tables.judgements
    query = sa.select(j).where(j.c.rule == only) if only else sa.select(j)
    return {row.rule: row for row in connection.execute(query)}


def _sizes(connection: sa.Connection, types: list[str]) -> dict[str, int]:
    r = tables.resources
    query = sa.select(r.c.type, sa.func.count()).where(r.c.type.in_(types)).group_by(r.c.type)
    return {row[0]: row[1] for row in connection.execute(query)} if types else {}


def _cells(connection: sa.Connection, types: list[str]) -> tuple[dict[str, list[Unseen]], set[str]]:
    """Type -> the cells of it that are not complete; and the types of which something was observed."""
    c = tables.coverage
    if not types:
        return {}, set()
    query = sa.select(c.c.type, c.c.status, sa.func.count()).where(c.c.type.in_(types))
    found: dict[str, list[Unseen]] = {}
    seen: set[str] = set()
    for type, status, number in connection.execute(query.group_by(c.c.type, c.c.status).order_by(c.c.type, c.c.status)):
        held = found.setdefault(type, [])
        if status in _SEEN:
            seen.add(type)
        else:
            held.append(Unseen(type=type, status=str(status), cells=number))
    for type in types:
        found.setdefault(type, [Unseen(type=type, status=NEVER, cells=0)])
    return found, seen
