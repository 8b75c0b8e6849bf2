"""Every shipped check says passed, failed and unknown, each on a world that differs in one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.domains.catalog.scorecards import world
from uwu.domains.catalog.observe import load_estate
from uwu.domains.catalog.scorecards import judge, store
from uwu.domains.catalog.scorecards.cards import CHECKS
from uwu.domains.catalog.scorecards.declared import defines
from uwu.domains.catalog.scorecards.model import Result, Status
from uwu.kernel import codec, declared, graph, ownership
from uwu.kernel.model import Cell, CellStatus, Outcome
from uwu.kernel.runtime import Kernel

Document = dict[str, Any]
Spoil = Callable[[Kernel], None]


def verdicts(kernel: Kernel) -> dict[str, Result]:
    judge.judge(kernel)
    with kernel.db.read() as connection:
        (graded,) = store.of_entity(kernel, connection, world.SHOP)
    return {one.check: one for one in graded.results}


def edited(edit: Callable[[dict[tuple[str, str], Document]], Any], observe: dict[str, Any] | None = None) -> Spoil:
    """The company with one document edited, then observed."""

    def spoil(kernel: Kernel) -> None:
        documents = world.company()
        edit({(one["kind"], one["metadata"]["name"]): one for one in documents})
        world.write(kernel, documents)
        world.observe(kernel, **(observe or {}))

    return spoil


def spec(**fields: Any) -> Spoil:
    return edited(lambda by: by["Component", "shop"]["spec"].update(fields))


def without(field: str, of: str = "spec") -> Spoil:
    return edited(lambda by: by["Component", "shop"][of].pop(field))


def said(kind: str, name: str, **fields: Any) -> Spoil:
    return edited(lambda by: by[kind, name]["spec"].update(fields))


def seen(**how: Any) -> Spoil:
    return edited(lambda by: None, how)


def found(rule: str, **how: Any) -> Spoil:
    def spoil(kernel: Kernel) -> None:
        seen()(kernel)
        world.find(kernel, rule, **how)

    return spoil


def nothing_observed(kernel: Kernel) -> None:
    world.write(kernel, world.company())


def unreadable(kernel: Kernel) -> None:
    seen()(kernel)
    (folder,) = kernel.settings.estate_paths
    (folder / "all.yaml").write_text("{")
    load_estate(kernel)


def gone(kernel: Kernel) -> None:
    seen()(kernel)
    (folder,) = kernel.settings.estate_paths
    (folder / "all.yaml").unlink()
    load_estate(kernel)


def untagged(kernel: Kernel) -> None:
    """All is seen, and nothing is the shop's."""
    seen()(kernel)
    cell = Cell(source="aws", account=world.ACCOUNT, region=world.REGION, type="aws_sqs_queue")
    with kernel.db.write() as connection:
        graph.observe(connection, Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=codec.now()), [], [])
        declared.replace_declarations(connection, "stack:default/shop", [])
    ownership.settle(kernel)


def unjudged(rule: str, named: bool = True) -> Spoil:
    def spoil(kernel: Kernel) -> None:
        seen()(kernel)
        subjects = [world.QUEUE] if named else []
        why = {"why": "Policy was not observed", "type": "aws_sqs_queue", "count": 1, "subjects": subjects}
        with kernel.db.write() as connection:
            world.judged(connection, kernel, **{rule: [why]})

    return spoil


CASES: dict[str, tuple[Spoil, Spoil]] = {
    "owner": (spec(owner="nobody"), unreadable),
    "team": (said("Group", "pay", members=["mira"]), gone),
    "on-call": (edited(lambda by: by["Group", "pay"]["spec"].pop("onCall")), spec(owner="nobody")),
    "description": (without("description", "metadata"), gone),
    "tier": (spec(tier="platinum"), gone),
    "runbook": (without("links", "metadata"), unreadable),
    "docs": (without("annotations", "metadata"), gone),
    "slo": (spec(slo=[{"name": "availability", "objective": 99.9}]), gone),
    "system": (without("system"), gone),
    "dependencies": (without("dependsOn"), gone),
    "api-definition": (
        said("API", "shop-api", definition="openapi: 3.1.0\npaths: {}\n"),
        spec(providesApis=["elsewhere-api"]),
    ),
    "attached": (untagged, nothing_observed),
    "coverage": (seen(status=CellStatus.DENIED), nothing_observed),
    "resources-owned": (seen(owner="search"), nothing_observed),
    "in-code": (seen(coded=False), nothing_observed),
    "no-drift": (found("drift.attribute"), found("drift.attribute", status="stale")),
    "severe-findings": (
        found("inventory.queue-public", severity="high", days=8),
        found("inventory.queue-public", severity="high", days=8, status="stale"),
    ),
    "exposure": (found("inventory.queue-public", severity="high"), unjudged("queue_public")),
    "encryption": (found("inventory.queue-unencrypted"), unjudged("queue_unencrypted", named=False)),
    "secrets": (found("inventory.secret-not-rotated"), nothing_observed),
    "credentials": (found("inventory.access-key-unused"), found("inventory.access-key-unused", status="stale")),
    "supported": (found("inventory.runtime-ended"), nothing_observed),
    "resilience": (found("inventory.database-no-backup"), found("inventory.database-no-backup", status="stale")),
    "waste": (found("inventory.volume-unused"), nothing_observed),
}


def test_every_shipped_check_is_tried_here() -> None:
    assert CASES.keys() == CHECKS.keys()
    assert len(CHECKS) >= 20


def test_all_is_passed_where_all_is_well(kernel: Kernel) -> None:
    seen()(kernel)
    told = verdicts(kernel)
    assert {check: (one.status.value, one.text) for check, one in told.items() if one.status != "passed"} == {}
    assert all(one.proofs for one in told.values())
    with kernel.db.read() as connection:
        (graded,) = store.of_entity(kernel, connection, world.SHOP)
    assert (graded.grade.level, graded.grade.score, graded.grade.failed) == ("gold", 100.0, 0)


@pytest.mark.parametrize("check", CASES)
def test_it_fails_and_says_on_what_that_stands(sqlite_kernel: Kernel, check: str) -> None:
    CASES[check][0](sqlite_kernel)
    one = verdicts(sqlite_kernel)[check]
    assert one.status is Status.FAILED, one.text
    assert one.proofs
    assert not one.text.startswith("Not known")


@pytest.mark.parametrize("check", CASES)
def test_what_is_not_known_is_neither_passed_nor_failed(sqlite_kernel: Kernel, check: str) -> None:
    CASES[check][1](sqlite_kernel)
    one = verdicts(sqlite_kernel)[check]
    assert one.status is Status.UNKNOWN, one.text
    assert one.text.startswith("Not known: ")


@pytest.mark.parametrize(
    ("type", "definition", "whole"),
    [
        ("openapi", world.OPENAPI, True),
        ("openapi", '{"openapi": "3.0.0", "paths": {"/a": {"post": {}}}}', True),
        ("openapi", {"openapi": "3.0.0", "paths": {"/a": {"post": {}}}}, True),
        ("openapi", "openapi: 3.1.0\npaths: {}\n", False),
        ("openapi", "get: it", False),
        ("asyncapi", "asyncapi: 3.0.0\noperations:\n  onOrder: {action: receive}\n", True),
        ("asyncapi", "asyncapi: 3.0.0\nchannels: {}\n", False),
        ("graphql", "type Query { a: Int }", True),
        ("graphql", "  ", False),
        ("openapi", "", False),
    ],
)
def test_an_api_is_defined_where_it_has_an_operation(type: str, definition: Any, whole: bool) -> None:
    assert defines(type, definition) is whole
