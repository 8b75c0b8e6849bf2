"""Terraform states: whose they are, who holds them, what each version has changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa

from uwu.app import identify
from uwu.app.console import compare, links, words
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, query, redirect, tail
from uwu.app.console.lists import Query, filter_of, href_of
from uwu.app.console.plans import person
from uwu.app.console.views import Fact, Filter, View, Who
from uwu.domains.iac import state_diff, state_lock, state_store, state_write
from uwu.domains.iac.actions import READ, UNLOCK, WRITE
from uwu.domains.iac.state_diff import ResourceChange, StateDiff
from uwu.domains.iac.state_store import LockInfo, State, Version
from uwu.kernel import authorize, tables
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

SHOWN, VERSIONS_SHOWN, CHANGES_SHOWN, REFUSALS_SHOWN = 50, 30, 200, 3
SEE = "world.read"
OPS = {"added": ("add", "+"), "changed": ("upd", "~"), "removed": ("del", "−")}
OPERATIONS = {"OperationTypeApply": "applies", "OperationTypePlan": "plans", "OperationTypeRefresh": "refreshes"}


class Line(View, frozen=True):
    """A state in the list."""

    key: str
    href: str
    owner: str
    owner_href: str
    serial: str
    resources: int
    written: datetime | None
    by: Who | None
    lock: str
    """Who holds it, and for how long; empty where nobody does."""


class StatesPage(View, frozen=True):
    filters: list[Filter]
    items: list[Line]
    total: int
    more: str
    filtered: bool
    address: str
    """Where a new one would lie."""


class Change(View, frozen=True):
    """A resource or an output that is not as it was."""

    op: str
    sign: str
    kind: str
    address: str
    type: str
    diff: compare.Diff | None
    note: str


class Changes(View, frozen=True):
    """What is different between two versions."""

    before: int
    after: int
    told: str
    items: list[Change]
    more: int


class Moment(View, frozen=True):
    """A version in the list of a state's page."""

    number: int
    href: str
    who: Who
    at: datetime
    told: str
    """``serial 12, 34 resources``."""
    how: str
    current: bool
    shown: bool


class Refusal(View, frozen=True):
    """A write that was refused."""

    at: datetime
    who: Who
    reason: str


class StatePage(View, frozen=True):
    """One state."""

    key: str
    href: str
    source: str
    address: str
    owner: str
    owner_href: str
    stack: str
    stack_href: str
    empty: str
    """Why there is no current version; empty where there is one."""
    lock: list[Fact]
    lock_age: str
    lock_id: str
    unlocks: bool
    writes: bool
    may: list[tuple[str, bool]]
    facts: list[Fact]
    versions: list[Moment]
    earlier: str
    total: int
    changes: Changes | None
    refused: list[Refusal]


# ---- the list


def listed(kernel: Kernel, asked: Query, base: str) -> StatesPage:
    """The states of the filters, by name."""
    locked = {"yes": True, "no": False}.get(asked.get("locked", ""))
    owner, search = asked.get("owner", ""), asked.get("search", "")
    with kernel.db.read() as connection:
        page = state_store.listed(
            connection, search=search, owner=owner, locked=locked, limit=SHOWN, after=asked.get("after", "")
        )
        owners = state_store.owners(connection)
    filters = [
        filter_of(links.STATES, asked, "owner", "owner", owners, words.short_ref),
        filter_of(links.STATES, asked, "locked", "locked", [("yes", None), ("no", None)], str),
    ]
    return StatesPage(
        filters=filters,
        items=[_line(state) for state in page.items],
        total=page.total,
        more=href_of(links.STATES, asked, after=page.after) if page.after else "",
        filtered=bool(owner or search or locked is not None),
        address=f"{base}/iac/state/default/payments",
    )


def _line(state: State) -> Line:
    version, lock = state.version, state.lock
    return Line(
        key=state.key,
        href=links.state(state.key),
        owner=words.short_ref(state.owner),
        owner_href=links.entity(state.owner) if state.stack and state.owner else "",
        serial=str(version.serial) if version is not None else "",
        resources=version.resources if version is not None else 0,
        written=version.created_at if version is not None else None,
        by=person(version.created_by) if version is not None else None,
        lock=f"{words.short_ref(lock.locked_by)}, {words.age(lock.locked_at)}" if lock is not None else "",
    )


