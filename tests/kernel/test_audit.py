from __future__ import annotations

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uwu.kernel import audit, tables
from uwu.kernel.db import Database
from uwu.kernel.runtime import Kernel


def fill(db: Database, count: int) -> None:
    with db.write() as connection:
        for i in range(count):
            audit.append(connection, actor="mira", action="sync.run", subject=f"job_{i}", detail={"i": i, "f": 1.5})


def test_an_untouched_chain_holds(db: Database) -> None:
    fill(db, 20)
    with db.read() as connection:
        verdict = audit.verify(connection)
        newest = audit.entries(connection, limit=1)[0]
    assert (verdict.entries, verdict.first_bad, verdict.head) == (20, None, newest.hash)


def test_an_entry_is_part_of_the_change_that_it_tells(db: Database) -> None:
    try:
        with db.write() as connection:
            audit.append(connection, actor="mira", action="sync.run", subject="job")
            raise RuntimeError
    except RuntimeError:
        pass
    with db.read() as connection:
        assert audit.verify(connection).entries == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seq=st.integers(1, 12),
    how=st.sampled_from(["actor", "action", "subject", "detail", "at", "prev", "hash", "delete", "swap"]),
)
def test_any_tampering_is_found_and_its_first_entry_named(sqlite_kernel: Kernel, seq: int, how: str) -> None:
    db, a = sqlite_kernel.db, tables.audit
    with db.write() as connection:
        connection.execute(a.delete())
    fill(db, 13)
    with db.write() as connection:
        here = a.c.seq == seq
        if how == "delete":
            connection.execute(a.delete().where(here))
        elif how == "swap":
            connection.execute(a.update().where(here).values(seq=10_000))
            connection.execute(a.update().where(a.c.seq == seq + 1).values(seq=seq))
            connection.execute(a.update().where(a.c.seq == 10_000).values(seq=seq + 1))
        elif how == "detail":
            connection.execute(a.update().where(here).values(detail={"i": -1}))
        elif how == "at":
            connection.execute(a.update().where(here).values(at=sa.func.abs(a.c.at) + 1))
        else:
            connection.execute(a.update().where(here).values({how: "x"}))
        assert audit.verify(connection).first_bad == seq
