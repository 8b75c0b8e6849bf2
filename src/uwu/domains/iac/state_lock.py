"""Locks of states: who holds one, and since when. A lock never ends by itself; its age is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from uwu.domains.iac import state_store, tables
from uwu.domains.iac.state_store import LockInfo
from uwu.kernel import audit, codec
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

_CHARACTERS = 500
"""Of each field that a holder tells of itself."""


class Locked(Conflict):
    """Another holds the state."""

    code, status = "state-locked", 423

    def __init__(self, info: LockInfo, place: str) -> None:
        who = f" ({info.who})" if info.who else ""
        super().__init__(
            f"{info.locked_by}{who} has held the lock since {codec.iso(info.locked_at)}",
            place=place,
            hint=f"wait for it; if it is dead: uwu iac state unlock {place}, or terraform force-unlock {info.id}",
        )
        self.info = info

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.info, self.problem.place)


def holder(row: Mapping[str, Any]) -> LockInfo:
    """Who holds a locked row."""
    found = state_store.lock_of(row)
    if found is None:
        raise ValueError("it is not locked")
    return found


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a holder tells of itself: the members of Terraform's LockInfo that are kept."""

    id: str
    who: str = ""
    operation: str = ""
    info: str = ""
    version: str = ""
    created: str = ""
    path: str = ""


_FIELDS = {
    "who": "Who",
    "operation": "Operation",
    "info": "Info",
    "version": "Version",
    "created": "Created",
    "path": "Path",
}


def told(body: bytes, place: str) -> Told:
    """What the body of LOCK or UNLOCK tells. Raises ``BadInput`` (``state-lock-info``) where it has no ID."""
    try:
        given = codec.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        given = None
    id = given.get("ID") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(id, str) or not 0 < len(id) <= _CHARACTERS:
        raise BadInput(
            "this is no information of a lock",
            code="state-lock-info",
            place=place,
            hint='an object with an ID: {"ID": "...", "Who": "...", "Operation": "..."}',
        )
    return Told(id=id, **{name: str(given.get(key) or "")[:_CHARACTERS] for name, key in _FIELDS.items()})


def as_terraform(info: LockInfo) -> dict[str, str]:
    """The holder as Terraform's clients read it, with the principal beside what it calls itself."""
    found = {"ID": info.id, **{key: getattr(info, name) for name, key in _FIELDS.items()}}
    found["Who"] = f"{info.who} ({info.locked_by})" if info.who else info.locked_by
    found["Created"] = info.created or codec.iso(info.locked_at)
    return found


def lock(kernel: Kernel, principal: Principal, key: str, given: Told) -> LockInfo:
    """Takes the lock. The same lock that is asked for twice by the same principal is held: its answer was lost.

    Raises ``Locked`` with the holder where another has it.
    """
    namespace, name = state_store.named(key)
    s = tables.states
    with kernel.db.write() as connection:
        row = held(connection, principal, namespace, name)
        if row["lock_id"]:
            if row["lock_id"] == given.id and row["locked_by"] == principal.ref:
                return holder(row)
            raise Locked(holder(row), key)
        values = {
            "lock_id": given.id,
            "lock": {name: getattr(given, name) for name in _FIELDS},
            "locked_by": principal.ref,
            "locked_at": codec.now(),
        }
        connection.execute(s.update().where(s.c.id == row["id"]).values(values))
        detail = {"lock": given.id, "who": given.who, "operation": given.operation}
        audit.append(connection, actor=principal.ref, action="iac.state.lock", subject=f"state:{key}", detail=detail)
        return holder({**row, **values})


def unlock(kernel: Kernel, principal: Principal, key: str, id: str) -> None:
    """Gives back the lock ``id``. One that is given back already is: its answer was lost. Raises ``Locked`` for the
    lock of another, ``NotFound`` for a state that is not there."""
    with kernel.db.write() as connection:
        row = _row(connection, key)
        if not row["lock_id"]:
            return
        if row["lock_id"] != id:
            raise Locked(holder(row), key)
        _clear(connection, row, principal, key, "iac.state.unlock", {"lock": id})


def force_unlock(kernel: Kernel, principal: Principal, key: str, *, id: str = "", reason: str = "") -> LockInfo | None:
    """Takes the lock away from whoever holds it, and gives who that was; None where nobody did. With an ``id`` only
    that lock. Raises ``Locked`` where it is another, ``NotFound``."""
    with kernel.db.write() as connection:
        row = _row(connection, key)
        if not row["lock_id"]:
            return None
        found = holder(row)
        if id and id != found.id:
            raise Locked(found, key)
        detail = {"lock": found.id, "holder": found.locked_by, "who": found.who, "since": codec.iso(found.locked_at)}
        if reason:
            detail["reason"] = reason[:_CHARACTERS]
        _clear(connection, row, principal, key, "iac.state.force-unlock", detail)
        return found


def held(connection: sa.Connection, principal: Principal, namespace: str, name: str) -> dict[str, Any]:
    """The row of a state, made where it is not there; until the transaction ends nobody else writes it."""
    s = tables.states
    query = sa.select(s).where(s.c.namespace == namespace, s.c.name == name).with_for_update()
    row = connection.execute(query).mappings().first()
    if row is None:
        make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        fresh = {
            "id": state_store.new_id(),
            "namespace": namespace,
            "name": name,
            "created_at": codec.now(),
            "created_by": principal.ref,
            "version": "",
            "number": 0,
            "tags": {},
            "lock_id": "",
            "lock": None,
            "locked_by": "",
            "locked_at": None,
        }
        made = make(s).values(fresh).on_conflict_do_nothing(index_elements=[s.c.namespace, s.c.name])
        if connection.execute(made).rowcount:
            subject = f"state:{namespace}/{name}"
            audit.append(connection, actor=principal.ref, action="iac.state.create", subject=subject)
        row = connection.execute(query).mappings().one()
    return dict(row)


def _row(connection: sa.Connection, key: str) -> dict[str, Any]:
    namespace, name = state_store.named(key)
    s = tables.states
    query = sa.select(s).where(s.c.namespace == namespace, s.c.name == name).with_for_update()
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"there is no state {key[:200]}", code="state-unknown", hint="uwu iac state list")
    return dict(row)


def _clear(
    connection: sa.Connection, row: Mapping[str, Any], principal: Principal, key: str, action: str, detail: Any
) -> None:
    s = tables.states
    values = {"lock_id": "", "lock": None, "locked_by": "", "locked_at": None}
    connection.execute(s.update().where(s.c.id == row["id"]).values(values))
    audit.append(connection, actor=principal.ref, action=action, subject=f"state:{key}", detail=detail)
