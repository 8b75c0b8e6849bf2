"""Signing in: by a provider that says what it must, and by ones that do not; with a token; from a device."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import sqlalchemy as sa
import uvicorn
from joserfc import jwt
from litestar.testing import TestClient

from tests.app import openid
from uwu.app import credentials, identify, oidc
from uwu.app.asgi import create_app
from uwu.app.cli import run
from uwu.kernel import codec, domain, tables
from uwu.kernel.identity import principals, tokens
from uwu.kernel.runtime import Kernel

ORIGIN = "http://127.0.0.1:8420"
HOLDER = identify.local()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[openid.Provider]:
    monkeypatch.setenv("UWU_OIDC_CLIENT_SECRET", openid.SECRET)
    with openid.provider() as made:
        yield made


def configure(kernel: Kernel, **sections: dict[str, Any]) -> None:
    for name, given in sections.items():
        section = msgspec.structs.replace(getattr(kernel.settings, name), **given)
        kernel.settings = msgspec.structs.replace(kernel.settings, **{name: section})


@pytest.fixture
def home(sqlite_kernel: Kernel, provider: openid.Provider) -> Kernel:
    """A home whose people sign in by ``provider``."""
    configure(sqlite_kernel, oidc={"issuer": provider.issuer, "client_id": openid.CLIENT, "name": "Example"})
    return sqlite_kernel


def browser(kernel: Kernel, *, host: str = "127.0.0.1", **given: Any) -> TestClient[Any]:
    """A browser with its own cookies, before the whole application."""
    made: TestClient[Any] = TestClient(create_app(kernel, host=host), base_url=ORIGIN, **given)  # type: ignore[arg-type]
    made.follow_redirects = False
    made.headers["accept"] = "text/html"
    return made


def post(client: TestClient[Any], path: str, **form: str) -> Any:
    return client.post(path, data=form, headers={"origin": ORIGIN})


def sign_in(client: TestClient[Any], provider: openid.Provider, next: str = "/plans") -> Any:
    """The way there and back; gives the answer to the way back."""
    there = client.get("/sign-in/start", params={"next": next})
    assert there.status_code == 303, there.text
    return client.get("/sign-in/callback", params=provider.authorize(there.headers["location"]))


def session_of(client: TestClient[Any]) -> str:
    return client.cookies.get(identify.COOKIE) or ""


def sessions_held(kernel: Kernel) -> list[str]:
    with kernel.db.read() as connection:
        return list(connection.execute(sa.select(tables.sessions.c.principal)).scalars())


def refused(kernel: Kernel, answer: Any, place: str = "", code: str = "sign-in-refused") -> None:
    """``answer`` lets nobody in, and says why."""
    assert answer.status_code in {400, 401, 403, 503} and "set-cookie" not in answer.headers, answer.text
    assert "You are not signed in" in answer.text and f"{code}{' · ' + place if place else ''}" in answer.text
    assert sessions_held(kernel) == []
    with kernel.db.read() as connection:
        assert connection.execute(sa.select(tables.principals.c.ref)).first() is None


# ---- a whole sign-in


def test_who_comes_back_is_signed_in(home: Kernel, provider: openid.Provider) -> None:
    configure(home, access={"operators": ("group:default/payments",)})
    with browser(home) as client:
        shut = client.get("/findings?severity=high")
        assert shut.headers["location"] == "/sign-in?next=%2Ffindings%3Fseverity%3Dhigh"
        page = client.get(shut.headers["location"])
        assert "Sign in with Example" in page.text and page.headers["cache-control"] == "no-store"
        back = sign_in(client, provider, "/findings?severity=high")
        assert (back.status_code, back.headers["location"]) == (303, "/findings?severity=high")
        [cookie] = [c for c in back.headers.get_list("set-cookie") if c.startswith("uwu_session=")]
        assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; ")) and "Secure" not in cookie
        me = client.get("/api/v1/whoami").json()
        assert (me["ref"], me["name"], me["via"]) == ("user:default/mira.k", "Mira K", "session")
        assert (me["groups"], me["roles"]) == (["group:default/payments"], ["operator", "viewer"])
        assert client.get("/findings").status_code == 200
        assert client.get("/sign-in?next=/plans").headers["location"] == "/plans", "who is in goes on"

        out = post(client, "/sign-out")
        assert out.headers["location"] == "/sign-in?left=1" and 'uwu_session=""' not in session_of(client)
        assert client.get("/findings").status_code == 303 and sessions_held(home) == []
        there = client.get("/sign-in/leave").headers["location"]
        assert there.startswith(f"{provider.issuer}/leave?")
        assert parse_qs(urlsplit(there).query)["post_logout_redirect_uri"] == [f"{ORIGIN}/sign-in"]


def test_over_https_the_cookie_is_the_hosts_alone(home: Kernel, provider: openid.Provider) -> None:
    configure(home, http={"public_url": "https://uwu.example.com"})
    made: TestClient[Any] = TestClient(create_app(home), base_url="https://uwu.example.com")  # type: ignore[arg-type]
    made.follow_redirects = False
    with made as client:
        there = client.get("/sign-in/start")
        address = there.headers["location"]
        assert parse_qs(urlsplit(address).query)["redirect_uri"] == ["https://uwu.example.com/sign-in/callback"]
        back = client.get("/sign-in/callback", params=provider.authorize(address))
        [cookie] = [c for c in back.headers.get_list("set-cookie") if c.startswith("__Host-uwu=")]
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; ")) and "Domain" not in cookie
        secret = cookie.split(";")[0].partition("=")[2]
        assert client.get("/api/v1/whoami").status_code == 200
        client.cookies.clear()
        plain = client.get("/api/v1/whoami", headers={"cookie": f"uwu_session={secret}"})
        assert plain.status_code == 401, "the plain name is not read here: any page of the domain can set it"


def test_what_the_id_token_lacks_is_asked_for(home: Kernel, provider: openid.Provider) -> None:
    provider.person = {"sub": "00u1"}
    provider.userinfo = {**openid.PERSON, "iss": "https://evil.example.com"}
    with browser(home) as client:
        sign_in(client, provider)
        assert client.get("/api/v1/whoami").json()["groups"] == ["group:default/payments"]


def test_an_address_that_nobody_verified_is_not_taken(home: Kernel, provider: openid.Provider) -> None:
    provider.person["email_verified"] = False
    with browser(home) as client:
        sign_in(client, provider)
    with home.db.read() as connection:
        assert principals.find(connection, "user:default/mira.k").email == ""


# ---- what a provider must not say


BENT: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "another issuer": ("iss", lambda claims: claims.update(iss="https://evil.example.com")),
    "no issuer": ("iss", lambda claims: claims.pop("iss")),
    "another nonce": ("nonce", lambda claims: claims.update(nonce="x" * 43)),
    "no nonce": ("nonce", lambda claims: claims.pop("nonce")),
    "another audience": ("aud", lambda claims: claims.update(aud="another-client")),
    "no audience": ("aud", lambda claims: claims.pop("aud")),
    "two audiences and no party": ("azp", lambda claims: claims.update(aud=["uwu", "another-client"])),
    "another party": ("azp", lambda claims: claims.update(azp="another-client")),
    "expired": ("exp", lambda claims: claims.update(iat=int(time.time()) - 600, exp=int(time.time()) - 120)),
    "no expiry": ("exp", lambda claims: claims.pop("exp")),
    "made in the future": ("iat", lambda claims: claims.update(iat=int(time.time()) + 600)),
    "the hash of another access token": ("at_hash", lambda claims: claims.update(at_hash=openid.half_hash("x"))),
    "nobody": ("sub", lambda claims: claims.pop("sub")),
}


@pytest.mark.parametrize("name", BENT)
def test_an_id_token_that_does_not_hold_is_refused(home: Kernel, provider: openid.Provider, name: str) -> None:
    place, provider.bend = BENT[name]
    with browser(home) as client:
        refused(home, sign_in(client, provider), place)


def _by_another_key(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "k1"}, claims, openid.key("k1"))


def _changed(provider: openid.Provider) -> Callable[[dict[str, Any]], str]:
    def changed(claims: dict[str, Any]) -> str:
        head, _, tail = provider.signed(claims).split(".")
        return ".".join((head, openid.none_signed({**claims, "sub": "admin"}).split(".")[1], tail))

    return changed


@pytest.mark.parametrize(
    ("sign", "place"),
    [
        (_by_another_key, "signature"),
        (_changed, "signature"),
        (openid.none_signed, "algorithm"),
        (openid.signed_with_secret, "algorithm"),
        (lambda claims: "no.token", "signature"),
    ],
)
def test_an_id_token_that_the_provider_did_not_sign_is_refused(
    home: Kernel, provider: openid.Provider, sign: Any, place: str
) -> None:
    provider.sign = sign(provider) if sign is _changed else sign
    with browser(home) as client:
        refused(home, sign_in(client, provider), place)


def test_userinfo_of_another_person_is_refused(home: Kernel, provider: openid.Provider) -> None:
    provider.person = {"sub": "00u1"}
    provider.userinfo = {**openid.PERSON, "sub": "00u2"}
    with browser(home) as client:
        refused(home, sign_in(client, provider), "userinfo sub")


def test_a_provider_that_calls_itself_otherwise_is_refused(home: Kernel, provider: openid.Provider) -> None:
    provider.discovery = {"issuer": "https://evil.example.com"}
    with browser(home) as client:
        refused(home, client.get("/sign-in/start"), "issuer")
    provider.discovery = {"token_endpoint": "http://evil.example.com/token"}
    with browser(home) as client:
        refused(home, client.get("/sign-in/start"), "discovery")


def test_the_answer_of_another_provider_is_refused(home: Kernel, provider: openid.Provider) -> None:
    with browser(home) as client:
        there = client.get("/sign-in/start").headers["location"]
        mixed = {**provider.authorize(there), "iss": "https://evil.example.com"}
        refused(home, client.get("/sign-in/callback", params=mixed), "iss")
        assert "/token" not in provider.asked, "the code was not given away"


def test_a_code_and_a_state_are_used_once(home: Kernel, provider: openid.Provider) -> None:
    with browser(home) as client:
        there = client.get("/sign-in/start").headers["location"]
        back = provider.authorize(there)
        cookies = dict(client.cookies)
        assert client.get("/sign-in/callback", params=back).status_code == 303
        client.cookies.clear()
        client.cookies.update(cookies)
        again = client.get("/sign-in/callback", params=back)
        assert again.status_code == 400 and "sign-in-used" in again.text and "set-cookie" not in again.headers
        client.cookies.clear()
        fresh = client.get("/sign-in/start").headers["location"]
        state = parse_qs(urlsplit(fresh).query)["state"][0]
        replayed = client.get("/sign-in/callback", params={"code": back["code"], "state": state})
        assert replayed.status_code == 403 and "token endpoint" in replayed.text and back["code"] not in replayed.text
        assert len(sessions_held(home)) == 1


def test_a_code_of_another_sign_in_is_refused(home: Kernel, provider: openid.Provider) -> None:
    """Somebody else's code in one's own sign-in: the verifier does not fit (RFC 9700, 4.5)."""
    with browser(home) as thief, browser(home) as client:
        stolen = provider.authorize(thief.get("/sign-in/start").headers["location"])
        own = provider.authorize(client.get("/sign-in/start").headers["location"])
        refused(home, client.get("/sign-in/callback", params={**own, "code": stolen["code"]}), "token endpoint")


def test_a_sign_in_ends_in_the_browser_that_began_it(home: Kernel, provider: openid.Provider) -> None:
    """Login CSRF: an attacker's way back, opened by somebody else."""
    with browser(home) as attacker, browser(home) as victim:
        back = provider.authorize(attacker.get("/sign-in/start").headers["location"])
        refused(home, victim.get("/sign-in/callback", params=back), code="sign-in-elsewhere")
        victim.get("/sign-in/start")
        refused(home, victim.get("/sign-in/callback", params=back), code="sign-in-elsewhere")
        refused(home, attacker.get("/sign-in/callback", params={"code": "x"}), code="sign-in-elsewhere")
        assert attacker.get("/sign-in/callback", params=back).status_code == 303, "nobody has used it up"


