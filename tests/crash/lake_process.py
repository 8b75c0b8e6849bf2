"""A process that takes keys into a lake until it is done or killed."""

from __future__ import annotations

from multiprocessing.synchronize import Event

import pyarrow as pa

from tests.kernel.lake_world import EVENTS, NAMES, events, names
from uwu.kernel.db import Database
from uwu.kernel.lake import Batch, Batches, Lake, maintain
from uwu.kernel.settings import Settings

LIMITS = maintain.Limits(compact_files=6, expire_every=4, keep_snapshots=2, grace_seconds=-1, collect_every_seconds=0)
"""Upkeep as eager as it can be, so that kills meet it: an orphan is collected as soon as it is one."""
KEYS_PER_BATCH = 10


def ingest(batches: Batches, batch: Batch) -> None:
    """Reads, writes and commits one batch."""
    rows = {
        "events": pa.concat_tables([events(key, 20) for key in batch.keys]),
        "names": pa.concat_tables([names(key) for key in batch.keys]),
    }
    batches.write(batch, rows)
    batches.commit()


def main(home: str, count: int, up: Event) -> None:
    """Takes ``count`` keys in, from wherever the last run was killed."""
    settings = Settings(home=home)
    up.set()
    batches = Batches(Database(settings.state_url), Lake(settings), "trail", (EVENTS, NAMES), holder="worker")
    keys = [f"object-{n}" for n in range(count)]
    for batch in batches.recover():
        ingest(batches, batch)
    batches.commit()
    done = 0
    while free := batches.unclaimed(keys):
        # redelivery: keys that were taken in already come again
        batch = batches.claim([*keys[:2], *free[:KEYS_PER_BATCH]])
        if batch is not None:
            ingest(batches, batch)
        done += 1
        if done % 2 == 0:
            batches.maintain(LIMITS)
