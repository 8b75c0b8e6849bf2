"""Writing states: what is taken and what is refused, with the reason. One transaction a write: old or new,
never partial.

A version is taken where it follows the current one: the same lineage, a higher serial. The same bytes sent twice are
one version: a client whose answer was lost asks again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.iac import state_check, state_crypt, state_store, tables
from uwu.domains.iac.actions import FORCE
from uwu.domains.iac.state_check import Head
from uwu.domains.iac.state_lock import Locked, held, holder
from uwu.domains.iac.state_store import Version
from uwu.kernel import audit, authorize, codec
from uwu.kernel.authorize import Target
from uwu.kernel.errors import BadInput, Conflict, NotFound, UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

_PRUNED_AT_ONCE = 50


class Refused(Conflict):
    """The state does not follow the one that is kept."""

    code, status = "state-regress", 409


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A write that is asked for."""

    namespace: str
    name: str
    via: str
    lock_id: str = ""
    """The lock under which it is made; empty for none."""
    md5: str = ""
    """What the client says that it is, in hex or base64."""
    force: bool = False
    serial: int | None = None
    """What the client has told of it before; it must be so."""
    lineage: str = ""
    operation: str = ""
    restored: int = 0
    id: str = ""
    """The id that the version gets; a new one where none is given."""


def write(
    kernel: Kernel,
    principal: Principal,
    wanted: Wanted,
    data: bytes,
    *,
    within: Callable[[sa.Connection], None] | None = None,
) -> Version:
    """Keeps ``data`` as the newest version of a state, which is made where it is not there. ``within`` is called in
    the write's transaction, before anything is written.

    Raises ``BadInput`` for what is no state, ``Locked`` where another holds it, ``Refused`` where it does not follow.
    What is refused is told to the audit, without a word of the state. Whether force may be used is the caller's to ask.
    """
    place = f"{wanted.namespace}/{wanted.name}"
    try:
        work = _work(kernel, wanted, data, place)
        with kernel.db.write() as connection:
            if within is not None:
                within(connection)
            return _write(kernel, connection, principal, wanted, work)
    except (BadInput, Conflict) as error:
        _tell(kernel, principal, place, wanted, error)
        raise


class _Work(msgspec.Struct, frozen=True):
    """What is found out of a state, and made of it, before the database is asked."""

    head: Head
    md5: str
    sha256: str
    bytes: int
    sealed: state_crypt.Sealed


_BESIDE = ThreadPoolExecutor(3, "uwu-state")
"""Hashing, compressing and encrypting leave the interpreter free: for a large state they run beside its reading."""
_LARGE = 1_000_000


def _work(kernel: Kernel, wanted: Wanted, data: bytes, place: str) -> _Work:
    """Raises ``BadInput`` for what is no state, or not the one that was announced."""
    keys = state_crypt.keys(kernel)
    if len(data) < _LARGE:
        head = state_check.head(data, place)
        _as_told(head, wanted, place)
        md5 = state_check.check_md5(data, wanted.md5, place)
        return _Work(head, md5, hashlib.sha256(data).hexdigest(), len(data), state_crypt.seal(keys, data))
    sealed = _BESIDE.submit(state_crypt.seal, keys, data)
    md5 = _BESIDE.submit(state_check.check_md5, data, wanted.md5, place)
    sha256 = _BESIDE.submit(hashlib.sha256, data)
    head = state_check.head(data, place)
    _as_told(head, wanted, place)
    return _Work(head, md5.result(), sha256.result().hexdigest(), len(data), sealed.result())


def require_force(kernel: Kernel, principal: Principal, target: Target) -> None:
    """Raises ``NotAllowed`` unless ``principal`` may pass the order of serials and lineages on ``target``."""
    authorize.require(kernel, principal, FORCE, target)


