"""Asking and deciding: who may, what binds, what voids. On both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.kernel import plan_world
from tests.kernel.plan_world import built, finding, person, urn
from uwu.kernel import audit, codec, tables
from uwu.kernel.errors import BadInput, Conflict, Denied, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity, Place
from uwu.kernel.plans import UnsafePlan, approve, mender_of, store, view
from uwu.kernel.plans.approve import Asked, SelfApproval
from uwu.kernel.plans.store import Stored
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import PlansSettings, Settings

MIRA, TEO, INES = person("mira", "platform"), person("teo", "payments"), person("ines", "payments")
ADMIN = person("ada", roles=("admin",))


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[Kernel]:
    kernel = Kernel(Settings(home=str(tmp_path / "home"), database_url=database_url), (plan_world.DOMAIN,))
    yield kernel
    kernel.close()


def ask(kernel: Kernel, who: Principal = MIRA, **more: Any) -> Asked:
    request = more.pop("request", {"findings": [finding(0), finding(1)]})
    return approve.ask(kernel, who, **{"planner": "queues", "request": request, "reason": "put it right", **more})


def kept(kernel: Kernel, id: str) -> Stored:
    with kernel.db.read() as connection:
        return store.get(connection, id)


def decide(kernel: Kernel, who: Principal, id: str, decision: approve.Decision = "approve", **more: Any) -> str:
    return approve.decide(kernel, who, id, decision, **{"hash": kept(kernel, id).hash, **more})


def said(kernel: Kernel) -> list[str]:
    """The actions of the audit, oldest first."""
    with kernel.db.read() as connection:
        return [entry.action for entry in reversed(audit.entries(connection))]


def declare(kernel: Kernel, kind: str, name: str, spec: dict[str, Any]) -> None:
    from uwu.kernel import declared

    entity = Entity(kind=kind, name=name, api_version="uwu.dev/v1alpha1", spec=spec, place=Place("e.yaml", 1))
    with kernel.db.write() as connection:
        declared.replace_entities(connection, f"file:{kind}/{name}", [entity], [])


# ---- asking


def test_a_plan_is_kept_with_what_approving_it_needs(world: Kernel) -> None:
    built(world)
    asked = ask(world)
    plan = kept(world, asked.plan)
    assert asked.created and asked.told == "Plan 1 waits for approval."
    assert (plan.number, plan.status, plan.planner, plan.domain) == (1, "waiting", "queues", "world")
    assert [c.subject for c in plan.plan.changes] == [urn(0), urn(1)]
    assert plan.hash == plan.plan.hash
    assert plan.owners == plan.required == ["group:default/payments"]
    assert (plan.approvals_needed, plan.policy) == (1, ["plans.approvals = 1"])
    assert plan.expires_at - plan.requested_at == timedelta(hours=24)
    assert plan.requested_by == MIRA.ref and plan.behind == [MIRA.ref]
    with world.db.read() as connection:
        entry = audit.entries(connection)[0]
        assert store.get(connection, "#1") == store.get(connection, "1") == plan
        with pytest.raises(NotFound):
            store.get(connection, "2")
    assert (entry.actor, entry.action, entry.subject) == (MIRA.ref, "plan.request", asked.plan)
    assert entry.detail["hash"] == plan.hash and entry.detail["reason"] == "put it right"


def test_nothing_to_do_is_told_and_not_kept(world: Kernel) -> None:
    built(world, drifted=0)
    asked = ask(world, request={"subjects": [urn(0)]})
    assert asked.plan == "" and asked.told.startswith("There is nothing to do")
    assert said(world) == []


def test_asking_for_the_same_again_gives_the_same_plan(world: Kernel) -> None:
    built(world)
    first, again = ask(world), ask(world, TEO)
    assert again.plan == first.plan and not again.created and again.told == "Plan 1 asks for exactly this already."
    decide(world, TEO, first.plan, "reject")
    assert ask(world).plan != first.plan, "a rejected plan may be asked for anew"


def test_plans_that_are_asked_for_at_once_have_numbers_of_their_own(world: Kernel) -> None:
    built(world, count=6, drifted=6)
    asked: list[Asked] = []
    together([lambda n=n: asked.append(ask(world, request={"findings": [finding(n)]})) for n in range(6)])
    assert sorted(kept(world, each.plan).number for each in asked) == [1, 2, 3, 4, 5, 6]


def test_what_does_not_fit_is_refused(world: Kernel) -> None:
    built(world)
    with pytest.raises(BadInput, match="one of: queues, queues-for-good"):
        ask(world, planner="dns")
    with pytest.raises(BadInput) as caught:
        ask(world, request={"colour": "red"})
    assert caught.value.problem.place == "/request"
    with pytest.raises(BadInput) as caught:
        ask(world, reason="  ")
    assert caught.value.problem.code == "reason-missing"


def test_a_plan_past_the_safety_limit_needs_force_and_shows_it(world: Kernel) -> None:
    built(world, count=10, drifted=4)
    request = {"findings": [finding(n) for n in range(4)]}
    with pytest.raises(UnsafePlan, match="4 of 10"):
        ask(world, request=request)
    with pytest.raises(Denied) as caught:
        ask(world, request=request, force=True)
    assert caught.value.problem.code == "not-allowed", "force needs a right of its own"
    plan = kept(world, ask(world, ADMIN, request=request, force=True).plan)
    assert plan.forced
    within = kept(world, ask(world, ADMIN, request={"findings": [finding(0)]}, force=True).plan)
    assert not within.forced, "force that was not needed is none"


def test_the_planner_that_mends_a_finding(world: Kernel) -> None:
    from uwu.kernel import drift

    built(world)
    with world.db.read() as connection:
        found = drift.finding(connection, finding(0))
    mender = mender_of(world.domains, found)
    assert mender is not None and mender.name == "queues"
    import msgspec

    assert mender_of(world.domains, msgspec.structs.replace(found, path="policy")) is None
    assert mender_of(world.domains, msgspec.structs.replace(found, rule="drift.unowned")) is None


# ---- the requester is not the approver


def test_the_requester_does_not_decide_not_even_as_owner_admin_or_with_broken_glass(world: Kernel) -> None:
    built(world)
    teos = ask(world, TEO).plan
    for who in (TEO, person("teo", "payments", roles=("admin",)), person("teo", "payments", break_glass="bg_1")):
        for decision in ("approve", "reject"):
            with pytest.raises(SelfApproval) as caught:
                decide(world, who, teos, decision)
            assert caught.value.problem.place == "requester-is-not-approver"
    assert kept(world, teos).status == "waiting"


def make_principal(kernel: Kernel, ref: str, created_by: str, kind: str = "service") -> None:
    row = {
        "ref": ref, "kind": kind, "name": ref, "email": "", "groups": [], "roles": [], "disabled": False,
        "created_at": codec.now(), "created_by": created_by,
    }  # fmt: skip
    with kernel.db.write() as connection:
        connection.execute(tables.principals.insert().values(row))


def make_token(kernel: Kernel, id: str, principal: str, created_by: str) -> None:
    row = {
        "id": id, "hash": id, "principal": principal, "name": id, "scopes": ["*"], "created_at": codec.now(),
        "created_by": created_by,
    }  # fmt: skip
    with kernel.db.write() as connection:
        connection.execute(tables.tokens.insert().values(row))


def service(name: str, **more: Any) -> Principal:
    return Principal(
        ref=f"service:default/{name}",
        name=name,
        kind="service",
        groups=("group:default/payments",),
        roles=("operator",),
        via="token",
        **more,
    )


def test_nor_by_a_service_account_or_a_token_of_their_own_making(world: Kernel) -> None:
    built(world)
    make_principal(world, "service:default/robot", MIRA.ref)
    make_principal(world, "service:default/robots-robot", "service:default/robot")
    make_principal(world, "service:default/other", INES.ref)
    make_token(world, "t_lent", "service:default/other", MIRA.ref)
    make_token(world, "t_own", "service:default/other", INES.ref)
    miras = ask(world).plan
    for hand in (service("robot"), service("robots-robot"), service("other", credential="t_lent")):
        with pytest.raises(SelfApproval):
            decide(world, hand, miras)
    assert decide(world, service("other", credential="t_own"), miras) == "approved"


def test_nor_does_the_maker_of_the_account_or_the_token_that_asked(world: Kernel) -> None:
    built(world)
    make_principal(world, "service:default/robot", TEO.ref)
    make_token(world, "t_1", "service:default/robot", ADMIN.ref)
    plan = ask(world, service("robot", credential="t_1")).plan
    assert kept(world, plan).behind == ["service:default/robot", ADMIN.ref, TEO.ref]
    for maker in (TEO, ADMIN):
        with pytest.raises(SelfApproval):
            decide(world, maker, plan)
    assert decide(world, INES, plan) == "approved"


def test_people_whom_the_same_provider_vouches_for_are_not_each_others_hands(world: Kernel) -> None:
    built(world)
    for who in (MIRA, TEO):
        make_principal(world, who.ref, "oidc", kind="human")
    assert decide(world, TEO, ask(world).plan) == "approved"


# ---- who may


def test_only_the_owners_group_or_an_admin_decides(world: Kernel) -> None:
    built(world)
    plan = ask(world).plan
    for stranger in (person("kofi", "search"), person("rui", roles=("operator",))):
        with pytest.raises(Denied) as caught:
            decide(world, stranger, plan)
        assert caught.value.problem.place == "owner-approves"
        assert "group:default/payments" in caught.value.problem.hint
    assert decide(world, person("kofi", "search", break_glass="bg_1"), plan) == "approved"
    with world.db.read() as connection:
        granted, decision = audit.entries(connection, limit=2)
    assert (granted.action, decision.detail["break_glass"]) == ("plan.granted", "bg_1")


def test_one_of_each_owner(world: Kernel) -> None:
    outside = built(world)
    outside.set("q1", tags={"team": "search"})
    plan_world.observe(world, ())
    from uwu.kernel import ownership

    ownership.settle(world)
    plan = ask(world).plan
    assert kept(world, plan).required == ["group:default/payments", "group:default/search"]
    assert decide(world, TEO, plan) == "waiting"
    assert decide(world, INES, plan) == "waiting", "two of the same group are not one of each"
    with world.db.read() as connection:
        slots = view.view(world, connection, MIRA, plan).slots
    assert [(slot.group, slot.by) for slot in slots] == [
        ("group:default/payments", INES.ref if slots[0].by == INES.ref else TEO.ref),
        ("group:default/search", ""),
    ]
    assert decide(world, person("kofi", "search"), plan) == "approved"


def test_what_nobody_owns_an_admin_decides(world: Kernel) -> None:
    built(world, colour="red")
    plan = ask(world).plan
    assert kept(world, plan).required == [""] and kept(world, plan).owners == []
    with pytest.raises(Denied, match="admin"):
        decide(world, TEO, plan)
    assert decide(world, ADMIN, plan) == "approved"


def test_policies_of_the_estate_ask_for_more_and_never_for_less(world: Kernel) -> None:
    built(world)
    declare(world, "Account", "prod", {"accountId": "111122223333", "owner": "platform", "environment": "production"})
    declare(world, "ApprovalPolicy", "create-only", {"match": {"actions": ["create"]}, "approvals": 9})
    declare(world, "ApprovalPolicy", "elsewhere", {"match": {"environments": ["staging"]}, "approvals": 9})
    declare(world, "ApprovalPolicy", "lax", {"match": {}, "approvals": 1})
    spec = {"environments": ["production"], "actions": ["update", "delete"], "owners": ["payments"]}
    declare(world, "ApprovalPolicy", "prod", {"match": spec, "approvals": 2, "approvers": ["security"]})
    plan = ask(world).plan
    stored = kept(world, plan)
    assert (stored.approvals_needed, stored.required) == (2, ["group:default/payments", "group:default/security"])
    assert stored.policy == [
        "plans.approvals = 1",
        "approvalpolicy:default/lax: 1 approval (e.yaml:1)",
        "approvalpolicy:default/prod: 2 approvals, one of group:default/security (e.yaml:1)",
    ]
    assert decide(world, TEO, plan) == "waiting"
    assert decide(world, person("sec", "security"), plan) == "approved"


def test_n_of_m_counts_people_and_not_decisions(world: Kernel, tmp_path: Path, database_url: str) -> None:
    settings = Settings(home=str(tmp_path / "home"), database_url=database_url, plans=PlansSettings(approvals=2))
    strict = Kernel(settings, (plan_world.DOMAIN,))
    built(strict)
    plan = ask(strict).plan
    assert [decide(strict, TEO, plan) for _ in range(3)] == ["waiting"] * 3
    assert decide(strict, INES, plan) == "approved"
    strict.close()
    del world


# ---- deciding


def test_two_approvals_at_the_same_moment_give_one_grant(world: Kernel) -> None:
    built(world)
    people = [person(f"p{n}", "payments") for n in range(8)]
    plan = ask(world).plan
    ends: list[str] = []

    def one(who: Principal) -> None:
        try:
            ends.append(decide(world, who, plan))
        except Conflict as error:
            ends.append(error.problem.code)

    together([lambda who=who: one(who) for who in people])
    assert sorted(ends) == ["approved"] + ["plan-decided"] * 7
    assert said(world).count("plan.granted") == 1 and said(world).count("plan.approve") == 1
    with world.db.read() as connection:
        assert audit.verify(connection).first_bad is None


def test_approve_and_reject_at_the_same_moment_end_in_one_of_both(world: Kernel) -> None:
    built(world)
    plan = ask(world).plan
    ends: list[str] = []

    def one(who: Principal, decision: approve.Decision) -> None:
        try:
            ends.append(decide(world, who, plan, decision))
        except Conflict as error:
            ends.append(error.problem.code)

    together([lambda: one(TEO, "approve"), lambda: one(INES, "reject")])
    assert "plan-decided" in ends and kept(world, plan).status in ends


def together(calls: list[Any]) -> None:
    """Runs the calls in threads that begin at the same moment; raises what any of them raised."""
    start, failures = threading.Barrier(len(calls)), []

    def run(call: Any) -> None:
        start.wait()
        try:
            call()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_an_approval_of_another_plan_is_none(world: Kernel) -> None:
    built(world)
    plan = ask(world).plan
    with pytest.raises(Conflict) as caught:
        decide(world, TEO, plan, hash="0" * 64)
    assert caught.value.problem.code == "plan-changed" and kept(world, plan).hash in caught.value.problem.message
    assert kept(world, plan).status == "waiting"


@pytest.mark.parametrize("what", ["observed", "declared"])
def test_a_plan_is_void_once_the_world_has_moved_on(world: Kernel, what: str) -> None:
    outside = built(world)
    plan = ask(world).plan
    if what == "observed":
        outside.set("q1", retention=2)
        plan_world.observe(world, ())
    else:
        from tests.kernel.world import declaration
        from uwu.kernel import declared

        with world.db.write() as connection:
            changed = [declaration(f"q{n}", retention=5) for n in range(3)]
            declared.replace_declarations(connection, "stack:default/payments", changed)
    with pytest.raises(Conflict) as caught:
        decide(world, TEO, plan)
    assert caught.value.problem.code == "plan-outdated"
    after = kept(world, plan)
    assert after.status == "void" and what in after.why
    assert said(world)[-1] == "plan.void"
    with pytest.raises(Conflict) as caught:
        decide(world, TEO, plan)
    assert caught.value.problem.code == "plan-void"


def test_what_changes_elsewhere_leaves_it_as_it_is(world: Kernel) -> None:
    outside = built(world)
    plan = ask(world).plan
    outside.set("q2", retention=9)
    plan_world.observe(world, ())
    assert decide(world, TEO, plan) == "approved"


def test_a_decision_may_be_changed_until_it_is_taken(world: Kernel) -> None:
    outside = built(world)
    outside.set("q1", tags={"team": "search"})
    plan_world.observe(world, ())
    from uwu.kernel import ownership

    ownership.settle(world)
    plan = ask(world).plan
    decide(world, TEO, plan, comment="looks right")
    assert decide(world, TEO, plan, "reject", comment="wrong after all") == "rejected"
    with world.db.read() as connection:
        (decision,) = store.approvals(connection, plan)
    assert (decision.decision, decision.comment) == ("reject", "wrong after all")
    assert kept(world, plan).why == "user:default/teo: wrong after all"
    with pytest.raises(Conflict, match="rejected"):
        decide(world, ADMIN, plan)


def test_a_plan_expires_by_time_alone(world: Kernel) -> None:
    built(world)
    waits, approved = ask(world, request={"findings": [finding(0)]}).plan, ask(world).plan
    decide(world, TEO, approved)
    past = codec.now() - timedelta(seconds=1)
    with world.db.write() as connection:
        connection.execute(sa.update(tables.plans).values(expires_at=past))
    assert kept(world, waits).status == kept(world, approved).status == "expired"
    with pytest.raises(Conflict) as caught:
        decide(world, TEO, waits)
    assert caught.value.problem.code == "plan-expired"
    with world.db.read() as connection:
        assert store.plans(connection, TEO, status="open").total == 0
        assert store.plans(connection, TEO, status="expired").total == 2
        assert store.plans(connection, TEO, mine=True).total == 0
    assert ask(world).created, "an expired plan does not stand in the way of a new one"


def test_withdrawing_is_for_the_requester_or_an_admin(world: Kernel) -> None:
    built(world)
    plan = ask(world).plan
    with pytest.raises(Denied):
        approve.withdraw(world, TEO, plan)
    approve.withdraw(world, MIRA, plan)
    assert kept(world, plan).status == "withdrawn" and said(world)[-1] == "plan.withdraw"
    with pytest.raises(Conflict):
        approve.withdraw(world, MIRA, plan)
    other = ask(world).plan
    decide(world, TEO, other)
    approve.withdraw(world, ADMIN, other)
    assert kept(world, other).status == "withdrawn"


def test_who_sees_only_a_part_still_counts_and_compares_the_whole(world: Kernel) -> None:
    """Numbers, doubles, owners and the comparison with the world are the platform's own to look at."""
    from uwu.kernel import sight

    outside = built(world)
    outside.set("q1", tags={"team": "search"})
    plan_world.observe(world, ())
    from uwu.kernel import drift, ownership

    ownership.settle(world)
    drift.judge(world)
    only = """permit(principal, action == Action::"world.read", resource is Slice)
    when { principal in resource.owners };"""
    declare(world, "Policy", "own-only", {"owner": "platform", "cedar": only})
    first = ask(world).plan
    teo, ines = (person(name, "payments", roles=()) for name in ("teo", "ines"))
    with sight.looking_as(world, teo), pytest.raises(NotFound):
        decide(world, teo, first, hash="0" * 64)
    with pytest.raises(NotFound):
        ask(world, teo, request={"findings": [finding(1)]})
    second = ask(world, teo, request={"findings": [finding(0)]})
    assert second.told == "Plan 2 waits for approval."
    with sight.looking_as(world, ines):
        assert decide(world, ines, second.plan) == "approved"


