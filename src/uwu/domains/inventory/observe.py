"""The jobs that read AWS: accounts first, then one durable shard for each (account, region, group of services)."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.inventory import reader
from uwu.domains.inventory.model import SOURCE, Scope
from uwu.domains.inventory.names import resolve_names
from uwu.domains.inventory.reader import Observation
from uwu.domains.inventory.services import ACCOUNT, GROUPS, SERVICES, shards
from uwu.kernel import codec, graph, tables
from uwu.kernel.aws import Failure, Organization
from uwu.kernel.aws_errors import REGION_OFF
from uwu.kernel.errors import Problem, UwuError
from uwu.kernel.graph import Delta
from uwu.kernel.jobs import Job, Run
from uwu.kernel.model import Cell, CellStatus, Outcome, Resource
from uwu.kernel.runtime import Kernel

SHARD = "inventory.shard"


def _sync(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
    """Discovers the accounts, observes every shard of them and resolves names to what they lead to."""
    run.progress("accounts")
    told = run.step(discover, run.kernel, name="discover")
    for problem in told["problems"]:
        run.log(problem["message"], level="warning", data=problem)
    planned = [shard for account in told["accounts"] for shard in shards(account, told["regions"], told["home_region"])]
    arguments = [{"account": a, "region": r, "services": s} for a, r, s in planned]
    results = run.fan_out(SHARD, arguments, keys=["/".join(shard) for shard in planned])
    counts = Counter(told["counts"])
    broken: list[dict[str, Any]] = []
    for shard, result in zip(arguments, results, strict=True):
        if "problem" in result:
            broken.append({**shard, "problem": result["problem"]})
        else:
            counts.update(result)
    if broken:
        run.log(f"{len(broken)} shards failed", level="error", data=broken)
        counts.update(run.step(note_broken, run.kernel, broken, name="broken"))
    names = run.step(resolve_names, run.kernel, name="names")
    unseen = run.step(not_observed, run.kernel, told["denied"], name="unseen")
    for problem in unseen:
        run.log(f"{problem['place']}: {problem['message']} [{problem['code']}]", level="warning", data=problem)
    return {
        **counts,
        "accounts": len(told["accounts"]),
        "accounts_denied": told["denied"],
        "names_resolved": names,
        "problems": [*told["problems"], *unseen],
    }


def _shard(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    account, region, group = (str(arguments[name]) for name in ("account", "region", "services"))
    return run.step(observe_shard, run.kernel, account, region, GROUPS[group], name="observe")


JOBS = (Job("inventory.sync", _sync), Job(SHARD, _shard))


# ---- steps: each may run again after a kill, and then finds the world as it is


def discover(kernel: Kernel) -> dict[str, Any]:
    """Observes the accounts and tries the role in each; every cell of an account that refuses is denied at once.

    Raises ``Denied`` (code ``aws-credentials``) where the caller's own credentials are not good.
    """
    settings = kernel.settings.aws
    organization = kernel.aws.organization()
    seen = [_accounts(kernel, organization)]
    problems = [codec.builtins(problem) for problem in organization.problems]
    active = [account.id for account in organization.accounts if account.status in {"", "ACTIVE"}]
    with ThreadPoolExecutor(settings.concurrency, thread_name_prefix="assume") as pool:
        refusals = dict(zip(active, pool.map(lambda account: _refusal(kernel, account), active), strict=True))
    for account, refusal in refusals.items():
        if refusal is not None:
            problems.append({"code": refusal.code, "message": refusal.message, "place": account, "hint": refusal.hint})
            seen.extend(_not_seen(shards(account, settings.regions, settings.home_region), refusal))
    return {
        "accounts": [account for account, refusal in refusals.items() if refusal is None],
        "denied": [account for account, refusal in refusals.items() if refusal is not None],
        "problems": problems,
        "regions": list(settings.regions),
        "home_region": settings.home_region,
        "counts": _record_all(kernel, seen),
    }


def observe_shard(kernel: Kernel, account: str, region: str, services: Sequence[str]) -> dict[str, int]:
    """Observes ``services`` of one account and region and writes each of its cells in a transaction of its own."""
    scope = Scope(account, region, kernel.aws.identity().partition)
    cells = (reader.observe(kernel.aws, scope, service, SERVICES[service]) for service in services)
    return _record_all(kernel, itertools.chain.from_iterable(cells))


def note_broken(kernel: Kernel, broken: list[dict[str, Any]]) -> dict[str, int]:
    """Writes into the ledger that these shards ended in an error of our own: what they held is not known."""
    seen: list[Observation] = []
    for shard in broken:
        problem = shard["problem"]
        failure = Failure(CellStatus.FAILED, str(problem.get("code", "internal")), str(problem.get("message", "")))
        seen.extend(_not_seen([(shard["account"], shard["region"], shard["services"])], failure))
    return _record_all(kernel, seen)


def not_observed(kernel: Kernel, denied: Sequence[str]) -> list[dict[str, Any]]:
    """One problem for each region and error that kept cells from being observed whole, the ``denied`` accounts aside.

    What AWS does not offer in a region is none; a region that is off is.
    """
    with kernel.db.read() as connection:
        cells = graph.coverage(connection, incomplete=True)
    groups: defaultdict[tuple[str, str], list[graph.Covered]] = defaultdict(list)
    for cell in cells:
        told_elsewhere = cell.source != SOURCE or cell.type == ACCOUNT or cell.account in denied
        if not told_elsewhere and (cell.status is not CellStatus.UNSUPPORTED or cell.code == REGION_OFF):
            groups[cell.region, cell.code].append(cell)
    problems: list[dict[str, Any]] = []
    for (region, code), held in sorted(groups.items()):
        accounts = sorted({cell.account for cell in held})
        types = {cell.type for cell in held}
        where = f"{accounts[0]} {region}" if len(accounts) == 1 else f"{region} of {len(accounts)} accounts"
        what = f"{len(types)} types were" if len(types) > 1 else f"{next(iter(types))} was"
        hint = (
            "enable it, or take it out of aws.regions" if code == REGION_OFF else "the table coverage holds each cell"
        )
        problems.append(
            codec.builtins(Problem(code, f"{what} not observed whole: {held[0].message}", where, hint, "warning"))
        )
    return problems


def record(kernel: Kernel, observation: Observation) -> Delta:
    """Writes one cell. A known resource of which only a part could be read now stays as it was last read whole."""
    outcome, r = observation.outcome, tables.resources
    with kernel.db.write() as connection:
        resources: Iterable[Resource] = observation.resources
        if observation.partial:
            known = set(connection.scalars(sa.select(r.c.urn).where(r.c.cell == outcome.cell.id)))
            resources = [each for each in resources if each.urn not in observation.partial & known]
        return graph.observe(connection, outcome, resources, observation.relations)


def _record_all(kernel: Kernel, seen: Iterable[Observation]) -> dict[str, int]:
    counts: Counter[str] = Counter(
        dict.fromkeys(("cells", "complete", "calls", "added", "changed", "removed", "unchanged", "relations"), 0)
    )
    for observation in seen:
        delta = record(kernel, observation)
        counts["cells"] += 1
        counts["complete"] += observation.outcome.status is CellStatus.COMPLETE
        counts["calls"] += observation.outcome.calls
        counts["relations"] += len(observation.relations)
        counts.update(msgspec.structs.asdict(delta))
    return dict(counts)


def _not_seen(planned: Iterable[tuple[str, str, str]], failure: Failure) -> list[Observation]:
    return [
        reader.failed(Scope(account, region), spec.name, failure)
        for account, region, group in planned
        for service in GROUPS[group]
        for spec in SERVICES[service]
    ]


def _refusal(kernel: Kernel, account: str) -> Failure | None:
    """Why ``account`` cannot be entered; None where it can."""
    try:
        kernel.aws.credentials(account)
    except UwuError as error:
        return kernel.aws.classify(error)
    except Exception as error:  # whatever it is, it costs this account alone
        return kernel.aws.classify(error)
    return None


def _accounts(kernel: Kernel, organization: Organization) -> Observation:
    """The cell of the accounts themselves, as Organizations tells them."""
    settings, failure = kernel.settings.aws, organization.failure
    scope = Scope(organization.management, settings.home_region)
    resources = tuple(
        Resource(
            urn=account.arn,
            type=ACCOUNT,
            account=account.id,
            region="global",
            name=account.name,
            attributes={
                "Id": account.id,
                "Name": account.name,
                "Email": account.email,
                "Status": account.status,
                "OuPath": account.ou_path,
                "OuId": account.ou_id,
                "JoinedMethod": account.joined_method,
                "JoinedTimestamp": account.joined_at,
            },
            tags=account.tags,
        )
        for account in organization.accounts
    )
    outcome = Outcome(
        cell=Cell(source=SOURCE, account=scope.account, region=scope.region, type=ACCOUNT),
        status=failure.status if failure is not None else CellStatus.COMPLETE,
        observed_at=organization.asked_at,
        calls=organization.calls,
        code=failure.code if failure is not None else "",
        message=failure.message if failure is not None else "",
    )
    return Observation(outcome, resources)
