"""Who created a resource owns it where nothing stronger says otherwise: the group of the human who called."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from uwu.domains.trail import mapping, overlay, store
from uwu.domains.trail.names import base_name
from uwu.kernel import tables, urns
from uwu.kernel.model import Evidence
from uwu.kernel.runtime import Kernel

_VERB = re.compile(r"^(Create|Run|Allocate|Request|Register|Import|Copy|Restore|Publish|Launch)")


def evidence(kernel: Kernel, connection: sa.Connection) -> Iterable[Evidence]:
    """For each observed resource whose creation by a human is known: the group of that human's User entity."""
    groups = _groups(connection)
    if not groups:
        return
    created: dict[str, tuple[int, str, str]] = {}
    for urn, actor, name in _creations(kernel, connection):
        left = _leftover(urn, name)
        # the newest comes first: it stands, unless an older one speaks of the resource more exactly
        if left is not None and (urn not in created or left < created[urn][0]):
            created[urn] = (left, actor, name)
    for urn, (_, actor, name) in created.items():
        of = groups.get(actor.lower(), set())
        if len(of) == 1:
            yield Evidence(subject=urn, owner=next(iter(of)), kind="creator", source=f"{actor} called {name}")


def _creations(kernel: Kernel, connection: sa.Connection) -> list[tuple[str, str, str]]:
    """(urn, human, action) of creating calls on resources that exist, newest first."""
    import pyarrow as pa

    kernel.lake.ensure(store.EVENT_RESOURCES)
    observed = list(connection.scalars(sa.select(tables.resources.c.urn)))
    if not observed:
        return []
    scan = kernel.lake.scan(store.EVENT_RESOURCES.name)
    query = (
        f"select urn, actor, event_name from {scan} semi join observed_urns on urn = observed "  # noqa: S608 - own text
        "where role = 'target' and actor_kind = 'human' and actor_confidence <> 'guess' "
        f"and regexp_matches(event_name, '{_VERB.pattern}') order by event_time desc"
    )
    with kernel.lake.connection() as lake:
        lake.register("observed_urns", pa.table({"observed": observed}))
        rows: list[Any] = lake.execute(query).fetchall()
        lake.unregister("observed_urns")
    return [(row[0], row[1], row[2]) for row in rows]


def _leftover(urn: str, event_name: str) -> int | None:
    """How many letters of the action say more than "create this type"; None where it speaks of something else."""
    action = mapping.norm(_VERB.sub("", base_name(event_name)))
    parts = urns.parse(urn)
    if parts is None:
        pieces = urn.split(":")
        noun = mapping.norm(pieces[4]) if len(pieces) > 4 else ""
    else:
        noun = mapping.noun_of(parts.resource, "")
        if parts.service in {"s3", "sns", "sqs"}:
            noun = {"s3": "bucket", "sns": "topic", "sqs": "queue"}[parts.service]
    words = [noun, *(word for word, of in overlay.NOUN_WORDS.items() if of == noun)]
    lengths = [len(action) - len(word) for word in words if word and word in action]
    return min(lengths, default=None)


def _groups(connection: sa.Connection) -> dict[str, set[str]]:
    """A human's names (entity name, e-mail address and what stands before its @) -> the groups."""
    e, r = tables.entities, tables.relations
    of_user: defaultdict[str, set[str]] = defaultdict(set)
    query = sa.select(r.c.source, r.c.target).where(r.c.kind == "memberOf", r.c.valid_to.is_(None))
    for row in connection.execute(query):
        of_user[row.source].add(row.target)
    found: defaultdict[str, set[str]] = defaultdict(set)
    users = sa.select(e.c.ref, e.c.name, e.c.spec).where(sa.func.lower(e.c.kind) == "user", e.c.orphan.is_(False))
    for row in connection.execute(users):
        groups = of_user.get(row.ref)
        if not groups:
            continue
        profile = row.spec.get("profile")
        email = str(profile.get("email") or "").lower() if isinstance(profile, dict) else ""
        for name in {row.name.lower(), email, email.split("@")[0]} - {""}:
            found[name] |= groups
    return found