# ---- one state


def shown(kernel: Kernel, principal: Principal, key: str, asked: Query, base: str) -> StatePage:
    """The page of one state; with ``?before=&after=`` what is different between two versions."""
    before, after = _number(asked, "before"), _number(asked, "after")
    with kernel.db.read() as connection:
        state = state_store.get(connection, key)
        page = state_store.versions(connection, state.id, limit=VERSIONS_SHOWN, after=asked.get("earlier", ""))
        refused = _refused(connection, state)
    may = {
        action: authorize.decide(kernel, principal, action, state.target()).allowed for action in (READ, WRITE, UNLOCK)
    }
    current = state.version
    changes = _changes(state_diff.between(kernel, key, before, after)) if after or before else None
    return StatePage(
        key=state.key,
        href=links.state(state.key),
        source=state.source,
        address=f"{base}/iac/state/{state.key}",
        owner=words.short_ref(state.owner),
        owner_href=links.entity(state.owner) if state.stack and state.owner else "",
        stack=words.short_ref(state.stack),
        stack_href=links.entity(state.stack) if state.stack else "",
        empty="" if current else "Nothing was written to it yet" if not state.number else "It was deleted",
        lock=_lock(state.lock) if state.lock is not None else [],
        lock_age=words.age(state.lock.locked_at) if state.lock is not None else "",
        lock_id=state.lock.id if state.lock is not None else "",
        unlocks=may[UNLOCK] and state.lock is not None,
        writes=may[WRITE],
        may=[
            ("download it, secrets and all", may[READ]),
            ("write it, bring a version back", may[WRITE]),
            ("take a lock away", may[UNLOCK]),
        ],
        facts=_facts(current) if current is not None else [],
        versions=[_moment(state, each, changes) for each in page.items],
        earlier=links.with_query(links.state(state.key), {"earlier": page.after}) if page.after else "",
        total=page.total,
        changes=changes,
        refused=refused,
    )


def _number(asked: Query, name: str) -> int:
    text = asked.get(name, "")
    if text and not (text.isdecimal() and len(text) <= 9):
        raise BadInput(f"{text[:20]!r} is no version", place=name, hint="a version has a number, such as 7")
    return int(text or 0)


def _lock(lock: LockInfo) -> list[Fact]:
    does = OPERATIONS.get(lock.operation, lock.operation)
    told = [
        Fact(label="Held by", value=lock.locked_by, mono=True),
        Fact(label="Calls itself", value=lock.who),
        Fact(label="What it does", value=does),
        Fact(label="Says", value=lock.info),
        Fact(label="Since", value=f"{words.moment(lock.locked_at)}, {words.age(lock.locked_at)} ago"),
        Fact(label="Terraform", value=lock.version),
        Fact(label="Lock", value=lock.id, mono=True),
    ]
    return [fact for fact in told if fact.value]


def _facts(version: Version) -> list[Fact]:
    size = f"{version.bytes / 1e6:.1f} MB" if version.bytes >= 100_000 else f"{version.bytes:,} bytes"
    told = [
        Fact(label="Serial", value=str(version.serial)),
        Fact(label="Lineage", value=version.lineage, mono=True),
        Fact(label="Resources", value="encrypted by its client" if version.opaque else f"{version.resources:,}"),
        Fact(label="Outputs", value="" if version.opaque else str(version.outputs)),
        Fact(label="Size", value=size),
        Fact(label="Terraform", value=version.terraform_version),
        Fact(label="Written", value=words.clock(version.created_at)),
        Fact(label="SHA-256", value=version.sha256[:16], mono=True),
    ]
    return [fact for fact in told if fact.value]


