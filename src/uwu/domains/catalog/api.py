"""The catalog over HTTP, under ``/api/v1``: who is on call for a team, and scorecards."""

from __future__ import annotations

from typing import Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.domains.catalog import oncall
from uwu.domains.catalog.oncall import Duty
from uwu.domains.catalog.scorecards import api as scorecards
from uwu.kernel import declared, estate
from uwu.kernel.errors import NotFound
from uwu.kernel.runtime import Kernel


@get("/oncall", sync_to_thread=True, opt={"action": "world.read"})
def get_on_call(kernel: NamedDependency[Kernel], team: FromQuery[str]) -> Duty:
    """Who is on call for a team now, until when, and who follows."""
    ref = str(estate.parse_reference(team, kind="group"))
    with kernel.db.read() as connection:
        group = declared.entity(connection, ref)
    if group is None:
        raise NotFound(f"nothing declares {ref}", place="team", hint="uwu catalog list group lists the teams")
    duty = oncall.now(group)
    if duty is None:
        hint = "declare spec.onCall of its Group: docs/people.md"
        raise NotFound(f"{ref} says nobody is on call", code="oncall-undeclared", place=str(group.place), hint=hint)
    return duty


HANDLERS: tuple[Any, ...] = (get_on_call, *scorecards.HANDLERS)
