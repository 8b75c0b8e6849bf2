"""The catalog at 100,000 entities: reading an estate whole and after one change, and Backstage's questions to it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from bench.harness import Report
from bench.platform import ROOT, Server, p50, p95
from uwu.kernel import domain
from uwu.kernel.estate.reconcile import reconcile
from uwu.kernel.runtime import Kernel

ENTITIES, QUICK_ENTITIES = 100_000, 10_000
A_FILE = 10
"""Entities of one file: a service with its APIs, resources and a system."""
A_TEAM = 200
LONG_AGO = 1_700_000_000


def run(*, quick: bool) -> Report:
    report = Report("catalog")
    entities = QUICK_ENTITIES if quick else ENTITIES
    with tempfile.TemporaryDirectory() as folder:
        home, estate = Path(folder) / "home", Path(folder) / "estate"
        home.mkdir()
        (home / "uwu.toml").write_text(f'estate = ["{estate}"]\n')
        files = _write_estate(estate, entities)
        report.figure("entities", entities)
        report.figure("files", files)
        report.figure("load_average_before", round(os.getloadavg()[0], 1), peer=f"{os.cpu_count()} cores")
        Kernel.open(home).close()
        whole = _child(home)
        if quick:
            report.figure("reconcile_whole_s", whole["seconds"], unit=" s")
        else:
            report.bar("reconcile_whole_s", whole["seconds"], at_most=60, unit=" s")
        report.figure("entities_per_s", round(entities / whole["seconds"]))
        report.bar("reconcile_rss_mb", whole["rss_mb"], at_most=1_000, unit=" MB", peer="with the processes that read")
        report.figure("database_mb", round((home / "state.db").stat().st_size / 1e6), unit=" MB")
        again = _child(home)
        report.figure("reconcile_unchanged_s", again["seconds"], unit=" s", peer=f"{again['read']:,.0f} files read")
        _one_file(report, home, estate, times=5 if quick else 20)
        with Server(home) as server:
            _questions(report, server, entities, times=5 if quick else 20)
    return report


def _write_estate(folder: Path, entities: int) -> int:
    """An estate of teams, one system for each, and components that depend on one another; gives how many files."""
    teams = max(1, entities // A_TEAM)
    documents = [
        *(_document("Group", f"team-{team}", "spec: {type: team, children: []}") for team in range(teams)),
        *(_document("System", f"system-{team}", f"spec: {{owner: team-{team}}}") for team in range(teams)),
    ]
    documents += [_component(number, teams) for number in range(entities - len(documents))]
    files = 0
    for start in range(0, len(documents), A_FILE):
        path = folder / f"{start // 1000:03}" / f"catalog-{start}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("---\n".join(documents[start : start + A_FILE]))
        os.utime(path, (LONG_AGO, LONG_AGO))
        files += 1
    return files


def _document(kind: str, name: str, rest: str) -> str:
    return f"apiVersion: backstage.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\n{rest}\n"


def _component(number: int, teams: int) -> str:
    return f"""\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: part-{number}
  title: Part {number}
  description: Part {number} of the shop, which does one thing and does it well
  tags: [java, tier{number % 3}]
  annotations:
    github.com/project-slug: shop/part-{number}
    backstage.io/techdocs-ref: dir:.
spec:
  type: {"service" if number % 3 else "library"}
  lifecycle: {"production" if number % 10 else "experimental"}
  owner: team-{number % teams}
  system: system-{number % teams}
  dependsOn: [component:part-{max(0, number - 1)}]
"""


def _child(home: Path) -> dict[str, float]:
    """A reconciliation in a process of its own, for its memory."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.catalog", str(home)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _reconcile(home: Path) -> None:
    kernel = Kernel.open(home)
    began = time.perf_counter()
    found = reconcile(kernel.db, kernel.settings.estate_paths, domain.kinds_of(kernel.domains))
    seconds = time.perf_counter() - began
    kernel.close()
    own, readers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # of the children only the largest is told: as many are as there are cores
    rss = (own + readers * min(4, os.cpu_count() or 1) * bool(found.read > 1_000)) / 1024
    print(json.dumps({"seconds": round(seconds, 2), "rss_mb": round(rss), "read": found.read}))


def _one_file(report: Report, home: Path, estate: Path, *, times: int) -> None:
    kernel = Kernel.open(home)
    kinds = domain.kinds_of(kernel.domains)
    paths = sorted(estate.rglob("*.yaml"))
    taken: list[float] = []
    for turn in range(times + 1):
        path = paths[len(paths) // 2 + turn]
        path.write_text(path.read_text().replace("does one thing", f"does {turn + 2} things"))
        os.utime(path, (LONG_AGO + turn + 1, LONG_AGO + turn + 1))
        began = time.perf_counter()
        found = reconcile(kernel.db, kernel.settings.estate_paths, kinds)
        if turn:
            taken.append(1000 * (time.perf_counter() - began))
        if (found.read, found.changed) != (1, A_FILE):
            sys.exit(f"{found.read} files read and {found.changed} entities changed instead of 1 and {A_FILE}")
    kernel.close()
    report.figure("one_file_p50_ms", p50(taken), unit=" ms", peer=f"{A_FILE} entities changed")
    report.bar("one_file_p95_ms", p95(taken), at_most=200, unit=" ms", peer=f"{len(paths):,} files looked at")


def _questions(report: Report, server: Server, entities: int, *, times: int) -> None:
    api = "/api/catalog"
    some = entities // 2
    asked = {
        "by_kind": [f"{api}/entities/by-query?filter=kind=component&limit=20"],
        "by_owner": [f"{api}/entities/by-query?filter=kind=component,spec.owner=team-{n}&limit=50" for n in (1, 7)],
        "by_relation": [f"{api}/entities/by-query?filter=relations.ownedBy=group:default/team-{n}" for n in (2, 9)],
        "by_two_kinds": [f"{api}/entities/by-query?filter=kind=system&filter=kind=group"],
        "ordered": [f"{api}/entities/by-query?filter=kind=component&orderField={quote('metadata.name,desc')}"],
        "by_type_ordered": [
            f"{api}/entities/by-query?filter=kind=component,spec.lifecycle=experimental&orderField={quote('metadata.name,asc')}"
        ],
        "by_text": [f"{api}/entities/by-query?fullTextFilterTerm=part-{some}&fullTextFilterFields=metadata.name"],
        "next_pages": list(_cursors(server, f"{api}/entities/by-query?filter=kind=component&limit=20", 5)),
        "by_name": [f"{api}/entities/by-name/component/default/part-{n}" for n in (1, some, some + 7)],
        "facets": [f"{api}/entity-facets?facet=spec.type&filter=kind=component"],
    }
    worst = 0.0
    for name, paths in asked.items():
        taken = server.timed(paths, times)
        report.figure(f"{name}_p50_ms", p50(taken), unit=" ms")
        if name == "facets":
            report.figure(f"{name}_p95_ms", p95(taken), unit=" ms")
            continue
        worst = max(worst, p95(taken))
        report.bar(f"{name}_p95_ms", p95(taken), at_most=100, unit=" ms")
    report.bar("by_query_worst_p95_ms", worst, at_most=100, unit=" ms")


def _cursors(server: Server, path: str, count: int) -> Iterator[str]:
    """The addresses of the pages that follow ``path``."""
    for _ in range(count):
        cursor = json.loads(server.get(path).text())["pageInfo"]["nextCursor"]
        path = f"/api/catalog/entities/by-query?limit=20&cursor={quote(cursor, safe='')}"
        yield path


if __name__ == "__main__":
    _reconcile(Path(sys.argv[1]))
