from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.kernel import world
from tests.kernel.world import WORLD, declaration, outcome, queue
from uwu.kernel import codec, declared, drift, entropy, graph, ownership, search
from uwu.kernel.model import Entity, Place
from uwu.kernel.runtime import Kernel


def prepared(kernel: Kernel) -> Kernel:
    opened = Kernel(kernel.settings, (WORLD,))
    world.LOG.held = ()
    with opened.db.write() as connection:
        graph.observe(connection, outcome(0), [queue("orders", size=2, tags={"team": "pay"}), queue("orders-dlq")], [])
        declared.replace_declarations(connection, "stack:default/payments", [declaration("orders", size=1)])
        group = Entity(
            kind="Group",
            name="pay",
            api_version="backstage.io/v1alpha1",
            metadata={"name": "pay", "title": "Orders and payments"},
            spec={"type": "team"},
            place=Place("teams.yaml", 1),
        )
        declared.replace_entities(connection, "estate", [group], [])
    ownership.settle(opened)
    drift.judge(opened)
    return opened


def test_entropy_decomposes_to_its_findings(kernel: Kernel) -> None:
    opened = prepared(kernel)
    with opened.db.read() as connection:
        scores = {(s.scope, s.key): s for s in entropy.measure(connection)}
        findings = drift.findings(connection).items
    at = codec.now()
    whole = scores["all", ""]
    assert whole.findings == len(findings) == 3
    expected = sum(entropy.WEIGHT[f.severity] * entropy.age_factor(f.opened_at, at) for f in findings)
    assert abs(whole.weight - expected) < 0.01
    assert scores["owner", "group:default/pay"].findings == 1
    assert scores["owner", ""].entropy > scores["owner", "group:default/pay"].entropy
    opened.close()


@given(weights=st.lists(st.floats(0, 20), min_size=1, max_size=30), subjects=st.integers(1, 50))
def test_mending_a_finding_never_raises_entropy(weights: list[float], subjects: int) -> None:
    whole = entropy.scale(sum(weights), subjects)
    assert 0 <= entropy.scale(sum(weights[1:]), subjects) <= whole <= 100


def test_a_finding_weighs_more_with_age_and_no_more_than_twice() -> None:
    at = codec.now()
    ages = [entropy.age_factor(at - timedelta(days=d), at) for d in (0, 15, 30, 300)]
    assert ages == [1.0, 1.5, 2.0, 2.0]


def test_search_puts_the_whole_name_first(kernel: Kernel) -> None:
    opened = prepared(kernel)
    with opened.db.read() as connection:
        hits = search.search(connection, "orders")
        assert [(h.kind, h.title) for h in hits[:3]] == [
            ("resource", "orders"),
            ("entity", "Orders and payments"),
            ("resource", "orders-dlq"),
        ]
        assert search.search(connection, "  ") == []
        assert search.search(connection, "%") == []
        assert {h.kind for h in search.search(connection, "pay")} >= {"entity"}
    opened.close()
