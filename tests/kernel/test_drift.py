from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.kernel import world
from tests.kernel.world import T0, WORLD, change, declaration, outcome, queue
from uwu.kernel import codec, declared, drift, explain, graph, ownership, subjects
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.model import CellStatus, Finding, FindingStatus, Severity
from uwu.kernel.rules import ATTRIBUTE, GONE, UNDECLARED, UNOWNED
from uwu.kernel.runtime import Kernel

A, B = queue("a").urn, queue("b").urn


@pytest.fixture
def world_kernel(kernel: Kernel) -> Iterator[Kernel]:
    opened = Kernel(kernel.settings, (WORLD,))
    world.LOG.held = ()
    yield opened
    opened.close()


def observe(kernel: Kernel, minute: int, *resources, status: CellStatus = CellStatus.COMPLETE) -> None:
    with kernel.db.write() as connection:
        graph.observe(connection, outcome(minute, status), resources, [])


def declare(kernel: Kernel, *declarations) -> None:
    with kernel.db.write() as connection:
        declared.replace_declarations(connection, "stack:default/payments", declarations)
        connection.exec_driver_sql(
            "update declarations set declared_at = "
            + ("'2020-01-01T00:00:00Z'" if kernel.db.dialect == "postgresql" else "0")
        )


def judge(kernel: Kernel, status: str = "unresolved") -> dict[tuple[str, str, str], Finding]:
    ownership.settle(kernel)
    drift.judge(kernel)
    with kernel.db.read() as connection:
        return {(f.rule, f.subject, f.path): f for f in drift.findings(connection, status=status, limit=500).items}


