"""Who owns a resource, on what evidence. The strongest evidence decides; what disagrees is kept and shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, domain, graph, paging, tables
from uwu.kernel.db import ROWS_PER_WRITE, columns, to_struct, upsert
from uwu.kernel.model import Evidence
from uwu.kernel.runtime import Kernel

STRENGTH = ("estate", "rule", "tag", "state", "stack", "codeowners", "maker", "account", "creator")
"""Kinds of evidence, strongest first: declared in the estate by name, by a rule of the estate, a tag, the state that
holds it, the CloudFormation stack that made it, the CODEOWNERS of the file that declares it, the resource that it is a
part of, its account's owner, and last whoever created it."""

UNOWNED = ""


class Owned(msgspec.Struct, frozen=True):
    """Who owns ``subject`` and why; ``owner`` is empty for unowned."""

    subject: str
    owner: str
    strength: str
    evidence: list[Evidence]
    conflicts: list[Evidence]
    settled_at: datetime


class Settled(msgspec.Struct, frozen=True):
    """What settling found, in resources that someone could own (AWS's own defaults aside)."""

    resources: int
    owned: int
    conflicts: int
    changed: int

    @property
    def owned_pct(self) -> float:
        return 100.0 * self.owned / self.resources if self.resources else 100.0


def weigh(evidence: Iterable[Evidence]) -> tuple[str, str, list[Evidence], list[Evidence]]:
    """(owner, strength, all evidence strongest first, what contradicts the owner and was not overruled)."""
    ranked = sorted(evidence, key=lambda e: (STRENGTH.index(e.kind), e.source, e.owner))
    if not ranked:
        return UNOWNED, "", [], []
    first = ranked[0]
    against = [e for e in ranked if e.owner != first.owner and overruled(e.kind, e.owner) not in first.settles]
    return first.owner, first.kind, ranked, against


def overruled(kind: str, owner: str) -> str:
    """Evidence as ``Evidence.settles`` names it."""
    return f"{kind} {owner}"


def settle(kernel: Kernel) -> Settled:
    """Weighs the evidence of all domains for every resource and every declared subject, and keeps the result."""
    r, d, o = tables.resources, tables.declarations, tables.ownership
    by_subject: defaultdict[str, dict[tuple[str, str, str], Evidence]] = defaultdict(dict)
    with kernel.db.read() as connection:
        makers = {row.urn: row.managed_by for row in connection.execute(sa.select(r.c.urn, r.c.managed_by))}
        subjects = set(makers)
        subjects.update(connection.scalars(sa.select(d.c.urn).where(d.c.urn != "")))
        for evidence in domain.evidence_of(kernel.domains, kernel, connection):
            if evidence.subject in subjects:
                by_subject[evidence.subject][evidence.kind, evidence.owner, evidence.source] = evidence
        before = {
            row.subject: (row.owner, row.strength, row.evidence)
            for row in connection.execute(sa.select(o.c.subject, o.c.owner, o.c.strength, o.c.evidence))
        }
    decided = {subject: weigh(by_subject[subject].values()) for subject in subjects}
    for subject, maker in makers.items():
        owner_of_maker = decided.get(maker, (UNOWNED,))[0]
        if owner_of_maker:
            evidence = Evidence(subject=subject, owner=owner_of_maker, kind="maker", source=f"made by {maker}")
            decided[subject] = weigh([*decided[subject][2], evidence])
    at = codec.now()
    rows: list[dict[str, Any]] = []
    for subject, (owner, strength, ranked, conflicts) in decided.items():
        told = codec.builtins(ranked)
        if before.get(subject) != (owner, strength, told):
            rows.append(
                {
                    "subject": subject,
                    "owner": owner,
                    "strength": strength,
                    "evidence": told,
                    "conflicts": codec.builtins(conflicts),
                    "settled_at": at,
                }
            )
    gone = sorted(before.keys() - subjects)
    for i in range(0, len(rows), ROWS_PER_WRITE):
        with kernel.db.write() as connection:
            upsert(connection, o, rows[i : i + ROWS_PER_WRITE])
    for i in range(0, len(gone), ROWS_PER_WRITE):
        with kernel.db.write() as connection:
            connection.execute(o.delete().where(o.c.subject.in_(gone[i : i + ROWS_PER_WRITE])))
    ownable = [urn for urn, maker in makers.items() if maker != "aws"]
    return Settled(
        resources=len(ownable),
        owned=sum(1 for urn in ownable if decided[urn][0] != UNOWNED),
        conflicts=sum(1 for urn in ownable if decided[urn][3]),
        changed=len(rows) + len(gone),
    )


