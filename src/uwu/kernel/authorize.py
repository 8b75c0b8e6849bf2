"""May they: Cedar decides each action of each principal on each target. What no policy permits is denied.

A denial names the policy that forbids it, or says that none permits it, which path is lacking and whom to ask. The
words of a denial are worked out only then, by asking the same policies what would do.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import cedarpy
import msgspec

from uwu.kernel import actions, codec, policies
from uwu.kernel.actions import Action
from uwu.kernel.errors import Denied
from uwu.kernel.identity import Principal
from uwu.kernel.policies import SLICE, PolicySet

if TYPE_CHECKING:
    import sqlalchemy as sa

    from uwu.kernel.runtime import Kernel
    from uwu.kernel.sight import Visible

ROLES = ("viewer", "operator", "auditor", "admin")
BREAK_GLASS = "break-glass"
"""The role that is held with a break-glass."""
MEMBER = "member"
"""The role of whoever is in a group."""
OPEN = "open"

log = logging.getLogger("uwu.authorize")


class Target(msgspec.Struct, frozen=True):
    """What is acted on: as much of it as policies may speak of."""

    type: str
    """``Platform``, ``Resource``, ``Entity``, ``Finding``, ``Plan``, ``Job``, ``Account``, ``Token``, ..."""
    id: str
    owner: str = ""
    """The reference of its owner; empty for nobody's."""
    account: str = ""
    attributes: Mapping[str, Any] = {}
    """``owners``: more owners. Of a Plan: ``requesters`` (references of who asked and stands behind them), ``forced``,
    ``planner``. ``title`` is for people: ``plan 431``."""

    @property
    def owners(self) -> tuple[str, ...]:
        """Everyone who owns it."""
        every = (self.owner, *self.attributes.get("owners", ()))
        return tuple(dict.fromkeys(owner for owner in every if owner))

    @property
    def title(self) -> str:
        """For people."""
        return str(self.attributes.get("title") or f"{self.type.lower()} {self.id}")


