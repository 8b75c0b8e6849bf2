"""At rest: nothing of a state can be read or changed without the key."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from tests.domains.iac.states import KEY, resource, state, write
from uwu.domains.iac import state_crypt, state_store, tables
from uwu.domains.iac.state_crypt import SealBroken
from uwu.kernel import domain
from uwu.kernel.errors import Misconfigured
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import IacSettings, Settings

SECRET = "nobody-may-read-this-4711"


def again(kernel: Kernel, **iac: object) -> Kernel:
    """Another process over the same home and database."""
    settings = msgspec.structs.replace(kernel.settings, iac=IacSettings(**iac))  # type: ignore[arg-type]
    return Kernel(settings, kernel.domains)


def large() -> bytes:
    """A state of several chunks: its values cannot be compressed."""
    return state(1, *(resource(f"r{n}", blob=os.urandom(3000).hex()) for n in range(600)))


def test_a_large_state_comes_back_in_pieces_of_bounded_size(kernel: Kernel) -> None:
    data = large()
    made = write(kernel, data)
    pieces = list(state_store.pieces(kernel, made.id))
    assert b"".join(pieces) == data
    assert len(pieces) > 2 and max(map(len, pieces)) <= state_crypt.PIECE_BYTES


def test_the_key_is_made_once_and_only_its_owner_reads_it(sqlite_kernel: Kernel) -> None:
    write(sqlite_kernel, state(1))
    path = sqlite_kernel.settings.home_path / "state.key"
    assert path.stat().st_mode & 0o777 == 0o600
    other = again(sqlite_kernel)
    assert state_crypt.keys(other).current == state_crypt.keys(sqlite_kernel).current
    assert state_store.current_content(other, f"uwu://{KEY}") == state(1)
    other.close()


@pytest.mark.parametrize("what", ["changed", "swapped", "cut", "moved"])
def test_what_was_changed_in_the_database_is_noticed(kernel: Kernel, what: str) -> None:
    first, second = write(kernel, large()), write(kernel, state(2, resource("x")))
    b, c = tables.blobs, tables.chunks
    with kernel.db.write() as connection:
        v = tables.versions
        one = connection.execute(sa.select(v.c.blob).where(v.c.id == first.id)).scalar_one()
        other = connection.execute(sa.select(v.c.blob).where(v.c.id == second.id)).scalar_one()
        data = connection.execute(sa.select(c.c.data).where(c.c.blob == one).order_by(c.c.chunk)).scalars().all()
        if what == "changed":
            bad = bytes([data[0][0] ^ 1]) + data[0][1:]
            connection.execute(c.update().where(c.c.blob == one, c.c.chunk == 0).values(data=bad))
        elif what == "swapped":
            connection.execute(c.update().where(c.c.blob == one, c.c.chunk == 0).values(data=data[1]))
        elif what == "cut":
            connection.execute(b.update().where(b.c.id == one).values(chunks=len(data) - 1))
        else:
            wrapped = connection.execute(sa.select(b.c.wrapped).where(b.c.id == other)).scalar_one()
            connection.execute(b.update().where(b.c.id == one).values(wrapped=wrapped))
    with pytest.raises(SealBroken):
        state_store.content(kernel, first.id)
    assert state_store.content(kernel, second.id) == state(2, resource("x"))


def test_without_its_key_a_state_is_not_read_and_no_new_key_is_made_in_its_place(kernel: Kernel) -> None:
    made = write(kernel, state(1))
    home = kernel.settings.home_path
    (home / "state.key").rename(home / "away.key")
    lost = again(kernel)
    for attempt in (lambda: write(lost, state(2)), lambda: state_store.content(lost, made.id)):
        with pytest.raises(Misconfigured) as caught:
            attempt()
        assert caught.value.problem.code == "state-key-missing"
    assert not (home / "state.key").exists()
    lost.close()


def test_a_key_is_replaced_while_the_old_one_still_reads(kernel: Kernel) -> None:
    made = write(kernel, state(1, resource("a")))
    home = kernel.settings.home_path
    (home / "state.key").rename(home / "old.key")
    (home / "state.key").write_text(base64.b64encode(os.urandom(32)).decode())
    both = again(kernel, old_state_key_files=("old.key",))
    assert state_store.content(both, made.id) == state(1, resource("a"))
    later = write(both, state(2))
    assert state_crypt.rewrap(both) == 1 and state_crypt.rewrap(both) == 0
    both.close()
    alone = again(kernel)
    assert state_store.content(alone, made.id) == state(1, resource("a"))
    assert state_store.content(alone, later.id) == state(2)
    alone.close()


def test_the_key_may_stand_in_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_kernel: Kernel
) -> None:
    monkeypatch.setenv("UWU_STATE_KEY", base64.b64encode(b"k" * 32).decode())
    made = write(sqlite_kernel, state(1))
    assert state_store.content(sqlite_kernel, made.id) == state(1)
    assert not (sqlite_kernel.settings.home_path / "state.key").exists()
    monkeypatch.setenv("UWU_STATE_KEY", "short")
    other = Kernel(Settings(home=str(tmp_path / "other")), domain.installed())
    with pytest.raises(Misconfigured) as caught:
        state_crypt.keys(other)
    assert caught.value.problem.code == "state-key" and "short" not in str(caught.value)


def test_no_byte_of_the_database_holds_a_part_of_a_state(sqlite_kernel: Kernel) -> None:
    write(sqlite_kernel, state(1, resource("db", password=SECRET), outputs={"p": {"value": SECRET, "sensitive": True}}))
    files = [path for path in sqlite_kernel.settings.home_path.rglob("*") if path.is_file()]
    assert any(path.name.endswith("-wal") for path in files)
    assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []
