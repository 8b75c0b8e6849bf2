"""Rules over what is observed in AWS: what is exposed, who may do too much, what is not recorded, kept or renewed.

Every rule says why it is worth waking for and what puts it right. What a rule asks for and was not observed it does
not judge: its page says so. All are judged in one sweep that reads each type once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import sqlalchemy as sa

from uwu.domains.inventory import exposure
from uwu.domains.inventory.rules import data, edge, exposed, guard, identity, lifecycle, resilience, secrets, waste
from uwu.domains.inventory.rules.model import Check, Lacking, Row, Said, Wrong
from uwu.domains.inventory.rules.world import World, filled
from uwu.kernel import domain
from uwu.kernel.domain import Rule
from uwu.kernel.model import Found, Unjudged
from uwu.kernel.runtime import Kernel

CHECKS: tuple[Check, ...] = tuple(
    chain.from_iterable(
        each.BOOK.checks for each in (exposed, identity, data, secrets, guard, resilience, edge, lifecycle, waste)
    )
)
RULES: tuple[Rule, ...] = tuple(check.rule for check in CHECKS)


def sweep(
    kernel: Kernel, connection: sa.Connection, rules: frozenset[str], some: frozenset[str] | None = None
) -> Iterator[tuple[str, Found | Unjudged]]:
    """What ``rules`` say of all that is observed, or of ``some``: see ``uwu.kernel.domain.Sweep``."""
    checks = [check for check in CHECKS if check.rule.id in rules and (some is None or check.rule.some)]
    by_type: dict[str, list[Check]] = {}
    for check in checks:
        for type in check.on if check.one is not None else ():
            by_type.setdefault(type, []).append(check)
    asking = sorted({type for check in checks if check.exposed for type in check.on if type in exposure.TYPES})
    if not asking:
        shown: Iterable[exposure.Exposure] = ()
    elif some is None:
        shown = exposure.public(kernel, connection, types=asking)
    else:
        shown = exposure.public(kernel, connection, sorted(some))
    world = World(kernel, connection, exposed=shown)
    for row in world.rows(tuple(by_type), some):
        for check in by_type[row.type]:
            if row.managed_by == "aws" and not check.of_aws:
                continue
            for said in _each(check.one(world, row) if check.one is not None else None):
                yield check.rule.id, _told(kernel, check.rule, row, said)
    for check in checks:
        if check.all is not None:
            yield from ((check.rule.id, one) for one in check.all(world))


def _each(said: Iterable[Said] | Said) -> Iterator[Wrong | Lacking]:
    if said is None:
        return
    if isinstance(said, Wrong | Lacking):
        yield said
        return
    yield from (one for one in said if one is not None)


def _told(kernel: Kernel, rule: Rule, row: Row, said: Wrong | Lacking) -> Found | Unjudged:
    if isinstance(said, Lacking):
        return Unjudged(subject=row.urn, type=row.type, account=row.account, region=row.region, why=said.why)
    known = domain.type_of(kernel.domains, row.type)
    kind, name = known.title if known is not None else row.type, row.name or row.urn
    about = said.about or (kind if kind.lower() == name.lower() else f"{kind} {name}")
    return Found(
        subject=row.urn,
        title=f"{about} {said.title}",
        path=said.path,
        type=row.type,
        account=row.account,
        region=row.region,
        observed=said.observed,
        cell=row.cell,
        remedy=filled(said.remedy or rule.remedy, row),
        severity=said.severity,
        since=said.since,
    )
