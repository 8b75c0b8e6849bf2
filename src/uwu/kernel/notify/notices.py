"""Notices: what is told, written in the transaction of the change, and read again with what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, jobs, sensitive, tables
from uwu.kernel.db import columns, to_struct, upsert
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.graph import like
from uwu.kernel.runtime import Kernel

SEVERITIES = ("critical", "high", "medium", "low", "info")
"""The worst first. ``info`` is for what is no finding: a plan that was applied."""

DELIVER = "notify.deliver"
MAX_TITLE = 300
MAX_TEXT = 2000
IN_ONE_WRITE = 500


class Notice(msgspec.Struct, frozen=True):
    """One thing to tell."""

    kind: str
    """What happened, in dotted words: ``finding.opened``, ``plan.waiting``, ``break-glass.opened``."""
    subject: str
    """What it is about, by id or reference: a finding, a plan. Mutes name it."""
    owner: str
    """Whose it is, by entity reference; empty where nobody owns it."""
    severity: str
    """One of ``SEVERITIES``."""
    title: str
    """One sentence without its full stop: ``sg-0b3f is open to the world``."""
    detail: Mapping[str, Any] = {}
    """Rows of the message, label -> text or time, in their order: ``{"changed by": "mira.k", "since": at}``.
    No secret."""
    path: str = ""
    """Its page in the console: ``/findings/f_0a1b``."""
    dedupe: str = ""
    """The same thing is told once. Empty for kind and subject: told once for ever."""
    owners: tuple[str, ...] = ()
    """Others who are told as the owner is."""


def tell(connection: sa.Connection, *notices: Notice) -> None:
    """Puts ``notices`` into the outbox, within the caller's write transaction; what was told before stays as it was.

    Raises ``BadInput`` for a severity that is none.
    """
    now = codec.now()
    rows: dict[str, dict[str, Any]] = {}
    for notice in notices:
        if notice.severity not in SEVERITIES:
            raise BadInput(f"{notice.severity!r} is no severity", code="severity-unknown", hint=", ".join(SEVERITIES))
        dedupe = notice.dedupe or f"{notice.kind}:{notice.subject}"
        id = "n_" + codec.digest(dedupe)[:20]
        if id in rows:
            continue
        rows[id] = {
            "id": id,
            "dedupe": dedupe,
            "kind": notice.kind,
            "subject": notice.subject,
            "owner": notice.owner,
            "severity": notice.severity,
            "title": plain(notice.title, MAX_TITLE),
            "detail": {plain(label, 60): _row(value) for label, value in notice.detail.items()},
            "path": notice.path if notice.path.startswith("/") and not notice.path.startswith("//") else "",
            "owners": sorted({*notice.owners} - {notice.owner, ""}),
            "created_at": now,
            "routed_at": None,
        }
    told = list(rows.values())
    for start in range(0, len(told), IN_ONE_WRITE):
        upsert(connection, tables.notices, told[start : start + IN_ONE_WRITE], update=())


def _row(value: Any) -> Any:
    value = codec.builtins(value)
    if sensitive.is_marked(value):
        return sensitive.MARK
    return plain(value if isinstance(value, str) else codec.encode(value).decode(), MAX_TEXT)


def plain(text: str, limit: int) -> str:
    """``text`` on one line: no control character reaches a mail's header or a terminal."""
    line = "".join(c if c.isprintable() else " " for c in text).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def soon(kernel: Kernel) -> str:
    """Asks the workers to deliver now what is due, and gives the run's id; without it they do within a minute.

    To be called after the transaction that told.
    """
    return kernel.jobs.enqueue(DELIVER, {}, requested_by="notify", key=jobs.key_of(DELIVER, {}))


# ---- mutes


def mute(connection: sa.Connection, subject: str, *, until: datetime, reason: str, by: str) -> None:
    """Sends nothing about ``subject`` until then. Its notices still stand on the page, as muted."""
    if until <= codec.now():
        raise BadInput("that moment has passed", code="mute-past", place="until", hint="name a later one")
    row = {"subject": subject, "until": until, "reason": reason, "created_by": by, "created_at": codec.now()}
    upsert(connection, tables.mutes, [row])
    d, about = tables.deliveries, sa.select(tables.notices.c.id).where(tables.notices.c.subject == subject)
    connection.execute(
        d.update()
        .where(d.c.status == "waiting", d.c.digest == "", d.c.notice.in_(about.scalar_subquery()))
        .values(status="muted")
    )


