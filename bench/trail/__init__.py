"""The trail: ingest against its bound, search over millions of events, commits over time. Each part is a module."""

from __future__ import annotations

import importlib
import importlib.util

from bench.harness import Report

PARTS = ("ingest", "search", "commits", "detect", "delivery", "remote")
"""In the order that they run; a part that is not there is passed over."""


def run(*, quick: bool) -> Report:
    report = Report("trail")
    for part in PARTS:
        if importlib.util.find_spec(f"bench.trail.{part}") is not None:
            importlib.import_module(f"bench.trail.{part}").measure(report, quick=quick)
    return report
