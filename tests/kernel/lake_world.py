"""A small lake for tests: one table, rows that can be told apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from uwu.kernel.lake import Column, Lake, TableSpec

START = datetime(2025, 3, 10, 22, tzinfo=UTC)

EVENTS = TableSpec(
    name="events",
    comment="what happened",
    columns=(
        Column("event_time", "time", "when"),
        Column("id", "text", "which"),
        Column("principal", "text", "who"),
        Column("request", "json", "the call"),
        Column("size", "long"),
    ),
    time="event_time",
    sort=("principal", "event_time"),
)
NAMES = TableSpec(
    name="names",
    columns=(Column("event_time", "time"), Column("arn", "text"), Column("id", "text")),
    time="event_time",
    sort=("arn", "event_time"),
)


def events(key: str, count: int = 60, *, start: datetime = START, step: timedelta = timedelta(minutes=4)) -> pa.Table:
    """``count`` rows of ``key`` from ``start``: 60 of them span two days."""
    return pa.table(
        {
            "event_time": pa.array([start + i * step for i in range(count)], pa.timestamp("us", "UTC")),
            "id": [f"{key}/{i}" for i in range(count)],
            "principal": [f"role-{i % 7}" for i in range(count)],
            "request": [f'{{"n": {i}}}' for i in range(count)],
        }
    )


def names(key: str, count: int = 60) -> pa.Table:
    """Two rows of ``key`` for the side table."""
    return pa.table(
        {
            "event_time": pa.array([START] * 2, pa.timestamp("us", "UTC")),
            "arn": [f"arn:aws:sqs:eu-west-1:111122223333:{key}"] * 2,
            "id": [f"{key}/0", f"{key}/1"],
        }
    )


def counts(lake: Lake, table: str = "events") -> tuple[int, int]:
    """(rows, distinct ids) of ``table``."""
    row = lake.rows(f"select count(*) as n, count(distinct id) as d from {lake.scan(table)}")[0]
    return row["n"], row["d"]
