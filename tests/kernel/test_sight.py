"""What one may read: a policy that hides an account hides it from every table, and from nobody who may see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests.app.asking import ADMIN, person
from tests.app.console import world
from uwu.kernel import declared, drift, explain, graph, policies, search, sight, subjects, tables
from uwu.kernel.errors import Denied, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.model import Finding
from uwu.kernel.runtime import Kernel
from uwu.kernel.sight import EVERYTHING, Visible

HIDDEN = world.PAYMENTS
HIDE = f"""
@id("payments-is-private")
forbid (principal, action == Action::"world.read", resource is Slice)
when {{ resource.account == "{HIDDEN}" }}
unless {{ principal in Group::"group:default/payments" }};
"""
OWN_ONLY = """
@id("own-only")
forbid (principal, action == Action::"world.read", resource is Slice)
unless { principal in resource.owners || principal in Role::"admin" };
"""
VERA, MIRA = person("vera", groups=("storefront",)), person("mira", groups=("payments",))


@pytest.fixture
def filled(kernel: Kernel) -> Iterator[Kernel]:
    opened = Kernel(kernel.settings, (world.WORLD,))
    world.fill(opened)
    with opened.db.write() as connection:  # a plan that touches what is hidden, and a sum over it
        connection.execute(tables.plan_subjects.insert().values(plan="p1", subject=world.LEDGER.urn, owner=""))
        for scope, key in (("account", HIDDEN), ("account", world.WEB), ("all", "")):
            connection.execute(
                tables.entropy_days.insert().values(
                    day="2026-01-01",
                    scope=scope,
                    key=key,
                    entropy=1.0,
                    findings=1,
                    subjects=1,
                    weight=1.0,
                    measured_at=world.NOW,
                )
            )
    yield opened
    opened.close()


def hiding(kernel: Kernel, cedar: str = HIDE) -> Kernel:
    held = policies.with_estate([("policy:default/sight", "p.yaml", 1, cedar)])
    assert held.broken == ()
    kernel.policies.fixed = held
    return kernel


def seen_by(kernel: Kernel, who: Principal) -> Visible:
    with kernel.db.read() as connection:
        return sight.visible(kernel, connection, who)


def test_without_a_policy_on_slices_nothing_is_filtered_and_nothing_is_asked(filled: Kernel) -> None:
    asked: list[str] = []
    event.listen(filled.db.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    with filled.db.read() as connection:
        filled.policies.current()
        asked.clear()
        assert sight.visible(filled, connection, VERA) == EVERYTHING
        assert sight.visible(filled, connection, VERA).where(tables.findings.c.owner) is None
    assert asked == []


def test_who_may_read_nothing_sees_nothing(filled: Kernel) -> None:
    nobody = person("nobody", roles=())
    assert not seen_by(filled, nobody).all
    with sight.looking_as(filled, nobody), filled.db.read() as connection:
        assert graph.find(connection).total == 0
        assert drift.findings(connection, status="all").total == 0
        assert declared.entities(connection) == []


COUNTED = [
    tables.resources,
    tables.versions,
    tables.past_versions,
    tables.findings,
    tables.ownership,
    tables.declarations,
    tables.relations,
    tables.coverage,
    tables.plan_subjects,
    tables.entropy_days,
]


@pytest.mark.parametrize("table", COUNTED, ids=lambda t: t.name)
def test_no_row_of_a_hidden_account_is_read(filled: Kernel, table: sa.Table) -> None:
    hiding(filled)
    query = sa.select(table)

    def rows(who: Principal) -> list[str]:
        with sight.looking_as(filled, who), filled.db.read() as connection:
            return sorted(str(tuple(row)) for row in connection.execute(query))

    everything, hers, his = rows_of_all(filled, query), rows(VERA), rows(MIRA)
    assert his == everything
    assert set(hers) < set(everything)
    hidden_urns = {r.urn for r in world.PRESENT if r.account == HIDDEN}
    assert not [row for row in hers if HIDDEN in row or any(f"'{urn}'" in row for urn in hidden_urns)]
    # and what is left out is only that, or a sum that it is part of
    for row in set(everything) - set(hers):
        assert HIDDEN in row or "'all'" in row or any(urn in row for urn in hidden_urns), row


def rows_of_all(kernel: Kernel, query: sa.Select[tuple[object, ...]]) -> list[str]:
    with kernel.db.read() as connection:
        return sorted(str(tuple(row)) for row in connection.execute(query))


def test_lists_counts_searches_and_stories_agree(filled: Kernel) -> None:
    hiding(filled)
    urn = world.LEDGER.urn
    with sight.looking_as(filled, VERA), filled.db.read() as connection:
        page = graph.find(connection, limit=500)
        assert page.total == len(page.items)
        assert HIDDEN not in {item.account for item in page.items}
        assert sum(drift.counts(connection).values()) == drift.findings(connection).total
        assert not [hit for hit in search.search(connection, "ledger", limit=50) if hit.key == urn]
        assert graph.resource(connection, urn) is None
        assert graph.history(connection, urn) == []
        assert HIDDEN not in graph.account_names(connection)
    finding = next(f for f in _findings(filled) if f.account == HIDDEN)
    with sight.looking_as(filled, VERA), filled.db.read() as connection:
        with pytest.raises(NotFound):
            subjects.resolve(connection, "ledger-db")
        with pytest.raises(NotFound):
            drift.finding(connection, finding.id)
        story = explain.explain(filled, finding.subject)
    assert (story.findings, story.changes, story.declarations, story.ownership) == ([], [], [], None)
    with sight.looking_as(filled, MIRA):
        assert explain.explain(filled, finding.subject).findings


def _findings(kernel: Kernel) -> list[Finding]:
    with kernel.db.read() as connection:
        return drift.findings(connection, status="all", limit=500).items


def test_the_unfiltered_and_the_filtered_see_the_same_where_nothing_is_hidden(filled: Kernel) -> None:
    """Rewriting changes which rows there are, not what a row says."""
    hiding(filled, HIDE.replace(HIDDEN, "000000000000"))
    assert not seen_by(filled, VERA).all
    with filled.db.read() as connection:
        expected = (
            graph.find(connection, limit=500),
            drift.findings(connection, status="all", limit=500),
            declared.entities(connection),
            graph.coverage(connection),
            search.search(connection, "payments", limit=50),
        )
    with sight.looking_as(filled, VERA), filled.db.read() as connection:
        assert expected == (
            graph.find(connection, limit=500),
            drift.findings(connection, status="all", limit=500),
            declared.entities(connection),
            graph.coverage(connection),
            search.search(connection, "payments", limit=50),
        )


def test_changes_are_those_of_what_is_seen(filled: Kernel) -> None:
    hiding(filled)
    log = filled.change_log
    assert log is not None
    everything = log.recent(since=world.ago(days=30), limit=1000)
    assert HIDDEN in {change.account for change in everything}
    with sight.looking_as(filled, VERA):
        hers = log.recent(since=world.ago(days=30), limit=1000)
        assert log.changes([world.SG_PAYMENTS.urn]) == []
    assert HIDDEN not in {change.account for change in hers}
    assert [c.event_id for c in hers] == [c.event_id for c in everything if c.account != HIDDEN]
    with sight.looking_as(filled, MIRA):
        assert log.recent(since=world.ago(days=30), limit=1000) == everything


def test_owners_may_be_all_who_see(filled: Kernel) -> None:
    hiding(filled, OWN_ONLY)
    with sight.looking_as(filled, VERA), filled.db.read() as connection:
        assert {item.owner for item in graph.find(connection, limit=500).items} == {"group:default/storefront"}
        assert {f.owner for f in drift.findings(connection, status="all").items} <= {"group:default/storefront"}
    assert seen_by(filled, ADMIN).slices == seen_by(filled, ADMIN).known


def test_what_moves_to_a_hidden_owner_is_hidden_at_once(filled: Kernel) -> None:
    hiding(filled, OWN_ONLY)
    with sight.looking_as(filled, VERA), filled.db.read() as connection:
        mine = graph.find(connection, limit=1).items[0].urn
    with filled.db.write() as connection:
        connection.execute(
            tables.ownership.update().where(tables.ownership.c.subject == mine).values(owner="group:default/network")
        )
    with sight.looking_as(filled, VERA), filled.db.read() as connection:
        assert graph.resource(connection, mine) is None


def test_what_cannot_be_narrowed_is_refused(filled: Kernel) -> None:
    hiding(filled)
    with sight.looking_as(filled, VERA), filled.db.read() as connection:
        with pytest.raises(Denied):
            connection.execute(sa.text("select count(*) from resources"))
        assert connection.execute(sa.text("select 1")).scalar() == 1
    with sight.looking_as(filled, VERA), pytest.raises(Denied) as caught:
        sight.require_all("a query")
    assert caught.value.problem.place == "policy:default/sight#payments-is-private"
    with sight.looking_as(filled, MIRA):
        sight.require_all("a query")  # every slice that there is may be seen
