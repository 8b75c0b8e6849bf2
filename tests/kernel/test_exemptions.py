"""What is exempt is hidden at once from all that counts, and is back by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from tests.app.asking import ADMIN, person
from tests.kernel import world
from tests.kernel.test_drift import declare, judge, observe
from tests.kernel.test_sight import HIDDEN, HIDE
from tests.kernel.world import ACCOUNT, WORLD, declaration, queue
from uwu.kernel import authorize, codec, domain, drift, entropy, exemptions, parts, policies, sight, tables
from uwu.kernel.errors import BadInput, Conflict, NotFound, UwuError
from uwu.kernel.exemptions import Exemption
from uwu.kernel.model import CellStatus, FindingStatus
from uwu.kernel.rules import ATTRIBUTE, GONE, UNDECLARED, UNOWNED
from uwu.kernel.runtime import Kernel

A, B = queue("a").urn, queue("b").urn
PAY = {"team": "pay"}
SIZE = (ATTRIBUTE, A, "size")
SOON = timedelta(days=7)


@pytest.fixture
def kept(kernel: Kernel) -> Iterator[Kernel]:
    """Two queues that are not as declared, both judged."""
    opened = Kernel(kernel.settings, (WORLD,))
    world.LOG.held = ()
    declare(opened, declaration("a", size=1), declaration("b", size=1))
    observe(opened, 0, queue("a", size=2, tags=PAY), queue("b", size=2, tags=PAY))
    assert set(judge(opened)) == {SIZE, (ATTRIBUTE, B, "size")}
    yield opened
    opened.close()


def exempt(kernel: Kernel, rule: str = ATTRIBUTE, *, days: float = 7, **what: str) -> Exemption:
    given = what or {"subject": A}
    until = codec.now() + timedelta(days=days)
    return exemptions.exempt(kernel, ADMIN, rule=rule, until=until, reason="a load test until then", **given)


def pass_time(kernel: Kernel, id: str) -> datetime:
    """Lets the time of an exemption come."""
    past = codec.now() - timedelta(minutes=1)
    with kernel.db.write() as connection:
        connection.execute(tables.exemptions.update().where(tables.exemptions.c.id == id).values(until=past))
    return past


def open_subjects(kernel: Kernel, status: str = "unresolved") -> set[str]:
    with kernel.db.read() as connection:
        return {one.subject for one in drift.findings(connection, status=status).items}


def told(kernel: Kernel) -> list[tuple[str, str]]:
    """(kind, finding) of what was told, the oldest first."""
    n = tables.notices
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(n.c.kind, n.c.subject).where(n.c.kind.startswith("finding.")))
        return sorted((row.kind, row.subject) for row in rows)


def audited(kernel: Kernel) -> list[tuple[str, str, str]]:
    a = tables.audit
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(a.c.action, a.c.actor, a.c.subject).order_by(a.c.seq))
        return [tuple(row) for row in rows if row.action.startswith("exemption.")]


def test_what_is_exempt_is_hidden_at_once_from_lists_counts_and_entropy(kept: Kernel) -> None:
    with kept.db.read() as connection:
        before = next(score for score in entropy.measure(connection) if score.scope == "all")
    made = exempt(kept)
    assert open_subjects(kept) == {B}
    with kept.db.read() as connection:
        assert drift.counts(connection)["medium"] == 1
        (hidden,) = drift.findings(connection, status="exempt").items
        after = next(score for score in entropy.measure(connection) if score.scope == "all")
    assert (hidden.subject, hidden.status, hidden.exemption) == (A, FindingStatus.EXEMPT, made.id)
    assert (before.findings, after.findings) == (2, 1) and after.entropy < before.entropy
    assert audited(kept) == [("exemption.made", ADMIN.ref, A)]


def test_judging_goes_on_and_keeps_it_hidden(kept: Kernel) -> None:
    made = exempt(kept)
    observe(kept, 1, queue("a", size=3, tags=PAY), queue("b", size=2, tags=PAY))
    assert set(judge(kept)) == {(ATTRIBUTE, B, "size")}
    seen = judge(kept, "exempt")[SIZE]
    assert (seen.observed, seen.exemption) == (3, made.id)
    # of a source that is silent it stays exempt: nobody is woken
    observe(kept, 2, status=CellStatus.DENIED)
    assert set(judge(kept, "exempt")) == {SIZE}


def test_it_closes_like_any_other_and_a_closed_one_is_not_exempt(kept: Kernel) -> None:
    exempt(kept)
    before = told(kept)
    observe(kept, 1, queue("a", size=1, tags=PAY), queue("b", size=2, tags=PAY))
    judge(kept)
    closed = judge(kept, "closed")[SIZE]
    assert (closed.status, closed.exemption) == (FindingStatus.CLOSED, "")
    assert told(kept) == before, "what nobody saw nobody is told of"
    observe(kept, 2, queue("a", size=2, tags=PAY), queue("b", size=2, tags=PAY))
    assert set(judge(kept, "exempt")) == {SIZE}


def test_it_is_back_when_its_time_has_come_and_is_told_of(kept: Kernel) -> None:
    made = exempt(kept, rule=ATTRIBUTE)
    observe(kept, 1, queue("a", size=2, policy="p", tags=PAY), queue("b", size=2, tags=PAY))
    judge(kept)
    assert not exemptions.due(kept)
    past = pass_time(kept, made.id)
    assert exemptions.due(kept)
    assert exemptions.expire(kept) == {"exemptions": 1, "findings": 1}
    assert open_subjects(kept) == {A, B} and open_subjects(kept, "exempt") == set()
    with kept.db.read() as connection:
        over = exemptions.one(connection, made.id)
    assert (over.ended_at, over.ended_by) == (past, "")
    assert exemptions.expire(kept) == {"exemptions": 0, "findings": 0}


def test_a_judging_ends_what_is_over_without_the_job(kept: Kernel) -> None:
    made = exempt(kept)
    pass_time(kept, made.id)
    observe(kept, 1, status=CellStatus.DENIED)  # it cannot be judged now, and is not hidden any more
    assert SIZE in judge(kept)


def test_it_is_back_when_somebody_ends_it(kept: Kernel) -> None:
    made = exempt(kept)
    ended = exemptions.end(kept, ADMIN, made.id)
    assert ended.ended_by == ADMIN.ref and ended.ended_at is not None
    assert open_subjects(kept) == {A, B}
    assert audited(kept) == [("exemption.made", ADMIN.ref, A), ("exemption.ended", ADMIN.ref, A)]
    with pytest.raises(Conflict):
        exemptions.end(kept, ADMIN, made.id)
    with pytest.raises(NotFound):
        exemptions.end(kept, ADMIN, "exemption_none")


def test_who_is_told_is_told_when_it_is_back(kernel: Kernel) -> None:
    settings = msgspec.structs.replace(
        kernel.settings, notify=msgspec.structs.replace(kernel.settings.notify, finding_severity="low")
    )
    opened = Kernel(settings, (WORLD,))
    declare(opened, declaration("a", size=1))
    observe(opened, 0, queue("a", size=2, tags=PAY))
    id = judge(opened)[SIZE].id
    assert told(opened) == [("finding.opened", id)]
    made = exempt(opened)
    judge(opened)
    assert told(opened) == [("finding.opened", id)]
    exemptions.end(opened, ADMIN, made.id)
    assert told(opened) == [("finding.opened", id), ("finding.reopened", id)]
    judge(opened)
    assert len(told(opened)) == 2
    opened.close()


def test_of_several_the_longest_holds(kept: Kernel) -> None:
    short, long = exempt(kept, days=1), exempt(kept, "drift.*", days=30)
    with kept.db.read() as connection:
        assert drift.findings(connection, status="exempt").items[0].exemption == long.id
    exemptions.end(kept, ADMIN, long.id)
    with kept.db.read() as connection:
        assert drift.findings(connection, status="exempt").items[0].exemption == short.id
    exemptions.end(kept, ADMIN, short.id)
    assert open_subjects(kept) == {A, B}


def test_a_pattern_and_an_account(kept: Kernel) -> None:
    observe(kept, 1, queue("a", size=2), queue("b", size=2, tags=PAY))
    assert {rule for rule, _, _ in judge(kept)} == {ATTRIBUTE, UNOWNED}
    one = exempt(kept, "drift.un*", subject=A)
    assert {(rule, subject) for rule, subject, _ in judge(kept)} == {(ATTRIBUTE, A), (ATTRIBUTE, B)}
    every = exempt(kept, ATTRIBUTE, account=ACCOUNT)
    assert judge(kept) == {}
    # what is found later in the account is exempt too
    observe(kept, 2, queue("a", size=2, policy="p"), queue("b", size=5, tags=PAY), queue("owned-c"))
    assert {rule for rule, _, _ in judge(kept)} == {UNDECLARED}
    exemptions.end(kept, ADMIN, every.id)
    exemptions.end(kept, ADMIN, one.id)
    assert {rule for rule, _, _ in judge(kept)} == {ATTRIBUTE, UNOWNED, UNDECLARED}


def test_what_is_declared_and_not_there_can_be_exempt(kept: Kernel) -> None:
    observe(kept, 1, queue("a", size=2, tags=PAY))
    assert (GONE, B, "") in judge(kept)
    exempt(kept, GONE, subject=B)
    assert (GONE, B, "") not in judge(kept)


def test_one_that_is_made_while_rules_judge_holds(kept: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    holding = exemptions.holding
    made: list[Exemption] = []

    def late(connection: sa.Connection, at: datetime) -> exemptions.Exempting:
        known = holding(connection, at)
        monkeypatch.setattr(exemptions, "holding", holding)
        made.append(exempt(kept, GONE, subject=B))
        return known

    observe(kept, 1, queue("a", size=2, tags=PAY))
    monkeypatch.setattr(exemptions, "holding", late)
    assert (GONE, B, "") not in judge(kept)
    assert judge(kept, "exempt")[GONE, B, ""].exemption == made[0].id


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "exemption-scope"),
        ({"subject": A, "account": ACCOUNT}, "exemption-scope"),
        ({"subject": A, "rule": "drift.none"}, "rule-unknown"),
        ({"subject": A, "rule": "none.*"}, "rule-unknown"),
        ({"subject": A, "reason": "  "}, "exemption-reason"),
        ({"subject": A, "reason": "x" * 501}, "exemption-reason"),
        ({"subject": A, "until": codec.now() - timedelta(minutes=1)}, "exemption-until"),
        ({"subject": A, "until": codec.now() + timedelta(days=367)}, "exemption-until"),
        ({"subject": "nothing-is-so-called"}, "subject-unknown"),
        ({"account": "999988887777"}, "not-found"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(kept: Kernel, given: dict, code: str) -> None:
    asked = {"rule": ATTRIBUTE, "until": codec.now() + SOON, "reason": "so it is", **given}
    with pytest.raises(UwuError) as refused:
        exemptions.exempt(kept, ADMIN, **asked)
    assert refused.value.problem.code == code
    assert open_subjects(kept) == {A, B} and audited(kept) == []


def test_the_longest_time_is_a_setting(kept: Kernel) -> None:
    shorter = msgspec.structs.replace(kept.settings.rules, exemption_max_days=3)
    kept.settings = msgspec.structs.replace(kept.settings, rules=shorter)
    with pytest.raises(BadInput, match="3 days"):
        exempt(kept, days=4)
    assert exempt(kept, days=2).until > codec.now()


def test_owners_exempt_what_is_theirs_and_nothing_else(kept: Kernel) -> None:
    observe(kept, 1, queue("a", size=2, tags=PAY), queue("b", size=2, tags={"team": "web"}))
    judge(kept)
    mira, vera = person("mira", groups=("pay",)), person("vera", groups=("web",))
    given = {"rule": ATTRIBUTE, "until": codec.now() + SOON, "reason": "a load test"}
    made = exemptions.exempt(kept, mira, subject=A, **given)
    with kept.db.read() as connection:
        scopes = [(A, ""), (B, ""), ("", ACCOUNT)]
        assert exemptions.may(kept, connection, mira, scopes) == [True, False, False]
        assert exemptions.may(kept, connection, vera, scopes) == [False, True, False]
        assert exemptions.may(kept, connection, ADMIN, scopes) == [True, True, True]
    for refused in (
        lambda: exemptions.exempt(kept, vera, subject=A, **given),
        lambda: exemptions.exempt(kept, mira, account=ACCOUNT, **given),
        lambda: exemptions.end(kept, vera, made.id),
    ):
        with pytest.raises(authorize.NotAllowed):
            refused()
    assert open_subjects(kept) == {B}


def test_nobody_learns_of_an_exemption_what_they_may_not_see(kept: Kernel) -> None:
    one, every = exempt(kept), exempt(kept, "drift.*", account=ACCOUNT)
    held = policies.with_estate([("policy:default/sight", "p.yaml", 1, HIDE.replace(HIDDEN, ACCOUNT))])
    assert held.broken == ()
    kept.policies.fixed = held
    vera, mira = person("vera", roles=("admin",)), person("mira", groups=("payments",))
    with kept.db.read() as connection:
        with sight.looking_as(kept, mira):
            assert {each.id for each in exemptions.listed(connection).items} == {one.id, every.id}
        with sight.looking_as(kept, vera):
            assert exemptions.listed(connection).total == 0
            with pytest.raises(NotFound):
                exemptions.one(connection, every.id)
    for what in ({"subject": A}, {"account": ACCOUNT}):
        with pytest.raises(NotFound):
            exemptions.exempt(kept, vera, rule=GONE, until=codec.now() + SOON, reason="x", **what)
    with pytest.raises(NotFound):
        exemptions.end(kept, vera, one.id)


def test_they_are_listed_by_their_end_page_by_page(kept: Kernel) -> None:
    made = [exempt(kept, "drift.*" if i % 2 else GONE, days=9 - i) for i in range(5)]
    with kept.db.read() as connection:
        first = exemptions.listed(connection, limit=3)
        rest = exemptions.listed(connection, limit=3, after=first.after)
        assert [one.id for one in (*first.items, *rest.items)] == [one.id for one in reversed(made)]
        assert (first.total, rest.after) == (5, "")
        assert exemptions.listed(connection, rule=ATTRIBUTE).total == 2
    exemptions.end(kept, ADMIN, made[0].id)
    with kept.db.read() as connection:
        assert exemptions.listed(connection).total == 4
        assert exemptions.listed(connection, ended=True).total == 5


def test_a_worker_brings_back_what_is_over(kept: Kernel) -> None:
    (schedule,) = [each for each in parts.schedules() if each.name == "rules.expire"]
    assert schedule.job in parts.jobs() and domain.load(schedule.when)(kept) is False
    pass_time(kept, exempt(kept).id)
    assert domain.load(schedule.when)(kept) is True


def test_a_day_is_until_its_end(kept: Kernel) -> None:
    assert exemptions.until("2027-01-31") == datetime(2027, 2, 1, tzinfo=UTC)
    assert exemptions.until(" 2027-01-31T12:00:00Z ") == datetime(2027, 1, 31, 12, tzinfo=UTC)
    for wrong in ("", "soon", "2027-02-30", "31.1.2027"):
        with pytest.raises(BadInput) as refused:
            exemptions.until(wrong)
        assert refused.value.problem.place == "until"
