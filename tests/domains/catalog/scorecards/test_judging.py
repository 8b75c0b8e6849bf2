"""Judging by scorecards: levels, scores, exemptions, history, who sees what, and that repeating it changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.domains.catalog.scorecards import world
from uwu.domains.catalog.observe import load_estate
from uwu.domains.catalog.scorecards import judge, store
from uwu.domains.catalog.scorecards.cards import CHECKS, SHIPPED
from uwu.domains.catalog.tables import scorecard_days, scorecard_grades
from uwu.kernel import codec, exemptions, sight, sync
from uwu.kernel.domain import installed
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

SMALL = world.entity(
    "Scorecard",
    "small",
    {
        "entities": {"kinds": ["Component"], "types": ["service"]},
        "levels": [
            {"name": "Paper", "checks": ["description", {"check": "runbook", "weight": 10}]},
            {"name": "Iron", "checks": ["no-drift", "slo"]},
        ],
    },
    world.UWU,
)


@pytest.fixture
def admin() -> Principal:
    return Principal(ref="user:default/ada", name="ada", kind="human", via="session", roles=("admin",))


def small(kernel: Kernel, ref: str = world.SHOP) -> store.Graded:
    with kernel.db.read() as connection:
        (graded,) = store.of_entity(kernel, connection, ref, "small")
    return graded


def stand(kernel: Kernel, *more: dict[str, Any]) -> None:
    world.write(kernel, world.company(SMALL, *more))
    world.observe(kernel)


def test_the_shipped_card_asks_for_every_check_once() -> None:
    assert sorted(one.check.id for one in SHIPPED.asked) == sorted(CHECKS)
    assert {one.level for one in SHIPPED.asked} == {"bronze", "silver", "gold"}


def test_a_level_takes_all_below_it_and_what_is_unknown_only_leaves_it_open(kernel: Kernel) -> None:
    stand(kernel, world.service("bare", links=[], slo=[]))
    id = world.find(kernel, "drift.attribute", status="stale")
    judge.judge(kernel)
    shop = small(kernel).grade
    assert (shop.level, shop.reachable, shop.rank) == ("paper", "iron", 1)
    assert (shop.passed, shop.failed, shop.unknown, shop.score) == (3, 0, 1, 100.0)
    bare = small(kernel, "component:default/bare").grade
    assert bare.reachable == "paper"
    assert bare.failed == 1  # its objectives; of what it runs nothing is known
    with kernel.db.write() as connection:
        connection.execute(sa.text("update findings set status = 'open' where id = :id"), {"id": id})
    judge.judge(kernel)
    shop = small(kernel).grade
    assert (shop.level, shop.reachable, shop.failed) == ("paper", "paper", 1)
    # weights: description 1, runbook 10, objectives 2 of these and drift 2
    assert shop.score == pytest.approx(100 * 13 / 15, abs=0.06)


def test_repeating_it_writes_nothing_and_a_status_keeps_its_beginning(kernel: Kernel) -> None:
    stand(kernel)
    first = judge.judge(kernel)
    assert first["changed"] == first["grades"] == 2
    since = {one.check: one.since for one in small(kernel).results}
    assert judge.judge(kernel)["changed"] == 0
    world.find(kernel, "drift.attribute")
    assert judge.judge(kernel)["changed"] == 2
    after = {one.check: one.since for one in small(kernel).results}
    assert after.pop("no-drift") > since.pop("no-drift")
    assert after == since


def test_a_day_is_kept_where_a_status_turned_and_says_which(kernel: Kernel) -> None:
    stand(kernel)
    judge.judge(kernel)
    d = scorecard_days
    yesterday = (codec.now() - timedelta(days=1)).date().isoformat()
    with kernel.db.write() as connection:
        connection.execute(d.update().values(day=yesterday))
    judge.judge(kernel)
    with kernel.db.read() as connection:
        days, after = store.history(connection, "small", world.SHOP)
    assert ([one.day for one in days], after) == ([yesterday], "")
    world.find(kernel, "drift.attribute")
    judge.judge(kernel)
    with kernel.db.read() as connection:
        days, after = store.history(connection, "small", world.SHOP, limit=1)
        rest, end = store.history(connection, "small", world.SHOP, limit=1, after=after)
    assert [one.day for one in (*days, *rest)] == [codec.now().date().isoformat(), yesterday]
    assert end == ""
    with kernel.db.read() as connection:
        (today, _), _ = store.history(connection, "small", world.SHOP)
    assert today.turned == {"no-drift": ("passed", "failed")}


def test_what_is_exempt_counts_neither_way_until_its_day(kernel: Kernel, admin: Principal) -> None:
    stand(kernel, world.service("bare", slo=[]))
    judge.judge(kernel)
    bare = "component:default/bare"
    until = (codec.now() + timedelta(days=3)).date().isoformat()
    made = judge.exempt(kernel, admin, entity=bare, check="slo", until=until, reason="it goes away in June")
    graded = small(kernel, bare)
    (one,) = [each for each in graded.results if each.check == "slo"]
    assert (one.status.value, graded.grade.exempt, graded.grade.failed) == ("exempt", 1, 0)
    assert one.until == made.until
    exemptions.end(kernel, admin, made.id)
    judge.judge(kernel)
    assert small(kernel, bare).grade.failed == 1
    with pytest.raises(BadInput, match="no check"):
        judge.exempt(kernel, admin, entity=bare, check="slos", until=until, reason="x")
    with pytest.raises(BadInput, match="reason"):
        judge.exempt(kernel, admin, entity=bare, check="slo", until=until, reason=" ")


def test_what_leaves_the_card_leaves_the_list_and_its_days_stay(kernel: Kernel) -> None:
    stand(kernel, world.service("other"))
    judge.judge(kernel)
    stand(kernel, world.service("other", type="library"))
    judge.judge(kernel)
    with kernel.db.read() as connection:
        assert [one.entity for one in store.grades(connection, "small").items] == [world.SHOP]
        assert store.history(connection, "small", "component:default/other")[0]
    world.write(kernel, world.company())
    judge.judge(kernel)
    with kernel.db.read() as connection:
        with pytest.raises(NotFound, match="no scorecard"):
            store.grades(connection, "small")
        assert set(connection.scalars(sa.select(scorecard_grades.c.card))) == {"standard"}


def test_a_list_is_filtered_sorted_and_paged(kernel: Kernel) -> None:
    more = [world.service(f"s{i}", tier="" if i % 2 else "2", slo=[] if i < 4 else None) for i in range(6)]
    stand(kernel, *more)
    judge.judge(kernel)
    with kernel.db.read() as connection:

        def all_of(limit: int, **asked: Any) -> list[str]:
            found, after = [], ""
            while True:
                page = store.grades(connection, "standard", limit=limit, after=after, **asked)
                found += [one.entity for one in page.items]
                after = page.after
                if not after:
                    assert page.total == len(found) == len(set(found))
                    return found

        everything = all_of(100)
        assert len(everything) == 7
        assert all_of(2) == everything
        assert all_of(2, sort="-score")[0] == world.SHOP
        assert all_of(3, sort="entity") == sorted(everything)
        assert all_of(2, check="tier") == [f"component:default/s{i}" for i in (1, 3, 5)]
        assert world.SHOP in all_of(4, check="tier", status="passed")
        assert all_of(2, owner=world.PAY) == everything
        assert all_of(2, level="gold") == [world.SHOP]
        for wrong in ({"check": "tiers"}, {"status": "good"}, {"level": "wood"}, {"sort": "size"}):
            with pytest.raises(BadInput):
                store.grades(connection, "standard", **wrong)  # type: ignore[arg-type]
        (team,) = store.teams(connection, "standard")
    assert (team.owner, team.entities, team.levels["gold"]) == (world.PAY, 7, 1)
    assert team.score is not None
    assert 0 < team.score < 100


def test_one_sees_of_a_scorecard_what_one_sees_of_the_world(kernel: Kernel) -> None:
    stand(kernel, world.service("other", owner="search"))
    world.find(kernel, "drift.attribute")
    judge.judge(kernel)
    known = frozenset({(world.PAY, ""), ("group:default/search", ""), (world.PAY, world.ACCOUNT)})
    seen = sight.Visible(
        all=False, slices=frozenset({("group:default/search", "")}), known=known, dialect=kernel.db.dialect
    )
    with kernel.db.read() as connection:
        query = sa.select(scorecard_grades.c.entity).where(store.shown())
        found = connection.scalars(sight.narrowed(query, seen)).all()
    assert set(found) == {"component:default/other"}


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([{"name": "a", "checks": ["runbok"]}], "no check 'runbok'"),
        ([{"name": "a", "checks": ["runbook"]}, {"name": "b", "checks": ["runbook"]}], "stands twice"),
        ([{"name": "a", "checks": ["runbook"]}, {"name": "A", "checks": ["docs"]}], "stands twice"),
        ([{"name": "a", "checks": [{"check": "docs", "weight": 0}]}], "weight"),
        ([], "levels"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused_with_its_place(
    sqlite_kernel: Kernel, levels: list[Any], message: str
) -> None:
    bad = world.entity("Scorecard", "bad", {"levels": levels}, world.UWU)
    (folder,) = sqlite_kernel.settings.estate_paths
    folder.mkdir(exist_ok=True)
    (folder / "card.yaml").write_bytes(codec.encode(bad))
    told = load_estate(sqlite_kernel)
    (problem,) = told["problems"]
    assert "card.yaml:" in problem["place"]
    assert message in f"{problem['message']} {problem['place']} {problem.get('hint', '')}"


def test_a_sync_grades_after_it_has_judged() -> None:
    planned = sync.steps(installed())
    assert planned[-1] == ("catalog", judge.JOB)
