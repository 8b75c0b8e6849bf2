"""Who changed what: the kernel's ChangeLog over the lake, and what an actor did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.trail import actors, store, tables
from uwu.domains.trail.names import RELATED, TARGET, short_forms
from uwu.kernel import codec
from uwu.kernel import tables as kernel_tables
from uwu.kernel.domain import ChangeLog
from uwu.kernel.model import Actor, Change
from uwu.kernel.runtime import Kernel
from uwu.kernel.urns import canonical

_FEW = 40
"""So many urns are asked for by value, which lets DuckDB skip what cannot hold them; more are joined."""

_FIELDS = (
    "event_time, urn, role, event_id, event_source, event_name, account, region, actor_kind, actor, actor_confidence, "
    "actor_how, actor_chain, principal, through, request_parameters, object"
)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event of an actor's timeline."""

    event_id: str
    at: datetime
    name: str
    source: str
    account: str
    region: str
    read_only: bool
    error: str
    actor: str
    principal: str
    through: str
    source_ip: str
    targets: list[str]


class Stats(msgspec.Struct, frozen=True):
    """What the trail holds and how much of it is named."""

    events: int
    writes: int
    """Writes that succeeded."""
    named: int
    """Those whose resource is named."""
    humans: int
    """Events whose human is named."""
    others: int
    """Events whose machine or service is named."""
    named_later: int
    """Events whose actor a later event told."""
    since: datetime | None
    until: datetime | None

    @property
    def named_pct(self) -> float:
        return round(100 * self.named / self.writes, 2) if self.writes else 100.0

    @property
    def actor_pct(self) -> float:
        """Events whose human, machine or service is named."""
        known = self.humans + self.others + self.named_later
        return round(100 * known / self.events, 2) if self.events else 100.0


