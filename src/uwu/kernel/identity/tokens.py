"""API tokens: shown once, kept as their SHA-256, limited in scope and time, revocable."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from uwu.kernel import actions, audit, codec, tables
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import principals, secret
from uwu.kernel.identity.model import Principal
from uwu.kernel.runtime import Kernel

NAME_CHARACTERS = 80
EACH = 100
"""Living tokens of one principal: more are a leak, not a need."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret."""

    id: str
    principal: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    used_at: datetime | None
    """When it was last shown, to the minute."""
    revoked_at: datetime | None


def create(
    kernel: Kernel,
    maker: Principal,
    *,
    name: str,
    principal: str = "",
    scopes: Sequence[str] = ("*",),
    days: int | None = None,
) -> tuple[Token, str]:
    """Makes a token of ``principal`` (the maker's own where none is given) and gives it with its text, once.

    It is never wider than what its maker shows. Raises ``BadInput`` for scopes or days that may not be.
    """
    ref = principal or maker.ref
    plain = " ".join(name.split())
    if not plain or len(plain) > NAME_CHARACTERS:
        raise BadInput(f"a token's name has 1 to {NAME_CHARACTERS} characters", code="token-name", place="name")
    wanted = checked_scopes(kernel, maker, scopes)
    access = kernel.settings.access
    days = min(access.token_days, access.token_max_days) if days is None else days
    if not 1 <= days <= access.token_max_days:
        raise BadInput(
            f"a token lives for 1 to {access.token_max_days} days",
            code="token-days",
            place="days",
            hint="access.token_max_days is the limit",
        )
    if maker.kind == "local" and ref == maker.ref:
        raise BadInput(
            "whoever holds the home needs no token of their own",
            code="token-for-whom",
            place="principal",
            hint="uwu token create NAME --for service:default/deployer, or sign in first: uwu login",
        )
    t = tables.tokens
    now = codec.now()
    id = codec.new_id("t")
    text = secret.token(id)
    with kernel.db.write() as connection:
        if principals.find(connection, ref).disabled:
            raise Conflict(f"{ref} is disabled", code="principal-disabled", hint=f"uwu access enable {ref}")
        living = sa.and_(t.c.principal == ref, t.c.revoked_at.is_(None), t.c.expires_at > now)
        if connection.execute(sa.select(sa.func.count()).select_from(t).where(living)).scalar_one() >= EACH:
            raise Conflict(f"{ref} has {EACH} tokens already", code="tokens-many", hint="revoke those that rest")
        connection.execute(
            t.insert().values(
                id=id,
                hash=secret.hashed(text),
                principal=ref,
                name=plain,
                scopes=list(wanted),
                created_at=now,
                created_by=maker.ref,
                expires_at=now + timedelta(days=days),
            )
        )
        detail = {"principal": ref, "name": plain, "scopes": wanted, "days": days}
        audit.append(connection, actor=maker.ref, action="token.create", subject=id, detail=detail)
        return find(connection, id), text


def checked_scopes(kernel: Kernel, maker: Principal, scopes: Sequence[str]) -> tuple[str, ...]:
    """``scopes`` without repeats. Raises ``BadInput`` for one that is none, or that the maker's own do not cover."""
    known = actions.known(kernel.domains)
    groups = {group for group in actions.GROUPS if group != "open"}
    wanted = tuple(sorted(set(scopes)))
    if not wanted:
        raise BadInput("a token without a scope can do nothing", code="token-scope", place="scopes", hint="* for all")
    for scope in wanted:
        if scope != "*" and scope not in groups and scope not in known:
            raise BadInput(
                f"there is no scope {scope[:80]!r}",
                code="token-scope",
                place="scopes",
                hint=f"an action such as plans.read, or one of: *, {', '.join(sorted(groups))}",
            )
        covering = {"*", scope, known[scope].group if scope in known else scope}
        if covering.isdisjoint(maker.scopes):
            raise BadInput(
                f"the scope {scope} is wider than your own",
                code="token-wider",
                place="scopes",
                hint=f"yours: {', '.join(maker.scopes)}",
            )
    return ("*",) if "*" in wanted else wanted


def find(connection: sa.Connection, id: str) -> Token:
    """The token ``t_...``. Raises ``NotFound``."""
    t = tables.tokens
    row = connection.execute(sa.select(*columns(t, Token)).where(t.c.id == id)).first()
    if row is None:
        raise NotFound(f"there is no token {id[:80]}", hint="uwu token list")
    return to_struct(Token, row)


def listed(connection: sa.Connection, *, principal: str = "", limit: int = 500) -> list[Token]:
    """Tokens, the newest first; of one principal where it is given."""
    t = tables.tokens
    query = sa.select(*columns(t, Token)).order_by(t.c.id.desc()).limit(limit)
    if principal:
        query = query.where(t.c.principal == principal)
    return [to_struct(Token, row) for row in connection.execute(query)]


def revoke(kernel: Kernel, actor: Principal, id: str) -> Token:
    """Revokes a token and ends the sessions that it began. In other processes it holds for a few seconds more."""
    t, s = tables.tokens, tables.sessions
    with kernel.db.write() as connection:
        held = find(connection, id)
        if held.revoked_at is None:
            connection.execute(t.update().where(t.c.id == id).values(revoked_at=codec.now()))
            connection.execute(s.delete().where(s.c.token == id))
            detail = {"principal": held.principal, "name": held.name}
            audit.append(connection, actor=actor.ref, action="token.revoke", subject=id, detail=detail)
        found = find(connection, id)
    kernel.identities.forget()
    return found
