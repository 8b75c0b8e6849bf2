"""What is: resources, entities, coverage, search, and the story of anything."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.kernel import declared, explain, graph, ownership, search, subjects, tables
from uwu.kernel.declared import Entities
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.explain import Story
from uwu.kernel.graph import Cells, Observed, Page, Versions
from uwu.kernel.model import Entity, Relation
from uwu.kernel.ownership import Owned
from uwu.kernel.runtime import Kernel
from uwu.kernel.search import Hit

READ = {"action": "world.read"}


class EntityView(msgspec.Struct, frozen=True, kw_only=True):
    """An entity with its relations."""

    ref: str
    entity: Entity
    relations: list[Relation]
    orphan: bool


class ResourceView(msgspec.Struct, frozen=True, kw_only=True):
    """A resource with its owner and its relations."""

    resource: Observed
    ownership: Owned | None
    relations: list[Relation]


@get("/resources", sync_to_thread=True, opt=READ)
def list_resources(
    kernel: NamedDependency[Kernel],
    type: FromQuery[str] = "",
    account: FromQuery[str] = "",
    region: FromQuery[str] = "",
    owner: FromQuery[str | None] = None,
    text: FromQuery[str] = "",
    limit: FromQuery[int] = 50,
    after: FromQuery[str] = "",
) -> Page:
    """Resources by name. ``owner=`` (empty) asks for the unowned; ``after`` is the ``after`` of the page before."""
    with kernel.db.read() as connection:
        return graph.find(
            connection,
            type=type,
            account=account,
            region=region,
            owner=owner,
            text=text,
            limit=limit,
            after=after,
        )


def _subject(kernel: Kernel, text: str) -> str:
    with kernel.db.read() as connection:
        return subjects.resolve(connection, text)


@get("/resource", sync_to_thread=True, opt=READ)
def get_resource(kernel: NamedDependency[Kernel], subject: FromQuery[str]) -> ResourceView:
    """One resource by ARN, id or name, as it is now."""
    urn = _subject(kernel, subject)
    with kernel.db.read() as connection:
        found = graph.resource(connection, urn)
        if found is None:
            raise NotFound(f"{urn} is not observed now", hint="uwu explain tells what is known of it")
        return ResourceView(
            resource=found,
            ownership=ownership.owner_of(connection, urn),
            relations=graph.neighbours(connection, urn),
        )


@get("/history", sync_to_thread=True, opt=READ)
def get_history(
    kernel: NamedDependency[Kernel], subject: FromQuery[str], limit: FromQuery[int] = 50, after: FromQuery[str] = ""
) -> Versions:
    """The versions of a resource, newest first."""
    urn = _subject(kernel, subject)
    with kernel.db.read() as connection:
        return graph.versions(connection, urn, limit=limit, after=after)


@get("/neighbours", sync_to_thread=True, opt=READ)
def get_neighbours(
    kernel: NamedDependency[Kernel], subject: FromQuery[str], limit: FromQuery[int] = 200
) -> list[Relation]:
    """The current relations from and to a resource or an entity."""
    key = _subject(kernel, subject)
    with kernel.db.read() as connection:
        return graph.neighbours(connection, key, limit=limit)


@get("/explain", sync_to_thread=True, opt=READ)
def get_explanation(kernel: NamedDependency[Kernel], subject: FromQuery[str]) -> Story:
    """The whole story of a subject: declared, observed, owned, changed by whom, and what puts it right."""
    return explain.explain(kernel, _subject(kernel, subject))


@get("/entities", sync_to_thread=True, opt=READ)
def list_entities(
    kernel: NamedDependency[Kernel],
    kind: FromQuery[str] = "",
    orphan: FromQuery[bool | None] = None,
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Entities:
    """Declared entities by reference."""
    with kernel.db.read() as connection:
        return declared.page(connection, kind=kind, orphan=orphan, limit=limit, after=after)


def _named(connection: sa.Connection, name: str) -> Entity | None:
    """The only entity of this name: a resource that is called the same does not make it ambiguous here."""
    e = tables.entities
    refs = sorted(
        connection.scalars(sa.select(e.c.ref).where(sa.func.lower(e.c.name) == name.strip().lower()).limit(9))
    )
    if len(refs) > 1:
        raise BadInput(
            f"{name!r} names {len(refs)} entities",
            code="subject-ambiguous",
            hint="say which one:\n  " + "\n  ".join(refs),
        )
    return declared.entity(connection, refs[0]) if refs else None


@get("/entity", sync_to_thread=True, opt=READ)
def get_entity(kernel: NamedDependency[Kernel], ref: FromQuery[str]) -> EntityView:
    """One entity by its reference or its name, with its relations."""
    with kernel.db.read() as connection:
        found = _named(connection, ref)
        if found is None:
            found = declared.entity(connection, subjects.resolve(connection, ref))
        if found is None:
            raise NotFound(f"{ref!r} names a resource, not an entity", hint="uwu explain tells what is known of it")
        return EntityView(
            ref=found.ref,
            entity=found,
            relations=graph.neighbours(connection, found.ref),
            orphan=found.ref in declared.orphans(connection),
        )


@get("/coverage", sync_to_thread=True, opt=READ)
def list_coverage(
    kernel: NamedDependency[Kernel],
    account: FromQuery[str] = "",
    type: FromQuery[str] = "",
    status: FromQuery[Literal["complete", "denied", "throttled", "unsupported", "failed", "stale", ""]] = "",
    incomplete: FromQuery[bool] = False,
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Cells:
    """The coverage ledger: each cell, when it was observed and how it went."""
    with kernel.db.read() as connection:
        return graph.cells(
            connection,
            account=account,
            type=type,
            status=status,
            incomplete=incomplete,
            limit=limit,
            after=after,
        )


@get("/search", sync_to_thread=True, opt=READ)
def get_search(kernel: NamedDependency[Kernel], q: FromQuery[str], limit: FromQuery[int] = 20) -> list[Hit]:
    """Resources, entities and findings whose name or key holds ``q``, the best first."""
    with kernel.db.read() as connection:
        return search.search(connection, q, limit=limit)


HANDLERS: list[Any] = [
    list_resources,
    get_resource,
    get_history,
    get_neighbours,
    get_explanation,
    list_entities,
    get_entity,
    list_coverage,
    get_search,
]
