"""Exemptions: what a rule says of a subject, or of an account, and may be so until a day.

An exempt finding is hidden from lists and numbers; the judging goes on. It comes back by itself when the exemption
ends, and closes like any other once the rule no longer holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import audit, authorize, codec, domain, notify, paging, rulebook, sight, subjects, tables
from uwu.kernel.authorize import Target
from uwu.kernel.db import columns, to_struct
from uwu.kernel.domain import Schedule
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.jobs import Job, Run
from uwu.kernel.model import UNRESOLVED, FindingStatus
from uwu.kernel.notify.findings import Turned
from uwu.kernel.notify.findings import of as findings_told
from uwu.kernel.runtime import Kernel

ACTION = "rules.exempt"
MADE, ENDED = "exemption.made", "exemption.ended"
"""The audit's actions."""
MOST_REASON = 500
"""Characters of a reason."""
_SOME = 500
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Exemption(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, or all of a pattern, does not count for ``subject``, or for everything in ``account``."""

    id: str
    rule: str
    subject: str
    account: str
    until: datetime
    reason: str
    made_by: str
    made_at: datetime
    ended_at: datetime | None
    """When it ended; None while it holds."""
    ended_by: str
    """Who ended it before its time."""


class Exemptions(msgspec.Struct, frozen=True):
    """One page, those that end first before the others; ``after`` is empty on the last."""

    items: list[Exemption]
    total: int
    after: str


class Exempting:
    """Which findings are exempt at a time, by the exemptions that hold then."""

    def __init__(self, held: Iterable[Exemption]) -> None:
        self._subjects: dict[str, list[Exemption]] = {}
        self._accounts: dict[str, list[Exemption]] = {}
        for one in held:
            index, key = (self._subjects, one.subject) if one.subject else (self._accounts, one.account)
            index.setdefault(key, []).append(one)

    def __bool__(self) -> bool:
        return bool(self._subjects or self._accounts)

    def of(self, rule: str, subject: str, account: str) -> str:
        """The id of what exempts such a finding the longest; empty where nothing does."""
        held = [*self._subjects.get(subject, ()), *self._accounts.get(account, ())]
        fits = [one for one in held if fnmatchcase(rule, one.rule)]
        return max(fits, key=lambda one: (one.until, one.id)).id if fits else ""


def holding(connection: sa.Connection, at: datetime) -> Exempting:
    """The exemptions that hold at ``at``, to ask them of many findings."""
    e = tables.exemptions
    query = sa.select(*columns(e, Exemption)).where(e.c.ended_at.is_(None), e.c.until > at)
    return Exempting(to_struct(Exemption, row) for row in connection.execute(query))


def until(text: str) -> datetime:
    """The end of an exemption as people give it: a day, which is its last (UTC), or a time in ISO 8601.

    Raises ``BadInput`` for what is neither.
    """
    try:
        if _DAY.fullmatch(text.strip()):
            return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC) + timedelta(days=1)
        return codec.parse_time(text.strip())
    except ValueError:
        raise BadInput(
            f"{text[:40]!r} is neither a day nor a time", code="time", place="until", hint="2027-01-31, the last day"
        ) from None


def exempt(
    kernel: Kernel,
    principal: Principal,
    *,
    rule: str,
    subject: str = "",
    account: str = "",
    until: datetime,
    reason: str,
) -> Exemption:
    """Exempts ``subject`` (whatever names one) or ``account`` from ``rule`` until a time, at once, and audits it.

    Raises ``BadInput`` where not exactly one of them is named, no rule fits, the reason is missing, or the time is past
    or further off than ``rules.exemption_max_days``; ``NotFound`` for what is not known; ``NotAllowed``.
    """
    at = codec.now()
    most = kernel.settings.rules.exemption_max_days
    if bool(subject) == bool(account):
        raise BadInput("an exemption is of a subject or of an account", code="exemption-scope", hint="name one of them")
    known = [one.id for _, one in rulebook.rules(kernel)] + domain.exemptable_of(kernel.domains, kernel)
    if not any(fnmatchcase(each, rule) for each in known):
        raise BadInput(f"there is no rule {rule[:100]!r}", code="rule-unknown", hint="uwu rules --all lists them")
    if not reason.strip() or len(reason) > MOST_REASON:
        raise BadInput(
            "an exemption needs a reason that others can read",
            code="exemption-reason",
            hint=f"why it may be so until then, in {MOST_REASON} characters",
        )
    if not at < until <= at + timedelta(days=most):
        raise BadInput(
            f"an exemption ends between now and {most} days from now, not {codec.iso(until)}",
            code="exemption-until",
            hint="what may stay for ever is a rule to disable: rules.disabled",
        )
    with sight.looking_as(kernel, principal), kernel.db.read() as connection:
        subject = subjects.resolve(connection, subject) if subject else ""
        if account and not _is_known(connection, account):
            raise NotFound(
                f"nothing is known of an account {account[:20]!r}", hint="give the id of one that is observed"
            )
        (target,) = _targets(connection, [(subject, account)])
    authorize.require(kernel, principal, ACTION, target)
    made = Exemption(
        id=codec.new_id("ex"),
        rule=rule,
        subject=subject,
        account=account,
        until=until,
        reason=reason.strip(),
        made_by=principal.ref,
        made_at=at,
        ended_at=None,
        ended_by="",
    )
    told = {"rule": rule, "account": account, "until": codec.iso(until), "reason": made.reason}
    with kernel.db.write() as connection:
        connection.execute(tables.exemptions.insert().values(**msgspec.structs.asdict(made)))
        _apply(kernel, connection, at, _scope(made))
        audit.append(
            connection, actor=principal.ref, action=MADE, subject=subject or account, detail={"id": made.id, **told}
        )
    return made


def end(kernel: Kernel, principal: Principal, id: str) -> Exemption:
    """Ends an exemption before its time; its findings are back at once.

    Raises ``NotFound``, ``NotAllowed``, and ``Conflict`` where it has ended.
    """
    at = codec.now()
    e = tables.exemptions
    with sight.looking_as(kernel, principal), kernel.db.read() as connection:
        held = one(connection, id)
        (target,) = _targets(connection, [(held.subject, held.account)])
    authorize.require(kernel, principal, ACTION, target)
    with kernel.db.write() as connection:
        ended = e.update().where(e.c.id == id, e.c.ended_at.is_(None)).values(ended_at=at, ended_by=principal.ref)
        if not connection.execute(ended).rowcount:
            raise Conflict(f"the exemption {id} has ended already", code="exemption-ended")
        _apply(kernel, connection, at, _scope(held))
        detail = {"id": id, "rule": held.rule, "account": held.account}
        audit.append(connection, actor=principal.ref, action=ENDED, subject=held.subject or held.account, detail=detail)
        return one(connection, id)


Scope = tuple[str, str]
"""(subject, account), of which one is empty."""


def may(kernel: Kernel, connection: sa.Connection, principal: Principal, scopes: Sequence[Scope]) -> list[bool]:
    """For each of ``scopes`` whether ``principal`` may exempt it, or end that: what a page offers, never what it does.

    They are at most some hundreds.
    """
    return authorize.allowed_of(kernel, principal, ACTION, _targets(connection, scopes))


def _targets(connection: sa.Connection, scopes: Sequence[Scope]) -> list[Target]:
    """What is exempt, as policies see it."""
    r, f, o, t = tables.resources, tables.findings, tables.ownership, tables.relations
    subjects = sorted({subject for subject, _ in scopes if subject})
    owners: dict[str, str] = {}
    accounts: dict[str, str] = {}
    if subjects:
        owned = sa.select(o.c.subject, o.c.owner).where(o.c.subject.in_(subjects))
        said = sa.select(t.c.source, t.c.target).where(
            t.c.source.in_(subjects), t.c.kind == "ownedBy", t.c.valid_to.is_(None)
        )
        owners = {
            row[0]: row[1] for query in (said.order_by(t.c.target.desc()), owned) for row in connection.execute(query)
        }
        # what is declared and not there has the account of its finding
        for query in (
            sa.select(f.c.subject, f.c.account).where(f.c.subject.in_(subjects)),
            sa.select(r.c.urn, r.c.account).where(r.c.urn.in_(subjects)),
        ):
            accounts |= {row[0]: row[1] for row in connection.execute(query)}
    return [
        Target("Resource", subject, owners.get(subject, ""), accounts.get(subject, ""))
        if subject
        else Target("Account", account, account=account)
        for subject, account in scopes
    ]


def _is_known(connection: sa.Connection, account: str) -> bool:
    known = (table.c.account for table in (tables.coverage, tables.resources, tables.findings))
    return any(connection.scalars(sa.select(column).where(column == account).limit(1)).first() for column in known)


def one(connection: sa.Connection, id: str) -> Exemption:
    """The exemption of ``id``. Raises ``NotFound``."""
    e = tables.exemptions
    row = connection.execute(sa.select(*columns(e, Exemption)).where(e.c.id == id)).first()
    if row is None:
        raise NotFound(f"there is no exemption {id}", hint="uwu rules exemptions lists them")
    return to_struct(Exemption, row)


def ends(connection: sa.Connection, ids: Iterable[str]) -> dict[str, datetime]:
    """When those of ``ids`` end that there are."""
    e = tables.exemptions
    wanted = sorted(set(ids))
    query = sa.select(e.c.id, e.c.until).where(e.c.id.in_(wanted))
    return {row.id: row.until for row in connection.execute(query)} if wanted else {}


def listed(
    connection: sa.Connection, *, rule: str = "", ended: bool = False, limit: int = 100, after: str = ""
) -> Exemptions:
    """Exemptions that hold, or with ``ended`` all; of ``rule`` those that fit it. The first to end come first."""
    e = tables.exemptions
    behind = paging.place(after, datetime, str)
    wheres: list[sa.ColumnElement[bool]] = [] if ended else [e.c.ended_at.is_(None)]
    if rule:
        patterns = connection.scalars(sa.select(e.c.rule).where(*wheres).distinct())
        wheres.append(e.c.rule.in_([pattern for pattern in patterns if fnmatchcase(rule, pattern)]))
    total = connection.execute(sa.select(sa.func.count()).select_from(e).where(*wheres)).scalar_one()
    if behind is not None:
        later = sa.and_(e.c.until == behind[0], e.c.id > behind[1])
        wheres.append(sa.or_(e.c.until > behind[0], later))
    query = sa.select(*columns(e, Exemption)).where(*wheres).order_by(e.c.until, e.c.id).limit(limit + 1)
    items = [to_struct(Exemption, row) for row in connection.execute(query)]
    end_ = paging.cursor(items[limit - 1].until, items[limit - 1].id) if len(items) > limit else ""
    return Exemptions(items[:limit], total, end_)


# ---- time


def due(kernel: Kernel) -> bool:
    """Whether an exemption's time has come."""
    e = tables.exemptions
    query = sa.select(e.c.id).where(e.c.ended_at.is_(None), e.c.until <= codec.now()).limit(1)
    with kernel.db.read() as connection:
        return connection.execute(query).first() is not None


def expire(kernel: Kernel) -> dict[str, int]:
    """Ends the exemptions whose time has come; gives how many, and how many findings are back."""
    at = codec.now()
    e = tables.exemptions
    over = sa.and_(e.c.ended_at.is_(None), e.c.until <= at)
    with kernel.db.write() as connection:
        ended = [to_struct(Exemption, row) for row in connection.execute(sa.select(*columns(e, Exemption)).where(over))]
        connection.execute(e.update().where(over).values(ended_at=e.c.until))
        back = sum(_apply(kernel, connection, at, _scope(one)) for one in ended)
    return {"exemptions": len(ended), "findings": back}


def settle(kernel: Kernel, since: datetime) -> None:
    """Brings findings in line with what was made exempt or came back since a judging began that did not know of it."""
    e = tables.exemptions
    query = sa.select(*columns(e, Exemption)).where(sa.or_(e.c.made_at >= since, e.c.ended_at >= since))
    with kernel.db.read() as connection:
        turned = [to_struct(Exemption, row) for row in connection.execute(query)]
    if turned:
        with kernel.db.write() as connection:
            for one in turned:
                _apply(kernel, connection, codec.now(), _scope(one))


def _scope(one: Exemption) -> sa.ColumnElement[bool]:
    f = tables.findings
    return f.c.subject == one.subject if one.subject else f.c.account == one.account


def _apply(kernel: Kernel, connection: sa.Connection, at: datetime, scope: sa.ColumnElement[bool]) -> int:
    """Brings the findings of ``scope`` in line with the exemptions that hold, tells of those that came back, and gives
    how many these are."""
    f = tables.findings
    held = holding(connection, at)
    exempt_now = FindingStatus.EXEMPT.value
    turned = [f.c[name] for name in Turned.__struct_fields__ if name != "turn"]
    fields = (*turned, f.c.rule, f.c.status, f.c.exemption)
    back: list[Turned] = []
    hidden: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(*fields).where(f.c.status.in_((*UNRESOLVED, exempt_now)), scope)):
        by = held.of(row.rule, row.subject, row.account) if held else ""
        if by == row.exemption:
            continue
        if by:
            hidden.setdefault(by, []).append(row.id)
        else:
            back.append(Turned("reopened", *row[: len(turned)]))
    for by, ids in hidden.items():
        _write(connection, ids, {"status": exempt_now, "exemption": by})
    # whether it is stale the next judging says
    _write(connection, [one.id for one in back], {"status": FindingStatus.OPEN.value, "exemption": ""})
    notify.tell(connection, *findings_told(kernel.settings.notify, back, at))
    return len(back)


def _write(connection: sa.Connection, ids: Sequence[str], values: Mapping[str, Any]) -> None:
    f = tables.findings
    for start in range(0, len(ids), _SOME):
        connection.execute(f.update().where(f.c.id.in_(ids[start : start + _SOME])).values(values))


def _run(run: Run, arguments: Mapping[str, Any]) -> dict[str, Any]:
    del arguments
    return run.step(expire, run.kernel, name="expire")


JOBS = (Job("rules.expire", _run, concurrency=1),)
SCHEDULES = (
    Schedule(
        "rules.expire",
        "rules.expire",
        "bring back the findings whose exemption has ended",
        every_minutes=5,
        when="uwu.kernel.exemptions:due",
    ),
)
