"""Entropy: its rows sum to it, and mending never raises it, not even where it deletes."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kernel import world
from tests.kernel.world import QUEUES, WORLD, declaration, outcome, queue
from uwu.kernel import codec, declared, drift, entropy, graph, ownership, tables
from uwu.kernel.entropy import days, members
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.model import CellStatus, Entity, Place
from uwu.kernel.runtime import Kernel

TEAMS = ("pay", "web")


def entity(kind: str, name: str, **spec: Any) -> Entity:
    return Entity(
        kind=kind,
        name=name,
        api_version="backstage.io/v1alpha1",
        metadata={"name": name},
        spec=spec,
        place=Place("estate.yaml", 1),
    )


CATALOG = [
    *(entity("Group", name, type="team") for name in TEAMS),
    entity("System", "shop", owner="pay"),
    entity("Component", "checkout", type="service", lifecycle="production", owner="pay", system="shop"),
]


def opened(kernel: Kernel) -> Kernel:
    made = Kernel(kernel.settings, (WORLD,))
    world.LOG.held = ()
    with made.db.write() as connection:
        for name in ("entropy_days", "entropy_subjects", "findings", "ownership", "declarations", "entities"):
            connection.execute(tables.__dict__[name].delete())
        for name in ("resources", "cell_marks", "past_versions", "relations", "coverage"):
            connection.execute(tables.__dict__[name].delete())
        declared.replace_entities(
            connection,
            "estate",
            CATALOG,
            [],
        )
        t = tables.relations
        row = {"source": "component:default/checkout", "kind": "partOf", "target": "system:default/shop"}
        connection.execute(
            t.insert().values(**row, valid_from=world.T0, valid_to=None, cell="", evidence="spec.system")
        )
    return made


class World:
    """Queues as they are declared and observed, judged by the real rules."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = opened(kernel)
        self.minutes = 0
        self.queues: dict[str, dict[str, Any]] = {}
        self.declared: dict[str, int] = {}

    def turn(self) -> dict[tuple[str, str], entropy.Score]:
        """Observes, settles, judges and measures."""
        self.minutes += 1
        with self.kernel.db.write() as connection:
            seen = [queue(name, size=held["size"], tags=held["tags"]) for name, held in sorted(self.queues.items())]
            graph.observe(connection, outcome(self.minutes), seen, [])
            stated = [declaration(name, size=size) for name, size in sorted(self.declared.items())]
            declared.replace_declarations(connection, "stack:default/payments", stated)
        ownership.settle(self.kernel)
        drift.judge(self.kernel)
        entropy.record(self.kernel)
        return self.scores()

    def scores(self) -> dict[tuple[str, str], entropy.Score]:
        with self.kernel.db.read() as connection:
            return {(score.scope, score.key): score for score in entropy.latest(connection)}

    def unresolved(self) -> set[str]:
        with self.kernel.db.read() as connection:
            return {one.id for one in drift.findings(connection, limit=500).items}

    def close(self) -> None:
        self.kernel.close()


def small(kernel: Kernel) -> World:
    made = World(kernel)
    made.queues = {
        "orders": {"size": 2, "tags": {"team": "pay", "service": "checkout"}},
        "orders-dlq": {"size": 1, "tags": {}},
        "pages": {"size": 1, "tags": {"team": "web"}},
    }
    made.declared = {"orders": 1, "lost": 1}
    return made


def test_the_number_of_each_scope(kernel: Kernel) -> None:
    made = small(kernel)
    scores = made.turn()
    assert {key for scope, key in scores if scope == "service"} == {"component:default/checkout", "system:default/shop"}
    assert {key for scope, key in scores if scope == "owner"} == {"", "group:default/pay", "group:default/web"}
    whole = scores["all", ""]
    assert (whole.subjects, whole.unowned, whole.stale, whole.unseen) == (4, 2, 0, 0)
    assert scores["service", "component:default/checkout"].subjects == 1
    assert scores["service", "component:default/checkout"].findings == 1
    assert scores["domain", "drift"].subjects == whole.subjects
    assert scores["domain", "drift"].entropy == whole.entropy
    made.close()


