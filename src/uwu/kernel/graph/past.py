"""The graph as it was at a time: what is there now, less what changed since.

Almost everything is as it was, so the resources of a time are the current ones that have not changed since and, of
those that have, the versions that held then. That costs what changed since, not all that there is. Owners are today's:
who owned what is not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from uwu.kernel import paging, search, tables
from uwu.kernel.graph.read import SORTED_AT_MOST, Observed, Page, count, like

By = Literal["type", "account", "region", "owner"]
_V, _P, _O, _R = tables.versions, tables.past_versions, tables.ownership, tables.resources
_COLUMNS = ("urn", "type", "account", "region", "name", "tags", "managed_by", "cell", "version")


def find(
    connection: sa.Connection,
    at: datetime,
    *,
    type: str = "",
    account: str = "",
    region: str = "",
    owner: str | None = None,
    text: str = "",
    limit: int = 50,
    after: str = "",
) -> Page:
    """The resources that were there at ``at``, without attributes, by name then urn; see ``graph.find``.

    ``status`` is empty and ``observed_at`` None: the coverage of a past time is not kept.
    """
    behind = paging.place(after, str, str)
    filters = _filters(type, account, region, owner)
    now: list[sa.ColumnElement[bool]] = [_R.c[name] == value for name, value in filters.items()]
    then: list[sa.ColumnElement[bool]] = [_then(name) == value for name, value in filters.items()]
    most: int | None = None
    if text:
        holding, many = search.holding(connection, "resource", text)
        most = search.COUNTED if many else None
        now.append(holding)
        then.append(_holds(text))
        total = count(connection, _R, [*now, _R.c.changed_at <= at], most=most) + _ended(connection, at, then)
    else:
        total = _count(connection, at, filters)
        if total > SORTED_AT_MOST:  # see ``graph.find``
            now = [sa.func.coalesce(_R.c[name], "") == value for name, value in filters.items()]
    if behind is not None:
        now.append(sa.tuple_(_R.c.name, _R.c.urn) > sa.tuple_(*behind))
        then.append(sa.tuple_(_P.c.name, _P.c.urn) > sa.tuple_(*behind))
    still = sa.select(
        *(_R.c[name] for name in _COLUMNS), _R.c.changed_at.label("changed_at"), _R.c.owner.label("owner")
    )
    still = still.where(*now, _R.c.changed_at <= at).order_by(_R.c.name, _R.c.urn)
    over = sa.select(
        *(_P.c[name] for name in _COLUMNS), _P.c.valid_from.label("changed_at"), _then("owner").label("owner")
    )
    over = over.select_from(_owned()).where(*then, *_over(at)).order_by(_P.c.name, _P.c.urn)
    # each ends by itself: of both together everything would be sorted
    halves = (sa.select(half.limit(limit + 1).subquery()) for half in (still, over))
    both = sa.union_all(*halves)
    order = (both.selected_columns["name"], both.selected_columns["urn"])
    rows = connection.execute(both.order_by(*order).limit(limit + 1)).all()
    first = _first_seen(connection, [row.urn for row in rows[:limit]])
    items = [_observed(row, first) for row in rows[:limit]]
    end = paging.cursor(items[-1].name, items[-1].urn) if len(rows) > limit else ""
    return Page(items, total, end, counted=most is None or total < most)


def resource(connection: sa.Connection, urn: str, at: datetime) -> Observed | None:
    """The resource as it was at ``at``, attributes included; None where it was not there."""
    query = sa.select(
        *(_V.c[name] for name in _COLUMNS), _V.c.attributes, _V.c.valid_from, sa.func.coalesce(_O.c.owner, "")
    ).select_from(_V.outerjoin(_O, _O.c.subject == _V.c.urn))
    ends = sa.or_(_V.c.valid_to.is_(None), _V.c.valid_to > at)
    row = connection.execute(query.where(_V.c.urn == urn, _V.c.valid_from <= at, ends)).first()
    if row is None:
        return None
    found = _observed(row, _first_seen(connection, [urn]))
    return msgspec.structs.replace(found, attributes=row.attributes)


def _observed(row: Any, first: Mapping[str, datetime]) -> Observed:
    *_, changed_at, owner = row
    return Observed(
        urn=row.urn,
        type=row.type,
        account=row.account,
        region=row.region,
        name=row.name,
        tags=row.tags,
        managed_by=row.managed_by,
        cell=row.cell,
        version=row.version,
        first_seen=first.get(row.urn, changed_at),
        changed_at=changed_at,
        observed_at=None,
        status="",
        owner=owner,
    )


def count_at(
    connection: sa.Connection,
    at: datetime,
    *,
    type: str = "",
    account: str = "",
    region: str = "",
    owner: str | None = None,
) -> int:
    """How many resources there were at ``at``. ``owner=""`` asks for the unowned, None for all."""
    return _count(connection, at, _filters(type, account, region, owner))


def census(
    connection: sa.Connection,
    at: datetime,
    by: By,
    *,
    type: str = "",
    account: str = "",
    region: str = "",
    owner: str | None = None,
) -> dict[str, int]:
    """How many resources there were at ``at`` by a value, the most first."""
    filters = _filters(type, account, region, owner)
    counted: Counter[str] = Counter()
    for sign, query, value in _counts(at, filters, by):
        for number, named in connection.execute(query.add_columns(value).group_by(value)):
            counted[named] += sign * number
    return {value: number for value, number in counted.most_common() if number}


def _filters(type: str, account: str, region: str, owner: str | None) -> dict[str, str]:
    given = {name: value for name, value in (("type", type), ("account", account), ("region", region)) if value}
    return {**given, "owner": owner} if owner is not None else given


def _then(name: str) -> sa.ColumnElement[Any]:
    return sa.func.coalesce(_O.c.owner, "") if name == "owner" else _P.c[name]


def _owned() -> sa.FromClause:
    return _P.outerjoin(_O, _O.c.subject == _P.c.urn)


def _over(at: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """The versions that held then and ended since."""
    return _P.c.valid_from <= at, _P.c.valid_to > at


def _count(connection: sa.Connection, at: datetime, filters: Mapping[str, str]) -> int:
    return sum(sign * connection.execute(query).scalar_one() for sign, query, _ in _counts(at, filters))


def _counts(
    at: datetime, filters: Mapping[str, str], by: str = "type"
) -> Iterator[tuple[int, sa.Select[int], sa.ColumnElement[str]]]:
    """Counts whose sum, each with its sign, is how many there were at ``at``; and ``by`` of what each counts.

    Those that are there, less those that came since, and those that went since. What changed since counts as it is
    unless its place changed: then it counts as it was before, and what followed does not.
    """
    next = _P.alias("next")
    was_here = (_P.c.valid_to > at, _P.c.first_seen <= at)
    # in the words of its index
    otherwise: sa.ColumnElement[bool] = sa.literal_column("past_versions.ended <> 'changed'", sa.Boolean())
    moved = (otherwise, _P.c.ended == "moved", *was_here)
    parts: tuple[tuple[int, sa.FromClause, sa.FromClause, tuple[sa.ColumnElement[bool], ...]], ...] = (
        (1, _R, _R, ()),
        (-1, _R, _R, (_R.c.first_seen > at,)),
        (1, _P, _P, (otherwise, *was_here)),
        (-1, _R, _P.join(_R, _follows(_R)), moved),
        (-1, next, _P.join(next, _follows(next)), moved),
    )
    for sign, of, within, wheres in parts:
        if of is not _R and ("owner" in filters or by == "owner"):
            within = within.outerjoin(_O, _O.c.subject == of.c.urn)
        values: dict[str, sa.ColumnElement[str]] = {name: of.c[name] for name in ("type", "account", "region")}
        values["owner"] = _R.c.owner if of is _R else sa.func.coalesce(_O.c.owner, "")
        query = sa.select(sa.func.count()).select_from(within).where(*wheres)
        # of some, an expression: SQLite would rather read all of them in the order of an index of the value
        value = sa.func.coalesce(values[by], "") if wheres else values[by]
        yield sign, query.where(*(values[name] == asked for name, asked in filters.items())), value


def _follows(of: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(of.c.urn == _P.c.urn, of.c.version == _P.c.version + 1)


def _ended(connection: sa.Connection, at: datetime, then: Sequence[sa.ColumnElement[bool]]) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(_owned()).where(*then, *_over(at))).scalar_one()


def _holds(text: str) -> sa.ColumnElement[bool]:
    pattern = like(text.replace("\0", ""))
    words = (_P.c.name, _P.c.urn, sa.cast(_P.c.tags, sa.Text))
    return sa.or_(*(sa.func.lower(word).like(pattern, escape="\\") for word in words))


def _first_seen(connection: sa.Connection, urns: Sequence[str]) -> dict[str, datetime]:
    query = sa.select(_V.c.urn, sa.func.min(_V.c.valid_from)).where(_V.c.urn.in_(urns)).group_by(_V.c.urn)
    return {row[0]: row[1] for row in connection.execute(query)}
