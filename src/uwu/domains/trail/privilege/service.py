"""A role's permissions against its history: granted, used, graded by what the history can tell, and what is enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.trail import store
from uwu.domains.trail.privilege import actions
from uwu.domains.trail.privilege.policy import Answer, Statement, action_matches, decide, statements
from uwu.domains.trail.privilege.propose import MOST_CHARACTERS, RECENT, Proposal, Replayed, Use, propose, replay
from uwu.kernel import codec, sight, subjects
from uwu.kernel import tables as kernel_tables
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.runtime import Kernel

TYPES = ("aws_iam_role", "aws_iam_user")
DEFAULT_DAYS, MOST_DAYS = 90, 400
STRONG_DAYS, FAIR_DAYS = 90, 30
"""A quarter holds what is done monthly and quarterly; a month what is done daily and weekly."""
MOST_MISSES = 50

_KNOWN: Mapping[str, list[dict[str, Any]]] = {
    "AdministratorAccess": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    "PowerUserAccess": [
        {"Effect": "Allow", "NotAction": ["iam:*", "organizations:*", "account:*"], "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": [
                "account:GetAccountInformation",
                "account:GetPrimaryEmail",
                "account:ListRegions",
                "iam:CreateServiceLinkedRole",
                "iam:DeleteServiceLinkedRole",
                "iam:ListRoles",
                "organizations:DescribeOrganization",
            ],
            "Resource": "*",
        },
    ],
    "IAMFullAccess": [{"Effect": "Allow", "Action": ["iam:*", "organizations:Describe*"], "Resource": "*"}],
}
"""AWS's managed policies that say little (AWS Managed Policy Reference Guide); of others no document is observed."""


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that a principal holds."""

    name: str
    kind: str
    """``inline``, ``attached``, ``aws`` or ``boundary``."""
    read: bool
    """Its document is known."""
    statements: int


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """An action pattern that is granted, and what was used of it."""

    action: str
    origin: str
    used: list[str]
    """The actions of it that were used."""
    calls: int
    visible: bool
    """Events tell of its use: it is neither of data events that are off, nor of what is never logged."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the history is worth."""

    grade: str
    """``strong``, ``fair`` or ``weak``."""
    reasons: list[str]
    days: int
    complete_pct: float
    """Of the window's days, those on which the account's events are there."""
    data_events: list[str]
    """The services whose data events are recorded."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Granted against used."""

    principal: str
    since: datetime
    until: datetime
    evidence: Evidence
    policies: list[Holding]
    granted: list[Granted]
    unused: list[str]
    """Patterns of which nothing was used, as far as events can tell."""
    used: list[str]
    calls: int
    denied: int
    """Calls that were not allowed."""
    proposal: Proposal
    replay: Replayed
    notes: list[str]


def resolve(kernel: Kernel, text: str) -> tuple[str, dict[str, Any]]:
    """(ARN, attributes as observed) of the role or user that ``text`` names. Raises ``NotFound``, ``BadInput``."""
    r = kernel_tables.resources
    with kernel.db.read() as connection:
        found = connection.execute(
            sa.select(r.c.urn, r.c.attributes)
            .where(r.c.type.in_(TYPES), sa.or_(r.c.urn == text, r.c.name == text))
            .limit(9)
        ).all()
        if not found:
            urn = subjects.resolve(connection, text)
            found = connection.execute(
                sa.select(r.c.urn, r.c.attributes).where(r.c.type.in_(TYPES), r.c.urn == urn)
            ).all()
    if not found:
        raise NotFound(
            f"{text[:200]} is no IAM role or user that was observed", hint="uwu sync inventory observes them"
        )
    if len(found) > 1:
        hint = "say which one:\n  " + "\n  ".join(row.urn for row in found)
        raise BadInput(f"{text!r} names {len(found)} roles or users", code="subject-ambiguous", hint=hint)
    return found[0].urn, dict(found[0].attributes or {})


