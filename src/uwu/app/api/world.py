"""What is: resources, entities, search, and the story of anything."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.kernel import (
    codec,
    declared,
    differences,
    entity_history,
    explain,
    graph,
    moments,
    ownership,
    search,
    subjects,
    tables,
)
from uwu.kernel.declared import Entities
from uwu.kernel.entity_history import EntityVersions
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.explain import Story
from uwu.kernel.graph import Diff, Observed, Page, Versions
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
    at: FromQuery[str] = "",
    limit: FromQuery[int] = 50,
    after: FromQuery[str] = "",
) -> Page:
    """Resources by name. ``owner=`` (empty) asks for the unowned; ``after`` is the ``after`` of the page before.

    ``at`` asks for those of a past time (ISO 8601, a day, or so long ago: 3h, 2d); owners are today's.
    """
    filters: dict[str, Any] = {"type": type, "account": account, "region": region, "owner": owner, "text": text}
    with kernel.db.read() as connection:
        if at:
            return graph.find_at(connection, moments.parse(at), **filters, limit=limit, after=after)
        return graph.find(connection, **filters, limit=limit, after=after)


def _at(text: str) -> datetime | None:
    return moments.parse(text) if text else None


def _subject(kernel: Kernel, text: str) -> str:
    with kernel.db.read() as connection:
        return subjects.resolve(connection, text)


@get("/resource", sync_to_thread=True, opt=READ)
def get_resource(kernel: NamedDependency[Kernel], subject: FromQuery[str], at: FromQuery[str] = "") -> ResourceView:
    """One resource by ARN, id or name, as it is now, or as it was ``at`` a past time."""
    urn, then = _subject(kernel, subject), _at(at)
    with kernel.db.read() as connection:
        found = graph.resource(connection, urn) if then is None else graph.resource_at(connection, urn, then)
        if found is None:
            when = "now" if then is None else f"as of {codec.iso(then)}"
            raise NotFound(f"{urn} is not observed {when}", hint="uwu explain tells what is known of it")
        return ResourceView(
            resource=found,
            ownership=ownership.owner_of(connection, urn),
            relations=graph.neighbours(connection, urn, at=then),
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
    kernel: NamedDependency[Kernel],
    subject: FromQuery[str],
    at: FromQuery[str] = "",
    limit: FromQuery[int] = 200,
) -> list[Relation]:
    """The relations from and to a resource or an entity: the current ones, or those that held ``at`` a past time."""
    key, then = _subject(kernel, subject), _at(at)
    with kernel.db.read() as connection:
        return graph.neighbours(connection, key, at=then, limit=limit)


@get("/explain", sync_to_thread=True, opt=READ)
def get_explanation(kernel: NamedDependency[Kernel], subject: FromQuery[str], at: FromQuery[str] = "") -> Story:
    """The whole story of a subject: declared, observed, owned, changed by whom, and what puts it right.

    ``at`` asks for the story of a past time (ISO 8601, a day, or so long ago: 3h, 2d).
    """
    return explain.explain(kernel, _subject(kernel, subject), _at(at))


@get("/diff", sync_to_thread=True, opt=READ)
def get_diff(
    kernel: NamedDependency[Kernel],
    since: FromQuery[str],
    until: FromQuery[str] = "now",
    type: FromQuery[str] = "",
    account: FromQuery[str] = "",
    owner: FromQuery[str | None] = None,
    how: FromQuery[Literal["added", "changed", "removed", ""]] = "",
    limit: FromQuery[int] = 50,
    after: FromQuery[str] = "",
) -> Diff:
    """What was added, changed and removed between two times, by urn, each with the events that did it.

    ``since`` and ``until`` are ISO 8601, a day, or so long ago: 3h, 2d. ``owner=`` (empty) asks for the unowned.
    """
    now = codec.now()
    return differences.between(
        kernel,
        moments.parse(since, place="since", now=now),
        moments.parse(until, place="until", now=now),
        type=type,
        account=account,
        owner=owner,
        how=how,
        limit=limit,
        after=after,
    )


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


@get("/entity/history", sync_to_thread=True, opt=READ)
def get_entity_history(
    kernel: NamedDependency[Kernel], ref: FromQuery[str], limit: FromQuery[int] = 50, after: FromQuery[str] = ""
) -> EntityVersions:
    """What an entity was declared as, newest first, with what changed each time."""
    with kernel.db.read() as connection:
        found = _named(connection, ref)
        named = found.ref if found is not None else subjects.resolve(connection, ref)
        return entity_history.versions(connection, named, limit=limit, after=after)


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
    get_diff,
    list_entities,
    get_entity,
    get_entity_history,
    get_search,
]
