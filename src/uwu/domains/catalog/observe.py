"""The jobs of the catalog: it reads the estate: entities of every domain's kinds, with their relations."""

from __future__ import annotations

from typing import Any

from uwu.domains.catalog import orphans
from uwu.domains.catalog.scorecards import judge
from uwu.kernel import codec, domain
from uwu.kernel.estate.reconcile import reconcile
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel


def _load(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
    run.progress("reading the estate")
    result = run.step(load_estate, run.kernel, name="load")
    for problem in result["problems"]:
        text = f"{problem.get('place', '')}: {problem['message']} [{problem['code']}]"
        run.log(text, level=problem.get("severity", "error"), data=problem)
    counted = result["problems_total"]
    run.log(
        f"{result['entities']} entities, {result['changed']} changed, {result['orphaned']} orphaned, {counted} problems"
    )
    return result


def load_estate(kernel: Kernel) -> dict[str, Any]:
    """Makes what ``settings.estate_paths`` hold what is declared. Repeating it changes nothing.

    What cannot be read keeps what was accepted from it before; an entity whose source is gone becomes an orphan.
    """
    found = reconcile(kernel.db, kernel.settings.estate_paths, domain.kinds_of(kernel.domains))
    return codec.builtins(found)


JOBS = (Job("catalog.load", _load, concurrency=1), *orphans.JOBS, *judge.JOBS)
