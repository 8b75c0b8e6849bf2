"""Two times compared: what was added, changed and removed between them.

Of all versions only those are looked at that began or ended between the times. A resource that changed and changed back
is the same, and so is one that was there only in between.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal, NamedTuple, cast

import msgspec
import sqlalchemy as sa

from uwu.kernel import paging, tables
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Change

How = Literal["added", "changed", "removed"]
_AT_ONCE = 50_000
"""So many versions of either time are read, joined and put in order here."""
_IN = 500
VALUES = 40
"""Attributes told of one resource."""


class AttributeChange(msgspec.Struct, frozen=True):
    """One value that differs: a path such as ``State.Name``, ``tags.team`` or ``name``."""

    path: str
    before: Any
    after: Any


class ResourceChange(msgspec.Struct, frozen=True):
    """A resource that is not the same at both times."""

    urn: str
    how: How
    type: str
    account: str
    region: str
    name: str
    owner: str
    """Today's."""
    at: datetime
    """When it was seen to be as at the later time."""
    before: int | None
    """Its version at the earlier time; None where it was not there."""
    after: int | None
    attributes: list[AttributeChange]
    """What differs, the first forty paths; empty for what was added or removed."""
    more: int = 0
    """How many more differ."""
    changes: list[Change] = []
    """Who did it, as far as events tell: those between the versions, newest first."""


class Diff(msgspec.Struct, frozen=True):
    """One page of what differs, by urn; ``after`` is where the next begins, empty on the last."""

    begin: datetime
    end: datetime
    added: int
    changed: int
    removed: int
    items: list[ResourceChange]
    after: str

    @property
    def total(self) -> int:
        return self.added + self.changed + self.removed


def between(
    connection: sa.Connection,
    begin: datetime,
    end: datetime,
    *,
    type: str = "",
    account: str = "",
    owner: str | None = None,
    how: How | Literal[""] = "",
    limit: int = 50,
    after: str = "",
) -> Diff:
    """What differs between ``begin`` and ``end``, without who did it. ``owner=""`` asks for the unowned, None for all.

    The counts are of all of it. Raises ``BadInput``: code ``time-order`` where ``end`` is not later than ``begin``.
    """
    if end <= begin:
        raise BadInput(
            "the later time is not later", code="time-order", place="to", hint="from is the earlier time, to the later"
        )
    behind = paging.place(after, str)
    last = behind[0] if behind is not None else ""
    counts: Mapping[str, int]
    rows: Sequence[_Row]
    some = _some(connection, begin, end, type, account, owner)
    if some is not None:
        counts = Counter(row.how for row in some)
        rows = [row for row in some if row.urn > last and how in ("", row.how)]
        rows = heapq.nsmallest(limit + 1, rows, key=attrgetter("urn"))
    else:
        both = _both(begin, end, type, account, owner)
        counted = connection.execute(sa.select(both.c.how, sa.func.count()).group_by(both.c.how))
        counts = {row[0]: row[1] for row in counted}
        # in the order in which Python has them, whatever the database's own
        urn = sa.collate(both.c.urn, "C") if connection.dialect.name == "postgresql" else both.c.urn
        query = sa.select(both.c.urn, both.c.how, both.c.before, both.c.after)
        query = query.where(urn > last, both.c.how == how if how else sa.true())
        rows = [_Row(*row) for row in connection.execute(query.order_by(urn).limit(limit + 1))]
    items = _items(connection, rows[:limit])
    return Diff(
        begin,
        end,
        counts.get("added", 0),
        counts.get("changed", 0),
        counts.get("removed", 0),
        items,
        paging.cursor(items[-1].urn) if len(rows) > limit else "",
    )


class Tally(msgspec.Struct, frozen=True):
    """How many resources of some kind differ."""

    how: How
    type: str
    account: str
    owner: str
    count: int


def tally(connection: sa.Connection, begin: datetime, end: datetime) -> list[Tally]:
    """What differs between ``begin`` and ``end``, counted by everything that it can be narrowed by."""
    o, both = tables.ownership, _both(begin, end, "", "", None)
    by = (both.c.how, both.c.type, both.c.account, sa.func.coalesce(o.c.owner, ""))
    query = sa.select(*by, sa.func.count()).select_from(both.outerjoin(o, o.c.subject == both.c.urn))
    return [Tally(*row) for row in connection.execute(query.group_by(*by))]


