"""Commands about who asks: login, logout, whoami, tokens, service accounts, sessions."""

from __future__ import annotations

import os
import socket
import time
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.app.cli.session import Session
from uwu.kernel import codec
from uwu.kernel.domain import Answer
from uwu.kernel.errors import BadInput, NotFound, UwuError

Here = Annotated[Session, Parameter(parse=False)]

PENDING, LIMITED = "authorization-pending", "rate-limited"
SLOWER_SECONDS = 5
"""How much longer a device waits once it was told to ask less often (RFC 8628, 3.5)."""


# ---- oneself


def login(url: str | None = None, *, session: Here) -> Answer:
    """Sign in to a server in a browser, here or on another machine; the token is kept for it.

    Parameters
    ----------
    url
        The server, https://uwu.example.com; by default $UWU_URL.
    """
    from uwu.app import credentials
    from uwu.app.client import ApiClient, Remote

    address = url or os.environ.get("UWU_URL", "")
    if not address:
        raise BadInput(
            "login needs the address of a server",
            code="url-missing",
            hint="uwu login https://uwu.example.com; on the machine of the home itself nothing needs to be signed in",
        )
    client = ApiClient(Remote(address))
    asked = client.post("/device", {"client": f"uwu on {socket.gethostname()}"})
    session.err.print(Text.assemble("Open ", (asked["verification_uri_complete"], "bold")))
    session.err.print(Text.assemble("and let this device in; the code is ", (asked["user_code"], "bold")))
    made = _poll(client, asked)
    token = made["token"]
    expires_at = codec.parse_time(token["expires_at"]) if token["expires_at"] else None
    held = credentials.Credential(
        token=made["secret"], id=token["id"], principal=token["principal"], expires_at=expires_at
    )
    credentials.keep(session.home, address, held)
    lines = [f"signed in as {token['principal']}"]
    if os.environ.get("UWU_URL", "") != address:
        lines.append(f"commands go there with UWU_URL={address}")
    return Answer(
        {"url": address, "principal": token["principal"], "expires_at": token["expires_at"]}, "\n".join(lines)
    )


