"""Sign-ins that have begun and not ended: an OpenID provider's way back, a device that waits for a person (RFC 8628).

Each is used once and lives for ten minutes. No secret is kept: rows are found by the SHA-256 of their state or code.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from uwu.kernel import audit, codec, tables
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.identity import secret, tokens
from uwu.kernel.identity.model import Principal
from uwu.kernel.identity.tokens import Token
from uwu.kernel.runtime import Kernel

LIVES = timedelta(minutes=10)
POLL_SECONDS = 3
"""What a device is told to wait between two questions."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device that asks to be signed in."""

    device_code: str
    """Its secret: shown to it alone."""
    user_code: str
    expires_in: int
    interval: int


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What the person is asked to let in."""

    user_code: str
    client: str
    """What the device calls itself."""
    address: str
    """Where it asked from."""


class Pending(BadInput):
    """Nobody has decided yet."""

    code = "authorization-pending"


# ---- an OpenID provider's way back


def begin(kernel: Kernel, state: str, browser: str, detail: Mapping[str, Any]) -> None:
    """Remembers ``state`` with ``detail``, which holds no secret, for the browser that keeps ``browser``.
    What has expired goes.
    """
    g = tables.sign_ins
    now = codec.now()
    with kernel.db.write() as connection:
        connection.execute(g.delete().where(g.c.expires_at < now))
        connection.execute(
            g.insert().values(**_row(secret.hashed(state), "oidc", None, {**detail, "browser": secret.hashed(browser)}))
        )


def _row(key: str, kind: str, code: str | None, detail: Mapping[str, Any]) -> dict[str, Any]:
    now = codec.now()
    return {
        "key": key,
        "kind": kind,
        "code": code,
        "detail": dict(detail),
        "created_at": now,
        "expires_at": now + LIVES,
    }


def take(kernel: Kernel, state: str, browser: str) -> dict[str, Any]:
    """What was remembered with ``state``, once, for the browser that began it: ``browser`` is its secret.

    Raises ``BadInput`` for a state that is unknown, used, too old or another browser's, which uses it up for nobody.
    """
    g = tables.sign_ins
    now = codec.now()
    key = sa.and_(g.c.key == secret.hashed(state), g.c.kind == "oidc")
    with kernel.db.write() as connection:
        row = connection.execute(sa.select(g.c.detail, g.c.expires_at, g.c.used_at).where(key)).first()
        if row is not None and not hmac.compare_digest(str(row.detail["browser"]), secret.hashed(browser)):
            raise BadInput(
                "this sign-in was begun in another browser", code="sign-in-elsewhere", hint="begin it anew, in this one"
            )
        taken = connection.execute(g.update().where(key, g.c.used_at.is_(None)).values(used_at=now)).rowcount
    if row is None or row.expires_at <= now:
        raise BadInput(
            "this sign-in is not known, or took longer than ten minutes", code="sign-in-unknown", hint="begin it anew"
        )
    if not taken:
        raise BadInput("this sign-in was used already", code="sign-in-used", hint="begin it anew")
    return dict(row.detail)


# ---- a device that waits for a person


def ask(kernel: Kernel, *, client: str, address: str) -> Device:
    """Begins the sign-in of a device (RFC 8628, 3.1)."""
    g = tables.sign_ins
    device, user = secret.opaque(), secret.user_code()
    detail = {"client": _plain(client), "address": address}
    with kernel.db.write() as connection:
        connection.execute(g.delete().where(g.c.expires_at < codec.now()))
        connection.execute(g.insert().values(**_row(secret.hashed(device), "device", user, detail)))
    return Device(device_code=device, user_code=user, expires_in=int(LIVES.total_seconds()), interval=POLL_SECONDS)


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:80] or "a device"


def waiting(connection: sa.Connection, user_code: str) -> Waiting:
    """The device that shows this code. Raises ``NotFound`` where none waits."""
    g = tables.sign_ins
    code = secret.as_user_code(user_code)
    row = connection.execute(
        sa.select(g.c.detail).where(
            g.c.code == code,
            g.c.kind == "device",
            g.c.expires_at > codec.now(),
            g.c.used_at.is_(None),
            g.c.principal.is_(None),
        )
    ).first()
    if row is None or not code:
        raise NotFound("no device waits with this code", code="device-unknown", hint="uwu login shows a new one")
    return Waiting(user_code=code, client=str(row.detail["client"]), address=str(row.detail["address"]))


def decide(kernel: Kernel, principal: Principal, user_code: str, decision: Literal["allow", "deny"]) -> Waiting:
    """Lets the device in as ``principal``, with no more than that one shows; or turns it away. Once.

    Raises ``NotFound`` where no device waits with this code.
    """
    g = tables.sign_ins
    now = codec.now()
    with kernel.db.write() as connection:
        found = waiting(connection, user_code)
        detail = {"client": found.client, "address": found.address}
        values: dict[str, Any] = {"principal": principal.ref, "detail": {**detail, "scopes": list(principal.scopes)}}
        if decision == "deny":
            values["used_at"] = now
        connection.execute(g.update().where(g.c.code == found.user_code).values(**values))
        audit.append(connection, actor=principal.ref, action=f"device.{decision}", subject=principal.ref, detail=detail)
    return found


def collect(kernel: Kernel, device_code: str) -> tuple[Token, str]:
    """The token of a device that was let in, once (RFC 8628, 3.4).

    Raises ``Pending`` while nobody has decided, ``BadInput`` (``access-denied``, ``expired-token``) where it is over.
    """
    g = tables.sign_ins
    now = codec.now()
    key = sa.and_(g.c.key == secret.hashed(device_code), g.c.kind == "device")
    with kernel.db.write() as connection:
        row = connection.execute(sa.select(g).where(key)).first()
        if row is None or row.expires_at <= now:
            raise BadInput("the code is not known, or has expired", code="expired-token", hint="uwu login, once more")
        if row.principal is None:
            raise Pending("nobody has confirmed it yet", hint="open the address in a browser and compare the code")
        if row.used_at is not None:
            raise BadInput("it was turned away, or collected already", code="access-denied", hint="uwu login")
        connection.execute(g.update().where(key).values(used_at=now))
    ref, detail = row.principal, row.detail
    maker = Principal(ref=ref, name=ref, kind="human", scopes=tuple(detail["scopes"]), via="token")
    return tokens.create(kernel, maker, name=f"uwu login, {detail['client']}"[:80], scopes=detail["scopes"])
