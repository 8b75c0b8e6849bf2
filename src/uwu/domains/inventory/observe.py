"""The jobs that read AWS: accounts first, then durable shards, each an account and some of its regions.

A shard asks many services at once and writes what it has seen in batches. The coverage ledger is its progress: each
cell holds the run that wrote it, so a shard that was killed goes on with the cells that this run has not written yet.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Full, Queue
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.inventory import reader
from uwu.domains.inventory.ledger_write import (
    CELLS_PER_WRITE,
    COSTS,
    RESOURCES_PER_WRITE,
    WRITE_SECONDS,
    counts,
    not_due,
    record,
    record_all,
    record_some,
    written,
)
from uwu.domains.inventory.model import SOURCE, Scope, Spec
from uwu.domains.inventory.names import resolve_names
from uwu.domains.inventory.reader import Observation
from uwu.domains.inventory.services import ACCOUNT, SERVICES, chosen
from uwu.domains.inventory.shards import Shard, Unit, plan, units
from uwu.kernel import codec, tables
from uwu.kernel.aws import Failure, Organization
from uwu.kernel.aws_errors import REGION_OFF
from uwu.kernel.errors import BadInput, Problem, UwuError
from uwu.kernel.jobs import Job, Run
from uwu.kernel.model import Cell, CellStatus, Outcome, Resource
from uwu.kernel.runtime import Kernel

__all__ = ["JOBS", "discover", "observe_shard", "observe_units", "record"]

SHARD = "inventory.shard"

Tell = Callable[[int, int], None]
"""Is told how many cells of how many are done."""


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sync is asked to observe; empty for everything of each kind."""

    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    """Names or patterns: ``aws_ec2_*``."""


EVERYTHING = Wanted()


def wanted(arguments: Mapping[str, Any]) -> Wanted:
    """The arguments of ``inventory.sync``. Raises ``BadInput`` for others."""
    try:
        return msgspec.convert({name: value or () for name, value in arguments.items()}, Wanted)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"a sync of the inventory takes lists of accounts, regions and types: {error}",
            code="sync-scope",
            hint='{"accounts": ["123456789012"], "regions": ["eu-west-1"], "types": ["aws_ec2_*"]}',
        ) from None


