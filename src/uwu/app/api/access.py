"""Who asks: oneself, tokens, sessions, devices that sign in, and for admins everyone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from uwu.app import identify
from uwu.kernel import authorize
from uwu.kernel.errors import Denied
from uwu.kernel.identity import Principal, principals, sessions, sign_ins, tokens
from uwu.kernel.identity.principals import Record
from uwu.kernel.identity.sessions import Session
from uwu.kernel.identity.tokens import Token
from uwu.kernel.runtime import Kernel

OPEN = {"action": "session.sign-in"}
SEE = {"action": "self.read"}
CHANGE = {"action": "self.change"}
READ = {"action": "access.read"}
MANAGE = {"action": "access.manage"}

NO_STORE = {"Cache-Control": "no-store"}
"""Of every answer that shows a secret: it is shown once, and kept by nobody on the way."""

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Ref = Annotated[str, Meta(min_length=3, max_length=200, pattern="^(user|service):")]


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the server sees it."""

    ref: str
    name: str
    kind: str
    groups: tuple[str, ...]
    """With their parents."""
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    """What the token is limited to."""
    via: str
    """``session``, ``token`` or ``home``."""
    credential: str
    """The id of the session or the token."""
    break_glass: str
    expires_at: datetime | None
    """When the session or the token ends."""


class TokenWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A token that is asked for."""

    name: Name
    """For people: what it is for."""
    principal: str = ""
    """Whose it is: empty for one's own; a service account's or another's takes an admin."""
    scopes: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=100)] = ("*",)
    """Actions, or groups of actions such as ``read``."""
    days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    """How long it lives; ``access.token_days`` where nothing is said."""


class TokenMade(msgspec.Struct, frozen=True, kw_only=True):
    """A token and its text, which is shown this once."""

    token: Token
    secret: str


class ServiceWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A service account that is asked for."""

    name: Name
    groups: Annotated[tuple[Name, ...], Meta(max_length=100)] = ()


class Whom(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The principal that is meant."""

    principal: Ref


class DeviceWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device that wants to be signed in."""

    client: Annotated[str, Meta(max_length=200)] = ""
    """What it calls itself, for the person who lets it in: ``uwu on build-7``."""


class DeviceAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What a device shows to the person, and asks again with (RFC 8628, 3.2)."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    """Seconds."""
    interval: int
    """Seconds between two questions."""


class DeviceCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device that asks whether it was let in."""

    device_code: Annotated[str, Meta(min_length=1, max_length=200)]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How many sessions have ended."""

    sessions: int


class BootstrapWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first admin's token."""

    again: bool = False
    """A new one in the place of the old."""


class BootstrapMade(msgspec.Struct, frozen=True, kw_only=True):
    """The first admin's token, shown this once."""

    principal: str
    secret: str


# ---- oneself


@get("/whoami", sync_to_thread=True, opt=SEE)
def whoami(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal]) -> Me:
    """Who asks: the reference, the groups, the roles, by what proof and until when."""
    expires_at: datetime | None = None
    with kernel.db.read() as connection:
        if principal.via == "token":
            expires_at = tokens.find(connection, principal.credential).expires_at
        elif principal.via == "session":
            expires_at = sessions.find(connection, principal.credential).expires_at
    return Me(**msgspec.structs.asdict(principal), expires_at=expires_at)


@get("/tokens", sync_to_thread=True, opt=SEE)
def list_tokens(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], of: FromQuery[str] = ""
) -> list[Token]:
    """One's own tokens, the newest first; ``of``: another's, or ``*`` for everyone's, for admins."""
    whose = _of(kernel, principal, of)
    with kernel.db.read() as connection:
        return tokens.listed(connection, principal=whose)


@post("/tokens", sync_to_thread=True, opt=CHANGE, status_code=201)
def create_token(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[TokenWanted]
) -> Response[TokenMade]:
    """Makes a token and shows it, this once. It is never wider than what its maker shows."""
    if data.principal and data.principal != principal.ref:
        authorize.require(kernel, principal, "access.manage")
    made, text = tokens.create(
        kernel, principal, name=data.name, principal=data.principal, scopes=data.scopes, days=data.days
    )
    return Response(TokenMade(token=made, secret=text), status_code=201, headers=NO_STORE)


@post("/tokens/{id:str}/revoke", sync_to_thread=True, opt=CHANGE, status_code=200)
def revoke_token(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], id: FromPath[str]) -> Token:
    """Revokes a token: one's own, for admins anyone's. The sessions that it began end too."""
    with kernel.db.read() as connection:
        of = tokens.find(connection, id).principal
    if of != principal.ref:
        authorize.require(kernel, principal, "access.manage")
    return tokens.revoke(kernel, principal, id)


@get("/sessions", sync_to_thread=True, opt=SEE)
def list_sessions(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], of: FromQuery[str] = ""
) -> list[Session]:
    """One's own sessions; ``of``: another's, or ``*`` for everyone's, for admins."""
    whose = _of(kernel, principal, of)
    with kernel.db.read() as connection:
        return sessions.listed(kernel, connection, principal=whose)


