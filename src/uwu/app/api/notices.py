"""Who was told what, the channels, the schedules, and the settings as they are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from uwu.kernel import audit, codec, effective, notify, schedules, tables
from uwu.kernel.effective import Part
from uwu.kernel.identity import Principal
from uwu.kernel.notify import channels, deliver, notices
from uwu.kernel.notify.deliver import Tested
from uwu.kernel.notify.notices import Page
from uwu.kernel.runtime import Kernel
from uwu.kernel.schedules import Standing

READ = {"action": "notices.read"}
MANAGE = {"action": "notices.manage"}
JOBS = {"action": "jobs.read"}
SETTINGS = {"action": "settings.read"}

TESTED = "channel.test"
"""The audit's action of a test."""

Status = Literal["", "waiting", "sent", "failed", "muted", "untold"]
Id = Annotated[str, Meta(max_length=200)]


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which failed deliveries are tried again."""

    notice: Id = ""
    """Those of one notice; empty for all."""


class Retried(msgspec.Struct, frozen=True):
    """How many deliveries got their tries again."""

    deliveries: int


class Muting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A subject whose notices are sent to nobody for a while."""

    subject: Annotated[str, Meta(min_length=1, max_length=500)]
    hours: Annotated[int, Meta(ge=0, le=8760)]
    """From now; 0 ends it."""
    reason: Annotated[str, Meta(max_length=500)] = ""


class Muted(msgspec.Struct, frozen=True):
    """Until when a subject is muted; null where it no longer is."""

    subject: str
    until: datetime | None


class ChannelState(msgspec.Struct, frozen=True, kw_only=True):
    """A channel, without its address."""

    name: str
    kind: str
    """The scheme of its address: ``mailtos``; empty where the address cannot be read."""
    to_owner: bool
    quiet: str
    timezone: str
    digest_minutes: int
    is_fallback: bool
    routes: int
    """Routes that lead to it."""
    sent_at: datetime | None
    """When it last took a message."""
    waiting: int
    failed: int
    error: str
    """Of the last delivery that is waiting or failed."""


@get("/notices", sync_to_thread=True, opt=READ)
def list_notices(
    kernel: NamedDependency[Kernel],
    status: FromQuery[Status] = "",
    kind: FromQuery[str] = "",
    owner: FromQuery[str | None] = None,
    channel: FromQuery[str] = "",
    subject: FromQuery[str] = "",
    message: FromQuery[str] = "",
    text: FromQuery[str] = "",
    limit: FromQuery[int] = 50,
    after: FromQuery[str] = "",
) -> Page:
    """What was told to whom, newest first. ``kind`` may end in ``.*``; ``status=untold``: no channel took it."""
    with kernel.db.read() as connection:
        return notices.notices(
            connection,
            status=status,
            kind=kind,
            owner=owner,
            channel=channel,
            subject=subject,
            message=message,
            text=text,
            limit=limit,
            after=after,
        )


@post("/notices/retry", sync_to_thread=True, opt=MANAGE, status_code=200)
def retry_notices(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Retry]
) -> Retried:
    """Gives failed deliveries their tries again, at once."""
    return Retried(retry(kernel, principal, data.notice))


@post("/notices/mute", sync_to_thread=True, opt=MANAGE, status_code=200)
def mute_notices(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Muting]
) -> Muted:
    """Sends nothing about a subject for some hours; 0 hours end that."""
    until = codec.now() + timedelta(hours=data.hours) if data.hours else None
    detail = {"until": until, "reason": data.reason}
    with kernel.db.write() as connection:
        if until is None:
            notify.unmute(connection, data.subject)
        else:
            notify.mute(connection, data.subject, until=until, reason=data.reason, by=principal.ref)
        audit.append(
            connection,
            actor=principal.ref,
            action="notice.mute" if until else "notice.unmute",
            subject=data.subject,
            detail=detail,
        )
    return Muted(data.subject, until)


@get("/channels", sync_to_thread=True, opt=READ)
def list_channels(kernel: NamedDependency[Kernel]) -> list[ChannelState]:
    """The channels, and how their deliveries stand; never an address."""
    return channel_states(kernel)


@post("/channels/{name:str}/test", sync_to_thread=True, opt=MANAGE, status_code=200)
def test_channel(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], name: FromPath[str]) -> Tested:
    """Sends one message by a channel at once, and says whether it was taken."""
    return test(kernel, principal, name)[0]


@get("/schedules", sync_to_thread=True, opt=JOBS)
def list_schedules(kernel: NamedDependency[Kernel]) -> list[Standing]:
    """What the workers ask for by themselves: when it ran last and when it runs next."""
    return schedules.standing(kernel)


@get("/settings", sync_to_thread=True, opt=SETTINGS)
def list_settings(kernel: NamedDependency[Kernel]) -> list[Part]:
    """Every setting with its value and its source, by table; secrets are redacted."""
    return effective.parts(kernel.settings)


# ---- what the pages do too


def retry(kernel: Kernel, principal: Principal, notice: str = "") -> int:
    """Gives failed deliveries their tries again and gives how many they are. Raises ``NotFound``."""
    with kernel.db.write() as connection:
        count = deliver.retry(connection, notice)
        audit.append(
            connection,
            actor=principal.ref,
            action="notice.retry",
            subject=notice or "all failed",
            detail={"deliveries": count},
        )
    if count:
        notify.soon(kernel)
    return count


def test(kernel: Kernel, principal: Principal, name: str) -> tuple[Tested, int]:
    """Sends one message by the channel ``name``; gives what came of it, and its entry in the audit.

    Raises ``NotFound``.
    """
    channels.known(kernel.settings, name)
    tested = deliver.test(kernel, name, by=principal.ref)
    with kernel.db.write() as connection:
        entry = audit.append(
            connection,
            actor=principal.ref,
            action=TESTED,
            subject=name,
            detail={"message": tested.message, "sent": tested.sent, "error": tested.error},
        )
    return tested, entry


def channel_states(kernel: Kernel) -> list[ChannelState]:
    """Every channel of the settings with its deliveries."""
    d, settings = tables.deliveries, kernel.settings.notify
    with kernel.db.read() as connection:
        counts = {
            (row.channel, row.status): (row[2], row.sent_at)
            for row in connection.execute(
                sa.select(d.c.channel, d.c.status, sa.func.count(), sa.func.max(d.c.sent_at).label("sent_at")).group_by(
                    d.c.channel, d.c.status
                )
            )
        }
        errors: dict[str, str] = {}
        for name in settings.channels:
            query = sa.select(d.c.error).where(
                d.c.channel == name, d.c.error != "", d.c.status.in_(("waiting", "failed"))
            )
            errors[name] = connection.execute(query.order_by(d.c.due_at.desc()).limit(1)).scalar() or ""
    return [
        ChannelState(
            name=name,
            kind=channels.kind_of(kernel.settings, name),
            to_owner=channel.to_owner,
            quiet=channel.quiet,
            timezone=channel.timezone,
            digest_minutes=channel.digest_minutes,
            is_fallback=settings.fallback == name,
            routes=sum(route.channel == name for route in settings.routes),
            sent_at=counts.get((name, "sent"), (0, None))[1],
            waiting=counts.get((name, "waiting"), (0, None))[0],
            failed=counts.get((name, "failed"), (0, None))[0],
            error=errors[name],
        )
        for name, channel in sorted(settings.channels.items())
    ]


HANDLERS: list[Any] = [
    list_notices,
    retry_notices,
    mute_notices,
    list_channels,
    test_channel,
    list_schedules,
    list_settings,
]