def test_what_was_not_seen_and_what_is_stale_counts(kernel: Kernel) -> None:
    made = small(kernel)
    before = made.turn()
    with made.kernel.db.write() as connection:
        graph.observe(connection, outcome(9, CellStatus.DENIED), [], [])
    drift.judge(made.kernel)
    entropy.record(made.kernel)
    after = made.scores()
    assert after["all", ""].unseen == after["account", world.ACCOUNT].unseen == 1
    assert after["all", ""].stale == after["all", ""].findings == before["all", ""].findings
    assert after["all", ""].entropy > before["all", ""].entropy
    with made.kernel.db.read() as connection:
        parts = entropy.rows(connection, "account", world.ACCOUNT)
    assert [one.id for one in parts.items if one.kind == "cell"] == [QUEUES.id]
    made.close()


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_the_rows_sum_to_the_number(kernel: Kernel, limit: int) -> None:
    made = small(kernel)
    scores = made.turn()
    with made.kernel.db.read() as connection:
        for scope, key in scores:
            shares: list[float] = []
            after = ""
            while True:
                page = entropy.rows(connection, scope, key, limit=limit, after=after)
                shares += [one.share for one in page.items]
                after = page.after
                if not after:
                    break
            score = scores[scope, key]
            assert len(shares) == page.total == score.findings + score.unseen
            assert shares == sorted(shares, reverse=True)
            assert math.isclose(math.fsum(shares), page.exact, abs_tol=1e-9)
            assert page.entropy == score.entropy == round(page.exact, 2)
            assert page.subjects == score.subjects
    made.close()


def test_a_number_that_passes_a_hundred_still_sums(kernel: Kernel) -> None:
    made = small(kernel)
    made.turn()
    long_ago = codec.now() - timedelta(days=90)
    with made.kernel.db.write() as connection:
        connection.execute(tables.findings.update().values(severity="critical", opened_at=long_ago))
    entropy.record(made.kernel)
    with made.kernel.db.read() as connection:
        page = entropy.rows(connection, "all")
    assert (page.exact, page.capped) == (100.0, True)
    assert math.isclose(math.fsum(one.share for one in page.items), 100.0)
    made.close()


def test_a_scope_or_a_key_that_is_none(kernel: Kernel) -> None:
    made = small(kernel)
    made.turn()
    with made.kernel.db.read() as connection:
        with pytest.raises(BadInput):
            entropy.rows(connection, "planet", "earth")
        with pytest.raises(NotFound):
            entropy.rows(connection, "owner", "group:default/nobody-here")
    made.close()


# ---- mending


def never_raised(before: dict[tuple[str, str], entropy.Score], after: dict[tuple[str, str], entropy.Score]) -> None:
    for place, score in before.items():
        if place in after:
            # a finding grows older between the two measurings, by seconds
            assert after[place].entropy <= score.entropy + 0.01, (place, score, after[place])
            assert after[place].subjects >= score.subjects, place


QUEUE = st.fixed_dictionaries(
    {
        "size": st.integers(1, 3),
        "team": st.sampled_from(("", *TEAMS)),
        "service": st.sampled_from(("", "checkout", "shop")),
        "declared": st.sampled_from((0, 0, 1, 2, 3)),
    }
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    queues=st.lists(QUEUE, min_size=1, max_size=7),
    lost=st.integers(0, 3),
    mends=st.lists(
        st.tuples(st.sampled_from(("fix", "delete", "declare", "restore", "forget")), st.integers(0, 9)), max_size=6
    ),
)
def test_mending_never_raises_any_scope(
    sqlite_kernel: Kernel, queues: list[dict[str, Any]], lost: int, mends: list[tuple[str, int]]
) -> None:
    made = World(sqlite_kernel)
    for number, held in enumerate(queues):
        tags = {"team": held["team"]} if held["team"] else {}
        tags |= {"service": held["service"]} if held["service"] else {}
        made.queues[f"q{number}"] = {"size": held["size"], "tags": tags}
        if held["declared"]:
            made.declared[f"q{number}"] = held["declared"]
    made.declared |= {f"lost{number}": 1 for number in range(lost)}
    made.declared["always"] = 1  # with nothing declared at all nothing is undeclared
    made.queues["always"] = {"size": 1, "tags": {}}
    before, open_before = made.turn(), made.unresolved()
    for how, at in mends:
        names = sorted(made.queues.keys() - {"always"})
        missing = sorted(made.declared.keys() - made.queues.keys())
        drifted = [n for n in names if n in made.declared and made.declared[n] != made.queues[n]["size"]]
        undeclared = [n for n in names if n not in made.declared]
        if how == "fix" and drifted:
            name = drifted[at % len(drifted)]
            made.queues[name]["size"] = made.declared[name]
        elif how == "delete" and undeclared:
            del made.queues[undeclared[at % len(undeclared)]]
        elif how == "declare" and undeclared:
            name = undeclared[at % len(undeclared)]
            made.declared[name] = made.queues[name]["size"]
        elif how == "restore" and missing:
            name = missing[at % len(missing)]
            made.queues[name] = {"size": made.declared[name], "tags": {"team": "pay"}}
        elif how == "forget" and missing:
            del made.declared[missing[at % len(missing)]]
        after, open_after = made.turn(), made.unresolved()
        assert open_after <= open_before, "a mend opens nothing"
        never_raised(before, after)
        before, open_before = after, open_after
    made.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 2), min_size=2, max_size=6), chosen=st.integers(0, 5), team=st.sampled_from(TEAMS))
