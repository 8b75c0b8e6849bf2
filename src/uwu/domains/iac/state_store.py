"""The states that are kept: what they are called, whose they are, their versions; reading them.

A state is called ``namespace/name`` and belongs to the stack that declares it (``state: uwu://namespace/name``), else
to the stack of its own name, else to whoever made it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.iac import state_crypt, tables
from uwu.kernel import codec, paging, sight
from uwu.kernel import tables as world
from uwu.kernel.authorize import Target
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.runtime import Kernel

SCHEME = "uwu://"
"""How a stack names a state that is kept here; alone it means the state of the stack's own name."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,89}")
"""What Terraform's cloud block takes for a workspace, less a dot or a hyphen in front: 90 characters."""
MAX_LIMIT = 500


class LockInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the holder of a lock tells of itself (``statemgr.LockInfo`` of Terraform), and who it is to uwu."""

    id: str
    who: str
    """``user@host``, as the holder says."""
    operation: str
    """``OperationTypeApply``."""
    info: str
    version: str
    """Of Terraform."""
    created: str
    """As the holder says it."""
    path: str
    locked_by: str
    """The principal that holds it, whatever the holder calls itself."""
    locked_at: datetime


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a state: what is known of it without opening it."""

    id: str
    state: str
    number: int
    serial: int
    lineage: str
    terraform_version: str
    resources: int
    outputs: int
    opaque: bool
    """Its client has encrypted it: nothing in it can be read here."""
    sha256: str
    md5: str
    bytes: int
    created_at: datetime
    created_by: str
    via: str
    """http, cloud, import or rollback."""
    operation: str
    forced: bool
    restored: int
    """The number of the version that it brings back; 0 for none."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A state that is kept."""

    id: str
    namespace: str
    name: str
    created_at: datetime
    created_by: str
    number: int
    """Of the last version; 0 where nothing was written yet."""
    tags: dict[str, str]
    stack: str
    """The reference of the stack that it belongs to; empty for none."""
    owner: str
    """Who owns the stack; whoever made the state where it belongs to none."""
    account: str
    version: Version | None
    """The current one; None where nothing was written, or where the state was deleted."""
    lock: LockInfo | None

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def source(self) -> str:
        """How a stack names it."""
        return f"{SCHEME}{self.key}"

    def target(self) -> Target:
        """What policies judge."""
        return _target(self.key, self.stack, self.owner, self.account)


class StatePage(msgspec.Struct, frozen=True):
    """States by name."""

    items: list[State]
    total: int
    after: str = ""


class VersionPage(msgspec.Struct, frozen=True):
    """Versions of a state, the newest first."""

    items: list[Version]
    total: int
    after: str = ""


def named(text: str, place: str = "state") -> tuple[str, str]:
    """(namespace, name) of ``namespace/name``, with ``uwu://`` before it or not. Raises ``BadInput``."""
    namespace, slash, name = text.removeprefix(SCHEME).partition("/")
    if slash and NAME.fullmatch(namespace) and NAME.fullmatch(name):
        return namespace, name
    raise BadInput(
        f"{text[:120]!r} is no name of a state",
        code="state-name",
        place=place,
        hint="namespace/name, such as default/payments: letters, digits, _, . and -, 90 of each at most",
    )


def _target(key: str, stack: str, owner: str, account: str) -> Target:
    return Target("Entity", stack or f"state:{key}", owner, account, {"title": f"state {key}"})


# ---- whose it is


def _stack(s: sa.FromClause) -> sa.ScalarSelect[Any]:
    """The stack of a state: the one that names it, else that of its own name."""
    f, e = world.entity_facts, world.entities
    source = sa.literal(SCHEME).concat(s.c.namespace).concat("/").concat(s.c.name)
    stacks = sa.and_(sa.func.lower(e.c.kind) == "stack", e.c.orphan.is_(False))
    names = (
        sa.select(sa.func.min(f.c.ref))
        .join(e, sa.and_(e.c.ref == f.c.ref, stacks))
        .where(f.c.key == "spec.state", f.c.value == sa.func.lower(source))
        .where(sa.func.coalesce(f.c.written, f.c.value) == source)
        .correlate(s)
        .scalar_subquery()
    )
    own = sa.literal("stack:").concat(sa.func.lower(s.c.namespace)).concat("/").concat(sa.func.lower(s.c.name))
    same = sa.select(e.c.ref).where(e.c.ref == own, stacks).correlate(s).scalar_subquery()
    return sa.select(sa.func.coalesce(names, same, "")).correlate(s).scalar_subquery()


