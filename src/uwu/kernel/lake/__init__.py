"""The lake: append-only event tables in Iceberg, written once each, read with DuckDB.

``Lake`` keeps tables (a folder of Parquet files and an Iceberg catalog); ``Batches`` takes keys in exactly once.
Iceberg is the format because Athena, Trino, Spark, Snowflake and ClickHouse read it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from uwu.kernel.lake.spec import Column, TableSpec

if TYPE_CHECKING:
    from uwu.kernel.lake.batches import Batch, Batches, BatchState
    from uwu.kernel.lake.store import Lake, WrittenFile

__all__ = ["Batch", "BatchState", "Batches", "Column", "Lake", "TableSpec", "WrittenFile"]

_LATE = {"Batch": "batches", "BatchState": "batches", "Batches": "batches", "Lake": "store", "WrittenFile": "store"}


def __getattr__(name: str) -> Any:
    # Iceberg takes more than a second to import: most commands only need to know what columns there are
    if name not in _LATE:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
