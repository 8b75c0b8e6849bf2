"""The SQL database: SQLite in WAL mode by default, PostgreSQL by URL; the same functions on both.

Readers never wait for writers. A writer on SQLite takes its lock at BEGIN: a deferred transaction that
turns into a write fails under load and no timeout cures it. Keep write transactions to a thousand rows or so.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator

from uwu.kernel import codec
from uwu.kernel.errors import Misconfigured, StorageFull, Unavailable

S = TypeVar("S", bound=msgspec.Struct)

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_CHECKPOINT = "wal_autocheckpoint=65536"
"""256 MB: what large writes set more than once then goes into the file once, and no writer waits for that midway."""
_LOCK_SECONDS = 30
ROWS_PER_WRITE = 1000
"""Rows in one write transaction: more makes readers of pages wait on SQLite."""


class Time(TypeDecorator[datetime]):
    """A UTC time in microseconds. Refuses naive values; on SQLite it is an integer of microseconds."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(sa.BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive time was given to the database: {value!r}")
        if dialect.name == "postgresql":
            return value
        return _micros(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if dialect.name == "postgresql":
            return value.astimezone(UTC)
        return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)


def _micros(value: datetime) -> int:
    return int(value.astimezone(UTC).replace(microsecond=0).timestamp()) * 1_000_000 + value.microsecond


Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
"""Plain JSON values; Structs are turned to them by ``codec``."""


Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text in the order of its bytes on both databases: ranges of it can be asked for."""


class Database:
    """One engine and its two ways in: ``read()`` and ``write()``."""

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        self.dialect = self.url.get_backend_name()
        if self.dialect not in {"sqlite", "postgresql"}:
            raise Misconfigured(
                f"the database {self.dialect!r} is not supported",
                code="database-unsupported",
                hint="use sqlite:///path or postgresql+psycopg://user@host/name",
            )
        self.engine = self._sqlite_engine() if self.dialect == "sqlite" else self._postgresql_engine()

    def _sqlite_engine(self) -> sa.Engine:
        if self.url.database and self.url.database != ":memory:":
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(
            self.url,
            isolation_level=None,
            pool_use_lifo=True,  # each connection keeps pages of its own: few that are in use keep fewer
            connect_args={"timeout": _LOCK_SECONDS, "check_same_thread": False},
            json_serializer=_dumps,
            json_deserializer=codec.decode,
        )

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
            for pragma in (
                "journal_mode=wal",
                "synchronous=normal",
                "foreign_keys=on",
                "cache_size=-65536",
                _CHECKPOINT,
            ):
                connection.execute(f"pragma {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:  # pyright: ignore[reportUnusedFunction]
            if connection.get_execution_options().get("write"):
                _begin_immediate(connection)
            else:
                connection.exec_driver_sql("begin")

        return engine

    def _postgresql_engine(self) -> sa.Engine:
        return sa.create_engine(
            self.url.set(drivername="postgresql+psycopg"),
            pool_size=8,
            max_overflow=8,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "options": "-c timezone=UTC -c statement_timeout=60000"},
            json_serializer=_dumps,
            json_deserializer=codec.decode,
        )

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A transaction that only reads: one consistent picture."""
        with _mapped_errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """A transaction that writes; committed at the end, rolled back on an error."""
        with _mapped_errors(), self.engine.connect() as connection:
            connection = connection.execution_options(write=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        self.engine.dispose()


def _begin_immediate(connection: sa.Connection) -> None:
    """Waits for SQLite's one write lock, looking often: SQLite itself soon sleeps 100 ms between two looks."""
    connection.exec_driver_sql("pragma busy_timeout=0")
    try:
        began, wait = time.monotonic(), 0.0005
        while True:
            try:
                connection.exec_driver_sql("begin immediate")
                return
            except exc.OperationalError as error:
                waited = time.monotonic() - began
                if "locked" not in str(error.orig) or waited > _LOCK_SECONDS:
                    raise
            time.sleep(wait)
            wait = min(wait * 1.5, 0.004 if waited < 2 else 0.05)
    finally:
        connection.exec_driver_sql(f"pragma busy_timeout={_LOCK_SECONDS * 1000}")


def columns(table: sa.FromClause, struct: type[msgspec.Struct]) -> list[sa.ColumnElement[Any]]:
    """The table's columns that ``struct`` has as fields, in their order."""
    return [table.c[name] for name in struct.__struct_fields__]


def to_struct(struct: type[S], row: Sequence[Any]) -> S:
    """A row of ``columns(table, struct)`` as that struct; JSON values and enums become typed."""
    return msgspec.convert(dict(zip(struct.__struct_fields__, row, strict=True)), struct)


def upsert(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]], *, update: Sequence[str] | None = None
) -> None:
    """Inserts ``rows`` or, where the primary key is taken, sets the other columns (or just ``update``).

    Rows go in the order of their key: unsorted, two parallel writers deadlock on PostgreSQL.
    """
    if not rows:
        return
    keys = [column.name for column in table.primary_key.columns]
    rows = sorted(rows, key=lambda row: tuple(str(row[k]) for k in keys))
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(table)
    names = [n for n in (rows[0].keys() if update is None else update) if n not in keys]
    if names:
        statement = statement.on_conflict_do_update(
            index_elements=keys, set_={name: statement.excluded[name] for name in names}
        )
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    connection.execute(statement, rows)


def _dumps(value: Any) -> str:
    return codec.encode(value).decode()


@contextmanager
def _mapped_errors() -> Generator[None]:
    try:
        yield
    except exc.OperationalError as error:
        text = str(error.orig)
        if "disk is full" in text or "No space left" in text:
            raise StorageFull(
                "the database has no room left",
                hint="free space where the database lies; nothing half-written was kept",
            ) from error
        if "unable to open" in text or "connection" in text.lower():
            raise Unavailable(
                f"the database does not answer: {text.strip().splitlines()[0]}",
                code="database-unavailable",
                hint="check database_url, and that the server runs and the folder may be written",
            ) from error
        raise