def _whose(s: sa.FromClause) -> tuple[sa.ColumnElement[str], sa.ColumnElement[str], sa.ColumnElement[str]]:
    """(stack, its owner, its account) of the states ``s``."""
    t, e, stack = world.relations, world.entities, _stack(s)
    owner = sa.select(sa.func.min(t.c.target)).where(t.c.source == stack, t.c.kind == "ownedBy", t.c.valid_to.is_(None))
    account = sa.select(e.c.spec["account"].as_string()).where(e.c.ref == stack)
    return (
        stack.label("stack"),
        owner.correlate(s).scalar_subquery().label("owner"),
        account.correlate(s).scalar_subquery().label("account"),
    )


def prospective(connection: sa.Connection, namespace: str, name: str) -> Target:
    """What policies judge of a state that is not there yet: by the stack that would have it."""
    asked = sa.select(sa.literal(namespace).label("namespace"), sa.literal(name).label("name")).subquery("asked")
    with sight.everything():
        stack, owner, account = connection.execute(sa.select(*_whose(asked)).select_from(asked)).one()
    return _target(f"{namespace}/{name}", stack, owner or "", account or "")


# ---- reading


def _query(*where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    s, v = tables.states, tables.versions
    mine = [column.label(f"v_{column.name}") for column in columns(v, Version)]  # type: ignore[attr-defined]
    return sa.select(s, *_whose(s), *mine).select_from(s.outerjoin(v, v.c.id == s.c.version)).where(*where)


def _state(row: Mapping[str, Any]) -> State:
    version = None
    if row["v_id"] is not None:
        fields = Version.__struct_fields__
        version = to_struct(Version, [row[f"v_{name}"] for name in fields])
    stack = row["stack"] or ""
    return State(
        id=row["id"],
        namespace=row["namespace"],
        name=row["name"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        number=row["number"],
        tags=row["tags"],
        stack=stack,
        owner=(row["owner"] or "") if stack else row["created_by"],
        account=row["account"] or "",
        version=version,
        lock=lock_of(row),
    )


def lock_of(row: Mapping[str, Any]) -> LockInfo | None:
    """The lock of a row of states; None where it is not locked."""
    if not row["lock_id"]:
        return None
    told: dict[str, str] = row["lock"] or {}
    return LockInfo(
        id=row["lock_id"],
        who=told.get("who", ""),
        operation=told.get("operation", ""),
        info=told.get("info", ""),
        version=told.get("version", ""),
        created=told.get("created", ""),
        path=told.get("path", ""),
        locked_by=row["locked_by"],
        locked_at=row["locked_at"],
    )


def _one(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> State | None:
    with sight.everything():
        row = connection.execute(_query(*where)).mappings().first()
    return _state(dict(row)) if row is not None else None


def find(connection: sa.Connection, namespace: str, name: str) -> State | None:
    """The state of this name; None where there is none. It reads what there is, whoever asks."""
    s = tables.states
    return _one(connection, s.c.namespace == namespace, s.c.name == name)


def by_id(connection: sa.Connection, id: str) -> State:
    """The state with this id. Raises ``NotFound``."""
    found = _one(connection, tables.states.c.id == id)
    if found is None:
        raise NotFound(f"there is no workspace {id[:80]!r}", code="state-unknown", hint="uwu iac state list")
    return found


def get(connection: sa.Connection, key: str) -> State:
    """The state ``namespace/name``, where whoever looks may see it. Raises ``NotFound``, ``BadInput``."""
    namespace, name = named(key)
    found = find(connection, namespace, name)
    if found is None or not sight.current().sees(_seen_owner(found), found.account):
        raise NotFound(f"there is no state {key[:200]}", code="state-unknown", hint="uwu iac state list")
    return found


def _seen_owner(state: State) -> str:
    """The owner by which sight is judged: whoever made a state of no stack is no owner in the catalog."""
    return state.owner if state.stack else ""


def listed(
    connection: sa.Connection,
    *,
    namespace: str = "",
    search: str = "",
    owner: str = "",
    locked: bool | None = None,
    tags: Mapping[str, str | None] | None = None,
    limit: int = 50,
    after: str = "",
) -> StatePage:
    """States by namespace and name, of those that whoever looks may see. ``tags``: all of them, with this value where
    one is given."""
    seen = sight.current()
    place = paging.place(after, str, str)
    limit = min(max(limit, 1), MAX_LIMIT)
    s = tables.states
    given: list[sa.ColumnElement[bool]] = []
    if namespace:
        given.append(s.c.namespace == namespace)
    if search:
        given.append(s.c.name.contains(search, autoescape=True))
    if locked is not None:
        given.append(s.c.lock_id != "" if locked else s.c.lock_id == "")
    for key, value in (tags or {}).items():
        held = s.c.tags[key].as_string()
        given.append(held.is_not(None) if value is None else held == value)
    rows = _query(*given).subquery("rows")
    whose = sa.case((rows.c.stack == "", ""), else_=sa.func.coalesce(rows.c.owner, ""))
    visible = seen.where(whose, rows.c.account)
    narrowed = [] if visible is None else [visible]
    if owner:
        narrowed.append(sa.case((rows.c.stack == "", rows.c.created_by), else_=rows.c.owner) == owner)
    query = sa.select(rows).where(*narrowed).order_by(rows.c.namespace, rows.c.name).limit(limit + 1)
    if place is not None:
        query = query.where(sa.tuple_(rows.c.namespace, rows.c.name) > sa.tuple_(*map(sa.literal, place)))
    with sight.everything():
        total = connection.execute(sa.select(sa.func.count()).select_from(rows).where(*narrowed)).scalar_one()
        found = [_state(dict(row)) for row in connection.execute(query).mappings()]
    items = found[:limit]
    more = paging.cursor(items[-1].namespace, items[-1].name) if len(found) > limit else ""
    return StatePage(items, total, more)


def owners(connection: sa.Connection) -> list[tuple[str, int]]:
    """The owners of the states that whoever looks may see, with how many each has; the largest first."""
    seen = sight.current()
    rows = _query().subquery("rows")
    whose = sa.case((rows.c.stack == "", rows.c.created_by), else_=sa.func.coalesce(rows.c.owner, "")).label("whose")
    catalogued = sa.case((rows.c.stack == "", ""), else_=sa.func.coalesce(rows.c.owner, ""))
    visible = seen.where(catalogued, rows.c.account)
    count = sa.func.count().label("count")
    query = sa.select(whose, count).group_by(whose).order_by(count.desc(), whose).limit(100)
    with sight.everything():
        found = connection.execute(query if visible is None else query.where(visible))
        return [(row[0], row[1]) for row in found if row[0]]


def versions(connection: sa.Connection, state: str, *, limit: int = 50, after: str = "") -> VersionPage:
    """The versions of the state with this id, the newest first."""
    v = tables.versions
    place = paging.place(after, int)
    limit = min(max(limit, 1), MAX_LIMIT)
    query = sa.select(*columns(v, Version)).where(v.c.state == state).order_by(v.c.number.desc()).limit(limit + 1)
    if place is not None:
        query = query.where(v.c.number < min(max(place[0], 0), 2**31 - 1))
    total = connection.execute(sa.select(sa.func.count()).select_from(v).where(v.c.state == state)).scalar_one()
    found = [to_struct(Version, row) for row in connection.execute(query)]
    items = found[:limit]
    return VersionPage(items, total, paging.cursor(items[-1].number) if len(found) > limit else "")


def version(connection: sa.Connection, state: str, number: int) -> Version:
    """One version by its number. Raises ``NotFound``."""
    v = tables.versions
    row = connection.execute(sa.select(*columns(v, Version)).where(v.c.state == state, v.c.number == number)).first()
    if row is None:
        raise NotFound(
            f"there is no version {number} of this state",
            code="state-version-unknown",
            hint="uwu iac state versions lists them; old ones are deleted after iac.keep_days",
        )
    return to_struct(Version, row)


def before(connection: sa.Connection, state: str, number: int, *, exact: bool) -> Version | None:
    """Version ``number`` itself where ``exact``, else the one before it: None where it is the first that is kept."""
    if exact:
        return version(connection, state, number)
    v = tables.versions
    query = sa.select(*columns(v, Version)).where(v.c.state == state, v.c.number < number)
    row = connection.execute(query.order_by(v.c.number.desc()).limit(1)).first()
    return to_struct(Version, row) if row is not None else None


def version_by_id(connection: sa.Connection, id: str) -> Version | None:
    """The version with this id; None where there is none."""
    v = tables.versions
    row = connection.execute(sa.select(*columns(v, Version)).where(v.c.id == id)).first()
    return to_struct(Version, row) if row is not None else None


def pieces(kernel: Kernel, version: str) -> Iterator[bytes]:
    """The bytes of the version with this id, as they came, secrets and all, some at a time."""
    v = tables.versions
    return state_crypt.pieces(kernel, sa.select(v.c.blob).where(v.c.id == version).scalar_subquery())


def content(kernel: Kernel, version: str) -> bytes:
    """The bytes of the version with this id."""
    return b"".join(pieces(kernel, version))


def current_content(kernel: Kernel, source: str) -> bytes:
    """The bytes of the current version of ``uwu://namespace/name``: for the jobs of uwu itself.

    Raises ``NotFound`` (``state-missing``) where there is none.
    """
    namespace, name = named(source, source)
    with kernel.db.read() as connection:
        found = find(connection, namespace, name)
    if found is None or found.version is None:
        raise NotFound(
            "there is no such state here",
            code="state-missing",
            place=source,
            hint="run terraform apply with this server as its backend once, or uwu iac state import",
        )
    return content(kernel, found.version.id)


def new_id() -> str:
    """The id of a state; Terraform calls it a workspace."""
    return codec.new_id("ws")
