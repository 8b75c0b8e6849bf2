"""Who may do what: the shipped policies, the estate's own, and that every fault closes."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.app.asking import ADMIN, NOBODY, person
from uwu.kernel import actions, authorize, declared, domain, estate, policies
from uwu.kernel.actions import ACTIONS
from uwu.kernel.authorize import NotAllowed, SignInNeeded, Target
from uwu.kernel.estate import reading, roots
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity, Place
from uwu.kernel.policies import NOTHING, Policies, PolicySet
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

SERVICE = Principal(ref="service:default/deployer", name="deployer", kind="service", roles=("viewer",), via="token")
PAYMENTS = "group:default/payments"


def judging(held: PolicySet) -> Kernel:
    """A kernel where ``held`` is in force; it has no database."""
    kernel = Kernel(Settings(home="/nowhere"), ())
    kernel.policies.fixed = held
    return kernel


SHIPPED = judging(policies.shipped())


def plan(*owners: str, requesters: tuple[str, ...] = ("user:default/asker",), forced: bool = False) -> Target:
    more = {"owners": owners, "requesters": requesters, "forced": forced, "title": "plan 431"}
    return Target("Plan", "plan_1", attributes=more)


def may(who: Principal, action: str, target: Target | None = None, kernel: Kernel = SHIPPED) -> bool:
    return authorize.decide(kernel, who, action, target).allowed


def with_policy(cedar: str) -> Kernel:
    held = policies.with_estate([("policy:default/ours", "policies.yaml", 3, cedar)])
    assert held.broken == ()
    return judging(held)


# ---- what is shipped


@pytest.mark.parametrize("name", policies.SHIPPED)
def test_what_is_shipped_fits_the_schema_and_is_named(name: str) -> None:
    text = (files("uwu.kernel") / "cedar" / name).read_text("utf-8")
    assert list(policies.check_text(text)) == []
    assert len(list(policies.split(text))) == text.count("@id(")
    assert len({label.name for label in policies.shipped().labels}) == len(policies.shipped().labels)


GRANTS = {
    "viewer": {"read", "self"},
    "operator": {"read", "run", "self"},
    "auditor": {"read", "audit", "self"},
    "admin": {"read", "run", "change", "approve", "audit", "admin", "self"},
    "": {"self"},
}


@pytest.mark.parametrize("action", [a for a in ACTIONS if a.group != "open"], ids=lambda a: a.name)
@pytest.mark.parametrize("role", GRANTS)
def test_a_role_grants_its_groups_of_actions_and_no_other(role: str, action: actions.Action) -> None:
    who = person("mira", roles=(role,) if role else ())
    assert may(who, action.name) == (action.group in GRANTS[role])


@pytest.mark.parametrize("action", [a for a in ACTIONS if a.group == "open"], ids=lambda a: a.name)
def test_what_is_open_is_open_to_anyone_whatever_the_policies(action: actions.Action) -> None:
    assert may(NOBODY, action.name, kernel=judging(NOTHING))


@pytest.mark.parametrize("action", [a for a in ACTIONS if a.group != "open"], ids=lambda a: a.name)
def test_nothing_is_permitted_that_no_policy_permits(action: actions.Action) -> None:
    for who in (ADMIN, SERVICE, NOBODY, person("mira", break_glass="bg_1")):
        assert not may(who, action.name, kernel=judging(NOTHING))


def test_nobody_never_writes_even_with_a_role() -> None:
    guest = Principal(ref="anonymous", name="Anonymous", kind="anonymous", roles=("viewer", "admin"))
    assert may(guest, "world.read")
    for action in ACTIONS:
        if action.group not in ("open", "read"):
            assert not may(guest, action.name), action.name
    with pytest.raises(SignInNeeded) as caught:
        authorize.require(SHIPPED, guest, "jobs.run")
    assert (caught.value.status, caught.value.problem.code) == (401, "sign-in-needed")


# ---- ownership


@pytest.mark.parametrize("action", ["plans.approve", "plans.apply", "plans.request"])
def test_a_member_of_the_owner_acts_on_what_it_owns_and_on_nothing_else(action: str) -> None:
    member = person("mira", groups=("payments",))
    assert may(member, action)  # the door: what it is done to is not named yet
    assert may(member, action, plan(PAYMENTS))
    assert not may(member, action, plan("group:default/ledger"))
    assert not may(person("vera"), action, plan(PAYMENTS))
    assert not may(person("vera"), action)


def test_a_person_and_a_service_may_own_too() -> None:
    assert may(person("mira"), "plans.approve", plan("user:default/mira"))
    assert may(SERVICE, "plans.apply", plan("service:default/deployer"))


def test_being_an_owner_grants_no_more_than_run_change_and_approve() -> None:
    member = person("mira", roles=(), groups=("payments",))
    owned = Target("Resource", "arn:aws:sqs:::a", PAYMENTS)
    allowed = {action.name for action in ACTIONS if action.group != "open" and may(member, action.name, owned)}
    by_group = {action.name for action in ACTIONS if action.group in ("run", "change", "approve")}
    assert allowed == by_group


@given(
    roles=st.sets(st.sampled_from([*authorize.ROLES, "member", "break-glass"])),
    groups=st.sets(st.sampled_from(["payments", "ledger"])),
    glass=st.sampled_from(["", "bg_1"]),
    behind=st.sampled_from(["user:default/mira", "group:default/payments"]),
)
def test_the_requester_is_never_the_approver(roles: set[str], groups: set[str], glass: str, behind: str) -> None:
    who = person("mira", roles=tuple(sorted(roles)), groups=(*sorted(groups), "payments"), break_glass=glass)
    target = plan(PAYMENTS, requesters=(behind,))
    decision = authorize.decide(SHIPPED, who, "plans.approve", target)
    assert not decision.allowed
    assert "requester-is-not-approver" in decision.policies


def test_break_glass_does_what_an_admin_may_and_is_for_people() -> None:
    held = person("mira", break_glass="bg_1")
    assert may(held, "plans.force")
    assert may(held, "plans.approve", plan("group:default/ledger"))
    assert may(person("vera", roles=()), "break-glass.open")
    denied = authorize.decide(SHIPPED, SERVICE, "break-glass.open")
    assert denied.policies == ("break-glass-is-for-people",)


# ---- tokens


@pytest.mark.parametrize(
    ("scopes", "action", "allowed"),
    [
        (("*",), "plans.force", True),
        (("read",), "world.read", True),
        (("read",), "self.read", True),
        (("read",), "self.change", False),
        (("read",), "jobs.run", False),
        (("read",), "audit.read", False),
        (("run",), "jobs.run", True),
        (("run",), "world.read", False),
        (("plans.approve",), "plans.approve", True),
        (("plans.approve",), "plans.apply", False),
        ((), "world.read", False),
    ],
)
def test_a_token_does_no_more_than_its_scopes(scopes: tuple[str, ...], action: str, allowed: bool) -> None:
    who = person("root", roles=("admin",), break_glass="bg_1", scopes=scopes)
    decision = authorize.decide(SHIPPED, who, action)
    assert decision.allowed == allowed
    if not allowed:
        assert decision.policies == ("token-stays-in-its-scopes",)
        assert action in decision.missing


# ---- what closes


def test_an_unknown_action_type_kind_and_context_are_denied() -> None:
    assert not may(ADMIN, "plans.abolish")
    assert not may(ADMIN, "plans.approve", Target("Spaceship", "x"))
    strange = Principal(ref="x", name="x", kind="robot", roles=("admin",))  # type: ignore[arg-type]
    assert not may(strange, "world.read")
    assert not authorize.decide(SHIPPED, ADMIN, "world.read", context={"moon": "full"}).allowed


def test_a_policy_that_fails_while_it_is_asked_denies() -> None:
    fails = '@id("odd") forbid (principal, action, resource) when { principal.nowhere == 1 };'
    held = policies.with_estate([("policy:default/ours", "p.yaml", 1, fails)])
    assert [broken.ref for broken in held.broken] == ["policy:default/ours"]
    decision = authorize.decide(judging(held), ADMIN, "world.read")
    assert not decision.allowed
    assert decision.policies == ("policy:default/ours#odd",)
    assert "failed" in decision.reason


@pytest.mark.parametrize(
    ("cedar", "reads", "admins"),
    [
        ("permit (principal, action, resource;", True, True),
        ("forbid (principal, action, resource;", False, True),
        ("", True, True),
    ],
)
def test_text_that_is_no_cedar_opens_nothing(cedar: str, reads: bool, admins: bool) -> None:
    held = policies.with_estate([("policy:default/ours", "p.yaml", 7, cedar)])
    assert [(b.ref, b.place) for b in held.broken] == [("policy:default/ours", "p.yaml:7")]
    assert may(person("mira"), "world.read", kernel=judging(held)) == reads
    assert may(ADMIN, "world.read", kernel=judging(held)) == admins
    assert not may(person("mira"), "audit.read", kernel=judging(held))


def test_a_database_that_does_not_answer_denies_and_leaves_what_is_open(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database" * 100)
    kernel = Kernel(Settings(home=str(tmp_path)), ())
    assert not may(ADMIN, "world.read", kernel=kernel)
    assert may(NOBODY, "health.read", kernel=kernel)
    kernel.close()


# ---- denials in words


def test_a_denial_names_the_path_that_lacks_and_whom_to_ask() -> None:
    with pytest.raises(NotAllowed) as caught:
        authorize.require(SHIPPED, person("teo", groups=("storefront",)), "plans.approve", plan("group:default/ledger"))
    told = caught.value.problem
    assert told.message == "you may not approve or reject a plan (plan 431)"
    assert (told.code, told.place) == ("not-allowed", "no policy permits it")
    assert "not a member of group:default/ledger, which owns this" in told.hint
    assert "role admin would do" in told.hint
    assert caught.value.decision is not None
    assert caught.value.decision.ask == ("group:default/ledger", "role:admin")


def test_a_denial_names_the_roles_that_would_do() -> None:
    decision = authorize.decide(SHIPPED, person("teo"), "jobs.run")
    assert decision.would_do == ("operator", "admin")
    assert decision.missing == "it takes the role operator or admin"
    assert authorize.decide(SHIPPED, person("teo"), "audit.read").would_do == ("auditor", "admin")


def test_a_denial_names_the_policy_that_forbids() -> None:
    kernel = with_policy(
        '@id("freeze") forbid (principal, action == Action::"plans.apply", resource) when { context.weekday == 5 };'
    )
    from datetime import UTC, datetime

    friday, monday = datetime(2026, 11, 20, 9, tzinfo=UTC), datetime(2026, 11, 23, 9, tzinfo=UTC)
    denied = authorize.decide(kernel, ADMIN, "plans.apply", plan(PAYMENTS), {"at": friday})
    assert denied.policies == ("policy:default/ours#freeze",)
    assert denied.forbidden
    assert authorize.decide(kernel, ADMIN, "plans.apply", plan(PAYMENTS), {"at": monday}).allowed


# ---- the estate's own


def test_a_policy_of_the_estate_permits_what_it_says() -> None:
    kernel = with_policy(
        '@id("on-call") permit (principal in Group::"group:default/sre", action in Action::"run", resource);'
    )
    assert may(person("mira", groups=("sre",)), "jobs.run", kernel=kernel)
    assert not may(person("mira", groups=("web",)), "jobs.run", kernel=kernel)
    decision = authorize.decide(kernel, person("mira", groups=("sre",)), "jobs.run")
    assert decision.policies == ("policy:default/ours#on-call",)


def test_who_holds_the_home_is_not_locked_out_by_the_estate(sqlite_kernel: Kernel) -> None:
    _declare(sqlite_kernel, "forbid (principal, action, resource);")
    local = Principal(ref="user:local/me", name="me", kind="local", roles=("admin",), via="home")
    sqlite_kernel.policies.refresh()
    assert may(local, "jobs.run", kernel=sqlite_kernel)
    assert not may(ADMIN, "jobs.run", kernel=sqlite_kernel)
    pretender = Principal(ref="user:local/me", name="me", kind="local", roles=("admin",), via="token")
    assert not may(pretender, "jobs.run", kernel=sqlite_kernel)


def _declare(kernel: Kernel, cedar: str | None, name: str = "ours") -> None:
    held = []
    if cedar is not None:
        spec = {"cedar": cedar, "owner": "security"}
        held = [
            Entity(
                kind="Policy",
                name=name,
                api_version="uwu.dev/v1alpha1",
                metadata={"name": name},
                spec=spec,
                place=Place("policies.yaml", 4),
                origin="file:estate",
            )
        ]
    with kernel.db.write() as connection:
        declared.replace_entities(connection, "file:estate", held, ())


def test_policies_come_into_force_and_go_with_their_entities(kernel: Kernel) -> None:
    assert may(person("mira"), "world.read", kernel=kernel)
    _declare(kernel, '@id("closed") forbid (principal, action == Action::"world.read", resource);')
    kernel.policies.refresh()
    decision = authorize.decide(kernel, person("mira"), "world.read")
    assert decision.policies == ("policy:default/ours#closed",)
    label = next(label for label in kernel.policies.current().labels if label.name == decision.policies[0])
    assert label.place == "policies.yaml:4"
    _declare(kernel, None)
    kernel.policies.refresh()
    assert may(person("mira"), "world.read", kernel=kernel)


def test_a_set_is_parsed_once_while_nothing_changes(sqlite_kernel: Kernel) -> None:
    _declare(sqlite_kernel, 'permit (principal, action in Action::"audit", resource);')
    first = sqlite_kernel.policies.refresh()
    assert sqlite_kernel.policies.refresh() is first
    assert first.parsed is first.parsed
    assert sqlite_kernel.policies.current() is first


def test_a_database_that_stops_answering_leaves_the_last_set_in_force(sqlite_kernel: Kernel) -> None:
    _declare(sqlite_kernel, 'forbid (principal, action in Action::"run", resource);')
    held = Policies(sqlite_kernel)
    before = held.refresh()
    with sqlite_kernel.db.write() as connection:
        connection.exec_driver_sql("alter table entities rename to entities_gone")
    assert held.refresh() is before


POLICY = """\
apiVersion: uwu.dev/v1alpha1
kind: Policy
metadata: {name: freeze}
spec:
  owner: security
  description: Nothing is applied on Fridays.
  cedar: |
    // who applies on a Friday works on a Saturday
    @id("fridays")
    forbid (principal, action == Action::"plans.apply", resource)
    when { context.weekday == 5 };

    @id("second")
    permit (principal, action == Action::"%s", resource);
