"""One turn of the loop as a durable job: declare, observe, take in events, settle ownership, judge drift, grade."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uwu.kernel import codec, drift, entropy, ownership
from uwu.kernel.domain import Domain, Phase
from uwu.kernel.errors import BadInput
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel

SCOPE = frozenset({"accounts", "regions", "types"})
"""How a sync of one domain can be narrowed."""


def steps(domains: tuple[Domain, ...], only: str = "") -> list[tuple[str, str]]:
    """(domain, job) in the order in which a sync runs them. Raises ``BadInput`` for a domain that is not there."""
    if only and only not in {d.name for d in domains}:
        names = ", ".join(sorted(d.name for d in domains))
        raise BadInput(f"there is no domain {only!r}", code="domain-unknown", hint=f"one of: {names}")
    planned = [(phase, d.name, job) for d in domains if only in ("", d.name) for phase, job in d.sync]
    return [(name, job) for _, name, job in sorted(planned, key=lambda p: p[0])]


def scope(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What of its domain a sync is asked to read: accounts, regions, types. Its jobs know what that means.

    Raises ``BadInput`` for a scope without a domain and for an argument that a sync does not take.
    """
    given = {name: value for name, value in arguments.items() if name != "domain" and value}
    if unknown := sorted(given.keys() - SCOPE):
        raise BadInput(
            f"a sync takes no {unknown[0]!r}", code="sync-scope", hint=f"one of: domain, {', '.join(sorted(SCOPE))}"
        )
    if given and not arguments.get("domain"):
        raise BadInput(
            "only the sync of one domain can be narrowed", code="sync-scope", hint="uwu sync inventory --account ..."
        )
    return given


def _sync(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    planned = steps(run.kernel.domains, str(arguments.get("domain") or ""))
    narrowed = scope(arguments)
    graded = [step for step in planned if step in _grading(run.kernel.domains)]
    for name, job in planned:
        if (name, job) not in graded:
            run.progress(name)
            results[job] = run.fan_out(job, [narrowed], keys=[job])[0]
    run.progress("ownership")
    results["ownership"] = run.step(_settle, run.kernel, name="settle")
    run.progress("drift")
    results["drift"] = run.step(_judge, run.kernel, name="judge")
    for name, job in graded:
        run.progress(name)
        results[job] = run.fan_out(job, [narrowed], keys=[job])[0]
    return results


def _grading(domains: tuple[Domain, ...]) -> set[tuple[str, str]]:
    return {(d.name, job) for d in domains for phase, job in d.sync if phase >= Phase.GRADE}


def _settle(kernel: Kernel) -> Any:
    settled = ownership.settle(kernel)
    return {**codec.builtins(settled), "owned_pct": round(settled.owned_pct, 2)}


def _judge(kernel: Kernel) -> Any:
    judged = drift.judge(kernel)
    whole = entropy.record(kernel)
    return {**codec.builtins(judged), "entropy": whole.entropy if whole is not None else None}


JOBS = (Job("sync", _sync, concurrency=1),)
