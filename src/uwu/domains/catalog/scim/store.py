"""What a directory provisioned: kept as it was given, and told to identity and to the catalog in the same transaction.

A user becomes the principal that will sign in, and a ``User`` of the catalog where the estate declares none; a group
becomes a ``Group``, and its members are in it. What the estate declares stays the estate's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.catalog.tables import scim_members, scim_resources
from uwu.kernel import audit, codec, declared, tables
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import Conflict, NotFound, UwuError
from uwu.kernel.identity import principals
from uwu.kernel.identity.principals import Claims
from uwu.kernel.model import Entity, Place, Relation
from uwu.kernel.runtime import Kernel

R, M = scim_resources, scim_members
API_VERSION = "backstage.io/v1alpha1"
MOST_MEMBERS = 20_000
AT_ONCE = 500


class Taken(Conflict):
    """Another resource has this name."""

    code = "scim-taken"


class Changed(UwuError):
    """The resource is of another version than the client has."""

    code, status, exit_code = "scim-version", 412, 4


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A provisioned user or group."""

    id: str
    kind: str
    """``User`` or ``Group``."""
    name: str
    """``userName`` or ``displayName``, lower case."""
    external_id: str
    ref: str
    active: bool
    document: dict[str, Any]
    version: int
    created_at: datetime
    changed_at: datetime

    @property
    def etag(self) -> str:
        return f'W/"{self.version}"'


_FIELDS = columns(R, Held)


def find(connection: sa.Connection, kind: str, id: str) -> Held:
    """The resource ``id``. Raises ``NotFound``."""
    row = connection.execute(sa.select(*_FIELDS).where(R.c.kind == kind, R.c.id == id)).first()
    if row is None:
        raise NotFound(f"there is no {kind} {id[:80]}", code="scim-unknown")
    return to_struct(Held, row)


def listed(
    connection: sa.Connection, kind: str, *, first: int = 0, count: int | None = None, **equal: str
) -> tuple[int, list[Held]]:
    """(how many in all, the page) by id; ``equal`` are columns with the value that they must have."""
    wheres = [R.c.kind == kind, *(R.c[name] == value for name, value in equal.items())]
    total = connection.execute(sa.select(sa.func.count()).select_from(R).where(*wheres)).scalar_one()
    query = sa.select(*_FIELDS).where(*wheres).order_by(R.c.id).offset(first)
    rows = connection.execute(query if count is None else query.limit(count))
    return total, [to_struct(Held, row) for row in rows]


def members_of(connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[Held]]:
    """Group id -> its members, by id."""
    found: dict[str, list[Held]] = {id: [] for id in ids}
    for start in range(0, len(ids), AT_ONCE):
        query = sa.select(M.c.group_id, *_FIELDS).join(R, R.c.id == M.c.member_id)
        some = M.c.group_id.in_(ids[start : start + AT_ONCE])
        for row in connection.execute(query.where(some).order_by(R.c.id)):
            found[row.group_id].append(to_struct(Held, row[1:]))
    return found


def displays_of(connection: sa.Connection, ids: Sequence[str]) -> dict[tuple[str, str], str]:
    """(group id, member id) -> what the directory calls the member, where it says so."""
    found: dict[tuple[str, str], str] = {}
    for start in range(0, len(ids), AT_ONCE):
        query = sa.select(M.c.group_id, M.c.member_id, M.c.display).where(M.c.display != "")
        for row in connection.execute(query.where(M.c.group_id.in_(ids[start : start + AT_ONCE]))):
            found[row.group_id, row.member_id] = row.display
    return found


