"""CSV and JSON of any table: all rows of the same filters, streamed, never more than ``console.export_rows``."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from operator import attrgetter
from typing import Any, Literal

import msgspec
from litestar.response import Stream

from uwu.kernel import codec
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

FORMATS = {"csv": "text/csv; charset=utf-8; header=present", "json": "application/json"}
CUT = "uwu-cut"
"""The header of an export that does not hold every row: ``100000 of 123456``."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Column:
    """One column: its name, and how it is read of a row; by default the attribute of its name."""

    def __init__(self, name: str, read: Callable[[Any], Any] | None = None) -> None:
        self.name = name
        self.read: Callable[[Any], Any] = read or attrgetter(name)


class Table(msgspec.Struct, frozen=True):
    """What is exported. ``pages`` gives rows some at a time, so that no query holds the database for long."""

    name: str
    """The file's name before the day: ``findings``."""
    columns: Sequence[Column]
    pages: Iterator[Sequence[Any]]
    total: int
    """How many rows there are."""


def wanted(asked: Mapping[str, str]) -> Literal["", "csv", "json"]:
    """The format that is asked for by ``format``; empty for the page. Raises ``BadInput``."""
    given = asked.get("format", "")
    if given and given not in FORMATS:
        raise BadInput(f"there is no format {given[:20]!r}", code="format-unknown", hint="csv or json")
    return given  # type: ignore[return-value]


def exported(kernel: Kernel, asked: Mapping[str, str], table: Table) -> Stream:
    """``table`` in the format that ``asked`` names, as a file to keep."""
    chosen = wanted(asked) or "csv"
    most = kernel.settings.console.export_rows
    headers = {
        "content-disposition": f'attachment; filename="{table.name}-{codec.now():%Y-%m-%d}.{chosen}"',
        "cache-control": "private, no-store",
    }
    if table.total > most:
        headers[CUT] = f"{most} of {table.total}"
    rows = _at_most(table.pages, most)
    body = _csv(table.columns, rows) if chosen == "csv" else _json(table.columns, rows)
    return Stream(body, media_type=FORMATS[chosen], headers=headers)


def _at_most(pages: Iterator[Sequence[Any]], most: int) -> Iterator[Sequence[Any]]:
    left = most
    for page in pages:
        yield list(islice(page, left))
        left -= len(page)
        if left <= 0:
            return


def _csv(columns: Sequence[Column], pages: Iterator[Sequence[Any]]) -> Iterator[bytes]:
    """RFC 4180, a page of rows at a time."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([column.name for column in columns])
    for page in pages:
        writer.writerows([cell(column.read(row)) for column in columns] for row in page)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    if text.tell():
        yield text.getvalue().encode()


def cell(value: Any) -> Any:
    """A value as a spreadsheet may open it: text that it would run as a formula begins with an apostrophe.

    OWASP, CSV injection.
    """
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return codec.iso(value)
    text = value if isinstance(value, str) else codec.encode(value).decode()
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(columns: Sequence[Column], pages: Iterator[Sequence[Any]]) -> Iterator[bytes]:
    """An array of objects, one a line."""
    before = b"["
    for page in pages:
        lines: list[bytes] = []
        for row in page:
            held = {column.name: column.read(row) for column in columns}
            lines.append(before + b"\n" + codec.encode(held))
            before = b","
        yield b"".join(lines)
    yield b"[]\n" if before == b"[" else b"\n]\n"
