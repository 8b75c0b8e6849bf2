"""Every rule over AWS fires where it should, is silent of its nearest neighbours, and says what it cannot judge."""

from __future__ import annotations

import re
from typing import Any

import botocore.session
import msgspec
import pytest

from tests.domains.inventory.rules.cases import Case, World
from tests.domains.inventory.rules.cases_kept import CASES
from tests.domains.inventory.rules.held import Held, fill, said
from uwu.domains.inventory import services
from uwu.domains.inventory.rules import CHECKS, RULES, sweep
from uwu.kernel.model import Found, Unjudged
from uwu.kernel.runtime import Kernel

_FILLED = re.compile(r"<(?:name|id|arn|url|account|region|user)>")
NEVER_UNJUDGED = {
    "address-unused": "what is not there is no association",
    "oidc-any-subject": "the trust comes with the role",
    "function-secret-in-plain": "the environment comes with the function",
    "region-denied": "every resource has its region",
    "task-secret-in-plain": "the containers come with the task definition",
    "wrong-account": "every resource has its account",
}
"""Rules that stand on nothing which could be missing."""
PLACED = "wrong-account"
"""It needs declarations: see test_placed.py."""
OF_MODULES = tuple(
    {check.rule.theme: case for check in CHECKS for case in CASES if f"inventory.{case.rule}" == check.rule.id}.values()
)


def named(case: Case) -> str:
    return f"{case.rule}-{CASES.index(case)}"


def set_up(kernel: Kernel, case: Case, world: World) -> None:
    if case.settings:
        rules = msgspec.structs.replace(kernel.settings.rules, **dict(case.settings))
        kernel.settings = msgspec.structs.replace(kernel.settings, rules=rules)
    fill(kernel, world)


def fires(kernel: Kernel, case: Case) -> None:
    set_up(kernel, case, case.fires)
    found = said(kernel, case.rule)
    about = case.fires[0]
    assert [(type(one), one.subject) for one in found] == [(Found, about.at)], found
    one = found[0]
    rule = next(each for each in RULES if each.id == f"inventory.{case.rule}")
    assert isinstance(one, Found)
    assert case.title in one.title
    assert (one.severity or rule.severity) == case.severity
    assert one.path == case.path
    assert case.observed is ... or one.observed == case.observed
    assert one.remedy and not _FILLED.search(one.remedy), one.remedy
    assert (one.type, one.account, one.region) == (about.type, about.account, about.region)
    assert one.cell == f"aws/{about.account}/{about.region}/{about.type}"
    assert not one.title.startswith("aws_"), "a type is called by its title"
    if rule.of_some:
        assert said(kernel, case.rule, frozenset({about.at})) == found


@pytest.mark.parametrize("case", CASES, ids=named)
def test_it_fires(sqlite_kernel: Kernel, case: Case) -> None:
    fires(sqlite_kernel, case)


@pytest.mark.parametrize("case", OF_MODULES, ids=named)
def test_it_fires_on_both_databases(kernel: Kernel, case: Case) -> None:
    fires(kernel, case)


@pytest.mark.parametrize(
    ("case", "which"), [pytest.param(c, i, id=f"{named(c)}-{i}") for c in CASES for i in range(len(c.silent))]
)
def test_it_is_silent(sqlite_kernel: Kernel, case: Case, which: int) -> None:
    set_up(sqlite_kernel, case, case.silent[which])
    assert said(sqlite_kernel, case.rule) == []


@pytest.mark.parametrize("case", [case for case in CASES if case.unjudged], ids=named)
def test_it_says_what_it_cannot_judge(sqlite_kernel: Kernel, case: Case) -> None:
    set_up(sqlite_kernel, case, case.unjudged)
    found = said(sqlite_kernel, case.rule)
    about = case.unjudged[0]
    assert [(type(one), one.subject, one.type) for one in found] == [(Unjudged, about.at, about.type)], found
    assert isinstance(found[0], Unjudged) and found[0].why


