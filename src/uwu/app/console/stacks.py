"""Stacks: how much of the world they hold, what goes into each and comes out, who depends on whom."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from uwu.app.console import links, words
from uwu.app.console.frame import Answer, Asked, Frame, Page, tail
from uwu.app.console.runs import TONES
from uwu.app.console.views import Fact, View
from uwu.domains.iac import coverage, tables
from uwu.domains.iac.coverage import Share
from uwu.domains.iac.declare import drift_minutes
from uwu.domains.iac.stacks import view as stacks
from uwu.domains.iac.stacks.view import Edge
from uwu.kernel import codec, declared, graph
from uwu.kernel import rules as kernel_rules
from uwu.kernel.model import Entity
from uwu.kernel.runtime import Kernel

SEE = "world.read"
SHOWN, VALUE_SHOWN = 200, 200
HOW = {"declared": "declares it", "outputs": "reads its outputs", "resources": "names its resources"}


class Bar(View, frozen=True):
    """How much of an account or of an owner's is managed."""

    name: str
    href: str
    """To what is not managed."""
    managed: int
    total: int
    percent: float


class Line(View, frozen=True):
    """A stack in the list."""

    name: str
    href: str
    owner: str
    owner_href: str
    account: str
    looked: str
    """Its newest run, in a word; empty for none."""
    tone: str
    run_href: str
    at: datetime | None
    every: str


class StacksPage(View, frozen=True):
    total: int
    managed: int
    percent: float
    unmanaged_href: str
    accounts: list[Bar]
    owners: list[Bar]
    items: list[Line]
    more: int


class Neighbour(View, frozen=True):
    """A stack that this one needs, or that needs it."""

    name: str
    href: str
    how: str


class OutputRow(View, frozen=True):
    name: str
    type: str
    value: str
    sensitive: bool


class InputRow(View, frozen=True):
    name: str
    description: str
    note: str


class StackPage(View, frozen=True):
    """One stack."""

    name: str
    facts: list[Fact]
    inputs: list[InputRow]
    outputs: list[OutputRow]
    needs: list[Neighbour]
    dependents: list[Neighbour]
    problems: list[str]
    graph_href: str
    reveal: str
    """The command that prints a sensitive output."""


# ---- the list


def listed(kernel: Kernel) -> StacksPage:
    """How much is managed, and every stack with its newest run."""
    with kernel.db.read() as connection:
        found = coverage.of(coverage.cells(connection))
        names = graph.account_names(connection)
        known = declared.entities(connection, kind="Stack", orphan=False)
        newest = _newest(connection)
    return StacksPage(
        total=found.total,
        managed=found.managed,
        percent=found.percent,
        unmanaged_href=_unmanaged(),
        accounts=[_bar(each, names.get(each.name) or each.name, account=each.name) for each in found.accounts],
        owners=[_bar(each, words.short_ref(each.name) or "Nobody", owner=each.name) for each in found.owners],
        items=[_line(stack, newest.get(stack.ref), names) for stack in known[:SHOWN]],
        more=max(0, len(known) - SHOWN),
    )


def _unmanaged(**more: str) -> str:
    return links.with_query(links.FINDINGS, {"rule": kernel_rules.UNDECLARED, **more})


def _bar(share: Share, name: str, **which: str) -> Bar:
    return Bar(name=name, href=_unmanaged(**which), managed=share.managed, total=share.total, percent=share.percent)


def _newest(connection: sa.Connection) -> dict[str, Any]:
    r = tables.runs
    last = sa.select(sa.func.max(r.c.number)).group_by(r.c.stack)
    query = sa.select(r.c.stack, r.c.number, r.c.status, r.c.requested_at).where(r.c.number.in_(last))
    return {row.stack: row for row in connection.execute(query)}


def _line(stack: Entity, run: Any, names: Mapping[str, str]) -> Line:
    owner = str(stack.spec.get("owner") or "")
    ref = owner if ":" in owner else f"group:{stack.namespace}/{owner}"
    account = str(stack.spec.get("account") or "")
    minutes = drift_minutes(stack)
    return Line(
        name=words.short_ref(stack.ref),
        href=links.stack(stack.ref),
        owner=words.short_ref(ref) if owner else "",
        owner_href=links.entity(ref.lower()) if owner else "",
        account=names.get(account) or account,
        looked=run.status if run is not None else "",
        tone=TONES.get(run.status, "") if run is not None else "",
        run_href=links.run(run.number) if run is not None else "",
        at=run.requested_at if run is not None else None,
        every=str(stack.spec["drift"]["every"]) if minutes else "",
    )


# ---- one stack


def shown(kernel: Kernel, key: str) -> StackPage:
    """The page of a stack. Raises ``NotFound``."""
    found = stacks.view(kernel, key)
    name = found.ref.removeprefix("stack:")
    told = [
        Fact(label="Owner", value=words.short_ref(found.owner), href=links.entity(found.owner)),
        Fact(label="State", value=", ".join(found.states), mono=True),
        Fact(label="Inputs of", value=f"run {found.planned}", href=links.run(found.planned)),
        Fact(label="Runs", value="all of them", href=links.with_query(links.RUNS, {"stack": found.ref})),
        Fact(label="Declared", value="in the catalog", href=links.entity(found.ref)),
    ]
    return StackPage(
        name=name,
        facts=[fact for fact in told if fact.value and (fact.label != "Inputs of" or found.planned)],
        inputs=[
            InputRow(
                name=each.name,
                description=each.description,
                note=", ".join(
                    word for word, holds in (("required", each.required), ("sensitive", each.sensitive)) if holds
                ),
            )
            for each in found.inputs
        ],
        outputs=[
            OutputRow(name=each.name, type=each.type, value=_value(each.value), sensitive=each.sensitive)
            for each in found.outputs
        ],
        needs=[_neighbour(edge) for edge in found.needs],
        dependents=[_neighbour(edge) for edge in found.dependents],
        problems=found.problems,
        graph_href=links.graph(found.ref),
        reveal=f"uwu iac output {name} NAME" if any(each.sensitive for each in found.outputs) else "",
    )


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else codec.encode(value).decode()
    return text if len(text) <= VALUE_SHOWN else text[: VALUE_SHOWN - 1] + "…"


def _neighbour(edge: Edge) -> Neighbour:
    return Neighbour(name=words.short_ref(edge.stack), href=links.stack(edge.stack), how=HOW[edge.how])


# ---- routes


def show_stacks(at: Frame, request: Asked) -> Answer:
    return at.page(request, "stacks.html", section=links.STACKS, view=listed(at.kernel))


def show_stack(at: Frame, request: Asked) -> Answer:
    return at.page(request, "stack.html", section=links.STACKS, view=shown(at.kernel, tail(request, links.STACKS)))


PAGES = (
    Page(links.STACKS, show_stacks, SEE),
    Page(links.STACKS + "/{key:path}", show_stack, SEE),
)