def test_who_owns_none_of_it_and_holds_no_role_does_not_ask(world: Kernel) -> None:
    built(world)
    with pytest.raises(Denied) as caught:
        ask(world, person("kofi", "search", roles=("viewer",)))
    assert "group:default/payments" in caught.value.problem.hint


# ---- reading


def test_lists_and_the_view(world: Kernel) -> None:
    built(world)
    one = ask(world, request={"findings": [finding(0)]}).plan
    two = ask(world, TEO, request={"findings": [finding(1)]}).plan
    with world.db.read() as connection:
        page = store.plans(connection, TEO, status="open", limit=1)
        assert [line.id for line in page.items] == [two] and (page.total, page.after) == (2, "1")
        rest = store.plans(connection, TEO, status="open", limit=1, after=page.after)
        assert [(line.id, line.waits_for_me) for line in rest.items] == [(one, True)] and rest.after == ""
        assert [line.id for line in store.plans(connection, TEO, mine=True).items] == [one]
        assert [line.id for line in store.plans(connection, MIRA, mine=True).items] == []
        assert [line.id for line in store.plans(connection, MIRA, subject=urn(1)).items] == [two]
        assert store.plans(connection, MIRA, owner="group:default/payments").total == 2
        assert store.plans(connection, MIRA, owner="group:default/search").total == 0
        assert store.plans(connection, MIRA, requested_by=TEO.ref).total == 1
        seen = view.view(world, connection, TEO, one)
        own = view.view(world, connection, MIRA, one)
    (change,) = seen.changes
    assert (change.name, change.before, change.after, change.status) == ("q0", 1, 4, "waits")
    assert (change.owner, change.finding, change.type_title) == ("group:default/payments", finding(0), "SQS queue")
    assert change.finding_title.endswith("retention is not as declared")
    assert (seen.safety.touched, seen.safety.total, seen.safety.applies) == (1, 3, False)
    assert [(stage.name, stage.status) for stage in seen.stages] == [
        ("planned", "done"), ("approved", "now"), ("applied", "next"), ("observed again", "next"),
    ]  # fmt: skip
    assert (seen.may.approve, seen.may.withdraw) == ("", "it is user:default/mira's to withdraw")
    assert own.may.approve.startswith("whoever asked") and own.may.withdraw == ""
    assert own.may.undo == own.may.apply == "it is waiting"
