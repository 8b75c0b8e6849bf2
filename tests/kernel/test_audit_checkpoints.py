"""Signed checkpoints: what the chain alone cannot tell, and what becomes of those that are forged or taken away."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uwu.kernel import audit, codec, tables
from uwu.kernel.audit import chain, checkpoints, export, keys, standing, stores
from uwu.kernel.errors import BadInput, Conflict, Misconfigured, Unavailable
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AuditSettings, AwsSettings
from uwu.sim.server import MotoServer


def act(kernel: Kernel, count: int = 1) -> None:
    for i in range(count):
        with kernel.db.write() as connection:
            audit.append(connection, actor="user:default/mira", action="plan.approve", subject=f"plan:{i}")


def signed(kernel: Kernel, *counts: int) -> Kernel:
    """A chain with a checkpoint after each of ``counts`` entries."""
    for count in counts:
        act(kernel, count)
        assert checkpoints.take(kernel, actor="test") is not None
    return kernel


def kept(kernel: Kernel) -> Path:
    return Path(stores.of(kernel).place)


def sql(kernel: Kernel, statement: str) -> None:
    with kernel.db.write() as connection:
        connection.exec_driver_sql(statement)


def test_a_chain_with_its_checkpoints_holds(kernel: Kernel) -> None:
    signed(kernel, 3, 4)
    found = checkpoints.verify(kernel)
    assert found.holds
    assert (found.entries, found.checkpoints, found.signed_seq) == (9, 2, 8)
    lines = stores.of(kernel).read()
    first, second = (msgspec.json.decode(line, type=checkpoints.Checkpoint) for line in lines)
    assert (first.number, second.number, second.prev) == (1, 2, checkpoints.digest(lines[0]))
    assert first.chain == second.chain


def test_nothing_new_signs_nothing(kernel: Kernel) -> None:
    assert checkpoints.take(kernel, actor="test") is None, "an empty chain"
    signed(kernel, 2)
    first = checkpoints.take(kernel, actor="test")
    assert first is not None
    assert (first.number, len(stores.of(kernel).read())) == (1, 1)
    assert checkpoints.verify(kernel).entries == 3


def test_the_tail_that_is_cut_is_missed(kernel: Kernel) -> None:
    signed(kernel, 5)
    sql(kernel, "delete from audit where seq >= 4")
    found = checkpoints.verify(kernel)
    assert (found.first_bad, found.holds) == (4, False)
    assert "5 was signed" in found.reason
    with pytest.raises(Conflict) as refused:
        checkpoints.take(kernel, actor="test")
    assert refused.value.problem.code == "audit-broken"


def test_a_chain_that_is_written_anew_is_found(kernel: Kernel) -> None:
    signed(kernel, 3, 3)
    sql(kernel, "delete from audit where seq > 4")
    act(kernel, 6)
    with kernel.db.read() as connection:
        assert audit.verify(connection).first_bad is None, "it holds in itself"
    found = checkpoints.verify(kernel)
    assert (found.first_bad, found.checkpoints) == (4, 1)


def test_no_entry_at_all_is_missed(kernel: Kernel) -> None:
    signed(kernel, 2)
    sql(kernel, "delete from audit")
    assert checkpoints.verify(kernel).first_bad == 1


Bend = Callable[[list[bytes]], list[bytes]]


def forged(lines: list[bytes]) -> list[bytes]:
    told = json.loads(lines[1])
    told["hash"] = "f" * 64
    return [lines[0], codec.canonical(told), *lines[2:]]


@pytest.mark.parametrize(
    ("bend", "bad"),
    [
        (forged, 2),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: lines[:2], 3),
        (lambda lines: [], 1),
        (lambda lines: [lines[0], lines[2], lines[1]], 2),
        (lambda lines: [*lines, lines[2]], 4),
        (lambda lines: [*lines, b"{}"], 4),
        (lambda lines: [lines[0], lines[1].replace(b'":', b'": ', 1), lines[2]], 2),
    ],
    ids=["forged", "middle", "first", "last", "all", "swapped", "twice", "nonsense", "spaced"],
)
def test_checkpoints_that_are_forged_or_taken_away(sqlite_kernel: Kernel, bend: Bend, bad: int) -> None:
    signed(sqlite_kernel, 2, 2, 2)
    path = kept(sqlite_kernel)
    path.write_bytes(b"".join(line + b"\n" for line in bend(path.read_bytes().split(b"\n")[:-1])))
    found = checkpoints.verify(sqlite_kernel)
    assert (found.bad_checkpoint, found.first_bad) == (bad, None)
    with pytest.raises(Conflict):
        checkpoints.take(sqlite_kernel, actor="test")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_of_any_checkpoint(sqlite_kernel: Kernel, data: st.DataObject) -> None:
    path = kept(sqlite_kernel)
    if not path.exists():
        signed(sqlite_kernel, 2, 2)
    lines = path.read_bytes().split(b"\n")[:-1]
    number = data.draw(st.integers(1, len(lines)), label="number")
    line = bytearray(lines[number - 1])
    at = data.draw(st.integers(0, len(line) - 1), label="at")
    line[at] ^= data.draw(st.integers(1, 255), label="xor")
    bent = [*lines]
    bent[number - 1] = bytes(line)
    good, bad = checkpoints.check(bent, keys.trusted(sqlite_kernel.settings))
    assert bad is not None
    assert bad.number == number
    assert [one.number for one in good] == [n for n in range(1, len(lines) + 1) if n != number]


def test_another_key_signs_nothing_for_us(sqlite_kernel: Kernel) -> None:
    signed(sqlite_kernel, 2)
    settings = sqlite_kernel.settings
    old = keys.pem_of(keys.private_key(settings).public_key())
    keys.key_path(settings).unlink()
    assert checkpoints.verify(sqlite_kernel).bad_checkpoint == 1, "whoever made the new key could have signed anything"
    assert checkpoints.verify(sqlite_kernel, more_keys=[old]).holds
    (settings.home_path / "old.pem").write_text(old)
    trusting = msgspec.structs.replace(settings, audit=AuditSettings(trusted_keys=("old.pem",)))
    opened = Kernel(trusting, ())
    assert checkpoints.verify(opened).holds
    signed(opened, 1)
    assert checkpoints.verify(opened).checkpoints == 2, "the new key goes on where the old one ended"
    opened.close()


def test_the_key_is_ours_alone_and_made_once(sqlite_kernel: Kernel) -> None:
    settings = sqlite_kernel.settings
    with ThreadPoolExecutor(8) as pool:
        made = {keys.id_of(keys.private_key(settings).public_key()) for _ in pool.map(lambda _: None, range(8))}
        made |= set(pool.map(lambda _: keys.id_of(keys.private_key(settings).public_key()), range(8)))
    assert len(made) == 1
    assert keys.key_path(settings).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.home_path.glob("*audit.key*")] == ["audit.key"]
    keys.key_path(settings).write_text("no key")
    with pytest.raises(Misconfigured):
        keys.private_key(settings)
    with pytest.raises(BadInput):
        keys.read_public("no key")


def test_openssl_verifies_a_checkpoint(sqlite_kernel: Kernel, tmp_path: Path) -> None:
    signed(sqlite_kernel, 2)
    told = json.loads(kept(sqlite_kernel).read_bytes())
    (tmp_path / "signature").write_bytes(bytes.fromhex(told.pop("signature")))
    message = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    (tmp_path / "message").write_bytes(message)
    (tmp_path / "key.pem").write_text(keys.pem_of(keys.private_key(sqlite_kernel.settings).public_key()))
    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in message -sigfile signature"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_a_line_that_a_crash_has_cut_makes_room(sqlite_kernel: Kernel) -> None:
    signed(sqlite_kernel, 2)
    path = kept(sqlite_kernel)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])
    assert checkpoints.verify(sqlite_kernel).holds
    signed(sqlite_kernel, 1)
    assert path.read_bytes().startswith(whole + b"{")
    assert checkpoints.verify(sqlite_kernel).checkpoints == 2


def test_what_was_kept_before_a_kill_is_told_later(sqlite_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    act(sqlite_kernel, 2)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoints, "_tell", killed)
        checkpoints.take(sqlite_kernel, actor="test")
    assert checkpoints.verify(sqlite_kernel).checkpoints == 1
    again = checkpoints.take(sqlite_kernel, actor="test")
    assert again is not None
    assert (again.number, again.seq) == (1, 2)
    with sqlite_kernel.db.read() as connection:
        assert checkpoints.latest(connection) is not None


def test_many_that_sign_at_once_make_one_chain(sqlite_kernel: Kernel) -> None:
    act(sqlite_kernel, 3)

    def once(_: int) -> None:
        act(sqlite_kernel)
        with contextlib.suppress(stores.Taken):  # others were quicker three times: theirs cover it
            checkpoints.take(sqlite_kernel, actor="test")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(once, range(12)))
    found = checkpoints.verify(sqlite_kernel)
    assert found.holds
    assert found.checkpoints == len(stores.of(sqlite_kernel).read()) > 1


def test_one_is_due_after_an_hour_or_many_entries(kernel: Kernel) -> None:
    few = msgspec.structs.replace(kernel.settings, audit=AuditSettings(checkpoint_entries=3))
    opened = Kernel(few, ())
    assert not checkpoints.due(opened), "nothing was done"
    act(opened)
    assert checkpoints.due(opened), "nothing was ever signed"
    signed(opened, 1)
    assert not checkpoints.due(opened)
    act(opened, 2)
    assert not checkpoints.due(opened)
    act(opened)
    assert checkpoints.due(opened)
    signed(opened, 1)
    act(opened)
    a = tables.audit
    with opened.db.write() as connection:
        last = connection.execute(sa.select(sa.func.max(a.c.seq)).where(a.c.action == checkpoints.SIGNED)).scalar_one()
        earlier = codec.now() - timedelta(minutes=61)
        connection.execute(a.update().where(a.c.seq == last).values(at=earlier))
    assert checkpoints.due(opened)
    opened.close()


def test_what_does_not_hold_is_told_as_critical(kernel: Kernel) -> None:
    signed(kernel, 3)
    sql(kernel, "update audit set actor = 'nobody' where seq = 2")
    assert checkpoints._verify(kernel)["first_bad"] == 2
    assert checkpoints._verify(kernel)["first_bad"] == 2
    with kernel.db.read() as connection:
        told = connection.execute(sa.select(tables.notices)).all()
    assert [(one.kind, one.severity) for one in told] == [("audit.broken", "critical")]


def test_the_standing_follows_what_is_added(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    act(kernel, 3)
    assert standing.look(kernel).holds
    act(kernel, 2)
    looked: list[int] = []
    real = chain.verify

    def counting(connection: sa.Connection, **options: Any) -> audit.Verdict:
        found = real(connection, **options)
        looked.append(found.entries)
        return found

    monkeypatch.setattr(chain, "verify", counting)
    told = standing.look(kernel)
    assert (told.entries, told.holds, looked) == (5, True, [2])
    sql(kernel, "update audit set actor = 'nobody' where seq = 5")
    assert standing.look(kernel).holds, "what was verified before is not read again"
    assert standing.verify_whole(kernel).first_bad == 5
    assert standing.look(kernel).first_bad == 5
    act(kernel)
    assert standing.look(kernel).first_bad == 5


def test_a_long_chain_is_not_walked_while_a_page_waits(sqlite_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "AT_ONCE", 4)
    act(sqlite_kernel, 9)
    told = standing.look(sqlite_kernel)
    assert (told.entries, told.verified_from, told.whole_at, told.holds) == (9, 6, None, True)
    standing.verify_whole(sqlite_kernel)
    assert standing.look(sqlite_kernel).whole_at is not None


# ---- S3


@pytest.fixture
def in_s3(sqlite_kernel: Kernel, aws_server: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "777700001111")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    bucket = f"audit-{os.urandom(6).hex()}"
    placed = msgspec.structs.replace(
        sqlite_kernel.settings,
        aws=AwsSettings(endpoint_url=aws_server.url),
        audit=AuditSettings(checkpoints=f"s3://{bucket}/uwu/prod"),
    )
    opened = Kernel(placed, ())
    opened.aws.client("s3").create_bucket(Bucket=bucket)
    return opened


def test_checkpoints_in_s3_are_never_overwritten(in_s3: Kernel) -> None:
    signed(in_s3, 2, 2, 2)
    store = stores.of(in_s3)
    bucket = store.place.split("/")[2]
    client = in_s3.aws.client("s3")
    names = [item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert names == [f"uwu/prod/{number:012d}.json" for number in (1, 2, 3)]
    with pytest.raises(stores.Taken):
        store.add(2, b"{}")
    assert checkpoints.verify(in_s3).checkpoints == 3
    client.delete_object(Bucket=bucket, Key=names[1])
    assert checkpoints.verify(in_s3).bad_checkpoint == 2
    in_s3.close()


def test_a_bucket_that_is_not_there_is_told(in_s3: Kernel) -> None:
    elsewhere = AuditSettings(checkpoints="s3://not-there-at-all/x")
    opened = Kernel(msgspec.structs.replace(in_s3.settings, audit=elsewhere), ())
    act(opened)
    with pytest.raises(Unavailable) as failed:
        checkpoints.take(opened, actor="test")
    assert failed.value.problem.place == "s3://not-there-at-all/x"
    with opened.db.read() as connection:
        assert checkpoints.latest(connection) is None
    opened.close()


# ---- exports


def test_an_export_is_verified_without_us(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS", 3)
    signed(kernel, 7)
    lines = b"".join(export.jsonl(kernel)).splitlines(keepends=True)
    assert len(lines) == 8
    whole = export.verify_lines(lines)
    assert (whole.entries, whole.first_bad, whole.head) == (8, None, json.loads(lines[-1])["hash"])
    assert export.verify_lines(lines[3:]).first_bad is None, "it may begin anywhere"
    assert export.verify_lines([*lines[:3], *lines[4:]]).first_bad == 4
    assert export.verify_lines([*lines[:3], lines[4], lines[3], *lines[5:]]).first_bad == 4
    assert export.verify_lines([*lines[:2], lines[2].replace(b"mira", b"mura"), *lines[3:]]).first_bad == 3
    assert export.verify_lines([*lines[:2], lines[2].replace(b":", b": ", 1), *lines[3:]]).first_bad == 3
    assert export.verify_lines([*lines[:2], b"\n", *lines[3:]]).first_bad == 3
    marks = {7: json.loads(lines[6])["hash"]}
    assert export.verify_lines(lines[:5], marks).first_bad == 6
    assert export.verify_lines(lines, {7: "0" * 64}).first_bad == 7


def test_a_spreadsheet_runs_nothing_of_an_export(sqlite_kernel: Kernel) -> None:
    with sqlite_kernel.db.write() as connection:
        audit.append(connection, actor="=cmd|' /C calc'!A0", action="+x", subject='@"s"', detail={"a": "=1"})
    rows = b"".join(export.as_csv(export.pages(sqlite_kernel))).decode().split("\r\n")
    assert rows[0] == "seq,at,actor,action,subject,detail,prev,hash"
    assert ',\'=cmd|\' /C calc\'!A0,\'+x,"\'@""s""",' in rows[1]
