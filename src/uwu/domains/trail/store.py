"""The trail in the lake and in SQL: the tables of events, and what is looked up beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from uwu.domains.trail import actors, tables
from uwu.domains.trail.actors import Session, SessionIndex
from uwu.domains.trail.names import Aliases
from uwu.domains.trail.parse import Reject
from uwu.kernel import codec
from uwu.kernel import tables as kernel_tables
from uwu.kernel.bulk import Bulk
from uwu.kernel.db import ROWS_PER_WRITE, Database, upsert
from uwu.kernel.errors import Problem
from uwu.kernel.lake import Column, TableSpec
from uwu.kernel.model import Actor

STREAM = "trail"
SESSIONS_KEPT = timedelta(days=7)
"""How long after its ingest a session can still explain an event: sessions last 12 hours, deliveries come late."""
SESSION_REACH = timedelta(hours=36)
"""How long after it was issued a session, or one chained from it, is used."""

EVENTS = TableSpec(
    name="events",
    comment="CloudTrail events: who called what, from where, with what result",
    columns=(
        Column("event_time", "time", "when, UTC"),
        Column("event_id", "text", "CloudTrail's eventID"),
        Column("event_source", "text", "the service: ec2.amazonaws.com"),
        Column("event_name", "text", "the action: AuthorizeSecurityGroupIngress"),
        Column("account", "text", "the account that received the call"),
        Column("region", "text", ""),
        Column("read_only", "boolean", "whether the call changes nothing"),
        Column("error_code", "text", "empty for a call that succeeded"),
        Column("error_message", "text", ""),
        Column("actor_kind", "text", "human, machine, service or unknown"),
        Column("actor", "text", "the human at the end of the role chain, else the machine or service"),
        Column("actor_confidence", "text", "certain, likely, guess or none"),
        Column("actor_how", "text", "the evidence"),
        Column("actor_chain", "json", "from the actor to the identity that signed"),
        Column("principal", "text", "the ARN of the user or role that signed"),
        Column("through", "text", "the client: Terraform, AWS console, AWS CLI"),
        Column("identity_type", "text", "userIdentity.type"),
        Column("access_key", "text", "the id of the key that signed"),
        Column("assumed_role", "text", "AROA...:session name, for a role's session"),
        Column("source_ip", "text", ""),
        Column("user_agent", "text", ""),
        Column("targets", "json", "urns of the resources that a successful write is about"),
        Column("request_parameters", "json", "secrets redacted"),
        Column("response_elements", "json", "secrets redacted"),
        Column("identity", "json", "userIdentity as written"),
        Column("more", "json", "members that have no column: additionalEventData, resources, ...; secrets redacted"),
        Column("shared_event_id", "text", "joins the copies of a cross-account call"),
        Column("event_type", "text", ""),
        Column("event_category", "text", ""),
        Column("object", "text", "the object that holds the record"),
        Column("record_index", "int", "its place in the object, from 0"),
    ),
    time="event_time",
    sort=("actor", "principal", "event_time"),
)

EVENT_RESOURCES = TableSpec(
    name="event_resources",
    comment="The resources of each successful write: look here for who changed something",
    columns=(
        Column("event_time", "time", "when, UTC"),
        Column("urn", "text", "the resource"),
        Column("role", "text", "target: the call was about it; related: named in passing"),
        Column("step", "text", "how it was found: own, arn, id, key, map, record, account or principal"),
        Column("event_id", "text", ""),
        Column("event_source", "text", ""),
        Column("event_name", "text", ""),
        Column("account", "text", ""),
        Column("region", "text", ""),
        Column("actor_kind", "text", ""),
        Column("actor", "text", ""),
        Column("actor_confidence", "text", ""),
        Column("actor_how", "text", ""),
        Column("actor_chain", "json", ""),
        Column("principal", "text", ""),
        Column("through", "text", ""),
        Column("request_parameters", "json", "of targets only; secrets redacted"),
        Column("object", "text", ""),
    ),
    time="event_time",
    sort=("urn", "event_time"),
)


# ---- sessions


def load_sessions(db: Database, records: Iterable[Mapping[str, Any]], index: SessionIndex) -> None:
    """Brings into ``index`` the stored sessions that ``records`` may have been signed with, and those behind them."""
    waiting: list[Mapping[str, Any]] = []
    shared: set[str] = set()
    for record in records:
        identity = record.get("userIdentity") or {}
        waiting.append(identity)
        if record.get("sharedEventID") and identity.get("type") == "AWSAccount":
            shared.add(str(record["sharedEventID"]))
    waiting.extend(session.caller for session in index.all.values())
    asked: set[str] = set()
    s = tables.sessions
    with db.read() as connection:
        for _ in range(actors.MAX_CHAIN):
            waiting = [i for i in waiting if i.get("type") in {"AssumedRole", "FederatedUser"}]
            keys = {str(i["accessKeyId"]) for i in waiting if i.get("accessKeyId")} - asked
            asked |= keys
            found: list[Session] = list(_sessions(connection, s.c.access_key, keys))
            known = {session.access_key for session in found}
            # a key names its session: only those without are looked up by name, which many sessions may share
            unkeyed = [
                i
                for i in waiting
                if str(i.get("accessKeyId")) not in known and not index.by_key(str(i.get("accessKeyId")))
            ]
            for column, values in (
                (s.c.assumed_role, {str(i["principalId"]) for i in unkeyed if i.get("principalId")} - asked),
                (s.c.shared_event, shared - asked),
                (s.c.role_session, {_role_session_of(i) for i in unkeyed} - asked - {""}),
            ):
                found.extend(_sessions(connection, column, values))
                asked |= values
            waiting, shared = [], set()
            for session in found:
                if session.event_id not in index.all:
                    index.add(session)
                    waiting.append(session.caller)
                    if session.shared_event and session.caller.get("type") == "AWSAccount":
                        shared.add(session.shared_event)
            if not waiting:
                return


def _role_session_of(identity: Mapping[str, Any]) -> str:
    principal = str(identity.get("principalId") or "")
    if identity.get("type") != "AssumedRole" or ":" not in principal:
        return ""
    issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
    return actors.role_session(str(issuer.get("arn") or ""), principal.split(":", 1)[1])


def _sessions(connection: sa.Connection, column: sa.Column[Any], values: Iterable[str]) -> Iterable[Session]:
    s = tables.sessions
    wanted = sorted(values)
    fields = [s.c[name] for name in Session.__struct_fields__]
    for i in range(0, len(wanted), 500):
        for row in connection.execute(sa.select(*fields).where(column.in_(wanted[i : i + 500]))):
            yield Session(**dict(zip(Session.__struct_fields__, row, strict=True)))


def save_sessions(db: Database, sessions: Sequence[Session], at: datetime) -> None:
    """Keeps ``sessions``; the same event again changes nothing."""
    rows = [
        (*(getattr(s, name) for name in Session.__struct_fields__), s.role_session, at)
        for s in sorted(sessions, key=lambda s: s.event_id)
    ]
    for i in range(0, len(rows), ROWS_PER_WRITE):
        with db.write() as connection:
            _SESSIONS.run(connection, rows[i : i + ROWS_PER_WRITE])


_SESSION_COLUMNS = dict.fromkeys(Session.__struct_fields__, "text") | {
    "at": "time",
    "caller": "json",
    "role_session": "text",
    "seen_at": "time",
}
_NAMES = ", ".join(_SESSION_COLUMNS)
_SESSIONS = Bulk(
    _SESSION_COLUMNS,
    f"insert into trail_sessions ({_NAMES}) values ({', '.join(f':{name}:' for name in _SESSION_COLUMNS)}) "  # noqa: S608
    "on conflict (event_id) do nothing",
    f"insert into trail_sessions ({_NAMES}) select {_NAMES} from given on conflict (event_id) do nothing",  # noqa: S608
)


def forget_sessions(db: Database, at: datetime) -> None:
    """Drops what can explain nothing any more."""
    with db.write() as connection:
        connection.execute(tables.sessions.delete().where(tables.sessions.c.seen_at < at - SESSIONS_KEPT))


# ---- actors that later events name


def save_late(db: Database, rows: Sequence[dict[str, Any]]) -> None:
    """Keeps the identities whose actor is not known yet: ``event_id, at, identity, shared_event``."""
    full = [{**row, "actor": None, "resolved_at": None} for row in rows]
    for i in range(0, len(full), ROWS_PER_WRITE):
        with db.write() as connection:
            upsert(connection, tables.late, full[i : i + ROWS_PER_WRITE], update=())


def resolve_late(db: Database, sessions: Sequence[Session], at: datetime) -> int:
    """Tries again to name the actors of earlier events that ``sessions`` may explain; gives how many it named."""
    if not sessions:
        return 0
    t = tables.late
    since, until = min(s.at for s in sessions) - SESSION_REACH, max(s.at for s in sessions) + SESSION_REACH
    with db.read() as connection:
        rows = connection.execute(
            sa.select(t.c.event_id, t.c.at, t.c.identity, t.c.shared_event).where(
                t.c.resolved_at.is_(None), t.c.at >= since, t.c.at <= until
            )
        ).all()
    if not rows:
        return 0
    index = SessionIndex()
    load_sessions(db, [{"userIdentity": r.identity, "sharedEventID": r.shared_event} for r in rows], index)
    named = []
    for row in rows:
        actor = actors.resolve(row.identity, row.at, index, shared_event=row.shared_event)
        if actors.settled(actor):
            named.append({"key": row.event_id, "value": codec.builtins(actor)})
    for i in range(0, len(named), ROWS_PER_WRITE):
        with db.write() as connection:
            connection.execute(
                t.update()
                .where(t.c.event_id == sa.bindparam("key"))
                .values(actor=sa.bindparam("value"), resolved_at=at),
                named[i : i + ROWS_PER_WRITE],
            )
    return len(named)


def late_actors(connection: sa.Connection, event_ids: Iterable[str]) -> dict[str, Actor]:
    """The actors that were named after their event was ingested."""
    t = tables.late
    wanted = sorted(set(event_ids))
    found: dict[str, Actor] = {}
    for i in range(0, len(wanted), 500):
        query = sa.select(t.c.event_id, t.c.actor).where(
            t.c.event_id.in_(wanted[i : i + 500]), t.c.resolved_at.is_not(None)
        )
        for row in connection.execute(query):
            found[row.event_id] = Actor(**{**row.actor, "chain": tuple(row.actor.get("chain", ()))})
    return found


def unresolved(connection: sa.Connection) -> tuple[int, int]:
    """(events whose actor a later event named, events still without)."""
    t = tables.late
    query = sa.select(sa.func.count(t.c.resolved_at), sa.func.count())
    named, total = connection.execute(query).one()
    return int(named), int(total) - int(named)


# ---- aliases

_ALIASED_TYPES = ("aws_account", "aws_cloudformation_stack", "aws_secretsmanager_secret")
_ALIASED_TYPES += ("aws_iam_role", "aws_iam_user", "aws_iam_policy", "aws_iam_group", "aws_ec2_launch_template")


def load_aliases(db: Database) -> Aliases:
    """The aliases learned so far, and the short forms of what is observed."""
    t, r = tables.aliases, kernel_tables.resources
    with db.read() as connection:
        known = Aliases({row.alias: row.urn for row in connection.execute(sa.select(t.c.alias, t.c.urn))})
        observed = connection.execute(sa.select(r.c.urn, r.c.type, r.c.name).where(r.c.type.in_(_ALIASED_TYPES))).all()
    known.add_inventory(row.urn for row in observed)
    for row in observed:
        if row.type == "aws_ec2_launch_template" and row.name:
            known.known[f"{row.urn.rsplit('/', 1)[0]}/{row.name}"] = row.urn
    return known


def save_aliases(db: Database, learned: Mapping[str, str], at: datetime) -> None:
    rows = [{"alias": alias, "urn": urn, "learned_at": at} for alias, urn in learned.items()]
    for i in range(0, len(rows), ROWS_PER_WRITE):
        with db.write() as connection:
            upsert(connection, tables.aliases, rows[i : i + ROWS_PER_WRITE])


# ---- rejects

OBJECT = -1
"""The index of a reject that is the object itself."""


def save_rejects(
    db: Database, rejects: Sequence[tuple[str, Reject]], problems: Sequence[tuple[str, Problem]], at: datetime
) -> None:
    """Keeps aside what could not be taken: (object, reject), and (object, problem of the whole)."""
    rows = {
        (name, r.index, r.code): {"object": name, "index": r.index, "code": r.code, "message": r.message, "seen_at": at}
        for name, r in rejects
    }
    for name, p in problems:
        message = f"{p.message} ({p.place})" if p.place not in {"", name} else p.message
        rows[name, OBJECT, p.code] = {
            "object": name,
            "index": OBJECT,
            "code": p.code,
            "message": message,
            "seen_at": at,
        }
    values = list(rows.values())
    for i in range(0, len(values), ROWS_PER_WRITE):
        with db.write() as connection:
            upsert(connection, tables.rejects, values[i : i + ROWS_PER_WRITE])


def rejects(connection: sa.Connection, limit: int = 100) -> list[dict[str, Any]]:
    """The latest records and objects that could not be taken."""
    t = tables.rejects
    query = sa.select(t).order_by(t.c.seen_at.desc(), t.c.object, t.c.index).limit(limit)
    return [dict(row._mapping) for row in connection.execute(query)]