def _sync(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """Discovers the accounts, observes every shard of them and resolves names to what they lead to."""
    scope = wanted(arguments)
    services = chosen(run.kernel.settings.inventory, scope.types)
    run.progress("accounts")
    told = run.step(discover, run.kernel, scope, run.id, name="discover")
    for problem in told["problems"]:
        run.log(problem["message"], level="warning", data=problem)
    planned = plan(told["accounts"], told["regions"], told["home_region"])
    planned = [shard for shard in planned if next(iter(units(shard, services)), None) is not None]
    arguments_of = [
        {**codec.builtins(shard), "types": list(scope.types), "run": run.id, "all": scope == EVERYTHING}
        for shard in planned
    ]
    results = run.fan_out(SHARD, arguments_of, keys=[shard.key for shard in planned])
    counted = Counter(told["counts"])
    broken: list[dict[str, Any]] = []
    for some, result in zip(arguments_of, results, strict=True):
        if "problem" in result:
            broken.append({**some, "problem": result["problem"]})
        else:
            counted.update(result)
    if broken:
        run.log(f"{len(broken)} shards failed", level="error", data=broken[:20])
        counted.update(run.step(note_broken, run.kernel, broken, name="broken"))
    names = run.step(resolve_names, run.kernel, name="names")
    unseen = run.step(not_observed, run.kernel, told["denied"], name="unseen")
    for problem in unseen:
        run.log(f"{problem['place']}: {problem['message']} [{problem['code']}]", level="warning", data=problem)
    return {
        **counted,
        **run.step(sums, run.kernel, run.id, name="sums"),
        "accounts": len(told["accounts"]),
        "accounts_denied": told["denied"],
        "names_resolved": names,
        "problems": [*told["problems"], *unseen],
    }


def _shard(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    shard, services = _of(run.kernel, arguments)

    def observe() -> dict[str, Any]:
        return observe_units(
            run.kernel,
            shard.account,
            list(units(shard, services)),
            run=str(arguments["run"]),
            rested=bool(arguments["all"]),
            tell=lambda done, total: run.progress("cells", done, total),
        )

    return run.step(observe, name="observe")


def _of(kernel: Kernel, arguments: Mapping[str, Any]) -> tuple[Shard, Mapping[str, tuple[Spec, ...]]]:
    """The shard that a job was asked for, and its types."""
    names = Shard.__struct_fields__
    services = chosen(kernel.settings.inventory, tuple(arguments["types"]))
    return msgspec.convert({n: arguments[n] for n in names}, Shard), services


JOBS = (Job("inventory.sync", _sync), Job(SHARD, _shard))


# ---- steps: each may run again after a kill, and then finds the world as it is


def discover(kernel: Kernel, scope: Wanted = EVERYTHING, run: str = "") -> dict[str, Any]:
    """Observes the accounts and tries the role in each; every cell of an account that refuses is denied at once.

    Raises ``Denied`` (code ``aws-credentials``) where the caller's own credentials are not good, ``BadInput`` where
    ``scope`` names an account or a region that is not observed.
    """
    settings = kernel.settings.aws
    organization = kernel.aws.organization()
    active = [account.id for account in organization.accounts if account.status in {"", "ACTIVE"}]
    accounts = _picked(active, scope.accounts, "account", "the organization's active accounts are observed")
    regions = _picked(settings.regions, scope.regions, "region", "the setting aws.regions says which are observed")
    seen: list[Iterable[Observation]] = [[_accounts(kernel, organization)]]
    problems = [codec.builtins(problem) for problem in organization.problems]
    with ThreadPoolExecutor(settings.concurrency, thread_name_prefix="assume") as pool:
        refusals = dict(zip(accounts, pool.map(lambda account: _refusal(kernel, account), accounts), strict=True))
    services = chosen(kernel.settings.inventory, scope.types)
    for account, refusal in refusals.items():
        if refusal is not None:
            problems.append({"code": refusal.code, "message": refusal.message, "place": account, "hint": refusal.hint})
            seen.append(_not_seen(Shard(account, tuple(regions), settings.home_region), services, refusal))
    return {
        "accounts": [account for account, refusal in refusals.items() if refusal is None],
        "denied": [account for account, refusal in refusals.items() if refusal is not None],
        "problems": problems,
        "regions": regions,
        "home_region": settings.home_region,
        "counts": dict(record_all(kernel, (one for some in seen for one in some), run)),
    }


def _picked(there: Sequence[str], asked: Sequence[str], what: str, hint: str) -> list[str]:
    for name in asked:
        if name not in there:
            raise BadInput(f"the {what} {name!r} is not observed", code=f"{what}-unknown", hint=hint)
    return [name for name in there if not asked or name in asked]


def observe_shard(kernel: Kernel, account: str, region: str, services: Sequence[str]) -> dict[str, Any]:
    """Observes all types of ``services`` in one account and region."""
    return observe_units(kernel, account, [Unit(region, service, SERVICES[service]) for service in services])


def observe_units(
    kernel: Kernel,
    account: str,
    asked: Sequence[Unit],
    *,
    run: str = "",
    rested: bool = False,
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Observes ``asked`` in ``account``, many at a time, and writes the cells in batches; gives what it counted.

    Cells that ``run`` has written already are left alone; with ``rested`` also those whose types have a freshness of
    their own and are not due. What was written before an error stays.
    """
    done = written(kernel, account, run) | (not_due(kernel, account) if rested else frozenset())
    total = sum(len(unit.specs) for unit in asked)
    left = [
        msgspec.structs.replace(unit, specs=some)
        for unit in asked
        if (some := tuple(s for s in unit.specs if (unit.region, s.name) not in done))
    ]
    counted = counts()
    begun = total - sum(len(unit.specs) for unit in left)
    partition = kernel.aws.identity().partition if left else ""
    for batch in _batches(kernel, [(Scope(account, unit.region, partition), unit) for unit in left]):
        record_some(kernel, batch, run, counted)
        if tell is not None:
            tell(begun + counted["cells"], total)
    return dict(counted)


def sums(kernel: Kernel, run: str) -> dict[str, Any]:
    """What the cells that ``run`` has written cost together: a worker that was killed could not report its part."""
    c = tables.coverage
    complete = sa.func.count().filter(c.c.status == CellStatus.COMPLETE.value)
    query = sa.select(sa.func.count(), complete, *(sa.func.sum(c.c[name]) for name in COSTS)).where(c.c.run == run)
    with kernel.db.read() as connection:
        row = connection.execute(query).one()
    return dict(zip(("cells", "complete", *COSTS), (number or 0 for number in row), strict=True))


def note_broken(kernel: Kernel, broken: list[dict[str, Any]]) -> dict[str, Any]:
    """Writes into the ledger that these shards ended in an error of our own: what they did not write is not known."""
    counted: Counter[str] = Counter()
    for arguments in broken:
        problem = arguments["problem"]
        failure = Failure(CellStatus.FAILED, str(problem.get("code", "internal")), str(problem.get("message", "")))
        shard, services = _of(kernel, arguments)
        run = str(arguments["run"])
        done = written(kernel, shard.account, run)
        seen = _not_seen(shard, services, failure)
        missing = (one for one in seen if (one.outcome.cell.region, one.outcome.cell.type) not in done)
        counted.update(record_all(kernel, missing, run))
    return dict(counted)


def not_observed(kernel: Kernel, denied: Sequence[str]) -> list[dict[str, Any]]:
    """One problem for each region and error that kept cells from being observed whole, the ``denied`` accounts aside.

    What AWS does not offer in a region is none; a region that is off is.
    """
    c = tables.coverage
    accounts, types = sa.func.count(c.c.account.distinct()), sa.func.count(c.c.type.distinct())
    columns = (accounts, types, sa.func.min(c.c.account), sa.func.min(c.c.type), sa.func.min(c.c.message))
    query = (
        sa.select(c.c.region, c.c.code, *columns)
        .where(c.c.source == SOURCE, c.c.status != CellStatus.COMPLETE.value, c.c.type != ACCOUNT)
        .where(c.c.account.not_in(sorted(denied)))
        .where(sa.or_(c.c.status != CellStatus.UNSUPPORTED.value, c.c.code == REGION_OFF))
        .group_by(c.c.region, c.c.code)
        .order_by(c.c.region, c.c.code)
    )
    with kernel.db.read() as connection:
        rows = connection.execute(query).all()
    problems: list[dict[str, Any]] = []
    for region, code, in_accounts, of_types, account, type, message in rows:
        where = f"{account} {region}" if in_accounts == 1 else f"{region} of {in_accounts} accounts"
        what = f"{of_types} types were" if of_types > 1 else f"{type} was"
        hint = "enable it, or take it out of aws.regions" if code == REGION_OFF else "`uwu inventory coverage` tells"
        problem = Problem(code, f"{what} not observed whole: {message}", where, hint, "warning")
        problems.append(codec.builtins(problem))
    return problems


# ---- many at a time


def _batches(kernel: Kernel, work: Sequence[tuple[Scope, Unit]]) -> Iterator[list[Observation]]:
    """What is seen of ``work``, in batches that are ready to be written. Threads read ahead no further than that."""
    if not work:
        return
    most = min(kernel.settings.aws.concurrency, len(work))
    found: Queue[Observation | BaseException | None] = Queue(2 * most)
    waiting, taking, stop = iter(work), threading.Lock(), threading.Event()

    def give(one: Observation | BaseException | None) -> None:
        while not stop.is_set():
            try:
                found.put(one, timeout=0.2)
                return
            except Full:
                continue

    def read() -> None:
        try:
            while not stop.is_set():
                with taking:
                    scope, unit = next(waiting, (None, None))
                if scope is None or unit is None:
                    break
                for observation in reader.each(kernel.aws, scope, unit.service, unit.specs):
                    give(observation)
                    if stop.is_set():
                        break
        except BaseException as error:  # raised in the thread that waits for it
            give(error)
        else:
            give(None)

    contexts = [contextvars.copy_context() for _ in range(most)]
    threads = [threading.Thread(target=context.run, args=(read,), name="observe", daemon=True) for context in contexts]
    for thread in threads:
        thread.start()
    try:
        yield from _gathered(found, most)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _gathered(found: Queue[Observation | BaseException | None], reading: int) -> Iterator[list[Observation]]:
    batch: list[Observation] = []
    resources, due = 0, 0.0
    while reading:
        try:
            one = found.get(timeout=max(0.0, due - time.monotonic()) if batch else None)
        except Empty:
            yield batch
            batch, resources = [], 0
            continue
        if isinstance(one, BaseException):
            if batch:
                yield batch
            raise one
        if one is None:
            reading -= 1
            continue
        if not batch:
            due = time.monotonic() + WRITE_SECONDS
        batch.append(one)
        resources += len(one.resources)
        if len(batch) >= CELLS_PER_WRITE or resources >= RESOURCES_PER_WRITE or time.monotonic() >= due:
            yield batch
            batch, resources = [], 0
    if batch:
        yield batch


def _not_seen(shard: Shard, services: Mapping[str, Sequence[Spec]], failure: Failure) -> Iterator[Observation]:
    for unit in units(shard, services):
        for spec in unit.specs:
            yield reader.failed(Scope(shard.account, unit.region), spec.name, failure)


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