PLATFORM = Target("Platform", "uwu")


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it may be, and why."""

    action: str
    allowed: bool
    policies: tuple[str, ...] = ()
    """The policies that permit or forbid it; none where none permits it."""
    reason: str = ""
    """One sentence."""
    missing: str = ""
    """The path that is lacking: ``not a member of group:default/payments, which owns this``; empty where allowed."""
    ask: tuple[str, ...] = ()
    """References of who could do it or grant it: owner groups, ``role:admin``."""
    would_do: tuple[str, ...] = ()
    """Roles with which it were permitted."""
    forbidden: bool = False
    """A policy forbids it: no role would do."""


class NotAllowed(Denied):
    """The principal may not. ``decision`` says why."""

    code = "not-allowed"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        place: str = "",
        hint: str = "",
        decision: Decision | None = None,
        target: Target = PLATFORM,
    ) -> None:
        super().__init__(message, code=code, place=place, hint=hint)
        self.decision = decision
        self.target = target


class SignInNeeded(NotAllowed):
    """Nobody is signed in, and it takes somebody."""

    code, status = "sign-in-needed", 401


# ---- deciding


def decide(
    kernel: Kernel,
    principal: Principal,
    action: str,
    target: Target | None = None,
    context: Mapping[str, Any] | None = None,
) -> Decision:
    """Whether ``principal`` may do ``action`` on ``target`` (the platform as a whole where none is given).

    ``context`` may hold ``at`` (a datetime) to decide as of then. It never raises: what cannot be decided is denied.
    """
    target = target or PLATFORM
    known = actions.known(kernel.domains).get(action)
    if known is None:
        return Decision(action=action, allowed=False, reason=f"there is no action {action!r}", missing="its name")
    if known.group == OPEN:
        return Decision(action=action, allowed=True, policies=(OPEN,), reason="it is open to anyone")
    try:
        held = policies_for(kernel, principal)
        result = _ask(held, principal, known, [target], context)[0]
        if result.allowed:
            names = tuple(label.name for label in _labels(held, result))
            return Decision(action=action, allowed=True, policies=names, reason=f"{', '.join(names)} permits it")
        return _denied(held, principal, known, target, result, context)
    except Exception:  # a fault of any kind must close, whoever's it is
        log.exception("%s on %s could not be decided", action, target.type)
        return Decision(
            action=action, allowed=False, reason="it could not be decided", missing="an answer of the policies"
        )


def require(
    kernel: Kernel,
    principal: Principal,
    action: str,
    target: Target | None = None,
    context: Mapping[str, Any] | None = None,
) -> None:
    """Raises ``NotAllowed`` (403), or ``SignInNeeded`` (401) for nobody, unless ``decide`` allows it."""
    decision = decide(kernel, principal, action, target, context)
    if not decision.allowed:
        raise refusal(kernel, principal, decision, target or PLATFORM)


def refusal(kernel: Kernel, principal: Principal, decision: Decision, target: Target = PLATFORM) -> NotAllowed:
    """The error that tells ``decision``: its place is the policy, its hint what is lacking and whom to ask."""
    known = actions.known(kernel.domains).get(decision.action)
    what = known.summary if known is not None else f"do {decision.action}"
    on = "" if target.type == "Platform" else f" ({target.title})"
    place = ", ".join(decision.policies) or "no policy permits it"
    if principal.kind == "anonymous":
        return SignInNeeded(
            f"sign in to {what}", place=place, hint="uwu login, or a token", decision=decision, target=target
        )
    ask = f"; ask {', '.join(decision.ask)}" if decision.ask else ""
    return NotAllowed(
        f"you may not {what}{on}", place=place, hint=f"{decision.missing}{ask}", decision=decision, target=target
    )


def allowed_of(
    kernel: Kernel, principal: Principal, action: str, targets: Sequence[Target], at: datetime | None = None
) -> list[bool]:
    """For each of ``targets`` whether ``principal`` may do ``action`` on it: many are decided at once."""
    known = actions.known(kernel.domains).get(action)
    if known is None or not targets:
        return [False] * len(targets)
    held = policies_for(kernel, principal)
    return [result.allowed for result in _ask(held, principal, known, targets, {"at": at} if at else None)]


def visible(kernel: Kernel, connection: sa.Connection, principal: Principal) -> Visible:
    """What ``principal`` may read, as a filter for lists. See ``uwu.kernel.sight``."""
    from uwu.kernel import sight

    return sight.visible(kernel, connection, principal)


def policies_for(kernel: Kernel, principal: Principal) -> PolicySet:
    """The set that judges ``principal``. Whoever holds the home holds its files and its database: the estate's own
    policies would keep nothing from them, and a careless one must not lock them out of mending it."""
    fixed = kernel.policies.fixed
    if principal.kind == "local" and principal.via == "home" and fixed is None:
        return policies.shipped()
    return kernel.policies.current()


# ---- what Cedar is told


class _Answer(msgspec.Struct, frozen=True):
    allowed: bool
    reasons: tuple[str, ...]
    errors: tuple[str, ...]


def _ask(
    held: PolicySet, principal: Principal, action: Action, targets: Sequence[Target], context: Mapping[str, Any] | None
) -> list[_Answer]:
    """Cedar's answers. Only what the decision needs is handed over: the principal, its groups, the targets."""
    if not held.labels:
        return [_Answer(False, (), ())] * len(targets)
    who, principal_entity = _principal(principal)
    entities = [principal_entity, _action(action.name, action.group)]
    requests: list[dict[str, Any]] = []
    told = _context(action, context)
    for number, target in enumerate(targets):
        uid, entity = _target(target, number)
        entities.append(entity)
        requests.append(
            {"principal": who, "action": {"type": "Action", "id": action.name}, "resource": uid, "context": told}
        )
    results = _batch(requests, held.parsed, f"[{','.join(entities)}]")
    return [
        # an error in a policy makes Cedar pass it over: a forbid that is passed over would open
        _Answer(r.allowed and not r.diagnostics.errors, tuple(r.diagnostics.reasons), tuple(r.diagnostics.errors))
        for r in results
    ]


