"""The tables of the lake: create, write files, commit them, plan and read. Apache Iceberg format version 2."""

# pyarrow has no types of its own
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportMissingTypeStubs=false

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import time as clock
from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import sqlalchemy as sa
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.expressions import And, BooleanExpression, GreaterThanOrEqual, LessThan
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import DayTransform
from pyiceberg.types import (
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)
from sqlalchemy import exc

from uwu.kernel.errors import BadInput, Misconfigured, NotFound, Unavailable
from uwu.kernel.lake.files import full_disk_named, sync_file, sync_folder
from uwu.kernel.lake.spec import DUCKDB_TYPES, TableSpec
from uwu.kernel.settings import Settings

_NAMESPACE = "uwu"
_ROW_GROUP = 16_384
_DICTIONARY_LIMIT = 65_536
"""Well above the row group: DuckDB writes no bloom filter for a column that has more distinct values than this. It is
allocated for every column: a million took 1 GB for a table of thirty."""
_COMMIT_SECONDS = 30.0

_ICEBERG_TYPES: dict[str, PrimitiveType] = {
    "text": StringType(),
    "json": StringType(),
    "time": TimestamptzType(),
    "long": LongType(),
    "int": IntegerType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
}

_PROPERTIES = {
    "write.format.default": "parquet",
    "write.delete.isolation-level": "snapshot",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
    "commit.manifest.target-size-bytes": str(128 * 1024),
    # the library's own retry adds a file twice when the first try did land
    "commit.retry.num-retries": "0",
    "write.metadata.previous-versions-max": "20",
}

logging.getLogger("pyiceberg").setLevel(logging.ERROR)


class WrittenFile(msgspec.Struct, frozen=True):
    """A data file that lies in the lake's folder, committed or not."""

    path: str
    day: str
    rows: int
    bytes: int


def fence(stream: str) -> str:
    """The table property that holds the last batch of ``stream`` that the table took in."""
    return f"uwu.batch.{stream}"


