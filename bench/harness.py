"""What every benchmark prints: a table of figures against their bars, and one JSON object as its last line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass
class Report:
    """The figures of one benchmark and the bars that they must clear."""

    name: str
    figures: dict[str, float] = field(default_factory=dict)
    bars: list[dict[str, object]] = field(default_factory=list)
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def figure(self, name: str, value: float, *, unit: str = "", peer: str = "") -> None:
        """A figure without a bar; ``peer`` is what it stands beside, measured in the same run."""
        self.figures[name] = value
        self.rows.append((name, f"{_number(value)}{unit}", peer, "", ""))

    def bar(
        self,
        name: str,
        value: float,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        peer: str = "",
        unit: str = "",
    ) -> None:
        """A figure that must be at most or at least something."""
        passed = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        bar = f"<= {_number(at_most)}" if at_most is not None else f">= {_number(at_least or 0)}"
        self.figures[name] = value
        self.bars.append({"name": name, "value": value, "bar": bar, "pass": passed})
        self.rows.append((name, f"{_number(value)}{unit}", peer, bar, "pass" if passed else "FAIL"))

    @property
    def passed(self) -> bool:
        return all(bar["pass"] for bar in self.bars)

    def show(self) -> int:
        """Prints table and JSON; gives the exit status."""
        head = ("figure", "value", "peer or bound", "bar", "")
        widths = [max(len(row[i]) for row in [head, *self.rows]) for i in range(5)]
        for row in [head, *self.rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        print()
        print(json.dumps({"bench": self.name, "figures": self.figures, "bars": self.bars, "passed": self.passed}))
        return 0 if self.passed else 1


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}".rstrip("0")
