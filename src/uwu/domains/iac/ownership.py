"""Who owns a resource as its stack tells."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from uwu.kernel import declared, estate
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Evidence
from uwu.kernel.runtime import Kernel


def evidence(_kernel: Kernel, connection: sa.Connection) -> Iterator[Evidence]:
    """A stack's owner owns what the stack's state holds (``state``)."""
    refs = {entity.ref for entity in declared.entities(connection)}
    owners: dict[str, str] = {}
    for stack in declared.entities(connection, kind="Stack"):
        try:
            owner = str(estate.parse_reference(str(stack.spec.get("owner")), kind="group", namespace=stack.namespace))
        except BadInput:
            continue
        if owner in refs:
            owners[stack.ref] = owner
    for declaration in declared.declarations(connection):
        stack, _, _ = declaration.source.partition("@")
        if declaration.urn and stack in owners:
            source = f"{stack} {declaration.address}"
            yield Evidence(subject=declaration.urn, owner=owners[stack], kind="state", source=source)
