"""The delivery: what is due of each channel leaves as one message, and is tried again until it is taken or given up.

A message is made, with its id and its notices, before it is first sent, and every try sends that same message. A
worker that is killed between the sending and its record makes it leave once more, with the same id.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.db import columns, to_struct
from uwu.kernel.domain import Schedule
from uwu.kernel.errors import NotFound
from uwu.kernel.jobs import Job, Run
from uwu.kernel.notify import channels, routes
from uwu.kernel.notify.channels import SendFailed
from uwu.kernel.notify.message import Message, compose
from uwu.kernel.notify.notices import DELIVER, Told, deliveries
from uwu.kernel.runtime import Kernel

IN_ONE_MESSAGE = 500
MESSAGES_IN_A_RUN = 100
"""More wait for the next run: one run is bounded, however many are due."""
LONGEST_WAIT_MINUTES = 60


def is_due(kernel: Kernel) -> bool:
    """Whether there is anything to route or to send."""
    n, d = tables.notices, tables.deliveries
    unrouted = sa.select(n.c.id).where(n.c.routed_at.is_(None)).limit(1)
    waiting = sa.select(d.c.notice).where(d.c.status == "waiting", d.c.due_at <= codec.now()).limit(1)
    with kernel.db.read() as connection:
        return any(connection.execute(query).first() is not None for query in (unrouted, waiting))


def deliver(kernel: Kernel) -> dict[str, int]:
    """Routes and sends what is due now: the job's body without its steps, for who waits for it."""
    routed = routes.route(kernel)
    outcomes = [send(kernel, id) for id in claim(kernel)]
    return _told(routed, outcomes)


def _run(run: Run, arguments: Mapping[str, Any]) -> dict[str, Any]:
    del arguments
    routed = run.step(routes.route, run.kernel, name="route")
    outcomes: list[str] = []
    claimed = run.step(claim, run.kernel, name="claim")
    for index, id in enumerate(claimed):
        run.progress("messages", index, len(claimed))
        outcomes.append(run.step(send, run.kernel, id, name="send"))
    return _told(routed, outcomes)


def _told(routed: int, outcomes: list[str]) -> dict[str, int]:
    return {"routed": routed, **{name: outcomes.count(name) for name in ("sent", "waiting", "failed")}}


def claim(kernel: Kernel) -> list[str]:
    """Puts what is due of each channel into messages and gives the ids of those to send now.

    A channel whose last message failed is left alone until that one's next try: what comes meanwhile goes together.
    """
    d, now = tables.deliveries, codec.now()
    with kernel.db.write() as connection:
        waiting = connection.execute(
            sa.select(d.c.notice, d.c.channel, d.c.address, d.c.digest, d.c.due_at)
            .where(d.c.status == "waiting")
            .order_by(d.c.due_at, d.c.notice)
            .limit(IN_ONE_MESSAGE * MESSAGES_IN_A_RUN)
        ).all()
        again = {row.digest: None for row in waiting if row.digest and row.due_at <= now}
        resting = {(row.channel, row.address) for row in waiting if row.digest and row.due_at > now}
        fresh: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for row in waiting:
            if not row.digest and row.due_at <= now and (row.channel, row.address) not in resting:
                fresh[row.channel, row.address].append(row.notice)
        made = list(again)
        for (channel, address), notices in sorted(fresh.items()):
            for start in range(0, len(notices), IN_ONE_MESSAGE):
                id = codec.new_id("m")
                connection.execute(
                    d.update()
                    .where(
                        d.c.channel == channel,
                        d.c.address == address,
                        d.c.status == "waiting",
                        d.c.digest == "",
                        d.c.notice.in_(notices[start : start + IN_ONE_MESSAGE]),
                    )
                    .values(digest=id)
                )
                made.append(id)
    return made[:MESSAGES_IN_A_RUN]


class _Sent(msgspec.Struct, frozen=True):
    message: Message
    attempts: int


