"""What may be seen: lists, counts and names are filtered in SQL by what the policies let one read.

What is read is decided for slices: everything of one owner in one account. The slices that are there are asked for in
one batch; where no policy looks at the slice at all, as with those that uwu ships, one answer holds for everything and
nothing is filtered. Within ``looking_as`` every statement that reads the world reads only the rows that are allowed, so
that no list, count, search or story can forget to ask; a statement that cannot be rewritten is refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import visitors

from uwu.kernel import authorize, codec, policies, tables
from uwu.kernel.authorize import SLICE, Target
from uwu.kernel.errors import Denied
from uwu.kernel.identity import Principal
from uwu.kernel.model import Change

if TYPE_CHECKING:
    from uwu.kernel.domain import ChangeLog
    from uwu.kernel.policies import PolicySet
    from uwu.kernel.runtime import Kernel

KEEP_SECONDS = 15.0
"""How long the slices that are there, and what is decided of them, are kept. A new slice is seen that much later; what
moves into a slice that is not allowed is hidden at once, for rows are compared as they are."""
_KEPT = 512
MOST_CHANGES = 20_000
"""So many changes are looked through for those that may be seen."""

Slice = tuple[str, str]
"""(owner, account), either empty for none."""


@dataclass(frozen=True)
class Visible:
    """What one principal may read: everything, or what lies in ``slices``."""

    all: bool
    slices: frozenset[Slice] = frozenset()
    known: frozenset[Slice] = frozenset()
    """Those that are there."""
    dialect: str = "sqlite"

    @cached_property
    def accounts(self) -> frozenset[str]:
        """The accounts of which something may be seen."""
        return frozenset(account for _, account in self.slices if account)

    @cached_property
    def hidden_accounts(self) -> frozenset[str]:
        """The accounts of which nothing may be seen."""
        return frozenset(account for _, account in self.known if account) - self.accounts

    @property
    def whole(self) -> bool:
        """Whether everything that there is may be seen."""
        return self.all or (bool(self.known) and self.known <= self.slices)

    def sees(self, owner: str, account: str) -> bool:
        """Whether what ``owner`` owns in ``account`` may be seen."""
        return self.all or (owner, account) in self.slices

    def sees_account(self, account: str) -> bool:
        """Whether anything in ``account`` may be seen; what is in none may."""
        return self.all or not account or account in self.accounts

    def where(
        self, owner: sa.ColumnElement[Any] | None = None, account: sa.ColumnElement[Any] | None = None
    ) -> sa.ColumnElement[bool] | None:
        """The condition on a list's columns of owner and account; None where all may be seen."""
        if self.all:
            return None
        if owner is None and account is None:
            return sa.false()
        if owner is None:
            return sa.func.coalesce(account, "").in_(self.values({"", *self.accounts}))
        if account is None:
            account = sa.literal("")
        key = sa.func.coalesce(owner, "").concat(" ").concat(sa.func.coalesce(account, ""))
        return key.in_(self.values({f"{o} {a}" for o, a in self.slices}))

    def values(self, values: set[str]) -> sa.Select[Any]:
        """``values`` as a query of one column: one parameter, however many they are."""
        text = sa.literal(codec.encode(sorted(values)).decode())
        if self.dialect == "postgresql":
            each = sa.func.jsonb_array_elements_text(sa.cast(text, postgresql.JSONB)).table_valued("value")
        else:
            each = sa.func.json_each(text).table_valued("value")
        return sa.select(each.c.value)

    # ---- the tables as one sees them

    @cached_property
    def shown(self) -> Mapping[sa.Table, sa.Subquery]:
        """Each table of the world -> the rows of it that may be seen."""
        r, v, e, f = tables.resources, tables.versions, tables.entities, tables.findings
        o, d, t, c = tables.ownership, tables.declarations, tables.relations, tables.coverage
        p, s, n, y = tables.plans, tables.plan_subjects, tables.notices, tables.entropy_days
        x = tables.exemptions
        conditions: dict[sa.Table, sa.ColumnElement[bool]] = {
            r: self._resource(r),
            v: self._version(v),
            tables.past_versions: self._version(tables.past_versions),
            e: self._entity(e),
            f: self._finding(f),
            o: self.key(o.c.subject),
            d: self._declared(d),
            t: sa.and_(self.key(t.c.source), self.key(t.c.target)),
            c: _true(self.where(None, c.c.account)),
            p: self._plan(p.c.id),
            s: self.key(s.c.subject),
            n: self._notice(n),
            y: self._entropy(y),
            x: sa.or_(
                sa.and_(x.c.subject != "", self.key(x.c.subject)),
                sa.and_(x.c.subject == "", _true(self.where(None, x.c.account))),
            ),
        }
        return {table: sa.select(table).where(where).subquery(table.name) for table, where in conditions.items()}

    def _owner_of(self, urn: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        o = tables.ownership.alias()
        return sa.select(o.c.owner).where(o.c.subject == urn).correlate_except(o).scalar_subquery()

    def _resource(self, r: sa.FromClause) -> sa.ColumnElement[bool]:
        return _true(self.where(r.c.owner, r.c.account))

    def _version(self, v: sa.FromClause) -> sa.ColumnElement[bool]:
        return _true(self.where(self._owner_of(v.c.urn), v.c.account))

    def _entity(self, e: sa.FromClause) -> sa.ColumnElement[bool]:
        owner, account = _entity_slice(e)
        return _true(self.where(owner, account))

    def _finding(self, f: sa.FromClause) -> sa.ColumnElement[bool]:
        return _true(self.where(f.c.owner, f.c.account))

    def key(self, key: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """A urn or a reference may be seen: what it names may, or it names nothing known, in no hidden account."""
        r, e = tables.resources.alias(), tables.entities.alias()
        resource, entity = sa.select(r.c.urn).where(r.c.urn == key), sa.select(e.c.ref).where(e.c.ref == key)
        hidden = self.values(set(self.hidden_accounts)).subquery()
        within = sa.func.strpos if self.dialect == "postgresql" else sa.func.instr
        mentioned = sa.select(hidden.c.value).where(within(key, sa.literal(":").concat(hidden.c.value).concat(":")) > 0)
        return sa.or_(
            _exists(resource.where(self._resource(r)), r),
            _exists(entity.where(self._entity(e)), e),
            sa.and_(~_exists(resource, r), ~_exists(entity, e), ~_exists(mentioned, hidden)),
        )

    def _declared(self, d: sa.FromClause) -> sa.ColumnElement[bool]:
        r, f = tables.resources.alias(), tables.findings.alias()
        resource = sa.select(r.c.urn).where(r.c.urn == d.c.urn)
        finding = sa.select(f.c.id).where(f.c.subject == d.c.urn, self._finding(f))
        return sa.or_(
            sa.and_(d.c.urn == "", self.key(d.c.source)),
            _exists(resource.where(self._resource(r)), r),
            # what is declared and not observed has no account of its own: the finding of it has
            sa.and_(d.c.urn != "", ~_exists(resource, r), _exists(finding, f)),
        )

    def _plan(self, id: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """A plan is seen by who may see all that it touches."""
        s = tables.plan_subjects.alias()
        return ~_exists(sa.select(s.c.subject).where(s.c.plan == id, ~self.key(s.c.subject)), s)

    def _notice(self, n: sa.FromClause) -> sa.ColumnElement[bool]:
        f = tables.findings.alias()
        finding = sa.select(f.c.id).where(f.c.id == n.c.subject)
        return sa.and_(
            sa.or_(~_exists(finding, f), _exists(finding.where(self._finding(f)), f)),
            self._plan(n.c.subject),
            self.key(n.c.subject),
        )

    def _entropy(self, y: sa.FromClause) -> sa.ColumnElement[bool]:
        """A sum is seen by who may see all that it adds up."""
        if self.whole:
            return sa.true()
        hidden = self.known - self.slices
        whole_accounts = self.accounts - {account for _, account in hidden}
        whole_owners = {owner for owner, _ in self.slices} - {owner for owner, _ in hidden}
        return sa.or_(
            sa.and_(y.c.scope == "account", y.c.key.in_(self.values(set(whole_accounts)))),
            sa.and_(y.c.scope == "owner", y.c.key.in_(self.values(whole_owners))),
        )


EVERYTHING = Visible(all=True)


def _true(where: sa.ColumnElement[bool] | None) -> sa.ColumnElement[bool]:
    return sa.true() if where is None else where


def _exists(query: sa.Select[Any], *own: sa.FromClause) -> sa.Exists:
    return query.correlate_except(*own).exists()


def _entity_slice(e: sa.FromClause) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """The owner of an entity, and the account where it stands for one."""
    t = tables.relations.alias()
    owned = sa.select(sa.func.min(t.c.target)).where(
        t.c.source == e.c.ref, t.c.kind == "ownedBy", t.c.valid_to.is_(None)
    )
    account = sa.case((e.c.kind == "Account", sa.func.coalesce(e.c.spec["accountId"].as_string(), "")), else_="")
    return owned.correlate_except(t).scalar_subquery(), account


# ---- what a principal sees


def visible(kernel: Kernel, connection: sa.Connection, principal: Principal) -> Visible:
    """What ``principal`` may read. Decided once for some seconds; it asks the database only where slices matter."""
    return _visible(kernel, principal, lambda: connection)


def _visible(
    kernel: Kernel, principal: Principal, connect: Callable[[], sa.Connection] | None, *, fresh: bool = False
) -> Visible:
    held = authorize.policies_for(kernel, principal)
    kept, key, now = kernel.policies.kept, (principal, held.digest), time.monotonic()
    found = kept.seen.get(key)
    if found is not None and now - found[0] < KEEP_SECONDS and not (fresh and held.by_slice):
        return found[1]
    if fresh:
        kept.slices = (0.0, frozenset())
    seen = _judge(kernel, held, principal, connect)
    if len(kept.seen) >= _KEPT:
        kept.seen.clear()
    kept.seen[key] = (now, seen)
    return seen


def _judge(
    kernel: Kernel, held: PolicySet, principal: Principal, connect: Callable[[], sa.Connection] | None
) -> Visible:
    if not held.by_slice:  # no policy tells slices apart: what holds for one holds for all
        one = authorize.allowed_of(kernel, principal, policies.READ, [Target(SLICE, "")])
        return EVERYTHING if one[0] else Visible(all=False, dialect=kernel.db.dialect)
    kept, now = kernel.policies.kept, time.monotonic()
    at, known = kept.slices
    if not known or now - at >= KEEP_SECONDS:
        known = _slices(kernel, connect)
        kept.slices = (now, known)
    given = sorted(known)
    targets = [Target(SLICE, "", owner, account) for owner, account in given]
    allowed = authorize.allowed_of(kernel, principal, policies.READ, targets)
    slices = frozenset(one for one, yes in zip(given, allowed, strict=True) if yes)
    return Visible(all=False, slices=slices, known=known, dialect=kernel.db.dialect)


def _slices(kernel: Kernel, connect: Callable[[], sa.Connection] | None) -> frozenset[Slice]:
    """Every (owner, account) that there is. It reads all, whoever asks."""
    r, f, e, c = tables.resources, tables.findings, tables.entities, tables.coverage
    owner, account = _entity_slice(e)
    queries: tuple[sa.Select[Any, Any], ...] = (
        sa.select(r.c.owner, r.c.account),
        sa.select(f.c.owner, f.c.account),
        sa.select(sa.func.coalesce(owner, ""), account),
        sa.select(sa.literal(""), c.c.account),
    )
    with everything():
        if connect is not None:
            return _read(connect(), queries)
        with kernel.db.read() as connection:
            return _read(connection, queries)


def _read(connection: sa.Connection, queries: tuple[sa.Select[Any, Any], ...]) -> frozenset[Slice]:
    return frozenset((o or "", a or "") for query in queries for o, a in connection.execute(query.distinct()))


# ---- looking as somebody


_LOOKING: ContextVar[tuple[Kernel, Principal] | None] = ContextVar("uwu.looking", default=None)
_UNSEEN = re.compile(
    r"\b(resources|versions|past_versions|entities|findings|ownership|declarations|relations|coverage|plans|plan_subjects|notices"
    r"|entropy_days|exemptions|search_\w+)\b"
)


def look_as(kernel: Kernel, principal: Principal) -> Token[tuple[Kernel, Principal] | None]:
    """From here on, in this context, statements read what ``principal`` may see."""
    return _LOOKING.set((kernel, principal))


@contextmanager
def looking_as(kernel: Kernel, principal: Principal) -> Generator[None]:
    """Within it, statements read what ``principal`` may see."""
    token = look_as(kernel, principal)
    try:
        yield
    finally:
        _LOOKING.reset(token)


@contextmanager
def everything() -> Generator[None]:
    """Within it, statements read everything: for what is decided on behalf of the platform itself."""
    token = _LOOKING.set(None)
    try:
        yield
    finally:
        _LOOKING.reset(token)


def current() -> Visible:
    """What may be seen in this context: everything where nobody looks."""
    looking = _LOOKING.get()
    if looking is None:
        return EVERYTHING
    return _visible(*looking, None)


def watch(engine: sa.Engine) -> None:
    """Lets statements of ``engine`` read what may be seen. Asked once for each engine."""
    event.listen(engine, "before_execute", _before_execute, retval=True)


def _before_execute(_connection: sa.Connection, statement: Any, multi: Any, params: Any, _options: Any) -> Any:
    if _LOOKING.get() is not None:
        seen = current()
        if not seen.all:
            statement = narrowed(statement, seen)
    return statement, multi, params


def narrowed(statement: Any, seen: Visible) -> Any:
    """``statement`` over the rows that may be seen. Raises ``Denied`` for text that cannot be rewritten."""
    if isinstance(statement, sa.Select | sa.CompoundSelect):
        shown = cast("Mapping[Any, sa.Subquery]", seen.shown)

        def replace(element: Any, **_options: Any) -> Any:
            if isinstance(element, sa.Table):
                return shown.get(element)
            if isinstance(element, sa.Column) and element.table in shown:
                return shown[element.table].c[element.key]
            return None

        return cast("Any", visitors.replacement_traverse)(statement, {}, replace)
    if isinstance(statement, sa.TextClause) and _UNSEEN.search(statement.text):
        raise Denied("this cannot be read in part", code="sight-partial", hint="it takes sight of everything")
    return statement


# ---- what is not in the database


def seen_of(kernel: Kernel, seen: Visible, keys: Iterable[str]) -> set[str]:
    """Those of ``keys`` (urns and references) that may be seen."""
    given = set(keys)
    if seen.all or not given:
        return given
    each = seen.values(given).subquery()
    with everything(), kernel.db.read() as connection:
        return set(connection.scalars(sa.select(each.c.value).where(seen.key(each.c.value))))


def require_all(what: str) -> None:
    """Raises ``Denied`` unless everything may be seen in this context: for what cannot be given in part."""
    looking = _LOOKING.get()
    if looking is None or _visible(*looking, None, fresh=True).whole:
        return
    seen = current()
    hidden = f"{len(seen.known - seen.slices)} of {len(seen.known)}" if seen.known else "all"
    raise Denied(
        f"{what} takes sight of everything: you see a part",
        code="sight-partial",
        place=", ".join(label.name for label in authorize.policies_for(*looking).labels if label.by_slice),
        hint=f"policies hide {hidden} pairs of owner and account from you; the lists show the rest",
    )


class SeenLog:
    """A ChangeLog of which each sees the changes of what they may see."""

    def __init__(self, kernel: Kernel, log: ChangeLog) -> None:
        self._kernel, self._log = kernel, log

    def changes(
        self, urns: Sequence[str], *, since: datetime | None = None, until: datetime | None = None, limit: int = 100
    ) -> list[Change]:
        seen = current()
        allowed = seen_of(self._kernel, seen, urns)
        found = self._log.changes([u for u in urns if u in allowed], since=since, until=until, limit=limit)
        return [change for change in found if seen.sees_account(change.account)]

    def recent(self, *, since: datetime, limit: int = 100) -> list[Change]:
        seen, asked = current(), limit
        while True:
            found = self._log.recent(since=since, limit=asked)
            if seen.all:
                return found
            allowed = seen_of(self._kernel, seen, {change.urn for change in found if change.urn})
            kept = [c for c in found if seen.sees_account(c.account) and (not c.urn or c.urn in allowed)]
            if len(kept) >= limit or len(found) < asked or asked >= MOST_CHANGES:
                return kept[:limit]
            asked = min(asked * 4, MOST_CHANGES)

    def as_of(self) -> datetime | None:
        return self._log.as_of()