def test_what_the_provider_refuses_is_told(home: Kernel, provider: openid.Provider) -> None:
    with browser(home) as client:
        back = provider.authorize(client.get("/sign-in/start").headers["location"])
        told = {"error": "access_denied", "error_description": "<script>x</script>", "state": back["state"]}
        answer = client.get("/sign-in/callback", params=told)
        refused(home, answer, "access_denied")
        assert "script>x" not in answer.text


# ---- a provider that changes or fails


def test_a_new_key_is_fetched_and_unknown_ones_not_for_ever(home: Kernel, provider: openid.Provider) -> None:
    now = 0.0
    held = oidc.Provider(home.settings.oidc, home.settings.home_path, clock=lambda: now)
    oidc._providers[home] = held
    with browser(home) as client:
        assert sign_in(client, provider).status_code == 303
        provider.keys = [openid.key("k2"), *provider.keys]
        now = oidc.REFETCH_SECONDS + 1
        assert sign_in(client, provider).status_code == 303, "a key that came later"
        provider.sign = lambda claims: jwt.encode({"alg": "RS256", "kid": "k3"}, claims, provider.keys[0])
        before = provider.asked.count("/keys")
        for _ in range(4):
            assert sign_in(client, provider).status_code == 403
        assert provider.asked.count("/keys") == before, "whoever invents key ids makes nobody ask"


