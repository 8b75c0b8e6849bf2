"""Who owns a resource as the catalog knows it: what an entity says it owns, and what tags name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from uwu.domains.catalog import codeowners, ownership_rules
from uwu.domains.catalog.declare import OWNERSHIP_RULE
from uwu.kernel import declared, estate, tables, urns
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Entity, Evidence
from uwu.kernel.runtime import Kernel

OWNS = "uwu.dev/owns"
"""An annotation of a Component, a Resource or a System: the ARNs or ids of what belongs to it, parted by commas."""

_NAMED = ("component", "system", "resource", "api", "domain")
"""Kinds that a tag may name by their plain name, to mean their owner."""


class Owners:
    """Finds the owner that a text means: a group, a user, an e-mail address, or an entity whose owner is meant."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._by_ref = {entity.ref: entity for entity in entities}
        self._groups: defaultdict[str, list[str]] = defaultdict(list)
        self._named: defaultdict[str, list[Entity]] = defaultdict(list)
        self._mail: dict[str, str] = {}
        self._github: dict[str, str] = {}
        for ref, entity in self._by_ref.items():
            kind, name = entity.kind.lower(), entity.name.lower()
            if kind == "group":
                self._groups[name].append(ref)
            elif kind in _NAMED:
                self._named[name].append(entity)
            annotations = entity.metadata.get("annotations")
            if kind in {"group", "user"} and isinstance(annotations, Mapping):
                given = annotations.get("github.com/team-slug" if kind == "group" else "github.com/user-login")
                if given:
                    self._github.setdefault(str(given).lower(), ref)
            profile = entity.spec.get("profile")
            if kind in {"group", "user"} and isinstance(profile, Mapping) and profile.get("email"):
                self._mail.setdefault(str(profile["email"]).lower(), ref)

    def of(self, entity: Entity) -> str:
        """The reference of the entity's owner, itself for a group or a user; empty where none is declared."""
        if entity.kind.lower() in {"group", "user"}:
            return entity.ref
        owner = entity.spec.get("owner")
        return self._existing(owner, entity.namespace) if isinstance(owner, str) else ""

    def meant(self, text: str) -> str:
        """The reference of the owner that ``text`` means; empty where it means none, or more than one."""
        text = text.strip()
        if "@" in text:
            return self._mail.get(text.lower(), "")
        exact = self._existing(text, "default")
        if exact:
            kind = exact.partition(":")[0]
            return exact if kind in {"group", "user"} else self.of(self._by_ref[exact])
        groups = self._groups.get(text.lower(), [])
        if len(groups) == 1:
            return groups[0]
        owners = {self.of(entity) for entity in self._named.get(text.lower(), [])}
        return owners.pop() if len(owners) == 1 and not groups else ""

    def on_github(self, text: str) -> str:
        """The reference of the owner that CODEOWNERS names: ``@org/team``, ``@login`` or an e-mail address.

        By the annotations ``github.com/team-slug`` and ``github.com/user-login``, else by name.
        """
        if not text.startswith("@"):
            return self.meant(text)
        name = text[1:].lower()
        _, team, last = name.rpartition("/")
        return self._github.get(name, "") or self._existing(last if team else f"user:{last}", "default")

    def _existing(self, text: str, namespace: str) -> str:
        try:
            ref = str(estate.parse_reference(text, kind="group", namespace=namespace))
        except BadInput:
            return ""
        return ref if ref in self._by_ref else ""


def evidence(kernel: Kernel, connection: sa.Connection) -> Iterator[Evidence]:
    """What the estate says of its resources by name (``estate``), by rule (``rule``) and by the CODEOWNERS of its files
    (``codeowners``), and the strongest tag that names an owner (``tag``)."""
    entities = declared.entities(connection)
    owners = Owners(entities)
    r = tables.resources
    rows = connection.execute(sa.select(r.c.urn, r.c.name, r.c.tags, r.c.type, r.c.account, r.c.region)).all()
    yield from _declared(entities, owners, rows)
    orphans = declared.orphans(connection)  # a rule that somebody took away no longer says anything
    rules = [each for each in entities if each.kind == OWNERSHIP_RULE.kind and each.ref not in orphans]
    yield from ownership_rules.evidence(connection, rules, {each.ref: owners.of(each) for each in rules}, rows)
    stacks = [entity for entity in entities if entity.kind == "Stack"]
    yield from codeowners.evidence(connection, stacks, owners.on_github)
    keys = [key.lower() for key in kernel.settings.ownership.tags]
    meant: dict[str, str] = {}
    for row in rows:
        tags = {str(key).lower(): (str(key), str(value)) for key, value in row.tags.items()}
        for key in keys:
            if key not in tags:
                continue
            shown, value = tags[key]
            if value not in meant:
                meant[value] = owners.meant(value)
            if meant[value]:
                yield Evidence(subject=row.urn, owner=meant[value], kind="tag", source=f"tag {shown}={value}")
                break  # a weaker tag is no evidence beside a stronger one of the same kind


def _declared(entities: Iterable[Entity], owners: Owners, rows: Iterable[Any]) -> Iterator[Evidence]:
    claims: list[tuple[Entity, str]] = []
    for entity in entities:
        annotations = entity.metadata.get("annotations")
        text = annotations.get(OWNS) if isinstance(annotations, Mapping) else None
        if isinstance(text, str):
            claims.extend((entity, name) for name in re.split(r"[\s,]+", text) if name)
    if not claims:
        return
    by_name: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        by_name[row.name].add(row.urn)
        by_name[urns.short(row.urn)].add(row.urn)
    for entity, name in claims:
        owner = owners.of(entity)
        named = {urns.canonical(name)} if urns.parse(name) or name.startswith("urn:") else by_name.get(name, set())
        if owner and len(named) == 1:
            yield Evidence(subject=min(named), owner=owner, kind="estate", source=f"{entity.ref} at {entity.place}")
