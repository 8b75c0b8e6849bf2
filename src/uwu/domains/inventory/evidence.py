"""Ownership that AWS's own structure tells: the account's owner, and the CloudFormation stack that made a resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from uwu.kernel import declared, tables
from uwu.kernel.model import Entity, Evidence
from uwu.kernel.runtime import Kernel

_STACK = "aws_cloudformation_stack"


def evidence(kernel: Kernel, connection: sa.Connection) -> Iterable[Evidence]:
    """Who answers for each resource by its account (entity ``Account``) and by the stack it is a member of."""
    entities = {entity.ref: entity for entity in declared.entities(connection)}
    r = tables.resources
    stacks = {
        row.urn: (row.name, owner, tag)
        for row in connection.execute(sa.select(r.c.urn, r.c.name, r.c.tags).where(r.c.type == _STACK))
        for owner, tag in _tagged(row.tags, kernel.settings.ownership.tags, entities)
    }
    accounts = {
        str(entity.spec.get("accountId", "")): (entity.ref, reference(str(entity.spec["owner"]), entity.namespace))
        for entity in entities.values()
        if entity.kind.lower() == "account" and entity.spec.get("owner")
    }
    for row in connection.execute(sa.select(r.c.urn, r.c.account, r.c.managed_by)):
        if row.managed_by in stacks:
            name, owner, tag = stacks[row.managed_by]
            yield Evidence(subject=row.urn, owner=owner, kind="stack", source=f"stack {name}, {tag}")
        if row.account in accounts:
            ref, owner = accounts[row.account]
            yield Evidence(subject=row.urn, owner=owner, kind="account", source=ref)


def reference(text: str, namespace: str = "default") -> str:
    """``text`` as a full reference to a group: ``payments`` is ``group:default/payments``."""
    kind, _, rest = text.strip().rpartition(":")
    space, _, name = rest.rpartition("/")
    return f"{kind or 'group'}:{space or namespace}/{name}".lower()


def _tagged(tags: Mapping[str, str], keys: Iterable[str], entities: Mapping[str, Entity]) -> Iterable[tuple[str, str]]:
    """(owner, tag) by the strongest tag whose value names a group, or an entity that has an owner."""
    for key in keys:
        value = tags.get(key, "").strip()
        if not value:
            continue
        group = reference(value)
        if group in entities:
            yield group, f"tag {key}={value}"
            return
        named = [e for e in entities.values() if e.name.lower() == value.lower() and e.spec.get("owner")]
        owners = {reference(str(e.spec["owner"]), e.namespace) for e in named}
        if len(owners) == 1:
            yield owners.pop(), f"tag {key}={value}"
            return
