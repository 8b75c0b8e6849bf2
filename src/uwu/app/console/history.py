"""A resource over time: the slider, looking at a time, and two versions side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from uwu.app.console import compare, words
from uwu.app.console.lists import Query
from uwu.app.console.views import Did, Moment, View
from uwu.kernel import codec, moments
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.graph import Version
from uwu.kernel.model import Finding
from uwu.kernel.rules import ATTRIBUTE, GONE, UNDECLARED

DRIFT = frozenset({ATTRIBUTE, GONE, UNDECLARED})
"""The rules whose findings say that it was not as declared."""
LABELS = 5


class Tick(View, frozen=True):
    """A version on the track: where it began, in percent, and what brought it."""

    x: float
    by: str


class Stretch(View, frozen=True):
    """From x1 to x2, in percent of the track."""

    x1: float
    x2: float


class Label(View, frozen=True):
    x: float
    text: str
    anchor: str
    wide: bool
    """Only where there is room."""


class Stop(View, frozen=True, array_like=True):
    """Where the slider halts: from when (seconds since 1970), the address, and what a reader is told."""

    at: int
    href: str
    text: str


class Slider(View, frozen=True):
    """The track of a resource's versions, the oldest at the left, now at the right. Times are seconds since 1970."""

    begin: int
    end: int
    value: int
    text: str
    """The time that is looked at: ``now``, ``17 Nov 09:12``."""
    version: int
    ticks: list[Tick]
    drift: list[Stretch]
    away: list[Stretch]
    """When it was not there."""
    labels: list[Label]
    stops: list[Stop]
    older: str
    newer: str

    @property
    def json(self) -> str:
        return codec.encode(self.stops).decode()


class Between(View, frozen=True):
    """Two versions, what differs, and who and what came between them."""

    left: Moment
    right: Moment
    diff: compare.Diff | None
    moments: list[Moment]
    changes: list[Did]
    options: list[Moment]


class Look(msgspec.Struct, frozen=True):
    """What of its history a request asks for: the version and time looked at, and the version to compare with."""

    version: int | None = None
    at: datetime | None = None
    other: int | None = None


def look(versions: Sequence[Version], asked: Query) -> Look:
    """``version`` or ``at`` (a time in RFC 3339, or seconds since 1970), and ``with`` for a second of either.

    Raises ``BadInput`` for what is neither, ``NotFound`` for what is not kept.
    """
    first, at = _one(versions, asked.get("version", ""), asked.get("at", ""))
    if "with" not in asked:
        return Look(first, at)
    given = asked["with"]
    numbered = given.isdigit() and len(given) < 9
    second, _ = (
        (max((v.version for v in versions), default=None), None)
        if given == "now"
        else _one(versions, given if numbered else "", "" if numbered else given)
    )
    if second is None:
        raise BadInput("there is nothing to compare with", hint="with takes a version, a time or now")
    if first is None:
        first = max((v.version for v in versions if v.version < second), default=second)
    return Look(min(first, second), None, max(first, second))


def _one(versions: Sequence[Version], version: str, at: str) -> tuple[int | None, datetime | None]:
    if version:
        if not version.isdigit() or len(version) > 8:
            raise BadInput(f"{version[:20]!r} is not a version", hint="versions count from 1")
        return int(version), None
    if not at:
        return None, None
    time = moment(at)
    held = [v for v in versions if v.valid_from <= time]
    if not held:
        first = min((v.valid_from for v in versions), default=None)
        hint = f"it was first seen {words.moment(first)}" if first is not None else "it was never seen"
        raise NotFound(f"nothing is known of it as of {words.stamp(time)}", code="not-yet", hint=hint)
    return max(v.version for v in held), time


def moment(text: str) -> datetime:
    """A time of an address: see ``moments.parse``. Raises ``BadInput``."""
    return moments.parse(text, place="query at")


def slider(
    versions: Sequence[Version],
    moments: Sequence[Moment],
    findings: Sequence[Finding],
    looked: Look,
    now: datetime,
    *,
    exists: bool,
) -> Slider | None:
    """The track; None where there is but one version and it was always as declared."""
    ordered = sorted(versions, key=lambda v: v.version)
    drifts = [f for f in findings if f.rule in DRIFT]
    if not ordered or (len(ordered) < 2 and exists and not drifts):
        return None
    begin, end = math.ceil(ordered[0].valid_from.timestamp()), int(now.timestamp())
    end = max(end, begin + 1)

    def x(at: datetime) -> float:
        return round(min(100.0, max(0.0, 100 * (at.timestamp() - begin) / (end - begin))), 2)

    by = {m.version: m.by for m in moments if m.title != "Gone"}
    last = ordered[-1]
    shown = next((v for v in ordered if v.version == looked.version), last)
    current = looked.version is None or (looked.at is None and shown is last and exists)
    value = end if current else int(looked.at.timestamp()) if looked.at else math.ceil(shown.valid_from.timestamp())
    stops = [Stop(math.ceil(v.valid_from.timestamp()), f"?version={v.version}", _told(v, now)) for v in ordered]
    stops.append(Stop(end, "", "now" if exists else "now: it does not exist any more"))
    number = shown.version
    index = ordered.index(shown)
    return Slider(
        begin=begin,
        end=end,
        value=min(max(value, begin), end),
        text="now" if current else _when(looked.at or shown.valid_from, now),
        version=number,
        ticks=[Tick(x=x(v.valid_from), by={"hand": "o", "code": "d"}.get(by.get(v.version, ""), "")) for v in ordered],
        drift=_joined([Stretch(x1=x(_since(f)), x2=x(f.closed_at or now)) for f in drifts]),
        away=_away(ordered, x, now),
        labels=_labels(begin, end),
        stops=stops,
        older=_older(ordered, index, current),
        newer="" if current else (f"?version={ordered[index + 1].version}" if index + 1 < len(ordered) else "?"),
    )