def _as_told(head: Head, wanted: Wanted, place: str) -> None:
    serial, lineage = wanted.serial, wanted.lineage
    if (serial is not None and head.serial != serial) or (lineage and head.lineage != lineage):
        raise BadInput(
            "the state is not the one that was announced: its serial or its lineage is another",
            code="state-announced",
            place=place,
            hint="send the state for which the address was given",
        )


def _tell(kernel: Kernel, principal: Principal, place: str, wanted: Wanted, error: UwuError) -> None:
    detail = {"code": error.problem.code, "reason": error.problem.message, "via": wanted.via}
    with kernel.db.write() as connection:
        audit.append(
            connection, actor=principal.ref, action="iac.state.refused", subject=f"state:{place}", detail=detail
        )


def _write(
    kernel: Kernel,
    connection: sa.Connection,
    principal: Principal,
    wanted: Wanted,
    work: _Work,
) -> Version:
    s, v, head = tables.states, tables.versions, work.head
    row = held(connection, principal, wanted.namespace, wanted.name)
    place = f"{wanted.namespace}/{wanted.name}"
    _under_lock(row, wanted, place)
    current = state_store.version_by_id(connection, row["version"])
    if current is not None:
        same = current.md5 == work.md5 and current.sha256 == work.sha256 and current.serial == head.serial
        if same and not wanted.restored:
            return current
        if not wanted.force:
            follows(current, head.serial, head.lineage, place)
    now, number = codec.now(), row["number"] + 1
    made = Version(
        id=wanted.id or codec.new_id("sv"),
        state=row["id"],
        number=number,
        serial=head.serial,
        lineage=head.lineage,
        terraform_version=head.terraform_version,
        resources=head.resources,
        outputs=head.outputs,
        opaque=head.opaque,
        sha256=work.sha256,
        md5=work.md5,
        bytes=work.bytes,
        created_at=now,
        created_by=principal.ref,
        via=wanted.via,
        operation=wanted.operation or (row["lock"] or {}).get("operation", ""),
        forced=wanted.force,
        restored=wanted.restored,
    )
    blob = state_crypt.store(connection, work.sealed)
    connection.execute(v.insert().values(**msgspec.structs.asdict(made), blob=blob))
    connection.execute(s.update().where(s.c.id == row["id"]).values(version=made.id, number=number))
    detail = {"version": number, "serial": made.serial, "resources": made.resources, "via": made.via}
    if made.forced:
        detail["forced"] = True
    if made.restored:
        detail["restored"] = made.restored
    action = "iac.state.rollback" if made.restored else "iac.state.write"
    audit.append(connection, actor=principal.ref, action=action, subject=f"state:{place}", detail=detail)
    _prune(kernel, connection, row["id"], made)
    return made


def _under_lock(row: dict[str, Any], wanted: Wanted, place: str) -> None:
    if row["lock_id"] == wanted.lock_id:
        return
    if row["lock_id"]:
        raise Locked(holder(row), place)
    raise Refused(
        "the lock under which this was to be written is gone: somebody has taken it away",
        code="state-lock-lost",
        place=place,
        hint="see who in the state's history; look at what was written since, then run terraform again",
    )


def follows(current: Version, serial: int, lineage: str, place: str, *, md5: str = "") -> None:
    """Raises ``Refused`` where a state of this serial and lineage does not follow ``current``; one that may be
    ``current`` itself, by its MD5, does."""
    if current.lineage != lineage:
        raise Refused(
            f"this state has another lineage than the one that is kept ({lineage[:40]}, not {current.lineage})",
            code="state-lineage",
            place=place,
            hint="it is another project's state: look at the backend's address; to replace it, push it with force",
        )
    if serial == current.serial and not (md5 and md5 == current.md5):
        raise Refused(
            f"a different state with the serial {serial} is kept already",
            code="state-serial-conflict",
            place=place,
            hint="two have written from the same beginning: run terraform plan again, and keep the lock on",
        )
    if serial < current.serial:
        raise Refused(
            f"the state has the serial {serial}; the one that is kept is newer ({current.serial})",
            code="state-regress",
            place=place,
            hint="to bring an earlier version back: uwu iac state rollback",
        )