def test_giving_an_owner_raises_neither_the_whole_nor_what_it_leaves(
    sqlite_kernel: Kernel, sizes: list[int], chosen: int, team: str
) -> None:
    made = World(sqlite_kernel)
    for number, size in enumerate(sizes):
        made.queues[f"q{number}"] = {"size": size, "tags": {}}
        made.declared[f"q{number}"] = 1
    before = made.turn()
    name = f"q{chosen % len(sizes)}"
    made.queues[name]["tags"] = {"team": team}
    after = made.turn()
    for place in (("all", ""), ("owner", ""), ("account", world.ACCOUNT), ("domain", "drift")):
        never_raised({place: before[place]}, after)
    clean = made.queues[name]["size"] == 1
    assert after["owner", f"group:default/{team}"].findings == (0 if clean else 1), "its other findings go with it"
    made.close()


def test_what_is_gone_counts_for_thirty_days(kernel: Kernel) -> None:
    made = small(kernel)
    before = made.turn()
    del made.queues["pages"]
    made.turn()
    place = ("owner", "group:default/web")
    assert made.turn()[place].subjects == before[place].subjects == 1
    with made.kernel.db.read() as connection:
        known = members.read(connection, codec.now() + timedelta(days=29))
        assert known.count()[place] == 1
        known = members.read(connection, codec.now() + timedelta(days=31))
        assert place not in known.count()
        assert len(known.now) == 3
    s = tables.entropy_subjects
    with made.kernel.db.write() as connection:
        past = {f"{scope}={key}": "2020-01-01T00:00:00Z" for scope, key in (place,)}
        connection.execute(
            s.update().where(s.c.gone_at.is_not(None)).values(gone_at=world.T0 - timedelta(days=40), past=past)
        )
    made.turn()
    with made.kernel.db.read() as connection:
        assert (
            connection.execute(sa.select(sa.func.count()).select_from(s).where(s.c.gone_at.is_not(None))).scalar() == 0
        )
    made.close()


def test_what_is_mended_costs_no_write_where_nothing_moved(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small(kernel)
    made.turn()
    written: list[str] = []
    real = days.upsert
    monkeypatch.setattr(days, "upsert", lambda c, table, rows: (written.append(table.name), real(c, table, rows))[1])
    entropy.record(made.kernel)
    assert written == ["entropy_days"]
    made.close()


# ---- days


def test_a_day_keeps_its_last_number_and_the_series_has_gaps(kernel: Kernel) -> None:
    made = small(kernel)
    at = codec.now()
    with made.kernel.db.read() as connection:
        scores = entropy.measure(connection, at)
    assert scores == []
    made.turn()
    with made.kernel.db.read() as connection:
        scores = entropy.measure(connection, at)
    for back in (3, 1):
        days.keep(made.kernel, scores, at - timedelta(days=back))
    days.keep(made.kernel, scores[:1], at - timedelta(days=1, minutes=-1))
    today = at.date()
    with made.kernel.db.read() as connection:
        held = entropy.series(connection, "all", days=5, today=today)[""]
        owners = entropy.series(connection, "owner", ["group:default/pay"], days=5, today=today)
    assert [day.entropy is not None for day in held] == [False, True, False, True, True]
    assert [day.day for day in held] == [(today - timedelta(days=n)).isoformat() for n in (4, 3, 2, 1, 0)]
    assert [day.entropy is not None for day in owners["group:default/pay"]] == [False, True, False, False, True]
    made.close()