class Log:
    """The kernel's ChangeLog."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        kernel.lake.ensure(store.EVENT_RESOURCES)
        kernel.lake.ensure(store.EVENTS)

    def changes(
        self,
        urns: Sequence[str],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[Change]:
        """The successful writes on ``urns``, newest first, as target or related. One query for however many urns."""
        if not urns or limit <= 0:
            return []
        meant = self._meant(urns)
        scan = self._kernel.lake.scan(store.EVENT_RESOURCES.name, since=since, until=until)
        where, times = _between(since, until)
        order = f"order by event_time desc, event_id limit {int(limit)}"
        with self._kernel.lake.reading() as connection:
            if len(meant) <= _FEW:
                marks = ", ".join("?" * len(meant))
                query = f"select {_FIELDS} from {scan} where urn in ({marks}){where} {order}"  # noqa: S608 - own text, values bound
                rows = _rows(connection, query, [*meant, *times])
            else:
                import pyarrow as pa

                connection.register("wanted_urns", pa.table({"wanted": list(meant)}))
                query = (
                    f"select {_FIELDS} from {scan} semi join wanted_urns on urn = wanted "  # noqa: S608 - own text, values bound
                    f"where true{where} {order}"
                )
                rows = _rows(connection, query, times)
                connection.unregister("wanted_urns")
        return self._changes(rows, meant)

    def recent(self, *, since: datetime, limit: int = 100) -> list[Change]:
        """The latest successful writes, newest first; a call on many resources counts once."""
        scan = self._kernel.lake.scan(store.EVENT_RESOURCES.name, since=since)
        query = (
            f"select {_FIELDS} from {scan} where role = ? and event_time >= ? "  # noqa: S608 - own text, values bound
            "qualify row_number() over (partition by event_id order by urn) = 1 "
            f"order by event_time desc, event_id limit {int(limit)}"
        )
        with self._kernel.lake.reading() as connection:
            rows = _rows(connection, query, [TARGET, since])
        return self._changes(rows, {})

    def as_of(self) -> datetime | None:
        """The time of the latest event that was committed; None where there is none."""
        return committed_until(self._kernel)

    def timeline(
        self, actor: str, *, since: datetime | None = None, until: datetime | None = None, limit: int = 100
    ) -> list[Event]:
        """What ``actor`` (a human, machine or service by name, or a principal's ARN) did, newest first."""
        scan = self._kernel.lake.scan(store.EVENTS.name, since=since, until=until)
        where, times = _between(since, until)
        later = self._named_later(actor)
        also = f" or event_id in ({', '.join('?' * len(later))})" if later else ""
        query = (
            "select event_id, event_time, event_name, event_source, account, region, read_only, error_code, actor, "  # noqa: S608 - own text, values bound
            f"principal, through, source_ip, targets from {scan} where (actor = ? or principal = ?{also}){where} "
            f"order by event_time desc, event_id limit {int(limit)}"
        )
        with self._kernel.lake.reading() as connection:
            rows = _rows(connection, query, [actor, actor, *later, *times])
        return [
            Event(
                event_id=row[0],
                at=row[1],
                name=row[2],
                source=row[3],
                account=row[4],
                region=row[5],
                read_only=row[6],
                error=row[7],
                actor=actor if row[0] in later else row[8],
                principal=row[9],
                through=row[10],
                source_ip=row[11],
                targets=codec.decode(row[12]) if row[12] else [],
            )
            for row in rows
        ]

    def find(self, name: str, limit: int = 8) -> list[str]:
        """The urns of events that end in ``name``: an id, or a name."""
        scan = self._kernel.lake.scan(store.EVENT_RESOURCES.name)
        query = (
            f"select distinct urn from {scan} where ends_with(urn, ?) or ends_with(urn, ?) "  # noqa: S608 - own text, values bound
            f"order by urn limit {int(limit)}"
        )
        with self._kernel.lake.reading() as connection:
            return [row[0] for row in _rows(connection, query, [f"/{name}", f":{name}"])]

    def stats(self) -> Stats:
        """How much of what is held is named."""
        scan = self._kernel.lake.scan(store.EVENTS.name)
        query = (
            "select count(*), count(*) filter (not read_only and error_code = ''), "  # noqa: S608 - own text
            "count(*) filter (not read_only and error_code = '' and targets <> '[]'), "
            "count(*) filter (actor_kind = 'human'), count(*) filter (actor_kind in ('machine', 'service')), "
            f"min(event_time), max(event_time) from {scan}"
        )
        with self._kernel.lake.reading() as connection:
            row = _rows(connection, query, [])[0]
        with self._kernel.db.read() as connection:
            later, _ = store.unresolved(connection)
        events, writes, named, humans, others, first, last = row
        return Stats(events, writes, named, humans, others, later, first, last)

    # ---- from rows to changes

    def _meant(self, wanted: Iterable[str]) -> dict[str, str]:
        """Every urn under which an event may have kept one of ``wanted`` -> the wanted one."""
        meant: dict[str, str] = {}
        for urn in wanted:
            for short in short_forms(urn):
                meant.setdefault(short, urn)
        for urn in wanted:
            meant[urn] = urn
            meant.setdefault(canonical(urn), urn)
        t = tables.aliases
        asked = list(dict.fromkeys(wanted))
        with self._kernel.db.read() as connection:
            for i in range(0, len(asked), 500):
                query = sa.select(t.c.alias, t.c.urn).where(t.c.urn.in_(asked[i : i + 500]))
                for row in connection.execute(query):
                    meant.setdefault(row.alias, row.urn)
        return meant

    def _named_later(self, actor: str) -> list[str]:
        t = tables.late
        query = sa.select(t.c.event_id).where(t.c.resolved_at.is_not(None), t.c.actor["name"].as_string() == actor)
        with self._kernel.db.read() as connection:
            return list(connection.scalars(query.limit(1000)))

    def _changes(self, rows: Sequence[tuple[Any, ...]], meant: dict[str, str]) -> list[Change]:
        doubtful = [row[3] for row in rows if row[10] not in {actors.CERTAIN, actors.LIKELY}]
        later: dict[str, Actor] = {}
        if doubtful:
            with self._kernel.db.read() as connection:
                later = store.late_actors(connection, doubtful)
        found: dict[tuple[str, str], Change] = {}
        for row in rows:
            urn = str(meant.get(row[1], row[1]))
            held = found.get((row[3], urn))
            if held is None or (held.role == RELATED and row[2] == TARGET):
                found[row[3], urn] = _change(row, urn, later.get(row[3]))
        return list(found.values())


def _rows(connection: Any, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows through Arrow: DuckDB's own way to aware times needs a library that is not there."""
    table = connection.sql(query, params=list(values) or None).to_arrow_table()
    columns = [
        [value and value.astimezone(UTC) for value in column.to_pylist()]
        if str(column.type).startswith("timestamp")
        else column.to_pylist()
        for column in table.columns
    ]
    return list(zip(*columns, strict=True))


def _between(since: datetime | None, until: datetime | None) -> tuple[str, list[datetime]]:
    text = ""
    values: list[datetime] = []
    if since is not None:
        text += " and event_time >= ?"
        values.append(since)
    if until is not None:
        text += " and event_time < ?"
        values.append(until)
    return text, values


def _change(row: tuple[Any, ...], urn: str, later: Actor | None) -> Change:
    actor = later or Actor(
        kind=row[8],
        name=row[9],
        confidence=row[10],
        how=row[11],
        chain=tuple(codec.decode(row[12])) if row[12] else (),
        principal=row[13],
    )
    return Change(
        event_id=row[3],
        at=row[0],
        name=row[5],
        source=row[4],
        account=row[6],
        region=row[7],
        urn=urn,
        role=row[2],
        actor=actor,
        through=row[14],
        request=codec.decode(row[15]) if row[15] else None,
        place=row[16],
    )


def committed_until(kernel: Kernel) -> datetime | None:
    """The time of the latest event in the lake, by what its batches recorded."""
    b = kernel_tables.lake_batches
    until = b.c.detail["until"].as_string()
    query = sa.select(until).where(b.c.stream == store.STREAM, b.c.state == "committed", until.is_not(None))
    with kernel.db.read() as connection:
        return max(map(codec.parse_time, connection.scalars(query)), default=None)


def log(kernel: Kernel) -> ChangeLog:
    """The port that the kernel asks."""
    return Log(kernel)
