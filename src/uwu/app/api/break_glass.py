"""Break-glass: more rights for a short time, seen by everyone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from uwu.kernel import break_glass, codec
from uwu.kernel.break_glass import Glass
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

OPEN = {"action": "break-glass.open"}
READ = {"action": "break-glass.read"}
END = {"action": "break-glass.end"}


class Broken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Break-glass that is asked for."""

    reason: Annotated[str, Meta(min_length=10, max_length=500)]
    """What is broken and what will be done: everyone reads it."""
    minutes: Annotated[int, Meta(ge=1, le=1440)] = 30


class GlassView(msgspec.Struct, frozen=True, kw_only=True):
    """One break-glass."""

    id: str
    principal: str
    reason: str
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    active: bool


def _view(glass: Glass) -> GlassView:
    return GlassView(**msgspec.structs.asdict(glass), active=glass.holds(codec.now()))


@post("/break-glass", sync_to_thread=True, opt=OPEN, status_code=201)
def open_break_glass(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Broken]
) -> GlassView:
    """Takes more rights for a few minutes. Everyone sees it, and why; it ends by itself."""
    return _view(break_glass.open(kernel, principal, reason=data.reason, minutes=data.minutes))


@get("/break-glass", sync_to_thread=True, opt=READ)
def list_break_glass(
    kernel: NamedDependency[Kernel], active: FromQuery[bool] = False, limit: FromQuery[int] = 50
) -> list[GlassView]:
    """Who broke glass and why, newest first; with ``active`` only what is held now."""
    with kernel.db.read() as connection:
        found = break_glass.active(connection) if active else break_glass.entries(connection, limit=limit)
    return [_view(glass) for glass in found]


@post("/break-glass/{id:str}/end", sync_to_thread=True, opt=END, status_code=200)
def end_break_glass(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], id: FromPath[str]
) -> GlassView:
    """Ends a break-glass before its time: one's own, or as an admin another's."""
    return _view(break_glass.end(kernel, principal, id))


HANDLERS: list[Any] = [open_break_glass, list_break_glass, end_break_glass]
