"""What has had its time is deleted: answers kept for repeated requests, ended sessions, sign-ins, old notices."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from uwu.kernel import codec, tables
from uwu.kernel.db import ROWS_PER_WRITE
from uwu.kernel.domain import Schedule
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel

ANSWERS_KEPT = timedelta(hours=24)
"""How long a request that is repeated with the same idempotency key gets the same answer."""
ENDED_KEPT = timedelta(days=1)
"""How long a session or a sign-in stays after its end: its page can still say that it has ended."""


def cleanup(kernel: Kernel) -> dict[str, int]:
    """Deletes what is past its time, and gives how many rows of each table."""
    now = codec.now()
    i, s, g, n, d = tables.idempotency, tables.sessions, tables.sign_ins, tables.notices, tables.deliveries
    told_before = now - timedelta(days=kernel.settings.notify.keep_days)
    waiting = sa.select(d.c.notice).where(d.c.notice == n.c.id, d.c.status == "waiting").exists()
    deleted = {
        "idempotency": _delete(kernel, i, i.c.key, i.c.created_at < now - ANSWERS_KEPT),
        "sessions": _delete(kernel, s, s.c.id, s.c.expires_at < now - ENDED_KEPT),
        "sign_ins": _delete(kernel, g, g.c.key, g.c.expires_at < now - ENDED_KEPT),
        "notices": _delete(kernel, n, n.c.id, sa.and_(n.c.created_at < told_before, ~waiting)),
    }
    known = sa.select(n.c.id).where(n.c.id == d.c.notice).exists()
    deleted["deliveries"] = _delete(kernel, d, d.c.notice, ~known)
    return deleted


def _delete(kernel: Kernel, table: sa.Table, key: sa.Column[Any], where: sa.ColumnElement[bool]) -> int:
    deleted = 0
    while True:
        with kernel.db.write() as connection:
            keys = sa.select(key).where(where).limit(ROWS_PER_WRITE).scalar_subquery()
            count = connection.execute(table.delete().where(key.in_(keys))).rowcount
        deleted += count
        if not count:
            return deleted


def _run(run: Run, arguments: Mapping[str, Any]) -> dict[str, Any]:
    del arguments
    return run.step(cleanup, run.kernel, name="cleanup")


JOBS = (Job("cleanup", _run, concurrency=1),)
SCHEDULES = (Schedule("cleanup", "cleanup", "delete what has had its time", daily="03:20"),)
