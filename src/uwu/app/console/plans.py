"""The plans: those that wait for the one who looks, and all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from uwu.app import identify
from uwu.app.console import links, look, words
from uwu.app.console.export import Column, Table, exported, wanted
from uwu.app.console.frame import Answer, Asked, Frame, Page, query
from uwu.app.console.lists import Query, filter_of, href_of
from uwu.app.console.views import Filter, View, Who
from uwu.kernel import tables
from uwu.kernel.identity import Principal
from uwu.kernel.plans import store
from uwu.kernel.plans.store import APPLIED, APPLYING, APPROVED, FAILED, STATUSES, VOID, WAITING, PlanLine
from uwu.kernel.runtime import Kernel

SHOWN = 50
TONES = {
    WAITING: "amber",
    APPROVED: "accent",
    APPLYING: "accent",
    APPLIED: "green",
    FAILED: "red",
    VOID: "orange",
}
"""The ink of a status; what came to nothing is neutral."""


class Line(View, frozen=True):
    """A plan in a list."""

    number: int
    href: str
    title: str
    status: str
    tone: str
    asked_by: Who
    owners: list[tuple[str, str]]
    """(name, address) of the groups that own what it touches."""
    changes: int
    approvals: str
    """``1 of 2``."""
    mine: bool
    """It waits for the one who looks."""
    requested_at: datetime
    expires_at: datetime
    forced: bool
    undoes: bool


class PlansPage(View, frozen=True):
    filters: list[Filter]
    items: list[Line]
    waiting: list[Line]
    """Those that wait for the one who looks: shown first, on the first page."""
    total: int
    more: str
    filtered: bool


def person(ref: str) -> Who:
    """A principal as people see it: round for a person, square for a service."""
    human = ref.startswith("user:")
    name = words.short_ref(ref) or ref
    return Who(name=name, short=words.handle(name), person=human, hue=look.hue(name) if human else 0)


def _line(line: PlanLine) -> Line:
    return Line(
        number=line.number,
        href=links.plan(line.number),
        title=line.title,
        status=line.status,
        tone=TONES.get(line.status, ""),
        asked_by=person(line.requested_by),
        owners=[(words.short_ref(owner), links.entity(owner)) for owner in line.owners],
        changes=line.changes,
        approvals=f"{line.approvals} of {max(line.approvals_needed, line.approvals)}",
        mine=line.waits_for_me,
        requested_at=line.requested_at,
        expires_at=line.expires_at,
        forced=line.forced,
        undoes=bool(line.undoes),
    )


def _held(asked: Query) -> dict[str, Any]:
    held: dict[str, Any] = {key: asked[key] for key in ("domain", "owner", "requested_by") if asked.get(key)}
    status = asked.get("status", "")
    if status in (*STATUSES, "open"):
        held["status"] = status
    return held


def waiting_for(kernel: Kernel, principal: Principal, limit: int = 5) -> tuple[list[Line], int]:
    """The plans that ``principal`` may decide and has not, and how many there are."""
    with kernel.db.read() as connection:
        page = store.plans(connection, principal, mine=True, limit=limit)
    return [_line(line) for line in page.items], page.total


def listed(kernel: Kernel, principal: Principal, asked: Query) -> PlansPage:
    """Plans by the filters of ``asked``, the newest first."""
    held = _held(asked)
    with kernel.db.read() as connection:
        page = store.plans(connection, principal, limit=SHOWN, after=asked.get("after", ""), **held)
        p, s = tables.plans, tables.plan_subjects
        domains = connection.execute(sa.select(p.c.domain, sa.func.count()).group_by(p.c.domain)).all()
        owners = connection.execute(
            sa.select(s.c.owner, sa.func.count(sa.distinct(s.c.plan))).where(s.c.owner != "").group_by(s.c.owner)
        ).all()
        askers = connection.execute(sa.select(p.c.requested_by, sa.func.count()).group_by(p.c.requested_by)).all()
    titles = {each.name: each.title for each in kernel.domains}
    filters = [
        filter_of(links.PLANS, asked, "status", "status", [(s, None) for s in ("open", *STATUSES)], str),
        filter_of(links.PLANS, asked, "owner", "owner", _counted(owners), words.short_ref),
        filter_of(links.PLANS, asked, "requested_by", "asked for by", _counted(askers), words.short_ref),
        filter_of(links.PLANS, asked, "domain", "system", _counted(domains), lambda name: titles.get(name, name)),
    ]
    first = not held and not asked.get("after")
    return PlansPage(
        filters=filters,
        items=[_line(line) for line in page.items],
        waiting=waiting_for(kernel, principal)[0] if first else [],
        total=page.total,
        more=href_of(links.PLANS, asked, after=page.after) if page.after else "",
        filtered=bool(held),
    )


def _counted(rows: Sequence[Any]) -> list[tuple[str, int]]:
    return sorted(((row[0], row[1]) for row in rows), key=lambda pair: (-pair[1], pair[0]))


COLUMNS = (
    Column("number"),
    Column("title"),
    Column("status"),
    Column("why"),
    Column("domain"),
    Column("owners", lambda line: " ".join(line.owners)),
    Column("changes"),
    Column("approvals"),
    Column("approvals_needed"),
    Column("requested_by"),
    Column("requested_at"),
    Column("expires_at"),
    Column("finished_at"),
    Column("reason"),
    Column("hash"),
)


def table(kernel: Kernel, principal: Principal, asked: Query) -> Table:
    """Every plan of the filters, for an export."""
    held = _held(asked)
    with kernel.db.read() as connection:
        total = store.plans(connection, principal, limit=1, **held).total

    def pages() -> Iterator[Sequence[PlanLine]]:
        after = ""
        while True:
            with kernel.db.read() as connection:
                page = store.plans(connection, principal, limit=200, after=after, **held)
            yield page.items
            after = page.after
            if not after:
                return

    return Table("plans", COLUMNS, pages(), total)


def show_plans(at: Frame, request: Asked) -> Answer:
    asked, principal = query(request), identify.principal_of(request)
    if wanted(asked):
        return exported(at.kernel, asked, table(at.kernel, principal, asked))
    return at.page(request, "plans.html", section=links.PLANS, view=listed(at.kernel, principal, asked))


PAGES = (Page(links.PLANS, show_plans, "plans.read"),)