def test_every_rule_has_its_cases() -> None:
    rules = {check.rule.id.removeprefix("inventory.") for check in CHECKS} - {PLACED}
    assert {case.rule for case in CASES} == rules
    assert all(case.silent for case in CASES)
    assert {case.rule for case in CASES if case.unjudged} == rules - NEVER_UNJUDGED.keys()


def test_every_rule_is_told_in_words() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES) >= 40
    for rule in RULES:
        assert rule.why.endswith(".") and rule.remedy and rule.references and rule.types and rule.theme, rule.id


def test_few_are_judged_as_all_are(sqlite_kernel: Kernel) -> None:
    """One world of all the cases: of each subject alone the same is said as in the sweep over everything."""
    held: dict[str, Held] = {}
    cells: set[tuple[str, str, str]] = set()
    for number, case in enumerate(CASES):
        for one in case.fires:
            if one.told is None or one.gone or one.days:
                continue
            apart = one if one.urn else one.of(id=f"{one.id}-{number}")
            held.setdefault(apart.at, apart)
            cells.add((one.type, one.account, one.region))
    fill(sqlite_kernel, tuple(held.values()))
    every = frozenset(rule.id for rule in RULES)
    of_some = {rule.id for rule in RULES if rule.of_some}
    with sqlite_kernel.db.read() as connection:
        all = [(id, one) for id, one in sweep(sqlite_kernel, connection, every) if id in of_some]
        some = list(sweep(sqlite_kernel, connection, every, frozenset(held)))
        half = frozenset(sorted(held)[::2])
        of_half = list(sweep(sqlite_kernel, connection, every, half))

    def key(one: tuple[str, Found | Unjudged]) -> tuple[str, str, str]:
        return one[0], one[1].subject, str(one[1])

    assert len({id for id, _ in all}) > 30
    assert sorted(some, key=key) == sorted(all, key=key)
    assert sorted(of_half, key=key) == sorted((one for one in all if one[1].subject in half), key=key)


def _members(shape: Any, found: set[str], seen: set[str], depth: int = 0) -> None:
    """Every name that an answer of AWS may hold, and the keys that its maps may have."""
    if depth > 9:
        return
    found.update(getattr(shape, "enum", ()))
    if shape.type_name == "structure":
        if shape.name in seen:
            return
        seen.add(shape.name)
        for name, member in shape.members.items():
            found.add(name)
            _members(member, found, seen, depth + 1)
    elif shape.type_name == "list":
        _members(shape.member, found, seen, depth + 1)
    elif shape.type_name == "map":
        _members(shape.key, found, seen, depth + 1)
        _members(shape.value, found, seen, depth + 1)


def _given(type: str) -> set[str]:
    """The attributes that the collector of ``type`` may give, by the models of the service's API."""
    one = services.spec(type)
    model = botocore.session.Session().get_service_model(one.service)
    found: set[str] = set()
    for call in (one, *one.extras):
        found.update(re.findall(r"(\w+):", str(getattr(call, "path", "") or getattr(call, "take", ""))))
        found.update((getattr(call, "into", ""), *getattr(call, "beside", ()), *(getattr(call, "members", None) or ())))
        known: Any = model.operation_names
        shape = model.operation_model(call.operation).output_shape if call.operation in known else None
        if shape is not None:
            _members(shape, found, set())
    return found


FREE = {"aws_sns_topic": {"Policy", "TopicArn"}, "aws_account": {"Status"}}
"""Attributes that AWS names in no model: those of topics are a free map, accounts are told by Organizations."""


@pytest.mark.parametrize("type", sorted({one.type for case in CASES for one in case.fires if one.told}))
def test_the_attributes_are_those_of_the_collector(type: str) -> None:
    used = {name for case in CASES for one in case.fires if one.type == type for name in one.told or ()}
    given = FREE.get(type) or _given(type)
    assert used <= given, used - given
