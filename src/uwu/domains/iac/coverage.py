"""How much of what is observed a state holds: by account, by owner, by type.

Counted is what a person could declare: not what AWS makes by itself, nor what another resource brings along.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial

import msgspec
import pyarrow as pa
import sqlalchemy as sa

from uwu.kernel import tables
from uwu.kernel.lake.spec import Column
from uwu.kernel.query_tables import Source
from uwu.kernel.runtime import Kernel

NOT_COUNTED = ("aws_account",)
"""Types that no stack is expected to hold: an account is opened by people."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a part of the world is managed."""

    name: str
    """The account, the owner or the type; empty for what nobody owns."""
    total: int
    managed: int

    @property
    def percent(self) -> float:
        """0 to 100; 100 where there is nothing."""
        return percent(self.managed, self.total)


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the world is managed, the least managed first."""

    total: int
    managed: int
    percent: float
    accounts: list[Share]
    owners: list[Share]
    types: list[Share]


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The resources of one type of one owner in one account."""

    account: str
    owner: str
    type: str
    total: int
    managed: int


def percent(managed: int, total: int) -> float:
    """0 to 100, to a tenth; never 100 while something is not managed."""
    if managed >= total:
        return 100.0
    return min(99.9, round(100 * managed / total, 1))


def cells(connection: sa.Connection) -> list[Cell]:
    """The counts by account, owner and type, in that order."""
    r, o, d = tables.resources, tables.ownership, tables.declarations
    held = sa.select(d.c.urn).where(d.c.urn != "").distinct().subquery()
    owner = sa.func.coalesce(o.c.owner, "")
    query = (
        sa.select(r.c.account, owner, r.c.type, sa.func.count(), sa.func.count(held.c.urn))
        .select_from(r.outerjoin(o, o.c.subject == r.c.urn).outerjoin(held, held.c.urn == r.c.urn))
        .where(r.c.managed_by == "", r.c.type.not_in(NOT_COUNTED))
        .group_by(r.c.account, owner, r.c.type)
        .order_by(r.c.account, owner, r.c.type)
    )
    return [
        Cell(account=row[0], owner=row[1], type=row[2], total=row[3], managed=row[4])
        for row in connection.execute(query)
    ]


def of(found: Iterable[Cell]) -> Coverage:
    """The shares of what ``cells`` counted."""
    by: dict[str, defaultdict[str, list[int]]] = {
        name: defaultdict(partial(list, (0, 0))) for name in ("account", "owner", "type")
    }
    whole = [0, 0]
    for cell in found:
        for name, counts in by.items():
            for count in (counts[getattr(cell, name)], whole) if name == "account" else (counts[getattr(cell, name)],):
                count[0] += cell.total
                count[1] += cell.managed
    accounts, owners, types = (_shares(counts) for counts in by.values())
    return Coverage(
        total=whole[0],
        managed=whole[1],
        percent=percent(whole[1], whole[0]),
        accounts=accounts,
        owners=owners,
        types=types,
    )


def _shares(counts: Mapping[str, list[int]]) -> list[Share]:
    found = [Share(name=name, total=total, managed=managed) for name, (total, managed) in counts.items()]
    return sorted(found, key=lambda share: (share.percent, share.managed - share.total, share.name))


# ---- uwu query

_COLUMNS = (
    Column("account"),
    Column("owner", comment="an entity reference; empty for what nobody owns"),
    Column("type"),
    Column("total", "long", "resources that a state could hold"),
    Column("managed", "long", "of them held by one"),
)


def _load(kernel: Kernel) -> pa.Table:
    with kernel.db.read() as connection:
        found = cells(connection)
    return pa.table({column.name: [getattr(cell, column.name) for cell in found] for column in _COLUMNS})


def query_tables(_kernel: Kernel) -> Mapping[str, Source]:
    """``iac_coverage``."""
    return {"iac_coverage": Source("how much of what is observed a state holds", _COLUMNS, _load)}