def test_each_kernel_rule_fires_and_stays_silent(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a", size=1), declaration("b"))
    observe(world_kernel, 0, queue("a", size=2, tags={"team": "pay"}), queue("owned-c"), queue("d", managed_by="aws"))
    found = judge(world_kernel)
    assert set(found) == {
        (ATTRIBUTE, A, "size"),
        (GONE, B, ""),
        (UNDECLARED, queue("owned-c").urn, ""),
    }
    differs = found[ATTRIBUTE, A, "size"]
    assert (differs.declared, differs.observed, differs.owner) == (1, 2, "group:default/pay")
    assert differs.remedy == "apply aws_sqs_queue.a size"
    assert found[GONE, B, ""].remedy == "apply aws_sqs_queue.b"


def test_the_unowned_are_found_and_the_reason_ends_it(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a"))
    observe(world_kernel, 0, queue("a"))
    assert set(judge(world_kernel)) == {(UNOWNED, A, "")}
    observe(world_kernel, 1, queue("a", tags={"team": "pay"}))
    assert judge(world_kernel) == {}


@pytest.mark.parametrize("status", [CellStatus.DENIED, CellStatus.THROTTLED, CellStatus.FAILED])
def test_nothing_is_gone_unless_its_coverage_is_complete(world_kernel: Kernel, status: CellStatus) -> None:
    declare(world_kernel, declaration("a"))
    observe(world_kernel, 0, status=status)
    assert judge(world_kernel) == {}
    observe(world_kernel, 1)
    assert set(judge(world_kernel)) == {(GONE, A, "")}


def test_a_declaration_newer_than_the_observation_is_not_gone(world_kernel: Kernel) -> None:
    observe(world_kernel, 0)
    with world_kernel.db.write() as connection:
        declared.replace_declarations(connection, "stack:default/payments", [declaration("a")])
    assert judge(world_kernel) == {}


def test_a_finding_closes_only_on_a_fresh_and_complete_observation(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a", size=1))
    observe(world_kernel, 0, queue("a", size=2, tags={"team": "pay"}))
    key = (ATTRIBUTE, A, "size")
    assert judge(world_kernel)[key].status is FindingStatus.OPEN

    observe(world_kernel, 1, queue("a", size=1, tags={"team": "pay"}), status=CellStatus.DENIED)
    assert judge(world_kernel)[key].status is FindingStatus.STALE

    observe(world_kernel, 2, queue("a", size=1, tags={"team": "pay"}))
    assert judge(world_kernel) == {}
    closed = judge(world_kernel, status="closed")[key]
    assert closed.closed_at is not None

    observe(world_kernel, 3, queue("a", size=2, tags={"team": "pay"}))
    reopened = judge(world_kernel)[key]
    assert (reopened.id, reopened.closed_at) == (closed.id, None)


def test_a_silent_source_makes_a_finding_stale_never_closed(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a", size=1))
    with world_kernel.db.write() as connection:
        old = codec.now() - timedelta(hours=world_kernel.settings.drift.stale_after_hours + 1)
        look = outcome(0)
        graph.observe(
            connection,
            type(look)(cell=look.cell, status=look.status, observed_at=old),
            [queue("a", size=2, tags={"team": "pay"})],
            [],
        )
    assert judge(world_kernel)[ATTRIBUTE, A, "size"].status is FindingStatus.STALE


def test_two_changes_of_one_resource_each_explain_their_own_attribute(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a", visibility_timeout=30, redrive_policy="x"))
    observe(world_kernel, 90, queue("a", visibility_timeout=60, redrive_policy="y", tags={"team": "pay"}))
    world.LOG.held = (
        change("CreateQueue", 1, urn=A, human="ci"),
        change("SetQueueAttributes", 10, urn=A, human="mira", request={"attributes": {"VisibilityTimeout": "60"}}),
        change("SetQueueAttributes", 20, urn=A, human="teo", request={"attributes": {"RedrivePolicy": "y2"}}),
        change("TagQueue", 30, urn=A, human="ana"),
    )
    found = judge(world_kernel)
    assert found[ATTRIBUTE, A, "visibility_timeout"].actor == "mira"
    assert found[ATTRIBUTE, A, "redrive_policy"].actor == "teo"
    assert found[ATTRIBUTE, A, "visibility_timeout"].opened_at == T0 + timedelta(minutes=10)


def test_what_is_gone_and_what_is_undeclared_have_their_own_causes(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a"))
    observe(world_kernel, 90, queue("b", tags={"team": "pay"}))
    world.LOG.held = (
        change("CreateQueue", 1, urn=A, human="ci"),
        change("DeleteQueue", 40, urn=A, human="ana"),
        change("CreateQueue", 50, urn=B, human="teo"),
        change("TagQueue", 60, urn=B, human="mira"),
    )
    found = judge(world_kernel)
    assert found[GONE, A, ""].actor == "ana"
    assert found[UNDECLARED, B, ""].actor == "teo"


def test_a_change_that_says_nothing_of_the_attribute_is_no_cause(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a", size=1))
    observe(world_kernel, 90, queue("a", size=2, tags={"team": "pay"}))
    world.LOG.held = (change("TagQueue", 10, urn=A), change("AddPermission", 20, urn=A))
    assert judge(world_kernel)[ATTRIBUTE, A, "size"].cause is None


def test_a_sensitive_difference_shows_no_value(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a", password="hunter2"))
    observe(world_kernel, 0, queue("a", password="hunter3", tags={"team": "pay"}))
    found = judge(world_kernel)[ATTRIBUTE, A, "password"]
    assert "hunter" not in str(found)


def test_ownership_takes_the_strongest_evidence_and_keeps_the_conflict(world_kernel: Kernel) -> None:
    observe(world_kernel, 0, queue("owned-a", tags={"team": "pay"}), queue("part", managed_by=queue("owned-a").urn))
    settled = ownership.settle(world_kernel)
    assert (settled.resources, settled.owned, settled.conflicts, settled.owned_pct) == (2, 2, 1, 100.0)
    with world_kernel.db.read() as connection:
        owned = ownership.owner_of(connection, queue("owned-a").urn)
        part = ownership.owner_of(connection, queue("part").urn)
    assert owned is not None and part is not None
    assert (owned.owner, owned.strength) == ("group:default/pay", "tag")
    assert [e.owner for e in owned.conflicts] == ["group:default/account-owner"]
    assert (part.owner, part.strength) == ("group:default/pay", "maker")
    assert ownership.settle(world_kernel).changed == 0


def test_the_story_of_a_drift_names_everything(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a", visibility_timeout=30))
    observe(world_kernel, 90, queue("a", visibility_timeout=60, tags={"team": "pay"}))
    world.LOG.held = (change("SetQueueAttributes", 10, urn=A, request={"attributes": {"VisibilityTimeout": "60"}}),)
    judge(world_kernel)
    story = explain.explain(world_kernel, A)
    told = {sentence.about: sentence.text for sentence in story.sentences}
    assert told["happened"] == "mira changed visibility_timeout through AWS CLI."
    assert told["declared"] == "stack:default/payments declares it as aws_sqs_queue.a."
    assert told["observed"] == "Observed to differ in visibility_timeout."
    assert told["owned"] == "Owned by pay, by tag team=pay."
    assert told["fix"] == "apply aws_sqs_queue.a visibility_timeout"
    assert story.type_title == "SQS queue"
    assert all(sentence.sources for sentence in story.sentences if sentence.about != "fix")


def test_the_story_of_a_gone_resource_still_tells(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a"))
    observe(world_kernel, 0, queue("a", tags={"team": "pay"}))
    observe(world_kernel, 1)
    judge(world_kernel)
    story = explain.explain(world_kernel, A)
    assert not story.exists
    assert story.title == "a"
    assert [v.version for v in story.versions] == [1]


@pytest.mark.parametrize("text", [A, "a", "sqs:eu-west-1:111122223333:a", "aws_sqs_queue.a"])
def test_a_subject_is_found_by_what_people_type(world_kernel: Kernel, text: str) -> None:
    declare(world_kernel, declaration("a"))
    observe(world_kernel, 0, queue("a"), queue("b"))
    with world_kernel.db.read() as connection:
        assert subjects.resolve(connection, text) == A


def test_an_unknown_or_ambiguous_subject_says_what_is_near(world_kernel: Kernel) -> None:
    observe(world_kernel, 0, queue("orders"), queue("orders-dlq"))
    with world_kernel.db.read() as connection:
        with pytest.raises(NotFound) as missing:
            subjects.resolve(connection, "order")
        assert queue("orders").urn in str(missing.value)
    observe(world_kernel, 1, queue("x/orders"), queue("orders"))
    with world_kernel.db.read() as connection, pytest.raises(BadInput) as several:
        subjects.resolve(connection, "orders")
    assert several.value.problem.code == "subject-ambiguous"


def test_findings_filter_page_and_count(world_kernel: Kernel) -> None:
    declare(world_kernel, declaration("a", policy="x", size=1))
    observe(world_kernel, 0, queue("a", policy="y", size=2, tags={"team": "pay"}), *(queue(f"u{i}") for i in range(5)))
    judge(world_kernel)
    with world_kernel.db.read() as connection:
        first = drift.findings(connection, limit=3)
        rest = drift.findings(connection, limit=50, after=first.after)
        assert first.items[0].severity is Severity.HIGH
        assert first.total == len(first.items) + len(rest.items) == 12
        assert rest.after == ""
        assert drift.findings(connection, owner="group:default/pay").total == 2
        assert drift.findings(connection, severity="high").total == 1
        assert drift.counts(connection) == {"critical": 0, "high": 1, "medium": 6, "low": 5}
        with pytest.raises(NotFound):
            drift.finding(connection, "f_none")
