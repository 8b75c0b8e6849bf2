"""A process that takes in what a queue and a bucket hold until nothing is left, or it is killed."""

from __future__ import annotations

import os
from multiprocessing.synchronize import Event

import pyarrow.compute

from uwu.domains.trail import DOMAIN, ingest, pipeline, receive, standing
from uwu.domains.trail.ingest import Trail
from uwu.kernel.lake import batches, maintain
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AwsSettings, LakeSettings, Settings, TrailSettings

PRELOADED = (pyarrow.compute, batches)
"""What each process would read anew: it is forked from one that has."""

LIMITS = maintain.Limits(compact_files=6, expire_every=4, keep_snapshots=2, grace_seconds=-1, collect_every_seconds=0)
"""Upkeep as eager as it can be, so that kills meet it."""


def kernel_of(home: str, url: str) -> Kernel:
    """A kernel that speaks to the server at ``url``, with small batches."""
    aws = AwsSettings(endpoint_url=url, max_attempts=1)
    lake, trail = LakeSettings(batch_events=60), TrailSettings(reconcile_minutes=1)
    return Kernel(Settings(home=home, aws=aws, lake=lake, trail=trail), (DOMAIN,))


def main(home: str, url: str, source: str, queue: str, up: Event) -> None:
    """Drains the queue and lists the bucket, from wherever the last run was killed."""
    # the server that forks this process was perhaps begun by another test, in another environment
    os.environ.update(AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing")
    receive.VISIBILITY_SECONDS = 1
    ingest.UPKEEP_EVERY = 2
    kernel = kernel_of(home, url)
    ingest.batches(kernel)
    kernel.aws.identity()
    up.set()
    quiet = 0
    while quiet < 2:
        taken = pipeline.drain(kernel, queue, holder="worker", progress=lambda *_: None)
        taken.add(pipeline.reconcile(kernel, Trail(source, queue), holder="worker", progress=lambda *_: None))
        ingest.batches(kernel).maintain(LIMITS)
        with kernel.db.read() as connection:
            waiting = sum(each.waiting for each in standing.sources(connection))
        quiet = quiet + 1 if taken.objects == 0 and waiting == 0 else 0
    kernel.close()
