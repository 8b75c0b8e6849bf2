"""What an event table looks like: typed columns, a time that parts it into days, the order within a file."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

DUCKDB_TYPES = {
    "text": "VARCHAR",
    "json": "VARCHAR",
    "time": "TIMESTAMPTZ",
    "long": "BIGINT",
    "int": "INTEGER",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
}
"""Column type -> DuckDB's type in files. JSON is text there: other readers of Iceberg have no JSON type."""


@dataclass(frozen=True)
class Column:
    """A column: ``type`` is one of text, json (JSON as text), time (UTC, microseconds), long, int, double, boolean.

    There are no lists: a list column that DuckDB writes is not read by every reader of Iceberg; keep it as json.
    """

    name: str
    type: str = "text"
    comment: str = ""

    def __post_init__(self) -> None:
        if self.type not in DUCKDB_TYPES:
            raise ValueError(f"column {self.name!r}: no type {self.type!r}; there are {', '.join(DUCKDB_TYPES)}")
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"column {self.name!r}: a name is lower-case letters, digits and underscores")


@dataclass(frozen=True)
class TableSpec:
    """An append-only table of the lake, parted by the UTC day of ``time``."""

    name: str
    columns: tuple[Column, ...]
    time: str
    """The column of type time that parts the table; no row may lack it."""
    sort: tuple[str, ...] = ()
    """The order of rows within a file: what is asked for most, first."""
    comment: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"table {self.name!r}: a name is lower-case letters, digits and underscores")
        types = {column.name: column.type for column in self.columns}
        if len(types) != len(self.columns):
            raise ValueError(f"table {self.name!r}: a column stands twice")
        if types.get(self.time) != "time":
            raise ValueError(f"table {self.name!r}: {self.time!r} is no column of type time")
        if unknown := [name for name in self.sort if name not in types]:
            raise ValueError(f"table {self.name!r}: it is sorted by {unknown[0]!r}, which is no column")