"""
GROUP = """\
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: security}
spec: {type: team, children: []}
"""


def _load(path: Path) -> estate.Estate:
    return estate.load([path], domain.kinds_of(domain.installed()))


def test_the_estate_reads_policies_and_says_where_one_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY % "plans.approve" + GROUP)
    found = _load(file)
    assert found.problems == ()
    assert [e.ref for e in found.entities if e.kind == "Policy"] == ["policy:default/freeze"]
    file.write_text(POLICY % "plans.bless" + GROUP)
    found = _load(file)
    assert [(p.code, p.place) for p in found.problems] == [("policy", f"{file}:13")]
    assert 'Action::"plans.bless"' in found.problems[0].message
    (root,) = roots.find([file]).roots
    told = reading.read(str(file), root, domain.kinds_of(domain.installed()))
    assert told.rejected == ("policy:default/freeze",)  # so that what was accepted of it stays


@pytest.mark.parametrize(
    ("cedar", "line", "told"),
    [
        ("permit (principal, action, resource", 1, "no Cedar policy"),
        ("permit (principal, action, resource);\n\npermit (principal);", 3, "no Cedar policy"),
        ("// only a comment\n", 0, "no policy"),
        ("permit (principal == ?principal, action, resource);", 1, "template"),
        ('@id("a") permit (principal, action, resource);\n@id("a") forbid (principal, action, resource);', 2, "two"),
        ('permit (principal, action, resource) when { resource.colour == "red" };', 1, "colour"),
        (
            'forbid (principal, action == Action::"world.read", resource == Resource::"arn:aws:sqs:::a");',
            1,
            "does not fit",
        ),
        ('permit (principal in Rank::"boss", action, resource);', 1, "Rank"),
    ],
)
def test_what_is_wrong_with_a_policy_is_told_with_its_line(cedar: str, line: int, told: str) -> None:
    found = list(policies.check({"cedar": cedar, "owner": "x"}))
    assert found, "it was accepted"
    assert found[0].line == line
    assert told in found[0].message


def test_a_semicolon_within_a_text_or_a_comment_ends_no_policy() -> None:
    text = dedent(
        """\
        // a; b
        @id("a;b") permit (principal, action, resource) when { resource has account && "x;\\"y" == "z" };
        forbid (principal, action, resource); // the end;
        """
    )
    assert [(piece.line, piece.text[:6]) for piece in policies.split(text)] == [(2, '@id("a'), (3, "forbid")]


def test_actions_of_domains_stand_in_the_schema() -> None:
    own = actions.Action("cost.read", "read", "read what it costs")
    known = (*ACTIONS, own)
    permit = 'permit (principal, action == Action::"cost.read", resource);'
    assert list(policies.check_text(permit, known)) == []
    assert list(policies.check_text(permit)) != []
