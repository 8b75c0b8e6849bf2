"""From the outbox to deliveries: which channels a notice takes, and when it is due there."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.db import columns, to_struct, upsert
from uwu.kernel.notify.notices import SEVERITIES, Told, muted
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import ChannelSettings, NotifySettings

ANNOTATION = "uwu.dev/notify"
"""On a Group or a User of the catalog: the names of the channels that its notices take, separated by commas."""
IN_ONE_WRITE = 200

_EMAIL = re.compile(r"[^@\s<>,;\"]{1,64}@[^@\s<>,;\"]{1,250}")
_log = logging.getLogger("uwu.notify")


class Owner(msgspec.Struct, frozen=True):
    """What the catalog says of how an owner is told."""

    channels: tuple[str, ...] = ()
    email: str = ""


def route(kernel: Kernel) -> int:
    """Decides for every notice of the outbox who is told, and gives how many it decided."""
    decided = 0
    while True:
        with kernel.db.write() as connection:
            count = _some(connection, kernel.settings.notify)
        decided += count
        if count < IN_ONE_WRITE:
            return decided


def _some(connection: sa.Connection, settings: NotifySettings) -> int:
    n, now = tables.notices, codec.now()
    query = sa.select(*columns(n, Told)).where(n.c.routed_at.is_(None)).order_by(n.c.created_at, n.c.id)
    if connection.dialect.name == "postgresql":
        query = query.with_for_update(skip_locked=True)
    told = [to_struct(Told, row) for row in connection.execute(query.limit(IN_ONE_WRITE))]
    if not told:
        return 0
    owners = _owners(connection, {ref for one in told for ref in (one.owner, *one.owners) if ref})
    silent = muted(connection, [one.subject for one in told])
    rows: list[dict[str, Any]] = []
    for one in told:
        for channel, address in sorted(targets(settings, one, owners)):
            rows.append(
                {
                    "notice": one.id,
                    "channel": channel,
                    "address": address,
                    "status": "muted" if one.subject in silent else "waiting",
                    "due_at": due(settings, settings.channels[channel], one.severity, now),
                    "attempts": 0,
                    "digest": "",
                    "sent_at": None,
                    "error": "",
                }
            )
    upsert(connection, tables.deliveries, rows, update=())
    connection.execute(n.update().where(n.c.id.in_([one.id for one in told])).values(routed_at=now))
    return len(told)


def _owners(connection: sa.Connection, refs: Iterable[str]) -> dict[str, Owner]:
    e = tables.entities
    query = sa.select(e.c.ref, e.c.metadata, e.c.spec).where(e.c.ref.in_(sorted(refs)), e.c.orphan.is_(False))
    found: dict[str, Owner] = {}
    for row in connection.execute(query):
        annotated = str(_table(row.metadata.get("annotations")).get(ANNOTATION) or "")
        email = str(_table(row.spec.get("profile")).get("email") or "")
        found[row.ref] = Owner(
            tuple(name.strip() for name in annotated.split(",") if name.strip()),
            email if _EMAIL.fullmatch(email) else "",
        )
    return found


def _table(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def targets(settings: NotifySettings, told: Told, owners: Mapping[str, Owner]) -> set[tuple[str, str]]:
    """(channel, address) of everyone who is told: by the routes that fit, by the owner's annotation, else the fallback.

    The address is the owner's own where the channel goes to the owner and the owner has one; else it is empty.
    """
    found: set[tuple[str, str]] = set()
    for ref in (told.owner, *told.owners):
        owner = owners.get(ref, Owner())
        names = [
            r.channel
            for r in settings.routes
            if fnmatchcase(ref, r.owner)
            and any(fnmatchcase(told.kind, kind) for kind in r.kinds)
            and SEVERITIES.index(told.severity) <= SEVERITIES.index(r.severity)
        ]
        for name in owner.channels:
            if name in settings.channels:
                names.append(name)
            else:
                _log.warning("%s wants notices by the channel %r, which no setting names", ref, name)
        for name in names or ([settings.fallback] if settings.fallback else []):
            found.add((name, owner.email if settings.channels[name].to_owner else ""))
    return found


# ---- when


def due(settings: NotifySettings, channel: ChannelSettings, severity: str, now: datetime) -> datetime:
    """When a notice that is told ``now`` leaves by ``channel``: at once, with the next digest, after quiet hours."""
    if severity == "critical" and settings.critical_at_once:
        return now
    at = now
    if channel.digest_minutes:
        every = timedelta(minutes=channel.digest_minutes)
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        at = epoch + ((at - epoch) // every + 1) * every
    return after_quiet(channel, at)


def after_quiet(channel: ChannelSettings, at: datetime) -> datetime:
    """``at``, or the end of the quiet hours that it falls into."""
    if not channel.quiet:
        return at
    begin, _, end = channel.quiet.partition("-")
    local = at.astimezone(ZoneInfo(channel.timezone))
    time = f"{local:%H:%M}"
    overnight = begin > end
    is_quiet = (time >= begin or time < end) if overnight else begin <= time < end
    if not is_quiet:
        return at
    morning = local.replace(hour=int(end[:2]), minute=int(end[3:]), second=0, microsecond=0)
    if overnight and time >= begin:
        morning += timedelta(days=1)
    return morning.astimezone(UTC)
