"""What can be done. Every route, wire endpoint and command names one of these; what names none is refused."""

from __future__ import annotations

from typing import Literal

import msgspec

Group = Literal["open", "self", "read", "run", "change", "approve", "audit", "admin"]
"""``open``: anyone, even anonymous. ``self``: on what is one's own. Roles and ownership grant the others."""


class Action(msgspec.Struct, frozen=True):
    """One thing that can be done."""

    name: str
    """``plans.approve``: what it is done to, and the verb."""
    group: Group
    summary: str
    """What it lets one do, for the page of a denial: ``approve or reject a plan``."""


ACTIONS = (
    Action("health.read", "open", "ask whether the server lives"),
    Action("session.sign-in", "open", "sign in"),
    Action("self.read", "self", "see one's own sessions, tokens and rights"),
    Action("self.change", "self", "end one's own sessions, make and revoke one's own tokens, keep views"),
    Action("console.view", "read", "open the console"),
    Action("world.read", "read", "read resources, entities, findings, changes and coverage"),
    Action("jobs.read", "read", "read jobs and their logs"),
    Action("plans.read", "read", "read plans"),
    Action("notices.read", "read", "read what was told to whom"),
    Action("metrics.read", "read", "read the server's own metrics"),
    Action("query.run", "read", "ask in SQL over everything"),
    Action("jobs.run", "run", "ask for a job, or cancel one"),
    Action("plans.request", "run", "ask for a plan"),
    Action("plans.approve", "approve", "approve or reject a plan"),
    Action("plans.apply", "change", "apply an approved plan"),
    Action("audit.read", "audit", "read, verify and export the audit chain"),
    Action("break-glass.open", "self", "take more rights for a short time, with a reason that everyone sees"),
    Action("break-glass.end", "admin", "end another's break-glass"),
    Action("access.read", "admin", "see principals, their tokens and sessions"),
    Action("access.manage", "admin", "make service accounts, end others' sessions, revoke others' tokens"),
    Action("notices.manage", "admin", "send a notice for test, retry a delivery"),
    Action("settings.read", "admin", "see the settings"),
)