_batch = cast(
    "Callable[[list[dict[str, Any]], cedarpy.PolicySet, str], list[cedarpy.AuthzResult]]",
    getattr(cedarpy, "is_authorized_batch"),  # noqa: B009 - its stub is untyped in part
)
_KINDS = {"human": "User", "local": "User", "service": "Service", "anonymous": "Anonymous"}


@lru_cache(4096)
def _principal(principal: Principal) -> tuple[dict[str, str], str]:
    """Cedar's uid of ``principal``, and it as an entity. Raises ``KeyError`` for an unknown kind."""
    uid = {"type": _KINDS[principal.kind], "id": principal.ref}
    roles = [
        *principal.roles,
        *([BREAK_GLASS] if principal.break_glass else []),
        *([MEMBER] if principal.groups else []),
    ]
    own = () if principal.kind == "anonymous" else (principal.ref,)
    parents = [{"type": "Role", "id": role} for role in dict.fromkeys(roles)]
    parents += [{"type": "Group", "id": group} for group in dict.fromkeys((*principal.groups, *own))]
    attributes = {"scopes": list(principal.scopes), "via": principal.via}
    return uid, _entity(uid, attributes, parents)


@lru_cache(1024)
def _action(name: str, group: str) -> str:
    return _entity({"type": "Action", "id": name}, {}, [{"type": "Action", "id": group}])


def _target(target: Target, number: int) -> tuple[dict[str, str], str]:
    if target.type not in policies.types():
        raise ValueError(f"there is no type of target {target.type!r}")
    # slices have no name of their own: their number tells them apart
    uid = {"type": target.type, "id": str(number) if target.type == SLICE else target.id}
    if target.type == PLATFORM.type:
        return uid, _entity(uid, {}, [])
    attributes: dict[str, Any] = {"owners": _groups(target.owners), "account": target.account}
    if target.type == "Plan":
        given = target.attributes
        attributes |= {
            "requesters": _groups(given.get("requesters", ())),
            "forced": bool(given.get("forced", False)),
            "planner": str(given.get("planner", "")),
        }
    return uid, _entity(uid, attributes, [])


def _groups(refs: Sequence[str]) -> list[dict[str, dict[str, str]]]:
    return [{"__entity": {"type": "Group", "id": ref}} for ref in refs if ref]


def _entity(uid: dict[str, str], attributes: Mapping[str, Any], parents: Sequence[dict[str, str]]) -> str:
    return codec.encode({"uid": uid, "attrs": attributes, "parents": parents}).decode()


def _context(action: Action, given: Mapping[str, Any] | None) -> str:
    more = dict(given or {})
    at = more.pop("at", None) or codec.now()
    if more:
        raise ValueError(f"policies know no {', '.join(sorted(more))} of a context")
    return codec.encode(
        {
            "covered_by": covered_by(action),
            "at": {"__extn": {"fn": "datetime", "arg": at.strftime("%Y-%m-%dT%H:%M:%SZ")}},
            "weekday": at.isoweekday(),
            "hour": at.hour,
        }
    ).decode()


def covered_by(action: Action) -> tuple[str, ...]:
    """The scopes of which a token needs one for ``action``. To see what is one's own, leave to read is enough."""
    more = ("read",) if action.group == "self" and action.name.endswith(".read") else ()
    return ("*", action.name, action.group, *more)


# ---- why not


def _labels(held: PolicySet, answer: _Answer) -> list[policies.Label]:
    found = (held.label(id) for id in answer.reasons)
    return sorted((label for label in found if label is not None), key=lambda label: label.name)


