"""From a secret to the principal that shows it. Held by its hash for a few seconds, so that most requests ask nothing.

What ends a credential forgets all that this process holds; another process holds on for ``HOLD_SECONDS`` at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from uwu.kernel import codec, tables
from uwu.kernel.errors import Denied, UwuError
from uwu.kernel.identity import secret
from uwu.kernel.identity.model import Principal
from uwu.kernel.identity.principals import closure, roles_of

if TYPE_CHECKING:
    from uwu.kernel.runtime import Kernel

HOLD_SECONDS = 5.0
"""How long a principal is held: for so long a revocation by another process, or a new group, is not seen here."""
HELD = 10_000
"""Credentials held at once; those that were not shown for longest are read again."""
SEEN_EVERY = timedelta(minutes=1)
"""Last use is written at most so often: a write for each request would make readers wait."""

Shown = Literal["token", "session"]

_log = logging.getLogger("uwu.identity")


class Unauthenticated(Denied):
    """What was shown proves nothing: unknown, expired, revoked, or of a principal that is disabled."""

    code, status = "token-unknown", 401


def _who(now: datetime) -> tuple[Any, ...]:
    """The columns that tell a principal, and the break-glass that it holds at ``now``."""
    p, b = tables.principals, tables.break_glass
    held = sa.and_(b.c.principal == p.c.ref, b.c.ended_at.is_(None), b.c.expires_at > now)
    last = sa.select(b.c.id).where(held).order_by(b.c.expires_at.desc(), b.c.id).limit(1)
    ends = sa.select(sa.func.max(b.c.expires_at, type_=b.c.expires_at.type)).where(held)
    return (
        p.c.ref,
        p.c.kind,
        p.c.name,
        p.c.groups,
        p.c.roles,
        p.c.disabled,
        last.correlate(p).scalar_subquery().label("glass"),
        ends.correlate(p).scalar_subquery().label("glass_ends"),
    )


class _Held(msgspec.Struct, frozen=True):
    principal: Principal
    ends: datetime | None
    """When the credential itself ends."""
    until: float
    """By the monotonic clock: when it is read again."""


class Identities:
    """The principals that this process knows by their secrets. Threads may share it."""

    def __init__(self, kernel: Kernel, clock: Callable[[], float] = time.monotonic) -> None:
        self._kernel = kernel
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._generation = 0

    def forget(self) -> None:
        """Everything is read again: called after whatever changes who somebody is or what they show."""
        with self._lock:
            self._held.clear()
            self._generation += 1

    def known(self, shown: Shown, text: str) -> Principal | None:
        """Who shows ``text`` as a token or as a session, where that is held: it asks the database nothing."""
        key = (shown, secret.hashed(text))
        with self._lock:
            held = self._held.get(key)
            if held is None or held.until < self._clock() or (held.ends is not None and held.ends <= codec.now()):
                return None
            self._held.move_to_end(key)
            return held.principal

    def of_token(self, text: str) -> Principal:
        """Who shows this token. Raises ``Unauthenticated`` (401) with the reason."""
        held = self.known("token", text)
        if held is not None:
            return held
        if not secret.is_token(text):
            raise Unauthenticated(
                "this is no token of uwu", hint="uwu token create makes one; unset UWU_TOKEN to go without"
            )
        generation, now = self._generation, codec.now()
        t, p = tables.tokens, tables.principals
        query = (
            sa.select(t.c.id, t.c.scopes, t.c.expires_at, t.c.revoked_at, t.c.used_at.label("seen_at"), *_who(now))
            .join(p, p.c.ref == t.c.principal)
            .where(t.c.hash == secret.hashed(text))
        )
        with self._kernel.db.read() as connection:
            row = connection.execute(query).first()
            if row is None:
                raise Unauthenticated("the token is not known", hint="uwu login, or ask for a new one")
            if row.revoked_at is not None:
                raise Unauthenticated("the token was revoked", code="token-revoked", hint="uwu login makes a new one")
            if row.expires_at is not None and row.expires_at <= now:
                raise Unauthenticated("the token has expired", code="token-expired", hint="uwu login makes a new one")
            if row.disabled:
                raise Unauthenticated(f"{row.ref} is disabled", code="principal-disabled", hint="ask an admin")
            found = self._principal(connection, row, "token", tuple(row.scopes))
        self._hold(found, text, row.expires_at, row.glass_ends, generation)
        minute = now.replace(second=0, microsecond=0)
        if row.seen_at is None or row.seen_at < minute:
            self._touch(tables.tokens, tables.tokens.c.used_at, row.id, minute)
        return found

    def of_session(self, text: str) -> Principal | None:
        """Who shows this session's secret; None for one that is not known or has ended."""
        held = self.known("session", text)
        if held is not None:
            return held
        generation, now = self._generation, codec.now()
        s, t, p = tables.sessions, tables.tokens, tables.principals
        shown = (t.c.scopes, t.c.expires_at.label("token_expires_at"), t.c.revoked_at)
        query = (
            sa.select(s.c.id, s.c.token, s.c.seen_at, s.c.expires_at, *shown, *_who(now))
            .join(p, p.c.ref == s.c.principal)
            .outerjoin(t, t.c.id == s.c.token)
            .where(s.c.hash == secret.hashed(text))
        )
        idle = timedelta(hours=self._kernel.settings.access.session_idle_hours)
        with self._kernel.db.read() as connection:
            row = connection.execute(query).first()
            if row is None or row.disabled or row.expires_at <= now or row.seen_at + idle <= now:
                return None
            ends = min(row.expires_at, row.seen_at + idle)
            if row.token is not None:
                if row.scopes is None or row.revoked_at is not None:
                    return None
                if row.token_expires_at is not None and row.token_expires_at <= now:
                    return None
            scopes = ("*",) if row.token is None else tuple(row.scopes)
            found = self._principal(connection, row, "session", scopes)
        self._hold(found, text, ends, row.glass_ends, generation)
        if row.seen_at + SEEN_EVERY <= now:
            self._touch(s, s.c.seen_at, row.id, now.replace(second=0, microsecond=0))
        return found

    def _principal(self, connection: sa.Connection, row: Any, via: Shown, scopes: tuple[str, ...]) -> Principal:
        groups = closure(connection, row.ref, row.groups)
        return Principal(
            ref=row.ref,
            name=row.name,
            kind="service" if row.kind == "service" else "human",
            groups=groups,
            roles=roles_of(self._kernel.settings.access, row.ref, groups, row.roles),
            scopes=scopes,
            via=via,
            credential=row.id,
            break_glass=row.glass or "",
        )

    def _hold(
        self, principal: Principal, text: str, ends: datetime | None, glass_ends: datetime | None, generation: int
    ) -> None:
        first = min((end for end in (ends, glass_ends) if end is not None), default=None)
        with self._lock:
            if generation != self._generation:
                return  # something was revoked while it was read: what was read may be it
            key = (principal.via, secret.hashed(text))
            self._held[key] = _Held(principal, first, self._clock() + HOLD_SECONDS)
            self._held.move_to_end(key)
            if len(self._held) > HELD:
                self._held.popitem(last=False)

    def _touch(self, table: sa.Table, column: sa.Column[Any], id: str, minute: datetime) -> None:
        """Writes the last use, unless another process has; that it cannot be written keeps nobody out."""
        earlier = sa.or_(column.is_(None), column < minute)
        try:
            with self._kernel.db.write() as connection:
                connection.execute(table.update().where(table.c.id == id, earlier).values({column: minute}))
        except (UwuError, SQLAlchemyError):
            _log.warning("the last use of %s could not be written", id)