def groups_of(connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[Held]]:
    """Member id -> the groups that hold it, by id."""
    found: dict[str, list[Held]] = {id: [] for id in ids}
    for start in range(0, len(ids), AT_ONCE):
        query = sa.select(M.c.member_id, *_FIELDS).join(R, R.c.id == M.c.group_id)
        some = M.c.member_id.in_(ids[start : start + AT_ONCE])
        for row in connection.execute(query.where(some).order_by(R.c.id)):
            found[row.member_id].append(to_struct(Held, row[1:]))
    return found


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants to be so."""

    name: str
    external_id: str
    active: bool
    document: dict[str, Any]
    members: tuple[tuple[str, str], ...] = ()
    """Ids, each with what the directory calls it; only of a group."""


def create(kernel: Kernel, actor: str, kind: str, given: Given) -> Held:
    """Makes a resource. Raises ``Taken`` where its name is another's, ``NotFound`` for a member that is not there."""
    at = codec.now()
    with kernel.db.write() as connection:
        _free(connection, kind, given.name)
        ref = _ref(connection, kind, given)
        if connection.execute(sa.select(R.c.id).where(R.c.ref == ref)).first() is not None:
            raise Taken(f"another {kind} means {ref} already", place="userName" if kind == "User" else "displayName")
        held = Held(
            id=codec.new_id("scim"),
            kind=kind,
            name=given.name.lower(),
            external_id=given.external_id,
            ref=ref,
            active=given.active,
            document=given.document,
            version=1,
            created_at=at,
            changed_at=at,
        )
        connection.execute(R.insert().values(**msgspec.structs.asdict(held)))
        _keep_members(connection, held, given.members)
        _tell(connection, actor, held, news=not given.active)
        _audit(connection, actor, "create", held)
    kernel.identities.forget()
    return held


def replace(kernel: Kernel, actor: str, held: Held, given: Given) -> Held:
    """Makes ``held`` what is given; nothing where that is so already. Raises ``Changed`` where it moved on."""
    with kernel.db.write() as connection:
        now = find(connection, held.kind, held.id)
        if now.version != held.version:
            raise Changed("it has changed meanwhile", hint="read it again")
        kept = sa.select(M.c.member_id, M.c.display).where(M.c.group_id == held.id)
        before = {(row.member_id, row.display) for row in connection.execute(kept)}
        same = (given.name.lower(), given.external_id, given.active, given.document, set(given.members))
        if same == (now.name, now.external_id, now.active, now.document, before):
            return now
        if given.name.lower() != now.name:
            _free(connection, held.kind, given.name)
        after = msgspec.structs.replace(
            now,
            name=given.name.lower(),
            external_id=given.external_id,
            active=given.active,
            document=given.document,
            version=now.version + 1,
            changed_at=codec.now(),
        )
        connection.execute(R.update().where(R.c.id == held.id).values(**msgspec.structs.asdict(after)))
        _keep_members(connection, after, given.members)
        _tell(connection, actor, after, news=given.active != now.active)
        _audit(connection, actor, "update", after)
    kernel.identities.forget()
    return after


def delete(kernel: Kernel, actor: str, held: Held) -> None:
    """Deprovisions it: a person is disabled, their sessions and tokens end; a group is nobody's any more."""
    with kernel.db.write() as connection:
        now = find(connection, held.kind, held.id)
        if now.version != held.version:
            raise Changed("it has changed meanwhile", hint="read it again")
        touched = groups_of(connection, [held.id])[held.id]
        connection.execute(M.delete().where(sa.or_(M.c.group_id == held.id, M.c.member_id == held.id)))
        connection.execute(R.delete().where(R.c.id == held.id))
        if held.kind == "User":
            gone = msgspec.structs.replace(now, active=False)
            _principal(connection, actor, gone, news=True)
        declared.replace_entities(connection, _origin(held), [], [])
        for group in touched:
            _catalog(connection, group)
        _audit(connection, actor, "delete", held)
    kernel.identities.forget()


def _free(connection: sa.Connection, kind: str, name: str) -> None:
    taken = sa.select(R.c.id).where(R.c.kind == kind, R.c.name == name.lower())
    if connection.execute(taken).first() is not None:
        raise Taken(f"there is a {kind} {name[:80]} already", place="userName" if kind == "User" else "displayName")


def _keep_members(connection: sa.Connection, group: Held, members: Iterable[tuple[str, str]]) -> None:
    if group.kind != "Group":
        return
    displays = dict(members)
    wanted = sorted(displays)
    if len(wanted) > MOST_MEMBERS:
        raise Conflict(f"a group has at most {MOST_MEMBERS:,} members", code="scim-members", place="members")
    known: set[str] = set()
    for start in range(0, len(wanted), AT_ONCE):
        known.update(connection.scalars(sa.select(R.c.id).where(R.c.id.in_(wanted[start : start + AT_ONCE]))))
    if missing := [id for id in wanted if id not in known or id == group.id]:
        raise NotFound(f"no member is {missing[0][:80]}", code="scim-member", place="members")
    connection.execute(M.delete().where(M.c.group_id == group.id))
    if wanted:
        connection.execute(
            M.insert(), [{"group_id": group.id, "member_id": id, "display": displays[id]} for id in wanted]
        )


# ---- what identity and the catalog are told


