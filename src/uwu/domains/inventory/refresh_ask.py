"""Somebody asks for resources to be read again: who may, and the job that does it."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from uwu.domains.inventory import refresh
from uwu.domains.inventory.refresh_events import JOB
from uwu.kernel import audit, authorize, sight, subjects, tables, urns
from uwu.kernel.authorize import Target
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.jobs import key_of
from uwu.kernel.ownership import owner_of
from uwu.kernel.runtime import Kernel

ACTION = "inventory.refresh"
MOST = 100
"""Subjects of one request: more is a sync."""


def ask(kernel: Kernel, principal: Principal, given: Sequence[str]) -> str:
    """Asks for ``given`` (ARNs, ids or names, as ``explain`` takes them) to be read again; gives the id of the job.

    Raises ``BadInput`` for none, too many, or what is not of AWS, ``NotFound`` for what nothing is called, and
    ``NotAllowed`` where ``principal`` may not.
    """
    if not 0 < len(given) <= MOST:
        raise BadInput(
            f"give one to {MOST} subjects, not {len(given)}", code="refresh-count", hint="or: uwu sync inventory"
        )
    targets: list[refresh.Target] = []
    owners: dict[str, str] = {}
    with sight.looking_as(kernel, principal), kernel.db.read() as connection:
        resolved = list(dict.fromkeys(_resolve(connection, text) for text in given))
        for urn in resolved:
            owned = owner_of(connection, urn)
            owners[urn] = owned.owner if owned is not None else ""
    for urn in resolved:
        target = refresh.target(kernel, urn)
        on = Target("Resource", urn, owners[urn], target.place.account)
        authorize.require(kernel, principal, ACTION, on)
        targets.append(target)
    asked = {"urns": [target.urn for target in targets]}
    id = kernel.jobs.enqueue(JOB, asked, requested_by=principal.ref, key=key_of(JOB, asked))
    with kernel.db.write() as connection:
        for target in targets:
            audit.append(
                connection,
                actor=principal.ref,
                action=ACTION,
                subject=target.urn,
                detail={"job": id, "account": target.place.account},
            )
    return id


def _resolve(connection: sa.Connection, text: str) -> str:
    try:
        return subjects.resolve(connection, text)
    except NotFound:
        urn = urns.canonical(text)
        if not urn.startswith(("arn:", "urn:uwu:")):
            raise
        with sight.everything():
            hidden = connection.scalars(sa.select(tables.versions.c.urn).where(tables.versions.c.urn == urn).limit(1))
            if hidden.first() is not None:
                raise
        return urn  # what was never seen may be there: reading it tells
