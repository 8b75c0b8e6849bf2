"""The audit chain: any change of any byte is found, and the first number that does not hold is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import exc

from uwu.kernel import audit, codec
from uwu.kernel.audit import GENESIS, Filter, chain
from uwu.kernel.db import Database
from uwu.kernel.runtime import Kernel

ENTRIES = 13
COLUMNS = ("seq", "at", "actor", "action", "subject", "detail", "prev", "hash")
DETAIL = {"z": [1, 2.5, None, "ünï"], "a": {"deep": True}, "n": -0.0, "big": 3e20, "nul": "a\0b"}


def fill(db: Database, count: int) -> None:
    for i in range(count):
        with db.write() as connection:
            audit.append(
                connection,
                actor=f"user:default/mira{i}",
                action="finding.accept",
                subject=f"f_{i}",
                detail={"i": i, **DETAIL},
            )


def refill(db: Database) -> None:
    """The chain as it was written first: tampering is done to a copy of the same rows."""
    with db.write() as connection:
        connection.exec_driver_sql("delete from audit")
    fill(db, ENTRIES)


def verdict(db: Database) -> audit.Verdict:
    with db.read() as connection:
        return audit.verify(connection)


def test_a_chain_that_nobody_touched_holds(db: Database) -> None:
    fill(db, 20)
    with db.read() as connection:
        newest = audit.entries(connection, limit=1)[0]
    found = verdict(db)
    assert (found.entries, found.first_bad, found.head) == (20, None, newest.hash)


def test_an_entry_is_part_of_the_change_that_it_tells(db: Database) -> None:
    def fails() -> None:
        with db.write() as connection:
            audit.append(connection, actor="mira", action="sync.run", subject="job")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert verdict(db).entries == 0


def test_the_hash_is_that_of_the_canonical_json_of_the_entry(db: Database) -> None:
    fill(db, 2)
    with db.read() as connection:
        last, first = audit.entries(connection)
    assert (first.prev, last.prev) == (GENESIS, first.hash)
    told = [last.seq, codec.iso(last.at), last.actor, last.action, last.subject, last.detail, last.prev]
    plain = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(plain.encode()).hexdigest() == last.hash
    assert last.detail["nul"] == "a\ufffdb"


def test_entries_that_were_written_with_keys_in_another_order_hold(db: Database) -> None:
    fill(db, 1)
    at = codec.now()
    with db.write() as connection:
        prev = audit.entries(connection)[0].hash
        detail = {"z": 1, "a": 2}
        held = codec.digest([2, codec.iso(at), "mira", "x", "y", detail, prev])
        row = {"seq": 2, "at": at, "actor": "mira", "action": "x", "subject": "y", "detail": detail, "prev": prev}
        connection.execute(chain.audit.insert().values(**row, hash=held))
    assert verdict(db).first_bad is None


# ---- tampering, by SQL that knows nothing of us


Raw = Any


def rows_of(connection: sa.Connection) -> list[list[Any]]:
    names = ", ".join(
        "detail::text" if c == "detail" and connection.dialect.name == "postgresql" else c for c in COLUMNS
    )
    return [list(row) for row in connection.exec_driver_sql(f"select {names} from audit order by seq")]


def other_byte(data: st.DataObject, text: str, *, choices: str) -> str:
    """``text`` with one byte changed for another."""
    at = data.draw(st.integers(0, len(text) - 1), label="at")
    new = data.draw(st.sampled_from([c for c in choices if c != text[at]]), label="new byte")
    return text[:at] + new + text[at + 1 :]


PRINTABLE = "".join(map(chr, range(32, 127)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_of_any_column_of_any_row(sqlite_kernel: Kernel, data: st.DataObject) -> None:
    db = sqlite_kernel.db
    if verdict(db).entries != ENTRIES:
        refill(db)
    seq = data.draw(st.integers(1, ENTRIES), label="seq")
    column = data.draw(st.sampled_from(COLUMNS[1:]), label="column")
    other = Database(str(db.url))
    with other.write() as connection:
        was = connection.exec_driver_sql(f"select {column} from audit where seq = ?", (seq,)).scalar_one()
        if column == "at":
            # a byte of the integer as it lies in the file: eight of them, big-endian
            raw = bytearray(was.to_bytes(8, "big", signed=True))
            at = data.draw(st.integers(0, 7), label="at")
            raw[at] ^= data.draw(st.integers(1, 255), label="xor")
            new: Any = int.from_bytes(raw, "big", signed=True)
        else:
            blob = bytearray(was.encode())
            at = data.draw(st.integers(0, len(blob) - 1), label="at")
            blob[at] ^= data.draw(st.integers(1, 255), label="xor")
            new = bytes(blob)
        if isinstance(new, bytes):  # as text, whether it is UTF-8 or not
            connection.exec_driver_sql(f"update audit set {column} = cast(? as text) where seq = ?", (new, seq))
        else:
            connection.exec_driver_sql(f"update audit set {column} = ? where seq = ?", (new, seq))
    found = verdict(db)
    with other.write() as connection:
        connection.exec_driver_sql(f"update audit set {column} = ? where seq = ?", (was, seq))
    other.close()
    assert (found.first_bad, found.entries) == (seq, seq - 1)
    assert verdict(db).first_bad is None


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_of_the_file_that_changes_an_entry(sqlite_kernel: Kernel, tmp_path: Path, data: st.DataObject) -> None:
    db = sqlite_kernel.db
    if verdict(db).entries != ENTRIES:
        refill(db)
        with db.engine.connect() as connection:
            connection.exec_driver_sql("pragma wal_checkpoint(truncate)")
    with db.read() as connection:
        rows = rows_of(connection)
    held = bytearray(Path(str(db.url.database)).read_bytes())
    row = data.draw(st.sampled_from(rows), label="row")
    end = held.index(row[7].encode(), held.index(row[5].encode())) + 64
    at = data.draw(st.integers(end - 64 * 2 - len(row[5]) - 60, end - 1), label="at")
    held[at] ^= data.draw(st.integers(1, 255), label="xor")
    bent = tmp_path / "bent.db"
    bent.write_bytes(held)
    other = Database(f"sqlite:///{bent}")
    with other.read() as connection:
        found = audit.verify(connection)
    with other.engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        raw.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        try:
            now = rows_of(connection)
        except exc.DatabaseError:
            now = []
        raw.text_factory = str
    other.close()
    changed = (
        min(old[0], new[0])
        for old, new in zip(rows, now, strict=False)
        if old != new or list(map(type, old)) != list(map(type, new))
    )
    expected = next(changed, None) if now else found.first_bad or -1
    assert found.first_bad == expected


@pytest.mark.parametrize("column", COLUMNS[2:])
def test_the_same_bytes_of_another_type_are_a_change(sqlite_kernel: Kernel, column: str) -> None:
    fill(sqlite_kernel.db, 3)
    with sqlite_kernel.db.write() as connection:
        connection.exec_driver_sql(f"update audit set {column} = cast({column} as blob) where seq = 2")
    assert verdict(sqlite_kernel.db).first_bad == 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_character_of_any_column_on_either_database(db: Database, data: st.DataObject) -> None:
    if verdict(db).entries != ENTRIES:
        refill(db)
    seq = data.draw(st.integers(1, ENTRIES), label="seq")
    column = data.draw(st.sampled_from(("at", "actor", "action", "subject", "detail", "prev", "hash")), label="column")
    mark = "%s" if db.dialect == "postgresql" else "?"
    where = f"where seq = {seq}"
    with db.write() as connection:
        if column == "at":
            micros = data.draw(st.integers(1, 10**12), label="microseconds")
            step = f"{mark} * interval '1 microsecond'" if db.dialect == "postgresql" else mark
            change, back = f"update audit set at = at + {step} {where}", f"update audit set at = at - {step} {where}"
            new: Any = micros
            was: Any = micros
        elif column == "detail":
            held = audit.entries(connection, limit=1, before=seq + 1)[0].detail
            was = codec.canonical(held).decode()
            key = data.draw(st.sampled_from(sorted(held)), label="key")
            new = codec.canonical({**held, key: other_value(held[key])}).decode()
            cast = f"{mark}::jsonb" if db.dialect == "postgresql" else mark
            change = back = f"update audit set detail = {cast} {where}"
        else:
            was = connection.exec_driver_sql(f"select {column} from audit {where}").scalar_one()
            new = other_byte(data, was, choices=PRINTABLE)
            change = back = f"update audit set {column} = {mark} {where}"
        connection.exec_driver_sql(change, (new,))
    found = verdict(db)
    with db.write() as connection:
        connection.exec_driver_sql(back, (was,))
    assert (found.first_bad, found.entries) == (seq, seq - 1)


def other_value(value: Any) -> Any:
    return {"deep": False} if isinstance(value, dict) else [*value, 1] if isinstance(value, list) else [value]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_taken_out_added_moved_or_renumbered(db: Database, data: st.DataObject) -> None:
    refill(db)
    head = verdict(db).head
    with db.write() as connection:
        rows = rows_of(connection)
        mark = "%s" if db.dialect == "postgresql" else "?"
        how = data.draw(st.sampled_from(["delete", "swap", "renumber", "insert", "cut"]), label="how")
        numbers = st.integers(1, ENTRIES)
        if how == "delete":
            gone = sorted(data.draw(st.sets(numbers, min_size=1), label="gone"))
            connection.exec_driver_sql(f"delete from audit where seq in ({', '.join(map(str, gone))})")
            first = gone[0]
        elif how == "cut":
            first = data.draw(numbers, label="from")
            connection.exec_driver_sql(f"delete from audit where seq >= {first}")
        elif how == "renumber":
            first = data.draw(numbers, label="seq")
            to = data.draw(st.integers(-5, 40).filter(lambda n: not 1 <= n <= ENTRIES), label="to")
            connection.exec_driver_sql(f"update audit set seq = {to} where seq = {first}")
            first = min(first, to)
        elif how == "swap":
            a, b = sorted(data.draw(st.lists(numbers, min_size=2, max_size=2, unique=True), label="two"))
            for old, new in ((a, 1000), (b, a), (1000, b)):
                connection.exec_driver_sql(f"update audit set seq = {new} where seq = {old}")
            first = a
        else:
            first = data.draw(st.integers(-3, 0) | st.integers(ENTRIES + 1, ENTRIES + 1), label="seq")
            cast = ["{}"] * len(COLUMNS)
            cast = [f"{mark}::jsonb" if c == "detail" and db.dialect == "postgresql" else mark for c in COLUMNS]
            copy = [first, *data.draw(st.sampled_from(rows), label="copy")[1:]]
            connection.exec_driver_sql(f"insert into audit values ({', '.join(cast)})", tuple(copy))
    with db.read() as connection:
        found = audit.verify(connection, marks={ENTRIES: head})
    assert found.first_bad == first


def test_a_chain_that_is_written_anew_is_told_from_what_was_signed(db: Database) -> None:
    refill(db)
    with db.read() as connection:
        marks = {one.seq: one.hash for one in audit.entries(connection) if one.seq in (4, 9)}
    with db.write() as connection:
        connection.exec_driver_sql("delete from audit where seq > 6")
    fill(db, 10)
    assert verdict(db).first_bad is None, "it holds in itself"
    with db.read() as connection:
        found = audit.verify(connection, marks=marks)
    assert (found.first_bad, found.reason) == (5, "entries 5 to 9 are not what was signed")


def test_verifying_goes_on_from_an_entry_that_is_trusted(db: Database) -> None:
    refill(db)
    with db.read() as connection:
        fifth = next(one for one in audit.entries(connection) if one.seq == 5)
        assert audit.verify(connection, after=(5, fifth.hash)).entries == ENTRIES - 5
        assert audit.verify(connection, after=(5, GENESIS)).first_bad == 6


def test_entries_are_filtered_and_paged(db: Database) -> None:
    fill(db, 3)
    with db.write() as connection:
        for action in ("plan.approve", "plan.apply", "plane.land"):
            audit.append(connection, actor="user:default/teo", action=action, subject="plan:7")
    with db.read() as connection:

        def numbers(**filters: Any) -> list[int]:
            return [one.seq for one in audit.entries(connection, where=Filter(**filters))]

        at = audit.entries(connection)[2].at
        assert numbers(actor="user:default/teo") == [6, 5, 4]
        assert numbers(action="plan.*") == [5, 4]
        assert numbers(action="plan.apply", subject="plan:7") == [5]
        assert numbers(since=at) == [6, 5, 4]
        assert numbers(until=at) == [3, 2, 1]
        assert numbers(action="%.*") == []
        assert [one.seq for one in audit.entries(connection, limit=2, before=4)] == [3, 2]
