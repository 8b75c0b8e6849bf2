"""The whole loop on the simulated organisation: everything that was changed by hand is found and explained, fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.harness import Report


def run(*, quick: bool) -> Report:
    report = Report("spine")
    size = ["--accounts", "5", "--resources", "250"] if quick else []
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "UWU_HOME": str(Path(folder) / "home")}
        env.pop("UWU_URL", None)
        began = time.perf_counter()
        done = subprocess.run(
            [str(Path(sys.executable).parent / "uwu"), "demo", "--once", "--json", *size],
            env=env,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        wall = time.perf_counter() - began
    if not done.stdout.strip():
        sys.exit(f"uwu demo ended with {done.returncode} and said nothing:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout)
    for name in ("accounts", "regions", "resources", "relations", "entities", "events", "findings"):
        report.figure(name, told[name])
    for stage, seconds in told["seconds"].items():
        if stage != "total":
            report.figure(f"seconds_{stage}", seconds, unit=" s")
    seeded = told["drifts_seeded"]
    report.bar("drifts_seeded", seeded, at_least=14 if not quick else 1)
    report.bar("drifts_found", told["drifts_found"], at_least=seeded, peer=f"{seeded} seeded")
    report.bar("drifts_explained", told["drifts_explained"], at_least=seeded, peer=f"{seeded} seeded")
    report.bar("false_findings", told["false_findings"], at_most=0)
    report.bar("owned_pct", told["owned_pct"], at_least=99, unit=" %")
    if not quick:
        report.bar("resources_simulated", told["resources"], at_least=600)
    report.bar("seconds_total", round(wall, 2), at_most=60, unit=" s")
    return report
