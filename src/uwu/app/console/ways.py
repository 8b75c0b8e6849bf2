"""Ways for people: whether the internet reaches a subject, and how one subject is tied to another."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from uwu.app.console import links, words
from uwu.app.console.mapping import Names
from uwu.app.console.views import View
from uwu.kernel import exposure
from uwu.kernel.exposure import Exposure
from uwu.kernel.paths import Paths
from uwu.kernel.runtime import Kernel

PORTS_SHOWN, LACKS_SHOWN, CONDITIONS_SHOWN = 6, 6, 6
_GLOBE, _WALL, _UNSURE = "globe", "lock", "circle-dashed"


class Stop(View, frozen=True):
    """One step of a way."""

    icon: str
    name: str
    href: str
    says: str
    evidence: str
    fresh: str
    """Where its cell is not complete: what is known of it."""
    tone: str
    """``red`` where it lets nothing through, ``amber`` where that is not known."""


class Way(View, frozen=True):
    """A way in words, or that there is none, or that it is not known."""

    title: str
    answer: str
    line: str
    icon: str
    tone: str
    stops: list[Stop]
    notes: list[str]
    """To whom it is open nevertheless, or on which conditions."""
    lacks: list[str]
    more: int
    """Lacks that are not shown."""
    drawn: str
    """Where the graph page draws it; empty where there is nothing to draw."""


def exposed(kernel: Kernel, connection: sa.Connection, urn: str, names: Names) -> Way | None:
    """Whether the internet reaches ``urn``; None where that is not judged."""
    found = exposure.of(kernel, connection, urn)
    return _exposed(found, names) if found is not None else None


def _exposed(found: Exposure, names: Names) -> Way:
    names.load(step.urn for step in found.path if step.urn)
    ports = list(found.ports[:PORTS_SHOWN])
    more = f" and {len(found.ports) - PORTS_SHOWN} more" if len(found.ports) > PORTS_SHOWN else ""
    on = " on every port" if ports == ["all"] else f" on {', '.join(ports)}{more}" if ports else ""
    line = {
        "yes": f"Anyone on the internet reaches it{on}.",
        "no": "The internet does not reach it: every cell that could hold a way is complete.",
        "unknown": "Whether the internet reaches it is not known.",
    }[found.answer]
    icon, tone = {"yes": (_GLOBE, "red"), "no": (_WALL, "green"), "unknown": (_UNSURE, "amber")}[found.answer]
    notes = [*found.conditions[:CONDITIONS_SHOWN]]
    lacks = [lack.why for lack in found.lacks]
    return Way(
        title="From the internet",
        answer=found.answer,
        line=line,
        icon=icon,
        tone=tone,
        stops=[_stop(step, found.urn, names) for step in found.path],
        notes=notes,
        lacks=lacks[:LACKS_SHOWN],
        more=max(0, len(lacks) - LACKS_SHOWN),
        drawn=links.with_query(links.GRAPH, {"subject": found.urn, "way": "internet"}),
    )


def _stop(step: exposure.Step, subject: str, names: Names) -> Stop:
    named = names.subject(step.urn) if step.urn else None
    fresh = "" if step.status in ("", "complete") else f"its cell is {words.lower_first(step.status)}"
    return Stop(
        icon=names.icon_of(step.urn) if step.urn else _GLOBE if not step.type else _UNSURE,
        name=named.name if named is not None else "",
        href=links.subject(step.urn) if step.urn and step.urn != subject else "",
        says=step.says,
        evidence=step.evidence,
        fresh=fresh,
        tone={"no": "red", "unknown": "amber"}.get(step.holds, ""),
    )


def between(found: Paths, names: Names) -> Way:
    """The shortest way between two subjects, and how many others there are."""
    first = found.paths[0] if found.paths else []
    names.load({found.source, found.target, *(end for hop in first for end in (hop.source, hop.target))})
    target = names.subject(found.target).name
    if found.answer == "yes":
        others = len(found.paths) - 1
        line = f"Reached in {words.plural(len(first), 'hop')}" + (
            f", and {words.plural(others, 'other way')}." if others else "."
        )
    elif found.answer == "no":
        line = f"No way of at most {words.plural(found.length, 'hop')}: every cell that could hold one is complete."
    else:
        line = f"No way of at most {words.plural(found.length, 'hop')} is known."
    stops: list[Stop] = []
    here = found.source
    for hop in first:
        here = hop.target if hop.forward else hop.source
        kind = " ".join(words.split_camel(hop.kind.replace("_", " ")))
        named = names.subject(here)
        stops.append(
            Stop(
                icon=names.icon_of(here),
                name=named.name,
                href=links.subject(here) if named.type else "",
                says=f"→ {kind}" if hop.forward else f"← {kind}",
                evidence=hop.evidence,
                fresh="",
                tone="",
            )
        )
    lacks: Sequence[str] = [lack.why for lack in found.lacks]
    return Way(
        title=f"To {target}",
        answer=found.answer,
        line=line,
        icon={"yes": "waypoints", "no": "circle-off", "unknown": _UNSURE}[found.answer],
        tone="" if found.answer == "yes" else "green" if found.answer == "no" else "amber",
        stops=stops,
        notes=[],
        lacks=list(lacks[:LACKS_SHOWN]),
        more=max(0, len(lacks) - LACKS_SHOWN),
        drawn=links.with_query(links.GRAPH, {"subject": found.source, "way": found.target}),
    )
