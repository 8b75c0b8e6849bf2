"""The catalog API at ``/api/catalog``, as Backstage's own client asks it. What is declared is changed in the estate,
so what would change it here is refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from litestar import Request, Response, Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import Stream

from uwu.domains.catalog.backstage import envelope, errors, filters, pages
from uwu.domains.catalog.backstage.envelope import Told
from uwu.domains.catalog.backstage.filters import E
from uwu.domains.catalog.backstage.pages import Asked, FullText, Order
from uwu.kernel import audit, codec, domain, entity_facts, estate, jobs, schema, sight
from uwu.kernel.envelope import ENVELOPE
from uwu.kernel.errors import BadInput, Denied, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}
ASK = {"action": "world.read", "reads": True}
"""A POST that only asks."""
RUN = {"action": "jobs.run"}

_AT_ONCE = 500
"""Entities of a whole list that are held at a time."""
MOST_REFS = 1_000


class ByRefs(msgspec.Struct, rename="camel"):
    entity_refs: list[str]
    fields: list[str] = []
    query: dict[str, Any] | None = None


class ByQuery(msgspec.Struct, rename="camel"):
    """A question by predicate; ``cursor`` alone asks for the next page of one."""

    cursor: str = ""
    query: dict[str, Any] | None = None
    limit: int = pages.LIMIT
    offset: int = 0
    order_by: list[Order] = []
    full_text_filter: FullText = FullText()
    fields: list[str] = []
    total_items: Literal["include", "exclude"] = "include"


class Facets(msgspec.Struct):
    facets: list[str]
    query: dict[str, Any] | None = None


class Refresh(msgspec.Struct, rename="camel"):
    entity_ref: str


class Candidate(msgspec.Struct):
    entity: Any
    location: str = ""


class LocationsQuery(msgspec.Struct):
    cursor: str = ""
    limit: int = pages.LIMIT


# ---- entities


@get("/entities", sync_to_thread=True, opt=READ)
def list_entities(kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], request: Request) -> Response:
    """Entities that match ``filter``, all of them where no ``limit`` is given."""
    asked = Asked(filter=_many(request, "filter"), order_fields=_orders(_many(request, "order"), ":"))
    fields, limit, offset = _listed(request, "fields"), _number(request, "limit", 0), _number(request, "offset", 0)
    after = request.query_params.get("after", "")
    if after:
        asked = pages.of_cursor(after)
    if not limit:
        _refuse_early(asked)
        return Stream(_all(kernel, principal, asked, fields, offset), media_type="application/json")
    with kernel.db.read() as connection:
        page = pages.page(connection, asked, limit=limit, offset=offset, fields=fields, count=False)
    headers = {"link": f'<{request.url.path}?limit={limit}&after={page.next}>; rel="next"'} if page.next else {}
    return Response(page.items, headers=headers)


def _refuse_early(asked: Asked) -> None:
    """A stream cannot say that its question was bad: it is read before the first byte."""
    pages.condition(asked)


def _all(kernel: Kernel, principal: Principal, asked: Asked, fields: Sequence[str], offset: int) -> Iterator[bytes]:
    begun = False
    yield b"["
    while True:
        # a stream runs after the request's own context: what may be seen is said again
        with sight.looking_as(kernel, principal), kernel.db.read() as connection:
            page = pages.page(connection, asked, limit=_AT_ONCE, offset=offset, fields=fields, count=False)
        if page.items:
            yield (b"," if begun else b"") + b",".join(codec.encode(entity) for entity in page.items)
            begun = True
        if not page.next:
            break
        asked, offset = pages.of_cursor(page.next), 0
    yield b"]"


@get("/entities/by-query", sync_to_thread=True, opt=READ)
def query_entities(kernel: NamedDependency[Kernel], request: Request) -> Told:
    """One page of entities; ``cursor`` goes on from another."""
    given = request.query_params.get("cursor", "")
    term = request.query_params.get("fullTextFilterTerm", "")
    asked = (
        pages.of_cursor(given)
        if given
        else Asked(
            filter=_many(request, "filter"),
            order_fields=_orders(_many(request, "orderField"), ","),
            full_text_filter=FullText(term, tuple(_listed(request, "fullTextFilterFields"))),
        )
    )
    with kernel.db.read() as connection:
        page = pages.page(
            connection,
            asked,
            limit=_number(request, "limit", pages.LIMIT),
            offset=_number(request, "offset", 0),
            fields=_listed(request, "fields"),
            count=request.query_params.get("totalItems") != "exclude",
        )
    return _page(page)


@post("/entities/by-query", sync_to_thread=True, opt=ASK, status_code=200)
def query_by_predicate(kernel: NamedDependency[Kernel], data: JSONBody[ByQuery]) -> Told:
    """One page of the entities for which a predicate holds."""
    asked = (
        pages.of_cursor(data.cursor)
        if data.cursor
        else Asked(
            query=data.query if data.query is not None else msgspec.UNSET,
            order_fields=tuple(data.order_by),
            full_text_filter=data.full_text_filter,
        )
    )
    with kernel.db.read() as connection:
        page = pages.page(
            connection,
            asked,
            limit=_positive(data.limit, "limit"),
            offset=_positive(data.offset, "offset"),
            fields=data.fields,
            count=data.total_items == "include",
        )
    return _page(page)


def _page(page: pages.Page) -> Told:
    told = {"nextCursor": page.next, "prevCursor": page.previous}
    return {
        "items": page.items,
        "totalItems": page.total,
        "pageInfo": {name: cursor for name, cursor in told.items() if cursor},
    }


@post("/entities/by-refs", sync_to_thread=True, opt=ASK, status_code=200)
def entities_by_refs(kernel: NamedDependency[Kernel], request: Request, data: JSONBody[ByRefs]) -> Told:
    """The entities of full references, in their order; null for one that is not there or does not match."""
    if len(data.entity_refs) > MOST_REFS:
        raise BadInput(f"there are more than {MOST_REFS} references", code="request-too-large", place="entityRefs")
    refs = [str(estate.parse_reference(ref)) for ref in data.entity_refs]
    asked = Asked(filter=_many(request, "filter"), query=data.query if data.query is not None else msgspec.UNSET)
    with kernel.db.read() as connection:
        query = sa.select(E).where(E.c.ref.in_(refs), *pages.condition(asked))
        rows = connection.execute(query).all()
        told = dict(zip((row.ref for row in rows), envelope.tell(connection, rows), strict=True))
    return {"items": [envelope.project(told[ref], data.fields) if ref in told else None for ref in refs]}


@get("/entities/by-name/{kind:str}/{namespace:str}/{name:str}", sync_to_thread=True, opt=READ)
def entity_by_name(
    kernel: NamedDependency[Kernel], kind: FromPath[str], namespace: FromPath[str], name: FromPath[str]
) -> Told:
    """One entity."""
    return _one(kernel, E.c.ref == f"{kind}:{namespace}/{name}".lower(), f"{kind}:{namespace}/{name}")


@get("/entities/by-name/{kind:str}/{namespace:str}/{name:str}/ancestry", sync_to_thread=True, opt=READ)
def entity_ancestry(
    kernel: NamedDependency[Kernel], kind: FromPath[str], namespace: FromPath[str], name: FromPath[str]
) -> Told:
    """What brought an entity: it stands in the estate itself, so nothing but it."""
    ref = f"{kind}:{namespace}/{name}".lower()
    found = _one(kernel, E.c.ref == ref, ref)
    return {"rootEntityRef": ref, "items": [{"entity": found, "parentEntityRefs": []}]}


@get("/entities/by-uid/{uid:str}", sync_to_thread=True, opt=READ)
def entity_by_uid(kernel: NamedDependency[Kernel], uid: FromPath[str]) -> Told:
    """One entity by its ``metadata.uid``."""
    condition = filters.of_filters([f"metadata.uid={uid.replace(',', '')}"])
    assert condition is not None
    return _one(kernel, condition, uid)


def _one(kernel: Kernel, where: sa.ColumnElement[bool], named: str) -> Told:
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(E).where(where)).all()
        if not rows:
            raise NotFound(f"no entity {named} is declared", code="entity-unknown", hint="uwu catalog list shows all")
        return envelope.tell(connection, rows)[0]


@get("/entity-facets", sync_to_thread=True, opt=READ)
def entity_facets(kernel: NamedDependency[Kernel], request: Request) -> Told:
    """How many entities have each value of each ``facet``."""
    asked = Asked(filter=_many(request, "filter"))
    with kernel.db.read() as connection:
        return {"facets": pages.facets(connection, _many(request, "facet"), pages.condition(asked))}


@post("/entity-facets", sync_to_thread=True, opt=ASK, status_code=200)
def facets_by_predicate(kernel: NamedDependency[Kernel], data: JSONBody[Facets]) -> Told:
    """As above, of the entities for which a predicate holds."""
    asked = Asked(query=data.query if data.query is not None else msgspec.UNSET)
    with kernel.db.read() as connection:
        return {"facets": pages.facets(connection, data.facets, pages.condition(asked))}


@post("/refresh", sync_to_thread=True, opt=RUN, status_code=200)
def refresh_entity(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Refresh]
) -> None:
    """Asks for the estate to be read anew: the entity comes with it."""
    ref = str(estate.parse_reference(data.entity_ref))
    job = "catalog.load"
    with sight.looking_as(kernel, principal):
        _one(kernel, E.c.ref == ref, ref)
    id = kernel.jobs.enqueue(job, {}, requested_by=principal.ref, key=jobs.key_of(job, {}))
    with kernel.db.write() as connection:
        audit.append(connection, actor=principal.ref, action=f"job.{job}", subject=id, detail={"entity": ref})


@post("/validate-entity", sync_to_thread=True, opt=ASK, status_code=200)
def validate_entity(kernel: NamedDependency[Kernel], data: JSONBody[Candidate]) -> Response:
    """Checks an entity against its kind, without keeping it: 400 with every violation where it does not fit."""
    told = [
        f"{violation.message}{f' ({violation.hint})' if violation.hint else ''}"
        for violation in _check(kernel, data.entity)
    ]
    if not told:
        return Response(None, status_code=200)
    return Response({"errors": [{"name": "InputError", "message": text} for text in told]}, status_code=400)


def _check(kernel: Kernel, entity: Any) -> list[schema.Violation]:
    found = list(schema.check(entity, ENVELOPE))
    if found:
        return found
    kinds = domain.kinds_of(kernel.domains)
    kind = kinds.get(entity["kind"].lower())
    if kind is None:
        near = schema.near(entity["kind"], (known.kind for known in kinds.values()))
        return [schema.Violation(("kind",), f"there is no kind {entity['kind']!r}", near)]
    if entity["apiVersion"] not in kind.api_versions:
        hint = f"it is written in {' or '.join(kind.api_versions)}"
        return [schema.Violation(("apiVersion",), f"{kind.kind} has no {entity['apiVersion']!r}", hint)]
    return list(schema.check(entity.get("spec", {}), kind.schema, ("spec",)))


# ---- locations: the folders and files of the estate


@get("/locations", sync_to_thread=True, opt=READ)
def list_locations(kernel: NamedDependency[Kernel]) -> list[Told]:
    """Where entities come from."""
    return [{"data": location} for location in _locations(kernel)]


@post("/locations/by-query", sync_to_thread=True, opt=ASK, status_code=200)
def query_locations(kernel: NamedDependency[Kernel], data: JSONBody[LocationsQuery]) -> Told:
    """A page of them."""
    found = _locations(kernel)
    begin = next((n for n, each in enumerate(found, 1) if each["id"] == data.cursor), 0) if data.cursor else 0
    some = found[begin : begin + max(1, data.limit)]
    more = begin + len(some) < len(found)
    return {
        "items": some,
        "totalItems": len(found),
        "pageInfo": {"nextCursor": some[-1]["id"]} if more else {},
    }


@get("/locations/{id:str}", sync_to_thread=True, opt=READ)
def get_location(kernel: NamedDependency[Kernel], id: FromPath[str]) -> Told:
    """One of them by its id."""
    found = [location for location in _locations(kernel) if location["id"] == id]
    if not found:
        raise NotFound(f"there is no location {id}", code="location-unknown")
    return found[0]


@get("/locations/by-entity/{kind:str}/{namespace:str}/{name:str}", sync_to_thread=True, opt=READ)
def location_of_entity(
    kernel: NamedDependency[Kernel], kind: FromPath[str], namespace: FromPath[str], name: FromPath[str]
) -> Told:
    """The one that brought an entity."""
    found = _one(kernel, E.c.ref == f"{kind}:{namespace}/{name}".lower(), f"{kind}:{namespace}/{name}")
    origin = found["metadata"]["annotations"][filters.ORIGIN.removeprefix("metadata.annotations.")]
    return _location(origin)


@post("/locations", sync_to_thread=True, opt=READ)
def add_location() -> None:
    """Refused: the estate says where it lies."""
    raise _estate_alone("a location is added")


@put("/locations/{id:str}", sync_to_thread=True, opt=READ)
def update_location(id: FromPath[str]) -> None:
    """Refused, as above."""
    raise _estate_alone(f"the location {id} is changed")


@delete("/locations/{id:str}", sync_to_thread=True, opt=READ, status_code=204)
def remove_location(id: FromPath[str]) -> None:
    """Refused, as above."""
    raise _estate_alone(f"the location {id} is removed")


@delete("/entities/by-uid/{uid:str}", sync_to_thread=True, opt=READ, status_code=204)
def remove_entity(uid: FromPath[str]) -> None:
    """Refused, as above."""
    raise _estate_alone(f"the entity {uid} is removed")


def _estate_alone(what: str) -> Denied:
    return Denied(f"{what} in the estate, not here", code="estate-declares", hint="change the estate and load it anew")


def _locations(kernel: Kernel) -> list[Told]:
    with kernel.db.read() as connection:
        origins = connection.scalars(sa.select(E.c.origin).distinct().order_by(E.c.origin))
        return [_location(origin) for origin in origins if ":" in origin]


def _location(origin: str) -> Told:
    type, target = estate.parse_location(origin)
    return {"id": entity_facts.uid(origin), "type": type, "target": target, "entityRef": ""}


# ---- what was asked


def _many(request: Request, name: str) -> tuple[str, ...]:
    return tuple(request.query_params.getall(name, []))


def _listed(request: Request, name: str) -> list[str]:
    """A list that may be repeated, or parted by commas."""
    return [part.strip() for text in _many(request, name) for part in text.split(",") if part.strip()]


def _orders(texts: Sequence[str], parted: str) -> tuple[Order, ...]:
    """``metadata.name,asc`` (by-query) or ``asc:metadata.name`` (entities)."""
    found: list[Order] = []
    for text in texts:
        first, _, second = (part.strip() for part in text.partition(parted))
        field, way = (second, first) if parted == ":" else (first, second or "asc")
        if way not in {"asc", "desc"} or not field:
            form = f"asc{parted}field" if parted == ":" else f"field{parted}asc"
            raise BadInput(f"{text!r} is no order", code="order-malformed", place="order", hint=f"write {form}")
        found.append(Order(field, "desc" if way == "desc" else "asc"))
    return tuple(found)


def _number(request: Request, name: str, otherwise: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return otherwise
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise BadInput(f"{name} is {text[:20]!r}, which is no number from 0 on", code="number-malformed", place=name)
    return int(text)


def _positive(value: int, name: str) -> int:
    if not 0 <= value < 10**9:
        raise BadInput(f"{name} is {value}", code="number-malformed", place=name, hint="a number from 0 on")
    return value


ROUTES = (
    Router(
        "/api/catalog",
        route_handlers=[
            list_entities,
            query_entities,
            query_by_predicate,
            entities_by_refs,
            entity_by_name,
            entity_ancestry,
            entity_by_uid,
            entity_facets,
            facets_by_predicate,
            refresh_entity,
            validate_entity,
            list_locations,
            query_locations,
            get_location,
            location_of_entity,
            add_location,
            update_location,
            remove_location,
            remove_entity,
        ],
        exception_handlers=errors.HANDLERS,
    ),
)
