"""What is known of resources before a look at them is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from uwu.kernel import bulk
from uwu.kernel.graph import ledger


class Known(msgspec.Struct, frozen=True):
    """A resource that is there, and the last time at which anything told of it."""

    cell: str
    place: tuple[str, ...]
    """Type, account, region, name, managed by."""
    hash: str
    version: int
    changed_at: datetime
    until: datetime


class Past(msgspec.Struct, frozen=True):
    """A resource that is not there: its last version, 0 for none, and since when it is known to be gone."""

    version: int
    gone_at: datetime | None


class State(msgspec.Struct, frozen=True):
    """What is known of some urns and cells."""

    known: dict[str, Known]
    past: dict[str, Past]
    last: Mapping[str, ledger.Last]

    def read(self, connection: sa.Connection, urns: Iterable[str]) -> None:
        """Adds what is known of ``urns``."""
        wanted = sorted(urns)
        for urn, cell, hash, version, changed, seen, complete, *place in bulk.rows(connection, _DETAILS, wanted):
            changed_at = bulk.time(connection, changed)
            until = bulk.time(connection, max(at for at in (changed, seen, complete) if at is not None))
            assert changed_at is not None
            assert until is not None
            self.known[urn] = Known(cell, tuple(place), hash, version, changed_at, until)
        absent = [urn for urn in wanted if urn not in self.known]
        for urn, version, ended in bulk.rows(connection, _PAST, absent):
            self.past[urn] = Past(version, bulk.time(connection, ended))
        for urn, gone in bulk.rows(connection, _BURIED, absent):
            before, at = self.past.get(urn, Past(0, None)), bulk.time(connection, gone)
            if at is not None and (before.gone_at is None or before.gone_at < at):
                self.past[urn] = Past(before.version, at)


_DETAILS = (
    "select r.urn, r.cell, r.hash, r.version, r.changed_at, r.seen_at, c.complete_at, "
    "r.type, r.account, r.region, r.name, r.managed_by "
    "from resources r left join coverage c on c.cell = r.cell where r.urn in ({values})"
)
_PAST = "select urn, max(version), max(valid_to) from past_versions where urn in ({values}) group by urn"
_OF_CELLS_SQLITE = "select cell, urn from resources where cell in ({values})"
_OF_CELLS_POSTGRESQL = (  # asked for each cell: of many at once it would rather read the whole table
    "select g.value, r.urn from ({values}) g, lateral (select urn from resources where cell = g.value offset 0) r"
)
_BURIED = "select urn, gone_at from tombstones where urn in ({values})"


def resources(connection: sa.Connection, cells: Sequence[str]) -> dict[str, list[str]]:
    """The urns in each of ``cells``."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    query = _OF_CELLS_SQLITE if connection.dialect.name == "sqlite" else _OF_CELLS_POSTGRESQL
    for cell, urn in bulk.rows(connection, query, cells):
        found[cell].append(urn)
    return found


def lock(connection: sa.Connection, cells: Iterable[str]) -> None:
    """Lets only one at a time write into each of ``cells``: SQLite has but one writer anyway."""
    if connection.dialect.name != "postgresql":
        return
    lock = "select pg_advisory_xact_lock(hashtextextended(cell, 0)) from unnest(%s::text[]) as cell"
    connection.exec_driver_sql(lock, (sorted(set(cells)),))
