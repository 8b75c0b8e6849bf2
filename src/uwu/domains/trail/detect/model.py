"""The nouns of detections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from uwu.kernel.model import Severity

Event = Mapping[str, Any]
"""A row of the lake's ``events``; its JSON columns are text."""

Subject = Literal["target", "principal", "account"]
"""What an alert is about: the resource that was written to, who signed the call, or the account. Where the first is
not told, the next."""

PREFIX = "trail."
"""Before every rule's name: so it stands among the rules of the platform."""


@dataclass(frozen=True)
class Part:
    """Events that a rule looks for: a condition in DuckDB's SQL over the columns of ``events``."""

    name: str
    where: str
    by: tuple[str, ...] = ()
    """SQL expressions whose values an alert has in common."""
    value: str = ""
    """The SQL expression that is counted or added up; empty for the events themselves."""


@dataclass(frozen=True)
class Window:
    """What must come together within ``span`` for an alert: Sigma's correlation ("Sigma Correlation Rules")."""

    type: str
    """``event_count``, ``value_count``, ``value_sum``, ``value_avg``, ``value_median``, ``value_percentile``,
    ``temporal``, ``temporal_ordered``, or ``python``."""
    span: timedelta
    holds: Callable[[float], bool] = lambda _: True
    """Of the number that the type counts."""
    order: tuple[str, ...] = ()
    """The names of the parts that must all be there; for ``temporal_ordered`` in this order."""
    present: Callable[[frozenset[str]], bool] | None = None
    """Instead of all of ``order``: which parts must be there."""
    percentile: int = 50
    text: str = ""
    """For people: ``5 or more events within 10 minutes by actor``."""


@dataclass(frozen=True)
class Detection:
    """A rule, ready to run."""

    id: str
    """``trail.root-signs-in``."""
    title: str
    description: str
    severity: Severity
    parts: tuple[Part, ...]
    hash: str
    """SHA-256 of what the rule says: an alert pins it."""
    source: str
    """``uwu``, ``estate`` or the folder of the settings that it came from."""
    place: str
    """``file:line`` or the entity that holds it."""
    text: str
    """The rule as it is written."""
    window: Window | None = None
    subject: Subject = "target"
    tags: tuple[str, ...] = ()
    """Sigma's: ``attack.t1078.004``."""
    references: tuple[str, ...] = ()
    false_positives: tuple[str, ...] = ()
    remedy: str = ""
    notes: tuple[str, ...] = ()
    """What of it cannot match here, in words."""
    match: Callable[[Event], bool] | None = None
    """Python's last word on an event that the SQL let pass."""
    correlate: Callable[[Sequence[Event]], Iterable[Sequence[Event]]] | None = None
    """Python's own correlation: of events in the order of time with the same ``by``, those that belong together."""

    @property
    def query(self) -> str:
        """The SQL that finds its events, for people and for ``uwu query``."""
        texts = [f"select *\nfrom events\nwhere {_broken(part.where)}\norder by event_time" for part in self.parts]
        if len(texts) == 1:
            return texts[0]
        return "\n\n".join(f"-- {part.name}\n{text}" for part, text in zip(self.parts, texts, strict=True))


_BREAKS = re.compile(r"'(?:[^']|'')*'|[()]| (?:and|or) ")
_DEEPEST = 3
"""Parentheses within which a condition is still broken into lines."""


def _broken(where: str) -> str:
    """A condition with a line for each of its terms."""
    depth = 0

    def piece(match: re.Match[str]) -> str:
        nonlocal depth
        text = match.group(0)
        if text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
        elif text.startswith(" ") and depth <= _DEEPEST:
            return f"\n{'  ' * (depth + 1)}{text.strip()} "
        return text

    return _BREAKS.sub(piece, where)


@dataclass(frozen=True)
class Firing:
    """A rule that fired: the events that made it, in the order of time."""

    detection: Detection
    events: tuple[Event, ...]
    """At most ``engine.MOST_PINNED``."""
    count: int
    """Of all events."""
    first: datetime
    last: datetime
    key: str
    """What they have in common, for people; empty where each event fires by itself."""