class _Row(NamedTuple):
    """A resource that differs, with the number of its version on either side."""

    urn: str
    how: How
    before: int | None
    after: int | None


def _sides(
    begin: datetime, end: datetime, type: str, account: str, owner: str | None
) -> tuple[sa.Select[*tuple[Any, ...]], sa.Select[*tuple[Any, ...]]]:
    """The versions that held at ``begin`` and ended by ``end``, and those that began since and held at ``end``."""
    p, r = tables.past_versions, tables.resources

    def held(of: sa.Table, within: sa.FromClause, *wheres: sa.ColumnElement[bool]) -> sa.Select[*tuple[Any, ...]]:
        query = sa.select(of.c.urn, of.c.version, of.c.hash, of.c.type, of.c.account)
        query = query.select_from(within).where(*wheres)
        query = query.where(
            *(column == value for column, value in ((of.c.type, type), (of.c.account, account)) if value)
        )
        if owner is None:
            return query
        o = tables.ownership
        return query.where(
            sa.func.coalesce(sa.select(o.c.owner).where(o.c.subject == of.c.urn).scalar_subquery(), "") == owner
        )

    ended = (p.c.valid_to > begin, p.c.valid_to <= end)
    before = p.join(r, sa.and_(r.c.urn == p.c.urn, r.c.version == p.c.version + 1))
    old = held(p, p, *ended, p.c.valid_from <= begin)
    new = sa.union_all(
        held(r, r, r.c.first_seen > begin, r.c.first_seen <= end, r.c.changed_at <= end),
        held(r, before, *ended, r.c.first_seen <= begin),
        held(p, p, p.c.valid_from > begin, p.c.valid_from <= end, p.c.valid_to > end),
    ).subquery("begun")
    return old, sa.select(new)


def _some(
    connection: sa.Connection, begin: datetime, end: datetime, type: str, account: str, owner: str | None
) -> list[_Row] | None:
    """All that differs, from what ended in between without the resources; None where it is too much to hold here."""
    p, r, o = tables.past_versions, tables.resources, tables.ownership

    def asked(of: sa.Table, *wheres: sa.ColumnElement[bool]) -> list[_Held]:
        query = sa.select(of.c.urn, of.c.version, of.c.hash, of.c.type, of.c.account).where(*wheres)
        if of is p:
            query = query.add_columns(of.c.valid_from <= begin, of.c.ended)
        if owner is not None:
            held = sa.select(o.c.owner).where(o.c.subject == of.c.urn).scalar_subquery()
            query = query.where(sa.func.coalesce(held, "") == owner)
        # the driver's own rows: SQLAlchemy's cost as much again
        cursor: Any = connection.execute(query.limit(_AT_ONCE + 1)).cursor
        return cursor.fetchall()

    def meant(rows: Iterable[_Held]) -> Iterable[_Held]:
        if not type and not account:
            return rows
        return (row for row in rows if type in ("", row[_TYPE]) and account in ("", row[_ACCOUNT]))

    ended = asked(p, p.c.valid_to > begin, p.c.valid_to <= end)
    came = asked(r, r.c.first_seen > begin, r.c.first_seen <= end, r.c.changed_at <= end)
    came_and_ended = asked(p, p.c.valid_from > begin, p.c.valid_from <= end, p.c.valid_to > end, p.c.first_seen > begin)
    if max(map(len, (ended, came, came_and_ended))) > _AT_ONCE:
        return None
    before = {row[_URN]: row for row in meant(ended) if row[_BEGAN]}
    after: dict[str, _Held] = {row[_URN]: row for row in meant((*came, *came_and_ended))}
    changed: list[_Row] = []
    asked_of: dict[str, int] = {}
    for urn, row in _last(ended).items():
        if row[_ENDED] == "gone" or urn in after:
            continue
        if row[_ENDED] == "changed" and row[_BEGAN]:  # what followed has the same place, and is otherwise not the same
            if before.pop(urn, None) is not None:
                changed.append(_Row(urn, "changed", row[_VERSION], row[_VERSION] + 1))
        else:
            asked_of[urn] = row[_VERSION] + 1
    after.update((row[_URN], row) for row in meant(_versions(connection, asked_of)))
    for urn, row in after.items():
        was = before.pop(urn, None)
        if was is None:
            changed.append(_Row(urn, "added", None, row[_VERSION]))
        elif was[_HASH] != row[_HASH]:
            changed.append(_Row(urn, "changed", was[_VERSION], row[_VERSION]))
    return changed + [_Row(urn, "removed", row[_VERSION], None) for urn, row in before.items()]


