"""Whatever is denied, throttled, fails or is killed, and however often: nothing living goes, the truth is reached."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uwu.domains.inventory import observe
from uwu.domains.inventory.model import Scope, Spec
from uwu.domains.inventory.shards import Unit
from uwu.kernel import aws_errors, graph, tables
from uwu.kernel.aws import Identity
from uwu.kernel.aws_calls import Meter
from uwu.kernel.aws_errors import Failure
from uwu.kernel.runtime import Kernel

ACCOUNT, REGIONS, TYPES = "111122223333", ("eu-west-1", "us-east-1"), 4
CELLS = [(region, f"aws_thing_{n}") for region in REGIONS for n in range(TYPES)]
CODES = {"denied": "AccessDenied", "throttled": "Throttling", "failed": "InternalFailure"}


class Killed(BaseException):
    """The worker is no more."""


def _urn(type: str) -> Any:
    return lambda scope, item: f"arn:aws:x:{scope.region}:{scope.account}:{type}/{item['Id']}"


SPECS = tuple(
    Spec(f"aws_thing_{n}", f"Thing {n}", "x", "box", f"List{n}", "Items", _urn(f"aws_thing_{n}"), label="Id")
    for n in range(TYPES)
)
# each a unit of its own, but for two that one thread asks
ASKED = [Unit(region, "x", specs) for region in REGIONS for specs in (SPECS[:2], SPECS[2:3], SPECS[3:])]


@dataclass
class World:
    """What is there, what stands in the way, and what was asked. It is the ``Aws`` of the kernel."""

    things: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def identity(self) -> Identity:
        return Identity(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", "aws")

    def classify(self, error: Exception, region: str = "") -> Failure:
        return aws_errors.classify(error)

    def caller(self, service: str, account: str, region: str, meter: Meter) -> Caller:
        return Caller(self, region, meter)

    def urns(self, cell: tuple[str, str]) -> set[str]:
        scope = Scope(ACCOUNT, cell[0])
        return {_urn(cell[1])(scope, {"Id": id}) for id in self.things.get(cell, ())}


@dataclass
class Caller:
    """Lists things, one a page."""

    world: World
    region: str
    meter: Meter

    def pages(self, operation: str, arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        cell = (self.region, f"aws_thing_{operation.removeprefix('List')}")
        with self.world.lock:
            self.world.asked[cell] += 1
        fault = self.world.faults.get(cell, "")
        if fault == "killed":
            raise Killed
        for number, id in enumerate(sorted(self.world.things.get(cell, ()))):
            if fault and number == 1:  # after a first page that was good
                self._refuse(operation, fault)
            self.meter.add(attempts=1, throttled=0, size=10, seconds=0.0)
            yield {"Items": [{"Id": id, "Big": id == "z"}]}
        if fault:
            self._refuse(operation, fault)
        yield {"Items": []}

    def _refuse(self, operation: str, fault: str) -> None:
        self.meter.add(attempts=2, throttled=int(fault == "throttled"), size=0, seconds=0.0)
        raise ClientError({"Error": {"Code": CODES[fault], "Message": "no"}}, operation)


def known(kernel: Kernel) -> dict[tuple[str, str], set[str]]:
    r = tables.resources
    found: dict[tuple[str, str], set[str]] = {}
    with kernel.db.read() as connection:
        for urn, region, type in connection.execute(sa.select(r.c.urn, r.c.region, r.c.type)):
            found.setdefault((region, type), set()).add(urn)
    return found


def ledger_of(kernel: Kernel) -> dict[tuple[str, str], tuple[str, str]]:
    with kernel.db.read() as connection:
        return {(c.region, c.type): (c.status.value, c.run) for c in graph.coverage(connection)}


def sync(kernel: Kernel, run: str) -> None:
    observe.observe_units(kernel, ACCOUNT, ASKED, run=run)


@pytest.fixture
def kernel_of_cells(kernel: Kernel) -> Iterator[tuple[Kernel, World]]:
    world = World()
    kernel.aws = world  # type: ignore[assignment]
    yield kernel, world


cells = st.sampled_from(CELLS)
things = st.dictionaries(cells, st.sets(st.sampled_from("abcxyz")), max_size=len(CELLS))
faults = st.dictionaries(cells, st.sampled_from([*CODES, "killed"]), max_size=len(CELLS))
rounds = st.lists(st.tuples(things, faults), min_size=1, max_size=4)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rounds)
def test_any_faults_in_any_order_lose_nothing_and_end_at_the_truth(
    kernel_of_cells: tuple[Kernel, World], rounds: list[tuple[dict[Any, set[str]], dict[Any, str]]]
) -> None:
    kernel, world = kernel_of_cells
    with kernel.db.write() as connection:
        observed = (tables.resources, tables.cell_marks, tables.past_versions, tables.relations, tables.tombstones)
        for table in (*observed, tables.coverage):
            connection.execute(table.delete())
    for number, (there, standing) in enumerate(rounds):
        before = known(kernel)
        world.things, world.faults, world.asked = there, dict(standing), Counter()
        run = f"run-{number}"
        while True:
            try:
                sync(kernel, run)
                break
            except Killed:
                written = {cell for cell, (_, of) in ledger_of(kernel).items() if of == run}
                world.faults = {cell: fault for cell, fault in world.faults.items() if fault != "killed"}
                asked, world.asked = world.asked, Counter()
                assert written <= asked.keys(), "nothing is written that was not asked"
                sync(kernel, run)
                assert not written & world.asked.keys(), "what this run has written is not asked again"
                break
        now, ledger = known(kernel), ledger_of(kernel)
        assert {cell for cell, (_, of) in ledger.items() if of == run} == set(CELLS), "each cell is in the ledger"
        for cell in CELLS:
            held, truth = now.get(cell, set()), world.urns(cell)
            fault = world.faults.get(cell, "")
            assert ledger[cell][0] == (fault or "complete")
            if not fault:
                assert held == truth
            else:
                assert before.get(cell, set()) <= held <= before.get(cell, set()) | truth
    world.faults = {}
    sync(kernel, "last")
    assert {cell: urns for cell, urns in known(kernel).items() if urns} == {
        cell: world.urns(cell) for cell in CELLS if world.things.get(cell)
    }


def test_an_error_of_our_own_ends_the_shard_and_what_was_written_stays(kernel_of_cells: tuple[Kernel, World]) -> None:
    kernel, world = kernel_of_cells
    world.things = {cell: {"a"} for cell in CELLS}
    world.faults = {CELLS[-1]: "killed"}
    before = threading.active_count()
    with pytest.raises(Killed):
        sync(kernel, "run")
    assert threading.active_count() == before, "no thread is left behind"
    assert CELLS[-1] not in ledger_of(kernel)


def test_what_calls_cost_adds_up(kernel_of_cells: tuple[Kernel, World]) -> None:
    kernel, world = kernel_of_cells
    world.things = {cell: {"a", "b"} for cell in CELLS}
    world.faults = {CELLS[0]: "throttled"}
    told = observe.observe_units(kernel, ACCOUNT, ASKED, run="run")
    assert (told["cells"], told["complete"]) == (len(CELLS), len(CELLS) - 1)
    # one good page and a refusal that was tried twice; of the others two pages, the empty last one was not counted
    assert told["calls"] == 2 + 2 * (len(CELLS) - 1) and told["attempts"] == told["calls"] + 1
    assert told["throttled"] == 1
    assert {**observe.sums(kernel, "run")} == {name: told[name] for name in observe.sums(kernel, "run")}
    with kernel.db.read() as connection:
        cell = next(c for c in graph.coverage(connection) if (c.region, c.type) == CELLS[0])
    assert (cell.status.value, cell.throttled, cell.attempts, cell.calls) == ("throttled", 1, 3, 2)
