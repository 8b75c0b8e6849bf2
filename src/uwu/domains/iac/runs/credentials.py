"""Credentials of a run: short-lived, asked for when it begins, through a port."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, Protocol

import msgspec

from uwu.kernel import codec, domain
from uwu.kernel.runtime import Kernel

Phase = Literal["plan", "apply"]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Who needs credentials for what."""

    run: str
    """The id of the run: it names the session, so that CloudTrail tells which run it was."""
    number: int
    stack: str
    account: str
    """Empty where the stack names none."""
    phase: Phase
    """What plans needs to read, what applies to write."""
    requested_by: str
    seconds: int
    """How long the run may take."""


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials as variables of the environment."""

    env: dict[str, str]
    """Its values are kept out of the log."""
    expires_at: datetime
    told: str
    """What they are, for the log: no secret."""


class Credentials(Protocol):
    """Port to whoever gives credentials out: ``iac.credentials`` names a ``module:function`` (Kernel) that makes it."""

    def issue(self, wanted: Wanted) -> Issued:
        """Credentials for one phase of one run. Raises ``UwuError``; nothing is run then."""
        ...

    def revoke(self, issued: Issued) -> None:
        """Called once the phase has ended, however it did. What cannot be revoked ends by itself."""
        ...


class Simulated:
    """Credentials that open nothing: AWS refuses them. For stacks that need none, for the demo and for tests."""

    def issue(self, wanted: Wanted) -> Issued:
        """Keys of AWS's own form that name the run."""
        token = codec.digest(["simulated", wanted.run, wanted.phase, codec.new_id("s")])
        env = {
            "AWS_ACCESS_KEY_ID": f"ASIA{token[:16].upper()}",
            "AWS_SECRET_ACCESS_KEY": token[16:56],
            "AWS_SESSION_TOKEN": f"uwu-simulated-{token}",
        }
        ends = codec.now() + timedelta(seconds=wanted.seconds)
        return Issued(env=env, expires_at=ends, told=f"simulated credentials for {wanted.phase}, of no account")

    def revoke(self, issued: Issued) -> None:
        """There is nothing to take back."""
        del issued


def simulated(_kernel: Kernel) -> Credentials:
    """The default."""
    return Simulated()


def of(kernel: Kernel) -> Credentials:
    """The port of this home."""
    return domain.load(kernel.settings.iac.credentials)(kernel)
