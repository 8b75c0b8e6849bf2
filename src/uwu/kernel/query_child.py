"""The process in which a query runs: it has the tables it was given, and nothing else.

Its environment is empty, it can write no file (``RLIMIT_FSIZE`` 0), its memory is bounded by the operating system as
well as by DuckDB (a string function allocates past DuckDB's own limit), and it ends itself when its time is up.
It reads one request from standard input and writes one JSON answer to standard output.
"""
# pyarrow has no types of its own
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportMissingTypeStubs=false

from __future__ import annotations

import base64
import contextlib
import math
import os
import resource
import sys
import threading
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any, BinaryIO, cast

import duckdb
import msgspec
import pyarrow as pa

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""An answer is cut off (``truncated``) beyond this: it goes through JSON to a terminal or a page."""
_HARD_STOP_SECONDS = 2.0
"""From the interrupt to the end of the process: some functions do not look whether they were interrupted."""
_OVERHEAD_BYTES = 512 * 1024 * 1024
"""Address space beside the data: stacks and arenas of the threads, Arrow's buffers of the result."""
_EXPLAIN = "explain "
_MAX_SAFE_INTEGER = 2**63 - 1


class Request(msgspec.Struct, frozen=True):
    """What the parent asks for. The Arrow streams of ``tables`` follow it, in their order."""

    sql: str
    kind: str
    tables: list[str]
    views: list[str]
    paths: list[str]
    max_rows: int
    memory_mb: int
    threads: int
    timeout_seconds: float


class Failure(msgspec.Struct, frozen=True):
    """Why there is no answer: DuckDB's kind of error, its message, where in the statement."""

    type: str
    message: str
    position: int = -1
    subtype: str = ""


class Answer(msgspec.Struct, frozen=True):
    """The rows, as plain JSON values."""

    columns: list[str] = []
    types: list[str] = []
    rows: list[list[Any]] = []
    truncated: bool = False
    failure: Failure | None = None


def write_frame(stream: BinaryIO, data: bytes) -> None:
    """One length-prefixed frame."""
    stream.write(len(data).to_bytes(8, "big"))
    stream.write(data)


def read_frame(stream: BinaryIO) -> bytes:
    """The next frame. Raises ``EOFError`` where the other side is gone."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    return stream.read(int.from_bytes(head, "big"))


# ── the process ─────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    """Answers the one request on standard input."""
    incoming = sys.stdin.buffer
    request = msgspec.json.decode(read_frame(incoming), type=Request)
    connection = duckdb.connect()
    for name in request.tables:
        connection.register(name, pa.ipc.open_stream(read_frame(incoming)).read_all())
    for view in request.views:
        connection.execute(view)
    _lock(connection, request)
    answer = _answer(connection, request)
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.buffer.flush()
    # the tables' memory need not be given back piece by piece
    os._exit(0)


def _lock(connection: duckdb.DuckDBPyConnection, request: Request) -> None:
    paths = ", ".join("'" + path.replace("'", "''") + "'" for path in request.paths)
    for setting in (
        "timezone = 'UTC'",
        "errors_as_json = true",
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        f"threads = {request.threads}",
        f"memory_limit = '{request.memory_mb}MB'",
        "max_temp_directory_size = '0B'",
        f"allowed_paths = [{paths}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # not every system bounds the address space
        limit = _address_space() + 2 * request.memory_mb * 1024 * 1024 + _OVERHEAD_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 (no pathlib in the child)
        return int(file.read().split()[0]) * resource.getpagesize()


def _answer(connection: duckdb.DuckDBPyConnection, request: Request) -> Answer:
    done = threading.Event()

    def stop() -> None:
        if not done.wait(request.timeout_seconds):
            connection.interrupt()
            if not done.wait(_HARD_STOP_SECONDS):
                os._exit(124)

    threading.Thread(target=stop, daemon=True).start()
    try:
        return _run(connection, request)
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        failure = _failure(error)
        shift = 0 if request.kind == "EXPLAIN" else len(_EXPLAIN)
        return Answer(failure=msgspec.structs.replace(failure, position=failure.position - shift))
    except duckdb.Error as error:
        return Answer(failure=_failure(error))
    except (MemoryError, pa.ArrowMemoryError) as error:
        return Answer(failure=Failure("Out of Memory", str(error)))
    finally:
        done.set()


def _run(connection: duckdb.DuckDBPyConnection, request: Request) -> Answer:
    if request.kind == "EXPLAIN":
        plan = connection.execute(request.sql).fetchall()
        return Answer(["plan"], ["VARCHAR"], [[row[-1]] for row in plan])
    relation = _bound(connection, request.sql)
    columns = list(relation.columns)
    types = [str(type) for type in relation.types]
    rows: list[list[Any]] = []
    size = 0
    with relation.to_arrow_reader(1024) as reader:
        for batch in reader:
            values = [
                [_plain(value, type == "JSON") for value in _python(column)]
                for column, type in zip(batch.columns, types, strict=True)
            ]
            for row in zip(*values, strict=True):
                if len(rows) == request.max_rows:
                    return Answer(columns, types, rows, truncated=True)
                size += len(msgspec.json.encode(row))
                if size > MAX_ANSWER_BYTES:
                    return Answer(columns, types, rows, truncated=True)
                rows.append(list(row))
    return Answer(columns, types, rows)


def _bound(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    try:
        return connection.sql(sql)
    except (duckdb.BinderException, duckdb.CatalogException):
        # a relation's error does not say where; the same statement explained does
        connection.execute(_EXPLAIN + sql)
        raise


def _failure(error: duckdb.Error) -> Failure:
    text = str(error)
    try:
        raw = cast("dict[str, Any]", msgspec.json.decode(text[text.index("{") :]))
        return Failure(
            str(raw.get("exception_type", type(error).__name__)),
            str(raw.get("exception_message", text)),
            int(raw.get("position", -1)),
            str(raw.get("error_subtype", "")),
        )
    except (ValueError, msgspec.DecodeError):
        return Failure(type(error).__name__.removesuffix("Exception"), text)


def _python(column: Any) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column.to_pylist(maps_as_pydicts="lossy")


def _plain(value: Any, json: bool = False) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _decoded(value) if json else value
        case int():
            return value if abs(value) <= _MAX_SAFE_INTEGER else str(value)
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return _number(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date() | time_of_day():
            return value.isoformat()
        case timedelta():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {str(key): _plain(item) for key, item in cast("dict[Any, Any]", value).items()}
        case list():
            return [_plain(item) for item in cast("list[Any]", value)]
        case pa.MonthDayNano():
            return f"P{value.months}M{value.days}DT{value.nanoseconds / 1e9:g}S"
        case _:
            return str(value)


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _number(value: Decimal) -> Any:
    if not value.is_finite():
        return None
    if value == value.to_integral_value():
        return _plain(int(value))
    number = float(value)
    return number if Decimal(repr(number)) == value else str(value)


if __name__ == "__main__":
    try:
        main()
    except EOFError:
        sys.exit(1)
