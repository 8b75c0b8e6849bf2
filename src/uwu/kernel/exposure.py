"""The nouns of reachability from outside, and the port to the domain that judges it.

Every answer is three-valued: ``no`` is proven by complete cells alone; what could not be looked at makes ``unknown``.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from uwu.kernel.domain import load

if TYPE_CHECKING:
    import sqlalchemy as sa

    from uwu.kernel.runtime import Kernel

Answer = Literal["yes", "no", "unknown"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One reason on the way from the internet, with the place that says so and how fresh that is."""

    urn: str
    """The resource that says so; empty for the internet itself."""
    type: str = ""
    says: str
    """In words: ``admits tcp/443 from anyone``."""
    evidence: str = ""
    """The attribute: ``IpPermissions``."""
    holds: Answer = "yes"
    """Whether this step lets through."""
    cell: str = ""
    status: str = ""
    """What is known of the cell; ``complete`` or why not. Empty where the step stands on no cell."""
    observed_at: datetime | None = None
    """When the cell was last seen whole."""


class Lack(msgspec.Struct, frozen=True, kw_only=True):
    """What would have to be known for a proof."""

    cell: str
    """The cell that is not complete; empty where no cell could tell."""
    status: str
    """``denied``, ``throttled``, ``failed``, ``unsupported``, ``stale``, ``never``, ``unread``, ``unobserved`` or
    ``hidden``."""
    why: str
    """In words, with the place of the question."""


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """Whether anyone on the internet reaches a resource, or is allowed to by its policy."""

    urn: str
    type: str = ""
    answer: Answer
    ports: tuple[str, ...] = ()
    """What is open to anyone: ``tcp/443``, ``udp/53``, ``tcp/1024-65535``, ``all``; empty for what is reached by calls
    of AWS's API, and for the answers no and unknown."""
    path: tuple[Step, ...] = ()
    """From the internet to the resource; up to the step that closes it where the answer is no."""
    lacks: tuple[Lack, ...] = ()
    """What is missing for a proof: empty for yes and no."""
    conditions: tuple[str, ...] = ()
    """What narrows who is let in: ``tcp/22 from 203.0.113.0/24``, ``aws:PrincipalOrgID = o-1``. With the answer no they
    say to whom it is open nevertheless."""


class Assumer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may, or perhaps may, assume a role."""

    principal: str
    """A urn, a service, an account's root, or ``*``."""
    kind: str
    """``anyone``, ``account``, ``role``, ``user``, ``session``, ``service``, ``oidc``, ``saml`` or ``gone``."""
    account: str = ""
    answer: Answer
    why: str
    evidence: str
    """Where the role's trust says so."""
    conditions: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    """What may still forbid or allow it and was not evaluated."""


def of(kernel: Kernel, connection: sa.Connection, urn: str) -> Exposure | None:
    """The exposure of ``urn``; None where no domain judges its type, or it is not observed."""
    for domain in kernel.domains:
        if domain.exposure:
            found = load(domain.exposure)(kernel, connection, urn)
            if found is not None:
                return found
    return None


def assumers(kernel: Kernel, connection: sa.Connection, role: str) -> list[Assumer] | None:
    """Who may assume ``role``: the certain first. None where it is no role that is observed."""
    for domain in kernel.domains:
        if domain.assumers:
            found = load(domain.assumers)(kernel, connection, role)
            if found is not None:
                return found
    return None
