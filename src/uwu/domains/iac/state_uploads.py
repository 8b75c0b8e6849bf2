"""Addresses to which a state is sent without a token: signed (HMAC-SHA256), for one version, for a while, for once."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlencode

import msgspec
import sqlalchemy as sa

from uwu.domains.iac import state_crypt, state_lock, state_store, state_write, tables
from uwu.domains.iac.state_store import State, Version
from uwu.kernel import codec
from uwu.kernel import tables as world
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import BadInput, Conflict, Denied, NotFound, UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

Kind = Literal["state", "json"]
"""The state itself, or the same in Terraform's output format (``terraform show -json``)."""
KEPT = timedelta(days=1)
"""How long an upload that nothing came of is remembered."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that was announced."""

    id: str
    state: str
    principal: str
    serial: int
    lineage: str
    md5: str
    force: bool
    lock_id: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    json_used_at: datetime | None
    json_blob: str
    refused: str


class Refused(Denied):
    """The address is not one that was given out, or no longer holds."""

    code, status = "upload-refused", 403


def begin(
    kernel: Kernel, principal: Principal, state: State, *, serial: int, lineage: str, md5: str, force: bool
) -> Upload:
    """Announces a write. It is bound to the lock that its principal holds, and takes one, as HCP Terraform does: a
    client whose lock was taken away would else write over what came since.

    Raises ``Locked`` where another holds it, ``Refused`` (of ``state_write``) where nobody does or it could not follow.
    """
    u = tables.uploads
    now = codec.now()
    with kernel.db.write() as connection:
        row = state_lock.held(connection, principal, state.namespace, state.name)
        if row["lock_id"] and row["locked_by"] != principal.ref:
            raise state_lock.Locked(state_lock.holder(row), state.key)
        if not row["lock_id"]:
            raise state_write.Refused(
                "a version is written under a lock, and nobody holds it now",
                code="state-lock-lost",
                place=state.key,
                hint="somebody may have taken it away: look at the state's history, then run terraform again with its "
                "lock on",
            )
        current = state_store.version_by_id(connection, row["version"])
        if current is not None and not force:
            state_write.follows(current, serial, lineage, state.key, md5=md5)
        made = Upload(
            id=codec.new_id("sv"),
            state=state.id,
            principal=principal.ref,
            serial=serial,
            lineage=lineage,
            md5=md5,
            force=force,
            lock_id=row["lock_id"],
            created_at=now,
            expires_at=now + timedelta(minutes=kernel.settings.iac.upload_minutes),
            used_at=None,
            json_used_at=None,
            json_blob="",
            refused="",
        )
        connection.execute(u.insert().values(msgspec.structs.asdict(made)))
        lost = sa.and_(u.c.state == state.id, u.c.used_at.is_(None), u.c.expires_at < now - KEPT)
        blobs = connection.scalars(sa.select(u.c.json_blob).where(lost, u.c.json_blob != "")).all()
        connection.execute(u.delete().where(lost))
        state_crypt.forget(connection, list(blobs))
    return made


def find(connection: sa.Connection, id: str) -> Upload:
    """The upload with this id. Raises ``NotFound``."""
    u = tables.uploads
    row = connection.execute(sa.select(*columns(u, Upload)).where(u.c.id == id)).first()
    if row is None:
        raise NotFound("there is no such version", code="state-version-unknown")
    return to_struct(Upload, row)


def address(kernel: Kernel, base_url: str, upload: Upload, kind: Kind) -> str:
    """Where to send it. What signs it stands in the query, which no log holds."""
    ends = int(upload.expires_at.timestamp())
    query = urlencode({"expires": ends, "signature": _signature(kernel, upload.id, kind, ends)})
    return f"{base_url}/iac/uploads/{upload.id}/{kind}?{query}"


def _signature(kernel: Kernel, id: str, kind: str, ends: int) -> str:
    key = state_crypt.keys(kernel).derived("uwu iac uploads")
    return hmac.new(key, f"{id} {kind} {ends}".encode(), hashlib.sha256).hexdigest()


