"""Rules written in Python: what no condition can say.

A file of them has ``RULES``, a list of ``Rule``. They run with all that uwu may do: so they come from folders that
the settings name, never from the estate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from uwu.domains.trail.detect.fields import Field
from uwu.domains.trail.detect.model import PREFIX, Detection, Event, Part, Subject, Window
from uwu.kernel import codec
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Severity


@dataclass(frozen=True)
class Threshold:
    """So many events, or so many different values of ``distinct``, within ``within`` by the fields ``by``."""

    count: int
    within: timedelta
    by: tuple[str, ...] = ("actor",)
    distinct: str = ""


@dataclass(frozen=True)
class Rule:
    """A rule in Python. Fields are named as in CloudTrail records."""

    name: str
    title: str
    description: str
    severity: Severity
    where: str = "true"
    """DuckDB's SQL over ``events``: what Python need not look at."""
    match: Callable[[Event], bool] | None = None
    """Whether a row of ``events`` is one of those meant; None for all that ``where`` lets pass."""
    threshold: Threshold | None = None
    correlate: Callable[[Sequence[Event]], Iterable[Sequence[Event]]] | None = None
    """Of the matching events of one ``by`` within ``within``, by time: those that belong together, each an alert."""
    by: tuple[str, ...] = ("actor",)
    within: timedelta = timedelta(hours=1)
    subject: Subject = "target"
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    false_positives: tuple[str, ...] = ()
    remedy: str = ""


def request(event: Event) -> dict[str, Any]:
    """The request parameters of ``event``; empty where it has none."""
    return _object(event.get("request_parameters"))


def response(event: Event) -> dict[str, Any]:
    """The response elements of ``event``; empty where it has none."""
    return _object(event.get("response_elements"))


def _object(text: Any) -> dict[str, Any]:
    held = codec.decode(text) if text else None
    return held if isinstance(held, dict) else {}


def read(text: str, *, source: str, place: str) -> list[Detection]:
    """The detections of a Python file. Raises ``BadInput`` where it does not run or has no RULES."""
    scope: dict[str, Any] = {"__name__": f"uwu_rules_{Path(place).stem}", "__file__": place}
    try:
        exec(compile(text, place, "exec"), scope)  # noqa: S102 - rules of the operator's own folders
    except Exception as error:  # whatever a rule's file raises costs that file alone
        raise BadInput(f"it does not run: {type(error).__name__}: {error}", code="rule-python", place=place) from None
    rules = scope.get("RULES")
    if not isinstance(rules, list | tuple) or not all(isinstance(rule, Rule) for rule in rules):
        raise BadInput(
            "it has no RULES, a list of uwu.domains.trail.detect.python.Rule", code="rule-python", place=place
        )
    return [detection(rule, source=source, place=place, text=text) for rule in rules]


def detection(rule: Rule, *, source: str, place: str, text: str) -> Detection:
    """``rule`` as a detection."""
    window = None
    by: tuple[str, ...] = ()
    value = ""
    if rule.threshold is not None:
        asked = rule.threshold
        by = asked.by
        value = Field(asked.distinct).scalar if asked.distinct else ""
        kind = "value_count" if asked.distinct else "event_count"
        what = f"{asked.count} or more" + (f" different {asked.distinct}" if asked.distinct else "")
        window = Window(kind, asked.within, holds=_at_least(asked.count), text=_told(what, asked.within, by))
    elif rule.correlate is not None:
        by = rule.by
        window = Window("python", rule.within, text=_told("what belongs together", rule.within, by))
    keys = tuple(Field(name).scalar for name in by)
    return Detection(
        id=rule.name if rule.name.startswith(PREFIX) else PREFIX + rule.name,
        title=rule.title,
        description=" ".join(rule.description.split()),
        severity=rule.severity,
        parts=(Part(rule.name, rule.where, keys, value),),
        hash=codec.digest([rule.name, text]),
        source=source,
        place=place,
        text=text,
        window=window,
        subject=rule.subject,
        tags=rule.tags,
        references=rule.references,
        false_positives=rule.false_positives,
        remedy=" ".join(rule.remedy.split()),
        match=rule.match,
        correlate=rule.correlate,
    )


def _at_least(count: int) -> Callable[[float], bool]:
    return lambda found: found >= count


def _told(what: str, within: timedelta, by: Sequence[str]) -> str:
    minutes = int(within.total_seconds() // 60)
    span = f"{minutes // 60} h" if minutes >= 60 and minutes % 60 == 0 else f"{minutes} min"
    return f"{what} within {span}" + (f" by {', '.join(by)}" if by else "")