@post("/sessions/{id:str}/end", sync_to_thread=True, opt=CHANGE, status_code=200)
def end_session(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], id: FromPath[str]) -> Session:
    """Ends a session: one's own, for admins anyone's."""
    with kernel.db.read() as connection:
        of = sessions.find(connection, id).principal
    if of != principal.ref:
        authorize.require(kernel, principal, "access.manage")
    return sessions.end(kernel, principal, id)


@post("/sessions/end-all", sync_to_thread=True, opt=CHANGE, status_code=200)
def end_sessions(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal]) -> Ended:
    """Signs oneself out everywhere: every session ends, this one too. Tokens stay; they are revoked one by one."""
    return Ended(sessions=sessions.end_all(kernel, principal, principal.ref))


def _of(kernel: Kernel, who: Principal, asked: str) -> str:
    """Whose things are asked for: one's own where nothing is said, all (empty) for ``*``."""
    if asked in {"", who.ref}:
        return who.ref
    authorize.require(kernel, who, "access.read")
    return "" if asked == "*" else asked


# ---- a device that signs in (RFC 8628)


@post("/device", sync_to_thread=True, opt=OPEN, status_code=200)
def ask_device(
    request: Request[Any, Any, Any], kernel: NamedDependency[Kernel], data: JSONBody[DeviceWanted]
) -> Response[DeviceAsked]:
    """Begins the sign-in of a device without a browser: it shows a code, a person lets it in, it asks for its token."""
    scope: Any = request.scope
    client = scope.get("client")
    asked = sign_ins.ask(kernel, client=data.client, address=client[0] if client else "")
    page = identify.base_url(scope, kernel.settings) + "/device"
    told = DeviceAsked(
        **msgspec.structs.asdict(asked),
        verification_uri=page,
        verification_uri_complete=f"{page}?code={asked.user_code}",
    )
    return Response(told, status_code=200, headers=NO_STORE)


@post("/device/token", sync_to_thread=True, opt=OPEN, status_code=200)
def collect_device_token(kernel: NamedDependency[Kernel], data: JSONBody[DeviceCode]) -> Response[TokenMade]:
    """The token of a device that was let in, once. 400 ``authorization-pending`` while nobody has decided,
    ``access-denied`` or ``expired-token`` where it is over."""
    made, text = sign_ins.collect(kernel, data.device_code)
    return Response(TokenMade(token=made, secret=text), status_code=200, headers=NO_STORE)


# ---- everyone, for admins


@get("/principals", sync_to_thread=True, opt=READ)
def list_principals(
    kernel: NamedDependency[Kernel], limit: FromQuery[int] = 100, after: FromQuery[str] = ""
) -> list[Record]:
    """Who has signed in, service accounts and the bootstrap admin, by reference; ``after`` is the last one seen."""
    with kernel.db.read() as connection:
        return principals.listed(connection, limit=limit, after=after)


@post("/services", sync_to_thread=True, opt=MANAGE, status_code=201)
def create_service(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[ServiceWanted]
) -> Record:
    """Makes a service account. It can do nothing before it has a token."""
    return principals.create_service(kernel, principal, data.name, data.groups)


@post("/principals/disable", sync_to_thread=True, opt=MANAGE, status_code=200)
def disable_principal(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Whom]
) -> Record:
    """Disables a person or a service account: its sessions end, its tokens prove nothing until it is enabled."""
    return principals.set_disabled(kernel, principal, data.principal, True)


@post("/principals/enable", sync_to_thread=True, opt=MANAGE, status_code=200)
def enable_principal(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Whom]
) -> Record:
    """Enables who was disabled."""
    return principals.set_disabled(kernel, principal, data.principal, False)


@post("/principals/unlink", sync_to_thread=True, opt=MANAGE, status_code=200)
def unlink_principal(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Whom]
) -> Record:
    """Frees a person's name from the subject at the provider: the next who signs in under it becomes that person.
    Sessions end and tokens are revoked."""
    return principals.unlink(kernel, principal, data.principal)


@post("/access/bootstrap", sync_to_thread=True, opt=MANAGE, status_code=201)
def bootstrap_admin(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[BootstrapWanted]
) -> Response[BootstrapMade]:
    """Makes the first admin and shows its token, this once; only for whoever holds the home itself."""
    if principal.via != "home":
        raise Denied(
            "only whoever holds the home makes the bootstrap admin",
            code="not-the-home",
            hint="uwu access bootstrap, on the machine where the home lies",
        )
    text = principals.bootstrap(kernel, principal, again=data.again)
    made = BootstrapMade(principal=principals.BOOTSTRAP, secret=text)
    return Response(made, status_code=201, headers=NO_STORE)


HANDLERS: list[Any] = [
    whoami,
    list_tokens,
    create_token,
    revoke_token,
    list_sessions,
    end_session,
    end_sessions,
    ask_device,
    collect_device_token,
    list_principals,
    create_service,
    disable_principal,
    enable_principal,
    unlink_principal,
    bootstrap_admin,
]
