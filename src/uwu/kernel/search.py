"""Search over everything that has a name: resources, entities, findings. ``search_index`` keeps what it reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from uwu.kernel import codec, search_index, tables

SHORTEST = 3
"""Characters from which any part of a word is found; of fewer only how a name begins."""
_CANDIDATES = 200
"""Rows of one kind and one way of matching that are ranked: what many things hold is not worth more."""
_SEPARATORS = re.compile(r"[:/]+")
_ORDER = {"entity": 0, "resource": 1, "finding": 2}


class Hit(msgspec.Struct, frozen=True):
    """One thing found. ``kind`` is ``resource``, ``entity`` or ``finding``; ``key`` is its urn, reference or id."""

    kind: str
    key: str
    title: str
    detail: str
    owner: str
    rank: int
    """0 where the name is the text, 1 where it begins with it, 2 where it holds it, 3 where only the rest does."""


class _Kind(msgspec.Struct, frozen=True):
    """Where a kind of thing is looked up, and what is shown of it."""

    kind: str
    index: sa.TableClause
    matched: str
    """The table of the index over any part of a word, on SQLite."""
    join: sa.FromClause
    key: sa.ColumnElement[str]
    shown: tuple[sa.ColumnElement[Any], ...]
    """Title, detail, owner."""
    where: sa.ColumnElement[bool] | None = None


def _kinds() -> tuple[_Kind, ...]:
    r, e, f = tables.resources, tables.entities, tables.findings
    names = [one.index for one in search_index.INDEXED]
    entities, resources, findings = (
        sa.table(name, *(sa.column(c, sa.Text()) for c in ("key", "name", "words")), sa.column("id")) for name in names
    )
    title = sa.func.coalesce(e.c.metadata["title"].as_string(), e.c.name)
    owner = sa.func.coalesce(e.c.spec["owner"].as_string(), "")
    return (
        _Kind("entity", entities, f"{names[0]}_text", e, e.c.ref, (title, e.c.kind, owner)),
        _Kind("resource", resources, f"{names[1]}_text", r, r.c.urn, (r.c.name, r.c.type, r.c.owner)),
        _Kind(
            "finding",
            findings,
            f"{names[2]}_text",
            f,
            f.c.id,
            (f.c.title, f.c.severity, f.c.owner),
            search_index.UNRESOLVED,
        ),
    )


_KINDS = _kinds()


def search(connection: sa.Connection, text: str, *, limit: int = 20) -> list[Hit]:
    """The best hits first: names before keys and tags, whole before beginning before part, short before long.

    At most three queries, and no more ranked rows than a person would read on.
    """
    given = text.strip().replace("\0", "")
    text = given.lower()
    if not text:
        return []
    found: dict[tuple[str, str], Hit] = {}
    for matching in _ways(connection.dialect.name, given):
        parts = [_select(kind, matching(kind), max(limit, _CANDIDATES)) for kind in _KINDS]
        for row in connection.execute(sa.union_all(*(sa.select(part.subquery()) for part in parts))):
            kind, key, title, detail, owner, name, words = row
            rank = 0 if key == given else _rank(text, name, f"{key.lower()} {words}")
            hit = Hit(kind, key, title, detail, owner, rank)
            if hit.rank < _NOTHING:
                found.setdefault((kind, key), hit)
        if len(found) >= limit or any(hit.key == given for hit in found.values()):
            break
    ranked = sorted(found.values(), key=lambda hit: (hit.rank, _ORDER[hit.kind], len(hit.title), hit.key))
    return ranked[:limit]


def _select(kind: _Kind, where: sa.ColumnElement[bool], limit: int) -> sa.Select[Any]:
    index = kind.index
    query = (
        sa.select(
            sa.literal(kind.kind).label("kind"),
            kind.key.label("key"),
            *(column.label(name) for name, column in zip(("title", "detail", "owner"), kind.shown, strict=True)),
            index.c.name.label("name"),
            index.c.words.label("words"),
        )
        .select_from(index.join(kind.join, kind.key == index.c.key))
        .where(where)
    )
    if kind.where is not None:
        query = query.where(kind.where)
    return query.limit(limit)


# ---- lists that hold a text

MANY = 2000
"""So many rows that hold a text are told by key. Of what more rows hold, only ``COUNTED`` are counted."""
COUNTED = 1000


def holding(connection: sa.Connection, kind: str, text: str) -> tuple[sa.ColumnElement[bool], bool]:
    """The condition that a row of ``kind`` holds ``text`` in its name, key or other words, and whether many do.

    Few are named by their keys; many are looked at as they come, which ends soon with a limit.
    """
    one = next(each for each in _KINDS if each.kind == kind)
    text = text.lower().replace("\0", "")
    words: list[sa.ColumnElement[str]] = [one.index.c.name]
    if len(text) >= SHORTEST:
        words.append(one.index.c.words)
        if _SEPARATORS.search(text):
            words.append(sa.func.lower(one.index.c.key))
    held = sa.or_(*(word.contains(text, autoescape=True) for word in words))
    phrase = _phrase(text)
    narrowed = held
    if phrase and connection.dialect.name == "sqlite":
        narrowed = _matches(one, phrase) if len(words) < 3 else sa.and_(_matches(one, phrase), held)
    keys = list(connection.scalars(sa.select(one.index.c.key).where(narrowed).limit(MANY + 1)))
    if len(keys) <= MANY:
        return one.key.in_(_values(connection.dialect.name, keys)), False
    return sa.exists().where(one.index.c.key == one.key, held).correlate(one.join), True


def _values(dialect: str, values: Sequence[str]) -> sa.Select[Any]:
    """``values`` as a query of one column: one parameter, however many they are."""
    text = sa.literal(codec.encode(values).decode())
    if dialect == "postgresql":
        each = sa.func.jsonb_array_elements_text(sa.cast(text, postgresql.JSONB)).table_valued("value")
    else:
        each = sa.func.json_each(text).table_valued("value")
    return sa.select(each.c.value)


_NOTHING = 4


def _rank(text: str, name: str, rest: str) -> int:
    if name == text:
        return 0
    if name.startswith(text):
        return 1
    return 2 if text in name else 3 if text in rest else _NOTHING


Matching = Callable[[_Kind], sa.ColumnElement[bool]]


def _ways(dialect: str, given: str) -> list[Matching]:
    """How rows match, the best first: the key or how a name begins, then part of a name, then part of anything."""
    text = given.lower()
    ways: list[Matching] = [lambda kind: sa.or_(begins(kind.index.c.name, text), kind.index.c.key == given)]
    if len(text) < SHORTEST:
        return ways
    if dialect == "postgresql":
        return [*ways, lambda kind: _word(kind, text), lambda kind: _anywhere(kind, text)]
    phrase = _phrase(text)
    if phrase:
        ways += [partial(_matches, phrase=f"name : ({phrase})"), partial(_matches, phrase=phrase)]
    return ways


def begins(column: sa.ColumnElement[str], text: str) -> sa.ColumnElement[bool]:
    """``column``, which is compared by bytes, begins with ``text``: a range of its index."""
    end = text[:-1] + chr(min(ord(text[-1]) + 1, 0x10FFFF))
    return sa.and_(column >= text, column < end)


def _phrase(text: str) -> str:
    """FTS5's own query: every part of ``text`` between the separators of a key, quoted. Empty where all are short."""
    parts = [part for part in _SEPARATORS.split(text) if len(part) >= SHORTEST]
    return " AND ".join('"{}"'.format(part.replace('"', '""')) for part in parts)


def _matches(kind: _Kind, phrase: str) -> sa.ColumnElement[bool]:
    matched = sa.table(kind.matched, sa.column("rowid"))  # joined, not IN: the limit then ends it early
    return sa.and_(kind.index.c.id == matched.c.rowid, sa.literal_column(kind.matched).op("match")(phrase))


def _word(kind: _Kind, text: str) -> sa.ColumnElement[bool]:
    """A word begins with each word of ``text`` (PostgreSQL)."""
    words = [word for word in re.split(r"\W+|_", text) if word]
    if not words:
        return sa.false()
    asked = " & ".join(f"{word}:*" for word in words)
    return sa.literal_column(f"{kind.index.name}.vector").op("@@")(sa.func.to_tsquery("simple", asked))


def _anywhere(kind: _Kind, text: str) -> sa.ColumnElement[bool]:
    """PostgreSQL: by the trigram index where there is one."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    longest = max(_SEPARATORS.split(escaped), key=len)
    whole = sa.literal_column(f"({kind.index.name}.name || ' ' || {kind.index.name}.words)", sa.Text())
    return whole.like(f"%{longest}%", escape="\\")