def owner_of(connection: sa.Connection, subject: str) -> Owned | None:
    """The settled ownership of ``subject``; None where it was never settled."""
    o = tables.ownership
    row = connection.execute(sa.select(*columns(o, Owned)).where(o.c.subject == subject)).first()
    return to_struct(Owned, row) if row is not None else None


def share_owned(connection: sa.Connection) -> tuple[int, int]:
    """(owned, all) resources that someone could own."""
    r = tables.resources

    def number(*where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        return sa.select(sa.func.count()).select_from(r).where(*where).scalar_subquery()

    # all less AWS's own less the unowned: each is counted from an index, which "not AWS's own and owned" is not
    unowned, own = r.c.owner == UNOWNED, r.c.managed_by == "aws"
    every, nobodys, aws, both = connection.execute(
        sa.select(number(), number(unowned), number(own), number(own, unowned))
    ).one()
    return every - aws - nobodys + both, every - aws


class Share(msgspec.Struct, frozen=True):
    """How much of an account somebody owns, in resources that someone could own."""

    account: str
    name: str
    resources: int
    owned: int
    conflicts: int

    @property
    def pct(self) -> float:
        """Of a hundred."""
        return 100.0 * self.owned / self.resources if self.resources else 100.0


class Holding(msgspec.Struct, frozen=True):
    """What an owner has, and how much of that somebody has said rather than inferred."""

    owner: str
    resources: int
    said: int
    """By name, rule, tag, state, stack or CODEOWNERS; the rest follows from a maker, an account or a creator."""

    @property
    def pct(self) -> float:
        """Of a hundred."""
        return 100.0 * self.said / self.resources if self.resources else 100.0


class Disputes(msgspec.Struct, frozen=True):
    """One page of what evidence disagrees about; ``after`` is where the next begins, empty on the last."""

    items: list[Owned]
    total: int
    after: str


DISPUTED: sa.ColumnElement[bool] = sa.literal_column("ownership.conflicts <> '[]'", sa.Boolean())
"""Evidence disagrees and nobody has settled it, in the words of its index."""
_INFERRED = ("maker", "account", "creator")


def by_account(connection: sa.Connection) -> list[Share]:
    """Each account's share, the most unowned first."""
    r, o = tables.resources, tables.ownership
    # two counts from one index; what disagrees is few and comes by its own
    unowned = sa.func.sum(sa.case((r.c.owner == UNOWNED, 1), else_=0))
    counted = sa.select(r.c.account, sa.func.count(), unowned).where(r.c.managed_by != "aws").group_by(r.c.account)
    disputed = sa.select(r.c.account, sa.func.count()).select_from(o.join(r, r.c.urn == o.c.subject))
    conflicts = {row[0]: row[1] for row in connection.execute(disputed.where(DISPUTED).group_by(r.c.account))}
    names = graph.account_names(connection)
    shares = [
        Share(account, names.get(account, ""), all, all - int(none), conflicts.get(account, 0))
        for account, all, none in connection.execute(counted)
    ]
    return sorted(shares, key=lambda share: (share.owned - share.resources, share.account))


def by_owner(connection: sa.Connection) -> list[Holding]:
    """What each owner has, the most first."""
    o = tables.ownership
    counted: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    query = sa.select(o.c.owner, o.c.strength, sa.func.count()).where(o.c.owner != UNOWNED)
    for owner, strength, number in connection.execute(query.group_by(o.c.owner, o.c.strength)):
        counted[owner][0] += number
        counted[owner][1] += number if strength not in _INFERRED else 0
    holdings = [Holding(owner, every, said) for owner, (every, said) in counted.items()]
    return sorted(holdings, key=lambda held: (-held.resources, held.owner))


def disputes(connection: sa.Connection, *, limit: int = 50, after: str = "") -> Disputes:
    """What evidence disagrees about and nobody has settled, by subject.

    ``after`` is the ``after`` of the page before. Raises ``BadInput`` for another.
    """
    o = tables.ownership
    behind = paging.place(after, str)
    query = sa.select(*columns(o, Owned)).where(DISPUTED)
    if behind is not None:
        query = query.where(o.c.subject > behind[0])
    rows = connection.execute(query.order_by(o.c.subject).limit(limit + 1)).all()
    items = [to_struct(Owned, row) for row in rows[:limit]]
    total = connection.execute(sa.select(sa.func.count()).select_from(o).where(DISPUTED)).scalar_one()
    return Disputes(items, total, paging.cursor(items[-1].subject) if len(rows) > limit else "")
