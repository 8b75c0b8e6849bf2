"""The lake: append-only event tables in Iceberg, written once each, read with DuckDB.

``Lake`` keeps tables (a folder of Parquet files and an Iceberg catalog); ``Batches`` takes keys in exactly once.
Iceberg is the format because Athena, Trino, Spark, Snowflake and ClickHouse read it.
"""

from __future__ import annotations

from uwu.kernel.lake.batches import Batch, Batches, BatchState
from uwu.kernel.lake.spec import Column, TableSpec
from uwu.kernel.lake.store import Lake, WrittenFile

__all__ = ["Batch", "BatchState", "Batches", "Column", "Lake", "TableSpec", "WrittenFile"]