def _older(ordered: Sequence[Version], index: int, current: bool) -> str:
    # what is gone is looked at from behind its last version
    back = index if current and ordered[index].valid_to is not None else index - 1
    return f"?version={ordered[back].version}" if back >= 0 else ""


def _since(finding: Finding) -> datetime:
    return finding.cause.at if finding.cause is not None else finding.opened_at


def _when(at: datetime, now: datetime) -> str:
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at.day} {at:%b} {at:%H:%M}"


def _told(version: Version, now: datetime) -> str:
    return f"{_when(version.valid_from, now)}, version {version.version}"


def _joined(some: Sequence[Stretch]) -> list[Stretch]:
    """The stretches without overlaps."""
    out: list[Stretch] = []
    for each in sorted(some, key=lambda s: s.x1):
        if out and each.x1 <= out[-1].x2:
            out[-1] = Stretch(x1=out[-1].x1, x2=max(out[-1].x2, each.x2))
        elif each.x2 > each.x1:
            out.append(each)
    return out


def _away(ordered: Sequence[Version], x: Callable[[datetime], float], now: datetime) -> list[Stretch]:
    nexts = [*(v.valid_from for v in ordered[1:]), now]
    return [
        Stretch(x1=x(v.valid_to), x2=x(after))
        for v, after in zip(ordered, nexts, strict=True)
        if v.valid_to is not None and x(v.valid_to) < x(after)
    ]


def _labels(begin: int, end: int) -> list[Label]:
    span = timedelta(seconds=end - begin)
    out: list[Label] = []
    for i in range(LABELS):
        at = datetime.fromtimestamp(begin + (end - begin) * i / (LABELS - 1), UTC)
        text = f"{at:%H:%M}" if span < timedelta(hours=36) else f"{at.day} {at:%b}"
        if span > timedelta(days=700):
            text = f"{at:%b} {at.year}"
        anchor = "start" if i == 0 else "end" if i == LABELS - 1 else "middle"
        x = 100 * i / (LABELS - 1)
        out.append(Label(x=x, text="now" if i == LABELS - 1 else text, anchor=anchor, wide=i % 2 == 1))
    return out


# ---- two versions


def between(versions: Sequence[Version], moments: Sequence[Moment], changes: Sequence[Did], looked: Look) -> Between:
    """The versions of ``looked`` side by side. Raises ``NotFound`` for one that is not kept."""
    left, right = (_version(versions, n) for n in (looked.version, looked.other))
    by_number = {m.version: m for m in moments if m.title != "Gone"}
    came = [m for m in moments if left.version < m.version <= right.version]
    told = {m.at for m in came}
    within = [c for c in changes if left.valid_from < c.at <= right.valid_from and c.at not in told]
    return Between(
        left=by_number[left.version],
        right=by_number[right.version],
        diff=_diff(left, right),
        moments=came,
        changes=within,
        options=[m for m in moments if m.title != "Gone"],
    )


def _version(versions: Sequence[Version], number: int | None) -> Version:
    found = next((v for v in versions if v.version == number), None)
    if found is None:
        last = max((v.version for v in versions), default=0)
        raise NotFound(f"version {number} is not kept", hint=f"the last is {last}")
    return found


def _diff(left: Version, right: Version) -> compare.Diff | None:
    lines: list[compare.Line] = []
    names = 0
    for label, before, after in (
        ("name", left.name, right.name),
        ("tags", left.tags, right.tags),
        ("managed_by", left.managed_by, right.managed_by),
    ):
        if before != after:
            lines += compare.attribute(label, before, after)
            names += 1
    keys = sorted({*left.attributes, *right.attributes})
    same = 0
    for key in keys:
        if left.attributes.get(key) == right.attributes.get(key):
            same += 1
            continue
        lines += compare.attribute(key, left.attributes.get(key), right.attributes.get(key))
        names += 1
    if not lines:
        return None
    held, left_out = compare.cut(lines)
    notes = [words.plural(names, "attribute differs", "attributes differ"), f"{words.plural(same, 'is', 'are')} equal"]
    if left_out:
        notes.append(f"{words.plural(left_out, 'more line')} not shown")
    return compare.Diff(words.stamp(left.valid_from), words.stamp(right.valid_from), held, notes)
