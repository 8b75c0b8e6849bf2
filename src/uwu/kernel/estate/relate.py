"""The relations of declared entities: what their references say, wherever both ends are declared.

Whatever may have moved relations (an entity came, went or refers to something else) is noted in the transaction of
that change; ``draw`` then makes the relations of what is noted, some entities at a time.
"""

# the names in its SQL are its own: nothing comes from outside
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from uwu.kernel import bulk, codec, tables
from uwu.kernel.db import Database, Time
from uwu.kernel.estate.reading import Declared

_R, _P = tables.estate_references, tables.estate_pending

_REFER = bulk.insert(
    _R,
    {
        "source": "text",
        "kind": "text",
        "target": "text",
        "back": "text",
        "place": "text",
        "origin": "text",
        "resolved": "bool",
    },
)
_NOTE = bulk.upsert(_P, {"ref": "text"})
AT_ONCE = 4_000
"""Entities whose relations are drawn in one transaction."""
_IN = 500


def refer(connection: sa.Connection, declared: Sequence[Declared]) -> None:
    """Makes the references of ``declared`` those that they make now, and notes them."""
    refs = [each.entity.ref for each in declared]
    for some in _chunks(refs, _IN):
        connection.execute(_R.delete().where(_R.c.source.in_(some)))
    rows = {
        (each.entity.ref, to.kind, to.target): (to.back, to.place, each.entity.origin, False)
        for each in declared
        for to in each.references
    }
    _REFER.run(connection, [(*key, *rows[key]) for key in sorted(rows)])
    note(connection, refs)


def forget(connection: sa.Connection, refs: Sequence[str]) -> None:
    """Removes the references of entities that are no longer declared, and notes them."""
    for some in _chunks(refs, _IN):
        connection.execute(_R.delete().where(_R.c.source.in_(some)))
    note(connection, refs)


def note(connection: sa.Connection, refs: Iterable[str]) -> None:
    """The relations of ``refs`` are to be drawn anew."""
    _NOTE.run(connection, [(ref,) for ref in sorted(refs)])


def draw(db: Database) -> None:
    """Draws the relations of everything that is noted. A kill costs nothing: what was not drawn is still noted."""
    while True:
        with db.write() as connection:
            last = connection.scalar(sa.select(_P.c.ref).order_by(_P.c.ref).offset(AT_ONCE - 1).limit(1))
            last = last if last is not None else connection.scalar(sa.select(sa.func.max(_P.c.ref)))
            if last is None:
                return
            at = codec.now()
            for statement in _DRAW:
                connection.execute(statement, {"last": last, "at": at})
            connection.execute(_P.delete().where(_P.c.ref <= last))


_NOTED = "(select ref from estate_pending where ref <= :last)"
_DECLARED = "exists (select 1 from entities where entities.ref = {} and not entities.orphan)"
_ENDS = (("source", "kind", "target"), ("target", "back", "source"))
"""A reference's columns as those of a relation: from the entity to what it names, and back."""


def _statements() -> Iterator[str]:
    """Which targets are declared; which relations begin; which end. Each for what is noted as either end."""
    there = _DECLARED.format("estate_references.target")
    for end in ("source", "target"):
        yield (f"update estate_references set resolved = {there} where {end} in {_NOTED} and resolved <> {there}")
    for end in ("source", "target"):
        for source, kind, target in _ENDS:
            yield (
                "insert into relations (source, kind, target, valid_from, cell, evidence) "
                f"select r.{source}, r.{kind}, r.{target}, :at, min('estate/' || r.origin), min(r.place) "
                f"from estate_references r where r.{end} in {_NOTED} and r.resolved "
                f"and {_DECLARED.format('r.source')} and not exists (select 1 from relations t where "
                f"t.source = r.{source} and t.kind = r.{kind} and t.target = r.{target} and t.valid_to is null) "
                f"group by r.{source}, r.{kind}, r.{target} on conflict do nothing"
            )
    holds = " or ".join(
        f"exists (select 1 from estate_references r where r.resolved and r.{source} = relations.source "
        f"and r.{kind} = relations.kind and r.{target} = relations.target and {_DECLARED.format('r.source')})"
        for source, kind, target in _ENDS
    )
    for end in ("source", "target"):
        yield (
            f"update relations set valid_to = :at where {end} in {_NOTED} and valid_to is null "
            f"and cell like 'estate/%' and not ({holds})"
        )


def _prepared(statement: str) -> sa.TextClause:
    at = [sa.bindparam("at", type_=Time())] if ":at" in statement else []
    return sa.text(statement).bindparams(*at)


_DRAW = tuple(map(_prepared, _statements()))


def _chunks(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (values[start : start + size] for start in range(0, len(values), size))
