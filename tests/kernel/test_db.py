from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from uwu.kernel import codec, migrate, tables
from uwu.kernel.db import Database, metadata, upsert
from uwu.kernel.errors import Misconfigured, StorageFull

LEASE = {"name": "a", "holder": "me", "epoch": 1, "expires_at": datetime(2025, 3, 10, 14, 2, 11, 123456, UTC)}


def test_times_keep_their_microseconds_and_come_back_in_utc(db: Database) -> None:
    local = LEASE["expires_at"].astimezone(timezone(timedelta(hours=5)))  # type: ignore[attr-defined]
    with db.write() as connection:
        connection.execute(tables.leases.insert().values({**LEASE, "expires_at": local}))
        back = connection.execute(sa.select(tables.leases.c.expires_at)).scalar_one()
    assert back == LEASE["expires_at"]
    assert back.tzinfo is UTC


def test_a_naive_time_is_refused(db: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="naive"), db.write() as connection:  # type: ignore[attr-defined]
        connection.execute(tables.leases.insert().values({**LEASE, "expires_at": datetime(2025, 1, 1)}))  # noqa: DTZ001


def test_upsert_inserts_then_sets(db: Database) -> None:
    with db.write() as connection:
        upsert(connection, tables.leases, [LEASE, {**LEASE, "name": "b"}])
        upsert(connection, tables.leases, [{**LEASE, "epoch": 2}])
        upsert(connection, tables.leases, [{**LEASE, "epoch": 3, "holder": "you"}], update=["epoch"])
        rows = connection.execute(sa.select(tables.leases.c.name, tables.leases.c.holder, tables.leases.c.epoch)).all()
    assert sorted(map(tuple, rows)) == [("a", "me", 3), ("b", "me", 1)]


def test_writers_wait_for_each_other_and_lose_nothing(db: Database) -> None:
    with db.write() as connection:
        upsert(connection, tables.leases, [{**LEASE, "epoch": 0}])

    def add() -> None:
        for _ in range(20):
            with db.write() as connection:
                held = sa.select(tables.leases.c.epoch).with_for_update()
                epoch = connection.execute(held).scalar_one()
                connection.execute(tables.leases.update().values(epoch=epoch + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as connection:
        assert connection.execute(sa.select(tables.leases.c.epoch)).scalar_one() == 80


def test_the_migrations_make_exactly_the_tables(db: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with db.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "include_name": lambda name, *_: not str(name).startswith("search_")},
        )
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(db: Database) -> None:
    with db.write() as connection:
        upsert(connection, tables.leases, [LEASE])
    migrate.upgrade(db)
    with db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.leases)).scalar_one() == 1


def test_a_database_of_a_newer_version_is_refused_and_kept(db: Database) -> None:
    with db.write() as connection:
        upsert(connection, tables.leases, [LEASE])
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    with pytest.raises(Misconfigured) as caught:
        migrate.upgrade(db)
    assert caught.value.problem.code == "database-newer"
    assert "9999" in caught.value.problem.message
    assert "newer" in caught.value.problem.hint
    with db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.leases)).scalar_one() == 1


def test_an_unknown_kind_of_database_is_refused() -> None:
    with pytest.raises(Misconfigured, match="mysql"):
        Database("mysql://localhost/x")


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/full.db")
    migrate.upgrade(db)
    with db.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)
        pages = raw.execute("pragma page_count").fetchone()[0]
        raw.execute(f"pragma max_page_count={pages}")
    with pytest.raises(StorageFull) as caught, db.write() as connection:
        for i in range(2000):
            upsert(connection, tables.leases, [{**LEASE, "name": f"{i}" * 200}])
    assert caught.value.problem.code == "storage-full"
    with db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.leases)).scalar_one() == 0
    db.close()


def test_ids_sort_by_their_time_and_canonical_json_is_stable() -> None:
    ids = [codec.new_id("x") for _ in range(50)]
    assert len(set(ids)) == 50
    assert codec.canonical({"b": 1, "a": [1, {"d": 1, "c": 2}]}) == b'{"a":[1,{"c":2,"d":1}],"b":1}'
    with pytest.raises(ValueError, match="timezone"):
        codec.parse_time("2025-03-10T14:02:11")
    assert codec.iso(codec.parse_time("2025-03-10T14:02:11+02:00")) == "2025-03-10T12:02:11Z"