class Lake:
    """The event tables of one warehouse. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._catalog: SqlCatalog | None = None
        self._lock = threading.RLock()
        self._specs: dict[str, TableSpec] = {}
        self._tables: dict[str, Table] = {}
        self._plans: dict[tuple[object, ...], tuple[str, ...]] = {}
        self._reader: duckdb.DuckDBPyConnection | None = None

    @property
    def root(self) -> Path:
        """The warehouse's folder. Raises ``Misconfigured`` where the warehouse is none."""
        warehouse = self.settings.warehouse
        if "://" in warehouse and not warehouse.startswith("file://"):
            raise Misconfigured(
                f"the lake's warehouse must be a folder, not {warehouse.split('://', 1)[0]}://",
                code="lake-warehouse",
                place="lake.warehouse",
                hint="set lake.warehouse to an absolute path; a mounted network folder serves several machines",
            )
        path = Path(warehouse.removeprefix("file://"))
        return path if path.is_absolute() else self.settings.home_path / path

    def close(self) -> None:
        """Gives back the catalog's connections."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
            if self._catalog is not None:
                self._catalog.close()
                self._catalog = None

    # ── tables ──────────────────────────────────────────────────────────────────────────────────

    def catalog(self) -> SqlCatalog:
        """The Iceberg catalog: tables of the PostgreSQL database, or a SQLite file in the warehouse."""
        with self._lock:
            if self._catalog is None:
                with full_disk_named(str(self.root)):
                    self.root.mkdir(parents=True, exist_ok=True)
                    self._catalog = self._open_catalog()
            return self._catalog

    def _open_catalog(self) -> SqlCatalog:
        url = sa.make_url(self.settings.database_url) if self.settings.database_url else None
        if url is not None and url.get_backend_name() == "postgresql":
            url = url.set(drivername="postgresql+psycopg").update_query_dict({"connect_timeout": "10"})
            uri = url.render_as_string(hide_password=False)
        else:
            path = self.root / "catalog.db"
            with contextlib.closing(_sqlite(path)) as connection:
                connection.execute("pragma journal_mode=wal")
            uri = f"sqlite:///{path}?timeout=30"
        properties = {
            "uri": uri,
            "warehouse": str(self.root),
            "py-io-impl": "uwu.kernel.lake.files.FolderIO",
            "pool_pre_ping": "true",
        }
        try:
            try:
                catalog = SqlCatalog(_NAMESPACE, **properties)
            except exc.DatabaseError:  # another process made the catalog's tables at the same moment
                catalog = SqlCatalog(_NAMESPACE, **properties)
            catalog.create_namespace_if_not_exists(_NAMESPACE)
        except exc.OperationalError as error:
            raise Unavailable(
                f"the lake's catalog does not open: {str(error.orig).strip().splitlines()[0]}",
                code="lake-unavailable",
                hint="check lake.warehouse and database_url",
            ) from error
        return catalog

    def ensure(self, spec: TableSpec) -> None:
        """Makes the table of ``spec``, or gives an older one the columns that it lacks.

        Raises ``Misconfigured`` (``lake-schema``) where a column has another type there.
        """
        with self._lock:
            if self._specs.get(spec.name) == spec:
                return
            with full_disk_named(str(self.root)):
                table = self._create(spec)
                self._add_columns(table, spec)
            self._specs[spec.name] = spec

    def _create(self, spec: TableSpec) -> Table:
        catalog = self.catalog()
        with contextlib.suppress(NoSuchTableError):
            return catalog.load_table((_NAMESPACE, spec.name))
        # every column is optional: DuckDB marks a column required by what a file happens to hold
        fields = [
            NestedField(i, column.name, _ICEBERG_TYPES[column.type], required=False, doc=column.comment or None)
            for i, column in enumerate(spec.columns, 1)
        ]
        time_id = next(field.field_id for field in fields if field.name == spec.time)
        partition = PartitionSpec(PartitionField(time_id, 1000, DayTransform(), f"{spec.time}_day"))
        try:
            return catalog.create_table(
                (_NAMESPACE, spec.name),
                Schema(*fields),
                location=str(self.root / spec.name),
                partition_spec=partition,
                properties={**_PROPERTIES, **({"comment": spec.comment} if spec.comment else {})},
            )
        except TableAlreadyExistsError:
            return catalog.load_table((_NAMESPACE, spec.name))

    def _add_columns(self, table: Table, spec: TableSpec) -> None:
        have = {field.name: field.field_type for field in table.schema().fields}
        for column in spec.columns:
            if column.name in have and have[column.name] != _ICEBERG_TYPES[column.type]:
                raise Misconfigured(
                    f"the lake's table {spec.name!r} has {column.name!r} as {have[column.name]}, "
                    f"this version of uwu as {_ICEBERG_TYPES[column.type]}",
                    code="lake-schema",
                    place=table.location(),
                    hint="a newer or older uwu made this table; use that version, or another lake.warehouse",
                )
        missing = [column for column in spec.columns if column.name not in have]
        if not missing:
            return
        try:
            with table.update_schema() as update:
                for column in missing:
                    update.add_column(column.name, _ICEBERG_TYPES[column.type], column.comment or None)
        except (CommitFailedException, ValueError):
            table = self.load(spec.name)  # another process may have added them
            if not {column.name for column in missing} <= {field.name for field in table.schema().fields}:
                raise

    def load(self, name: str) -> Table:
        """The Iceberg table as it is now. Raises ``NotFound``."""
        try:
            return self.catalog().load_table((_NAMESPACE, name))
        except NoSuchTableError:
            raise NotFound(f"the lake has no table {name!r}", code="lake-no-table") from None

    def _read(self, name: str) -> Table:
        """As ``load``, for reading alone: its metadata is parsed once for as long as nobody commits."""
        catalog = self.catalog()
        t = IcebergTables
        where = (t.catalog_name == catalog.name, t.table_namespace == _NAMESPACE, t.table_name == name)
        with catalog.engine.connect() as connection:
            location = connection.scalar(sa.select(t.metadata_location).where(*where))
        with self._lock:
            held = self._tables.get(name)
        if held is None or held.metadata_location != location:
            held = self.load(name)
            with self._lock:
                self._tables[name] = held
        return held

    def tables(self) -> list[str]:
        """The names of the tables that there are."""
        return sorted(identifier[-1] for identifier in self.catalog().list_tables(_NAMESPACE))

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def copy(
        self, name: str, rows: pa.Table | Sequence[pa.RecordBatch], label: str, *, ordered: bool = False
    ) -> list[WrittenFile]:
        """Writes ``rows`` as files that no one reads yet: one a UTC day, sorted, on the disk for good.

        ``label`` makes the file names; a file of that label and day is replaced. Columns go by name: a missing one is
        null. With ``ordered`` the rows lie in the table's order already, and are not sorted again. Raises ``BadInput``
        for unknown columns (``lake-columns``) and for a row without its time (``lake-row-time``), ``StorageFull``
        where no room is left; no file is left behind then.
        """
        spec = self._spec(name)
        if len(rows) == 0:
            return []
        source: Any = rows if isinstance(rows, pa.Table) else pa.Table.from_batches(rows)
        ids = _field_ids(self.load(name))
        selection = _selection(spec, source.schema)
        folder = self.root / name / "data"
        done: list[WrittenFile] = []
        with full_disk_named(str(folder)), self.connection() as connection:
            try:
                connection.register("given", source)
                connection.execute(f"create temp view typed as select {selection} from given")  # noqa: S608
                for day, count in self._days(connection, spec):
                    path = folder / f"{label}-{day}.parquet"
                    done.append(self._copy_day(connection, spec, path, day, count, ids, ordered=ordered))
            except BaseException:
                for file in done:
                    Path(file.path).unlink(missing_ok=True)
                raise
        return done

    def rewrite(self, name: str, source: str, label: str, day: str) -> WrittenFile:
        """One sorted file of all rows of ``source``, a FROM expression over files of one ``day``."""
        spec = self._spec(name)
        folder = self.root / name / "data"
        with full_disk_named(str(folder)), self.connection() as connection:
            columns = ", ".join(f'"{column.name}"' for column in spec.columns)
            connection.execute(f"create temp view typed as select {columns} from {source}")  # noqa: S608
            count = connection.execute("select count(*) from typed").fetchall()[0][0]
            path = folder / f"{label}-{day}.parquet"
            return self._copy_day(connection, spec, path, date.fromisoformat(day), count, _field_ids(self.load(name)))

    def _days(self, connection: duckdb.DuckDBPyConnection, spec: TableSpec) -> list[tuple[date, int]]:
        days = connection.execute(
            f'select cast("{spec.time}" as date) as day, count(*) from typed group by 1 order by 1'  # noqa: S608
        ).fetchall()
        if days and any(day is None for day, _ in days):
            raise BadInput(
                f"{sum(n for day, n in days if day is None)} rows for {spec.name!r} have no {spec.time!r}",
                code="lake-row-time",
                hint="a row without its time has no day to lie in: leave it out and report it",
            )
        return days

    def _copy_day(
        self,
        connection: duckdb.DuckDBPyConnection,
        spec: TableSpec,
        path: Path,
        day: date,
        count: int,
        ids: str,
        *,
        ordered: bool = False,
    ) -> WrittenFile:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".tmp")
        columns = ", ".join(f'"{column}"' for column in spec.sort or (spec.time,))
        order = "" if ordered else f"order by {columns}"
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        within = _between(spec.time, start, start + timedelta(days=1))
        try:
            connection.execute(
                f"copy (select * from typed where {within} {order}) "  # noqa: S608
                f"to '{_quoted(str(part))}' (format parquet, compression zstd, row_group_size {_ROW_GROUP}, "
                f"dictionary_size_limit {_DICTIONARY_LIMIT}, field_ids {{{ids}}})"
            )
            sync_file(part)
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
        return WrittenFile(str(path), day.isoformat(), count, path.stat().st_size)

    def taken(self, name: str, stream: str) -> int:
        """The last batch of ``stream`` that the table has taken in; 0 where it has none."""
        return int(self.load(name).properties.get(fence(stream), "0"))

    def commit(self, name: str, stream: str, batch: int, files: Sequence[WrittenFile]) -> bool:
        """Makes ``files`` part of the table, once: False where the table has taken in ``batch`` already.

        Batches of a stream must come in order. Only a holder of the stream's lease should call it; another's
        commit in between is met by trying again from the table as it is then.
        """
        deadline = clock.monotonic() + _COMMIT_SECONDS
        paths = [file.path for file in sorted(files, key=lambda file: (file.day, file.path))]
        while True:
            with full_disk_named(str(self.root)):
                table = self.load(name)
                if int(table.properties.get(fence(stream), "0")) >= batch:
                    return False
                try:
                    with table.transaction() as transaction:
                        if paths:
                            transaction.add_files(paths, {"uwu.batch": str(batch)}, check_duplicate_files=False)
                        transaction.set_properties({fence(stream): str(batch)})
                    return True
                except CommitFailedException as error:
                    if clock.monotonic() > deadline:
                        raise Unavailable(
                            f"the lake's table {name!r} is being changed by others all the time",
                            code="lake-contended",
                            hint="run one ingest at a time",
                        ) from error
            clock.sleep(random.uniform(0.01, 0.1))  # noqa: S311 (spreads the committers, no secret)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def files(
        self, name: str, since: datetime | None = None, until: datetime | None = None, *, snapshot: int | None = None
    ) -> tuple[str, ...]:
        """The files that may hold rows in [since, until), by day. Planned once a snapshot."""
        table = self._read(name)
        current = table.snapshot_by_id(snapshot) if snapshot is not None else table.current_snapshot()
        if current is None:
            return ()
        column = self._time_column(table)
        bounds = (_day(since), _day(until, up=True))
        key = (name, table.metadata.table_uuid, current.snapshot_id, bounds)
        with self._lock:
            plan = self._plans.get(key)
        if plan is None:
            scan = table.scan(row_filter=_row_filter(column, *bounds), snapshot_id=current.snapshot_id)
            plan = tuple(sorted(task.file.file_path for task in scan.plan_files()))
            with self._lock:
                if len(self._plans) > 256:
                    self._plans.clear()
                self._plans[key] = plan
        return plan

    def scan(
        self, name: str, since: datetime | None = None, until: datetime | None = None, *, day: bool = False
    ) -> str:
        """A FROM expression of DuckDB over the files that may hold rows in [since, until): also where there is none.

        It prunes by day: the exact condition on the time belongs into the query. With ``day`` it has a column of this
        name, the UTC day as text: to group by it costs a tenth of what the time does.
        """
        return self.scan_files(name, self.files(name, since, until), day=day)

    def scan_files(self, name: str, paths: Sequence[str], *, day: bool = False) -> str:
        """A FROM expression over ``paths``: columns by field id, so that older files read as the table is now."""
        fields = self._read(name).schema().fields
        kinds = {str(kind): DUCKDB_TYPES[word] for word, kind in _ICEBERG_TYPES.items()}
        if not paths:
            nulls = ", ".join(f'cast(null as {kinds[str(field.field_type)]}) as "{field.name}"' for field in fields)
            nulls += ", cast(null as varchar) as day" if day else ""
            return f"(select {nulls} where false)"
        listed = ", ".join(f"'{_quoted(path)}'" for path in paths)
        schema = ", ".join(
            f"{field.field_id}: {{name: '{field.name}', type: '{kinds[str(field.field_type)]}', default_value: null}}"
            for field in fields
        )
        if not day:
            return f"read_parquet([{listed}], schema = map {{{schema}}})"
        # a file holds one day, and its name ends in it
        named = f"read_parquet([{listed}], schema = map {{{schema}}}, filename = true)"
        return f"(select * exclude (filename), filename[-18:-9] as day from {named})"  # noqa: S608 - own text

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        """The rows of our own ``sql`` over ``scan(...)`` expressions; times are aware and UTC."""
        with self.connection() as connection:
            return connection.sql(sql, params=parameters or None).to_arrow_table().to_pylist()

    @contextlib.contextmanager
    def connection(self) -> Generator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection for our own SQL: UTC, no extension loading, spilling to the warehouse's folder."""
        connection = self._open()
        try:
            connection.execute("set timezone = 'UTC'")
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def reading(self) -> Generator[duckdb.DuckDBPyConnection]:
        """As ``connection``, for the short reads of a page: its readers share one memory limit and what opening costs.

        Opening takes 18 ms of the processor, this 0.15 ms.
        """
        with self._lock:
            shared = self._reader = self._reader or self._open()
        connection = shared.cursor()
        try:
            connection.execute("set timezone = 'UTC'")
            # files never change: readers of one database read their footers once
            connection.execute("set parquet_metadata_cache = true")
            yield connection
        except (duckdb.FatalException, duckdb.InternalException):
            with self._lock:  # what failed so badly answers nobody any more: the next reader opens another
                if self._reader is shared:
                    self._reader = None
            raise
        finally:
            connection.close()

    def _open(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
                # a container may use fewer cores than the machine has
                "threads": str(_cores()),
                "memory_limit": f"{self.settings.query.memory_mb}MB",
                "temp_directory": str(self.root / ".spill"),
            }
        )

    def _spec(self, name: str) -> TableSpec:
        with self._lock:
            if name not in self._specs:
                raise NotFound(f"the lake's table {name!r} was not declared with ensure()", code="lake-no-table")
            return self._specs[name]

    def _time_column(self, table: Table) -> str:
        return table.schema().find_column_name(table.spec().fields[0].source_id) or ""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _sqlite(path: Path) -> Any:
    import sqlite3

    return sqlite3.connect(path, timeout=30)


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _field_ids(table: Table) -> str:
    return ", ".join(f'"{field.name}": {field.field_id}' for field in table.schema().fields)


