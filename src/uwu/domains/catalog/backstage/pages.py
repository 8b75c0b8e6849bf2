"""Pages of entities as Backstage's ``by-query`` gives them: ordered, both ways, with cursors that its client reads."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from uwu.domains.catalog.backstage import envelope, filters
from uwu.domains.catalog.backstage.envelope import Told
from uwu.domains.catalog.backstage.filters import Condition, E, F
from uwu.kernel import codec, graph, tables
from uwu.kernel.errors import BadInput

LIMIT, MOST = 20, 1_000
"""Entities of one page: what Backstage's server gives where none is asked, and the most that is given."""

_FEW = 5_000
"""Up to so many are sorted; more are read in the order of an index."""

_OF_ALL = frozenset({"kind", "metadata.name", "metadata.namespace", "metadata.uid"})
"""What every entity has: an index of it leaves none out."""


class Order(msgspec.Struct, frozen=True):
    """One field that the list is ordered by."""

    field: str
    order: Literal["asc", "desc"] = "asc"


class FullText(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text that one of ``fields`` must hold."""

    term: str = ""
    fields: tuple[str, ...] = ()


class Asked(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a list is of. It is the cursor too: base64 of its JSON, as Backstage's client looks into it."""

    filter: tuple[str, ...] = ()
    query: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    order_fields: tuple[Order, ...] = ()
    full_text_filter: FullText = FullText()
    place: tuple[str, ...] = ()
    """The values of the row at which the page before ended, its reference last."""
    is_previous: bool = False
    total_items: int | None = None
    """Of the first page; the next do not count again."""


class Page(msgspec.Struct, frozen=True):
    items: list[Told]
    total: int
    next: str = ""
    previous: str = ""


def cursor(asked: Asked) -> str:
    return base64.b64encode(codec.encode(asked)).decode()


def of_cursor(text: str) -> Asked:
    """What a cursor stands for. Raises ``BadInput`` (code ``cursor-malformed``) for one that was not given."""
    try:
        return msgspec.json.decode(base64.b64decode(text, validate=True), type=Asked)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise BadInput(
            f"{text[:40]!r} is no cursor of this list",
            code="cursor-malformed",
            place="cursor",
            hint="give the nextCursor or prevCursor of a page, unchanged",
        ) from None


def condition(asked: Asked) -> list[Condition]:
    """The conditions of ``asked``, all of which must hold. Raises ``BadInput``."""
    found: list[Condition] = []
    of_filters = filters.of_filters(asked.filter)
    if of_filters is not None:
        found.append(of_filters)
    if asked.query is not msgspec.UNSET:
        found.append(filters.of_predicate(asked.query))
    term = asked.full_text_filter.term.strip().lower()
    if term:
        fields = asked.full_text_filter.fields or tuple(o.field for o in asked.order_fields) or ("metadata.uid",)
        holding = sa.select(F.c.ref).where(
            F.c.key.in_([field.lower() for field in fields]), F.c.value.contains(term, autoescape=True)
        )
        found.append(E.c.ref.in_(holding))
    return found


def page(
    connection: sa.Connection,
    asked: Asked,
    *,
    limit: int = LIMIT,
    offset: int = 0,
    fields: Sequence[str] = (),
    count: bool = True,
) -> Page:
    """One page of what ``asked`` says. Raises ``BadInput``."""
    wheres = condition(asked)
    total = asked.total_items
    if total is None:
        total = graph.count(connection, E, wheres) if count else 0
    limit = min(limit, MOST)
    orders = asked.order_fields
    walked = len(orders) == 1 and orders[0].field.lower() in _OF_ALL and (total > _FEW or not count)
    columns: list[sa.ColumnElement[Any]]
    if walked:
        source = E.join(F, sa.and_(F.c.ref == E.c.ref, F.c.key == orders[0].field.lower()))
        columns = [F.c.value]
        last: sa.ColumnElement[Any] = F.c.ref
    else:
        source = E
        columns = [_value(order.field) for order in orders]
        last = E.c.ref
    ways = [order.order == "desc" for order in orders]
    keys = [*zip(columns, ways, strict=True), (last, bool(ways and ways[0]))]
    backwards = asked.is_previous
    named = [column.label(f"order_{number}") for number, column in enumerate(columns)]
    query = sa.select(E, *named).select_from(source).where(*wheres)
    if asked.place:
        if len(asked.place) != len(keys):
            raise BadInput("the cursor is of another order", code="cursor-malformed", place="cursor")
        query = query.where(_behind(keys, asked.place, backwards))
    query = query.order_by(*(c.desc() if down != backwards else c.asc() for c, down in keys))
    rows = list(connection.execute(query.offset(offset).limit(limit + 1)))
    more = len(rows) > limit
    rows = rows[:limit]
    if backwards:
        rows.reverse()

    def at(row: Any, *, previous: bool) -> str:
        place = tuple(getattr(row, f"order_{number}") for number in range(len(columns)))
        return cursor(msgspec.structs.replace(asked, place=(*place, row.ref), is_previous=previous, total_items=total))

    items = [envelope.project(entity, fields) for entity in envelope.tell(connection, rows)]
    if not rows:
        return Page(items, total)
    forth = more or backwards
    back = (more if backwards else bool(asked.place)) or (offset > 0 and not asked.place)
    return Page(
        items,
        total,
        at(rows[-1], previous=False) if forth else "",
        at(rows[0], previous=True) if back else "",
    )


def _value(field: str) -> sa.ColumnElement[Any]:
    """What an entity is ordered by; those that lack it come first, as empty texts do."""
    found = sa.select(sa.func.min(F.c.value)).where(F.c.ref == E.c.ref, F.c.key == field.lower()).scalar_subquery()
    return sa.func.coalesce(found, "")


def _behind(
    keys: Sequence[tuple[sa.ColumnElement[Any], bool]], place: Sequence[str], backwards: bool
) -> sa.ColumnElement[bool]:
    """Rows behind ``place`` in an order of which each key goes its own way."""
    steps: list[sa.ColumnElement[bool]] = []
    for number, (column, down) in enumerate(keys):
        value = place[number]
        equal = [earlier == place[n] for n, (earlier, _) in enumerate(keys[:number])]
        steps.append(sa.and_(*equal, column < value if down != backwards else column > value))
    return sa.or_(*steps)


def facets(connection: sa.Connection, keys: Sequence[str], wheres: Sequence[Condition]) -> dict[str, list[Told]]:
    """How many entities have each value of each of ``keys``, the most frequent first."""
    found: dict[str, list[Told]] = {}
    for key in keys:
        path = key.lower()
        if path.startswith(f"{filters.RELATIONS}."):
            r = tables.relations
            value: sa.ColumnElement[Any] = r.c.target
            kind = path.removeprefix(f"{filters.RELATIONS}.")
            holding = [sa.func.lower(r.c.kind) == kind, r.c.valid_to.is_(None)]
            source, ref = r, r.c.source
        else:
            value = sa.func.coalesce(F.c.written, F.c.value)
            holding = [F.c.key == path, F.c.value != ""]
            source, ref = F, F.c.ref
        of = sa.select(E.c.ref).where(*wheres) if wheres else sa.select(E.c.ref)
        query = (
            sa.select(value, sa.func.count())
            .select_from(source)
            .where(*holding, ref.in_(of))
            .group_by(value)
            .order_by(sa.func.count().desc(), value)
        )
        found[key] = [{"value": each, "count": count} for each, count in connection.execute(query)]
    return found
