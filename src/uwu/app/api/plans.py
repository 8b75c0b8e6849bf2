"""Plans: asked for, decided, applied, taken back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from uwu.app.api.work import Accepted
from uwu.kernel import domain, drift
from uwu.kernel.identity import Principal
from uwu.kernel.plans import apply, approve, mender_of, store, view
from uwu.kernel.plans.store import PlanPage
from uwu.kernel.plans.view import PlanView
from uwu.kernel.runtime import Kernel

READ = {"action": "plans.read"}
REQUEST = {"action": "plans.request"}
DECIDE = {"action": "plans.approve"}
APPLY = {"action": "plans.apply"}

Reason = Annotated[str, Meta(min_length=1, max_length=2000)]
Comment = Annotated[str, Meta(max_length=2000)]
Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Status = Literal[
    "", "open", "waiting", "approved", "applying", "applied", "failed", "rejected", "withdrawn", "expired", "void"
]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A plan that is asked for."""

    planner: str
    request: dict[str, Any]
    """What the planner is asked: ``{"findings": ["f_..."]}`` for one that mends findings."""
    reason: Reason
    force: bool = False
    """Ask for it although it passes the safety limit; needs the right to."""


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why a plan is taken back."""

    reason: Reason
    force: bool = False


class Decided(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A decision, bound to the hash of the plan that was looked at."""

    hash: Hash
    comment: Comment = ""


class Applied(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """That a plan be applied; with a hash, only if it is still the one that was looked at."""

    hash: Hash | None = None


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking: no plan where there is nothing to do."""

    plan: PlanView | None
    told: str


class PlannerView(msgspec.Struct, frozen=True, kw_only=True):
    """A planner."""

    name: str
    title: str
    domain: str
    asks: list[str]
    """What it must be told beside the findings."""
    undoes: bool
    """What it did can be taken back."""


@get("/planners", sync_to_thread=True, opt=READ)
def list_planners(kernel: NamedDependency[Kernel], finding: FromQuery[str] = "") -> list[PlannerView]:
    """The planners; with ``finding`` the one that can mend it, if any."""
    known = domain.planners_of(kernel.domains)
    if finding:
        with kernel.db.read() as connection:
            mender = mender_of(kernel.domains, drift.finding(connection, finding))
        known = {mender.name: known[mender.name]} if mender is not None else {}
    return [
        PlannerView(name=name, title=planner.title, domain=of.name, asks=list(planner.asks), undoes=bool(planner.undo))
        for name, (planner, of) in sorted(known.items())
    ]


@get("/plans", sync_to_thread=True, opt=READ)
def list_plans(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    status: FromQuery[Status] = "",
    domain: FromQuery[str] = "",
    owner: FromQuery[str] = "",
    subject: FromQuery[str] = "",
    requested_by: FromQuery[str] = "",
    mine: FromQuery[bool] = False,
    limit: FromQuery[int] = 50,
    after: FromQuery[str] = "",
) -> PlanPage:
    """Plans, the newest first. ``status=open``: waiting, approved or applying; ``mine``: those that wait for me."""
    with kernel.db.read() as connection:
        return store.plans(
            connection,
            principal,
            status=status,
            domain=domain,
            owner=owner,
            subject=subject,
            requested_by=requested_by,
            mine=mine,
            limit=limit,
            after=after,
        )


@get("/plans/{id:str}", sync_to_thread=True, opt=READ)
def get_plan(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], id: FromPath[str]) -> PlanView:
    """One plan by its id or number, with all that reviewing it needs."""
    return _view(kernel, principal, id)


@post("/plans", sync_to_thread=True, opt=REQUEST, status_code=201)
def ask_for_plan(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Wanted]
) -> Response[Requested]:
    """Plans from what is known now, and keeps the plan for approval: 201; 200 where none was made anew.

    An empty plan is told and not kept; a plan that is asked for twice is given again.
    """
    asked = approve.ask(
        kernel, principal, planner=data.planner, request=data.request, reason=data.reason, force=data.force
    )
    return _requested(kernel, principal, asked)


@post("/plans/{id:str}/approve", sync_to_thread=True, opt=DECIDE, status_code=200)
def approve_plan(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    id: FromPath[str],
    data: JSONBody[Decided],
) -> PlanView:
    """Approves the plan that has the given hash; 409 where it has another, or where the world has moved on."""
    approve.decide(kernel, principal, id, "approve", hash=data.hash, comment=data.comment)
    return _view(kernel, principal, id)


@post("/plans/{id:str}/reject", sync_to_thread=True, opt=DECIDE, status_code=200)
def reject_plan(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    id: FromPath[str],
    data: JSONBody[Decided],
) -> PlanView:
    """Rejects the plan that has the given hash: one rejection is enough."""
    approve.decide(kernel, principal, id, "reject", hash=data.hash, comment=data.comment)
    return _view(kernel, principal, id)


@post("/plans/{id:str}/withdraw", sync_to_thread=True, opt=REQUEST, status_code=200)
def withdraw_plan(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], id: FromPath[str]
) -> PlanView:
    """Takes back a plan that was not applied yet; for its requester."""
    approve.withdraw(kernel, principal, id)
    return _view(kernel, principal, id)


@post("/plans/{id:str}/apply", sync_to_thread=True, opt=APPLY, status_code=202)
def apply_plan(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    id: FromPath[str],
    data: JSONBody[Applied],
) -> Accepted:
    """Begins to apply an approved plan and gives its job; asked again meanwhile, the same job."""
    return Accepted(apply.start(kernel, principal, id, hash=data.hash or ""))


@post("/plans/{id:str}/undo", sync_to_thread=True, opt=REQUEST, status_code=201)
def undo_plan(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    id: FromPath[str],
    data: JSONBody[Why],
) -> Response[Requested]:
    """Asks for a plan that takes back what this one did; it needs approval like any other."""
    asked = approve.ask_undo(kernel, principal, id, reason=data.reason, force=data.force)
    return _requested(kernel, principal, asked)


def _view(kernel: Kernel, principal: Principal, id: str) -> PlanView:
    with kernel.db.read() as connection:
        return view.view(kernel, connection, principal, id)


def _requested(kernel: Kernel, principal: Principal, asked: approve.Asked) -> Response[Requested]:
    plan = _view(kernel, principal, asked.plan) if asked.plan else None
    return Response(Requested(plan=plan, told=asked.told), status_code=201 if asked.created else 200)


HANDLERS: list[Any] = [
    list_planners,
    list_plans,
    get_plan,
    ask_for_plan,
    approve_plan,
    reject_plan,
    withdraw_plan,
    apply_plan,
    undo_plan,
]
