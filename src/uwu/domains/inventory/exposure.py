"""Is this exposed to the internet, by what path, on which ports: read from the graph, three-valued.

``no`` is said only where every cell that could hold a way in is complete. ``public`` answers for many resources in a
few queries for each account and region, ``of`` for one. Looked at are: public addresses, route tables, network ACLs,
security groups, VPC Block Public Access, load balancers in the account and in the owner of a shared VPC, the doors of
AWS's own services, resource policies, ACLs and sharing. Not looked at, and so never a reason for ``no`` to hold beyond
them: Global Accelerator, CloudFront VPC origins, API Gateway VPC links, and private networks that lead elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from uwu.domains.inventory.exposure_facts import Facts, Thing
from uwu.domains.inventory.exposure_kinds import JUDGES
from uwu.kernel.exposure import Exposure, Lack, Step
from uwu.kernel.runtime import Kernel

__all__ = ["TYPES", "Exposure", "Lack", "Step", "of", "public"]

TYPES: tuple[str, ...] = tuple(JUDGES)
"""The types whose exposure can be judged."""
_FEW = 20
"""So many resources are judged one by one: reading all around them would cost more."""


def public(
    kernel: Kernel, connection: sa.Connection, urns: Sequence[str] = (), *, types: Sequence[str] = ()
) -> Iterator[Exposure]:
    """The exposure of ``urns``, or of every resource of ``types`` (of ``TYPES`` where both are empty).

    By account, region and urn. What is of none of ``TYPES``, or not observed, is left out.
    """
    del kernel
    if urns:
        yield from _of_some(connection, urns)
        return
    wanted = tuple(type for type in types or TYPES if type in JUDGES)
    facts = Facts(connection, few=False)
    for account, region in facts.places(wanted) if wanted else ():
        facts.forget()
        things = sorted(
            (thing for type in wanted for thing in facts.all_of(type, account, region)), key=lambda thing: thing.urn
        )
        yield from _judged(facts, things)


def _of_some(connection: sa.Connection, urns: Sequence[str]) -> Iterator[Exposure]:
    reading = Facts(connection, few=True)
    things = [thing for thing in reading.some(urns).values() if thing.type in JUDGES]
    things.sort(key=lambda thing: (thing.account, thing.region, thing.urn))
    facts = reading if len(things) <= _FEW else Facts(connection, few=False)
    yield from _judged(facts, things)


def _judged(facts: Facts, things: Sequence[Thing]) -> Iterator[Exposure]:
    functions = [thing.urn for thing in things if thing.type == "aws_lambda_function"]
    if functions:
        facts.preload(functions, "invokes")
    for thing in things:
        yield _proven(facts, thing, JUDGES[thing.type](facts, thing))


def _proven(facts: Facts, thing: Thing, found: Exposure) -> Exposure:
    """A no stands on the resource as it was last read: where its cell is not complete it may be otherwise by now."""
    if found.answer != "no":
        return found
    known = facts.cell(thing)
    if known.complete and not facts.partly_hidden:
        return found
    why = "the policies hide a part of the graph from you" if facts.partly_hidden else f"its own cell is {known.status}"
    lack = Lack(cell=known.cell or thing.cell, status="hidden" if facts.partly_hidden else known.status, why=why)
    return Exposure(
        urn=found.urn,
        type=found.type,
        answer="unknown",
        path=found.path,
        lacks=(lack,),
        conditions=found.conditions,
    )


def of(kernel: Kernel, connection: sa.Connection, urn: str) -> Exposure | None:
    """The exposure of ``urn``; None where it is of none of ``TYPES`` or not observed."""
    return next(iter(public(kernel, connection, [urn])), None)
