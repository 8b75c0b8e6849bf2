"""Rules: what each asks for and why, how it stands; and what is exempt from them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from uwu.kernel import exemptions, paging, rulebook
from uwu.kernel.exemptions import Exemption, Exemptions
from uwu.kernel.identity import Principal
from uwu.kernel.rulebook import Standing
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}
EXEMPT = {"action": exemptions.ACTION}


class Rules(msgspec.Struct, frozen=True):
    """One page of rules: those with the worst open findings first. ``after`` is empty on the last."""

    items: list[Standing]
    total: int
    after: str


class Exempting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be exempt, until when and why."""

    rule: Annotated[str, Meta(min_length=1, max_length=200)]
    """A rule's id, or a pattern: ``inventory.database-*``."""
    subject: Annotated[str, Meta(max_length=2000)] = ""
    """Whatever names one resource or entity."""
    account: Annotated[str, Meta(max_length=12)] = ""
    """An account's id, for everything in it; instead of a subject."""
    until: Annotated[str, Meta(min_length=1, max_length=40)]
    """A day, which is the last (UTC), or a time in ISO 8601."""
    reason: Annotated[str, Meta(max_length=500)]


@get("/rules", sync_to_thread=True, opt=READ)
def list_rules(
    kernel: NamedDependency[Kernel],
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Rules:
    """Every rule: what it asks for and why, what it found, and what it could not judge."""
    behind = paging.place(after, int)
    first = behind[0] if behind is not None else 0
    with kernel.db.read() as connection:
        rows = rulebook.standing(kernel, connection)
    rest = first + limit < len(rows)
    return Rules(rows[first : first + limit], len(rows), paging.cursor(first + limit) if rest else "")


@get("/rules/{id:str}", sync_to_thread=True, opt=READ)
def get_rule(kernel: NamedDependency[Kernel], id: FromPath[str]) -> Standing:
    """One rule."""
    with kernel.db.read() as connection:
        return rulebook.standing(kernel, connection, only=id)[0]


@get("/exemptions/{id:str}", sync_to_thread=True, opt=READ)
def get_exemption(kernel: NamedDependency[Kernel], id: FromPath[str]) -> Exemption:
    """One exemption, whether it holds or has ended."""
    with kernel.db.read() as connection:
        return exemptions.one(connection, id)


@get("/exemptions", sync_to_thread=True, opt=READ)
def list_exemptions(
    kernel: NamedDependency[Kernel],
    rule: FromQuery[str] = "",
    ended: FromQuery[bool] = False,
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Exemptions:
    """The exemptions that hold, the first to end first; with ``ended`` those that have ended too."""
    with kernel.db.read() as connection:
        return exemptions.listed(connection, rule=rule, ended=ended, limit=limit, after=after)


@post("/exemptions", sync_to_thread=True, opt=EXEMPT)
def add_exemption(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Exempting]
) -> Exemption:
    """Exempts a subject, or all of an account, from a rule until a day. Its findings are hidden at once."""
    return exemptions.exempt(
        kernel,
        principal,
        rule=data.rule,
        subject=data.subject,
        account=data.account,
        until=exemptions.until(data.until),
        reason=data.reason,
    )


@post("/exemptions/{id:str}/end", sync_to_thread=True, opt=EXEMPT, status_code=200)
def end_exemption(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], id: FromPath[str]
) -> Exemption:
    """Ends an exemption before its time: its findings are back at once."""
    return exemptions.end(kernel, principal, id)


HANDLERS: list[Any] = [list_rules, get_rule, list_exemptions, get_exemption, add_exemption, end_exemption]