def _poll(client: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """The token, once a person has let the device in. Raises where it was turned away or took too long."""
    pause, ends = asked["interval"], time.monotonic() + asked["expires_in"]
    while time.monotonic() < ends:
        time.sleep(pause)
        try:
            return client.post("/device/token", {"device_code": asked["device_code"]})
        except UwuError as error:
            if error.problem.code == LIMITED:
                pause += SLOWER_SECONDS
            elif error.problem.code != PENDING:
                raise
    raise BadInput("nobody let this device in within its time", code="expired-token", hint="uwu login, once more")


def logout(url: str | None = None, *, session: Here) -> Answer:
    """Revoke the token that login kept for a server, and forget it.

    Parameters
    ----------
    url
        The server; by default $UWU_URL.
    """
    from uwu.app import credentials
    from uwu.app.client import ApiClient, Remote

    address = url or os.environ.get("UWU_URL", "")
    held = credentials.read(session.home).get(credentials.origin(address))
    if held is None:
        raise NotFound(f"no token is kept for {address or 'a server'}", code="not-signed-in", hint="uwu login")
    told = "revoked and forgotten"
    try:
        ApiClient(Remote(address, held.token)).post(f"/tokens/{held.id}/revoke")
    except UwuError as error:
        if error.status != 401 and error.exit_code != 5:
            raise  # the server does not answer: the token still proves something, so it is not forgotten
        told = "forgotten; it proved nothing any more"
    credentials.keep(session.home, address, None)
    return Answer({"url": address, "token": held.id}, f"the token for {address} is {told}")


def whoami(*, session: Here) -> Answer:
    """Say who asks: the reference, the groups, the roles, by what proof and until when."""
    me = session.get("/whoami")
    lines = [("name", f"{me['name']} ({me['kind']})"), ("groups", ", ".join(me["groups"]) or "none")]
    lines += [("roles", ", ".join(me["roles"]) or "none"), ("via", _via(me))]
    if me["scopes"] != ["*"]:
        lines.append(("scopes", ", ".join(me["scopes"])))
    if me["break_glass"]:
        lines.append(("break-glass", me["break_glass"]))
    text = [Text(me["ref"], style="bold"), *(Text.assemble((f"{key:<12}", "dim"), value) for key, value in lines)]
    return Answer(me, look.render(*text))


def _via(me: dict[str, Any]) -> str:
    if me["via"] == "home":
        return "the home itself"
    return f"{me['via']} {me['credential']}" + (f", until {me['expires_at']}" if me["expires_at"] else "")


# ---- tokens

token = App(name="token", help="Make, list and revoke API tokens.")


@token.command(name="create")
def create_token(
    name: str,
    *,
    scope: Annotated[list[str] | None, Parameter(negative="")] = None,
    days: int | None = None,
    of: Annotated[str, Parameter(name=("--for", "--of"))] = "",
    session: Here,
) -> Answer:
    """Make a token and show it, this once.

    Parameters
    ----------
    name
        What it is for.
    scope
        An action or a group of actions, such as read; repeat it for more. By default all that its principal may.
    days
        How long it lives; by default access.token_days.
    of
        Whose it is, such as service:default/deployer; by default your own.
    """
    body = {"name": name, "principal": of, "scopes": scope or ["*"], **({"days": days} if days is not None else {})}
    made = session.post("/tokens", body)
    held = made["token"]
    session.err.print(
        Text(f"{held['id']} of {held['principal']}, until {held['expires_at']}; it is shown once:", "dim")
    )
    return Answer(made, made["secret"])


@token.command(name="list")
def list_tokens(
    *, of: Annotated[str, Parameter(name=("--for", "--of"))] = "", all: bool = False, session: Here
) -> Answer:
    """List tokens, the newest first.

    Parameters
    ----------
    of
        Another's, for admins.
    all
        Everyone's, for admins.
    """
    held = session.get("/tokens", of="*" if all else of or None)
    rows = [
        (one["id"], one["principal"], one["name"], ", ".join(one["scopes"]), _state(one), one["used_at"] or "never")
        for one in held
    ]
    return Answer(held, look.render(_table(("token", "of", "name", "scopes", "state", "last used"), rows, "no tokens")))


def _state(one: dict[str, Any]) -> str:
    if one["revoked_at"]:
        return "revoked"
    ends = one["expires_at"]
    return "expired" if ends and codec.parse_time(ends) <= codec.now() else f"until {(ends or 'revoked')[:10]}"


@token.command(name="revoke")
def revoke_token(id: str, *, session: Here) -> Answer:
    """Revoke a token; the sessions that it began end too."""
    held = session.post(f"/tokens/{id}/revoke")
    return Answer(held, f"{held['id']} ({held['name']}) of {held['principal']} is revoked")


# ---- everyone

access = App(name="access", help="Look after principals, service accounts and sessions.")
service = App(name="service", help="Make, list and disable service accounts.")
access.command(service)


@access.command(name="principals")
def list_principals(*, session: Here) -> Answer:
    """List who has signed in, service accounts and the bootstrap admin."""
    return _principals(session, "")


@access.command(name="disable")
def disable(ref: str, *, session: Here) -> Answer:
    """Disable a person or a service account: sessions end, tokens prove nothing until it is enabled."""
    held = session.post("/principals/disable", {"principal": ref})
    return Answer(held, f"{held['ref']} is disabled")


@access.command(name="enable")
def enable(ref: str, *, session: Here) -> Answer:
    """Enable who was disabled."""
    held = session.post("/principals/enable", {"principal": ref})
    return Answer(held, f"{held['ref']} is enabled")


@access.command(name="unlink")
def unlink(ref: str, *, session: Here) -> Answer:
    """Free a person's name from the subject at the provider; sessions end and tokens are revoked."""
    held = session.post("/principals/unlink", {"principal": ref})
    return Answer(held, f"{held['ref']} is free: who next signs in under this name becomes it")


@access.command(name="sessions")
def list_sessions(*, all: bool = False, end: str = "", end_all: bool = False, session: Here) -> Answer:
    """List your sessions, or end them.

    Parameters
    ----------
    all
        Everyone's, for admins.
    end
        The id of a session to end.
    end_all
        Sign out everywhere.
    """
    if end:
        held = session.post(f"/sessions/{end}/end")
        return Answer(held, f"{held['id']} of {held['principal']} has ended")
    if end_all:
        told = session.post("/sessions/end-all")
        return Answer(told, f"{told['sessions']} sessions have ended")
    found = session.get("/sessions", of="*" if all else None)
    rows = [(one["id"], one["principal"], one["via"], one["seen_at"], one["agent"][:40]) for one in found]
    return Answer(found, look.render(_table(("session", "of", "by", "last seen", "browser"), rows, "no sessions")))


@access.command(name="bootstrap")
def bootstrap(*, again: bool = False, session: Here) -> Answer:
    """Make the first admin and show its token, this once; only on the machine of the home.

    Parameters
    ----------
    again
        A new token in the place of the old one.
    """
    made = session.post("/access/bootstrap", {"again": again})
    session.err.print(Text(f"the token of {made['principal']}; it is shown once:", "dim"))
    return Answer(made, made["secret"])


@service.command(name="create")
def create_service(
    name: str, *, group: Annotated[list[str] | None, Parameter(negative="")] = None, session: Here
) -> Answer:
    """Make a service account; it can do nothing before it has a token.

    Parameters
    ----------
    name
        Its name: deployer becomes service:default/deployer.
    group
        A group that it is in; repeat it for more.
    """
    held = session.post("/services", {"name": name, "groups": group or []})
    return Answer(held, f"made {held['ref']}\nNext: uwu token create NAME --for {held['ref']}")


@service.command(name="list")
def list_services(*, session: Here) -> Answer:
    """List the service accounts."""
    return _principals(session, "service")


@service.command(name="disable")
def disable_service(name: str, *, session: Here) -> Answer:
    """Disable a service account, by its name or its reference."""
    return disable(name if ":" in name else f"service:default/{name.lower()}", session=session)


def _principals(session: Session, kind: str) -> Answer:
    found: list[dict[str, Any]] = []
    after = ""
    while page := session.get("/principals", limit=500, after=after):
        found += [one for one in page if not kind or one["kind"] == kind]
        after = page[-1]["ref"]
    rows = [
        (one["ref"], one["name"], ", ".join(one["groups"]), "disabled" if one["disabled"] else "", one["seen_at"] or "")
        for one in found
    ]
    return Answer(found, look.render(_table(("principal", "name", "groups", "", "signed in"), rows, "nobody yet")))


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]], none: str) -> Any:
    if not rows:
        return Text(none, style="dim")
    return look.table(heads, [[Text(cell) for cell in row] for row in rows], whole=heads[:1])
