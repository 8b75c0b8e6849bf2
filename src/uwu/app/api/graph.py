"""Ways through the graph: between two subjects, from one, from the internet; who may assume a role."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.app.api.world import READ
from uwu.kernel import exposure, moments, paths, subjects
from uwu.kernel.errors import NotFound
from uwu.kernel.exposure import Assumer, Exposure
from uwu.kernel.paths import Asked, Paths, Reach
from uwu.kernel.runtime import Kernel


class Assumers(msgspec.Struct, frozen=True, kw_only=True):
    """Who may, or perhaps may, assume a role; the certain first."""

    role: str
    items: list[Assumer]


def _asked(kinds: str, direction: paths.Direction, length: int, at: str) -> Asked:
    wanted = frozenset(kind.strip() for kind in kinds.split(",") if kind.strip())
    return Asked(kinds=wanted, direction=direction, at=moments.parse(at) if at else None, length=length)


@get("/paths", sync_to_thread=True, opt=READ)
def get_paths(
    kernel: NamedDependency[Kernel],
    source: FromQuery[str],
    target: FromQuery[str],
    kinds: FromQuery[str] = "",
    direction: FromQuery[Literal["out", "in", "any"]] = "any",
    length: FromQuery[int] = paths.LENGTH,
    at: FromQuery[str] = "",
    limit: FromQuery[int] = paths.PATHS,
) -> Paths:
    """The ways from ``source`` to ``target``, shortest first, of at most ``length`` hops.

    ``kinds`` is a list with commas of the relations to follow; ``direction`` follows them forwards (``out``), backwards
    (``in``) or both ways. ``no`` is proven by complete cells, ``unknown`` says which cells lack. ``at``: as of then.
    """
    with kernel.db.read() as connection:
        ends = subjects.resolve(connection, source), subjects.resolve(connection, target)
        return paths.between(kernel, connection, *ends, _asked(kinds, direction, length, at), limit)


@get("/reach", sync_to_thread=True, opt=READ)
def get_reach(
    kernel: NamedDependency[Kernel],
    subject: FromQuery[str],
    kinds: FromQuery[str] = "",
    direction: FromQuery[Literal["out", "in", "any"]] = "out",
    length: FromQuery[int] = 3,
    at: FromQuery[str] = "",
    limit: FromQuery[int] = 200,
) -> Reach:
    """What can be reached from ``subject`` in at most ``length`` hops, nearest first; parameters as of /paths."""
    with kernel.db.read() as connection:
        key = subjects.resolve(connection, subject)
        return paths.reach(kernel, connection, key, _asked(kinds, direction, length, at), limit)


@get("/exposure", sync_to_thread=True, opt=READ)
def get_exposure(kernel: NamedDependency[Kernel], subject: FromQuery[str]) -> Exposure:
    """Whether anyone on the internet reaches ``subject``, by what path and on which ports; 404 for what has none."""
    with kernel.db.read() as connection:
        urn = subjects.resolve(connection, subject)
        found = exposure.of(kernel, connection, urn)
    if found is None:
        raise NotFound(
            f"the exposure of {urn} is not judged",
            code="exposure-unjudged",
            hint="it is judged for what is observed now and has an address, a policy or a door of its own",
        )
    return found


@get("/assumers", sync_to_thread=True, opt=READ)
def get_assumers(kernel: NamedDependency[Kernel], subject: FromQuery[str]) -> Assumers:
    """Who may assume the role ``subject``, by its trust policy and the policies of identities; 404 for no role."""
    with kernel.db.read() as connection:
        urn = subjects.resolve(connection, subject)
        found = exposure.assumers(kernel, connection, urn)
    if found is None:
        raise NotFound(
            f"{urn} is no role that is observed now", code="not-a-role", hint="give the name or ARN of a role"
        )
    return Assumers(role=urn, items=found)


HANDLERS: list[Any] = [get_paths, get_reach, get_exposure, get_assumers]
