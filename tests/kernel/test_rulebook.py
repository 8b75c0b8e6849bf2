"""The rules as people read them: what each found, what it could not judge and why, and whether it judges at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from tests.app.asking import ADMIN, person
from tests.kernel import world
from tests.kernel.test_drift import declare, judge, observe
from tests.kernel.test_sight import HIDDEN, HIDE
from tests.kernel.world import ACCOUNT, WORLD, declaration, queue
from uwu.kernel import codec, drift, exemptions, policies, rulebook, sight, tables
from uwu.kernel.domain import Mends, Planner, Rule
from uwu.kernel.errors import NotFound
from uwu.kernel.model import CellStatus, FindingStatus, Found, Severity, Unjudged
from uwu.kernel.rulebook import Standing
from uwu.kernel.rules import ATTRIBUTE
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import RulesSettings

A = queue("a").urn
BIG, KEPT = "world.queue-big", "world.queue-kept"
RULES = (
    Rule(
        BIG,
        "A queue is big",
        Severity.MEDIUM,
        some=True,
        theme="Size",
        why="Nobody reads a message that stands behind a million others.",
        remedy="aws sqs purge-queue",
        references=("SQS developer guide",),
        types=("aws_sqs_queue",),
        rises="where it is huge",
    ),
    Rule(KEPT, "A queue keeps too little", Severity.LOW, theme="Keeping", types=("aws_sqs_queue",)),
)


def sweep(
    kernel: Kernel, connection: sa.Connection, rules: frozenset[str], some: frozenset[str] | None = None
) -> Iterator[tuple[str, Found | Unjudged]]:
    """A queue of a size above 10 is big; of one without a size nothing can be said."""
    del kernel
    r = tables.resources
    for row in connection.execute(sa.select(r).order_by(r.c.urn)):
        if BIG not in rules or (some is not None and row.urn not in some):
            continue
        size = row.attributes.get("size")
        known: dict[str, Any] = {"subject": row.urn, "type": row.type, "account": row.account, "region": row.region}
        if size is None:
            yield BIG, Unjudged(**known, why="size was not observed")
        elif size > 10:
            severity = Severity.CRITICAL if size > 100 else None
            yield BIG, Found(**known, title=f"{row.name} is big", observed=size, cell=row.cell, severity=severity)


DOMAIN = dataclasses.replace(WORLD, rules="tests.kernel.test_rulebook:RULES", sweep="tests.kernel.test_rulebook:sweep")


@pytest.fixture
def judging(kernel: Kernel) -> Iterator[Kernel]:
    opened = Kernel(kernel.settings, (DOMAIN,))
    world.LOG.held = ()
    yield opened
    opened.close()


def standing(kernel: Kernel, id: str = BIG) -> Standing:
    with kernel.db.read() as connection:
        return rulebook.standing(kernel, connection, only=id)[0]


def change(kernel: Kernel, **rules: Any) -> None:
    kernel.settings = msgspec.structs.replace(kernel.settings, rules=RulesSettings(**rules))


def test_a_rule_tells_what_it_asks_for_before_it_ever_judged(judging: Kernel) -> None:
    told = standing(judging)
    assert (told.domain, told.theme, told.severity, told.rises) == (
        "world",
        "Size",
        Severity.MEDIUM,
        "where it is huge",
    )
    assert told.references == ("SQS developer guide",) and told.why and told.remedy
    assert (told.open, told.worst, told.judged_at, told.subjects) == (0, None, None, 0)
    assert told.blind and [(one.status, one.cells) for one in told.unseen] == [(rulebook.NEVER, 0)]
    with judging.db.read() as connection:
        all_of_them = rulebook.standing(judging, connection)
        assert {rule.id for rule in all_of_them} == {rule.id for _, rule in rulebook.rules(judging)}
        for asked, meant in (("queue-big", BIG), ("world.queue-bg", BIG), ("nothing.like", "")):
            with pytest.raises(NotFound) as told:
                rulebook.standing(judging, connection, only=asked)
            assert (f"did you mean {meant}?" in told.value.problem.hint) == bool(meant)


def test_it_counts_what_it_found_and_names_what_it_could_not_judge(judging: Kernel) -> None:
    unread = [queue(f"unread-{i}", tags={"team": "pay"}) for i in range(7)]
    observe(judging, 0, queue("a", size=11), queue("b", size=101), queue("c", size=1), *unread)
    judge(judging)
    told = standing(judging)
    assert (told.open, told.stale, told.exempt, told.worst) == (2, 0, 0, Severity.CRITICAL)
    assert (told.subjects, told.unjudged) == (10, 7) and told.judged_at is not None
    (reason,) = told.reasons
    assert (reason.why, reason.type, reason.count) == ("size was not observed", "aws_sqs_queue", 7)
    assert reason.subjects == [one.urn for one in unread[: rulebook.EXAMPLES]]
    quiet = standing(judging, KEPT)
    assert (quiet.open, quiet.unjudged, quiet.reasons) == (0, 0, []) and quiet.judged_at == told.judged_at
    with judging.db.read() as connection:
        assert rulebook.standing(judging, connection)[0].id == BIG, "the worst stands first"
    until = codec.now().replace(year=codec.now().year + 1)
    exemptions.exempt(judging, ADMIN, rule=BIG, subject="b", until=until, reason="it drains")
    told = standing(judging)
    assert (told.open, told.exempt, told.worst) == (1, 1, Severity.MEDIUM)


def test_what_can_no_longer_be_judged_is_stale_and_not_closed(judging: Kernel) -> None:
    observe(judging, 0, queue("a", size=11, tags={"team": "pay"}))
    judge(judging)
    observe(judging, 1, queue("a", tags={"team": "pay"}))
    assert judge(judging)[BIG, A, ""].status is FindingStatus.STALE
    assert (standing(judging).stale, standing(judging).unjudged) == (1, 1)
    observe(judging, 2, queue("a", size=2, tags={"team": "pay"}))
    assert judge(judging) == {} and standing(judging).unjudged == 0


def test_cells_that_are_not_complete_are_told(judging: Kernel) -> None:
    observe(judging, 0, queue("a", size=11), status=CellStatus.DENIED)
    told = standing(judging)
    assert [(one.type, one.status, one.cells) for one in told.unseen] == [("aws_sqs_queue", "denied", 1)]
    assert told.blind, "that it found nothing says nothing"
    observe(judging, 1, queue("a", size=11))
    assert standing(judging).unseen == [] and not standing(judging).blind
    with judging.db.read() as connection:
        kernels = rulebook.standing(judging, connection, only=ATTRIBUTE)[0]
    assert not kernels.blind and kernels.subjects is None


def test_the_settings_say_which_rules_judge(judging: Kernel) -> None:
    observe(judging, 0, queue("a", size=11, tags={"team": "pay"}))
    assert set(judge(judging)) == {(BIG, A, "")}
    change(judging, disabled=("world.*",))
    assert judge(judging) == {}, "what a rule that is off had found is closed"
    assert not standing(judging).enabled and standing(judging).judged_at is None
    change(judging, enabled=("drift.*", "world.queue-b*"))
    assert set(judge(judging)) == {(BIG, A, "")}
    assert standing(judging).enabled and not standing(judging, KEPT).enabled
    assert rulebook.judges(RulesSettings(), ATTRIBUTE)


def test_a_few_subjects_are_judged_without_forgetting_the_others(judging: Kernel) -> None:
    observe(judging, 0, queue("a", size=11, tags={"team": "pay"}), queue("b", tags={"team": "pay"}))
    judge(judging)
    drift.judge_some(judging, frozenset({A}))
    assert (standing(judging).open, standing(judging).unjudged) == (1, 1)


def test_who_sees_a_part_is_named_nothing_else(judging: Kernel) -> None:
    declare(judging, declaration("a"))
    observe(judging, 0, queue("a"))
    judge(judging)
    judging.policies.fixed = policies.with_estate(
        [("policy:default/sight", "p.yaml", 1, HIDE.replace(HIDDEN, ACCOUNT))]
    )
    with sight.looking_as(judging, person("mira", groups=("payments",))):
        assert standing(judging).reasons[0].subjects == [A]
    with sight.looking_as(judging, person("vera")):
        assert standing(judging).reasons[0].subjects == []


def test_the_planner_that_mends_is_named(judging: Kernel) -> None:
    planner = Planner(
        name="purge", title="Purges", plan="x:y", apply="x:y", observe="x:y", mends=(Mends(BIG, ("aws_sqs_queue",)),)
    )
    judging.domains = (dataclasses.replace(DOMAIN, planners=(planner,)),)
    assert (standing(judging).planner, standing(judging, KEPT).planner) == ("purge", "")