def _prune(kernel: Kernel, connection: sa.Connection, state: str, newest: Version) -> None:
    """Deletes versions that are past both limits, some at a time."""
    settings, v, u = kernel.settings.iac, tables.versions, tables.uploads
    before = newest.created_at - timedelta(days=settings.keep_days)
    past = sa.select(v.c.id, v.c.blob).where(
        v.c.state == state, v.c.number <= newest.number - settings.keep_versions, v.c.created_at < before
    )
    rows = connection.execute(past.order_by(v.c.number).limit(_PRUNED_AT_ONCE)).all()
    if not rows:
        return
    ids = [row.id for row in rows]
    shown = connection.scalars(sa.select(u.c.json_blob).where(u.c.id.in_(ids), u.c.json_blob != "")).all()
    connection.execute(v.delete().where(v.c.id.in_(ids)))
    connection.execute(u.delete().where(u.c.id.in_(ids)))
    state_crypt.forget(connection, [*(row.blob for row in rows), *shown])


# ---- bringing an earlier version back, taking a state away


def rollback(kernel: Kernel, principal: Principal, key: str, number: int, *, lock_id: str = "") -> Version:
    """Writes version ``number`` again as the newest, with a serial above the current one's: clients see an ordinary
    successor. Raises ``NotFound``, ``Locked``, ``Refused`` where it is the current one or cannot be opened."""
    namespace, name = state_store.named(key)
    with kernel.db.read() as connection:
        found = state_store.get(connection, key)
        wanted = state_store.version(connection, found.id, number)
    if found.version is not None and found.version.id == wanted.id:
        raise Refused(
            f"version {number} is the current one", code="state-current", place=key, hint="choose an earlier version"
        )
    if wanted.opaque:
        raise Refused(
            "this version is encrypted by its client: its serial cannot be raised here",
            code="state-encrypted",
            place=key,
            hint="download it, decrypt it, and push it with its client",
        )
    data = state_store.content(kernel, wanted.id)
    serial = max(wanted.serial, found.version.serial if found.version is not None else _last_serial(kernel, found.id))
    ask = Wanted(
        namespace=namespace, name=name, via="rollback", lock_id=lock_id, force=False, restored=number, operation=""
    )
    raised = with_serial(data, serial + 1, key)
    if found.version is not None and found.version.lineage != wanted.lineage:
        # the state was replaced by force in between: to go back over that is no ordinary succession either
        require_force(kernel, principal, found.target())
        ask = msgspec.structs.replace(ask, force=True)
    return write(kernel, principal, ask, raised)


def _last_serial(kernel: Kernel, state: str) -> int:
    v = tables.versions
    with kernel.db.read() as connection:
        return connection.execute(
            sa.select(sa.func.coalesce(sa.func.max(v.c.serial), 0)).where(v.c.state == state)
        ).scalar_one()


def with_serial(data: bytes, serial: int, place: str) -> bytes:
    """The state with another serial; every other value stays as it is written. Raises ``BadInput``."""
    try:
        top = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        raise BadInput("the state is no JSON", code="state-json", place=place) from None
    top["serial"] = msgspec.Raw(str(serial).encode())
    return codec.encode(top)


def delete(kernel: Kernel, principal: Principal, key: str, *, lock_id: str = "") -> None:
    """Makes the state empty, as its client asks for: its versions stay and can be brought back."""
    namespace, name = state_store.named(key)
    s = tables.states
    with kernel.db.write() as connection:
        if state_store.find(connection, namespace, name) is None:
            raise NotFound(f"there is no state {key[:200]}", code="state-unknown", hint="uwu iac state list")
        row = held(connection, principal, namespace, name)
        if row["lock_id"] and row["lock_id"] != lock_id:
            raise Locked(holder(row), key)
        connection.execute(s.update().where(s.c.id == row["id"]).values(version=""))
        audit.append(connection, actor=principal.ref, action="iac.state.delete", subject=f"state:{key}")
