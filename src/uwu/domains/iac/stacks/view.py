"""A stack as the catalog tells it: its inputs, its outputs, what it needs and who needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.iac import observe, state, state_diff, tables
from uwu.domains.iac.declare import sources
from uwu.domains.iac.plan_json import Variable
from uwu.domains.iac.runs import store
from uwu.domains.iac.scrub import Scrubber
from uwu.kernel import audit, codec
from uwu.kernel import tables as world
from uwu.kernel.errors import NotFound, UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity
from uwu.kernel.runtime import Kernel
from uwu.kernel.sensitive import MARK

MOST = 200
"""Stacks on one side of one."""


class StackOutput(msgspec.Struct, frozen=True, kw_only=True):
    """An output as a state has it; a secret is a mark."""

    name: str
    type: str
    """``string``, ``number``, ``bool``, ``list``, ``map``; Terraform's own word where the state tells it."""
    sensitive: bool
    value: Any


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """Another stack, and what says that one needs the other."""

    stack: str
    how: str
    """``declared``, ``outputs`` (it reads them) or ``resources`` (an attribute names one of the other's)."""
    count: int = 1
    """How many places say so."""


class StackView(msgspec.Struct, frozen=True, kw_only=True):
    """One stack."""

    ref: str
    owner: str
    states: list[str]
    inputs: tuple[Variable, ...]
    """Of the newest run that planned; empty where none did."""
    planned: int
    """The number of that run; 0 for none."""
    outputs: list[StackOutput]
    needs: list[Edge]
    dependents: list[Edge]
    problems: list[str]
    """Why a state could not be read."""


def view(kernel: Kernel, name: str) -> StackView:
    """The stack of a name or a reference. Raises ``NotFound``."""
    with kernel.db.read() as connection:
        stack = store.stack_of(connection, name)
        owner = store.owner_of(connection, stack.ref)
        needs, dependents = _declared(connection, stack.ref), _declared(connection, stack.ref, back=True)
        needs += _referred(connection, stack.ref)
        dependents += _referred(connection, stack.ref, back=True)
        seen = _seen(connection, {edge.stack for edge in (*needs, *dependents)})
        runs = store.page(connection, stack=stack.ref, limit=20).items
    run = next((each for each in runs if each.summary is not None), None)
    document = store.document(kernel, run.id) if run is not None else None
    found, problems = outputs(kernel, stack)
    return StackView(
        ref=stack.ref,
        owner=owner,
        states=[source.key if source.key != "uwu://" else source.path for source in sources([stack])],
        inputs=document.plan.variables if document is not None else (),
        planned=run.number if run is not None else 0,
        outputs=found,
        needs=[edge for edge in needs if edge.stack in seen],
        dependents=[edge for edge in dependents if edge.stack in seen],
        problems=problems,
    )


def _declared(connection: sa.Connection, ref: str, *, back: bool = False) -> list[Edge]:
    r = world.relations
    mine, other = (r.c.target, r.c.source) if back else (r.c.source, r.c.target)
    query = sa.select(other).where(mine == ref, r.c.kind == "dependsOn", r.c.valid_to.is_(None))
    query = query.where(other.startswith("stack:")).order_by(other).limit(MOST)
    return [Edge(stack=found, how="declared") for found in connection.scalars(query)]


def _referred(connection: sa.Connection, ref: str, *, back: bool = False) -> list[Edge]:
    """By what the states say: rows of ``iac_references`` from or to the stack."""
    t = tables.references
    mine, other = (t.c.target, t.c.source) if back else (t.c.source, t.c.target)
    here = sa.or_(mine.startswith(f"{ref}#", autoescape=True), mine.startswith(f"{ref}@", autoescape=True))
    away = sa.not_(sa.or_(other.startswith(f"{ref}#", autoescape=True), other.startswith(f"{ref}@", autoescape=True)))
    reads = sa.case((sa.and_(t.c.path == "outputs", t.c.target.like("%#")), "outputs"), else_="resources")
    counts: dict[tuple[str, str], int] = {}
    for id, how in connection.execute(sa.select(other, reads).where(here, away)):
        stack = id.partition("#")[0].partition("@")[0]
        counts[stack, how] = counts.get((stack, how), 0) + 1
    return [Edge(stack=stack, how=how, count=count) for (stack, how), count in sorted(counts.items())[:MOST]]


def _seen(connection: sa.Connection, refs: set[str]) -> set[str]:
    e = world.entities
    return set(connection.scalars(sa.select(e.c.ref).where(e.c.ref.in_(sorted(refs)))))


# ---- outputs


def outputs(kernel: Kernel, stack: Entity) -> tuple[list[StackOutput], list[str]]:
    """(the outputs of a stack's states by name, why a state could not be read). No value is a secret."""
    found: dict[str, StackOutput] = {}
    problems: list[str] = []
    for source in sources([stack]):
        try:
            data = observe.fetch(kernel, source)
            found |= {each.name: each for each in shown(data, source.key)}
        except UwuError as error:
            if error.problem.code not in ("state-empty", "state-missing"):
                problems.append(error.problem.message)
    return [found[name] for name in sorted(found)], problems


def shown(data: bytes, key: str) -> Iterator[StackOutput]:
    """The outputs of a state, without its secrets: also one that repeats a secret of a resource hides it."""
    read = state.parse(data, key)
    held = _held(data)
    scrubber = Scrubber(state_diff.secret_texts(read.instances, held))
    for name, each in held.items():
        secret = bool(each.get("sensitive"))
        value = MARK if secret else scrubber.value(each.get("value"))
        yield StackOutput(name=name, type=_type(each), sensitive=secret, value=value)


def _held(data: bytes) -> dict[str, dict[str, Any]]:
    told = codec.decode(data).get("outputs")
    return {str(name): each for name, each in told.items() if isinstance(each, dict)} if isinstance(told, dict) else {}


def _type(each: dict[str, Any]) -> str:
    told = each.get("type")
    if isinstance(told, list) and told:
        return str(told[0])
    return str(told or "")


def reveal(kernel: Kernel, principal: Principal, name: str, output: str) -> Any:
    """The value of an output, a sensitive one too. That it was read is audited; what it is, is not.

    Raises ``NotFound`` for a stack or an output that is not there, and as ``observe.fetch``.
    """
    with kernel.db.read() as connection:
        stack = store.stack_of(connection, name)
    for source in sources([stack]):
        held = _held(observe.fetch(kernel, source))
        if output in held:
            with kernel.db.write() as connection:
                detail = {"output": output, "sensitive": bool(held[output].get("sensitive"))}
                audit.append(
                    connection, actor=principal.ref, action="iac.stack.output", subject=stack.ref, detail=detail
                )
            return held[output].get("value")
    raise NotFound(
        f"{stack.ref} has no output {output[:80]!r}",
        code="output-unknown",
        hint=f"uwu iac output {stack.ref.removeprefix('stack:')} lists them",
    )
