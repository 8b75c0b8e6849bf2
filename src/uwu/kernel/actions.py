"""What can be done. Every route, wire endpoint and command names one of these; what names none is refused."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from uwu.kernel.domain import Domain

Group = Literal["open", "self", "read", "run", "change", "approve", "audit", "admin"]
"""``open``: anyone, even anonymous. ``self``: on what is one's own. Roles and ownership grant the others."""


class Action(msgspec.Struct, frozen=True):
    """One thing that can be done."""

    name: str
    """``plans.approve``: what it is done to, and the verb."""
    group: Group
    summary: str
    """What it lets one do, for the page of a denial: ``approve or reject a plan``."""


GROUPS: tuple[Group, ...] = ("open", "self", "read", "run", "change", "approve", "audit", "admin")

ACTIONS = (
    Action("health.read", "open", "ask whether the server lives"),
    Action("session.sign-in", "open", "sign in"),
    Action("console.files", "open", "get the console's own files, choose a theme"),
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
    Action("plans.force", "admin", "ask for a plan that passes its safety limit"),
    Action("rules.exempt", "change", "exempt a subject or an account from a rule until a day, or end that"),
    Action("audit.read", "audit", "read, verify and export the audit chain"),
    Action("break-glass.open", "self", "take more rights for a short time, with a reason that everyone sees"),
    Action("break-glass.read", "self", "see who holds break-glass, and why"),
    Action("break-glass.end", "self", "end a break-glass"),
    Action("access.read", "admin", "see principals, their tokens and sessions"),
    Action("access.manage", "admin", "make service accounts, end others' sessions, revoke others' tokens"),
    Action("notices.manage", "admin", "send a notice for test, retry a delivery"),
    Action("settings.read", "admin", "see the settings"),
)


def known(domains: Iterable[Domain]) -> dict[str, Action]:
    """Every action by its name: the platform's own and those that ``domains`` bring."""
    return _known(tuple(action for domain in domains for action in domain.actions))


@cache
def _known(more: tuple[Action, ...]) -> dict[str, Action]:
    return {action.name: action for action in (*more, *ACTIONS)}
