"""A stack as the catalog tells it: its inputs, its outputs, what it needs and who needs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.iac import observe, state, state_diff, tables
from uwu.domains.iac.declare import sources
from uwu.domains.iac.plan_json import Variable
from uwu.domains.iac.runs import store
from uwu.domains.iac.scrub import Scrubber
from uwu.kernel import audit, codec, declared
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
        stack, seen = _stack(connection, name)
        owner, edges = _declared(connection, stack.ref)
        edges += _referred(connection, stack.ref)
        id, number = _planned(connection, stack.ref)
    document = store.document(kernel, id) if id else None
    found, problems = outputs(kernel, stack)
    return StackView(
        ref=stack.ref,
        owner=owner,
        states=[source.key if source.key != "uwu://" else source.path for source in sources([stack])],
        inputs=document.plan.variables if document is not None else (),
        planned=number,
        outputs=found,
        needs=[edge for back, edge in edges if not back and edge.stack in seen][:MOST],
        dependents=[edge for back, edge in edges if back and edge.stack in seen][:MOST],
        problems=problems,
    )


def _stack(connection: sa.Connection, name: str) -> tuple[Entity, set[str]]:
    """(the stack, the references of all that whoever asks may see)."""
    known = {each.ref: each for each in declared.entities(connection, kind="Stack")}
    ref = name.strip().lower().removeprefix("stack:")
    found = known.get(f"stack:{ref if '/' in ref else f'default/{ref}'}")
    return found if found is not None else store.stack_of(connection, name), set(known)


def _planned(connection: sa.Connection, ref: str) -> tuple[str, int]:
    """(id, number) of the newest run that planned; empty and 0 for none."""
    r = tables.runs
    query = sa.select(r.c.id, r.c.number).where(r.c.stack == ref, r.c.json_blob != "").order_by(r.c.number.desc())
    row = connection.execute(query.limit(1)).first()
    return (row.id, row.number) if row is not None else ("", 0)


def _declared(connection: sa.Connection, ref: str) -> tuple[str, list[tuple[bool, Edge]]]:
    """(the owner, (whether it is a dependent, the other stack)) of what is declared."""
    r = world.relations
    mine = sa.or_(r.c.source == ref, r.c.target == ref)
    query = sa.select(r.c.source, r.c.kind, r.c.target).where(
        mine, r.c.kind.in_(("dependsOn", "ownedBy")), r.c.valid_to.is_(None)
    )
    owners: list[str] = []
    edges: list[tuple[bool, Edge]] = []
    for source, kind, target in sorted(map(tuple, connection.execute(query))):
        if kind == "ownedBy":
            owners += [target] if source == ref else []
        else:
            edges.append((target == ref, Edge(stack=source if target == ref else target, how="declared")))
    return min(owners, default=""), edges


def _referred(connection: sa.Connection, ref: str) -> list[tuple[bool, Edge]]:
    """As ``_declared``, by what the states say: the references from and to the stack."""
    t = tables.references

    def of(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
        return sa.or_(column.startswith(f"{ref}#", autoescape=True), column.startswith(f"{ref}@", autoescape=True))

    counts: Counter[tuple[bool, str, str]] = Counter()
    query = sa.select(t.c.source, t.c.target).where(sa.or_(of(t.c.source), of(t.c.target)))
    for source, target in connection.execute(query):
        ends = [id.partition("#")[0].partition("@")[0] for id in (source, target)]
        if ends[0] != ends[1]:
            how = "outputs" if target.endswith("#") else "resources"
            counts[ends[1] == ref, ends[0] if ends[1] == ref else ends[1], how] += 1
    return [(back, Edge(stack=stack, how=how, count=count)) for (back, stack, how), count in sorted(counts.items())]


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
