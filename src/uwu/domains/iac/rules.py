"""The rules over plans as the kernel knows them: listed, exempted, and broken ones of plans that wait as findings."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from uwu.domains.iac.drift import rules as drift
from uwu.domains.iac.policy.shipped import SHIPPED
from uwu.domains.iac.runs import store
from uwu.kernel.domain import Rule
from uwu.kernel.model import Found, Unjudged
from uwu.kernel.runtime import Kernel

RULES = drift.RULES + tuple(
    Rule(
        id=rule.id,
        title=rule.title,
        severity=rule.severity,
        theme="Terraform plans",
        why=rule.why,
        remedy=rule.remedy,
    )
    for rule in SHIPPED
)
NEWEST = 200
"""Stacks that are looked at, those that planned last first."""


def sweep(
    kernel: Kernel, connection: sa.Connection, rules: frozenset[str], some: frozenset[str] | None = None
) -> Iterator[tuple[str, Found | Unjudged]]:
    """What the newest run of each stack breaks, while it waits or was refused for it, and what refreshes found."""
    if some is not None:
        return
    yield from drift.sweep(kernel, connection, rules)
    stacks: set[str] = set()
    for run in store.page(connection, limit=NEWEST).items:
        if run.speculative or run.stack in stacks:
            continue
        stacks.add(run.stack)
        if run.status not in (store.PLANNED, store.REFUSED):
            continue
        document = store.document(kernel, run.id)
        if document is None:
            continue
        for violation in document.verdict.violations:
            if violation.rule in rules:
                change = next((c for c in document.plan.changes if c.address == violation.address), None)
                yield (
                    violation.rule,
                    Found(
                        subject=violation.subject or run.stack,
                        title=f"run {run.number}: {violation.address or run.stack}: {violation.message}",
                        path=violation.address,
                        type=change.type if change is not None else "",
                        place=f"run {run.number}",
                        remedy=violation.remedy,
                        severity=violation.severity,
                    ),
                )
