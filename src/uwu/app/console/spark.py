"""Series of days as SVG paths: a sparkline beside a number, and the chart of one scope. No script, no style."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from uwu.app.console.views import View
from uwu.kernel.entropy import Day

WIDTH, HEIGHT = 84, 16
CHART_WIDTH, CHART_HEIGHT = 960, 176
LEFT, RIGHT, TOP, BOTTOM = 4.0, 44.0, 10.0, 24.0
"""Room around the plot: its scale stands at the right, its days below."""
LEAST_SPAN = 3.0
"""Points: what moves less stays flat."""
RISES = 0.5
"""Points that a series must have gained to be called rising."""

Point = tuple[float, float]


class Spark(View, frozen=True):
    """A sparkline: its path, and where it ends."""

    path: str
    x: float
    y: float
    rising: bool
    said: str
    """``30 days, from 12.1 to 14.2``."""


class Tick(View, frozen=True):
    """A line of the scale or a day below it."""

    at: float
    label: str
    anchor: str = "start"


class Chart(View, frozen=True):
    """The chart of one scope."""

    line: str
    area: str
    ends: Point
    scale: list[Tick]
    days: list[Tick]
    bottom: float
    right: float
    dots: list[Point]
    """Days that stand alone: a line needs two."""
    rising: bool
    said: str


def change(days: Sequence[Day]) -> tuple[float, str] | None:
    """(points gained, since which day); None where there are less than two days with a number."""
    known = [day for day in days if day.entropy is not None]
    if len(known) < 2:
        return None
    first, last = known[0].entropy or 0.0, known[-1].entropy or 0.0
    return round(last - first, 2), known[0].day


def spark(days: Sequence[Day]) -> Spark | None:
    """The sparkline of ``days``; None where there are less than two numbers."""
    gained = change(days)
    if gained is None:
        return None
    low, high = _span(days, LEAST_SPAN)
    points = _points(days, (1.0, WIDTH - 3.0), (2.0, HEIGHT - 2.0), low, high)
    known = [day.entropy for day in days if day.entropy is not None]
    return Spark(
        path=_path(points),
        x=points[-1][0],
        y=points[-1][1],
        rising=gained[0] >= RISES,
        said=f"{len(days)} days, from {known[0]:.1f} to {known[-1]:.1f}",
    )


def counts(days: Sequence[int]) -> Spark | None:
    """The sparkline of what is counted by day, from 0; None where there was nothing."""
    if not any(days):
        return None
    top, bottom, step = max(days), HEIGHT - 2.0, (WIDTH - 4.0) / max(len(days) - 1, 1)
    points = [(round(1.0 + step * i, 1), round(bottom - (bottom - 2.0) * n / top, 1)) for i, n in enumerate(days)]
    half = len(days) // 2
    said = f"{sum(days):,} in {len(days)} days, at most {top:,} a day"
    rising = sum(days[half:]) > 2 * sum(days[:half])
    return Spark(path=_path(points), x=points[-1][0], y=points[-1][1], rising=rising, said=said)


def chart(days: Sequence[Day]) -> Chart | None:
    """The chart of ``days`` from 0 on; None where nothing was measured."""
    known = [day for day in days if day.entropy is not None]
    if not known:
        return None
    top = _ceiling(max(day.entropy or 0.0 for day in known))
    right, bottom = CHART_WIDTH - RIGHT, CHART_HEIGHT - BOTTOM
    points = _points(days, (LEFT, right), (TOP, bottom), 0.0, top)
    gained = change(days)
    said = f"{known[-1].entropy:.1f} on {_short(known[-1].day)}"
    if gained is not None:
        said = f"from {known[0].entropy:.1f} on {_short(known[0].day)} to {said}"
    line = _path(points) if len(points) > 1 else ""
    return Chart(
        line=line,
        area=f"{line}L{points[-1][0]} {bottom}L{points[0][0]} {bottom}Z" if line else "",
        ends=points[-1],
        scale=[Tick(at=round(bottom - (bottom - TOP) * part, 1), label=f"{top * part:g}") for part in (0.0, 0.5, 1.0)],
        days=[
            Tick(at=LEFT, label=_short(days[0].day)),
            Tick(at=round((LEFT + right) / 2, 1), label=_short(days[len(days) // 2].day), anchor="middle"),
            Tick(at=right, label="today", anchor="end"),
        ],
        bottom=bottom,
        right=right,
        dots=points if len(points) == 1 else [],
        rising=gained is not None and gained[0] >= RISES,
        said=said,
    )


def _span(days: Sequence[Day], least: float) -> tuple[float, float]:
    values = [day.entropy for day in days if day.entropy is not None]
    low, high = min(values), max(values)
    spare = max(least - (high - low), 0.0) / 2
    low = max(low - spare, 0.0)
    return low, max(high + spare, low + least)


def _points(days: Sequence[Day], x: Point, y: Point, low: float, high: float) -> list[Point]:
    step = (x[1] - x[0]) / max(len(days) - 1, 1)
    return [
        (round(x[0] + step * at, 1), round(y[1] - (y[1] - y[0]) * (day.entropy - low) / (high - low), 1))
        for at, day in enumerate(days)
        if day.entropy is not None
    ]


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points)


def _ceiling(value: float) -> float:
    """The end of the scale: a round number a little above."""
    return next((float(top) for top in (1, 2, 4, 6, 10, 20, 30, 40, 60, 80) if value <= top * 0.95), 100.0)


def _short(day: str) -> str:
    at = date.fromisoformat(day)
    return f"{at.day} {at:%b}"
