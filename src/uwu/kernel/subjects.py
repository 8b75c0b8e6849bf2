"""From what a person types to the subject that is meant: an ARN, an id, a name, an entity, a state address."""

from __future__ import annotations

import sqlalchemy as sa

from uwu.kernel import search, tables, urns
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.graph import like


def resolve(connection: sa.Connection, text: str) -> str:
    """The urn or entity reference that ``text`` names.

    Raises ``BadInput`` (code ``subject-ambiguous``) where it names several, ``NotFound`` where none.
    """
    text = text.strip()
    r, v, d, e, f = tables.resources, tables.versions, tables.declarations, tables.entities, tables.findings
    urn = urns.canonical(text)
    for query in (
        sa.select(r.c.urn).where(r.c.urn == urn),
        sa.select(e.c.ref).where(e.c.ref == text.lower()),
        sa.select(f.c.subject).where(f.c.id == text),
        sa.select(d.c.urn).where(d.c.urn == urn),
        sa.select(v.c.urn).where(v.c.urn == urn),
    ):
        exact = connection.scalars(query.limit(1)).first()
        if exact is not None:
            return exact
    ends = like(text)[:-1]
    for query in (
        sa.select(r.c.urn).where(
            sa.or_(
                sa.func.lower(r.c.name) == text.lower(),
                *(sa.func.lower(r.c.urn).like(f"{ends[:1]}{sep}{ends[1:]}", escape="\\") for sep in (":", "/")),
            )
        ),
        sa.select(e.c.ref).where(sa.func.lower(e.c.name) == text.lower()),
        sa.select(d.c.urn).where(d.c.urn != "", sa.or_(d.c.address == text, d.c.id == text)),
        sa.select(d.c.urn).where(
            sa.or_(*(sa.func.lower(d.c.urn).like(f"{ends[:1]}{sep}{ends[1:]}", escape="\\") for sep in (":", "/")))
        ),
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
