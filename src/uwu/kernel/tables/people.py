"""The kernel's tables of people and of what they do: identity, plans, notifications, entropy by day, saved views.

No secret is kept: a session's cookie and a token are here as their SHA-256.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, Text, UniqueConstraint

from uwu.kernel.db import Json, Time, metadata

principals = sa.Table(
    "principals",
    metadata,
    Column("ref", Text, primary_key=True, comment="user:default/mira.k, or service:default/deployer"),
    Column("kind", Text, nullable=False, comment="human or service"),
    Column("name", Text, nullable=False, comment="for people"),
    Column("email", Text, nullable=False),
    Column("issuer", Text, comment="the OpenID provider that vouches; null where none does"),
    Column("subject", Text, comment="its sub claim"),
    Column("groups", Json, nullable=False, comment="group references that its claims, or its creator, named"),
    Column("roles", Json, nullable=False, comment="roles given to it alone: the bootstrap admin's"),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("seen_at", Time),
    UniqueConstraint("issuer", "subject"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True, comment="s_..., for people and for ending it"),
    Column("hash", Text, nullable=False, unique=True, comment="SHA-256 of the cookie's secret"),
    Column("principal", Text, nullable=False),
    Column("via", Text, nullable=False, comment="oidc or token: how it was signed in"),
    Column("token", Text, comment="the token that was shown; the session ends with it and keeps to its scopes"),
    Column("created_at", Time, nullable=False),
    Column("seen_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False, comment="the absolute limit"),
    Column("agent", Text, nullable=False, comment="the browser's own name, shortened"),
    Index(None, "principal"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True, comment="t_..., the public part"),
    Column("hash", Text, nullable=False, unique=True, comment="SHA-256 of the whole token"),
    Column("principal", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Json, nullable=False, comment="actions or groups of actions; * for all that its principal may"),
    Column("created_at", Time, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Time),
    Column("used_at", Time, comment="to the minute"),
    Column("revoked_at", Time),
    Index(None, "principal"),
)

sign_ins = sa.Table(
    "sign_ins",
    metadata,
    Column("key", Text, primary_key=True, comment="SHA-256 of the state, device code or one-time code"),
    Column("kind", Text, nullable=False, comment="oidc or device"),
    Column("code", Text, comment="what a person compares or types: a device flow's user code"),
    Column("detail", Json, nullable=False),
    Column("principal", Text, comment="who granted it; null while it waits"),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("used_at", Time),
    UniqueConstraint("code"),
)

break_glass = sa.Table(
    "break_glass",
    metadata,
    Column("id", Text, primary_key=True),
    Column("principal", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("ended_at", Time, comment="ended before its time"),
    Column("ended_by", Text),
    Index(None, "principal"),
)

plans = sa.Table(
    "plans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True, comment="for people: plan 431"),
    Column("domain", Text, nullable=False),
    Column("planner", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="why it was asked for"),
    Column("plan", Json, nullable=False),
    Column("request", Json, nullable=False, comment="what the planner was asked: it plans the same again from it"),
    Column("hash", Text, nullable=False, comment="what an approval binds"),
    Column("declared_hash", Text, nullable=False),
    Column("observed_hash", Text, nullable=False),
    Column("owners", Json, nullable=False, comment="the owners of what it touches"),
    Column("forced", Boolean, nullable=False, comment="asked for although it passes the safety limit"),
    Column("approvals_needed", Integer, nullable=False),
    Column("required", Json, nullable=False, comment="groups of which one each must approve"),
    Column("policy", Json, nullable=False, comment="what says so: a setting, policies of the estate"),
    Column("status", Text, nullable=False, comment="waiting, approved, rejected, withdrawn, void, applying, ..."),
    Column("why", Text, nullable=False, comment="why it is void, rejected or failed"),
    Column("requested_by", Text, nullable=False),
    Column("behind", Json, nullable=False, comment="who stands behind the request: none of them may approve"),
    Column("requested_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("decided_at", Time),
    Column("job", Text, nullable=False, comment="the job that applies it; empty before"),
    Column("applied_by", Text, nullable=False, comment="who asked for the job"),
    Column("finished_at", Time),
    Column("outcome", Json, comment="the proof: what was observed afterwards, and which findings closed"),
    Column("undoes", Text, nullable=False, comment="the plan that it takes back; empty for none"),
    Index(None, "status", "requested_at"),
    Index(None, "domain"),
)

plan_subjects = sa.Table(
    "plan_subjects",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Index(None, "subject"),
    Index(None, "owner"),
)

plan_outcomes = sa.Table(
    "plan_outcomes",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("number", Integer, primary_key=True, comment="of the change, from 0"),
    Column("status", Text, nullable=False, comment="done, already (it was so before) or failed"),
    Column("note", Text, nullable=False),
    Column("problem", Json, comment="why it failed"),
    Column("at", Time, nullable=False),
)

approvals = sa.Table(
    "approvals",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("principal", Text, primary_key=True),
    Column("decision", Text, nullable=False, comment="approve or reject"),
    Column("hash", Text, nullable=False, comment="the plan's hash that was looked at"),
    Column("counts_for", Json, nullable=False, comment="the required groups that it speaks for"),
    Column("comment", Text, nullable=False),
    Column("at", Time, nullable=False),
)

notices = sa.Table(
    "notices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("dedupe", Text, nullable=False, unique=True, comment="the same thing is told once"),
    Column("kind", Text, nullable=False, comment="finding.opened, plan.waiting, break-glass.opened, ..."),
    Column("subject", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("detail", Json, nullable=False),
    Column("path", Text, nullable=False, comment="its page in the console"),
    Column("owners", Json, nullable=False, comment="others who are told as the owner is"),
    Column("created_at", Time, nullable=False),
    Column("routed_at", Time, comment="when it was decided who is told"),
    Index(None, "created_at"),
    Index(None, "routed_at"),
    Index(None, "subject"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    Column("notice", Text, primary_key=True),
    Column("channel", Text, primary_key=True, comment="the name of a channel of the settings"),
    Column("address", Text, primary_key=True, comment="the owner's own, where the channel goes to the owner"),
    Column("status", Text, nullable=False, comment="waiting, sent, failed or muted"),
    Column("due_at", Time, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("digest", Text, nullable=False, comment="the message that carried it along with others; empty before"),
    Column("sent_at", Time),
    Column("error", Text, nullable=False),
    Index(None, "status", "due_at"),
    Index(None, "digest"),
)

mutes = sa.Table(
    "mutes",
    metadata,
    Column("subject", Text, primary_key=True, comment="the subject of the notices: a finding, a plan"),
    Column("until", Time, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Time, nullable=False),
)

schedules = sa.Table(
    "schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("anchor_at", Time, nullable=False, comment="when it was first seen: its slots are counted from here"),
    Column("slot_at", Time, nullable=False, comment="the latest slot that was asked for"),
    Column("job", Text, nullable=False, comment="the run of that slot; empty before the first"),
    Column("asked_at", Time),
)

entropy_days = sa.Table(
    "entropy_days",
    metadata,
    Column("day", Text, primary_key=True, comment="YYYY-MM-DD, UTC"),
    Column("scope", Text, primary_key=True, comment="all, service, owner, account or domain"),
    Column("key", Text, primary_key=True),
    Column("entropy", Float, nullable=False),
    Column("findings", Integer, nullable=False, comment="unresolved: open and stale"),
    Column("stale", Integer, nullable=False, server_default="0"),
    Column("unowned", Integer, nullable=False, server_default="0", comment="subjects"),
    Column("unseen", Integer, nullable=False, server_default="0", comment="cells that were not observed completely"),
    Column("subjects", Integer, nullable=False),
    Column("weight", Float, nullable=False),
    Column("measured_at", Time, nullable=False),
)

entropy_subjects = sa.Table(
    "entropy_subjects",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("owner", Text, nullable=False, comment="empty for unowned"),
    Column("services", Json, nullable=False, comment="components and systems that it belongs to"),
    Column("gone_at", Time, comment="when it was first missed; null: it is there"),
    Column("past", Json, nullable=False, comment="scope and key that it belonged to -> when that was noticed to end"),
)

saved_views = sa.Table(
    "saved_views",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False, comment="whose list it stands in: a principal or a group"),
    Column("name", Text, nullable=False),
    Column("path", Text, nullable=False, comment="the address within the console: path and query"),
    Column("created_by", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("owner", "name"),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True, comment="digest of principal, method, path and the given key"),
    Column("request", Text, nullable=False, comment="digest of the body"),
    Column("status", Integer, nullable=False, comment="0 while it is being answered"),
    Column("content_type", Text, nullable=False),
    Column("answer", LargeBinary),
    Column("created_at", Time, nullable=False),
    Index(None, "created_at"),
)
