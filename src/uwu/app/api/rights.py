"""What one may do, and with what."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.kernel import (
    actions,
    authorize,
    break_glass,
    declared,
    drift,
    graph,
    ownership,
    schema,
    sight,
    subjects,
    tables,
    urns,
)
from uwu.kernel.authorize import PLATFORM, Right, Target
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.identity import Principal, principals
from uwu.kernel.plans import approve, store
from uwu.kernel.runtime import Kernel

SELF = {"action": "self.read"}


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """What one may do with a subject."""

    principal: str
    roles: list[str]
    groups: list[str]
    subject: str
    """Empty for the platform as a whole."""
    owners: list[str]
    rights: list[Right]


@get("/rights", sync_to_thread=True, opt=SELF)
def list_rights(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    subject: FromQuery[str] = "",
    action: FromQuery[str] = "",
    who: FromQuery[str] = "",
) -> Rights:
    """What the caller may do with ``subject`` (a resource, an entity, a finding, a plan), or with the platform.

    Each action, or the one that is asked for, with the policies that permit it, or with the path that is lacking and
    whom to ask. ``who`` asks for another principal by its reference; it takes ``access.read``.
    """
    if who and who.lower() != principal.ref:
        authorize.require(kernel, principal, "access.read")
        principal = principal_of(kernel, who)
    return of(kernel, principal, subject, action)


def principal_of(kernel: Kernel, ref: str) -> Principal:
    """Whoever ``ref`` names, with the groups and the roles that they would sign in with. Raises ``NotFound``."""
    ref = ref.lower()
    p = tables.principals
    with sight.everything(), kernel.db.read() as connection:
        row = connection.execute(sa.select(p.c.name, p.c.kind, p.c.groups, p.c.roles).where(p.c.ref == ref)).first()
        entity = declared.entity(connection, ref) if row is None and ref.startswith("user:") else None
        if row is None and entity is None:
            raise NotFound(f"there is no principal {ref}", hint="user:default/mira, or service:default/deployer")
        groups = principals.closure(connection, ref, row.groups if row is not None else ())
        glass = break_glass.held_by(connection, ref)
    return Principal(
        ref=ref,
        name=row.name if row is not None else ref.rpartition("/")[2],
        kind="service" if row is not None and row.kind == "service" else "human",
        groups=groups,
        roles=principals.roles_of(kernel.settings.access, ref, groups, row.roles if row is not None else ()),
        via="session",
        break_glass=glass,
    )


def of(kernel: Kernel, principal: Principal, subject: str, action: str = "") -> Rights:
    """The rights of ``principal`` on what ``subject`` names; empty for the platform. Raises ``BadInput``."""
    known = actions.known(kernel.domains)
    if action and action not in known:
        hint = schema.near(action, known) or f"one of {', '.join(sorted(known))}"
        raise BadInput(f"there is no action {action!r}", code="action-unknown", place="query action", hint=hint)
    target = target_of(kernel, subject)
    return Rights(
        principal=principal.ref,
        roles=list(principal.roles),
        groups=list(principal.groups),
        subject=subject and target.id,
        owners=list(target.owners),
        rights=authorize.rights(kernel, principal, target, only=action),
    )


def target_of(kernel: Kernel, text: str) -> Target:
    """What ``text`` names, as policies see it. Raises ``NotFound``, or ``BadInput`` where it names many."""
    if not text:
        return PLATFORM
    with kernel.db.read() as connection:
        if text.startswith("f_"):
            found = drift.finding(connection, text)
            return Target("Finding", found.id, found.owner, found.account, {"title": found.title})
        plan = text.removeprefix("plan ").strip()
        if plan != text or plan.startswith("plan_") or plan.removeprefix("#").isdigit():
            return approve.target_of(store.get(connection, plan))
        return _of_subject(connection, subjects.resolve(connection, text))


def _of_subject(connection: sa.Connection, key: str) -> Target:
    resource = graph.resource(connection, key)
    if resource is not None:
        return Target("Resource", key, resource.owner, resource.account, {"title": resource.name})
    entity = declared.entity(connection, key)
    if entity is not None:
        account = str(entity.spec.get("accountId", "")) if entity.kind == "Account" else ""
        more = {"owners": owners_of(connection, key), "title": entity.name}
        return Target("Account" if account else "Entity", key, account=account, attributes=more)
    owned = ownership.owner_of(connection, key)
    return Target("Resource", key, owned.owner if owned is not None else "", urns.account_of(key))


def owners_of(connection: sa.Connection, ref: str) -> list[str]:
    """Who owns the entity of ``ref``, whoever may see it."""
    t = tables.relations
    query = sa.select(t.c.target).where(t.c.source == ref, t.c.kind == "ownedBy", t.c.valid_to.is_(None))
    with sight.everything():
        return sorted(set(connection.scalars(query)))


HANDLERS: list[Any] = [list_rights]
