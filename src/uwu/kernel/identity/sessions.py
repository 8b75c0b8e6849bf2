"""Sessions of browsers: a cookie's secret of which only the SHA-256 is kept, with an idle and an absolute limit."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from uwu.kernel import audit, codec, tables
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import NotFound
from uwu.kernel.identity import secret
from uwu.kernel.identity.model import Principal
from uwu.kernel.runtime import Kernel

AGENT_CHARACTERS = 200


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session without its secret."""

    id: str
    principal: str
    via: str
    """``oidc`` or ``token``: how it was signed in."""
    token: str | None
    """The token that was shown; the session ends with it."""
    created_at: datetime
    seen_at: datetime
    """To the minute."""
    expires_at: datetime
    agent: str
    """The browser's own name."""


def begin(
    kernel: Kernel, principal: str, *, via: str, agent: str = "", token: str | None = None, replaces: str = ""
) -> str:
    """Begins a session and gives the cookie's secret: always a new one, so that none can be planted beforehand.

    ``replaces`` is the session that the browser showed, which ends. ``token`` is the id of the token that was shown.
    """
    now = codec.now()
    until = now + timedelta(days=kernel.settings.access.session_days)
    id, text = codec.new_id("s"), secret.opaque()
    s, t = tables.sessions, tables.tokens
    with kernel.db.write() as connection:
        if token is not None:
            ends = connection.execute(sa.select(t.c.expires_at).where(t.c.id == token)).scalar()
            until = min(until, ends) if ends is not None else until
        if replaces:
            connection.execute(s.delete().where(s.c.id == replaces))
        connection.execute(
            s.insert().values(
                id=id,
                hash=secret.hashed(text),
                principal=principal,
                via=via,
                token=token,
                created_at=now,
                seen_at=now,
                expires_at=until,
                agent=_plain(agent),
            )
        )
        audit.append(connection, actor=principal, action="session.begin", subject=id, detail={"via": via})
    kernel.identities.forget()
    return text


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:AGENT_CHARACTERS]


def rotate(kernel: Kernel, id: str) -> str:
    """A new secret for the session ``id``; the old one is worth nothing from now on. Raises ``NotFound``."""
    s = tables.sessions
    text = secret.opaque()
    with kernel.db.write() as connection:
        held = find(connection, id)
        connection.execute(s.update().where(s.c.id == id).values(hash=secret.hashed(text)))
        audit.append(connection, actor=held.principal, action="session.rotate", subject=id)
    kernel.identities.forget()
    return text


def find(connection: sa.Connection, id: str) -> Session:
    """The session ``s_...``. Raises ``NotFound``."""
    s = tables.sessions
    row = connection.execute(sa.select(*columns(s, Session)).where(s.c.id == id)).first()
    if row is None:
        raise NotFound(f"there is no session {id[:80]}", hint="it has ended")
    return to_struct(Session, row)


def listed(kernel: Kernel, connection: sa.Connection, *, principal: str = "", limit: int = 500) -> list[Session]:
    """Sessions that live, the one that was seen last first; of one principal where it is given."""
    s = tables.sessions
    now = codec.now()
    idle = now - timedelta(hours=kernel.settings.access.session_idle_hours)
    query = sa.select(*columns(s, Session)).where(s.c.expires_at > now, s.c.seen_at > idle)
    if principal:
        query = query.where(s.c.principal == principal)
    rows = connection.execute(query.order_by(s.c.seen_at.desc(), s.c.id.desc()).limit(limit))
    return [to_struct(Session, row) for row in rows]


def end(kernel: Kernel, actor: Principal, id: str) -> Session:
    """Ends the session ``id``. Raises ``NotFound``."""
    s = tables.sessions
    with kernel.db.write() as connection:
        held = find(connection, id)
        connection.execute(s.delete().where(s.c.id == id))
        audit.append(
            connection, actor=actor.ref, action="session.end", subject=id, detail={"principal": held.principal}
        )
    kernel.identities.forget()
    return held


def end_all(kernel: Kernel, actor: Principal, principal: str) -> int:
    """Ends every session of ``principal``, the one that asks included, and gives how many."""
    s = tables.sessions
    with kernel.db.write() as connection:
        ended = connection.execute(s.delete().where(s.c.principal == principal)).rowcount
        detail = {"sessions": ended}
        audit.append(connection, actor=actor.ref, action="session.end-all", subject=principal, detail=detail)
    kernel.identities.forget()
    return ended
