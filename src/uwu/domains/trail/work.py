"""Every job of the trail."""

from __future__ import annotations

from uwu.domains.trail import ingest
from uwu.domains.trail.detect import jobs

JOBS = (*ingest.JOBS, *jobs.JOBS)
