"""``uwu trail export``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from cyclopts import App, Parameter

from uwu.kernel import codec
from uwu.kernel.domain import Answer, Client
from uwu.kernel.errors import BadInput

_ROWS = 20_000
"""Rows of one group of a Parquet file."""


def add(app: App) -> None:
    """Puts the command into ``app``."""
    app.command(export)


def export(
    *,
    since: str,
    until: str = "",
    ocsf: bool = True,
    classes: str = "",
    out: Path,
    client: Annotated[Client, Parameter(parse=False)],
) -> Answer:
    """Write events as OCSF 1.3: account changes (3001), sign-ins (3002) and API calls (6003).

    Parameters
    ----------
    since
        The earliest time, such as 2026-03-10T14:00:00Z.
    until
        The time before which events lie. None: now.
    ocsf
        The form; there is no other yet.
    classes
        Some of 3001,3002,6003. None: all.
    out
        The file, which appears once it is whole: JSON lines, or with .parquet nested parts as JSON text.
    """
    if not ocsf:
        raise BadInput(
            "events are exported as OCSF", code="export-form", hint="`uwu query` gives the lake's own columns"
        )
    asked = {name: value for name, value in (("since", since), ("until", until), ("classes", classes)) if value}
    lines = client.lines(f"/trail/ocsf?{urlencode(asked)}")
    part = out.with_name(out.name + ".part")
    try:
        count = _parquet(part, lines) if out.suffix == ".parquet" else _jsonl(part, lines)
        part.replace(out)
    except OSError as error:
        raise BadInput(f"it cannot be written: {error.strerror}", code="file-unwritable", place=str(out)) from None
    finally:
        part.unlink(missing_ok=True)
    return Answer({"events": count, "file": str(out)}, f"{count:,} events written to {out}.")


def _jsonl(path: Path, lines: Iterable[Any]) -> int:
    count = 0
    with path.open("wb") as file:
        for line in lines:
            file.write(codec.encode(line) + b"\n")
            count += 1
    return count


_NUMBERS = ("time", "activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "status_id")
_TEXTS = ("activity_name", "category_name", "class_name", "severity", "status", "status_code", "status_detail")
_OBJECTS = ("metadata", "cloud", "api", "actor", "src_endpoint", "http_request", "resources", "user", "policy")
_OBJECTS += ("service", "unmapped")
_FLAGS = ("is_mfa", "is_remote")


def _parquet(path: Path, lines: Iterable[Any]) -> int:
    """Top-level numbers and texts as columns, objects as JSON text: so one schema holds all three classes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [(name, pa.int64()) for name in _NUMBERS] + [(name, pa.bool_()) for name in _FLAGS]
    fields += [(name, pa.string()) for name in (*_TEXTS, *_OBJECTS)]
    schema = pa.schema(fields)
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _chunks(lines):
            flat = [
                {**row, **{name: codec.encode(row[name]).decode() for name in _OBJECTS if name in row}} for row in rows
            ]
            writer.write_table(pa.Table.from_pylist(flat, schema=schema))
            count += len(rows)
    return count


def _chunks(lines: Iterable[Any]) -> Iterator[list[Any]]:
    rows: list[Any] = []
    for line in lines:
        rows.append(line)
        if len(rows) >= _ROWS:
            yield rows
            rows = []
    if rows:
        yield rows