def check(kernel: Kernel, id: str, kind: str, expires: str, signature: str) -> Upload:
    """The upload that an address stands for. Raises ``Refused``: ``upload-signature``, ``upload-expired``,
    ``upload-used``."""
    ends = int(expires) if expires.isdecimal() and len(expires) <= 12 else -1
    right = _signature(kernel, id, kind, ends).encode()
    if (
        ends < 0
        or kind not in ("state", "json")
        or not hmac.compare_digest(right, signature.encode("utf-8", "replace"))
    ):
        raise Refused(
            "this address was not given out by this server, or was changed",
            code="upload-signature",
            hint="ask for a new one: run the command again",
        )
    try:
        with kernel.db.read() as connection:
            found = find(connection, id)
    except NotFound:
        raise _expired() from None
    if codec.now().timestamp() >= ends:
        raise _expired()
    if (found.used_at if kind == "state" else found.json_used_at) is not None:
        raise _used()
    return found


def _expired() -> Refused:
    return Refused(
        "this address no longer holds", code="upload-expired", hint="iac.upload_minutes says how long; run it again"
    )


def _used() -> Refused:
    return Refused(
        "this address was used already: it takes one upload",
        code="upload-used",
        hint="if the answer of the first was lost, look at the state: it may be there",
    )


def take_state(kernel: Kernel, upload: Upload, data: bytes) -> Version:
    """Keeps the state that was sent. Raises what ``state_write.write`` raises, ``Refused`` for a second one."""
    u, p = tables.uploads, world.principals
    with kernel.db.read() as connection:
        state = state_store.by_id(connection, upload.state)
        disabled = connection.execute(sa.select(p.c.disabled).where(p.c.ref == upload.principal)).scalar_one_or_none()
    if disabled:
        raise Refused(f"{upload.principal} is disabled", code="principal-disabled", hint="ask an admin")
    wanted = state_write.Wanted(
        id=upload.id,
        namespace=state.namespace,
        name=state.name,
        via="cloud",
        lock_id=upload.lock_id,
        md5=upload.md5,
        serial=upload.serial,
        lineage=upload.lineage,
        force=upload.force,
    )

    def once(connection: sa.Connection) -> None:
        free = sa.and_(u.c.id == upload.id, u.c.used_at.is_(None), u.c.expires_at > codec.now())
        if connection.execute(u.update().where(free).values(used_at=codec.now())).rowcount != 1:
            raise _used()

    try:
        return state_write.write(kernel, _principal_of(upload), wanted, data, within=once)
    except (BadInput, Conflict) as error:
        _refuse(kernel, upload, error)
        raise


def take_json(kernel: Kernel, upload: Upload, data: bytes) -> None:
    """Keeps the state in Terraform's output format. Raises ``BadInput`` for what is no JSON."""
    u = tables.uploads
    try:
        msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        raise BadInput("this is no state in JSON", code="state-json", place=upload.id) from None
    sealed = state_crypt.seal(state_crypt.keys(kernel), data)
    with kernel.db.write() as connection:
        free = sa.and_(u.c.id == upload.id, u.c.json_used_at.is_(None), u.c.expires_at > codec.now())
        values = {"json_used_at": codec.now(), "json_blob": sealed.id}
        if connection.execute(u.update().where(free).values(values)).rowcount != 1:
            raise _used()
        state_crypt.store(connection, sealed)


def _refuse(kernel: Kernel, upload: Upload, error: UwuError) -> None:
    """An address that brought what is refused is used up: the next try is announced anew."""
    u = tables.uploads
    told = f"{error.problem.message} [{error.problem.code}]"
    with kernel.db.write() as connection:
        connection.execute(
            u.update().where(u.c.id == upload.id, u.c.used_at.is_(None)).values(used_at=codec.now(), refused=told)
        )


def _principal_of(upload: Upload) -> Principal:
    """Who writes by an upload: the one who asked for it. What it may was decided then; this carries the name."""
    return Principal(ref=upload.principal, name=upload.principal, kind="service", scopes=(), via="token")


def sent_in_json(connection: sa.Connection, id: str) -> str:
    """The blob of a version in Terraform's output format; empty where its client sent none."""
    u = tables.uploads
    found = connection.execute(sa.select(u.c.json_blob).where(u.c.id == id)).scalar_one_or_none()
    return found or ""
