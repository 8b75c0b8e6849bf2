"""Times as people give them: to commands, addresses and the API."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from uwu.kernel import codec
from uwu.kernel.errors import BadInput

HINT = "an ISO 8601 time such as 2026-11-20T09:12:00Z, a day such as 2026-11-20 (UTC), or so long ago: 30m, 3h, 2d, 1w"

_AGO = re.compile(r"(\d{1,9})\s*(s|m|min|h|d|w)(?:\s+ago)?")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_EPOCH = re.compile(r"\d{9,11}")
_SKEW = timedelta(seconds=60)
"""So far ahead of ours another clock may be."""


def parse(text: str, *, place: str = "at", now: datetime | None = None) -> datetime:
    """A past time in UTC: ISO 8601 with its zone, a day (its first moment, UTC), seconds since 1970, ``now``, or so
    long ago: ``30m``, ``3h``, ``2d``, ``1w``.

    Raises ``BadInput``: code ``time`` for what is none of these, ``time-future`` for what is yet to come.
    """
    now, given = now or codec.now(), text.strip()
    if given == "now":
        return now
    try:
        if ago := _AGO.fullmatch(given):
            return now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
        at = _absolute(given)
    except (ValueError, OverflowError, OSError):
        raise BadInput(f"{text[:40]!r} is not a time", code="time", place=place, hint=HINT) from None
    if at > now + _SKEW:
        raise BadInput(
            f"{codec.iso(at)} is yet to come",
            code="time-future",
            place=place,
            hint=f"it is {codec.iso(now.replace(microsecond=0))}; give a time before",
        )
    return at


def _absolute(text: str) -> datetime:
    if _EPOCH.fullmatch(text):
        return datetime.fromtimestamp(int(text), UTC)
    if _DAY.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    return codec.parse_time(text.replace(" ", "+") if "T" in text else text)


def last_day(until: datetime) -> date:
    """The last day (UTC) of what holds until a time: a whole day ends as the next begins."""
    return (until.astimezone(UTC) - timedelta(microseconds=1)).date()
