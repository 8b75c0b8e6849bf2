"""The pages of the catalog: every declared entity, and one of them."""

from __future__ import annotations

from itertools import groupby

import sqlalchemy as sa

from uwu.app.console import entropy, facts, links, look, mapping, scorecards, words
from uwu.app.console.lists import Query, filter_of, href_of, listed
from uwu.app.console.mapping import Names
from uwu.app.console.views import Declaring, EntityPage, Fact, Filter, Link, View
from uwu.kernel import declared, drift, entity_history, graph, tables
from uwu.kernel.entity_history import EntityVersion
from uwu.kernel.errors import NotFound
from uwu.kernel.model import Entity
from uwu.kernel.runtime import Kernel

OWNED_SHOWN, FINDINGS_SHOWN, ENTITIES_SHOWN, HISTORY_SHOWN = 12, 8, 100, 12


class CatalogItem(View, frozen=True):
    ref: str
    href: str
    title: str
    kind: str
    icon: str
    owner: str
    owner_href: str
    description: str
    place: str


class CatalogPage(View, frozen=True):
    filters: list[Filter]
    groups: list[tuple[str, list[CatalogItem]]]
    total: int
    more: str


def catalog(kernel: Kernel, query: Query) -> CatalogPage:
    """Declared entities, by kind."""
    kind = query.get("kind", "")
    e = tables.entities
    with kernel.db.read() as connection:
        page = declared.page(connection, kind=kind, limit=ENTITIES_SHOWN, after=query.get("after", ""))
        counted = connection.execute(sa.select(e.c.kind, sa.func.count()).group_by(e.c.kind))
        ranked = sorted(((row[0], row[1]) for row in counted), key=lambda v: (-v[1], v[0]))
    return CatalogPage(
        filters=[filter_of(links.CATALOG, query, "kind", "kind", ranked, str)],
        groups=[(k, [_item(one, kernel) for one in some]) for k, some in groupby(page.items, key=lambda one: one.kind)],
        total=page.total,
        more=href_of(links.CATALOG, query, after=page.after) if page.after else "",
    )


def _item(entity: Entity, kernel: Kernel) -> CatalogItem:
    owner = _owner_ref(entity)
    return CatalogItem(
        ref=entity.ref,
        href=links.entity(entity.ref),
        title=_title(entity),
        kind=entity.kind,
        icon=look.entity_icon(entity.kind),
        owner=words.short_ref(owner),
        owner_href=links.entity(owner) if owner else "",
        description=str(entity.metadata.get("description") or ""),
        place=_place(entity, kernel),
    )


def _place(entity: Entity, kernel: Kernel) -> str:
    """``file:line``, under the home where it is there."""
    return str(entity.place).removeprefix(kernel.settings.home.rstrip("/") + "/")


def _title(entity: Entity) -> str:
    return str(entity.metadata.get("title") or entity.name)


def _owner_ref(entity: Entity) -> str:
    """The full reference of ``spec.owner``: a bare name is a group of the same namespace (Backstage's default)."""
    owner = entity.spec.get("owner")
    if not isinstance(owner, str) or not owner:
        return ""
    kind, _, rest = owner.rpartition(":")
    namespace, _, name = rest.rpartition("/")
    return f"{kind or 'group'}:{namespace or entity.namespace}/{name}".lower()


def entity(kernel: Kernel, ref: str) -> EntityPage:
    """The page of an entity. Raises ``NotFound``."""
    with kernel.db.read() as connection:
        found = declared.entity(connection, ref)
        if found is None:
            raise NotFound(f"nothing declares {ref}", hint="the catalog lists every declared entity")
        names = Names(kernel, connection)
        relations = graph.neighbours(connection, found.ref)
        names.load({end for r in relations for end in (r.source, r.target)})
        owned = graph.find(connection, owner=found.ref, limit=OWNED_SHOWN)
        wrong = drift.findings(connection, owner=found.ref, limit=FINDINGS_SHOWN)
        orphan = found.ref in declared.orphans(connection)
        past = entity_history.versions(connection, found.ref, limit=HISTORY_SHOWN)
        told = [Fact(label="Kind", value=found.kind, href=links.with_query(links.CATALOG, {"kind": found.kind}))]
        for key in ("type", "lifecycle", "environment", "accountId"):
            value = found.spec.get(key)
            if isinstance(value, str) and value:
                told.append(Fact(label=words.label(key), value=value))
        owner = _owner_ref(found)
        if owner:
            told.append(Fact(label="Owner", value=words.short_ref(owner), href=links.entity(owner)))
        if found.kind == "Stack":
            told.append(Fact(label="Stack", value="inputs, outputs, dependents", href=links.stack(found.ref)))
        told += [one for one in (scorecards.fact(connection, found.ref), entropy.fact(connection, found)) if one]
        told.append(Fact(label="Declared in", value=_place(found, kernel), mono=True))
        out: list[Link] = []
        for r in relations:
            other = r.target if r.source == found.ref else r.source
            kind = " ".join(words.split_camel(r.kind))
            named = names.subject(other)
            out.append(
                Link(
                    kind=kind if r.source == found.ref else f"← {kind}",
                    name=named.name,
                    href=links.subject(other),
                    detail=names.type(named.type) if named.type else other.partition(":")[0],
                    icon=names.icon_of(other),
                    evidence=r.evidence,
                )
            )
        # each relation is kept both ways: what goes out says it all, where it does
        outward = {link.href for link in out if not link.kind.startswith("←")}
        return EntityPage(
            ref=found.ref,
            title=_title(found),
            kind=found.kind,
            icon=look.entity_icon(found.kind),
            description=str(found.metadata.get("description") or ""),
            place=_place(found, kernel),
            orphan=orphan,
            facts=told,
            links=[link for link in out if not link.kind.startswith("←") or link.href not in outward],
            owns=owned.total,
            owned=listed(connection, owned.items, names),
            findings=mapping.rows(wrong.items, names),
            findings_total=wrong.total,
            spec=facts.attributes(found.spec),
            history=[_declaring(version, kernel) for version in past.items] if len(past.items) > 1 else [],
        )


def _declaring(version: EntityVersion, kernel: Kernel) -> Declaring:
    first = "Declared" if version.version == 1 else "Declared again"
    place = f"{version.file}:{version.line}".removeprefix(kernel.settings.home.rstrip("/") + "/")
    return Declaring(
        version=version.version,
        at=version.valid_from,
        what="Changed" if version.changed else first,
        paths=version.changed,
        place=place,
    )
