"""What is taken as a state and what is refused, and why; versions, rollback, retention."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from tests.domains.iac.states import ADMIN, CI, KEY, MIRA, PAYMENTS, audited, resource, state, write
from uwu.domains.iac import state_check, state_lock, state_store, state_write, tables
from uwu.domains.iac.state_lock import Locked, Told
from uwu.domains.iac.state_store import State
from uwu.kernel.authorize import NotAllowed
from uwu.kernel.errors import BadInput, NotFound, UwuError
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import IacSettings


def kept(kernel: Kernel, key: str = KEY) -> State:
    with kernel.db.read() as connection:
        return state_store.get(connection, key)


def test_every_write_is_a_version_and_the_bytes_come_back_as_they_came(kernel: Kernel) -> None:
    first, second = state(1, resource("a")), state(2, resource("a"), resource("b"))
    one, two = write(kernel, first), write(kernel, second)
    assert (one.number, two.number, two.serial, two.resources) == (1, 2, 2, 2)
    assert state_store.content(kernel, one.id) == first and state_store.content(kernel, two.id) == second
    assert state_store.current_content(kernel, f"uwu://{KEY}") == second
    with kernel.db.read() as connection:
        page = state_store.versions(connection, one.state)
    assert [each.number for each in page.items] == [2, 1] and page.total == 2
    assert kept(kernel).version == two and two.sha256 == hashlib.sha256(second).hexdigest()
    assert [each.action for each in audited(kernel)] == ["iac.state.create", "iac.state.write", "iac.state.write"]
    assert write(kernel, second) == two, "the same bytes again are the same version: a lost answer costs nothing"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "state-empty"),
        (b"   \n", "state-empty"),
        (state(2)[:-40], "state-truncated"),
        (b"<html>proxy error</html>", "state-json"),
        (b"[]", "state-shape"),
        (b'{"version": 4}', "state-shape"),
        (state(2).replace(b'"serial": 2', b'"serial": "2"'), "state-shape"),
        (state(2).replace(b'"serial": 2', b'"serial": -2'), "state-shape"),
        (state(2, lineage=""), "state-shape"),
        (state(2, resources={"a": 1}), "state-shape"),
        (state(2).replace(b'"version": 4', b'"version": 3'), "state-version"),
        (state(2).replace(b"1.11.4", b"\xff\xfe"), "state-json"),
        (state(1, resource("other")), "state-serial-conflict"),
        (state(0), "state-regress"),
        (state(2, lineage="9999"), "state-lineage"),
    ],
)
def test_what_is_no_successor_is_refused_with_the_reason_and_leaves_no_trace_of_itself(
    sqlite_kernel: Kernel, data: bytes, code: str
) -> None:
    now = write(sqlite_kernel, state(1, resource("a")))
    with pytest.raises(UwuError) as caught:
        write(sqlite_kernel, data)
    assert caught.value.problem.code == code and caught.value.problem.hint
    assert caught.value.status in {400, 409}
    assert kept(sqlite_kernel).version == now
    told = audited(sqlite_kernel)[-1]
    assert (told.action, told.detail["code"], told.actor) == ("iac.state.refused", code, CI.ref)
    with sqlite_kernel.db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.blobs)).scalar_one() == 1


def test_the_md5_is_believed_in_hex_and_base64_and_a_wrong_one_refused(sqlite_kernel: Kernel) -> None:
    data = state(1)
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    for told in (digest.hex(), base64.b64encode(digest).decode(), ""):
        assert write(sqlite_kernel, data, msgspec.structs.replace(PAYMENTS, md5=told)).md5 == digest.hex()
    for told in ("0" * 32, "nonsense", base64.b64encode(b"x" * 16).decode()):
        with pytest.raises(BadInput) as caught:
            write(sqlite_kernel, state(2), msgspec.structs.replace(PAYMENTS, md5=told))
        assert caught.value.problem.code == "state-md5"


def test_opentofus_encrypted_state_is_kept_as_it_is(sqlite_kernel: Kernel) -> None:
    data = json.dumps({"serial": 3, "lineage": "l", "meta": {}, "encrypted_data": "AAAA", "encryption_version": "v0"})
    made = write(sqlite_kernel, data.encode())
    assert made.opaque and (made.serial, made.resources) == (3, 0)
    assert state_store.content(sqlite_kernel, made.id) == data.encode()


def test_force_takes_a_permission_that_owners_do_not_have(kernel: Kernel) -> None:
    write(kernel, state(5))
    target = kept(kernel).target()
    with pytest.raises(NotAllowed):
        state_write.require_force(kernel, CI, target)
    state_write.require_force(kernel, ADMIN, target)
    forced = write(kernel, state(1, lineage="other"), msgspec.structs.replace(PAYMENTS, force=True), ADMIN)
    assert forced.forced and (forced.serial, forced.lineage) == (1, "other")


# ---- locks


def test_a_lock_keeps_its_true_holder_until_it_is_given_back_or_taken_away(kernel: Kernel) -> None:
    mine = Told(id="lock-1", who="mira@laptop", operation="OperationTypeApply", version="1.11.4")
    held = state_lock.lock(kernel, MIRA, KEY, mine)
    assert (held.locked_by, held.who, held.operation) == (MIRA.ref, "mira@laptop", "OperationTypeApply")
    assert state_lock.lock(kernel, MIRA, KEY, mine) == held, "asked twice: its answer was lost"
    for principal, id in ((CI, "lock-2"), (MIRA, "lock-2"), (CI, "lock-1")):
        with pytest.raises(Locked) as caught:
            state_lock.lock(kernel, principal, KEY, Told(id=id))
        assert caught.value.info == held and MIRA.ref in str(caught.value)
    with pytest.raises(Locked):
        state_lock.unlock(kernel, CI, KEY, "lock-2")
    with pytest.raises(Locked):
        write(kernel, state(1))
    made = write(kernel, state(1), msgspec.structs.replace(PAYMENTS, lock_id="lock-1"), MIRA)
    assert made.operation == "OperationTypeApply"
    state_lock.unlock(kernel, MIRA, KEY, "lock-1")
    state_lock.unlock(kernel, MIRA, KEY, "lock-1")
    assert kept(kernel).lock is None

    state_lock.lock(kernel, MIRA, KEY, mine)
    with pytest.raises(Locked):
        state_lock.force_unlock(kernel, ADMIN, KEY, id="another")
    assert state_lock.force_unlock(kernel, ADMIN, KEY, reason="her laptop is gone") is not None
    assert state_lock.force_unlock(kernel, ADMIN, KEY) is None
    with pytest.raises(state_write.Refused) as lost:
        write(kernel, state(2), msgspec.structs.replace(PAYMENTS, lock_id="lock-1"), MIRA)
    assert lost.value.problem.code == "state-lock-lost"
    taken = next(each for each in audited(kernel) if each.action == "iac.state.force-unlock")
    assert (taken.detail["holder"], taken.detail["reason"]) == (MIRA.ref, "her laptop is gone")


def test_of_many_who_want_the_lock_at_once_one_gets_it(kernel: Kernel) -> None:
    got: list[str] = []
    refused: list[str] = []
    gate = threading.Barrier(8)

    def want(number: int) -> None:
        gate.wait()
        try:
            got.append(state_lock.lock(kernel, CI, KEY, Told(id=f"lock-{number}")).id)
        except Locked as error:
            refused.append(error.info.id)

    threads = [threading.Thread(target=want, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and refused == got * 7


def test_of_many_who_write_the_same_serial_one_is_taken(kernel: Kernel) -> None:
    write(kernel, state(1))
    told: list[str] = []
    gate = threading.Barrier(6)

    def attempt(number: int) -> None:
        gate.wait()
        try:
            told.append(write(kernel, state(2, resource(f"r{number}"))).id)
        except UwuError as error:
            told.append(error.problem.code)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told)[:-1] == ["state-serial-conflict"] * 5
    assert kept(kernel).number == 2


# ---- earlier versions


def test_a_rollback_is_a_new_version_with_a_higher_serial(kernel: Kernel) -> None:
    old = state(3, resource("a", note="été"), resource("b"), extra={"kept": [1.50, "x"]})
    write(kernel, old)
    write(kernel, state(9, resource("c")))
    made = state_write.rollback(kernel, CI, KEY, 1)
    assert (made.number, made.serial, made.restored, made.via) == (3, 10, 1, "rollback")
    back, before = json.loads(state_store.content(kernel, made.id)), json.loads(old)
    assert back.pop("serial") == 10 and before.pop("serial") == 3 and back == before
    for number, code in ((3, "state-current"), (99, "state-version-unknown")):
        with pytest.raises(UwuError) as caught:
            state_write.rollback(kernel, CI, KEY, number)
        assert caught.value.problem.code == code
    state_lock.lock(kernel, MIRA, KEY, Told(id="l"))
    with pytest.raises(Locked):
        state_write.rollback(kernel, CI, KEY, 2)


def test_a_rollback_over_a_change_of_lineage_takes_force(sqlite_kernel: Kernel) -> None:
    write(sqlite_kernel, state(3, lineage="old"))
    write(sqlite_kernel, state(1, lineage="new"), msgspec.structs.replace(PAYMENTS, force=True))
    with pytest.raises(NotAllowed):
        state_write.rollback(sqlite_kernel, CI, KEY, 1)
    assert state_write.rollback(sqlite_kernel, ADMIN, KEY, 1).lineage == "old"


def test_a_deleted_state_is_empty_and_can_be_brought_back(kernel: Kernel) -> None:
    write(kernel, state(4, resource("a")))
    state_write.delete(kernel, CI, KEY)
    assert kept(kernel).version is None
    with pytest.raises(NotFound) as caught:
        state_store.current_content(kernel, f"uwu://{KEY}")
    assert caught.value.problem.code == "state-missing"
    made = state_write.rollback(kernel, CI, KEY, 1)
    assert (made.number, made.serial, kept(kernel).version) == (2, 5, made)


def test_versions_past_both_limits_are_deleted_with_their_bytes(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = IacSettings(keep_versions=2, keep_days=1)
    monkeypatch.setattr(kernel, "settings", msgspec.structs.replace(kernel.settings, iac=limits))
    for serial in range(1, 6):
        write(kernel, state(serial))
    v = tables.versions
    with kernel.db.write() as connection:
        page = state_store.versions(connection, kept(kernel).id)
        assert page.total == 5, "young versions are kept"
        aged = page.items[0].created_at - timedelta(days=2)
        connection.execute(v.update().where(v.c.number <= 4).values(created_at=aged))
    write(kernel, state(6))
    with kernel.db.read() as connection:
        left = state_store.versions(connection, kept(kernel).id)
        blobs = connection.execute(sa.select(sa.func.count()).select_from(tables.blobs)).scalar_one()
        chunks = connection.execute(sa.select(sa.func.count(tables.chunks.c.blob.distinct()))).scalar_one()
    assert [each.number for each in left.items] == [6, 5] and blobs == chunks == 2


# ---- names, lists, real states


@pytest.mark.parametrize("name", ["payments", "a/b/c", "/x", "x/", "a/..", "a/b c", "a/" + "x" * 91, "ä/b", ""])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        state_store.named(name)
    assert caught.value.problem.code == "state-name"


def test_states_are_listed_by_name_a_page_at_a_time(kernel: Kernel) -> None:
    for name in ("c", "a", "b"):
        write(kernel, state(1), msgspec.structs.replace(PAYMENTS, name=name))
    state_lock.lock(kernel, CI, "default/b", Told(id="x"))
    with kernel.db.read() as connection:
        first = state_store.listed(connection, limit=2)
        rest = state_store.listed(connection, limit=2, after=first.after)
        locked = state_store.listed(connection, locked=True)
        owned = state_store.listed(connection, owner=CI.ref)
    assert [each.name for each in (*first.items, *rest.items)] == ["a", "b", "c"]
    assert (first.total, rest.after) == (3, "") and [each.name for each in locked.items] == ["b"]
    assert owned.total == 3 and owned.items[0].owner == CI.ref


def test_all_real_states_are_kept_or_fail_with_a_named_reason(sqlite_kernel: Kernel, shared_data: Path) -> None:
    taken, reasons = 0, {}
    for path in sorted((shared_data / "terraform-states").glob("*.tfstate")):
        name = path.name.removesuffix(".tfstate")
        try:
            made = write(sqlite_kernel, path.read_bytes(), msgspec.structs.replace(PAYMENTS, name=name[:90]))
        except UwuError as error:
            reasons[name] = error.problem.code
            continue
        assert state_store.content(sqlite_kernel, made.id) == path.read_bytes()
        taken += 1
    print(f"{taken} real states are kept, {len(reasons)} refused: {reasons}")
    assert taken > 30 and set(reasons.values()) <= {"state-version", "state-shape"}


def test_what_a_state_says_of_itself_is_read_without_its_attributes() -> None:
    data: Any = state(7, resource("a"), {**resource("d"), "mode": "data"}, outputs={"x": {"value": 1}})
    head = state_check.head(data, "x")
    assert (head.serial, head.resources, head.outputs, head.terraform_version) == (7, 1, 1, "1.11.4")
