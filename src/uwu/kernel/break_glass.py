"""Break-glass: more rights for a short time, with a reason that everyone sees.

Any person may take them; while they are held a banner stands on every page, admins are told, and each act is in the
audit with its number. What is forbidden stays forbidden: above all, nobody approves what they asked for.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from uwu.kernel import audit, authorize, codec, notify, tables
from uwu.kernel.authorize import Target
from uwu.kernel.db import columns
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.notify import Notice
from uwu.kernel.runtime import Kernel

MIN_REASON = 10
MAX_REASON = 500
OPEN, END = "break-glass.open", "break-glass.end"


class Glass(msgspec.Struct, frozen=True, kw_only=True):
    """One break-glass."""

    id: str
    principal: str
    reason: str
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    """When it was ended before its time; None where it was not."""
    ended_by: str | None

    def holds(self, at: datetime) -> bool:
        """Whether it was held at ``at``."""
        return self.created_at <= at < self.expires_at and (self.ended_at is None or at < self.ended_at)


def open(kernel: Kernel, principal: Principal, *, reason: str, minutes: int) -> Glass:
    """Gives ``principal`` the rights of break-glass for ``minutes``.

    Raises ``BadInput`` for a reason that says nothing or a time that is too long, ``Conflict`` where one is held
    already, ``NotAllowed`` for what is no person.
    """
    authorize.require(kernel, principal, OPEN)
    reason = " ".join(reason.split())
    if not MIN_REASON <= len(reason) <= MAX_REASON:
        raise BadInput(
            f"a reason has {MIN_REASON} to {MAX_REASON} characters, this has {len(reason)}",
            code="break-glass-reason",
            place="/reason",
            hint="everyone will read it: say what is broken and what you will do",
        )
    most = kernel.settings.access.break_glass_max_minutes
    if not 1 <= minutes <= most:
        raise BadInput(
            f"break-glass lasts 1 to {most} minutes, not {minutes}",
            code="break-glass-minutes",
            place="/minutes",
            hint="access.break_glass_max_minutes in uwu.toml sets the most",
        )
    at = codec.now()
    glass = Glass(
        id=codec.new_id("bg"),
        principal=principal.ref,
        reason=reason,
        created_at=at,
        expires_at=at + timedelta(minutes=minutes),
        ended_at=None,
        ended_by=None,
    )
    with kernel.db.write() as connection:
        # the audit has one writer at a time: two that ask at once come one after the other
        audit.append(
            connection,
            actor=principal.ref,
            action=OPEN,
            subject=glass.id,
            detail={"reason": reason, "minutes": minutes, "until": codec.iso(glass.expires_at)},
        )
        held = _held(connection, principal.ref, at)
        if held is not None:
            raise Conflict(
                f"you hold break-glass already, until {held.expires_at:%H:%M} UTC",
                code="break-glass-held",
                place=held.id,
                hint="end it first to take it anew",
            )
        connection.execute(tables.break_glass.insert().values(**msgspec.structs.asdict(glass)))
        notify.tell(connection, _notice(glass, principal.name, f"{principal.name} broke glass: {reason}", "opened"))
    return glass


def end(kernel: Kernel, principal: Principal, id: str) -> Glass:
    """Ends a break-glass before its time: one's own, or as an admin another's. Ending it twice changes nothing.

    Raises ``NotFound``, ``NotAllowed``, and ``Conflict`` where its time is over.
    """
    with kernel.db.read() as connection:
        glass = get(connection, id)
    if glass.principal != principal.ref:
        target = Target("BreakGlass", id, owner=glass.principal, attributes={"title": f"that of {glass.principal}"})
        authorize.require(kernel, principal, END, target)
    if glass.ended_at is not None:
        return glass
    at = codec.now()
    if not glass.holds(at):
        raise Conflict(f"{id} ended by itself at {glass.expires_at:%H:%M} UTC", code="break-glass-over")
    b = tables.break_glass
    with kernel.db.write() as connection:
        ended = connection.execute(
            b.update().where(b.c.id == id, b.c.ended_at.is_(None)).values(ended_at=at, ended_by=principal.ref)
        )
        if ended.rowcount:
            audit.append(connection, actor=principal.ref, action=END, subject=id, detail={"principal": glass.principal})
            title = f"{principal.name} ended the break-glass of {glass.principal}"
            notify.tell(connection, _notice(glass, principal.name, title, "ended"))
        return get(connection, id)


def _notice(glass: Glass, by: str, title: str, what: str) -> Notice:
    return Notice(
        kind=f"break-glass.{what}",
        subject=glass.id,
        owner="",
        severity="critical" if what == "opened" else "info",
        title=title[:300],
        detail={"by": by, "reason": glass.reason, "until": glass.expires_at},
        path="/break-glass",
    )


# ---- reading


def held_by(connection: sa.Connection, ref: str) -> str:
    """The id of the break-glass that ``ref`` holds now; empty for none. It goes into ``Principal.break_glass``."""
    held = _held(connection, ref, codec.now())
    return held.id if held is not None else ""


def _held(connection: sa.Connection, ref: str, at: datetime) -> Glass | None:
    return next(iter(_active(connection, at, ref)), None)


def active(connection: sa.Connection) -> list[Glass]:
    """What is held now, the earliest to end first: for the banner on every page."""
    return _active(connection, codec.now())


def _active(connection: sa.Connection, at: datetime, ref: str = "") -> list[Glass]:
    b = tables.break_glass
    query = sa.select(*columns(b, Glass)).where(b.c.expires_at > at, b.c.ended_at.is_(None))
    if ref:
        query = query.where(b.c.principal == ref)
    return [_glass(row) for row in connection.execute(query.order_by(b.c.expires_at))]


def get(connection: sa.Connection, id: str) -> Glass:
    """The break-glass of ``id``. Raises ``NotFound``."""
    b = tables.break_glass
    row = connection.execute(sa.select(*columns(b, Glass)).where(b.c.id == id)).first()
    if row is None:
        raise NotFound(f"there is no break-glass {id}", hint="uwu break-glass list shows them")
    return _glass(row)


def entries(connection: sa.Connection, *, limit: int = 50) -> list[Glass]:
    """Every break-glass, newest first."""
    b = tables.break_glass
    query = sa.select(*columns(b, Glass)).order_by(b.c.created_at.desc(), b.c.id.desc()).limit(limit)
    return [_glass(row) for row in connection.execute(query)]


def _glass(row: sa.Row[tuple[object, ...]]) -> Glass:
    return Glass(**dict(zip(Glass.__struct_fields__, row, strict=True)))  # type: ignore[arg-type]