def _ref(connection: sa.Connection, kind: str, given: Given) -> str:
    if kind == "User":
        claims = Claims(issuer="scim", subject=given.external_id or given.name, username=given.name)
        return principals.ref_of(connection, msgspec.structs.replace(claims, email=mail(given.document) or ""))
    claimed = principals.groups_of_claims(connection, [given.name])
    if claimed:
        return claimed[0]
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", given.name).strip("-_.")[:63].strip("-_.")
    return f"group:default/{(slug or codec.digest(given.name)[:16]).lower()}"


def mail(document: dict[str, Any]) -> str:
    """The primary e-mail address of a user, else the first, else a userName that is one."""
    found = [each for each in document.get("emails") or () if each.get("value")]
    found.sort(key=lambda each: not each.get("primary"))
    name = str(document.get("userName", ""))
    return str(found[0]["value"]) if found else name if "@" in name else ""


def _title(document: dict[str, Any]) -> str:
    name = document.get("name") or {}
    parts = (str(name.get(part) or "") for part in ("givenName", "familyName"))
    return str(document.get("displayName") or name.get("formatted") or " ".join(p for p in parts if p))


def _tell(connection: sa.Connection, actor: str, held: Held, *, news: bool) -> None:
    if held.kind == "User":
        _principal(connection, actor, held, news=news)
    _catalog(connection, held)


def _principal(connection: sa.Connection, actor: str, held: Held, *, news: bool) -> None:
    name = _title(held.document) or held.ref.rpartition("/")[2]
    email = mail(held.document)
    principals.provision(connection, actor, held.ref, name=name, email=email, active=held.active, changed=news)


def _origin(held: Held) -> str:
    return f"scim:{held.id}"


def _catalog(connection: sa.Connection, held: Held) -> None:
    """The entity and its memberships. One that the estate declares is left as it is; its members still are."""
    e = tables.entities
    query = sa.select(e.c.origin).where(e.c.ref == held.ref, e.c.orphan.is_(False))
    theirs = connection.scalar(query)
    entities = [] if theirs not in (None, _origin(held)) or not held.active else [_entity(held)]
    relations: list[Relation] = []
    if held.kind == "Group":
        for member in members_of(connection, [held.id])[held.id]:
            forth, back = ("memberOf", "hasMember") if member.kind == "User" else ("childOf", "parentOf")
            place = f"scim:{held.id}"
            if member.active:
                relations.append(Relation(source=member.ref, kind=forth, target=held.ref, evidence=place))
                relations.append(Relation(source=held.ref, kind=back, target=member.ref, evidence=place))
    declared.replace_entities(connection, _origin(held), entities, relations)
    if held.kind == "User":
        for group in groups_of(connection, [held.id])[held.id]:
            _catalog(connection, group)


def _entity(held: Held) -> Entity:
    kind, _, rest = held.ref.partition(":")
    namespace, _, name = rest.partition("/")
    title = _title(held.document) or str(held.document.get("displayName") or name)
    profile = {"displayName": title} | ({"email": address} if (address := mail(held.document)) else {})
    spec: dict[str, Any] = {"profile": profile}
    if kind == "group":
        spec |= {"type": "team", "children": []}
    return Entity(
        kind="User" if kind == "user" else "Group",
        name=name,
        namespace=namespace,
        api_version=API_VERSION,
        metadata={"name": name, "namespace": namespace, "title": title},
        spec=spec,
        place=Place(f"scim:{held.id}"),
        origin=_origin(held),
    )


class Shadow(msgspec.Struct, frozen=True):
    """A person or group of the directory that the estate declares too: the estate's stands."""

    ref: str
    id: str
    place: str
    """Where the estate declares it."""


def shadows(connection: sa.Connection) -> list[Shadow]:
    """What the directory and the estate both declare, by reference."""
    e = tables.entities
    query = (
        sa.select(R.c.ref, R.c.id, e.c.file, e.c.line)
        .join(e, e.c.ref == R.c.ref)
        .where(e.c.orphan.is_(False), e.c.origin.not_like("scim:%"))
        .order_by(R.c.ref)
    )
    return [Shadow(row.ref, row.id, str(Place(row.file, row.line))) for row in connection.execute(query)]


def _audit(connection: sa.Connection, actor: str, verb: str, held: Held) -> None:
    detail = {"kind": held.kind, "id": held.id, "name": held.name, "active": held.active, "version": held.version}
    audit.append(connection, actor=actor, action=f"scim.{verb}", subject=held.ref, detail=detail)
