"""The whole loop on the simulated organisation: everything that was changed by hand is found and explained, fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.harness import Report

UWU = str(Path(sys.executable).parent / "uwu")
DATA = Path(os.environ.get("UWU_TEST_DATA") or Path(__file__).parent.parent.parent / "shared" / "data")


def run(*, quick: bool) -> Report:
    report = Report("spine")
    _simulated(report, quick=quick)
    if DATA.is_dir():
        _real(report)
    else:
        print(f"no real data at {DATA} (UWU_TEST_DATA): its figures are left out", file=sys.stderr)
    return report


def _uwu(home: str, *arguments: str) -> Any:
    env = {k: v for k, v in os.environ.items() if not k.startswith("UWU_")} | {"UWU_HOME": home}
    command = [UWU, *arguments, "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    if not done.stdout.strip():
        sys.exit(f"uwu {' '.join(arguments)} ended with {done.returncode} and said nothing:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _real(report: Report) -> None:
    """2,900 real events of an attack exercise, twice; and 33 real Terraform states."""
    with tempfile.TemporaryDirectory() as home:
        first = _uwu(home, "trail", "ingest", str(DATA / "cloudtrail" / "invictus"))
        again = _uwu(home, "trail", "ingest", str(DATA / "cloudtrail" / "invictus"))
        report.bar("real_events", first["events"], at_least=2900)
        report.bar("real_events_added_again", again["events"], at_most=0)
        report.bar(
            "real_writes_named_pct",
            first["named_pct"],
            at_least=95,
            unit=" %",
            peer=f"{_own_names():.0f} % by resources[]",
        )
        report.bar("real_actors_named_pct", first["actor_pct"], at_least=99, unit=" %")
    from uwu.domains.iac import state

    states = sorted((DATA / "terraform-states").glob("*.tfstate"))
    loaded = 0
    for path in states:
        try:
            state.parse(path.read_bytes(), path.name)
            loaded += 1
        except Exception as error:  # a state that does not load is a figure here, with its reason on the screen
            print(f"{path.name}: {error}", file=sys.stderr)
    report.bar("real_states_loaded", loaded, at_least=len(states))


def _own_names() -> float:
    """Of the successful writes, the share that names a resource by itself, in percent."""
    records = [
        record
        for path in (DATA / "cloudtrail" / "invictus").glob("*.json")
        for record in json.loads(path.read_bytes())["Records"]
        if not record.get("readOnly") and not record.get("errorCode")
    ]
    return 100.0 * sum(bool(record.get("resources")) for record in records) / len(records)


def _simulated(report: Report, *, quick: bool) -> None:
    size = ["--accounts", "4", "--resources", "80"] if quick else []
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        told = _uwu(str(Path(folder) / "home"), "demo", "--once", *size)
        wall = time.perf_counter() - began
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
    planted = told["postures_planted"]
    report.bar("postures_planted", planted, at_least=6)
    report.bar("postures_found", told["postures_found"], at_least=planted, peer=f"{planted} planted")
    report.bar("postures_false", told["postures_false"], at_most=0)
    known = told["owners_known"]
    right = 100 * told["owners_right"] / known
    report.bar("owners_right_pct", right, at_least=99, unit=" %", peer=f"{known} made by teams")
    report.bar("owners_wrong", len(told["owners_wrong"]), at_most=0)
    report.bar("owned_pct", told["owned_pct"], at_least=99, unit=" %")
    if not quick:
        report.bar("resources_simulated", told["resources"], at_least=600)
    report.bar("seconds_total", round(wall, 2), at_most=60, unit=" s")