def _between(column: str, start: datetime, end: datetime) -> str:
    return f"\"{column}\" >= timestamptz '{start}' and \"{column}\" < timestamptz '{end}'"


def _selection(spec: TableSpec, given: pa.Schema) -> str:
    known = {column.name for column in spec.columns}
    if unknown := [name for name in given.names if name not in known]:
        raise BadInput(
            f"the lake's table {spec.name!r} has no column {unknown[0]!r}",
            code="lake-columns",
            hint=f"it has {', '.join(sorted(known))}",
        )
    time_type = given.field(spec.time).type if spec.time in given.names else None
    if time_type is None or not pa.types.is_timestamp(time_type) or time_type.tz is None:
        # a cast of a naive time would follow the session's zone to the wrong day, in silence
        raise BadInput(
            f"rows for {spec.name!r} need {spec.time!r} as a time with a zone, not {time_type}",
            code="lake-row-time",
            hint="give it as pyarrow.timestamp('us', tz='UTC')",
        )
    return ", ".join(
        f'cast({_column(column.name, given)} as {DUCKDB_TYPES[column.type]}) as "{column.name}"'
        for column in spec.columns
    )


def _column(name: str, given: pa.Schema) -> str:
    return f'"{name}"' if name in given.names else "null"


def _day(moment: datetime | None, *, up: bool = False) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError(f"a naive time was given to the lake: {moment!r}")
    moment = moment.astimezone(UTC)
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return start + timedelta(days=1) if up and start != moment else start


def _row_filter(column: str, since: datetime | None, until: datetime | None) -> BooleanExpression | str:
    parts: list[BooleanExpression] = []
    if since is not None:
        parts.append(GreaterThanOrEqual(column, since.isoformat()))  # pyright: ignore[reportCallIssue]
    if until is not None:
        parts.append(LessThan(column, until.isoformat()))  # pyright: ignore[reportCallIssue]
    if not parts:
        return "true"
    return parts[0] if len(parts) == 1 else And(parts[0], parts[1])