def send(kernel: Kernel, id: str) -> str:
    """Sends the message ``id``: ``sent``, ``waiting`` for its next try, ``failed`` for good, or ``gone``."""
    found = _message(kernel, id)
    if found is None:
        return "gone"
    error = ""
    try:
        channels.send(kernel.settings, found.message)
    except SendFailed as failed:
        error = str(failed)
    attempts, now = found.attempts + 1, codec.now()
    if not error:
        values: dict[str, Any] = {"status": "sent", "sent_at": now, "error": "", "attempts": attempts}
    elif attempts >= kernel.settings.notify.attempts:
        values = {"status": "failed", "error": error, "attempts": attempts}
    else:
        values = {"status": "waiting", "error": error, "attempts": attempts, "due_at": now + _pause(attempts)}
    d = tables.deliveries
    with kernel.db.write() as connection:
        connection.execute(d.update().where(d.c.digest == id, d.c.status == "waiting").values(values))
    return str(values["status"])


def _pause(attempts: int) -> timedelta:
    """Doubling from a minute to an hour, spread so that channels that failed together do not all come back at once."""
    minutes = min(LONGEST_WAIT_MINUTES, 2 ** min(attempts - 1, 10))
    return timedelta(minutes=minutes * random.uniform(0.8, 1.0))  # noqa: S311 (spreads tries, no secret)


def _message(kernel: Kernel, id: str) -> _Sent | None:
    n, d = tables.notices, tables.deliveries
    query = (
        sa.select(d.c.channel, d.c.address, d.c.attempts, *columns(n, Told))
        .join_from(d, n, n.c.id == d.c.notice)
        .where(d.c.digest == id, d.c.status == "waiting")
    )
    with kernel.db.read() as connection:
        rows = connection.execute(query).all()
    if not rows:
        return None
    told = [to_struct(Told, row[3:]) for row in rows]
    first = rows[0]
    return _Sent(compose(kernel.settings, id, first.channel, first.address, told), first.attempts)


# ---- by hand


def retry(connection: sa.Connection, notice: str = "") -> int:
    """Gives failed deliveries, of one notice or all, their tries again, due now; gives how many deliveries.

    Those that went in one message go in it again. Raises ``NotFound`` where the notice is not there.
    """
    n, d = tables.notices, tables.deliveries
    failed = [d.c.status == "failed"]
    if notice:
        if connection.execute(sa.select(n.c.id).where(n.c.id == notice)).first() is None:
            raise NotFound(f"there is no notice {notice!r}", code="notice-unknown", hint="uwu notices list")
        digests = [one.digest for one in deliveries(connection, [notice]).get(notice, []) if one.status == "failed"]
        failed.append(d.c.digest.in_(digests))
    values = {"status": "waiting", "attempts": 0, "due_at": codec.now()}
    return connection.execute(d.update().where(*failed).values(values)).rowcount


class Tested(msgspec.Struct, frozen=True):
    """What a test of a channel gave."""

    channel: str
    sent: bool
    error: str
    """Why not, without the channel's secrets."""
    message: str
    """The id of the message."""
    at: datetime


def test(kernel: Kernel, channel: str, *, by: str) -> Tested:
    """Sends one message by ``channel`` at once, past outbox, quiet hours and digest. Raises ``NotFound``."""
    channels.known(kernel.settings, channel)
    at = codec.now()
    notice = Told(
        id=codec.new_id("n"),
        kind="notice.test",
        subject=f"channel {channel}",
        owner="",
        owners=(),
        severity="info",
        title=f"This is a test of the channel {channel}",
        detail={"asked for by": by, "since": codec.iso(at)},
        path="/settings",
        created_at=at,
        routed_at=at,
    )
    message = compose(kernel.settings, codec.new_id("m"), channel, "", [notice])
    error = ""
    try:
        channels.send(kernel.settings, message)
    except SendFailed as failed:
        error = str(failed)
    return Tested(channel, not error, error, message.id, at)


JOBS = (Job(DELIVER, _run, concurrency=1),)
SCHEDULES = (
    Schedule(DELIVER, DELIVER, "send what is due to be told", every_minutes=1, when="uwu.kernel.notify.deliver:is_due"),
)
