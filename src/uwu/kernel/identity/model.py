"""Who asks. A principal is resolved once per request, at the front door, and handed to whatever acts for it."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["human", "service", "local", "anonymous"]
Role = Literal["viewer", "operator", "auditor", "admin"]


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, by what proof, and for whom."""

    ref: str
    """``user:default/mira.k``, ``service:default/deployer``, ``user:local/mira`` for whoever holds the home itself."""
    name: str
    """For people: ``Mira K``."""
    kind: Kind
    groups: tuple[str, ...] = ()
    """The groups it is in, directly and through their parents: ``group:default/payments``."""
    roles: tuple[str, ...] = ()
    """``viewer``, ``operator``, ``auditor``, ``admin``."""
    scopes: tuple[str, ...] = ("*",)
    """What its token is limited to: actions, or groups of actions such as ``read``."""
    via: Literal["session", "token", "home", "none"] = "none"
    credential: str = ""
    """The id of the session or the token; never its secret."""
    break_glass: str = ""
    """The id of the break-glass that it holds now; empty for none."""


ANONYMOUS = Principal(ref="anonymous", name="Anonymous", kind="anonymous")
