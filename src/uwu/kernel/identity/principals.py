"""Who there is: people that a provider vouches for, service accounts, the bootstrap admin; their groups and roles."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import sqlalchemy as sa

from uwu.kernel import audit, codec, declared, estate, tables
from uwu.kernel.db import columns, to_struct, upsert
from uwu.kernel.errors import BadInput, Conflict, Denied, NotFound
from uwu.kernel.identity import secret
from uwu.kernel.identity.model import Principal
from uwu.kernel.model import Entity
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AccessSettings

BOOTSTRAP = "user:local/admin"
"""The first admin. No provider can name it: people who sign in are of the catalog, or of the namespace default."""
CLAIM = "uwu.dev/claim"
"""An annotation of a Group: the values of the groups claim that mean it, parted by commas, where its name does not."""
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
"""A name of an entity (Backstage's format of the catalog)."""
GROUP_CLAIM = re.compile(rf"(?:/|group:(?:({NAME.pattern})/)?)?({NAME.pattern})")
MEMBER_OF, CHILD_OF = "memberOf", "childOf"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A principal as it is kept."""

    ref: str
    kind: str
    """``human`` or ``service``."""
    name: str
    email: str
    issuer: str | None
    """The OpenID provider that vouches for it."""
    subject: str | None
    groups: tuple[str, ...]
    """What its provider or its creator named; the catalog adds its own."""
    roles: tuple[str, ...]
    disabled: bool
    created_at: datetime
    created_by: str
    seen_at: datetime | None
    """When it last signed in."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of a person."""

    issuer: str
    subject: str
    username: str = ""
    email: str = ""
    """Empty unless the provider has verified it."""
    name: str = ""
    groups: tuple[str, ...] = ()


def find(connection: sa.Connection, ref: str) -> Record:
    """The principal ``ref``. Raises ``NotFound``."""
    t = tables.principals
    row = connection.execute(sa.select(*columns(t, Record)).where(t.c.ref == ref)).first()
    if row is None:
        raise NotFound(f"there is no principal {ref}", hint="uwu access principals lists them")
    return to_struct(Record, row)


def listed(connection: sa.Connection, *, limit: int = 100, after: str = "") -> list[Record]:
    """Principals by reference."""
    t = tables.principals
    query = sa.select(*columns(t, Record)).where(t.c.ref > after).order_by(t.c.ref).limit(limit)
    return [to_struct(Record, row) for row in connection.execute(query)]


# ---- groups and roles


def group_ref(text: str) -> str:
    """``platform``, ``group:platform`` or ``group:default/platform`` as a full reference. Raises ``BadInput``."""
    found = estate.parse_reference(text, kind="group")
    if found.kind != "group":
        raise BadInput(f"{text!r} is no group", place="groups", hint="group:default/platform")
    return str(found)


def closure(connection: sa.Connection, ref: str, named: Sequence[str] = ()) -> tuple[str, ...]:
    """``named``, the groups that the catalog puts ``ref`` in, and the parents of all of them, in one statement."""
    r = tables.relations
    up = (
        sa.select(r.c.target.label("ref"))
        .where(
            r.c.valid_to.is_(None),
            sa.or_(
                sa.and_(r.c.source == ref, r.c.kind == MEMBER_OF),
                sa.and_(r.c.source.in_(list(named)), r.c.kind == CHILD_OF),
            ),
        )
        .cte("up", recursive=True)
    )
    parents = sa.select(r.c.target).join(up, r.c.source == up.c.ref)
    up = up.union(parents.where(r.c.kind == CHILD_OF, r.c.valid_to.is_(None)))
    found = connection.execute(sa.select(up.c.ref)).scalars()
    return tuple(sorted({*named, *found}))


def roles_of(settings: AccessSettings, ref: str, groups: Iterable[str], own: Iterable[str] = ()) -> tuple[str, ...]:
    """The roles that the settings give to ``ref`` or to one of ``groups``, and its own."""
    held = {ref, *groups}
    roles = set(own)
    for role, refs in (("admin", settings.admins), ("operator", settings.operators), ("auditor", settings.auditors)):
        if not held.isdisjoint(each.lower() for each in refs):
            roles.add(role)
    if settings.everyone != "none":
        roles.add(settings.everyone)
    return tuple(sorted(roles))


def groups_of_claims(connection: sa.Connection, values: Sequence[str]) -> tuple[str, ...]:
    """The group of each value of the groups claim: the one that claims it by ``uwu.dev/claim``, else the one of its
    name (``platform``, ``/platform``, ``group:default/platform``).

    Other values are left out, deeper paths too: whoever may make a group within another would choose its last part.
    """
    known = declared.entities(connection, kind="group", orphan=False)
    by_claim = {value: entity.ref for entity in known for value in _claims_of(entity)}
    found: set[str] = set()
    for value in values:
        if value in by_claim:
            found.add(by_claim[value])
            continue
        named = GROUP_CLAIM.fullmatch(value)
        if named is not None:
            found.add(f"group:{named[1] or 'default'}/{named[2]}".lower())
    return tuple(sorted(found))


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _claims_of(entity: Entity) -> list[str]:
    text = _mapping(entity.metadata.get("annotations")).get(CLAIM)
    return [value.strip() for value in str(text).split(",") if value.strip()] if text else []


# ---- people


def signed_in(kernel: Kernel, claims: Claims) -> Record:
    """The person of ``claims``, made at the first sign-in, its name and groups those of now.

    At the first sign-in it becomes the catalog's User that has the verified e-mail address or the name, else
    ``user:default/<name>``. Raises ``Denied`` for one that is disabled, or whose name another holds: a name that a
    provider lets people choose must not hand them what is somebody else's.
    """
    t = tables.principals
    now = codec.now()
    with kernel.db.write() as connection:
        bound = sa.and_(t.c.issuer == claims.issuer, t.c.subject == claims.subject)
        row = connection.execute(sa.select(*columns(t, Record)).where(bound)).first()
        groups = groups_of_claims(connection, claims.groups)
        if row is not None:
            held = to_struct(Record, row)
            if held.disabled:
                raise _disabled(held.ref)
            values = {"name": claims.name or held.name, "email": claims.email, "groups": list(groups), "seen_at": now}
            connection.execute(t.update().where(bound).values(**values))
            if groups != held.groups:
                detail = {"groups": groups, "before": held.groups}
                audit.append(connection, actor=held.ref, action="principal.groups", subject=held.ref, detail=detail)
            ref = held.ref
        else:
            ref = ref_of(connection, claims)
            _bind(connection, ref, claims, groups)
        found = find(connection, ref)
    kernel.identities.forget()
    return found


def ref_of(connection: sa.Connection, claims: Claims) -> str:
    """The reference of the person of ``claims``: the catalog's User of that address or name, else one of the name."""
    users = declared.entities(connection, kind="user", orphan=False)
    if claims.email:
        mails = {entity.ref for entity in users if _email(entity) == claims.email.lower()}
        if len(mails) == 1:
            return mails.pop()
    name = _name(claims)
    named = {entity.ref for entity in users if entity.name.lower() == name}
    own = f"user:default/{name}"
    return own if own in named or len(named) != 1 else named.pop()


def _email(entity: Entity) -> str:
    return str(_mapping(entity.spec.get("profile")).get("email", "")).lower()


def _name(claims: Claims) -> str:
    """The name of a person in references: the one that is given, the local part of its address, or its subject's."""
    for text in (claims.username.partition("@")[0], claims.email.partition("@")[0]):
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")
        if plain:
            return plain.lower()
    return "sub-" + hashlib.sha256(f"{claims.issuer} {claims.subject}".encode()).hexdigest()[:16]


def _bind(connection: sa.Connection, ref: str, claims: Claims, groups: tuple[str, ...]) -> None:
    t = tables.principals
    row = connection.execute(sa.select(*columns(t, Record)).where(t.c.ref == ref)).first()
    now = codec.now()
    values: dict[str, Any] = {
        "name": claims.name or claims.username or ref.rpartition("/")[2],
        "email": claims.email,
        "issuer": claims.issuer,
        "subject": claims.subject,
        "groups": list(groups),
        "seen_at": now,
    }
    if row is None:
        fresh = {**_local_row(ref, "human", "", ref), "roles": list[str]()}
        connection.execute(t.insert().values({**fresh, **values}))
    else:
        held = to_struct(Record, row)
        if held.disabled:
            raise _disabled(ref)
        if held.issuer is not None or held.roles or held.kind != "human":
            raise Denied(
                f"{ref} is another's already",
                code="identity-taken",
                place=ref,
                hint=f"an admin frees the name with: uwu access unlink {ref}",
            )
        connection.execute(t.update().where(t.c.ref == ref).values(**values))
    detail = {"issuer": claims.issuer, "subject": claims.subject, "groups": groups}
    audit.append(connection, actor=ref, action="principal.link", subject=ref, detail=detail)


def _disabled(ref: str) -> Denied:
    return Denied(f"{ref} is disabled", code="principal-disabled", place=ref, hint="ask an admin")


def unlink(kernel: Kernel, actor: Principal, ref: str) -> Record:
    """Parts ``ref`` from its provider's subject: who next signs in under this name becomes it. Ends its sessions."""
    t = tables.principals
    with kernel.db.write() as connection:
        held = find(connection, ref)
        connection.execute(t.update().where(t.c.ref == ref).values(issuer=None, subject=None, groups=[]))
        _end_all(connection, ref, tokens=True)
        detail = {"issuer": held.issuer, "subject": held.subject}
        audit.append(connection, actor=actor.ref, action="principal.unlink", subject=ref, detail=detail)
        found = find(connection, ref)
    kernel.identities.forget()
    return found


def set_disabled(kernel: Kernel, actor: Principal, ref: str, disabled: bool) -> Record:
    """Disables ``ref``, which ends its sessions, or enables it. Raises ``Conflict`` for oneself: one stays able."""
    if disabled and ref == actor.ref:
        raise Conflict("nobody disables themselves", code="self-disabled", hint="another admin can")
    t = tables.principals
    with kernel.db.write() as connection:
        held = find(connection, ref)
        if held.disabled != disabled:
            connection.execute(t.update().where(t.c.ref == ref).values(disabled=disabled))
            if disabled:
                _end_all(connection, ref)
            action = "principal.disable" if disabled else "principal.enable"
            audit.append(connection, actor=actor.ref, action=action, subject=ref)
        found = find(connection, ref)
    kernel.identities.forget()
    return found


def _end_all(connection: sa.Connection, ref: str, *, tokens: bool = False) -> None:
    s, t = tables.sessions, tables.tokens
    connection.execute(s.delete().where(s.c.principal == ref))
    if tokens:
        connection.execute(
            t.update().where(t.c.principal == ref, t.c.revoked_at.is_(None)).values(revoked_at=codec.now())
        )


# ---- service accounts and the first admin


def create_service(kernel: Kernel, actor: Principal, name: str, groups: Sequence[str] = ()) -> Record:
    """Makes ``service:default/<name>`` in ``groups``. Raises ``BadInput`` for no name, ``Conflict`` for a taken one."""
    if NAME.fullmatch(name) is None:
        raise BadInput(
            f"{name[:80]!r} is no name of a service account",
            code="service-name",
            place="name",
            hint="letters, digits, - _ and . ; at most 63, the first and the last a letter or a digit",
        )
    ref = f"service:default/{name.lower()}"
    held = sorted({group_ref(group) for group in groups})
    t = tables.principals
    with kernel.db.write() as connection:
        if connection.execute(sa.select(t.c.ref).where(t.c.ref == ref)).first() is not None:
            raise Conflict(f"there is {ref} already", code="service-taken", hint="choose another name")
        connection.execute(t.insert().values(**_local_row(ref, "service", name, actor.ref), groups=held, roles=[]))
        detail = {"groups": held}
        audit.append(connection, actor=actor.ref, action="service.create", subject=ref, detail=detail)
        return find(connection, ref)


def _local_row(ref: str, kind: str, name: str, by: str) -> dict[str, Any]:
    return {
        "ref": ref,
        "kind": kind,
        "name": name,
        "email": "",
        "disabled": False,
        "created_at": codec.now(),
        "created_by": by,
    }


def admin_exists(kernel: Kernel) -> bool:
    """Whether somebody can be admin here: by the settings, or because the first admin was made."""
    if kernel.settings.access.admins:
        return True
    t = tables.principals
    with kernel.db.read() as connection:
        return any("admin" in roles for roles in connection.execute(sa.select(t.c.roles)).scalars())


def bootstrap(kernel: Kernel, actor: Principal, *, again: bool = False) -> str:
    """Makes the first admin and gives its token, which is shown once and never kept; with ``again`` a new one in the
    place of every earlier. Raises ``Conflict`` where there is an admin already.
    """
    if not again and admin_exists(kernel):
        raise Conflict(
            "there is an admin already",
            code="admin-exists",
            hint="uwu access bootstrap --again makes a new token for the bootstrap admin, in the place of the old one",
        )
    t, k = tables.principals, tables.tokens
    id, now = codec.new_id("t"), codec.now()
    text = secret.token(id)
    row = {**_local_row(BOOTSTRAP, "human", "Bootstrap admin", actor.ref), "groups": [], "roles": ["admin"]}
    with kernel.db.write() as connection:
        upsert(connection, t, [row], update=["roles", "disabled"])
        _end_all(connection, BOOTSTRAP, tokens=True)
        connection.execute(
            k.insert().values(
                id=id,
                hash=secret.hashed(text),
                principal=BOOTSTRAP,
                name="bootstrap",
                scopes=["*"],
                created_at=now,
                created_by=actor.ref,
                expires_at=now + timedelta(days=kernel.settings.access.token_days),
            )
        )
        audit.append(connection, actor=actor.ref, action="admin.bootstrap", subject=BOOTSTRAP, detail={"token": id})
    kernel.identities.forget()
    return text


# ---- people that a directory provisions


def provision(
    connection: sa.Connection, actor: str, ref: str, *, name: str, email: str, active: bool, changed: bool
) -> None:
    """Makes the person ``ref`` known before they sign in, or disables them: with ``changed``, ``active`` is news.

    Disabling ends their sessions and revokes their tokens at once. Who was disabled here stays so until the directory
    says anew that they are active. Forget what is held afterwards: ``kernel.identities.forget``. Raises ``Conflict``
    for ``actor`` itself.
    """
    t = tables.principals
    row = connection.execute(sa.select(t.c.disabled, t.c.kind).where(t.c.ref == ref)).first()
    if row is None:
        fresh = {**_local_row(ref, "human", name, actor), "email": email, "groups": list[str](), "roles": list[str]()}
        connection.execute(t.insert().values({**fresh, "disabled": not active}))
        audit.append(
            connection,
            actor=actor,
            action="principal.provision",
            subject=ref,
            detail={"email": email, "active": active},
        )
        return
    connection.execute(t.update().where(t.c.ref == ref).values(name=name, email=email))
    if not changed or row.disabled != active:
        return
    if ref == actor:
        raise Conflict("nobody disables themselves", code="self-disabled", hint="another admin can")
    connection.execute(t.update().where(t.c.ref == ref).values(disabled=not active))
    if not active:
        _end_all(connection, ref, tokens=True)
    action = "principal.enable" if active else "principal.disable"
    audit.append(connection, actor=actor, action=action, subject=ref, detail={"by": "scim"})
