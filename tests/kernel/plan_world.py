"""A small world that can be changed: queues in a file, a planner that sets their attributes, marks of each write."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.kernel.world import QUEUES, WORLD, declaration, queue
from uwu.kernel import codec, declared, drift, graph, ownership, tables
from uwu.kernel.domain import Mends, Planner
from uwu.kernel.errors import BadInput, Denied, Problem
from uwu.kernel.identity import Principal
from uwu.kernel.model import CellStatus, Outcome
from uwu.kernel.plans import Action, Done, Plan, PlannedChange, Step
from uwu.kernel.runtime import Kernel

HERE = "tests.kernel.plan_world"
TEAMS = {"team": "payments"}


def _planner(name: str, undo: str = f"{HERE}:undo") -> Planner:
    return Planner(
        name=name,
        title="Queues",
        plan=f"{HERE}:plan",
        apply=f"{HERE}:apply",
        undo=undo,
        observe=f"{HERE}:observe",
        mends=(Mends("drift.attribute", ("aws_sqs_queue",), ("retention",)),),
    )


PLANNERS = (_planner("queues"), _planner("queues-for-good", undo=""))
DOMAIN = dataclasses.replace(WORLD, planners=PLANNERS)


class Queues:
    """The world outside: one JSON file in the home, and a line for each write that reached it."""

    def __init__(self, home: Path) -> None:
        self.file, self.writes = home / "queues.json", home / "writes"
        self.gate, self.waits = home / "gate", home / "waits"

    def read(self) -> dict[str, dict[str, Any]]:
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def put(self, **queues: dict[str, Any]) -> None:
        self.file.write_text(json.dumps({**self.read(), **queues}))

    def set(self, name: str, **attributes: Any) -> None:
        self.put(**{name: {**self.read()[name], **attributes}})

    def written(self) -> list[str]:
        return self.writes.read_text().split() if self.writes.exists() else []


def outside(kernel: Kernel) -> Queues:
    return Queues(kernel.settings.home_path)


def built(kernel: Kernel, count: int = 3, drifted: int = 2, **tags: str) -> Queues:
    """Declares ``count`` queues ``q0``, ``q1`` ... with retention 4, of which the first ``drifted`` have 1."""
    world = outside(kernel)
    world.put(**{f"q{n}": {"retention": 1 if n < drifted else 4, "tags": tags or TEAMS} for n in range(count)})
    with kernel.db.write() as connection:
        declarations = [declaration(f"q{n}", retention=4) for n in range(count)]
        declared.replace_declarations(connection, "stack:default/payments", declarations)
    observe(kernel, ())
    ownership.settle(kernel)
    drift.judge(kernel)
    return world


def urn(n: int) -> str:
    return queue(f"q{n}").urn


def finding(n: int) -> str:
    return drift.finding_id("drift.attribute", urn(n), "retention")


def person(name: str, *groups: str, roles: tuple[str, ...] = ("operator",), **more: Any) -> Principal:
    return Principal(
        ref=f"user:default/{name}",
        name=name,
        kind="human",
        groups=tuple(f"group:default/{group}" for group in groups),
        roles=roles,
        **more,
    )


# ---- the planner


def plan(kernel: Kernel, request: Mapping[str, Any]) -> Plan:
    """Sets the declared retention again on the queues of ``findings`` or of ``subjects``."""
    if unknown := set(request) - {"findings", "subjects"}:
        raise BadInput(f"what is {unknown}?", code="request-invalid", place="/request")
    with kernel.db.read() as connection:
        found = [drift.finding(connection, id) for id in request.get("findings", ())]
        subjects = [*(each.subject for each in found), *request.get("subjects", ())]
        held = {subject: graph.resource(connection, subject) for subject in subjects}
        said = {subject: declared.declarations(connection, urn=subject) for subject in subjects}
        total = len(connection.execute(tables.resources.select()).all())
    changes: list[PlannedChange] = []
    for subject in subjects:
        resource, wanted = held[subject], said[subject][0].attributes["retention"]
        if resource is None or resource.attributes["retention"] == wanted:
            continue
        changes.append(
            PlannedChange(
                subject=subject,
                action=Action.UPDATE,
                title=f"set the retention of {resource.name} to {wanted}",
                before=resource.attributes["retention"],
                after=wanted,
                reason=drift.finding_id("drift.attribute", subject, "retention"),
            )
        )
    return Plan(
        domain="world",
        title=f"Set the retention of {len(changes)} queues",
        changes=tuple(changes),
        declared_hash=codec.digest([d.attributes for s in subjects for d in said[s]]),
        observed_hash=codec.digest([r.attributes if r is not None else None for r in held.values()]),
        subjects_total=total,
    )


def undo(kernel: Kernel, original: Plan, done: Sequence[PlannedChange]) -> Plan:
    with kernel.db.read() as connection:
        held = {change.subject: graph.resource(connection, change.subject) for change in done}
    return Plan(
        domain="world",
        title=f"Take back: {original.title}",
        changes=tuple(
            PlannedChange(subject=c.subject, action=Action.UPDATE, title="back", before=c.after, after=c.before)
            for c in reversed(done)
        ),
        declared_hash=codec.digest([c.subject for c in done]),
        observed_hash=codec.digest([r.attributes if r is not None else None for r in held.values()]),
        subjects_total=3,
    )


def apply(step: Step, change: PlannedChange) -> Done:
    """Writes the file unless it is so already. A gate in the home holds it before its write, or after."""
    world, name = outside(step.kernel), change.subject.rsplit(":", 1)[-1]
    if world.read()[name].get("refuse"):
        raise Denied(f"{name} may not be written", code="AccessDenied", hint="allow it")
    if world.read()[name]["retention"] == change.after:
        return Done(note=f"sqs:SetQueueAttributes {name}: it was so", already=True)
    _wait_at(world, f"before-{name}")
    world.set(name, retention=change.after)
    with world.writes.open("a") as file:
        file.write(f"{name}\n")
    _wait_at(world, f"after-{name}")
    return Done(note=f"sqs:SetQueueAttributes {name}")


def _wait_at(world: Queues, place: str) -> None:
    """Says that it is at ``place`` and waits there for the gate, where the home names the place as one to wait at."""
    if not world.waits.exists() or world.waits.read_text() != place:
        return
    world.file.with_name("arrived").write_text(place)
    deadline = time.monotonic() + 60
    while not world.gate.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def observe(kernel: Kernel, subjects: Sequence[str]) -> list[Problem]:
    """Observes all queues: they are one cell."""
    del subjects
    world = outside(kernel)
    if world.file.with_name("unreachable").exists():
        return [Problem("network", "the queues do not answer")]
    resources = [
        queue(name, tags=held["tags"], **{key: value for key, value in held.items() if key != "tags"})
        for name, held in world.read().items()
    ]
    at = codec.now() - timedelta(milliseconds=1)
    outcome = Outcome(cell=QUEUES, status=CellStatus.COMPLETE, observed_at=at)
    with kernel.db.write() as connection:
        graph.observe(connection, outcome, resources, [])
    return []
