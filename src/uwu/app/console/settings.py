"""Settings: what is set and where it comes from, the channels, the schedules, who may come in."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from uwu.app import identify
from uwu.app.api.notices import TESTED, ChannelState, channel_states, test
from uwu.app.console import links, words
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, query, redirect
from uwu.app.console.views import View
from uwu.kernel import authorize, effective, schedules, tables
from uwu.kernel.effective import Part
from uwu.kernel.runtime import Kernel
from uwu.kernel.schedules import Standing
from uwu.kernel.settings import RouteSettings

READ, MANAGE = "settings.read", "notices.manage"
TONES = {"done": "green", "failed": "red", "running": "accent", "cancelled": "amber"}


class Tested(View, frozen=True):
    """What the last test of a channel gave, as the audit has it."""

    channel: str
    sent: bool
    error: str
    at: datetime


class Line(View, frozen=True):
    """A schedule as a line."""

    name: str
    summary: str
    every: str
    state: str
    last_at: datetime | None
    last_href: str
    last_status: str
    tone: str
    next: str


class SettingsPage(View, frozen=True):
    parts: list[Part]
    home: str
    set: int
    """Keys that are not at their default."""
    keys: int
    """All keys."""
    all_keys: bool
    """Those at their default are shown too."""
    channels: list[ChannelState]
    routes: tuple[RouteSettings, ...]
    fallback: str
    schedules: list[Line]
    tested: Tested | None
    may_test: bool


def page_of(kernel: Kernel, *, tested: str = "", may_test: bool = False, all_keys: bool = False) -> SettingsPage:
    """The page; ``tested`` is the audit's number of a test to tell of."""
    parts = effective.parts(kernel.settings)
    every = [setting for part in parts for setting in part.settings]
    if not all_keys:
        shown = [(part, tuple(s for s in part.settings if s.source != "default")) for part in parts]
        parts = [Part(part.name, part.title, settings) for part, settings in shown]
    return SettingsPage(
        parts=parts,
        home=kernel.settings.home,
        set=sum(setting.source != "default" for setting in every),
        keys=len(every),
        all_keys=all_keys,
        channels=channel_states(kernel),
        routes=kernel.settings.notify.routes,
        fallback=kernel.settings.notify.fallback,
        schedules=[_line(one) for one in schedules.standing(kernel)],
        tested=_tested(kernel, tested),
        may_test=may_test,
    )


def _line(one: Standing) -> Line:
    if one.daily:
        every = f"daily at {one.daily} UTC"
    elif one.every_minutes:
        every = "every minute" if one.every_minutes == 1 else f"every {one.every_minutes} min"
    else:
        every = "off"
    if one.state != "on":
        then = one.state
    elif one.next_at is None:
        then = "once a server's worker runs"
    else:
        then = "when there is work" if one.on_demand else words.moment(one.next_at)
    return Line(
        name=one.name,
        summary=one.summary,
        every=every,
        state=one.state,
        last_at=one.last_at,
        last_href=links.job(one.last_job) if one.last_job and one.last_status else "",
        last_status=one.last_status,
        tone=TONES.get(one.last_status, ""),
        next=then,
    )


def _tested(kernel: Kernel, entry: str) -> Tested | None:
    if not entry.isdigit() or len(entry) > 15:
        return None
    a = tables.audit
    with kernel.db.read() as connection:
        row = connection.execute(
            sa.select(a.c.subject, a.c.detail, a.c.at).where(a.c.seq == int(entry), a.c.action == TESTED)
        ).first()
    if row is None:
        return None
    return Tested(channel=row.subject, sent=bool(row.detail["sent"]), error=str(row.detail["error"]), at=row.at)


def show(at: Frame, request: Asked) -> Answer:
    principal = identify.principal_of(request)
    may = authorize.decide(at.kernel, principal, MANAGE).allowed
    asked = query(request)
    view = page_of(at.kernel, tested=asked.get("tested", ""), may_test=may, all_keys=asked.get("keys") == "all")
    return at.page(request, "settings.html", section=links.SETTINGS, view=view)


def send_test(at: Frame, request: Asked, form: Form) -> Answer:
    del form
    _, entry = test(at.kernel, identify.principal_of(request), str(request.path_params["name"]))
    return redirect(links.with_query(links.SETTINGS, {"tested": str(entry)}))


PAGES = (
    Page(links.SETTINGS, show, READ),
    Act(links.SETTINGS + "/channels/{name:str}/test", send_test, MANAGE),
)
