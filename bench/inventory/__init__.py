"""Inventory: decoding, calls, many cells, throttling, versions over time, one event. Each part is a module of this."""

from __future__ import annotations

import importlib

from bench.harness import Report

PARTS = ("operations", "decoders", "calls", "cells", "throttled", "versions", "event", "ways")


def run(*, quick: bool) -> Report:
    report = Report("inventory")
    for part in PARTS:
        importlib.import_module(f"bench.inventory.{part}").measure(report, quick=quick)
    return report
