"""``uwu query``: SQL over resources, relations, findings, events and the rest, in a process that can do nothing else.

The statement is parsed by DuckDB's own parser, so that what is checked is what runs; only the tables that it names are
read; it runs in a child process without environment, network, files to write, or memory and time beyond its limits.
"""
# pyarrow has no types of its own
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportMissingTypeStubs=false

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import duckdb
import msgspec
import pyarrow as pa

from uwu.kernel import codec, query_tables
from uwu.kernel.errors import BadInput, Unavailable
from uwu.kernel.lake.spec import Column
from uwu.kernel.query_child import Answer, Failure, Request, write_frame
from uwu.kernel.query_tables import ARROW, Loaded, Source
from uwu.kernel.runtime import Kernel
from uwu.kernel.schema import near

_TABLE_FUNCTIONS = {
    "unnest",
    "range",
    "generate_series",
    "json_each",
    "json_tree",
    "regexp_split_to_table",
    "repeat_row",
}
_FORBIDDEN_FUNCTIONS = {
    "getenv",
    "current_setting",
    "set_config",
    "write_log",
    "query",
    "query_table",
    "json_execute_serialized_sql",
    "getvariable",
    "nextval",
    "currval",
}
_QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_SAFE_HINT = "a query is one SELECT, WITH, VALUES, DESCRIBE or EXPLAIN over the tables that `.tables` lists"
_EXPLAIN = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*explain\b(?:\s+analyze\b)?", re.IGNORECASE | re.DOTALL)
_BACKSTOP_SECONDS = 30.0
"""The child ends itself; should it not, it is killed so long after its time."""