def _denied(
    held: PolicySet,
    principal: Principal,
    action: Action,
    target: Target,
    answer: _Answer,
    context: Mapping[str, Any] | None,
) -> Decision:
    """The denial in words: what forbids it, or which role or which group would do."""
    if principal.kind == "anonymous":
        reason = "nobody is signed in, and no policy permits it to anyone"
        return Decision(action=action.name, allowed=False, reason=reason, missing="not signed in")
    failed = [label for error in answer.errors for id in _FAILED.findall(error) if (label := held.label(id))]
    forbids = tuple(label.name for label in _labels(held, answer) if label.effect == "forbid")
    if answer.errors or forbids:
        return _forbidden(principal, action, target, forbids, tuple(label.name for label in failed))
    roles = [
        role
        for role in ROLES
        if role not in principal.roles and _ask(held, _with(principal, role), action, [target], context)[0].allowed
    ]
    groups = [
        owner
        for owner in target.owners
        if owner not in principal.groups
        and _ask(held, _with(principal, group=owner), action, [target], context)[0].allowed
    ]
    missing: list[str] = []
    if groups:
        member = f"not a member of {' or '.join(groups)}, which owns this"
        missing.append(member.replace("which owns", "which own") if len(groups) > 1 else member)
    if roles:
        missing.append(f"role {' or '.join(roles)} would do" if groups else f"it takes the role {' or '.join(roles)}")
    ask = (*groups, *(("role:admin",) if "admin" in roles or not groups else ()))
    return Decision(
        action=action.name,
        allowed=False,
        reason="no policy permits it",
        missing="; ".join(missing) or "no role and no group would do: a policy must permit it first",
        ask=ask,
        would_do=tuple(roles),
    )


_FAILED = re.compile(r"`(policy\d+)`")


def _with(principal: Principal, role: str = "", group: str = "") -> Principal:
    roles = (*principal.roles, role) if role else principal.roles
    groups = (*principal.groups, group) if group else principal.groups
    return msgspec.structs.replace(principal, roles=roles, groups=groups)


_FORBIDS = {
    "requester-is-not-approver": "you asked for it, or stand behind who did: another must decide",
    "token-stays-in-its-scopes": "the token is limited to other actions",
    "break-glass-is-for-people": "a service cannot hold it: a person must",
    "anonymous-never-writes": "not signed in",
}


def _forbidden(
    principal: Principal, action: Action, target: Target, forbids: tuple[str, ...], failed: tuple[str, ...]
) -> Decision:
    told = [_FORBIDS.get(name, f"{name} forbids it") for name in forbids]
    told += [f"{name} failed while it was asked, and what fails closes" for name in failed]
    ask: tuple[str, ...] = ("role:admin",)
    if "requester-is-not-approver" in forbids:
        ask = tuple(owner for owner in target.owners if owner != principal.ref) or ask
    elif "token-stays-in-its-scopes" in forbids:
        scopes = ", ".join(covered_by(action)[1:])
        told, ask = [f"the token is limited to {', '.join(principal.scopes) or 'nothing'}; it takes {scopes}"], ()
    reason = f"{', '.join(forbids)} forbids it" if forbids else f"{', '.join(failed) or 'a policy'} failed"
    return Decision(
        action=action.name,
        allowed=False,
        policies=forbids or failed,
        reason=reason,
        missing="; ".join(told),
        ask=ask,
        forbidden=True,
    )


# ---- rights


class Right(msgspec.Struct, frozen=True, kw_only=True):
    """One action, and whether it may be done."""

    action: str
    summary: str
    allowed: bool
    policies: tuple[str, ...]
    reason: str
    missing: str
    ask: tuple[str, ...]


def rights(kernel: Kernel, principal: Principal, target: Target | None = None, *, only: str = "") -> list[Right]:
    """What ``principal`` may do with ``target``, action by action; ``only`` names one of them."""
    out: list[Right] = []
    for action in actions.known(kernel.domains).values():
        own = action.group == "self" and target is not None and target.type != PLATFORM.type
        if action.name != only if only else action.group == OPEN or own:
            continue
        at = target
        if target is not None and action.name == policies.READ and target.type != PLATFORM.type:
            at = Target(SLICE, target.id, target.owner, target.account, target.attributes)
        found = decide(kernel, principal, action.name, at)
        out.append(
            Right(
                action=action.name,
                summary=action.summary,
                allowed=found.allowed,
                policies=found.policies,
                reason=found.reason,
                missing=found.missing,
                ask=found.ask,
            )
        )
    return out
