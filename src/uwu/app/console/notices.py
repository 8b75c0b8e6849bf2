"""Notices: what was told to whom, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from uwu.app import identify
from uwu.app.api.notices import retry as try_again
from uwu.app.console import links, words
from uwu.app.console.export import Column, Table, exported, wanted
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, query, redirect
from uwu.app.console.lists import NOBODY, Query, filter_of, href_of
from uwu.app.console.views import Filter, View
from uwu.kernel import authorize, tables
from uwu.kernel.errors import BadInput
from uwu.kernel.notify import notices
from uwu.kernel.notify.message import WORDS
from uwu.kernel.runtime import Kernel

READ, MANAGE = "notices.read", "notices.manage"
SHOWN = 50
TONES = {"sent": "green", "waiting": "", "failed": "red", "muted": "amber"}


class Sent(View, frozen=True):
    """One delivery: to what, how it stands."""

    to: str
    status: str
    tone: str
    note: str
    """When it was sent or is due; why it failed."""


class Line(View, frozen=True):
    """A notice as a line."""

    id: str
    href: str
    title: str
    severity: str
    owner: str
    owner_href: str
    created_at: datetime
    sent: list[Sent]
    state: str
    """What stands where there is no delivery: told to nobody, or not yet decided."""


class NoticesPage(View, frozen=True):
    filters: list[Filter]
    items: list[Line]
    total: int
    more: str
    filtered: bool
    failed: int
    """Deliveries that have failed, of all notices."""
    channels: int
    may_retry: bool
    message: str


def _asked(asked: Query) -> dict[str, Any]:
    held: dict[str, Any] = {k: asked[k] for k in ("status", "kind", "channel", "message") if asked.get(k)}
    if held.get("status", "") not in ("", *notices.STATUSES):
        raise BadInput(f"no delivery is {held['status'][:20]!r}", hint=f"one of: {', '.join(notices.STATUSES)}")
    if "owner" in asked:
        held["owner"] = asked["owner"]
    return held


def listed(kernel: Kernel, asked: Query, *, may_retry: bool = False) -> NoticesPage:
    """The notices of the filters, newest first."""
    wanted_ = _asked(asked)
    n, d = tables.notices, tables.deliveries
    with kernel.db.read() as connection:
        page = notices.notices(connection, **wanted_, limit=SHOWN, after=asked.get("after", ""))
        failed = connection.execute(
            sa.select(sa.func.count()).select_from(d).where(d.c.status == "failed")
        ).scalar_one()
        values = {
            key: [
                (str(row[0]), int(row[1]))
                for row in connection.execute(
                    sa.select(n.c[key], sa.func.count()).group_by(n.c[key]).order_by(sa.func.count().desc(), n.c[key])
                )
            ]
            for key in ("kind", "owner")
        }
    statuses = [(status, None) for status in notices.STATUSES]
    channels = [(name, None) for name in sorted(kernel.settings.notify.channels)]
    filters = [
        filter_of(links.NOTICES, asked, "kind", "kind", values["kind"], lambda v: WORDS.get(v, (v,))[0]),
        filter_of(links.NOTICES, asked, "owner", "owner", values["owner"], lambda v: words.short_ref(v) or NOBODY),
        filter_of(links.NOTICES, asked, "channel", "channel", channels, str),
        filter_of(links.NOTICES, asked, "status", "delivery", statuses, str),
    ]
    return NoticesPage(
        filters=filters,
        items=[_line(row) for row in page.items],
        total=page.total,
        more=href_of(links.NOTICES, asked, after=page.after) if page.after else "",
        filtered=bool(wanted_),
        failed=failed,
        channels=len(channels),
        may_retry=may_retry,
        message=wanted_.get("message", ""),
    )


def _line(row: notices.Row) -> Line:
    one = row.notice
    return Line(
        id=one.id,
        href=one.path,
        title=one.title,
        severity=one.severity,
        owner=words.short_ref(one.owner),
        owner_href=links.entity(one.owner) if one.owner else "",
        created_at=one.created_at,
        sent=[_sent(delivery) for delivery in row.deliveries],
        state="" if row.deliveries else "no channel took it" if one.routed_at else "being routed",
    )


def _sent(one: notices.Delivery) -> Sent:
    note = one.error
    if one.status == "sent" and one.sent_at is not None:
        note = words.moment(one.sent_at)
    elif one.status == "waiting":
        tried = f", tried {words.plural(one.attempts, 'time')}: {one.error}" if one.attempts else ""
        note = f"due {words.moment(one.due_at)}{tried}"
    return Sent(to=f"{one.channel} {one.address}".strip(), status=one.status, tone=TONES.get(one.status, ""), note=note)


# ---- export

COLUMNS = (
    Column("id", lambda row: row.notice.id),
    Column("created_at", lambda row: row.notice.created_at),
    Column("kind", lambda row: row.notice.kind),
    Column("severity", lambda row: row.notice.severity),
    Column("owner", lambda row: row.notice.owner),
    Column("title", lambda row: row.notice.title),
    Column("subject", lambda row: row.notice.subject),
    Column(
        "told", lambda row: "; ".join(f"{d.channel} {d.address} {d.status}".replace("  ", " ") for d in row.deliveries)
    ),
)


def table(kernel: Kernel, asked: Query) -> Table:
    """Every notice of the filters, for an export."""
    wanted_ = _asked(asked)
    with kernel.db.read() as connection:
        total = notices.notices(connection, **wanted_, limit=1).total

    def pages() -> Iterator[Sequence[notices.Row]]:
        after = ""
        while True:
            with kernel.db.read() as connection:
                page = notices.notices(connection, **wanted_, limit=500, after=after)
            yield page.items
            after = page.after
            if not after:
                return

    return Table("notices", COLUMNS, pages(), total)


# ---- routes


def show(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    if wanted(asked):
        return exported(at.kernel, asked, table(at.kernel, asked))
    principal = identify.principal_of(request)
    may = authorize.decide(at.kernel, principal, MANAGE).allowed
    return at.page(request, "notices.html", section=links.NOTICES, view=listed(at.kernel, asked, may_retry=may))


def retry(at: Frame, request: Asked, form: Form) -> Answer:
    try_again(at.kernel, identify.principal_of(request), form.get("notice"))
    return redirect(links.NOTICES)


PAGES = (
    Page(links.NOTICES, show, READ),
    Act(links.NOTICES + "/retry", retry, MANAGE),
)
