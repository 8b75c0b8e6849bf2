"""Many rows in one statement, as each database does it best.

SQLite runs a prepared statement for each row; PostgreSQL is given all rows as one JSON value and joins it, which spares
it a message for each. These statements go around ``sight``: what is written does not depend on who looks.
"""

# the names in its SQL are its own: nothing comes from outside
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from uwu.kernel import codec
from uwu.kernel.db import Time

ROWS = 2_000
"""Rows given to PostgreSQL in one value, and keys in one list."""

_TYPES = {
    "text": "text",
    "int": "bigint",
    "float": "double precision",
    "bool": "boolean",
    "time": "timestamptz",
    "json": "jsonb",
    "bytes": "bytea",
}
_TIME = Time()
_SQLITE, _POSTGRESQL = sqlite.dialect(), postgresql.dialect()


class Bulk(msgspec.Struct, frozen=True):
    """A statement over rows of ``columns`` (name -> text, int, float, bool, time, json or bytes).

    ``sqlite`` takes them as ``:name``; ``postgresql`` as a table ``given``.
    """

    columns: dict[str, str]
    sqlite: str
    postgresql: str

    def run(self, connection: sa.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Runs it for ``rows``, each with the values of ``columns`` in their order."""
        if not rows:
            return
        if connection.dialect.name == "sqlite":
            statement = self.sqlite
            for number, name in enumerate(self.columns, 1):
                statement = statement.replace(f":{name}:", f"?{number}")
            connection.exec_driver_sql(statement, self._as_sqlite_has_them(rows))
            return
        typed = ", ".join(f"{name} {_TYPES[type]}" for name, type in self.columns.items())
        joined = (
            f"with given as materialized (select * from jsonb_to_recordset(%s::jsonb) as g({typed})) {self.postgresql}"
        )
        given = self._as_postgresql_reads_them(rows)
        for i in range(0, len(rows), ROWS):
            some = [dict(zip(self.columns, row, strict=True)) for row in given[i : i + ROWS]]
            connection.exec_driver_sql(joined, (codec.encode(some).decode(),))

    def _as_postgresql_reads_them(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        places = [place for place, type in enumerate(self.columns.values()) if type == "bytes"]
        if not places:
            return rows
        made = [list(row) for row in rows]
        for row in made:
            for place in places:
                row[place] = None if row[place] is None else "\\x" + row[place].hex()
        return made

    def _as_sqlite_has_them(self, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        times = [place for place, type in enumerate(self.columns.values()) if type == "time"]
        values = [place for place, type in enumerate(self.columns.values()) if type == "json"]
        if not times and not values:
            return [tuple(row) for row in rows]
        micros: dict[datetime | None, Any] = {}  # they are few: those of the looks
        made: list[tuple[Any, ...]] = []
        for row in rows:
            out = list(row)
            for place in times:
                at = out[place]
                if at not in micros:
                    micros[at] = _TIME.process_bind_param(at, _SQLITE)
                out[place] = micros[at]
            for place in values:
                out[place] = codec.encode(out[place]).decode()
            made.append(tuple(out))
        return made


def insert(table: sa.Table, columns: dict[str, str]) -> Bulk:
    """Inserts rows of ``columns`` whose keys are not there yet."""
    names = ", ".join(columns)
    return Bulk(
        columns,
        f"insert into {table.name} ({names}) values ({', '.join(f':{name}:' for name in columns)})",
        f"insert into {table.name} ({names}) select {names} from given",
    )


def upsert(table: sa.Table, columns: dict[str, str]) -> Bulk:
    """Inserts rows of ``columns``, or sets the others where the key of ``table`` is taken."""
    keys = [column.name for column in table.primary_key.columns]
    names = ", ".join(columns)
    others = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    end = f"on conflict ({', '.join(keys)}) do " + (f"update set {others}" if others else "nothing")
    return Bulk(
        columns,
        f"insert into {table.name} ({names}) values ({', '.join(f':{name}:' for name in columns)}) {end}",
        f"insert into {table.name} ({names}) select {names} from given {end}",
    )


def rows(connection: sa.Connection, query: str, values: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of ``query``, in which ``{values}`` stands for a query of ``values`` as one column ``value``.

    Times come as the database holds them: see ``time``.
    """
    given = list(values)
    if not given:
        return
    sqlite_ = connection.dialect.name == "sqlite"
    each = "select value from json_each(?)" if sqlite_ else "select unnest(%s::text[]) as value"
    for i in range(0, len(given), ROWS):
        some = given[i : i + ROWS]
        given_as = codec.encode(some).decode() if sqlite_ else some
        # the driver's own rows: SQLAlchemy's cost as much again
        cursor: Any = connection.exec_driver_sql(query.replace("{values}", each), (given_as,)).cursor
        yield from cursor.fetchall()


def time(connection: sa.Connection, value: Any) -> datetime | None:
    """A time as ``rows`` gives it, as a UTC time."""
    return _TIME.process_result_value(value, _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL)
