"""How much one caller may ask: a token bucket for each principal, or for each address of those who did not sign in.

Kept in the memory of the process: two servers behind a balancer each allow their own. Told by the fields of
draft-ietf-httpapi-ratelimit-headers-10; a refusal is 429 (RFC 6585) with ``Retry-After``.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from uwu.app import identify
from uwu.app.api import problems
from uwu.app.layers import App, Receive, Scope, Send, answer, with_headers
from uwu.kernel.settings import LimitSettings

BUCKETS = 10_000
"""Callers remembered at once; the one that was quiet for longest is forgotten, which only fills its bucket."""

SIGN_IN = ("/login", "/sign-in", "/auth/", "/device", "/api/v1/device", "/api/v1/sign-in", "/api/v1/sessions")
"""Where someone signs in: what is guessed here is worth guessing."""
SIGN_IN_START = "/sign-in/start"
"""A link, that keeps a row until the provider sends its reader back."""

FREE = ("/assets/", "/healthz", "/readyz")
"""Not counted: files that are cached for ever, and what an orchestrator asks every second."""


class Policy(msgspec.Struct, frozen=True):
    """One limit: ``per_minute`` in the long run, ``burst`` at once."""

    name: str
    per_minute: int
    burst: int


class Verdict(msgspec.Struct, frozen=True):
    """Whether one more request may pass, how many more could now, and in how many seconds the next may."""

    allowed: bool
    remaining: int
    seconds: int


class Buckets:
    """The token buckets of one process. Used on the event loop's thread alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, policy: Policy, who: str) -> Verdict:
        """Takes one token of ``who`` from its bucket of ``policy``."""
        now, key, rate = self._clock(), (policy.name, who), policy.per_minute / 60
        level, at = self._held.pop(key, (float(policy.burst), now))
        level = min(policy.burst, level + (now - at) * rate)
        allowed = level >= 1
        level -= allowed
        self._held[key] = (level, now)
        if len(self._held) > BUCKETS:
            self._held.popitem(last=False)
        wait = 0 if level >= 1 else math.ceil((1 - level) / rate)
        return Verdict(allowed, int(level), wait)


def policies(settings: LimitSettings) -> dict[str, Policy]:
    """The limits by name; one that is 0 is left out."""

    def policy(name: str, per_minute: int) -> Policy:
        return Policy(name, per_minute, max(1, per_minute * settings.burst_seconds // 60))

    rates = {
        "principal": settings.requests_per_minute,
        "anonymous": settings.anonymous_per_minute,
        "sign-in": settings.sign_in_per_minute,
    }
    return {name: policy(name, rate) for name, rate in rates.items() if rate}


def layer(app: App, settings: LimitSettings, limited: Callable[[str], None]) -> App:
    """``app``, which each caller may only ask so much. ``limited`` is told the policy of each refusal."""
    known, buckets = policies(settings), Buckets()

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        name, who = caller(scope)
        policy = known.get(name)
        if policy is None:
            await app(scope, receive, send)
            return
        verdict = buckets.take(policy, who)
        told = (
            (b"ratelimit-policy", f'"{policy.name}";q={policy.per_minute};w=60'.encode()),
            (b"ratelimit", f'"{policy.name}";r={verdict.remaining};t={verdict.seconds}'.encode()),
        )
        sending = with_headers(send, *told)
        if verdict.allowed:
            await app(scope, receive, sending)
            return
        limited(policy.name)
        refused = problems.problem(
            429,
            f"more than {policy.per_minute} requests a minute",
            code="rate-limited",
            place=f"limit {policy.name}",
            hint=f"ask again in {verdict.seconds} s; the section limits of the settings says how much is allowed",
            headers={"Retry-After": str(verdict.seconds)},
            more={"retry_after": verdict.seconds},
        )
        await answer(sending, refused)

    return counted


def caller(scope: Scope) -> tuple[str, str]:
    """(policy, who is counted); an empty policy for what is not counted."""
    path = scope["path"]
    principal = scope.get(identify.PRINCIPAL)
    address = (scope.get("client") or ("",))[0]
    if path.startswith(FREE) or (principal is not None and principal.via == "home"):
        return "", ""
    if path.startswith(SIGN_IN) and (scope["method"] == "POST" or path == SIGN_IN_START):
        return "sign-in", address
    if principal is None or principal.kind == "anonymous":
        # whom the settings let look around without signing in is no stranger
        return "principal" if principal is not None and principal.roles else "anonymous", address
    return "principal", principal.ref
