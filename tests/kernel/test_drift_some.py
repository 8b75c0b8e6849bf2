"""Judging a few subjects is judging all of them, seen through those few; and no rule is asked that must see all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from tests.kernel import world
from tests.kernel.world import QUEUES, T0, WORLD, declaration, outcome, queue
from uwu.kernel import declared, drift, graph, ownership
from uwu.kernel.domain import Domain, Rule
from uwu.kernel.model import FindingStatus, Found, Resource, Severity
from uwu.kernel.runtime import Kernel

NAMES = [f"q{number}" for number in range(8)]
URNS = [queue(name).urn for name in NAMES]


@pytest.fixture
def kernel_of_world(kernel: Kernel) -> Iterator[Kernel]:
    opened = Kernel(kernel.settings, (WORLD, WHOLE))
    world.LOG.held = ()
    yield opened
    opened.close()


def _many(_kernel: Kernel, _connection: object) -> Iterator[Found]:
    """Holds against everything: a rule that must see the whole graph."""
    return (Found(subject=urn, title="many") for urn in URNS)


RULES = (Rule("whole.many", "Many", Severity.LOW, _many),)
WHOLE = Domain("whole", "Whole", rules=f"{__name__}:RULES")


def findings(kernel: Kernel) -> dict[tuple[str, str, str], str]:
    with kernel.db.read() as connection:
        items = drift.findings(connection, status="all", limit=500).items
    return {(one.rule, one.subject, one.path): one.status.value for one in items}


def of(found: dict[tuple[str, str, str], str], subjects: frozenset[str], *, but: str = "") -> dict[object, str]:
    return {key: status for key, status in found.items() if key[1] in subjects and key[0] != but}


def look(kernel: Kernel, at: datetime, seen: list[Resource], gone: list[str]) -> None:
    with kernel.db.write() as connection:
        graph.refresh(connection, QUEUES.id, at, seen, gone)


@pytest.mark.parametrize("seed", range(5))
def test_some_are_judged_as_all_would_be(kernel_of_world: Kernel, seed: int) -> None:
    kernel, draw = kernel_of_world, random.Random(seed)
    with kernel.db.write() as connection:
        some_declared = [declaration(name, size=1) for name in NAMES if draw.random() < 0.7]
        declared.replace_declarations(connection, "stack:default/payments", some_declared)
        old = "'2020-01-01T00:00:00Z'" if kernel.db.dialect == "postgresql" else "0"
        connection.exec_driver_sql(f"update declarations set declared_at = {old}")
        there = [queue(name, size=draw.choice((1, 2))) for name in NAMES if draw.random() < 0.8]
        graph.observe(connection, outcome(0), there, [])
    ownership.settle(kernel)
    drift.judge(kernel)
    before = findings(kernel)
    subjects = frozenset(draw.sample(URNS, 4))
    seen = [queue(name, size=draw.choice((1, 2, 3))) for name in NAMES if queue(name).urn in subjects]
    gone = [one.urn for one in seen if draw.random() < 0.4]
    look(kernel, T0 + timedelta(minutes=1), [one for one in seen if one.urn not in gone], gone)

    drift.judge_some(kernel, subjects)
    after = findings(kernel)
    assert of(after, frozenset(URNS) - subjects) == of(before, frozenset(URNS) - subjects)
    assert {key: s for key, s in after.items() if key[0] == "whole.many"} == {
        key: s for key, s in before.items() if key[0] == "whole.many"
    }
    drift.judge(kernel)
    assert of(findings(kernel), subjects) == of(after, subjects)


def test_what_closes_is_told_once(kernel_of_world: Kernel) -> None:
    kernel = kernel_of_world
    with kernel.db.write() as connection:
        declared.replace_declarations(connection, "stack:default/payments", [declaration("a", size=1)])
        graph.observe(connection, outcome(0), [queue("a", size=2)], [])
    drift.judge(kernel)
    urn = queue("a").urn
    look(kernel, T0 + timedelta(minutes=1), [queue("a", size=1)], [])
    assert drift.judge_some(kernel, frozenset({urn})).closed == 1
    assert drift.judge_some(kernel, frozenset({urn})).closed == 0
    assert findings(kernel)["drift.attribute", urn, "size"] == FindingStatus.CLOSED.value
    assert drift.judge_some(kernel, frozenset()).opened == 0