def report(kernel: Kernel, principal: str, *, since: datetime | None = None, until: datetime | None = None) -> Report:
    """What ``principal`` (an ARN or a name) may do against what it did in [since, until).

    Raises ``NotFound`` for what was not observed, ``BadInput`` for a window that is empty or too long.
    """
    end = until or codec.now()
    begin = since or end - timedelta(days=DEFAULT_DAYS)
    if begin >= end or end - begin > timedelta(days=MOST_DAYS):
        raise BadInput(f"a window has at most {MOST_DAYS} days, and ends after it begins", code="privilege-window")
    urn, attributes = resolve(kernel, principal)
    sight.require_all("what somebody did everywhere")
    with kernel.db.read() as connection:
        holdings, granted, boundary = held(connection, urn, attributes)
    kernel.lake.ensure(store.EVENTS)
    uses, denied = used(kernel, urn, begin, end)
    account = urn.split(":")[4]
    evidence = graded(kernel, account, begin, end, uses)
    return of(urn, begin, end, evidence, holdings, granted, boundary, uses, denied)


def of(
    urn: str,
    since: datetime,
    until: datetime,
    evidence: Evidence,
    holdings: list[Holding],
    granted: list[Statement],
    boundary: list[Statement] | None,
    uses: list[Use],
    denied: int,
) -> Report:
    """The report on what is granted and what was used."""
    seen = frozenset(evidence.data_events)
    unread = [one.name for one in holdings if not one.read]
    known = granted
    if unread:
        # what a policy grants that is not known is known of what was used alone
        known = [*granted, *_vouched(granted, uses)]
    proposal = propose(known, uses, since=since, until=until, seen_data=seen)
    reduced = statements(proposal.document)
    proven = replay(reduced, uses)
    rows = _granted(granted, uses, seen)
    notes = [f"the document of {name} is not observed: what it grants is known of its uses alone" for name in unread]
    if boundary is not None:
        outside = {
            use.action for use in uses if decide(boundary, use.action, use.resource, use.context) is Answer.NOTHING
        }
        notes.append("the permissions boundary stays as it is")
        notes += [f"used, though the boundary does not name it: {one}" for one in sorted(outside)]
    if proposal.characters > MOST_CHARACTERS:
        notes.append(f"{proposal.characters} characters: more than one managed policy holds, part it")
    if proposal.kept:
        notes.append(f"{len(proposal.kept)} actions stay because no event tells of their use")
    return Report(
        principal=urn,
        since=since,
        until=until,
        evidence=evidence,
        policies=holdings,
        granted=rows,
        unused=[row.action for row in rows if not row.used and row.visible],
        used=sorted({use.action for use in uses}),
        calls=sum(use.calls for use in uses),
        denied=denied,
        proposal=proposal,
        replay=msgspec.structs.replace(proven, misses=proven.misses[:MOST_MISSES]),
        notes=notes,
    )


def _vouched(granted: list[Statement], uses: Iterable[Use]) -> list[Statement]:
    missing = {
        (use.action, use.resource)
        for use in uses
        if decide(granted, use.action, use.resource, use.context) is Answer.NOTHING
    }
    return [Statement(allow=True, actions=(a,), resources=(r,), origin="not observed") for a, r in sorted(missing)]


def _granted(granted: Iterable[Statement], uses: Iterable[Use], seen: frozenset[str]) -> list[Granted]:
    calls: Counter[str] = Counter()
    for use in uses:
        calls[use.action] += use.calls
    rows: dict[tuple[str, str], Granted] = {}
    for statement in granted:
        if not statement.allow:
            continue
        patterns = statement.actions or tuple(f"all but {one}" for one in statement.not_actions)
        for pattern in patterns:
            if statement.actions:
                hit = sorted(one for one in calls if action_matches(pattern, one))
            else:
                hit = sorted(one for one in calls if not any(action_matches(n, one) for n in statement.not_actions))
            rows[pattern, statement.origin] = Granted(
                action=pattern,
                origin=statement.origin,
                used=hit,
                calls=sum(calls[one] for one in hit),
                visible=visible(pattern, seen),
            )
    return sorted(rows.values(), key=lambda one: (bool(one.used), one.action.lower(), one.origin))


def visible(pattern: str, seen: frozenset[str]) -> bool:
    """Whether events would tell of the use of ``pattern``: it is no action of data events, nor one never logged."""
    prefix, _, name = pattern.partition(":")
    prefix = prefix.lower()
    hidden = set(actions.NEVER_LOGGED.get(prefix, ()))
    if prefix not in seen:
        hidden |= actions.DATA.get(prefix, frozenset())
    return name not in hidden


