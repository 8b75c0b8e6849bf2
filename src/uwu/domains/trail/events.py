"""Search over events: by who, what, where, from which address, and by text, newest first, a page at a time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from uwu.domains.trail import store
from uwu.kernel import codec, paging
from uwu.kernel.runtime import Kernel

FIELDS = (
    "event_id, event_time, event_name, event_source, account, region, read_only, error_code, actor_kind, actor, "
    "actor_confidence, principal, through, source_ip, targets, request_parameters, object, record_index"
)
MAX_LIMIT = 500
_EXACT = {
    "event_id": "event_id",
    "name": "event_name",
    "service": "event_source",
    "account": "account",
    "region": "region",
    "error": "error_code",
    "access_key": "access_key",
    "address": "source_ip",
}


_TEXTS = ("request_parameters", "response_elements", "user_agent")
_SESSION = ":assumed-role/"


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; empty members ask for nothing."""

    event_id: str = ""
    who: str = ""
    """A human, machine or service by name, or the ARN of a role or user."""
    resource: str = ""
    """The urn of a resource: successful writes on it."""
    name: str = ""
    service: str = ""
    """``ec2.amazonaws.com``, or ``ec2``."""
    account: str = ""
    region: str = ""
    error: str = ""
    access_key: str = ""
    address: str = ""
    text: str = ""
    """Part of what was asked, answered, or of the user agent; capitals do not matter."""
    writes: bool = False
    """Only calls that change something."""
    since: datetime | None = None
    until: datetime | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a list shows it."""

    event_id: str
    at: datetime
    name: str
    service: str
    account: str
    region: str
    read_only: bool
    error: str
    actor_kind: str
    actor: str
    confidence: str
    principal: str
    through: str
    address: str
    targets: list[str]
    request: Any
    object: str
    index: int


class Page(msgspec.Struct, frozen=True):
    """Events, newest first; ``after`` is where the next page begins, empty on the last."""

    items: list[Found]
    after: str


class DayCount(msgspec.Struct, frozen=True):
    """Events of one day."""

    day: str
    events: int
    writes: int
    errors: int


def search(kernel: Kernel, given: Filter, *, limit: int = 50, after: str = "") -> Page:
    """A page of events. Raises ``BadInput`` for an ``after`` that no page gave."""
    kernel.lake.ensure(store.EVENTS)
    behind = paging.place(after, datetime, str)
    where, values = _where(given)
    if behind is not None:
        where += " and (event_time < ? or (event_time = ? and event_id > ?))"
        values += [behind[0], behind[0], behind[1]]
    limit = min(max(limit, 1), MAX_LIMIT)
    rows: list[dict[str, Any]] = []
    with kernel.lake.reading() as connection:
        files = kernel.lake.files(store.EVENTS.name, given.since, given.until)
        # an id is in one row group at most, and its filter tells which: nothing is gained by looking day by day
        for paths in [list(files)] if given.event_id else _slices(files):
            if given.text or given.resource:
                paths = _holding(connection, kernel, paths, where, values, limit + 1 - len(rows))
            if not paths:
                continue
            scan = kernel.lake.scan_files(store.EVENTS.name, paths)
            most = limit + 1 - len(rows)
            query = f"select {FIELDS} from {scan} where {where} order by event_time desc, event_id limit {most}"  # noqa: S608 - own text, values bound
            rows += connection.sql(query, params=values or None).to_arrow_table().to_pylist()
            if len(rows) > limit:
                break
    found = [_found(row) for row in rows]
    last = found[limit - 1] if len(found) > limit else None
    return Page(found[:limit], paging.cursor(last.at, last.event_id) if last is not None else "")


def _holding(connection: Any, kernel: Kernel, paths: list[str], where: str, values: list[Any], most: int) -> list[str]:
    """Those of ``paths`` in which the latest rows lie, by the columns of the condition alone.

    What no filter of a row group tells is asked of every row: the others' columns would be read with it.
    """
    scan = kernel.lake.scan_files(store.EVENTS.name, paths, day=True)
    query = f"select day, event_time from {scan} where {where} order by event_time desc limit {most}"  # noqa: S608 - own text
    days = set(connection.sql(query, params=values or None).to_arrow_table().column("day").to_pylist())
    return [path for path in paths if path[-18:-8] in days]


def _slices(paths: Sequence[str]) -> Iterator[list[str]]:
    """The files of the latest days, then of more days before them, then of all others: most pages are full at once."""
    by_day: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_day[path[-18:-8]].append(path)
    days = sorted(by_day, reverse=True)
    for first, last in ((0, 2), (2, 14), (14, len(days))):
        part = [path for day in days[first:last] for path in by_day[day]]
        if part:
            yield part


def by_day(kernel: Kernel, given: Filter) -> list[DayCount]:
    """How many events a day, the first day first."""
    kernel.lake.ensure(store.EVENTS)
    where, values = _where(given)
    scan = kernel.lake.scan(store.EVENTS.name, since=given.since, until=given.until, day=True)
    query = (
        "select day, count(*) as events, count(*) filter (not read_only) as writes, "  # noqa: S608 - own text, values bound
        f"count(*) filter (error_code <> '') as errors from {scan} "
        f"where {where} group by 1 order by 1"
    )
    with kernel.lake.reading() as connection:
        rows = connection.sql(query, params=values or None).to_arrow_table().to_pylist()
    return [DayCount(row["day"], int(row["events"]), int(row["writes"]), int(row["errors"])) for row in rows]


def _where(given: Filter) -> tuple[str, list[Any]]:
    parts: list[str] = []
    values: list[Any] = []
    for member, column in _EXACT.items():
        value = getattr(given, member)
        if value:
            if member == "service" and "." not in value:
                value = f"{value}.amazonaws.com"
            parts.append(f"{column} = ?")
            values.append(value)
    if given.who:
        # one column, so that row groups are skipped; who signed is an ARN, and so is an actor that is not known
        parts.append("principal = ?" if given.who.startswith("arn:") and _SESSION not in given.who else "actor = ?")
        values.append(given.who)
    if given.resource:
        parts.append("contains(targets, ?)")
        values.append(codec.encode(given.resource).decode())
    if given.text:
        if given.text.lower() == given.text.upper():
            held, value = [f"contains({column}, ?)" for column in _TEXTS], given.text
        else:
            # a third less work than to write every text small first
            held, value = [f"regexp_matches({column}, ?)" for column in _TEXTS], f"(?i){re.escape(given.text)}"
        parts.append(f"({' or '.join(held)})")
        values += [value] * len(held)
    if given.writes:
        parts.append("not read_only")
    for column, value in (("event_time >= ?", given.since), ("event_time < ?", given.until)):
        if value is not None:
            parts.append(column)
            values.append(value)
    return " and ".join(parts) or "true", values


def _found(row: dict[str, Any]) -> Found:
    return Found(
        event_id=row["event_id"],
        at=row["event_time"].astimezone(UTC),
        name=row["event_name"],
        service=row["event_source"],
        account=row["account"],
        region=row["region"],
        read_only=row["read_only"],
        error=row["error_code"],
        actor_kind=row["actor_kind"],
        actor=row["actor"],
        confidence=row["actor_confidence"],
        principal=row["principal"],
        through=row["through"],
        address=row["source_ip"],
        targets=codec.decode(row["targets"]) if row["targets"] else [],
        request=codec.decode(row["request_parameters"]) if row["request_parameters"] else None,
        object=row["object"],
        index=row["record_index"],
    )
