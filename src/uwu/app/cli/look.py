"""How things look in the terminal: few colours, aligned columns, ages and times that people read."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from uwu.kernel import codec, urns

SEVERITY_STYLE = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}


def render(*parts: RenderableType) -> str:
    """The parts as text for standard output: with colours on a terminal, plain where it is piped."""
    terminal = Console(highlight=False)
    buffer = io.StringIO()
    # a pipe has no width: a narrow default would cut what a script reads
    width = terminal.width if terminal.is_terminal else 200
    console = Console(
        file=buffer,
        force_terminal=terminal.is_terminal,
        no_color=terminal.no_color,
        width=width,
        highlight=False,
        color_system=terminal.color_system if terminal.is_terminal else None,  # type: ignore[arg-type]
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text | str), markup=False)
    return buffer.getvalue()


def table(columns: Sequence[str], rows: Iterable[Sequence[RenderableType]], *, numbers: Sequence[str] = ()) -> Table:
    """Columns without boxes; those in ``numbers`` are aligned to the right."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def age(value: str | datetime | None) -> str:
    """``3 d``, ``2 h``, ``5 min``, ``now``; ``never`` for None."""
    if value is None:
        return "never"
    at = codec.parse_time(value) if isinstance(value, str) else value
    seconds = max((codec.now() - at).total_seconds(), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"


def ago(value: str | datetime | None) -> str:
    """``3 d ago``, ``just now``, ``never``."""
    told = age(value)
    return {"now": "just now", "never": "never"}.get(told, f"{told} ago")


def when(value: str | None) -> str:
    """``2025-03-10 14:02 UTC``."""
    return codec.parse_time(value).strftime("%Y-%m-%d %H:%M UTC") if value else "never"


def severity(name: str) -> Text:
    return Text(name, style=SEVERITY_STYLE.get(name, ""))


def owner(ref: str) -> Text:
    """The owner without its kind; nobody where there is none."""
    return Text(ref.split("/")[-1]) if ref else Text("nobody", style="yellow")


def value(given: Any, *, limit: int = 100) -> str:
    """A JSON value on one line."""
    text = given if isinstance(given, str) else codec.encode(given).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def short(urn: str) -> str:
    return urns.short(urn)