def test_a_provider_that_is_down_is_an_error_page(home: Kernel, provider: openid.Provider) -> None:
    provider.down = True
    with browser(home) as client:
        answer = client.get("/sign-in/start")
        refused(home, answer, code="provider-unavailable")
        assert answer.status_code == 503 and "Example does not answer" in answer.text and "Use a token" in answer.text
        assert len(provider.asked) == oidc.TRIES
        provider.down = False
        there = client.get("/sign-in/start").headers["location"]
        provider.down = True
        asked = len(provider.asked)
        refused(home, client.get("/sign-in/callback", params=provider.authorize(there)), code="provider-unavailable")
        assert provider.asked[asked:] == ["/token"], "a code is sent once"


@pytest.mark.parametrize("body", [b"no json", b'{"issuer": 1}', b"x" * (oidc.MOST_BYTES + 1)])
def test_what_is_no_discovery_document_is_an_error_page(
    home: Kernel, provider: openid.Provider, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.app.openid.json.dumps", lambda told: body.decode())
    with browser(home) as client:
        refused(home, client.get("/sign-in/start"), code="provider-unavailable")


def test_nobody_listens_there(home: Kernel) -> None:
    configure(home, oidc={"issuer": "http://127.0.0.1:9"})
    with browser(home) as client:
        refused(home, client.get("/sign-in/start"), code="provider-unavailable")


# ---- where one goes on


@pytest.mark.parametrize(
    "next",
    [
        "https://evil.example.com/",
        "//evil.example.com",
        "/\\evil.example.com",
        "\\\\evil.example.com",
        "/\t/evil.example.com",
        "javascript:alert(1)",
        "/sign-in?next=/x",
        "/sign-out",
        "/ok\r\nset-cookie: a=b",
        "",
    ],
)
def test_one_goes_on_within_this_site_only(home: Kernel, provider: openid.Provider, next: str) -> None:
    with browser(home) as client:
        assert sign_in(client, provider, next).headers["location"] == "/"
    text = token_of(home, "user:default/mira.k")
    with browser(home) as client:
        assert post(client, "/sign-in", token=text, next=next).headers["location"] == "/"


# ---- sessions


def token_of(kernel: Kernel, ref: str, **given: Any) -> str:
    return tokens.create(kernel, HOLDER, name="a test", principal=ref, **given)[1]


@pytest.fixture
def deployer(sqlite_kernel: Kernel) -> str:
    return principals.create_service(sqlite_kernel, HOLDER, "deployer").ref


def test_a_planted_session_is_not_taken_over(home: Kernel, provider: openid.Provider) -> None:
    """Session fixation: what the browser held before it signed in is worth nothing afterwards."""
    with browser(home) as client:
        client.cookies.set(identify.COOKIE, "planted-by-somebody", domain="127.0.0.1")
        sign_in(client, provider)
        first = [c.value for c in client.cookies.jar if c.name == identify.COOKIE and c.value != "planted-by-somebody"]
        client.cookies.clear()
        for cookie, status in (("planted-by-somebody", 401), (first[0], 200)):
            headers = {"cookie": f"{identify.COOKIE}={cookie}"}
            assert client.get("/api/v1/whoami", headers=headers).status_code == status
        twice = {"cookie": f"{identify.COOKIE}=planted-by-somebody; {identify.COOKIE}={first[0]}"}
        assert client.get("/api/v1/whoami", headers=twice).status_code == 401, "of two none is believed"


def test_signing_in_again_ends_the_session_before(home: Kernel, provider: openid.Provider) -> None:
    with browser(home) as client:
        sign_in(client, provider)
        before = session_of(client)
        sign_in(client, provider)
        assert session_of(client) != before and len(sessions_held(home)) == 1
        client.cookies.clear()
        assert client.get("/api/v1/whoami", headers={"cookie": f"uwu_session={before}"}).status_code == 401


def test_more_rights_come_with_a_new_secret(home: Kernel, provider: openid.Provider) -> None:
    with browser(home) as client:
        sign_in(client, provider)
        before = session_of(client)
        body = {"reason": "the shop is down, I open the gate", "minutes": 5}
        broken = client.post("/api/v1/break-glass", json=body, headers={"origin": ORIGIN})
        assert broken.status_code == 201 and session_of(client) != before
        me = client.get("/api/v1/whoami").json()
        assert me["break_glass"] == broken.json()["id"], "it holds at once"
        client.cookies.clear()
        assert client.get("/api/v1/whoami", headers={"cookie": f"uwu_session={before}"}).status_code == 401


def test_a_session_is_ended_from_elsewhere(home: Kernel, provider: openid.Provider) -> None:
    with browser(home) as here, browser(home) as there:
        for client in (here, there):
            sign_in(client, provider)
        listed = here.get("/api/v1/sessions").json()
        other = next(one["id"] for one in listed if one["id"] != here.get("/api/v1/whoami").json()["credential"])
        write: Any = {"headers": {"origin": ORIGIN}}
        assert here.post(f"/api/v1/sessions/{other}/end", **write).status_code == 200
        assert there.get("/api/v1/whoami").status_code == 401 and here.get("/api/v1/whoami").status_code == 200
        assert here.post("/api/v1/sessions/end-all", **write).json() == {"sessions": 1}
        assert here.get("/api/v1/whoami").status_code == 401


def test_the_limits_of_a_session_hold_in_every_process(
    home: Kernel, provider: openid.Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    at: datetime = codec.now()
    monkeypatch.setattr(codec, "now", lambda: at)
    peer = Kernel(home.settings, domain.installed())
    with browser(home) as client, browser(peer) as other:
        sign_in(client, provider)
        cookie = {"cookie": f"uwu_session={session_of(client)}"}
        assert other.get("/api/v1/whoami", headers=cookie).status_code == 200, "a session is of the home"
        at += timedelta(hours=12)
        assert (
            client.get("/api/v1/whoami").status_code == other.get("/api/v1/whoami", headers=cookie).status_code == 401
        )
        assert client.get("/findings").headers["location"].startswith("/sign-in")
    peer.close()


def test_what_one_process_began_another_ends(home: Kernel, provider: openid.Provider) -> None:
    peer = Kernel(home.settings, domain.installed())
    with browser(home) as client, browser(peer) as other:
        back = provider.authorize(client.get("/sign-in/start").headers["location"])
        other.cookies.update(dict(client.cookies))
        assert other.get("/sign-in/callback", params=back).status_code == 303
        assert client.get("/sign-in/callback", params=back).status_code == 400
    peer.close()


def test_who_is_disabled_is_out_at_once(home: Kernel, provider: openid.Provider) -> None:
    with browser(home) as client:
        sign_in(client, provider)
        text = token_of(home, "user:default/mira.k")
        principals.set_disabled(home, HOLDER, "user:default/mira.k", True)
        assert client.get("/api/v1/whoami").status_code == 401
        answer = sign_in(client, provider)
        assert answer.status_code == 403 and "principal-disabled" in answer.text
        shown = client.get("/api/v1/whoami", headers={"authorization": f"Bearer {text}"})
        assert (shown.status_code, shown.json()["code"]) == (401, "principal-disabled")
        assert "principal-disabled" in post(client, "/sign-in", token=text).text


# ---- tokens


def test_a_token_signs_a_browser_in(sqlite_kernel: Kernel, deployer: str) -> None:
    text = token_of(sqlite_kernel, deployer, scopes=["read", "self"])
    with browser(sqlite_kernel) as client:
        page = client.get("/sign-in?next=/plans")
        assert "Sign in with the token" in page.text and "Sign in with single" not in page.text
        assert post(client, "/sign-in", token=f" {text}\n", next="/plans").headers["location"] == "/plans"
        me = client.get("/api/v1/whoami").json()
        assert (me["ref"], me["scopes"], me["via"]) == (deployer, ["read", "self"], "session")
        made = client.post("/api/v1/tokens", json={"name": "x", "scopes": ["*"]}, headers={"origin": ORIGIN})
        assert (made.status_code, made.json()["code"]) == (400, "token-wider")
        assert (
            client.post("/sign-in", data={"token": text}, headers={"origin": "https://evil.example.com"}).status_code
            == 403
        )
    with browser(sqlite_kernel) as client:
        answer = post(client, "/sign-in", token="uwu_wrong")
        assert answer.status_code == 401 and "token-unknown" in answer.text and "uwu_wrong" not in answer.text


def test_a_bearer_that_proves_nothing_is_nobody_not_anyone(sqlite_kernel: Kernel, deployer: str) -> None:
    text = token_of(sqlite_kernel, deployer)
    with browser(sqlite_kernel) as client:
        assert client.get("/api/v1/status").status_code == 200, "anyone may read on loopback"
        for shown in ("wrong", text[:-1], text + "x", "uwu_" + "0" * 26 + "_" + "a" * 38, "", "ü"):
            headers = {"authorization": f"Bearer {shown}".encode("latin-1")}
            answer = client.get("/api/v1/status", headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == 401 and answer.json()["code"] == "token-unknown", shown
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert client.get("/api/v1/whoami", headers={"authorization": f"bearer {text}"}).json()["ref"] == deployer


def test_no_secret_is_told(
    home: Kernel, provider: openid.Provider, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("uwu.access").setLevel(logging.INFO)
    bootstrap = principals.bootstrap(home, HOLDER)
    with browser(home) as client:
        there = client.get("/sign-in/start").headers["location"]
        back = provider.authorize(there)
        client.get("/sign-in/callback", params=back)
        write: Any = {"headers": {"origin": ORIGIN}}
        made = client.post("/api/v1/tokens", json={"name": "ci"}, **write)
        assert made.headers["cache-control"] == "no-store"
        pages = [client.get(path).text for path in ("/api/v1/tokens", "/api/v1/sessions", "/api/v1/whoami", "/account")]
        text, session = made.json()["secret"], session_of(client)
        post(client, "/sign-in", token=bootstrap)
        pages.append(post(client, "/sign-in", token=text[:-1]).text)
        pages.append(client.get("/sign-in/callback", params=back).text)
    with home.db.read() as connection:
        kept = [str(connection.execute(sa.select(table)).all()) for table in tables.audit.metadata.sorted_tables]
    told = "\n".join([*pages, *kept, *(record.getMessage() for record in caplog.records), *capfd.readouterr()])
    query = parse_qs(urlsplit(there).query)
    secrets = [bootstrap, text, session, back["code"], back["state"], query["nonce"][0], openid.SECRET]
    # what the library of the tests' own client tells of the requests that it sends is not the server's log
    lines = [record.getMessage() for record in caplog.records if record.name.startswith(("httpx", "httpcore"))]
    for line in lines:
        told = told.replace(line, "")
    for shown in secrets:
        assert shown and shown not in told, shown[:6]


# ---- who has not signed in


@pytest.mark.parametrize(
    ("host", "sections", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("0.0.0.0", {}, 401),
        ("127.0.0.1", {"http": {"public_url": "https://uwu.example.com"}}, 401),
        ("127.0.0.1", {"http": {"trusted_proxies": ("127.0.0.1",)}}, 401),
        ("127.0.0.1", {"oidc": {"issuer": "https://id.example.com", "client_id": "uwu"}}, 401),
        ("127.0.0.1", {"access": {"anonymous": "none"}}, 401),
        ("0.0.0.0", {"access": {"anonymous": "viewer"}, "http": {"trusted_proxies": ("0.0.0.0/0",)}}, 200),
    ],
)
def test_who_has_not_signed_in_reads_at_most(
    sqlite_kernel: Kernel, host: str, sections: dict[str, Any], status: int
) -> None:
    configure(sqlite_kernel, **sections)
    inner = create_app(sqlite_kernel, host=host)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "client": ("127.0.0.1", 1)}, receive, send)

    with TestClient(app, base_url=ORIGIN) as client:  # type: ignore[arg-type]
        answer = client.get("/api/v1/resources")
        assert answer.status_code == status, answer.text
        for path, body in (("/api/v1/jobs", {"name": "sync", "arguments": {}}), ("/api/v1/tokens", {"name": "x"})):
            assert client.post(path, json=body, headers={"origin": ORIGIN}).status_code == 401
        assert client.get("/api/v1/whoami").status_code == 401
        assert client.get("/healthz").status_code == 200


def test_a_page_that_nobody_may_see_leads_to_the_door(home: Kernel) -> None:
    with browser(home) as client:
        for path in ("/", "/findings/f_1", "/nowhere", "/device?code=WDJB-MJHT", "/account"):
            answer = client.get(path)
            assert answer.status_code == 303 and answer.headers["location"].startswith("/sign-in"), path
        assert client.get("/device?code=B").headers["location"] == "/sign-in?next=%2Fdevice%3Fcode%3DB"
        part = client.get("/search?palette=1&q=x", headers={"hx-request": "true", "hx-current-url": f"{ORIGIN}/plans"})
        assert (part.status_code, part.headers["hx-redirect"]) == (401, "/sign-in?next=%2Fplans")
        door = client.get("/sign-in").text
        assert 'href="/findings"' not in door, "it tells nothing of what is behind it"
        for asset in re.findall(r'(?:href|src)="(/assets/[^"]+)"', door):
            assert client.get(asset).status_code == 200, "it stands without anyone signed in"


# ---- a device


def test_uwu_login_lets_a_terminal_in(
    home: Kernel, provider: openid.Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("uwu.kernel.identity.sign_ins.POLL_SECONDS", 0.05)
    home_of_person = tmp_path / "person"
    with serving_as_itself(home) as url:
        monkeypatch.setenv("UWU_URL", url)
        done: list[int] = []
        terminal = threading.Thread(target=lambda: done.append(run(["--home", str(home_of_person), "login"])))
        terminal.start()
        code = ""
        deadline = time.monotonic() + 20
        while not code and time.monotonic() < deadline:
            with home.db.read() as connection:
                code = (
                    connection.execute(
                        sa.select(tables.sign_ins.c.code).where(tables.sign_ins.c.kind == "device")
                    ).scalar()
                    or ""
                )
        with browser(home) as client:
            sign_in(client, provider, f"/device?code={code}")
            page = client.get(f"/device?code={code}")
            assert code in page.text and "Let it in" in page.text
            assert "signed in" in post(client, "/device", code=code, decision="allow").text
            assert post(client, "/device", code=code, decision="allow").status_code == 404
        terminal.join(20)
        assert done == [0]
        kept = home_of_person / credentials.FILE
        assert kept.stat().st_mode & 0o777 == 0o600
        capsys.readouterr()
        assert run(["--home", str(home_of_person), "--json", "whoami"]) == 0
        me = codec.decode(capsys.readouterr().out)
        assert (me["ref"], me["via"]) == ("user:default/mira.k", "token")
        assert run(["--home", str(home_of_person), "logout"]) == 0
        assert run(["--home", str(home_of_person), "whoami"]) == 5 and credentials.read(home_of_person) == {}
        with home.db.read() as connection:
            assert tokens.find(connection, me["credential"]).revoked_at is not None


@contextmanager
def serving_as_itself(kernel: Kernel) -> Iterator[str]:
    """The address of a server to which nobody is anyone before they sign in."""
    listening = socket.create_server(("127.0.0.1", 0))
    app: Any = create_app(kernel)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def test_a_session_is_no_token_and_a_token_no_session(home: Kernel, provider: openid.Provider) -> None:
    with browser(home) as client:
        sign_in(client, provider)
        session, text = session_of(client), token_of(home, "user:default/mira.k")
        assert client.get("/api/v1/whoami").status_code == 200
        client.cookies.clear()
        for headers, status in (
            ({"authorization": f"Bearer {session}"}, 401),
            ({"authorization": f"Bearer {text}"}, 200),
            ({"cookie": f"uwu_session={text}"}, 401),
        ):
            assert client.get("/api/v1/whoami", headers=headers).status_code == status
