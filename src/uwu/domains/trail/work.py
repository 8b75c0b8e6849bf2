"""Every job of the trail."""

from __future__ import annotations

from uwu.domains.trail import pipeline

JOBS = (*pipeline.JOBS,)
