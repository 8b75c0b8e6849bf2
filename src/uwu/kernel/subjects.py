"""From what a person types to the subject that is meant: an ARN, an id, a name, an entity, a state address."""

from __future__ import annotations

import re

import sqlalchemy as sa

from uwu.kernel import search, search_index, tables, urns
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.graph import like


def resolve(connection: sa.Connection, text: str) -> str:
    """The urn or entity reference that ``text`` names.

    Raises ``BadInput`` (code ``subject-ambiguous``) where it names several, ``NotFound`` where none.
    """
    text = text.strip().replace("\0", "")  # which PostgreSQL takes in no text
    r, v, d, e, f = tables.resources, tables.versions, tables.declarations, tables.entities, tables.findings
    urn = urns.canonical(text)
    for query in (
        sa.select(r.c.urn).where(r.c.urn == urn),
        sa.select(e.c.ref).where(e.c.ref == text.lower()),
        sa.select(f.c.subject).where(f.c.id == text),
        sa.select(d.c.urn).where(d.c.urn == urn),
        sa.select(v.c.urn).where(v.c.urn == urn),
        sa.select(f.c.subject).where(f.c.subject == text),
    ):
        exact = connection.scalars(query.limit(1)).first()
        if exact is not None:
            return exact
    lower = text.lower()
    last = re.split("[:/]", lower)[-1]
    dialect = connection.dialect.name

    def ends(urn: sa.ColumnElement[str], name: str) -> sa.ColumnElement[bool]:
        """The urn ends in the text: found by its last part, which is indexed."""
        whole = sa.func.lower(urn)
        suffixed = sa.or_(*(whole.like(f"%{sep}{like(lower)[1:-1]}", escape="\\") for sep in (":", "/")))
        return sa.and_(search_index.tail(dialect, name) == last, suffixed) if last else sa.false()

    def named(name: str) -> sa.Select[str]:
        held = sa.table("search_resources", sa.column("key", sa.Text()), sa.column("name", sa.Text()))
        return sa.select(r.c.urn).select_from(held.join(r, r.c.urn == held.c.key)).where(held.c.name == name)

    for query in (
        sa.union(
            named(lower),
            named(last).where(ends(r.c.urn, "resources.urn")),
            sa.select(r.c.urn).where(ends(r.c.urn, "resources.urn"), search_index.unlike_name(dialect)),
        ),
        sa.select(e.c.ref).where(sa.func.lower(e.c.name) == lower),
        sa.union(
            sa.select(d.c.urn).where(d.c.urn != "", d.c.address == text),
            sa.select(d.c.urn).where(d.c.urn != "", d.c.id == text),
        ),
        sa.select(d.c.urn).where(ends(d.c.urn, "declarations.urn")),
    ):
        some = sorted(set(connection.scalars(query.limit(50))))
        if len(some) == 1:
            return some[0]
        if some:
            shown = "\n  ".join(some[:8])
            more = f"\n  and {len(some) - 8} more" if len(some) > 8 else ""
            raise BadInput(
                f"{text!r} names {len(some)} things", code="subject-ambiguous", hint=f"say which one:\n  {shown}{more}"
            )
    near = [hit.key for hit in search.search(connection, text, limit=3)]
    raise NotFound(
        f"nothing here is called {text!r}",
        code="subject-unknown",
        hint=f"did you mean {' or '.join(near)}?" if near else "give an ARN, an id, a name or kind:namespace/name",
    )
