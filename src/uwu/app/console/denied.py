"""The page of a denial: the path that is missing, drawn, and whom to ask; and the page of break-glass."""

from __future__ import annotations

from datetime import datetime

import msgspec
from litestar.response import Response

from uwu.app import identify
from uwu.app.console import links, words
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, redirect
from uwu.kernel import actions, authorize, break_glass, codec
from uwu.kernel.authorize import Decision, NotAllowed, Target
from uwu.kernel.errors import BadInput
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

BREAK_GLASS = "/break-glass"
MINUTES = (15, 30, 60, 120, 240)

_ICONS = {
    "Plan": "git-pull-request-arrow",
    "Resource": "boxes",
    "Account": "wallet-cards",
    "Finding": "circle-alert",
    "Job": "activity",
}


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a path; ``reached`` says whether the one before leads to it."""

    icon: str
    text: str
    href: str = ""
    note: str = ""
    reached: bool = True


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Who could do it, or grant it."""

    text: str
    href: str = ""


class DeniedView(msgspec.Struct, frozen=True, kw_only=True):
    """What the page of a denial shows."""

    action: str
    summary: str
    """``approve or reject a plan``."""
    target: str
    """``plan 431``; empty for the platform."""
    policies: list[str]
    """Those that forbid it; empty where none permits it."""
    missing: str
    path: list[Node]
    ask: list[Ask]
    may_break: bool
    """Break-glass would let them, and they may take it."""


class GlassView(msgspec.Struct, frozen=True, kw_only=True):
    """One break-glass as a page shows it."""

    id: str
    who: str
    ref: str
    reason: str
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str
    active: bool
    left: str
    """``24 min``; empty where it is over."""
    may_end: bool


class GlassPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the page of break-glass shows."""

    rows: list[GlassView]
    held: GlassView | None
    """What the one who looks holds now."""
    may_open: bool
    why_not: str
    minutes: list[int]
    most: int
    reason: str
    problem: str


# ---- a denial


def denied(kernel: Kernel, principal: Principal, error: NotAllowed) -> DeniedView:
    """The view of ``error``."""
    decision = error.decision or Decision(action="", allowed=False, missing=error.problem.hint)
    known = actions.known(kernel.domains).get(decision.action)
    target = error.target
    named = target.type != authorize.PLATFORM.type
    return DeniedView(
        action=decision.action,
        summary=known.summary if known is not None else error.problem.message,
        target=target.title if named else "",
        policies=list(decision.policies),
        missing=decision.missing[:1].upper() + decision.missing[1:],
        path=_path(principal, decision, target),
        ask=[_ask(ref) for ref in decision.ask],
        may_break=_may_break(kernel, principal, decision, target),
    )


def _path(principal: Principal, decision: Decision, target: Target) -> list[Node]:
    """You, what you have, what is missing, and what it leads to."""
    you = Node(icon="user", text=principal.name or principal.ref)
    if decision.forbidden:
        names = ", ".join(name.rpartition("#")[2] for name in decision.policies) or "policy"
        between = [Node(icon="shield", text=names, note="forbids it", reached=False)]
    elif any(":" in ref and not ref.startswith("role:") for ref in decision.ask):
        groups = [ref for ref in decision.ask if not ref.startswith("role:")]
        between = [Node(icon="users", text=words.short_ref(g), href=links.entity(g), reached=False) for g in groups[:1]]
    else:
        roles = " or ".join(decision.would_do) or "no role"
        between = [Node(icon="shield-user", text=f"role {roles}", reached=False)]
    owners = ", ".join(words.short_ref(owner) for owner in target.owners)
    end = Node(
        icon=_ICONS.get(target.type, "box"),
        text=decision.action if target.type == authorize.PLATFORM.type else target.title,
        note=f"owned by {owners}" if owners else "",
    )
    return [you, *between, end]


def _ask(ref: str) -> Ask:
    kind, _, rest = ref.partition(":")
    if kind == "role":
        return Ask(text="the admins" if rest == "admin" else f"somebody with the role {rest}")
    return Ask(text=words.short_ref(ref), href=links.entity(ref))


def _may_break(kernel: Kernel, principal: Principal, decision: Decision, target: Target) -> bool:
    if principal.break_glass or not authorize.decide(kernel, principal, break_glass.OPEN).allowed:
        return False
    held = msgspec.structs.replace(principal, break_glass="asked")
    return authorize.decide(kernel, held, decision.action, target).allowed


def page(at: Frame, request: Asked, error: NotAllowed) -> Response[bytes]:
    """The page of ``error``."""
    principal = identify.principal_of(request)
    view = denied(at.kernel, principal, error)
    minutes = _minutes(at.kernel)
    return at.page(request, "denied.html", section="", status=error.status, view=view, minutes=minutes)


# ---- break-glass


def _minutes(kernel: Kernel) -> list[int]:
    most = kernel.settings.access.break_glass_max_minutes
    return sorted({*(m for m in MINUTES if m < most), most})


def _glass(principal: Principal, glass: break_glass.Glass, admin: bool) -> GlassView:
    at = codec.now()
    active = glass.holds(at)
    left = max(1, round((glass.expires_at - at).total_seconds() / 60))
    return GlassView(
        id=glass.id,
        who=words.short_ref(glass.principal),
        ref=glass.principal,
        reason=glass.reason,
        created_at=glass.created_at,
        expires_at=glass.expires_at,
        ended_at=glass.ended_at,
        ended_by=words.short_ref(glass.ended_by) if glass.ended_by else "",
        active=active,
        left=f"{left} min" if active else "",
        may_end=active and (admin or glass.principal == principal.ref),
    )


def show(at: Frame, request: Asked) -> Answer:
    """Who broke glass and why; and the form to take it."""
    return _show(at, request)


def _show(at: Frame, request: Asked, *, reason: str = "", problem: str = "", status: int = 200) -> Answer:
    kernel, principal = at.kernel, identify.principal_of(request)
    somebody = Target("BreakGlass", "", owner="user:default/somebody")
    admin = authorize.decide(kernel, principal, break_glass.END, somebody).allowed
    with kernel.db.read() as connection:
        rows = [_glass(principal, one, admin) for one in break_glass.entries(connection)]
    opens = authorize.decide(kernel, principal, break_glass.OPEN)
    view = GlassPage(
        rows=rows,
        held=next((row for row in rows if row.active and row.ref == principal.ref), None),
        may_open=opens.allowed,
        why_not=opens.missing,
        minutes=_minutes(kernel),
        most=kernel.settings.access.break_glass_max_minutes,
        reason=reason,
        problem=problem,
    )
    return at.page(request, "break_glass.html", section=BREAK_GLASS, status=status, view=view)


def open_(at: Frame, request: Asked, form: Form) -> Answer:
    """Takes break-glass and goes back to where it was missed."""
    minutes, reason = form.get("minutes", "30"), form.get("reason")
    try:
        wanted = int(minutes) if minutes.isascii() and minutes.isdigit() and len(minutes) < 6 else 0
        break_glass.open(at.kernel, identify.principal_of(request), reason=reason, minutes=wanted)
    except BadInput as error:
        told = f"{error.problem.message}: {error.problem.hint}"
        return _show(at, request, reason=reason, problem=told[:1].upper() + told[1:], status=400)
    return redirect(links.same_site_path(form.get("next") or BREAK_GLASS))


def end(at: Frame, request: Asked, form: Form) -> Answer:
    """Ends a break-glass."""
    del form
    break_glass.end(at.kernel, identify.principal_of(request), request.path_params["id"])
    return redirect(BREAK_GLASS)


PAGES = (
    Page(BREAK_GLASS, show, "break-glass.read"),
    Act(BREAK_GLASS, open_, break_glass.OPEN),
    Act(BREAK_GLASS + "/{id:str}/end", end, break_glass.END),
)
