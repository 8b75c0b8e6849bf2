"""How bad a difference is, by what it opens: the rest is of the rule's own severity."""

from __future__ import annotations

from typing import Any

from uwu.kernel.model import Severity

_DOORS = frozenset(
    {
        "assume_role_policy",
        "ingress",
        "inline_policy",
        "managed_policy_arns",
        "permissions_boundary",
        "policy",
        "public_access_block",
        "publicly_accessible",
    }
)
"""Attributes that say who may come in."""
_ANYWHERE = frozenset({"0.0.0.0/0", "::/0"})


def of(path: str, observed: Any) -> Severity | None:
    """Critical where the whole internet was let in, high where a door may stand open, None for the rule's own."""
    name = path.split(".")[0]
    if name not in _DOORS:
        return None
    if name == "publicly_accessible":
        return Severity.CRITICAL if observed is True else None
    if name == "ingress" and any(rule.get("cidr") in _ANYWHERE for rule in observed or ()):
        return Severity.CRITICAL
    return Severity.HIGH
