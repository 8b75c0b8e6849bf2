"""What the server measures of itself and of what it looks after, for Prometheus (text format 0.0.4 and OpenMetrics)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from uwu import __version__
from uwu.kernel import codec, domain, tables
from uwu.kernel.entropy import WEIGHT
from uwu.kernel.model import UNRESOLVED, CellStatus
from uwu.kernel.runtime import Kernel

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds. 0.1 and 0.15 are what pages and lists are held to; streams end up in the last ones."""


class Metrics:
    """The measures of one server. Each has a registry of its own: two servers in one process do not mix."""

    def __init__(self, kernel: Kernel) -> None:
        self.registry = CollectorRegistry()
        names = ("route", "method", "status")
        self._requests = Counter("uwu_http_requests", "Requests answered.", names, registry=self.registry)
        self._seconds = Histogram(
            "uwu_http_request_duration_seconds",
            "Time to answer a request, to its last byte.",
            ("route", "method"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._running = Gauge("uwu_http_requests_in_flight", "Requests being answered.", registry=self.registry)
        self._statements = Counter("uwu_sql_statements", "SQL statements sent by this process.", registry=self.registry)
        self.limited = Counter(
            "uwu_http_requests_limited", "Requests refused by a rate limit.", ("policy",), registry=self.registry
        )
        self.registry.register(World(kernel))

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Counts a request while it is answered."""
        self._running.inc()
        try:
            yield
        finally:
            self._running.dec()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answer; ``status`` 0 where the connection broke before there was one."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)

    def statement(self) -> None:
        """Counts one SQL statement."""
        self._statements.inc()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """What a scrape gets, and its content type: OpenMetrics where ``accept`` asks for it."""
        encode, kind = choose_encoder(accept)
        return encode(self.registry), kind


class World(Collector):
    """What the database tells, read at a scrape with a few grouped queries and kept for some seconds.

    A database that does not answer takes away only these: ``uwu_database_up`` says so.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._seconds = kernel.settings.telemetry.metrics_cache_seconds
        self._lock = threading.Lock()
        self._kept: list[Metric] = []
        self._until = 0.0

    def describe(self) -> Iterable[Metric]:
        """None ahead: registering must not need the database."""
        return []

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._kept = self._read()
                self._until = time.monotonic() + self._seconds
            return self._kept

    def _read(self) -> list[Metric]:
        try:
            with self._kernel.db.read() as connection:
                found = list(_database(connection, codec.now()))
            found += _sources(self._kernel)
            up = 1
        except Exception:  # a scrape must tell that the database is away, not fail with it
            found, up = [], 0
        return [
            _gauge("uwu_build_info", "The version that runs.", [((("version", __version__),), 1)]),
            _gauge("uwu_database_up", "Whether the database answered this scrape.", [((), up)]),
            *found,
        ]


Sample = tuple[tuple[tuple[str, str], ...], float]


def _gauge(name: str, help: str, samples: Iterable[Sample]) -> Metric:
    given = list(samples)
    labels = [key for key, _ in given[0][0]] if given else []
    family = GaugeMetricFamily(name, help, labels=labels)
    for pairs, value in given:
        family.add_metric([text for _, text in pairs], value)
    return family


def _counted(connection: sa.Connection, column: sa.Column[Any], *where: sa.ColumnElement[bool]) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(*where).group_by(column)
    return {str(row[0]): row[1] for row in connection.execute(query)}


def _by(label: str, counts: dict[str, int], known: Iterable[str] = ()) -> list[Sample]:
    """One sample a value; those that are ``known`` are told as 0 too, or an alert on them would never resolve."""
    return [(((label, name),), count) for name, count in sorted({**dict.fromkeys(known, 0), **counts}.items())]


def _age(at: datetime | None, now: datetime) -> float:
    return max((now - at).total_seconds(), 0.0) if at is not None else 0.0


def _database(connection: sa.Connection, now: datetime) -> Iterator[Metric]:
    j, f, c, d, e = tables.jobs, tables.findings, tables.coverage, tables.deliveries, tables.entropy_days
    jobs = _counted(connection, j.c.status, j.c.parent == "")
    states = ("queued", "running", "done", "failed", "cancelled")
    yield _gauge("uwu_jobs", "Jobs that are kept, by status; children are not counted.", _by("status", jobs, states))
    first = sa.select(sa.func.min(j.c.created_at)).where(j.c.parent == "", j.c.status == "queued")
    oldest = connection.execute(first).scalar_one()
    yield _gauge("uwu_job_queue_age_seconds", "How long the oldest queued job waits.", [((), _age(oldest, now))])
    open_ = _counted(connection, f.c.severity, f.c.status.in_(UNRESOLVED))
    severities = [severity.value for severity in WEIGHT]
    yield _gauge("uwu_findings", "Unresolved findings, by severity.", _by("severity", open_, severities))
    cells = _counted(connection, c.c.status)
    known = [status.value for status in CellStatus]
    yield _gauge("uwu_coverage_cells", "Cells of the coverage ledger, by status.", _by("status", cells, known))
    waiting = _counted(connection, d.c.status, d.c.status.in_(("waiting", "failed")))
    told = "Deliveries of notices that wait or have failed."
    yield _gauge("uwu_outbox_deliveries", told, _by("status", waiting, ("waiting", "failed")))
    plans = _counted(connection, tables.plans.c.status)
    yield _gauge("uwu_plans", "Plans, by status.", _by("status", plans, ("waiting", "approved", "applying")))
    beats = connection.execute(sa.select(sa.func.count(), sa.func.max(tables.workers.c.beat_at))).one()
    yield _gauge("uwu_workers", "Workers that have not said goodbye.", [((), beats[0])])
    if beats[1] is not None:
        told = "Since the last heartbeat of any worker."
        yield _gauge("uwu_worker_heartbeat_age_seconds", told, [((), _age(beats[1], now))])
    newest = sa.select(sa.func.max(e.c.day)).scalar_subquery()
    measured = sa.select(e.c.scope, e.c.key, e.c.entropy).where(e.c.day == newest, e.c.scope.in_(("all", "domain")))
    scores = [
        ((("scope", row.scope), ("key", row.key)), row.entropy)
        for row in connection.execute(measured.order_by(e.c.scope, e.c.key))
    ]
    if scores:
        yield _gauge("uwu_entropy", "Entropy as measured last, of the whole and of each domain, 0 to 100.", scores)
    audited = connection.execute(sa.select(sa.func.max(tables.audit.c.seq))).scalar_one()
    yield _gauge("uwu_audit_entries", "Entries of the audit chain.", [((), audited or 0)])


def _sources(kernel: Kernel) -> list[Metric]:
    now, found = codec.now(), domain.health_of(kernel.domains, kernel)
    ages = [((("source", source.name),), _age(source.at, now)) for source in found if source.at is not None]
    fresh = [((("source", source.name),), float(source.status == "fresh")) for source in found]
    metrics: list[Metric] = []
    if ages:
        metrics.append(_gauge("uwu_source_age_seconds", "Since a source was last read.", ages))
    if fresh:
        metrics.append(_gauge("uwu_source_fresh", "1 where a source is fresh, 0 where it is late or failed.", fresh))
    return metrics
