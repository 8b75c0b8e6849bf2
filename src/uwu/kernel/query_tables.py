"""The tables of ``uwu query``: what the kernel's own database holds, one table per resource type, and the domains' own.

A query reads only what it names. Attributes of a resource type become columns by what the values are: Steampipe's
names, with the API's members in snake case.
"""
# pyarrow has no types of its own
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportMissingTypeStubs=false

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from uwu.kernel import codec, domain, query_past, tables
from uwu.kernel.db import Json, Time
from uwu.kernel.lake.spec import Column, TableSpec
from uwu.kernel.runtime import Kernel

_CHUNK = 5_000
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")

ARROW: dict[str, pa.DataType] = {
    "text": pa.string(),
    "json": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
"""Column type -> Arrow's type. JSON travels as text and becomes DuckDB's JSON in the query's own view."""


@dataclass(frozen=True)
class Loaded:
    """What a query is given of one table: rows, or a FROM expression over ``paths``."""

    columns: tuple[Column, ...]
    rows: pa.Table | None = None
    expression: str = ""
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A table of ``uwu query`` that a domain brings."""

    comment: str
    columns: tuple[Column, ...]
    """Empty where they are known only once the rows are."""
    load: Callable[[Kernel], Loaded | pa.Table]
    """The rows: an Arrow table with these columns. Called only where a query names the table."""
    past: Callable[[Kernel, datetime], Loaded | pa.Table] | None = None
    """The rows as they were at a time; None where only the present is kept."""

    @classmethod
    def lake(cls, spec: TableSpec) -> Source:
        """A table of the lake, read where it lies; in the past, what had happened by then."""

        def load(kernel: Kernel) -> Loaded:
            kernel.lake.ensure(spec)
            paths = kernel.lake.files(spec.name)
            return Loaded(spec.columns, expression=kernel.lake.scan_files(spec.name, paths), paths=paths)

        def past(kernel: Kernel, at: datetime) -> Loaded:
            held = load(kernel)
            until = f"(select * from {held.expression} where \"{spec.time}\" <= timestamptz '{codec.iso(at)}')"  # noqa: S608 (our own names)
            return Loaded(held.columns, expression=until, paths=held.paths)

        return cls(spec.comment, spec.columns, load, past)


_STATE: Mapping[str, tuple[sa.Table, str]] = {
    "resources": (tables.resources, "every observed resource, as it is now"),
    "relations": (tables.relations, "what points to what, as it is now"),
    "relation_versions": (tables.relations, "what points to what, with the time it was so"),
    "versions": (tables.versions, "every state of every resource, over [valid_from, valid_to)"),
    "findings": (tables.findings, "what is not as it should be: open, stale, exempt and closed"),
    "exemptions": (tables.exemptions, "what is exempt from which rules, until when, by whom and why"),
    "entities": (tables.entities, "what the estate declares: components, groups, systems, accounts, stacks"),
    "declarations": (tables.declarations, "what declaring tools say resources should be"),
    "coverage": (tables.coverage, "what was observed, when and how completely"),
    "ownership": (tables.ownership, "who owns a resource, and on what evidence"),
    "jobs": (tables.jobs, "runs: syncs and their shards"),
    "audit": (tables.audit, "what was done through uwu, by whom"),
}

_LEFT_OUT = {("relations", "valid_to")}

_BASE = (
    Column("arn", "text", "the ARN; where AWS gives none, a urn"),
    Column("name", "text", "the resource's name"),
    Column("title", "text", "its tag Name, else its name"),
    Column("account_id", "text", "the AWS account"),
    Column("region", "text", "the region; empty for global services"),
    Column("tags", "json", "tag -> value"),
    Column("owner", "text", "the owning entity; empty where unowned"),
    Column("managed_by", "text", "'aws' or the maker's urn; empty where people manage it"),
    Column("first_seen", "time", "when it was first observed"),
    Column("changed_at", "time", "when it was last seen to change"),
)


def sources(kernel: Kernel) -> dict[str, Source]:
    """Every table by its name."""
    found: dict[str, Source] = {name: _state_source(name) for name in _STATE}
    for type, title in _types(kernel).items():
        found[type] = Source(title, (), _type_loader(type), partial(_type_at, type))
    for one in kernel.domains:
        if one.query_tables:
            found |= domain.load(one.query_tables)(kernel)
    return found


def _title(kernel: Kernel, name: str) -> str:
    known = domain.type_of(kernel.domains, name)
    return f"{known.title} ({known.service})" if known is not None else ""


def _types(kernel: Kernel) -> dict[str, str]:
    with kernel.db.read() as connection:
        seen = connection.execute(sa.select(tables.resources.c.type).distinct()).scalars()
        types = {name: _title(kernel, name) for name in seen}
    types |= {name: _title(kernel, name) for name in domain.types_of(kernel.domains)}
    return {name: types[name] for name in sorted(types) if re.fullmatch(r"[a-z][a-z0-9_]*", name)}


# ── tables of the database ──────────────────────────────────────────────────────────────────────


def _state_source(name: str) -> Source:
    table, comment = _STATE[name]
    listed = [c for c in table.columns if (name, c.name) not in _LEFT_OUT]
    columns = tuple(Column(c.name, _word(c.type), c.comment or "") for c in listed)

    def load(kernel: Kernel) -> pa.Table:
        with kernel.db.read() as connection:
            query = sa.select(*(_raw(c, connection) for c in listed))
            if name == "relations":
                query = query.where(table.c.valid_to.is_(None))
            return _arrow(connection, query, columns)

    def past(kernel: Kernel, at: datetime) -> pa.Table:
        then = query_past.of(name, at)
        with kernel.db.read() as connection:
            held = then.subquery()
            return _arrow(connection, sa.select(*(_raw(held.c[c.name], connection) for c in listed)), columns)

    return Source(comment, columns, load, past if name in query_past.KEPT else None)


def _word(type: Any) -> str:
    if isinstance(type, Time):
        return "time"
    if type is Json or isinstance(type, sa.JSON):
        return "json"
    if isinstance(type, sa.Boolean):
        return "boolean"
    if isinstance(type, sa.Integer):
        return "long"
    return "double" if isinstance(type, sa.Float) else "text"


def _raw(column: sa.ColumnElement[Any], connection: sa.Connection) -> sa.ColumnElement[Any]:
    """The column as the database holds it: JSON as its text, a time on SQLite as microseconds."""
    sqlite = connection.dialect.name == "sqlite"
    if isinstance(column.type, sa.JSON):
        return sa.cast(column, sa.Text)  # SQLite keeps a value that is one bare number as a number
    if isinstance(column.type, Time) and sqlite:
        return sa.type_coerce(column, sa.BigInteger)
    return column


def _arrow(connection: sa.Connection, query: sa.Select[Any], columns: Sequence[Column]) -> pa.Table:
    schema = pa.schema([pa.field(column.name, ARROW[column.type]) for column in columns])
    batches: list[pa.RecordBatch] = []
    for part in connection.execution_options(yield_per=_CHUNK).execute(query).partitions(_CHUNK):
        arrays = [
            pa.array([None if v == "null" else v for v in values] if column.type == "json" else values, field.type)
            for column, field, values in zip(columns, schema, zip(*part, strict=True), strict=True)
        ]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema)


# ── tables of resource types ────────────────────────────────────────────────────────────────────


def snake(member: str) -> str:
    """``DBInstanceIdentifier`` -> ``db_instance_identifier``: an API's member as a column."""
    text = re.sub(r"[^A-Za-z0-9]+", "_", member)
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", text)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text).strip("_").lower()


def _type_loader(type: str) -> Callable[[Kernel], Loaded]:
    def load(kernel: Kernel) -> Loaded:
        return _type_rows(kernel, type, tables.resources)

    return load


def _type_at(type: str, kernel: Kernel, at: datetime) -> Loaded:
    return _type_rows(kernel, type, query_past.of("resources", at, type=type).subquery())


def _type_rows(kernel: Kernel, type: str, r: sa.FromClause) -> Loaded:
    o = tables.ownership
    with kernel.db.read() as connection:
        fields = (r.c.urn, r.c.name, r.c.account, r.c.region, r.c.managed_by, r.c.first_seen, r.c.changed_at)
        rows = connection.execute(
            sa.select(
                *(_raw(column, connection) for column in fields),
                _raw(r.c.tags, connection),
                _raw(r.c.attributes, connection),
                sa.func.coalesce(o.c.owner, ""),
            )
            .select_from(r.outerjoin(o, o.c.subject == r.c.urn))
            .where(r.c.type == type)
            .order_by(r.c.urn)
        ).all()
    base: dict[str, list[Any]] = {column.name: [] for column in _BASE}
    members: list[dict[str, Any]] = []
    for urn, name, account, region, managed_by, first_seen, changed_at, tags, attributes, owner in map(tuple, rows):
        title = codec.decode(tags).get("Name") or name
        given = (urn, name, title, account, region, tags, owner, managed_by, first_seen, changed_at)
        for column, value in zip(_BASE, given, strict=True):
            base[column.name].append(value)
        members.append(codec.decode(attributes))
    columns = list(_BASE)
    arrays = [pa.array(base[column.name], ARROW[column.type]) for column in _BASE]
    for column, array in _members(members):
        columns.append(column)
        arrays.append(array)
    return Loaded(tuple(columns), pa.Table.from_arrays(arrays, names=[column.name for column in columns]))


def _members(rows: Sequence[Mapping[str, Any]]) -> Iterable[tuple[Column, pa.Array]]:
    names: dict[str, str] = {}
    taken = {column.name for column in _BASE}
    for row in rows:
        for member in row:
            if member not in names and (column := snake(member)) and column not in taken and column[0].isalpha():
                names[member] = column
                taken.add(column)
    for member, name in sorted(names.items(), key=lambda item: item[1]):
        values = [row.get(member) for row in rows]
        word = _type_of(values)
        yield Column(name[:63], word, member), pa.array(_typed(values, word), ARROW[word])


def _type_of(values: Iterable[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "long" if all(abs(v) < 2**63 for v in values if v is not None) else "text"
    if kinds and kinds <= {int, float}:
        return "double"
    if kinds == {str}:
        return "time" if all(_ISO.fullmatch(v) for v in values if v is not None) else "text"
    return "json" if kinds else "text"


def _typed(values: Iterable[Any], word: str) -> list[Any]:
    if word == "json":
        return [None if value is None else codec.encode(value).decode() for value in values]
    if word == "time":
        return [None if value is None else codec.parse_time(value) for value in values]
    return [str(value) if word == "text" and value is not None else value for value in values]


def type_columns(kernel: Kernel) -> dict[str, tuple[Column, ...]]:
    """The columns of every resource type's table that has rows, without reading the rows here."""
    r = tables.resources
    with kernel.db.read() as connection:
        if connection.dialect.name == "sqlite":
            each = sa.func.json_each(r.c.attributes).table_valued("key", "value", "type", name="m")
            kind: sa.ColumnElement[str] = each.c.type
            value: sa.ColumnElement[str] = sa.cast(each.c.value, sa.Text)
        else:
            each = sa.func.jsonb_each(r.c.attributes).table_valued("key", "value").render_derived(name="m")
            kind = sa.func.jsonb_typeof(each.c.value)
            value = sa.cast(each.c.value, sa.Text)
        query = sa.select(r.c.type, each.c.key, kind, sa.func.min(value), sa.func.max(value))
        found = connection.execute(
            query.select_from(r.join(each, sa.true())).group_by(r.c.type, each.c.key, kind)
        ).all()
    words: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for type, member, one, low, high in found:
        words[type][member].add(_json_word(one, (low or "").strip('"'), (high or "").strip('"')))
    result: dict[str, tuple[Column, ...]] = {}
    for type, by_member in words.items():
        columns = {column.name: column for column in _BASE}
        for member, kinds in sorted(by_member.items()):
            kinds.discard("")
            word = next(iter(kinds)) if len(kinds) == 1 else "double" if kinds == {"long", "double"} else "json"
            columns.setdefault(snake(member), Column(snake(member)[:63], word if kinds else "text", member))
        result[type] = tuple(columns.values())
    return result


def _json_word(kind: str, low: str, high: str) -> str:
    if kind in {"true", "false", "boolean"}:
        return "boolean"
    if kind in {"integer", "number"}:
        whole = kind == "integer" or all(re.fullmatch(r"-?\d+", text) for text in (low, high))
        return "long" if whole else "double"
    if kind == "real":
        return "double"
    if kind in {"text", "string"}:
        return "time" if _ISO.fullmatch(low) and _ISO.fullmatch(high) else "text"
    return "" if kind == "null" else "json"


BASE_COLUMNS = _BASE
"""The columns that every resource type's table has."""

__all__ = ["ARROW", "BASE_COLUMNS", "Loaded", "Source", "snake", "sources", "type_columns"]
