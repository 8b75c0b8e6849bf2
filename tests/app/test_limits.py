"""Rate limits: a burst, then the long run; each caller their own; what is told of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.app.front import through
from uwu.app import limits
from uwu.app.layers import App, Receive, Scope, Send
from uwu.app.limits import Buckets, Policy
from uwu.kernel.identity import Principal
from uwu.kernel.settings import LimitSettings

MIRA = Principal(ref="user:default/mira.k", name="Mira", kind="human", via="session")
TEO = Principal(ref="user:default/teo.r", name="Teo", kind="human", via="token")
HOME = Principal(ref="user:local/mira", name="mira", kind="local", via="home")
SMALL = LimitSettings(requests_per_minute=6, anonymous_per_minute=3, sign_in_per_minute=3, burst_seconds=60)


async def yes(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def limited(settings: LimitSettings = SMALL) -> tuple[App, list[str]]:
    refused: list[str] = []
    return limits.layer(yes, settings, refused.append), refused


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    buckets, policy = Buckets(clock), Policy("p", per_minute=60, burst=3)
    assert [buckets.take(policy, "a").allowed for _ in range(4)] == [True, True, True, False]
    refused = buckets.take(policy, "a")
    assert (refused.remaining, refused.seconds) == (0, 1)
    clock.now += 1
    assert [buckets.take(policy, "a").allowed for _ in range(2)] == [True, False]
    clock.now += 3600
    assert [buckets.take(policy, "a").allowed for _ in range(4)] == [True, True, True, False], "no more than its burst"


def test_what_was_refused_costs_nothing() -> None:
    clock = Clock()
    buckets, policy = Buckets(clock), Policy("p", per_minute=60, burst=1)
    assert buckets.take(policy, "a").allowed
    for _ in range(100):
        assert not buckets.take(policy, "a").allowed
    clock.now += 1
    assert buckets.take(policy, "a").allowed


def test_many_callers_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUCKETS", 10)
    buckets, policy = Buckets(Clock()), Policy("p", per_minute=60, burst=1)
    for i in range(1000):
        buckets.take(policy, str(i))
    assert len(buckets._held) == 10
    assert not buckets.take(policy, "999").allowed, "the latest ones are remembered"


def test_a_caller_is_told_how_much_is_left_and_when_to_come_back() -> None:
    app, refused = limited()
    answers = [through(app, path="/api/v1/status", principal=MIRA) for _ in range(7)]
    assert [a.status for a in answers] == [200] * 6 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"principal";q=6;w=60'
    assert answers[0].headers["ratelimit"] == '"principal";r=5;t=0'
    last = answers[-1]
    assert int(last.headers["retry-after"]) in range(1, 11)
    assert re.fullmatch(r'"principal";r=0;t=\d+', last.headers["ratelimit"])
    assert last.headers["content-type"] == "application/problem+json"
    assert last.json["code"] == "rate-limited"
    assert refused == ["principal"]


def test_each_principal_and_each_address_has_its_own() -> None:
    app, _ = limited()
    for _ in range(6):
        assert through(app, principal=MIRA, client="192.0.2.1").status == 200
    assert through(app, principal=MIRA, client="192.0.2.9").status == 429, "another address is the same person"
    assert through(app, principal=TEO, client="192.0.2.1").status == 200
    for _ in range(3):
        assert through(app, client="192.0.2.1").status == 200
    assert through(app, client="192.0.2.1").status == 429
    assert through(app, client="192.0.2.2").status == 200


def test_signing_in_is_counted_by_address_whoever_asks() -> None:
    app, refused = limited()
    said = [through(app, "POST", path, principal=p) for path, p in (("/login", MIRA), ("/login/token", TEO))]
    said += [through(app, "POST", "/device/code"), through(app, "POST", "/login")]
    assert [a.status for a in said] == [200, 200, 200, 429]
    assert refused == ["sign-in"]


@pytest.mark.parametrize(("path", "given"), [("/assets/uwu.0.css", {}), ("/healthz", {}), ("/", {"principal": HOME})])
def test_what_is_not_counted(path: str, given: dict[str, Any]) -> None:
    app, _ = limited()
    answers = [through(app, path=path, **given) for _ in range(20)]
    assert {a.status for a in answers} == {200}
    assert "ratelimit" not in answers[0].headers


def test_a_limit_of_zero_is_none() -> None:
    app, _ = limited(LimitSettings(requests_per_minute=0, anonymous_per_minute=0, sign_in_per_minute=0))
    assert {through(app, "POST", "/login", principal=p).status for p in (MIRA, TEO) for _ in range(50)} == {200}
