"""Rules over events: of a batch, or of a stretch of history. The same way for both."""

from __future__ import annotations

import heapq
import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from uwu.domains.trail.detect.model import Detection, Event, Firing, Part, Window
from uwu.kernel import codec

COLUMNS = (
    *("event_time", "event_id", "event_source", "event_name", "account", "region", "read_only"),
    *(
        "error_code",
        "error_message",
        "actor_kind",
        "actor",
        "actor_confidence",
        "actor_how",
        "actor_chain",
        "principal",
        "through",
    ),
    *("identity_type", "access_key", "source_ip", "user_agent", "targets", "request_parameters", "response_elements"),
    *("identity", "more", "event_type", "event_category", "object", "record_index"),
)
"""What is read of an event."""

PINNED = (
    *("event_time", "event_id", "event_source", "event_name", "account", "region", "error_code", "error_message"),
    *("source_ip", "user_agent", "request_parameters", "response_elements", "identity", "object", "record_index"),
)
"""What an alert's hash of an event covers. It does not change: a hash of last year must come out the same."""

MOST_MATCHES = 10_000
"""Of one rule in one batch: what matches more often is counted, not kept."""
MOST_PINNED = 50
"""Events that one alert pins; it counts them all."""
MOST_IN_WINDOW = 20_000
"""Events of one group that a window holds: of more the oldest are let go."""
_MOST_FETCHED = 5_000

Scan = Callable[[datetime, datetime], str]
"""(since, until) -> a FROM expression over the events of that time."""


class Result(msgspec.Struct):
    """What one rule found."""

    firings: list[Firing]
    matches: int = 0
    """Events that matched; of a rule with a window, those that made it fire."""
    days: dict[str, int] = {}
    """Matches by UTC day."""
    last: datetime | None = None
    truncated: bool = False


def event_hash(event: Event) -> str:
    """SHA-256 over what the lake keeps of ``event``."""
    values = [codec.iso(event[name]) if isinstance(event[name], datetime) else event[name] for name in PINNED]
    return codec.digest(values)


def run(connection: Any, detection: Detection, events: str, since: datetime, until: datetime, history: Scan) -> Result:
    """What ``detection`` finds in ``events`` (a FROM expression; all of them lie in [since, until]).

    ``history`` gives what surrounds them: a window is filled from it, and counts where one of ``events`` is in it.
    """
    if detection.window is None:
        return _single(connection, detection, events)
    return _windowed(connection, detection, detection.window, events, since, until, history)


