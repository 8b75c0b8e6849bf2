"""Periodic jobs: each slot is asked for once, however many workers there are.

Every worker of a server looks every few seconds. A slot's run has an id made of the schedule's name and the slot's
time, and asking for a run twice is asking once; so two workers that look at the same moment, and one that is killed
between asking and recording, still make one run. Slots that passed while no worker ran are made up for by one run.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from uwu.kernel import codec, domain, jobs, parts, tables
from uwu.kernel.db import upsert
from uwu.kernel.domain import Schedule
from uwu.kernel.errors import Misconfigured, UwuError
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

CHECK_SECONDS = 5.0
"""How often a worker looks for what is due."""

_log = logging.getLogger("uwu.schedules")
_DAILY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands."""

    name: str
    job: str
    summary: str
    every_minutes: int
    daily: str
    """``HH:MM``, UTC; empty for one that runs every so many minutes."""
    state: str
    """on, paused (by the setting ``schedule.paused``) or off (every 0 minutes)."""
    on_demand: bool
    """A slot without anything to do passes without a run."""
    last_at: datetime | None
    """When its latest run was asked for."""
    last_job: str
    last_status: str
    """Of that run; empty where there is none or its record was deleted."""
    next_at: datetime | None
    """The next slot; None for one that does not run or that no worker has seen yet."""


def all_of(kernel: Kernel) -> list[Schedule]:
    """Every schedule of the kernel and of its domains, by name. Raises ``Misconfigured`` for one that cannot be."""
    minutes = kernel.settings.schedule.sync_minutes
    found: dict[str, Schedule] = {}
    for schedule in (
        Schedule("sync", "sync", "read, observe, take in events, judge", every_minutes=minutes),
        *parts.schedules(),
        *(schedule for each in kernel.domains for schedule in each.schedules),
    ):
        if schedule.name in found:
            raise _wrong(schedule, "stands twice")
        if ":" in schedule.name or (schedule.daily and not _DAILY.fullmatch(schedule.daily)):
            raise _wrong(schedule, "needs a name without a colon, and a daily time as HH:MM")
        found[schedule.name] = schedule
    return [found[name] for name in sorted(found)]


def state_of(settings: Settings, schedule: Schedule) -> str:
    """on, paused or off."""
    if {"*", schedule.name} & set(settings.schedule.paused):
        return "paused"
    return "on" if schedule.daily or schedule.every_minutes > 0 else "off"


def slot_at(schedule: Schedule, anchor: datetime, now: datetime) -> datetime:
    """The latest slot of ``schedule`` that is not after ``now``."""
    if match := _DAILY.fullmatch(schedule.daily):
        today = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
        return today if today <= now else today - timedelta(days=1)
    every = timedelta(minutes=schedule.every_minutes)
    return anchor + (now - anchor) // every * every


def next_slot(schedule: Schedule, anchor: datetime, now: datetime) -> datetime:
    """The first slot after ``now``."""
    every = timedelta(days=1) if schedule.daily else timedelta(minutes=schedule.every_minutes)
    return slot_at(schedule, anchor, now) + every


def check(kernel: Kernel) -> list[str]:
    """Asks for the run of each schedule whose slot has come, and gives the runs' ids.

    A schedule that is seen for the first time waits for its next slot. One that fails to be asked for is logged and
    tried again at the next look; the others are not held up. Raises ``Unavailable`` where the database is away.
    """
    now = codec.now()
    t = tables.schedules
    on = [schedule for schedule in all_of(kernel) if state_of(kernel.settings, schedule) == "on"]
    with kernel.db.read() as connection:
        known = {row.name: row for row in connection.execute(sa.select(t))}
    new = [schedule for schedule in on if schedule.name not in known]
    if new:
        anchor = now.replace(microsecond=0)
        with kernel.db.write() as connection:
            rows = [
                {"name": s.name, "anchor_at": anchor, "slot_at": slot_at(s, anchor, now), "job": "", "asked_at": None}
                for s in new
            ]
            upsert(connection, t, rows, update=())
    asked: list[str] = []
    for schedule in on:
        row = known.get(schedule.name)
        if row is None or (slot := slot_at(schedule, row.anchor_at, now)) <= row.slot_at:
            continue
        try:
            if schedule.when and not domain.load(schedule.when)(kernel):
                continue
            asked.append(_ask(kernel, schedule, slot))
        except (UwuError, exc.SQLAlchemyError):
            raise
        except Exception:  # a domain's own question must not stop the schedules of the others
            _log.exception("the schedule %s could not be asked for", schedule.name)
    return asked


def _ask(kernel: Kernel, schedule: Schedule, slot: datetime) -> str:
    id = kernel.jobs.enqueue(
        schedule.job,
        schedule.arguments,
        id=f"{schedule.name}-{slot:%Y%m%dT%H%M%SZ}",
        requested_by=f"schedule:{schedule.name}",
        key=jobs.key_of(schedule.job, schedule.arguments),
    )
    t = tables.schedules
    with kernel.db.write() as connection:
        connection.execute(
            t.update()
            .where(t.c.name == schedule.name, t.c.slot_at < slot)
            .values(slot_at=slot, job=id, asked_at=codec.now())
        )
    return id


def standing(kernel: Kernel) -> list[Standing]:
    """Every schedule as it stands, by name."""
    now = codec.now()
    t, j = tables.schedules, tables.jobs
    query = sa.select(t, j.c.status).select_from(t.outerjoin(j, j.c.id == t.c.job))
    with kernel.db.read() as connection:
        rows = {row.name: row for row in connection.execute(query)}
    found: list[Standing] = []
    for schedule in all_of(kernel):
        row, state = rows.get(schedule.name), state_of(kernel.settings, schedule)
        waits = row is not None and state == "on"
        found.append(
            Standing(
                name=schedule.name,
                job=schedule.job,
                summary=schedule.summary,
                every_minutes=schedule.every_minutes,
                daily=schedule.daily,
                state=state,
                on_demand=bool(schedule.when),
                last_at=row.asked_at if row is not None else None,
                last_job=row.job if row is not None else "",
                last_status=(row.status or "") if row is not None else "",
                next_at=next_slot(schedule, row.anchor_at, now) if row is not None and waits else None,
            )
        )
    return found


def _wrong(schedule: Schedule, why: str) -> Misconfigured:
    return Misconfigured(
        f"the schedule {schedule.name!r} {why}", code="schedule-wrong", hint="mend or remove the domain that brings it"
    )
