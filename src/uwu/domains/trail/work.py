"""Every job of the trail."""

from __future__ import annotations

from uwu.domains.trail import pipeline
from uwu.domains.trail.detect import jobs

JOBS = (*pipeline.JOBS, *jobs.JOBS)
