"""Every job of the trail."""

from __future__ import annotations

from uwu.domains.trail import pipeline
from uwu.domains.trail.detect import jobs
from uwu.domains.trail.digests import verify

JOBS = (*pipeline.JOBS, *jobs.JOBS, *verify.JOBS)