# ---- what is granted


def held(
    connection: sa.Connection, urn: str, attributes: Mapping[str, Any]
) -> tuple[list[Holding], list[Statement], list[Statement] | None]:
    """(policies, their statements, those of the boundary) of a role or user as it was observed."""
    holders: list[Mapping[str, Any]] = [attributes]
    holdings: list[Holding] = []
    r = kernel_tables.resources
    groups = set(attributes.get("GroupList") or ())
    if groups:
        account = urn.split(":")[4]
        query = sa.select(r.c.attributes).where(r.c.type == "aws_iam_group", r.c.account == account)
        found = [row.attributes for row in connection.execute(query) if row.attributes.get("GroupName") in groups]
        holders += found
        missing = sorted(groups - {str(one.get("GroupName")) for one in found})
        holdings += [Holding(name=f"group {name}", kind="attached", read=False, statements=0) for name in missing]
    granted: list[Statement] = []
    for holder in holders:
        for member in ("RolePolicyList", "UserPolicyList", "GroupPolicyList"):
            for each in holder.get(member) or ():
                _take(holdings, granted, str(each.get("PolicyName")), "inline", each.get("PolicyDocument"))
        for each in holder.get("AttachedManagedPolicies") or ():
            kind, document = _managed(connection, str(each.get("PolicyArn")))
            _take(holdings, granted, str(each.get("PolicyName")), kind, document)
    limit = (attributes.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn")
    boundary: list[Statement] | None = None
    if limit:
        _, document = _managed(connection, str(limit))
        bounds: list[Statement] = []
        _take(holdings, bounds, str(limit).rsplit("/", 1)[-1], "boundary", document)
        boundary = bounds if document is not None else None
    return holdings, granted, boundary


def _take(holdings: list[Holding], into: list[Statement], name: str, kind: str, document: Any) -> None:
    try:
        found = statements(document, name) if document is not None else None
    except BadInput:
        found = None
    into.extend(found or ())
    holdings.append(Holding(name=name, kind=kind, read=found is not None, statements=len(found or ())))


def _managed(connection: sa.Connection, arn: str) -> tuple[str, Any]:
    if arn.split(":")[4:5] == ["aws"]:
        known = _KNOWN.get(arn.rsplit("/", 1)[-1])
        return "aws", {"Statement": known} if known is not None else None
    r = kernel_tables.resources
    row = connection.execute(sa.select(r.c.attributes).where(r.c.urn == arn)).first()
    for version in (row.attributes.get("PolicyVersionList") or ()) if row is not None else ():
        if version.get("IsDefaultVersion"):
            return "attached", version.get("Document")
    return "attached", None


# ---- what was used

_COLUMNS = (
    "event_time, event_source, event_name, account, region, error_code, source_ip, request_parameters, targets, more, "
    "event_category, principal, identity"
)


def used(kernel: Kernel, urn: str, since: datetime, until: datetime) -> tuple[list[Use], int]:
    """(what calls of ``urn`` took that were allowed, how many were not)."""
    scan = kernel.lake.scan(store.EVENTS.name, since=since, until=until)
    query = (
        f"select {_COLUMNS} from {scan} where principal = ? and event_time >= ? and event_time < ? "  # noqa: S608
        "and coalesce(event_type, '') <> 'AwsServiceEvent'"
    )
    denied = 0
    found: dict[tuple[str, ...], Use] = {}
    with kernel.lake.connection() as connection:
        relation = connection.sql(query, params=[urn, since, until])
        for batch in relation.to_arrow_table().to_batches(max_chunksize=20_000):
            for event in batch.to_pylist():
                if not actions.was_allowed(event["error_code"] or ""):
                    denied += 1
                    continue
                gather(found, event)
    return list(found.values()), denied


def gather(found: dict[tuple[str, ...], Use], event: Mapping[str, Any]) -> None:
    """Adds what an event's call took to ``found``."""
    at = event["event_time"]
    context = _context(event)
    for action, resources in actions.asked(event):
        for resource in resources:
            key = (action, resource, *context.values())
            old = found.get(key)
            if old is None:
                found[key] = Use(action=action, resource=resource, context=context, first=at, last=at)
            else:
                old.first, old.last = min(old.first, at), max(old.last, at)
                old.calls += 1


def _context(event: Mapping[str, Any]) -> dict[str, str]:
    context = {
        "aws:requestedregion": str(event["region"] or ""),
        "aws:principalarn": str(event["principal"] or ""),
        "aws:principalaccount": str(event["principal"] or "::::").split(":")[4],
    }
    ip = str(event["source_ip"] or "")
    by_service = ip.endswith(".amazonaws.com")
    context["aws:viaawsservice"] = str(by_service).lower()
    if ip and not by_service:
        context["aws:sourceip"] = ip
    name = context["aws:principalarn"].rsplit("/", 1)[-1]
    if ":user/" in context["aws:principalarn"]:
        context["aws:username"] = name
    return context


# ---- what the history is worth


def days_with_events(kernel: Kernel, account: str, since: datetime, until: datetime) -> float:
    """The share of days in [since, until) on which the account's events are there."""
    scan = kernel.lake.scan(store.EVENTS.name, since=since, until=until)
    query = (
        "select count(distinct date_trunc('day', event_time)) as n "  # noqa: S608 - own text, values bound
        f"from {scan} where account = ? and event_time >= ? and event_time < ?"
    )
    days = max((until.date() - since.date()).days, 1)
    with kernel.lake.reading() as connection:
        held = connection.sql(query, params=[account, since, until]).to_arrow_table().to_pylist()[0]["n"]
    return min(1.0, held / days)


def data_events(kernel: Kernel, account: str, since: datetime, until: datetime) -> list[str]:
    """The IAM prefixes of the services whose data events the account records."""
    scan = kernel.lake.scan(store.EVENTS.name, since=since, until=until)
    query = (
        f"select distinct event_source as s from {scan} "  # noqa: S608 - own text, values bound
        "where account = ? and event_time >= ? and event_time < ? and event_category = 'Data'"
    )
    with kernel.lake.reading() as connection:
        rows = connection.sql(query, params=[account, since, until]).to_arrow_table().to_pylist()
    return sorted({actions.prefix_of(row["s"]) for row in rows})


def graded(kernel: Kernel, account: str, since: datetime, until: datetime, uses: list[Use]) -> Evidence:
    """What the history of [since, until) can prove of the account's calls."""
    return grade(
        since,
        until,
        uses,
        days_with_events(kernel, account, since, until),
        data_events(kernel, account, since, until),
    )


def grade(since: datetime, until: datetime, uses: list[Use], complete: float, data: list[str]) -> Evidence:
    """The grade and its reasons: the worst of them counts."""
    days = (until - since).days
    weak = list(_weaknesses(since, until, days, uses, complete))
    fair: list[str] = []
    if days < STRONG_DAYS:
        fair.append(f"the window has {days} days: what is done once a quarter may not be in it")
    silent = [one for one in ("s3", "lambda", "dynamodb") if one not in data]
    if silent:
        fair.append(f"no data events of {', '.join(silent)}: use of their data is not seen, so those rights stay")
    if 0.9 <= complete < 0.99:
        fair.append(f"events of {100 * complete:.0f}% of the days are there")
    level = "weak" if weak else "fair" if fair else "strong"
    return Evidence(
        grade=level, reasons=weak + fair, days=days, complete_pct=round(100 * complete, 1), data_events=data
    )


def _weaknesses(since: datetime, until: datetime, days: int, uses: list[Use], complete: float) -> Iterator[str]:
    if days < FAIR_DAYS:
        yield f"the window has {days} days: what is done once a month may not be in it"
    if complete < 0.9:
        yield f"events of only {100 * complete:.0f}% of the days are there: what happened on the others is not known"
    if not uses:
        yield "the principal did nothing: it may be new, or not needed at all"
        return
    first: dict[str, datetime] = {}
    for use in uses:
        first[use.action] = min(first.get(use.action, use.first), use.first)
    recent = until - min(RECENT, (until - since) / 4)
    new = sorted(action for action, at in first.items() if at >= recent)
    if new and min(first.values()) < recent:
        yield f"still new at the end of the window: {', '.join(new[:5])}" + (" and more" if len(new) > 5 else "")
