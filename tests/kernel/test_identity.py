"""Who asks: groups and roles, people of a provider, service accounts, tokens, sessions, devices; on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from uwu.kernel import audit, codec, domain, graph, tables
from uwu.kernel.errors import BadInput, Conflict, Denied, NotFound
from uwu.kernel.identity import Principal, principals, secret, sessions, sign_ins, tokens
from uwu.kernel.identity.principals import BOOTSTRAP, Claims
from uwu.kernel.identity.resolve import HOLD_SECONDS, Identities, Unauthenticated
from uwu.kernel.model import Relation
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AccessSettings

ADMIN = Principal(ref="user:local/root", name="root", kind="local", roles=("admin",), via="home")
MIRA = Claims(
    issuer="https://id.example.com",
    subject="1",
    username="mira",
    email="mira@example.com",
    name="Mira",
    groups=("sre",),
)


class Clock:
    """The clock of the kernel, moved by hand."""

    def __init__(self) -> None:
        self.at = codec.now()

    def __call__(self) -> datetime:
        return self.at

    def move(self, **passed: float) -> None:
        self.at += timedelta(**passed)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(codec, "now", made)
    return made


@pytest.fixture
def peer(kernel: Kernel) -> Iterator[Kernel]:
    """Another process of the same home."""
    opened = Kernel(kernel.settings, domain.installed())
    yield opened
    opened.close()


def with_access(kernel: Kernel, **access: Any) -> None:
    settings = msgspec.structs.replace(kernel.settings.access, **access)
    kernel.settings = msgspec.structs.replace(kernel.settings, access=settings)


def declare(kernel: Kernel, *entities: tuple[str, str, dict[str, Any], dict[str, Any]]) -> None:
    now = codec.now()
    with kernel.db.write() as connection:
        for kind, name, metadata, spec in entities:
            connection.execute(
                tables.entities.insert().values(
                    ref=f"{kind.lower()}:default/{name}",
                    kind=kind,
                    namespace="default",
                    name=name,
                    api_version="backstage.io/v1alpha1",
                    metadata=metadata,
                    spec=spec,
                    file="teams.yaml",
                    line=1,
                    origin="estate",
                    hash="",
                    orphan=False,
                    first_seen=now,
                    last_seen=now,
                )
            )


def relate(kernel: Kernel, *relations: tuple[str, str, str]) -> None:
    made = [Relation(source=s, kind=k, target=t, evidence="teams.yaml:1") for s, k, t in relations]
    with kernel.db.write() as connection:
        graph.set_relations(connection, "estate/test", made, codec.now(), complete=True)


def actions_of(kernel: Kernel) -> list[str]:
    with kernel.db.read() as connection:
        return [entry.action for entry in reversed(audit.entries(connection))]


# ---- secrets


def test_a_token_tells_itself_and_its_typing_errors() -> None:
    id = codec.new_id("t")
    text = secret.token(id)
    assert secret.TOKEN.fullmatch(text) and text.startswith(f"uwu_{id[2:]}_") and secret.is_token(text)
    assert secret.token(id) != text
    assert not any(
        secret.is_token(text[:i] + ("x" if text[i] != "x" else "y") + text[i + 1 :]) for i in range(len(text))
    )
    assert not secret.is_token(text + " ") and not secret.is_token("")


def test_a_user_code_is_read_as_people_type_it() -> None:
    code = secret.user_code()
    assert secret.as_user_code(code.lower().replace("-", " ")) == code
    assert secret.as_user_code("ABCD-EFGH") == "" and secret.as_user_code(code[:-1]) == ""


# ---- groups and roles


def test_groups_close_over_their_parents_whatever_the_loops(kernel: Kernel) -> None:
    relate(
        kernel,
        ("user:default/mira", "memberOf", "group:default/payments"),
        ("group:default/payments", "childOf", "group:default/product"),
        ("group:default/product", "childOf", "group:default/all"),
        ("group:default/all", "childOf", "group:default/payments"),
        ("group:default/all", "ownerOf", "component:default/shop"),
        ("user:default/noor", "memberOf", "group:default/other"),
        ("group:default/sre", "childOf", "group:default/infra"),
    )
    with kernel.db.read() as connection:
        found = principals.closure(connection, "user:default/mira", ("group:default/sre",))
        assert principals.closure(connection, "user:default/nobody") == ()
    assert found == tuple(f"group:default/{name}" for name in ("all", "infra", "payments", "product", "sre"))


def test_roles_come_of_the_settings_and_of_oneself() -> None:
    access = AccessSettings(admins=("group:default/Platform",), operators=("user:default/mira",), everyone="none")
    assert principals.roles_of(access, "user:default/mira", ()) == ("operator",)
    assert principals.roles_of(access, "user:default/x", ("group:default/platform",)) == ("admin",)
    assert principals.roles_of(access, "user:default/x", (), ("auditor",)) == ("auditor",)
    assert principals.roles_of(AccessSettings(), "user:default/x", ()) == ("viewer",)


@pytest.mark.parametrize("ref", ["platform", "team:default/platform", "group:platform"])
def test_a_role_is_given_to_a_full_reference_only(ref: str) -> None:
    with pytest.raises(ValueError, match="no full reference"):
        AccessSettings(admins=(ref,))


# ---- people of a provider


def test_a_person_becomes_the_user_of_their_verified_address(kernel: Kernel) -> None:
    declare(kernel, ("User", "m.kovac", {"name": "m.kovac"}, {"profile": {"email": "Mira@Example.com"}}))
    relate(kernel, ("user:default/m.kovac", "memberOf", "group:default/payments"))
    assert principals.signed_in(kernel, MIRA).ref == "user:default/m.kovac"
    other = msgspec.structs.replace(MIRA, subject="2", email="", username="noor")
    assert principals.signed_in(kernel, other).ref == "user:default/noor"


def test_a_person_keeps_their_reference_and_loses_groups(kernel: Kernel) -> None:
    first = principals.signed_in(kernel, MIRA)
    renamed = msgspec.structs.replace(MIRA, username="admin", name="M", email="else@example.com", groups=())
    again = principals.signed_in(kernel, renamed)
    assert (first.ref, first.groups) == ("user:default/mira", ("group:default/sre",))
    assert (again.ref, again.name, again.groups) == (first.ref, "M", ())
    assert actions_of(kernel) == ["principal.link", "principal.groups"]


def test_nobody_takes_a_name_that_is_anothers(kernel: Kernel) -> None:
    principals.signed_in(kernel, MIRA)
    for thief in (
        msgspec.structs.replace(MIRA, subject="2"),
        msgspec.structs.replace(MIRA, issuer="https://other.example.com"),
    ):
        with pytest.raises(Denied) as caught:
            principals.signed_in(kernel, thief)
        assert caught.value.problem.code == "identity-taken"
    principals.unlink(kernel, ADMIN, "user:default/mira")
    assert principals.signed_in(kernel, msgspec.structs.replace(MIRA, subject="2")).subject == "2"


def test_no_provider_names_the_bootstrap_admin_or_a_service(kernel: Kernel) -> None:
    principals.bootstrap(kernel, ADMIN)
    principals.create_service(kernel, ADMIN, "deployer")
    for name in ("admin", "local/admin", "service:default/deployer", "../local/admin", "user:local/admin"):
        claims = msgspec.structs.replace(MIRA, subject=name, username=name, email="")
        found = principals.signed_in(kernel, claims)
        assert found.ref.startswith("user:default/") and found.roles == (), name
        principals.unlink(kernel, ADMIN, found.ref)


def test_a_person_without_a_name_has_one_of_their_own(kernel: Kernel) -> None:
    bare = Claims(issuer="https://id.example.com", subject="1")
    found = principals.signed_in(kernel, bare)
    other = principals.signed_in(kernel, msgspec.structs.replace(bare, subject="2"))
    assert found.ref != other.ref and found.ref.startswith("user:default/sub-")


def test_groups_of_claims_are_those_of_the_catalog(kernel: Kernel) -> None:
    claimed = {"name": "product", "annotations": {principals.CLAIM: "7c9e6679-0001, 7c9e6679-0002"}}
    declare(kernel, ("Group", "product", claimed, {}))
    values = ["7c9e6679-0002", "/Payments", "group:default/sre", "group:ops"]
    values += ["/anyones/platform", "platform/", "user:default/x", "group:a/b/c", "a b", "", "x" * 200]
    with kernel.db.read() as connection:
        found = principals.groups_of_claims(connection, values)
    assert found == tuple(f"group:default/{name}" for name in ("ops", "payments", "product", "sre"))


# ---- service accounts, the first admin


def test_a_service_account_is_named_once_and_well(kernel: Kernel) -> None:
    made = principals.create_service(kernel, ADMIN, "Deployer", ["platform"])
    assert (made.ref, made.groups, made.created_by) == (
        "service:default/deployer",
        ("group:default/platform",),
        ADMIN.ref,
    )
    with pytest.raises(Conflict):
        principals.create_service(kernel, ADMIN, "deployer")
    for bad in ("", "a/b", "-x", "x" * 64, "ü", "a b"):
        with pytest.raises(BadInput):
            principals.create_service(kernel, ADMIN, bad)
    with pytest.raises(BadInput):
        principals.create_service(kernel, ADMIN, "other", ["user:default/mira"])
    assert actions_of(kernel) == ["service.create"]


def test_the_first_admin_is_made_once_and_again_only_in_place_of_itself(kernel: Kernel) -> None:
    assert not principals.admin_exists(kernel)
    first = principals.bootstrap(kernel, ADMIN)
    found = kernel.identities.of_token(first)
    assert (found.ref, found.roles, found.via) == (BOOTSTRAP, ("admin", "viewer"), "token")
    with pytest.raises(Conflict) as caught:
        principals.bootstrap(kernel, ADMIN)
    assert caught.value.problem.code == "admin-exists" and "--again" in caught.value.problem.hint
    second = principals.bootstrap(kernel, ADMIN, again=True)
    with pytest.raises(Unauthenticated):
        kernel.identities.of_token(first)
    assert kernel.identities.of_token(second).ref == BOOTSTRAP
    assert actions_of(kernel) == ["admin.bootstrap", "admin.bootstrap"]


def test_no_first_admin_is_needed_where_the_settings_name_one(kernel: Kernel) -> None:
    with_access(kernel, admins=("group:default/platform",))
    assert principals.admin_exists(kernel)


# ---- tokens


@pytest.fixture
def deployer(kernel: Kernel) -> str:
    return principals.create_service(kernel, ADMIN, "deployer", ["platform"]).ref


def test_a_token_is_kept_as_its_hash_and_told_once(kernel: Kernel, deployer: str) -> None:
    made, text = tokens.create(kernel, ADMIN, name=" for  CI ", principal=deployer, scopes=["read", "plans.request"])
    found = kernel.identities.of_token(text)
    assert (found.ref, found.kind, found.credential) == (deployer, "service", made.id)
    assert (found.scopes, found.groups) == (("plans.request", "read"), ("group:default/platform",))
    assert made.name == "for CI" and made.expires_at is not None
    with kernel.db.read() as connection:
        kept = [str(row) for table in (tables.tokens, tables.audit) for row in connection.execute(sa.select(table))]
    assert not any(text in row or text[32:64] in row for row in kept), "no secret stands in the database"
    assert actions_of(kernel) == ["service.create", "token.create"]


@pytest.mark.parametrize(
    ("own", "wanted"), [(("read",), "*"), (("read",), "plans.request"), (("plans.read",), "read"), (("self",), "admin")]
)
def test_a_token_is_never_wider_than_its_maker(
    kernel: Kernel, deployer: str, own: tuple[str, ...], wanted: str
) -> None:
    maker = Principal(ref=deployer, name="deployer", kind="service", scopes=own, via="token")
    with pytest.raises(BadInput) as caught:
        tokens.create(kernel, maker, name="x", scopes=[wanted])
    assert caught.value.problem.code == "token-wider"
    made, _ = tokens.create(kernel, maker, name="x", scopes=["plans.read"] if "self" not in own else ["self.read"])
    assert made.created_by == deployer


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"scopes": ["nothing"]}, "token-scope"),
        ({"scopes": ["open"]}, "token-scope"),
        ({"scopes": []}, "token-scope"),
        ({"days": 366}, "token-days"),
        ({"days": 0}, "token-days"),
        ({"name": " "}, "token-name"),
        ({"principal": ""}, "token-for-whom"),
        ({"principal": "user:default/nobody"}, "not-found"),
    ],
)
def test_a_token_that_may_not_be_is_refused(kernel: Kernel, deployer: str, wanted: dict[str, Any], code: str) -> None:
    with pytest.raises((BadInput, NotFound)) as caught:
        tokens.create(kernel, ADMIN, **{"name": "x", "principal": deployer, **wanted})
    assert caught.value.problem.code == code


def test_a_token_ends_by_time_by_revocation_and_with_its_principal(kernel: Kernel, deployer: str, clock: Clock) -> None:
    _, short = tokens.create(kernel, ADMIN, name="a", principal=deployer, days=1)
    made, text = tokens.create(kernel, ADMIN, name="b", principal=deployer)

    def refused(shown: str) -> str:
        with pytest.raises(Unauthenticated) as caught:
            kernel.identities.of_token(shown)
        return caught.value.problem.code

    assert kernel.identities.of_token(short).ref == deployer, "it is held from now on"
    clock.move(days=1)
    assert refused(short) == "token-expired"
    principals.set_disabled(kernel, ADMIN, deployer, True)
    assert refused(text) == "principal-disabled"
    with pytest.raises(Conflict):
        tokens.create(kernel, ADMIN, name="c", principal=deployer)
    principals.set_disabled(kernel, ADMIN, deployer, False)
    assert kernel.identities.of_token(text).ref == deployer
    tokens.revoke(kernel, ADMIN, made.id)
    tokens.revoke(kernel, ADMIN, made.id)
    assert refused(text) == "token-revoked"
    assert refused(secret.token(made.id)) == refused("uwu_x") == refused("") == "token-unknown"
    assert actions_of(kernel).count("token.revoke") == 1


def test_the_last_use_is_written_once_a_minute(kernel: Kernel, deployer: str, clock: Clock) -> None:
    made, text = tokens.create(kernel, ADMIN, name="a", principal=deployer)

    def used() -> datetime | None:
        kernel.identities.forget()
        kernel.identities.of_token(text)
        with kernel.db.read() as connection:
            return tokens.find(connection, made.id).used_at

    clock.at = clock.at.replace(second=10, microsecond=5)
    first = clock.at.replace(second=0, microsecond=0)
    assert used() == first
    clock.move(seconds=40)
    assert used() == first
    clock.move(seconds=15)
    assert used() == first + timedelta(minutes=1)


def test_another_process_sees_a_revocation_within_seconds(kernel: Kernel, peer: Kernel, deployer: str) -> None:
    now = 0.0
    far = Identities(peer, clock=lambda: now)
    made, text = tokens.create(kernel, ADMIN, name="a", principal=deployer)
    assert far.of_token(text).ref == kernel.identities.of_token(text).ref == deployer
    tokens.revoke(kernel, ADMIN, made.id)
    with pytest.raises(Unauthenticated):
        kernel.identities.of_token(text)
    assert far.of_token(text).ref == deployer, "it holds on"
    now = HOLD_SECONDS + 0.01
    with pytest.raises(Unauthenticated):
        far.of_token(text)


def test_what_was_read_before_a_revocation_is_not_held_after_it(
    kernel: Kernel, deployer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, text = tokens.create(kernel, ADMIN, name="a", principal=deployer)
    closure = principals.closure

    def meanwhile(*given: Any) -> Any:
        found = closure(*given)
        kernel.identities.forget()
        return found

    monkeypatch.setattr("uwu.kernel.identity.resolve.closure", meanwhile)
    kernel.identities.of_token(text)
    assert kernel.identities.known("token", text) is None
    del made


def test_break_glass_is_held_until_it_ends(kernel: Kernel, deployer: str, clock: Clock) -> None:
    _, text = tokens.create(kernel, ADMIN, name="a", principal=deployer)
    row = {"id": "bg_1", "principal": deployer, "reason": "fire", "created_at": clock.at, "ended_at": None}
    with kernel.db.write() as connection:
        ends = clock.at + timedelta(minutes=5)
        connection.execute(tables.break_glass.insert().values(**row, ended_by=None, expires_at=ends))
    assert kernel.identities.of_token(text).break_glass == "bg_1"
    clock.move(minutes=5)
    assert kernel.identities.of_token(text).break_glass == ""


# ---- sessions


@pytest.fixture
def mira(kernel: Kernel) -> str:
    return principals.signed_in(kernel, MIRA).ref


def later(kernel: Kernel, clock: Clock, hours: float) -> None:
    """So much later, and a few seconds more: nothing is held any longer."""
    clock.move(hours=hours)
    kernel.identities.forget()


def alive(kernel: Kernel, text: str) -> bool:
    return kernel.identities.of_session(text) is not None


def test_a_session_ends_when_it_rests_and_in_any_case(kernel: Kernel, mira: str, clock: Clock) -> None:
    text = sessions.begin(kernel, mira, via="oidc", agent="Firefox\n\x1b[31m")
    with kernel.db.read() as connection:
        listed = sessions.listed(kernel, connection, principal=mira)
    assert [(one.principal, one.via) for one in listed] == [(mira, "oidc")] and "\n" not in listed[0].agent
    for _ in range(13):  # used every eleven hours it lives
        assert alive(kernel, text)
        later(kernel, clock, 11)
    assert alive(kernel, text)
    rests = sessions.begin(kernel, mira, via="oidc")
    clock.move(hours=12)
    assert not alive(kernel, rests), "it rested for twelve hours"
    used = sessions.begin(kernel, mira, via="oidc")
    for _ in range(16):
        assert alive(kernel, used)
        later(kernel, clock, 10.5)
    assert not alive(kernel, used), "seven days have passed"


def test_a_session_ends_by_hand_one_or_all(kernel: Kernel, mira: str) -> None:
    first, second = (sessions.begin(kernel, mira, via="oidc") for _ in range(2))
    found = kernel.identities.of_session(first)
    assert found is not None and found.via == "session" and found.groups == ("group:default/sre",)
    sessions.end(kernel, found, found.credential)
    assert not alive(kernel, first) and alive(kernel, second)
    assert sessions.end_all(kernel, found, mira) == 1 and not alive(kernel, second)
    with pytest.raises(NotFound):
        sessions.end(kernel, found, found.credential)


def test_a_session_gets_another_secret(kernel: Kernel, mira: str) -> None:
    first = sessions.begin(kernel, mira, via="oidc")
    found = kernel.identities.of_session(first)
    assert found is not None
    second = sessions.rotate(kernel, found.credential)
    assert not alive(kernel, first) and kernel.identities.of_session(second) == found
    third = sessions.begin(kernel, mira, via="oidc", replaces=found.credential)
    assert not alive(kernel, second) and alive(kernel, third)


def test_a_session_by_token_keeps_to_it(kernel: Kernel, deployer: str, clock: Clock) -> None:
    made, _ = tokens.create(kernel, ADMIN, name="a", principal=deployer, scopes=["read"], days=2)
    text = sessions.begin(kernel, deployer, via="token", token=made.id)
    found = kernel.identities.of_session(text)
    assert found is not None and found.scopes == ("read",)
    tokens.revoke(kernel, ADMIN, made.id)
    assert not alive(kernel, text)
    other, _ = tokens.create(kernel, ADMIN, name="b", principal=deployer, days=2)
    text = sessions.begin(kernel, deployer, via="token", token=other.id)
    for _ in range(5):
        assert alive(kernel, text)
        later(kernel, clock, 10)
    assert not alive(kernel, text), "it ends with its token"


def test_disabling_ends_sessions_here_and_there(kernel: Kernel, peer: Kernel, mira: str) -> None:
    text = sessions.begin(kernel, mira, via="oidc")
    assert alive(kernel, text) and alive(peer, text)
    principals.set_disabled(kernel, ADMIN, mira, True)
    peer.identities.forget()
    assert not alive(kernel, text) and not alive(peer, text)
    with pytest.raises(Denied) as caught:
        principals.signed_in(kernel, MIRA)
    assert caught.value.problem.code == "principal-disabled"
    with pytest.raises(Conflict):
        principals.set_disabled(kernel, msgspec.structs.replace(ADMIN, ref=mira), mira, True)


# ---- sign-ins


def test_a_state_is_used_once_by_its_browser_and_in_time(kernel: Kernel, peer: Kernel, clock: Clock) -> None:
    def code(take: Callable[[], Any]) -> str:
        with pytest.raises(BadInput) as caught:
            take()
        return caught.value.problem.code

    sign_ins.begin(kernel, "state-1", "browser", {"next": "/plans"})
    assert code(lambda: sign_ins.take(peer, "state-1", "another")) == "sign-in-elsewhere"
    assert sign_ins.take(peer, "state-1", "browser")["next"] == "/plans", "another process ends what one began"
    assert code(lambda: sign_ins.take(kernel, "state-1", "browser")) == "sign-in-used"
    assert code(lambda: sign_ins.take(kernel, "state-2", "browser")) == "sign-in-unknown"
    sign_ins.begin(kernel, "state-3", "browser", {})
    clock.move(minutes=10)
    assert code(lambda: sign_ins.take(kernel, "state-3", "browser")) == "sign-in-unknown"
    with kernel.db.read() as connection:
        kept = str(connection.execute(sa.select(tables.sign_ins)).all())
    assert "state-" not in kept and "'browser'" not in kept.replace("'browser':", "")


def test_a_device_is_let_in_once_as_who_lets_it_in(kernel: Kernel, mira: str) -> None:
    person = Principal(ref=mira, name="Mira", kind="human", scopes=("read", "run"), via="session")
    asked = sign_ins.ask(kernel, client="uwu on\n build-7", address="10.0.0.7")
    with pytest.raises(sign_ins.Pending):
        sign_ins.collect(kernel, asked.device_code)
    with kernel.db.read() as connection:
        found = sign_ins.waiting(connection, asked.user_code.lower())
    assert (found.client, found.address) == ("uwu on build-7", "10.0.0.7")
    sign_ins.decide(kernel, person, asked.user_code, "allow")
    with pytest.raises(NotFound):
        sign_ins.decide(kernel, person, asked.user_code, "allow")
    made, text = sign_ins.collect(kernel, asked.device_code)
    shown = kernel.identities.of_token(text)
    assert (shown.ref, shown.scopes, made.created_by) == (mira, ("read", "run"), mira)
    with pytest.raises(BadInput) as caught:
        sign_ins.collect(kernel, asked.device_code)
    assert caught.value.problem.code == "access-denied"
    assert actions_of(kernel)[-2:] == ["device.allow", "token.create"]


def test_a_device_is_turned_away_or_waits_too_long(kernel: Kernel, mira: str, clock: Clock) -> None:
    person = Principal(ref=mira, name="Mira", kind="human", via="session")
    denied, late = (sign_ins.ask(kernel, client="", address="") for _ in range(2))
    sign_ins.decide(kernel, person, denied.user_code, "deny")
    with pytest.raises(BadInput) as caught:
        sign_ins.collect(kernel, denied.device_code)
    assert caught.value.problem.code == "access-denied"
    clock.move(minutes=10)
    with pytest.raises(BadInput) as caught:
        sign_ins.collect(kernel, late.device_code)
    assert caught.value.problem.code == "expired-token"
    with pytest.raises(NotFound):
        sign_ins.decide(kernel, person, late.user_code, "allow")