_Held = Sequence[Any]
"""A version: its urn, number, hash, type and account; one that ended also whether it held at the earlier time, and how
it ended."""
_URN, _VERSION, _HASH, _TYPE, _ACCOUNT, _BEGAN, _ENDED = range(7)


def _last(rows: Iterable[_Held]) -> dict[str, _Held]:
    """The last version of each resource among ``rows``."""
    found: dict[str, _Held] = {}
    for row in rows:
        held = found.get(row[_URN])
        if held is None or held[_VERSION] < row[_VERSION]:
            found[row[_URN]] = row
    return found


def _versions(connection: sa.Connection, numbers: Mapping[str, int]) -> Iterator[_Held]:
    """Of each resource the version of that number."""
    v, urns = tables.versions, sorted(numbers)
    for i in range(0, len(urns), _IN):
        query = sa.select(v.c.urn, v.c.version, v.c.hash, v.c.type, v.c.account).where(v.c.urn.in_(urns[i : i + _IN]))
        for row in connection.execute(query):
            if row.version == numbers[row.urn]:
                yield row


def _both(begin: datetime, end: datetime, type: str, account: str, owner: str | None) -> sa.Subquery:
    """As ``_some``, by the database: little of each, for it is sorted whole."""
    sides = _sides(begin, end, type, account, owner)
    old, new = sides[0].cte("old"), sides[1].cte("new")
    come = sa.select(
        new.c.urn,
        sa.case((old.c.urn.is_(None), "added"), else_="changed").label("how"),
        old.c.version.label("before"),
        new.c.version.label("after"),
        new.c.type,
        new.c.account,
    ).select_from(new.outerjoin(old, old.c.urn == new.c.urn))
    come = come.where(sa.or_(old.c.urn.is_(None), old.c.hash != new.c.hash))
    gone = sa.select(
        old.c.urn,
        sa.literal("removed").label("how"),
        old.c.version.label("before"),
        sa.cast(sa.null(), sa.Integer).label("after"),
        old.c.type,
        old.c.account,
    ).where(old.c.urn.not_in(sa.select(new.c.urn)))
    return sa.union_all(come, gone).subquery("found")


def _items(connection: sa.Connection, rows: Sequence[_Row]) -> list[ResourceChange]:
    v, o = tables.versions, tables.ownership
    urns = [row.urn for row in rows]
    numbers = {number for row in rows for number in (row.before, row.after) if number is not None}
    facts = sa.select(v, sa.func.coalesce(o.c.owner, "").label("owner"))
    facts = facts.select_from(v.outerjoin(o, o.c.subject == v.c.urn))
    found = connection.execute(facts.where(v.c.urn.in_(urns), v.c.version.in_(numbers)))
    held: dict[tuple[str, int | None], Any] = {(row.urn, row.version): row for row in found}
    return [_item(row.how, held.get((row.urn, row.before)), held.get((row.urn, row.after))) for row in rows]


def _item(how: How, old: Any, new: Any) -> ResourceChange:
    shown = new if new is not None else old
    found = list(differing(_facts(old), _facts(new))) if how == "changed" else []
    return ResourceChange(
        urn=shown.urn,
        how=how,
        type=shown.type,
        account=shown.account,
        region=shown.region,
        name=shown.name,
        owner=shown.owner,
        at=new.valid_from if new is not None else old.valid_to,
        before=old.version if old is not None else None,
        after=new.version if new is not None else None,
        attributes=found[:VALUES],
        more=max(len(found) - VALUES, 0),
    )


def _facts(row: Any) -> dict[str, Any]:
    return {**row.attributes, "tags": row.tags, "name": row.name, "managed_by": row.managed_by}


def differing(before: Any, after: Any, path: str = "") -> Iterator[AttributeChange]:
    """The values that differ, by path: within objects each member, a list as a whole."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        old, new = cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", after)
        for key in sorted({*old, *new}):
            yield from differing(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield AttributeChange(path, before, after)
