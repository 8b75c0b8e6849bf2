"""How much of AWS can be listed with no code of its own, and what the catalog of it costs to have at hand."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.harness import Report
from uwu.domains.inventory import services
from uwu.domains.inventory.catalog import build, model
from uwu.kernel.settings import InventorySettings

_TIMED = """
import time
from uwu.domains.inventory.catalog import model
began = time.perf_counter()
model.load()
print(time.perf_counter() - began)
"""


def measure(report: Report, *, quick: bool) -> None:
    """Operations that list without an argument and those asked for each item of such a list; the time to load them."""
    rows = model.load().rows
    lists = {(row.service, row.operation) for row in rows if row.form == "list"}
    report.bar("operations listed with no argument of their own", len(lists), at_least=2_100)
    report.bar("operations asked for each item of such a list", len(rows) - len(lists), at_least=2_000)
    report.figure("operations whose list or parent the models do not tell", model.load().unclear)
    for chosen in ("core", "curated", "all"):
        held = services.collected(InventorySettings(types=(chosen,)))
        report.figure(f"types of {chosen}", sum(map(len, held.values())))
    tries = [float(subprocess.check_output([sys.executable, "-c", _TIMED])) for _ in range(3 if quick else 9)]
    report.bar("load the catalog, in a process of its own", min(tries) * 1000, at_most=50, unit=" ms")
    if not quick:
        began = time.perf_counter()
        build.build()
        report.figure("generate the catalog from botocore's models", time.perf_counter() - began, unit=" s")
