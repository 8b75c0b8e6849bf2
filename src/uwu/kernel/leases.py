"""Leases: one holder at a time does a thing; the epoch tells an old holder from the present one.

A lease is a row. Whoever takes it raises the epoch, so that work begun under an older epoch can be refused where
it is recorded. Times are the database clients' clocks: keep leases long against clock skew (tens of seconds).
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from uwu.kernel import codec
from uwu.kernel.db import Database, upsert
from uwu.kernel.errors import Conflict
from uwu.kernel.tables import leases


@dataclass(frozen=True)
class Lease:
    """A lease that was taken: valid until ``expires_at`` unless renewed."""

    name: str
    holder: str
    epoch: int
    expires_at: datetime


def process_holder() -> str:
    """A name for this process, for where no stable worker name is at hand."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"


def take(db: Database, name: str, holder: str, seconds: float) -> Lease | None:
    """The lease ``name``, with a new epoch; None while another holds it. The present holder may take it again."""
    now = codec.now()
    expires = now + timedelta(seconds=seconds)
    with db.write() as connection:
        upsert(
            connection, leases, [{"name": name, "holder": "", "epoch": 0, "expires_at": now}], update=()
        )  # the row must be there for its lock to order two takers
        epoch = connection.execute(
            sa.update(leases)
            .where(
                leases.c.name == name,
                sa.or_(leases.c.expires_at <= now, leases.c.holder == "", leases.c.holder == holder),
            )
            .values(holder=holder, epoch=leases.c.epoch + 1, expires_at=expires)
            .returning(leases.c.epoch)
        ).scalar_one_or_none()
    return None if epoch is None else Lease(name, holder, int(epoch), expires)


def renew(db: Database, lease: Lease, seconds: float) -> bool:
    """Prolongs ``lease``; False where another has taken it, even once it has expired."""
    with db.write() as connection:
        changed = connection.execute(
            sa.update(leases)
            .where(leases.c.name == lease.name, leases.c.holder == lease.holder, leases.c.epoch == lease.epoch)
            .values(expires_at=codec.now() + timedelta(seconds=seconds))
        ).rowcount
    return changed == 1


def release(db: Database, lease: Lease) -> None:
    """Gives ``lease`` back; nothing happens where another has taken it."""
    with db.write() as connection:
        connection.execute(
            sa.update(leases)
            .where(leases.c.name == lease.name, leases.c.holder == lease.holder, leases.c.epoch == lease.epoch)
            .values(holder="", expires_at=codec.now())
        )


@contextmanager
def hold(db: Database, name: str, holder: str, seconds: float = 60.0, wait: float = 30.0) -> Generator[Lease]:
    """Holds the lease ``name`` within the block, waiting up to ``wait`` seconds for it.

    Raises ``Conflict`` (``lease-held``) naming the holder where it is not free in time.
    """
    deadline = time.monotonic() + wait
    pause = 0.02
    while (lease := take(db, name, holder, seconds)) is None:
        if time.monotonic() >= deadline:
            with db.read() as connection:
                other = connection.execute(sa.select(leases.c.holder).where(leases.c.name == name)).scalar_one_or_none()
            raise Conflict(
                f"{name!r} is held by {other or 'another'}",
                code="lease-held",
                hint=f"try again; a holder that died loses it after {seconds:.0f} seconds",
            )
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (spreads the waiters, no secret)
        pause = min(pause * 2, 0.5)
    try:
        yield lease
    finally:
        release(db, lease)