def _rows(connection: Any, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    return connection.sql(query, params=list(values) or None).to_arrow_table().to_pylist()


def _single(connection: Any, detection: Detection, events: str) -> Result:
    where = detection.parts[0].where
    query = f"select {', '.join(COLUMNS)} from {events} where {where} order by event_time limit {MOST_MATCHES + 1}"  # noqa: S608
    found = _rows(connection, query)
    truncated = len(found) > MOST_MATCHES
    found = found[:MOST_MATCHES]
    if detection.match is not None:
        found = [row for row in found if detection.match(row)]
    result = Result([_alone(detection, row) for row in found], len(found), _days(found), truncated=truncated)
    result.last = found[-1]["event_time"] if found else None
    return result


def _alone(detection: Detection, row: Event) -> Firing:
    return Firing(detection, (row,), 1, row["event_time"], row["event_time"], "")


def _days(rows: Iterable[Event]) -> dict[str, int]:
    days: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        days[f"{row['event_time']:%Y-%m-%d}"] += 1
    return dict(days)


# ---- windows


class _Hit(msgspec.Struct, frozen=True):
    """An event that a part of the rule looks for."""

    at: datetime
    id: str
    part: str
    value: Any
    row: Any = None


class _Burst(msgspec.Struct):
    """A window that holds, and what has joined it since."""

    hits: list[_Hit]
    count: int
    last: datetime


def _windowed(
    connection: Any,
    detection: Detection,
    window: Window,
    events: str,
    since: datetime,
    until: datetime,
    history: Scan,
) -> Result:
    fresh: set[str] = set()
    for part in detection.parts:
        query = f"select event_id from {events} where {part.where}"  # noqa: S608 - our own expressions
        fresh.update(row["event_id"] for row in _rows(connection, query))
    if not fresh:
        return Result([])
    # a late event may complete what happened after it
    start, end = since - window.span, until + window.span
    around = history(start, end)
    groups: defaultdict[tuple[Any, ...], list[_Hit]] = defaultdict(list)
    whole = detection.match is not None or detection.correlate is not None
    for part in detection.parts:
        for key, hit in _hits(connection, part, around, start, end, whole=whole):
            if detection.match is None or detection.match(hit.row):
                groups[key].append(hit)
    result = Result([])
    kept: list[tuple[tuple[Any, ...], _Burst]] = []
    for key, hits in groups.items():
        hits.sort(key=lambda hit: (hit.at, hit.id))
        bursts = _correlated(detection, window, hits) if detection.correlate else _bursts(window, hits)
        kept += [(key, burst) for burst in bursts if any(hit.id in fresh for hit in burst.hits)]
    full = _fetched(connection, around, (hit for _, burst in kept for hit in _shown(burst.hits)))
    for key, burst in kept:
        rows = tuple(full[hit.id] for hit in _shown(burst.hits) if hit.id in full)
        if not rows:
            continue
        told = ", ".join(str(one) for one in key)
        result.firings.append(Firing(detection, rows, burst.count, burst.hits[0].at, burst.last, told))
        new = [hit for hit in burst.hits if hit.id in fresh]
        result.matches += len(new)
        for hit in new:
            day = f"{hit.at:%Y-%m-%d}"
            result.days[day] = result.days.get(day, 0) + 1
        result.last = max(result.last or burst.last, burst.last)
    return result


def _shown(hits: Sequence[_Hit]) -> Sequence[_Hit]:
    """The first and the last of many."""
    if len(hits) <= MOST_PINNED:
        return hits
    half = MOST_PINNED // 2
    return [*hits[:half], *hits[-half:]]


def _hits(
    connection: Any, part: Part, around: str, start: datetime, end: datetime, *, whole: bool
) -> Iterator[tuple[tuple[Any, ...], _Hit]]:
    keys = [f"{expression} as k{i}" for i, expression in enumerate(part.by)]
    value = [f"{part.value} as v"] if part.value else []
    columns = COLUMNS if whole else ("event_time", "event_id")
    query = (
        f"select {', '.join([*columns, *keys, *value])} from {around} "  # noqa: S608 - our own expressions, values bound
        f"where event_time between ? and ? and {part.where}"
    )
    for row in _rows(connection, query, [start, end]):
        key = tuple(row[f"k{i}"] for i in range(len(part.by)))
        if any(one in (None, "") for one in key) or (part.value and row["v"] is None):
            continue
        yield key, _Hit(row["event_time"], row["event_id"], part.name, row.get("v"), row if whole else None)


def _bursts(window: Window, hits: Sequence[_Hit]) -> list[_Burst]:
    """The windows that hold; those that overlap are one."""
    held: deque[_Hit] = deque()
    found: list[_Burst] = []
    now: _Burst | None = None
    for hit in hits:
        held.append(hit)
        while held and (hit.at - held[0].at > window.span or len(held) > MOST_IN_WINDOW):
            held.popleft()
        if now is not None and hit.at - now.last > window.span:
            now = None
        if not _holds(window, held):
            continue
        if now is not None and now.last >= held[0].at:
            known = {one.id for one in now.hits}
            new = [one for one in held if one.id not in known]
            now.hits += new
            now.count += len(new)
            now.last = hit.at
        else:
            now = _Burst(list(held), len(held), hit.at)
            found.append(now)
    return found


def _holds(window: Window, held: deque[_Hit]) -> bool:
    kind = window.type
    if kind == "event_count":
        return window.holds(len(held))
    if kind == "value_count":
        return window.holds(len({str(hit.value).lower() for hit in held}))
    if kind in {"temporal", "temporal_ordered"}:
        return _together(window, held)
    numbers = [float(hit.value) for hit in held if _is_number(hit.value)]
    if not numbers:
        return False
    if kind == "value_sum":
        return window.holds(sum(numbers))
    if kind == "value_avg":
        return window.holds(statistics.fmean(numbers))
    if kind == "value_median":
        return window.holds(statistics.median(numbers))
    rank = max(0, -(-len(numbers) * window.percentile // 100) - 1)
    return window.holds(heapq.nsmallest(rank + 1, numbers)[-1])


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _together(window: Window, held: deque[_Hit]) -> bool:
    present = frozenset(hit.part for hit in held)
    if window.present is not None:
        return window.present(present)
    if not present.issuperset(window.order):
        return False
    if window.type == "temporal":
        return True
    waiting = list(window.order)
    for hit in held:
        if hit.part == waiting[0]:
            waiting.pop(0)
            if not waiting:
                return True
    return False


def _correlated(detection: Detection, window: Window, hits: Sequence[_Hit]) -> list[_Burst]:
    """Python's own correlation, of each stretch in which no two neighbours are further apart than the window."""
    assert detection.correlate is not None
    found: list[_Burst] = []
    stretch: list[_Hit] = []
    for hit in [*hits, None]:
        if stretch and (hit is None or hit.at - stretch[-1].at > window.span):
            by_id = {one.id: one for one in stretch}
            for rows in detection.correlate([one.row for one in stretch]):
                chosen = [by_id[row["event_id"]] for row in rows]
                if chosen:
                    found.append(_Burst(chosen, len(chosen), chosen[-1].at))
            stretch = []
        if hit is not None:
            stretch.append(hit)
    return found


def _fetched(connection: Any, around: str, hits: Iterable[_Hit]) -> Mapping[str, Event]:
    wanted: dict[str, datetime] = {}
    for hit in hits:
        wanted[hit.id] = hit.at
        if len(wanted) >= _MOST_FETCHED:
            break
    if not wanted:
        return {}
    import pyarrow as pa

    connection.register("wanted_events", pa.table({"wanted": list(wanted)}))
    first, last = min(wanted.values()), max(wanted.values())
    query = (
        f"select {', '.join(COLUMNS)} from {around} semi join wanted_events on event_id = wanted "  # noqa: S608
        "where event_time between ? and ?"
    )
    rows = _rows(connection, query, [first, last + timedelta(microseconds=1)])
    connection.unregister("wanted_events")
    return {row["event_id"]: row for row in rows}
