"""How things look in the terminal: few colours, aligned columns, ages and times that people read."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from uwu.kernel import codec, urns

SEVERITY_STYLE = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}


ENDLESS = 100_000
"""A pipe has no width: what a script reads is neither wrapped nor cut."""


@cache
def _terminal() -> Console:
    return Console(highlight=False)


def width() -> int:
    """The columns that a line on standard output may have."""
    return _terminal().width if _terminal().is_terminal else ENDLESS


def _console(file: IO[str]) -> Console:
    terminal = _terminal()
    return Console(
        file=file,
        force_terminal=terminal.is_terminal,
        no_color=terminal.no_color,
        width=width(),
        highlight=False,
        color_system=terminal.color_system if terminal.is_terminal else None,  # type: ignore[arg-type]
    )


def render(*parts: RenderableType) -> str:
    """The parts as text for standard output: with colours on a terminal, plain where it is piped."""
    buffer = io.StringIO()
    console = _console(buffer)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text | str), markup=False)
    return "".join(line.rstrip() + "\n" for line in buffer.getvalue().splitlines())


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[RenderableType]],
    *,
    numbers: Sequence[str] = (),
    whole: Sequence[str] = (),
    cut: Sequence[str] = (),
) -> Table:
    """Columns without boxes. ``numbers`` are aligned to the right; where the terminal is narrow ``whole`` ones stay on
    one line, ``cut`` ones lose their end, and the others wrap."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in numbers else "left",
            overflow="ellipsis" if name in cut else "fold",
            no_wrap=name in numbers or name in whole,
        )
    for row in rows:
        made.add_row(*row)
    return made


def fits(made: Table) -> bool:
    """Whether every cell of the table has its line."""
    console = _console(io.StringIO())
    return Measurement.get(console, console.options.update_width(ENDLESS), made).maximum <= width()


def records(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[Text]:
    """Each row as a block with a line for each column: for rows that are wider than the terminal."""
    wide = max(map(len, columns), default=0)
    lines: list[Text] = []
    for number, row in enumerate(rows, 1):
        lines.append(Text(f"row {number}", style="dim"))
        for name, cell in zip(columns, row, strict=True):
            lines += hang(Text(f"  {name:<{wide}}  ", style="dim"), Text(cell))
    return lines


def hang(lead: Text, body: Text, note: str = "") -> list[Text]:
    """``lead``, then ``body`` wrapped beside it, and ``note`` behind it where there is room, else below."""
    room = max(width() - lead.cell_len, 20)
    told = Text(note, style="dim")
    if note and body.cell_len + 2 + told.cell_len <= room:
        body, told = Text.assemble(body, "  ", told), Text()
    console = _console(io.StringIO())
    lines = [*body.wrap(console, room), *(told.wrap(console, room) if told else ())]
    return [Text.assemble(" " * lead.cell_len if i else lead, line) for i, line in enumerate(lines)] or [lead]


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


def person(name: str) -> str:
    """``mira.k`` of ``mira.k@example.com``: lists have little room, and the whole is in the story."""
    return name.partition("@")[0]


def value(given: Any, *, limit: int = 100) -> str:
    """A JSON value on one line."""
    text = given if isinstance(given, str) else codec.encode(given).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def short(urn: str) -> str:
    return urns.short(urn)


def inner(urn: str) -> str:
    """A resource within its account, with its kind: ``db:ledger``, ``vpc/vpc-0a1b``; an entity's reference as it is."""
    parts = urns.parse(urn)
    return parts.resource if parts is not None else urn
