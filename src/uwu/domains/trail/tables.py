"""The trail's SQL tables: what names humans and resources across batches, and what could not be taken.

The events themselves lie in the lake.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, Table, Text

from uwu.kernel.db import Json, Time, metadata

sessions = Table(
    "trail_sessions",
    metadata,
    Column("event_id", Text, primary_key=True, comment="the event that issued the session"),
    Column("at", Time, nullable=False),
    Column("access_key", Text, nullable=False, comment="the key it issued; empty where not told"),
    Column("assumed_role", Text, nullable=False, comment="AROA...:session name"),
    Column("role", Text, nullable=False, comment="the role's ARN as the call gave it"),
    Column("name", Text, nullable=False, comment="the session's name"),
    Column("role_session", Text, nullable=False, comment="account/role/session name"),
    Column("source_identity", Text, nullable=False),
    Column("shared_event", Text, nullable=False),
    Column("caller", Json, nullable=False, comment="the userIdentity that asked"),
    Column("seen_at", Time, nullable=False, comment="when it was ingested: sessions are kept for a while"),
    Index(None, "access_key"),
    Index(None, "assumed_role"),
    Index(None, "role_session"),
    Index(None, "shared_event"),
    Index(None, "seen_at"),
)

late = Table(
    "trail_late",
    metadata,
    Column("event_id", Text, primary_key=True, comment="an event whose actor was not known when it came"),
    Column("at", Time, nullable=False),
    Column("identity", Json, nullable=False),
    Column("shared_event", Text, nullable=False),
    Column("actor", Json, comment="the actor, once a later event told it"),
    Column("resolved_at", Time),
    Index(None, "at"),
)

aliases = Table(
    "trail_aliases",
    metadata,
    Column("alias", Text, primary_key=True, comment="what a call says: a role without its path, an association"),
    Column("urn", Text, nullable=False, comment="what it means"),
    Column("learned_at", Time, nullable=False),
    Index(None, "urn"),
)

rejects = Table(
    "trail_rejects",
    metadata,
    Column("object", Text, primary_key=True),
    Column("index", Integer, primary_key=True, comment="the record's place in the object; -1 for the object itself"),
    Column("code", Text, primary_key=True),
    Column("message", Text, nullable=False),
    Column("seen_at", Time, nullable=False),
)


alerts = Table(
    "trail_alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("rule_hash", Text, nullable=False, comment="SHA-256 of the rule as it was when it fired"),
    Column("severity", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="the urn that it is about"),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Json, nullable=False, comment="the event that opened it, as a change"),
    Column("place", Text, nullable=False, comment="the rule's file:line"),
    Column("said", Text, nullable=False, comment="what its events have in common; empty where there is nothing"),
    Column("count", Integer, nullable=False, comment="of its events"),
    Column("events", Json, nullable=False, comment="the first and the last of them: id, time, SHA-256"),
    Column("first_at", Time, nullable=False),
    Column("last_at", Time, nullable=False),
    Column("opened_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False, comment="when an event joined it last"),
    Column("closed_at", Time),
    Column("closed_by", Text, nullable=False, comment="who closed it; empty where its time was over"),
    Column("reason", Text, nullable=False, comment="why it was closed"),
    Index("ix_trail_alerts_open", "closed_at", "rule", "subject"),
    Index(None, "subject"),
    Index(None, "last_at"),
)

rule_days = Table(
    "trail_rule_days",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("day", Text, primary_key=True, comment="YYYY-MM-DD of the events, UTC"),
    Column("matches", Integer, nullable=False),
    Column("last_at", Time, nullable=False, comment="of the latest event that matched"),
)

detected = Table(
    "trail_detected",
    metadata,
    Column("batch", Integer, primary_key=True, autoincrement=False, comment="a batch whose events the rules have seen"),
    Column("at", Time, nullable=False),
    Column("events", Integer, nullable=False),
    Column("alerts", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
)

sources = Table(
    "trail_sources",
    metadata,
    Column("source", Text, primary_key=True, comment="s3://bucket/prefix, a folder, or the URL of a queue"),
    Column("kind", Text, nullable=False, comment="queue, bucket or folder"),
    Column("listed_at", Time, comment="when it was last listed whole, or its days of the window"),
    Column("roots", Json, nullable=False, comment="prefixes of an account and region, whose children are years"),
    Column("roots_at", Time, comment="when they were looked for"),
    Column("seen_at", Time, comment="when it last answered"),
    Column("objects", BigInteger, nullable=False, comment="taken from it"),
    Column("late", BigInteger, nullable=False, comment="of them found by listing, though a queue should have told"),
    Column("waiting", Integer, nullable=False, comment="messages that the queue holds; about"),
    Column("lag_seconds", Integer, nullable=False, comment="from the last object's delivery to its commit"),
    Column("problem", Text, nullable=False, comment="why it does not answer; empty where it does"),
)

dead = Table(
    "trail_dead",
    metadata,
    Column("object", Text, primary_key=True, comment="s3://bucket/key, or queue#message for one that names none"),
    Column("source", Text, nullable=False, comment="the queue or prefix that told of it"),
    Column("mark", Text, nullable=False, comment="its ETag; empty where not told"),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("body", Text, nullable=False, comment="the start of a message that names no object"),
    Column("attempts", Integer, nullable=False),
    Column("first_at", Time, nullable=False),
    Column("last_at", Time, nullable=False),
    Index(None, "last_at"),
)

backfills = Table(
    "trail_backfills",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("since", Text, nullable=False, comment="the first day, YYYY-MM-DD"),
    Column("until", Text, nullable=False, comment="the day after the last"),
    Column("prefixes", Json, nullable=False, comment="those of days that are still to be listed, in order"),
    Column("total", Integer, nullable=False, comment="prefixes in all"),
    Column("objects", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False, comment="of the objects that were taken"),
    Column("seconds", Integer, nullable=False, comment="of work so far"),
    Column("state", Text, nullable=False, comment="running or done"),
    Column("problem", Text, nullable=False),
    Column("started_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

hours = Table(
    "trail_hours",
    metadata,
    Column("account", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("hour", Time, primary_key=True, comment="its start, UTC: of deliveries"),
    Column("state", Text, nullable=False, comment="proven, delivered or missing"),
    Column("why", Text, nullable=False, comment="what is wrong; empty for a proven hour"),
    Column("objects", Integer, nullable=False, comment="log files that lie there"),
    Column("proven", Integer, nullable=False, comment="of them as a digest tells them"),
    Column("checked_at", Time, nullable=False),
    Index(None, "hour"),
)

faults = Table(
    "trail_faults",
    metadata,
    Column("bucket", Text, primary_key=True),
    Column("key", Text, primary_key=True, comment="the digest or the log file"),
    Column("code", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("since", Time, nullable=False, comment="the time that it leaves unproven"),
    Column("until", Time, nullable=False),
    Column("inferred", Boolean, nullable=False, comment="the key follows from the hours; nothing tells it"),
    Column("tampering", Boolean, nullable=False, comment="somebody must have changed something"),
    Column("first_at", Time, nullable=False, comment="when it was found first"),
    Column("seen_at", Time, nullable=False, comment="when it was found last"),
    Index("ix_trail_faults_place", "account", "region", "until"),
    Index(None, "until"),
)