def _moment(state: State, version: Version, changes: Changes | None) -> Moment:
    current = state.version is not None and state.version.id == version.id
    how = [version.via, version.operation.removeprefix("OperationType").lower()]
    how += ["forced"] if version.forced else []
    how += [f"version {version.restored} brought back"] if version.restored else []
    return Moment(
        number=version.number,
        href=links.with_query(links.state(state.key), {"after": str(version.number)}),
        who=person(version.created_by),
        at=version.created_at,
        told=f"serial {version.serial}, {words.plural(version.resources, 'resource')}",
        how=", ".join(filter(None, how)),
        current=current,
        shown=changes is not None and changes.after == version.number,
    )


def _refused(connection: sa.Connection, state: State) -> list[Refusal]:
    a = tables.audit
    mine = sa.and_(a.c.subject == f"state:{state.key}", a.c.action == "iac.state.refused")
    rows = connection.execute(sa.select(a).where(mine).order_by(a.c.seq.desc()).limit(REFUSALS_SHOWN))
    return [Refusal(at=row.at, who=person(row.actor), reason=str((row.detail or {}).get("reason", ""))) for row in rows]


def _changes(diff: StateDiff) -> Changes:
    counts = ((diff.added, "added"), (diff.changed, "changed"), (diff.removed, "removed"))
    told = ", ".join(f"{number:,} {what}" for number, what in counts if number)
    return Changes(
        before=diff.before,
        after=diff.after,
        told=told or "nothing but the serial",
        items=[_change(each) for each in diff.changes[:CHANGES_SHOWN]],
        more=max(0, len(diff.changes) - CHANGES_SHOWN),
    )


def _change(change: ResourceChange) -> Change:
    op, sign = OPS[change.kind]
    lines = [line for path in change.paths for line in compare.attribute(path.path, path.before, path.after)]
    held, left = compare.cut(lines)
    notes = [f"and {words.plural(left, 'line')} more"] if left else []
    notes += [f"and {words.plural(change.more, 'attribute')} more"] if change.more else []
    return Change(
        op=op,
        sign=sign,
        kind=change.kind,
        address=change.address,
        type="" if change.type == "output" else change.type,
        diff=compare.Diff("", "", held, notes) if held else None,
        note="a secret has changed; its values are never shown" if any(path.secret for path in change.paths) else "",
    )


# ---- routes


def _base(at: Frame, request: Asked) -> str:
    return identify.base_url(request.scope, at.kernel.settings)  # type: ignore[arg-type]


def show_states(at: Frame, request: Asked) -> Answer:
    view = listed(at.kernel, query(request), _base(at, request))
    return at.page(request, "states.html", section=links.STATES, view=view)


def show_state(at: Frame, request: Asked) -> Answer:
    principal = identify.principal_of(request)
    view = shown(at.kernel, principal, tail(request, links.STATES), query(request), _base(at, request))
    return at.page(request, "state.html", section=links.STATES, view=view)


def _may(at: Frame, request: Asked, form: Form, action: str) -> tuple[Principal, State]:
    """Who asks and the state of the form, once it is decided that they may. Raises ``NotFound``, ``NotAllowed``."""
    principal = identify.principal_of(request)
    with at.kernel.db.read() as connection:
        state = state_store.get(connection, form.get("state"))
    authorize.require(at.kernel, principal, action, state.target())
    return principal, state


def unlock(at: Frame, request: Asked, form: Form) -> Answer:
    principal, state = _may(at, request, form, UNLOCK)
    state_lock.force_unlock(at.kernel, principal, state.key, id=form.get("lock"), reason=form.get("reason"))
    return redirect(links.state(state.key))


def rollback(at: Frame, request: Asked, form: Form) -> Answer:
    principal, state = _may(at, request, form, WRITE)
    number: Any = form.get("version")
    if not number.isdecimal() or len(number) > 9:
        raise NotFound("there is no such version", code="state-version-unknown")
    made = state_write.rollback(at.kernel, principal, state.key, int(number))
    return redirect(f"{links.state(state.key)}?{urlencode({'after': made.number})}")


PAGES = (
    Page(links.STATES, show_states, SEE),
    Page(links.STATES + "/{key:path}", show_state, SEE),
    Act("/state-unlock", unlock, "self.change"),
    Act("/state-rollback", rollback, "self.change"),
)