def unmute(connection: sa.Connection, subject: str) -> None:
    """Ends a mute. Raises ``NotFound`` where there is none."""
    if not connection.execute(tables.mutes.delete().where(tables.mutes.c.subject == subject)).rowcount:
        raise NotFound(f"{subject} is not muted", code="mute-unknown")


def muted(connection: sa.Connection, subjects: Sequence[str]) -> set[str]:
    """Those of ``subjects`` that are muted now."""
    m = tables.mutes
    query = sa.select(m.c.subject).where(m.c.subject.in_(sorted(set(subjects))), m.c.until > codec.now())
    return set(connection.scalars(query))


# ---- reading


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one notice on one channel."""

    notice: str
    channel: str
    address: str
    """The owner's own, where the channel goes to the owner."""
    status: Literal["waiting", "sent", "failed", "muted"]
    due_at: datetime
    attempts: int
    digest: str
    """The message that carries it, alone or along with others; empty before one was made."""
    sent_at: datetime | None
    error: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as it stands."""

    id: str
    kind: str
    subject: str
    owner: str
    owners: tuple[str, ...]
    severity: str
    title: str
    detail: dict[str, str]
    path: str
    created_at: datetime
    routed_at: datetime | None
    """When it was decided who is told; with no delivery then, no channel took it."""


class Row(msgspec.Struct, frozen=True):
    """A notice and its deliveries."""

    notice: Told
    deliveries: tuple[Delivery, ...]


class Page(msgspec.Struct, frozen=True):
    """One page of notices; ``after`` is where the next begins, empty on the last."""

    items: list[Row]
    total: int
    after: str


STATUSES = ("waiting", "sent", "failed", "muted", "untold")
"""What a list may be asked for; ``untold``: no channel took it."""


def notices(
    connection: sa.Connection,
    *,
    status: str = "",
    kind: str = "",
    owner: str | None = None,
    channel: str = "",
    subject: str = "",
    message: str = "",
    text: str = "",
    limit: int = 50,
    after: str = "",
) -> Page:
    """Notices with their deliveries, newest first. Raises ``BadInput`` for a cursor that is none.

    ``kind`` may end in ``.*``; ``message`` is the id of what carried them.
    """
    n, d = tables.notices, tables.deliveries
    wheres: list[sa.ColumnElement[bool]] = []
    if kind.endswith(".*"):
        wheres.append(n.c.kind.like(like(kind[:-1])[1:], escape="\\"))
    elif kind:
        wheres.append(n.c.kind == kind)
    if subject:
        wheres.append(n.c.subject == subject)
    if owner is not None:
        wheres.append(n.c.owner == owner)
    if text:
        wheres.append(sa.func.lower(n.c.title).like(like(text), escape="\\"))
    if status == "untold":
        wheres += [n.c.routed_at.is_not(None), ~sa.exists().where(d.c.notice == n.c.id)]
    elif status or channel or message:
        fits = [d.c.notice == n.c.id]
        fits += [d.c.digest == message] if message else []
        fits += [d.c.status == status] if status else []
        fits += [d.c.channel == channel] if channel else []
        wheres.append(sa.exists().where(*fits))
    total = connection.execute(sa.select(sa.func.count()).select_from(n).where(*wheres)).scalar_one()
    page = sa.select(*columns(n, Told)).where(*wheres)
    if after:
        at, _, id = after.partition("~")
        try:
            moment = codec.parse_time(at)
        except ValueError:
            raise BadInput(
                "that is no place in this list", code="cursor-unknown", place="after", hint="take it from an answer"
            ) from None
        page = page.where(sa.or_(n.c.created_at < moment, sa.and_(n.c.created_at == moment, n.c.id > id)))
    rows = connection.execute(page.order_by(n.c.created_at.desc(), n.c.id).limit(limit + 1)).all()
    told = [to_struct(Told, row) for row in rows[:limit]]
    found = deliveries(connection, [one.id for one in told])
    items = [Row(one, tuple(found.get(one.id, ()))) for one in told]
    last = told[-1] if len(rows) > limit else None
    return Page(items, total, f"{codec.iso(last.created_at)}~{last.id}" if last is not None else "")


def deliveries(connection: sa.Connection, notices: Sequence[str]) -> dict[str, list[Delivery]]:
    """Notice -> its deliveries, by channel."""
    d = tables.deliveries
    query = sa.select(*columns(d, Delivery)).where(d.c.notice.in_(notices)).order_by(d.c.channel, d.c.address)
    found: dict[str, list[Delivery]] = {}
    for row in connection.execute(query):
        delivery = to_struct(Delivery, row)
        found.setdefault(delivery.notice, []).append(delivery)
    return found