class Result(msgspec.Struct, frozen=True):
    """The answer: plain JSON values; times are ISO 8601 with Z, bytes base64, integers beyond 64 bits text."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[list[Any]]
    truncated: bool
    """More rows there are than ``max_rows``, or than 32 MiB."""
    seconds: float


class TableInfo(msgspec.Struct, frozen=True):
    """One table that may be queried."""

    name: str
    comment: str
    columns: list[dict[str, str]]
    """name, type and comment of each."""


@dataclass(frozen=True)
class _Statement:
    sql: str
    kind: str
    tables: Mapping[str, int]
    """Lower-case name -> its offset in the statement, -1 where unknown."""
    ctes: frozenset[str]


def tables(kernel: Kernel) -> list[TableInfo]:
    """Every table that may be queried, with its columns."""
    by_type = query_tables.type_columns(kernel)
    return [
        TableInfo(name, source.comment, [_column_info(c) for c in source.columns or _of_type(by_type, name)])
        for name, source in sorted(query_tables.sources(kernel).items())
    ]


def _of_type(by_type: Mapping[str, tuple[Column, ...]], name: str) -> tuple[Column, ...]:
    return by_type.get(name, query_tables.BASE_COLUMNS)


def _column_info(column: Column) -> dict[str, str]:
    return {"name": column.name, "type": column.type, "comment": column.comment}


def run(
    kernel: Kernel,
    sql: str,
    *,
    at: datetime | None = None,
    max_rows: int | None = None,
    timeout_seconds: float | None = None,
    memory_mb: int | None = None,
    check: Callable[[str], None] | None = None,
) -> Result:
    """The answer to one read-only statement; limits default to the settings' ``query`` section.

    With ``at``, tables are read as they were then; those that hold only the present are refused.
    ``check`` is asked about each table that the statement names and raises where that one may not be read.
    Raises ``BadInput`` with one of the codes ``query-syntax``, ``query-forbidden``, ``query-unknown-table``,
    ``query-unknown-column``, ``query-no-past``, ``query-invalid``, ``query-timeout``, ``query-memory``.
    """
    started = time.monotonic()
    limits = kernel.settings.query
    statement = _parse(sql)
    child = _start()
    try:
        known = query_tables.sources(kernel)
        named = _named(statement, known)
        request = Request(
            sql=statement.sql,
            kind=statement.kind,
            tables=[],
            views=[],
            paths=[],
            max_rows=max_rows or limits.max_rows,
            memory_mb=memory_mb or limits.memory_mb,
            threads=max(1, min(4, os.cpu_count() or 1)),
            timeout_seconds=float(timeout_seconds or limits.timeout_seconds),
        )
        streams: list[bytes] = []
        columns: set[str] = set()
        for name in named:
            if check is not None:
                check(name)
            loaded = _loaded(kernel, name, known, at)
            columns.update(column.name for column in loaded.columns)
            _give(request, streams, name, loaded)
        answer = _ask(child, request, streams)
    except BaseException:
        child.kill()
        child.communicate()
        raise
    if answer.failure is not None:
        raise _error(answer.failure, statement, request, known, columns)
    return Result(
        tuple(answer.columns), tuple(answer.types), answer.rows, answer.truncated, round(time.monotonic() - started, 3)
    )


# ── what the statement may be ───────────────────────────────────────────────────────────────────


def _parse(sql: str) -> _Statement:
    if "\x00" in sql:
        raise BadInput("the statement holds a NUL character", code="query-syntax")
    with duckdb.connect() as parser:
        try:
            statements = parser.extract_statements(sql)
        except duckdb.Error:
            raise _syntax(parser, sql) from None
        if len(statements) != 1:
            count = (
                "no statement was given" if not statements else f"{len(statements)} statements were given; one may be"
            )
            raise BadInput(count, code="query-forbidden" if statements else "query-syntax", hint=_SAFE_HINT)
        kind = statements[0].type.name
        offset = 0
        if kind == "EXPLAIN":
            prefix = _EXPLAIN.match(sql)
            offset = prefix.end() if prefix else 0
        elif kind != "SELECT":
            word = "take several steps (PIVOT does)" if kind == "MULTI" else kind.lower().replace("_", " ")
            raise BadInput(f"a query cannot {word}", code="query-forbidden", hint=_SAFE_HINT)
        tree = _tree(parser, sql[offset:])
    if tree.get("error") or len(tree.get("statements", ())) != 1:
        raise BadInput("a query cannot be this kind of statement", code="query-forbidden", hint=_SAFE_HINT)
    found: dict[str, int] = {}
    ctes: set[str] = set()
    for node in _nodes(tree["statements"][0]["node"]):
        _visit(node, sql, offset, found, ctes)
    return _Statement(sql, kind, found, frozenset(ctes))


def _tree(parser: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    return codec.decode(parser.execute("select json_serialize_sql($1)", [sql]).fetchall()[0][0])


def _syntax(parser: duckdb.DuckDBPyConnection, sql: str) -> BadInput:
    tree = _tree(parser, sql)
    message = str(tree.get("error_message", "this is not SQL"))
    return BadInput(
        message.splitlines()[0],
        code="query-syntax",
        place=_place(sql, int(tree.get("position", -1))),
        hint="the dialect is DuckDB's, which is close to PostgreSQL's",
    )


def _place(sql: str, position: int) -> str:
    if position < 0 or position > len(sql.encode()):
        return ""
    before = sql.encode()[:position].decode(errors="ignore")
    return f"{before.count(chr(10)) + 1}:{len(before) - (before.rfind(chr(10)) + 1) + 1}"


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            node = cast("dict[str, Any]", item)
            yield node
            stack.extend(node.values())
        elif isinstance(item, list):
            stack.extend(cast("list[Any]", item))


def _visit(node: dict[str, Any], sql: str, offset: int, found: dict[str, int], ctes: set[str]) -> None:
    location = node.get("query_location", -1)
    position = location + offset if isinstance(location, int) and 0 <= location < 2**63 else -1
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in _QUERY_NODES:
        word = kind.partition("_")[0].lower()
        raise BadInput(f"a query cannot {word}", code="query-forbidden", hint=_SAFE_HINT)
    if "cte_map" in node:
        ctes.update(str(entry["key"]).lower() for entry in node["cte_map"].get("map", ()))
    if isinstance(node.get("cte_name"), str):
        ctes.add(node["cte_name"].lower())
    if kind == "BASE_TABLE":
        _table(node, sql, position, found)
    elif kind == "SHOW_REF":
        name = str(node.get("table_name", "")).strip('"').lower()
        if not name and node.get("query") is None:
            raise BadInput("a query cannot show this", code="query-forbidden", hint=_SAFE_HINT)
        if name:
            found.setdefault(name, position)
    elif kind == "TABLE_FUNCTION":
        name = str(node.get("function", {}).get("function_name", "")).lower()
        if name not in _TABLE_FUNCTIONS:
            raise BadInput(
                f"a query cannot call {name}() as a table",
                code="query-forbidden",
                place=_place(sql, position),
                hint=_SAFE_HINT,
            )
    elif kind == "FUNCTION" and str(node.get("function_name", "")).lower() in _FORBIDDEN_FUNCTIONS:
        raise BadInput(
            f"a query cannot call {node['function_name']}()",
            code="query-forbidden",
            place=_place(sql, position),
            hint=_SAFE_HINT,
        )


def _table(node: dict[str, Any], sql: str, position: int, found: dict[str, int]) -> None:
    name, schema, catalog = (str(node.get(key, "")) for key in ("table_name", "schema_name", "catalog_name"))
    if catalog.lower() not in {"", "memory"} or schema.lower() not in {"", "main"}:
        raise BadInput(
            f"a query cannot read {'.'.join(filter(None, (catalog, schema, name)))}",
            code="query-forbidden",
            place=_place(sql, position),
            hint=_SAFE_HINT,
        )
    found.setdefault(name.lower(), position)


def _named(statement: _Statement, known: Mapping[str, Source]) -> list[str]:
    names: list[str] = []
    for name, position in statement.tables.items():
        if name in known:
            names.append(name)
        elif name not in statement.ctes:
            raise BadInput(
                f"there is no table {name!r}",
                code="query-unknown-table",
                place=_place(statement.sql, position),
                hint=near(name, known) or "`.tables` lists them",
            )
    return names


# ── the child ───────────────────────────────────────────────────────────────────────────────────


def _start() -> subprocess.Popen[bytes]:
    # its start and import take a quarter of a second: meanwhile the tables are read here
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "uwu.kernel.query_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "MALLOC_ARENA_MAX": "2", "LC_ALL": "C.UTF-8"},
        )
    except OSError as error:
        raise Unavailable(
            f"the query's process does not start: {error.strerror}", code="query-unavailable", hint="try again"
        ) from error


def _loaded(kernel: Kernel, name: str, known: Mapping[str, Source], at: datetime | None) -> Loaded:
    source = known[name]
    if at is None:
        given = source.load(kernel)
    elif source.past is None:
        kept = [each for each, other in known.items() if other.past is not None and not each.startswith("aws_")]
        raise BadInput(
            f"of {name!r} only the present is kept",
            code="query-no-past",
            place="at",
            hint=f"with a time, ask the tables of resource types, or {', '.join(sorted(kept))}",
        )
    else:
        given = source.past(kernel, at)
    return given if isinstance(given, Loaded) else Loaded(source.columns, given)


def _give(request: Request, streams: list[bytes], name: str, loaded: Loaded) -> None:
    picked = ", ".join(
        f'try_cast("{c.name}" as json) as "{c.name}"' if c.type == "json" else f'"{c.name}"' for c in loaded.columns
    )
    origin = loaded.expression
    if loaded.rows is not None:
        origin = f'"given:{name}"'
        request.tables.append(f"given:{name}")
        streams.append(_stream(loaded.rows, loaded.columns))
    request.paths.extend(loaded.paths)
    request.views.append(f'create view "{name}" as select {picked} from {origin}')  # noqa: S608 (our own names)


def _stream(rows: pa.Table, columns: tuple[Column, ...]) -> bytes:
    schema = pa.schema([pa.field(column.name, ARROW[column.type]) for column in columns])
    table = rows.select(schema.names).cast(schema)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _ask(child: subprocess.Popen[bytes], request: Request, streams: list[bytes]) -> Answer:
    frames = io.BytesIO()
    for frame in (codec.encode(request), *streams):
        write_frame(frames, frame)
    try:
        output, _ = child.communicate(frames.getvalue(), timeout=request.timeout_seconds + _BACKSTOP_SECONDS)
    except subprocess.TimeoutExpired:
        return Answer(failure=Failure("INTERRUPT", ""))
    if not output:
        return Answer(failure=Failure("INTERRUPT" if child.returncode == 124 else "Out of Memory", ""))
    return msgspec.json.decode(output, type=Answer)


# ── errors ──────────────────────────────────────────────────────────────────────────────────────


def _error(
    failure: Failure, statement: _Statement, request: Request, known: Mapping[str, Source], columns: set[str]
) -> BadInput:
    kind = failure.type.lower()
    message = re.sub(r"^\w+ Error: ", "", failure.message.strip().split("\n")[0]) or "the query failed"
    place = _place(statement.sql, failure.position)
    if "interrupt" in kind:
        return BadInput(
            f"the query took longer than {request.timeout_seconds:g} seconds",
            code="query-timeout",
            hint="narrow it by time or account, or raise query.timeout_seconds",
        )
    if "memory" in kind or "bad_alloc" in failure.message or "bad allocation" in failure.message:
        return BadInput(
            f"the query needed more than {request.memory_mb} MB of memory",
            code="query-memory",
            hint="select fewer columns, aggregate or filter earlier, or raise query.memory_mb",
        )
    if "permission" in kind or "disabled by configuration" in failure.message:
        return BadInput(message, code="query-forbidden", place=place, hint=_SAFE_HINT)
    column = re.search(r'(?:column "|column named "|^Column ")([^"]+)"', message)
    if column and (failure.subtype == "COLUMN_NOT_FOUND" or "does not have" in message or "not found in" in message):
        hint = near(column[1], columns) or "DESCRIBE the table first"
        return BadInput(message, code="query-unknown-column", place=place, hint=hint)
    if "catalog" in kind and (match := re.search(r"Table with name (\S+) does not exist", message)):
        hint = near(match[1], known) or "`.tables` lists them"
        return BadInput(f"there is no table {match[1]!r}", code="query-unknown-table", place=place, hint=hint)
    code = "query-syntax" if "parser" in kind else "query-invalid"
    return BadInput(message, code=code, place=place, hint="the dialect is DuckDB's, which is close to PostgreSQL's")


__all__ = ["Column", "Result", "Source", "TableInfo", "run", "tables"]
