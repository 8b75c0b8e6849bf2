"""People: who may, who asked, who is told; plans, entropy by day, saved views."""

import sqlalchemy as sa
from alembic import op

from uwu.kernel.db import Json, Time

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False, comment="approve or reject"),
        sa.Column("hash", sa.Text(), nullable=False, comment="the plan's hash that was looked at"),
        sa.Column("counts_for", Json, nullable=False, comment="the required groups that it speaks for"),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("plan", "principal", name=op.f("pk_approvals")),
    )
    op.create_table(
        "break_glass",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("expires_at", Time(), nullable=False),
        sa.Column("ended_at", Time(), nullable=True, comment="ended before its time"),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_break_glass")),
    )
    with op.batch_alter_table("break_glass", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_break_glass_principal"), ["principal"], unique=False)

    op.create_table(
        "deliveries",
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False, comment="the name of a channel of the settings"),
        sa.Column("address", sa.Text(), nullable=False, comment="the owner's own, where the channel goes to the owner"),
        sa.Column("status", sa.Text(), nullable=False, comment="waiting, sent, failed or muted"),
        sa.Column("due_at", Time(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column(
            "digest", sa.Text(), nullable=False, comment="the message that carried it along with others; empty before"
        ),
        sa.Column("sent_at", Time(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("notice", "channel", "address", name=op.f("pk_deliveries")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deliveries_digest"), ["digest"], unique=False)
        batch_op.create_index(batch_op.f("ix_deliveries_status_deliveries_due_at"), ["status", "due_at"], unique=False)

    op.create_table(
        "entropy_days",
        sa.Column("day", sa.Text(), nullable=False, comment="YYYY-MM-DD, UTC"),
        sa.Column("scope", sa.Text(), nullable=False, comment="all, service, owner, account or domain"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("entropy", sa.Float(), nullable=False),
        sa.Column("findings", sa.Integer(), nullable=False, comment="unresolved: open and stale"),
        sa.Column("stale", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unowned", sa.Integer(), server_default="0", nullable=False, comment="subjects"),
        sa.Column(
            "unseen",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="cells that were not observed completely",
        ),
        sa.Column("subjects", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("measured_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("day", "scope", "key", name=op.f("pk_entropy_days")),
    )
    op.create_table(
        "entropy_subjects",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False, comment="empty for unowned"),
        sa.Column("services", Json, nullable=False, comment="components and systems that it belongs to"),
        sa.Column("gone_at", Time(), nullable=True, comment="when it was first missed; null: it is there"),
        sa.Column(
            "past", Json, nullable=False, comment="scope and key that it belonged to -> when that was noticed to end"
        ),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_entropy_subjects")),
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.Text(), nullable=False, comment="digest of principal, method, path and the given key"),
        sa.Column("request", sa.Text(), nullable=False, comment="digest of the body"),
        sa.Column("status", sa.Integer(), nullable=False, comment="0 while it is being answered"),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency")),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_created_at"), ["created_at"], unique=False)

    op.create_table(
        "mutes",
        sa.Column("subject", sa.Text(), nullable=False, comment="the subject of the notices: a finding, a plan"),
        sa.Column("until", Time(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_mutes")),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("dedupe", sa.Text(), nullable=False, comment="the same thing is told once"),
        sa.Column("kind", sa.Text(), nullable=False, comment="finding.opened, plan.waiting, break-glass.opened, ..."),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="its page in the console"),
        sa.Column("owners", Json, nullable=False, comment="others who are told as the owner is"),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("routed_at", Time(), nullable=True, comment="when it was decided who is told"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("dedupe", name=op.f("uq_notices_dedupe")),
    )
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notices_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_notices_routed_at"), ["routed_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_notices_subject"), ["subject"], unique=False)

    op.create_table(
        "plan_outcomes",
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="of the change, from 0"),
        sa.Column("status", sa.Text(), nullable=False, comment="done, already (it was so before) or failed"),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("problem", Json, nullable=True, comment="why it failed"),
        sa.Column("at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("plan", "number", name=op.f("pk_plan_outcomes")),
    )
    op.create_table(
        "plan_subjects",
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("plan", "subject", name=op.f("pk_plan_subjects")),
    )
    with op.batch_alter_table("plan_subjects", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_plan_subjects_owner"), ["owner"], unique=False)
        batch_op.create_index(batch_op.f("ix_plan_subjects_subject"), ["subject"], unique=False)

    op.create_table(
        "plans",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="for people: plan 431"),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("planner", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it was asked for"),
        sa.Column("plan", Json, nullable=False),
        sa.Column(
            "request", Json, nullable=False, comment="what the planner was asked: it plans the same again from it"
        ),
        sa.Column("hash", sa.Text(), nullable=False, comment="what an approval binds"),
        sa.Column("declared_hash", sa.Text(), nullable=False),
        sa.Column("observed_hash", sa.Text(), nullable=False),
        sa.Column("owners", Json, nullable=False, comment="the owners of what it touches"),
        sa.Column("forced", sa.Boolean(), nullable=False, comment="asked for although it passes the safety limit"),
        sa.Column("approvals_needed", sa.Integer(), nullable=False),
        sa.Column("required", Json, nullable=False, comment="groups of which one each must approve"),
        sa.Column("policy", Json, nullable=False, comment="what says so: a setting, policies of the estate"),
        sa.Column(
            "status", sa.Text(), nullable=False, comment="waiting, approved, rejected, withdrawn, void, applying, ..."
        ),
        sa.Column("why", sa.Text(), nullable=False, comment="why it is void, rejected or failed"),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("behind", Json, nullable=False, comment="who stands behind the request: none of them may approve"),
        sa.Column("requested_at", Time(), nullable=False),
        sa.Column("expires_at", Time(), nullable=False),
        sa.Column("decided_at", Time(), nullable=True),
        sa.Column("job", sa.Text(), nullable=False, comment="the job that applies it; empty before"),
        sa.Column("applied_by", sa.Text(), nullable=False, comment="who asked for the job"),
        sa.Column("finished_at", Time(), nullable=True),
        sa.Column(
            "outcome", Json, nullable=True, comment="the proof: what was observed afterwards, and which findings closed"
        ),
        sa.Column("undoes", sa.Text(), nullable=False, comment="the plan that it takes back; empty for none"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
        sa.UniqueConstraint("number", name=op.f("uq_plans_number")),
    )
    with op.batch_alter_table("plans", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_plans_domain"), ["domain"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_plans_status_plans_requested_at"), ["status", "requested_at"], unique=False
        )

    op.create_table(
        "principals",
        sa.Column("ref", sa.Text(), nullable=False, comment="user:default/mira.k, or service:default/deployer"),
        sa.Column("kind", sa.Text(), nullable=False, comment="human or service"),
        sa.Column("name", sa.Text(), nullable=False, comment="for people"),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=True, comment="the OpenID provider that vouches; null where none does"),
        sa.Column("subject", sa.Text(), nullable=True, comment="its sub claim"),
        sa.Column("groups", Json, nullable=False, comment="group references that its claims, or its creator, named"),
        sa.Column("roles", Json, nullable=False, comment="roles given to it alone: the bootstrap admin's"),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("seen_at", Time(), nullable=True),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_principals")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_principals_issuer_subject")),
    )
    op.create_table(
        "saved_views",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False, comment="whose list it stands in: a principal or a group"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="the address within the console: path and query"),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_views")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_saved_views_owner_name")),
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "anchor_at", Time(), nullable=False, comment="when it was first seen: its slots are counted from here"
        ),
        sa.Column("slot_at", Time(), nullable=False, comment="the latest slot that was asked for"),
        sa.Column("job", sa.Text(), nullable=False, comment="the run of that slot; empty before the first"),
        sa.Column("asked_at", Time(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False, comment="s_..., for people and for ending it"),
        sa.Column("hash", sa.Text(), nullable=False, comment="SHA-256 of the cookie's secret"),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False, comment="oidc or token: how it was signed in"),
        sa.Column(
            "token",
            sa.Text(),
            nullable=True,
            comment="the token that was shown; the session ends with it and keeps to its scopes",
        ),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("seen_at", Time(), nullable=False),
        sa.Column("expires_at", Time(), nullable=False, comment="the absolute limit"),
        sa.Column("agent", sa.Text(), nullable=False, comment="the browser's own name, shortened"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("hash", name=op.f("uq_sessions_hash")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_principal"), ["principal"], unique=False)

    op.create_table(
        "sign_ins",
        sa.Column("key", sa.Text(), nullable=False, comment="SHA-256 of the state, device code or one-time code"),
        sa.Column("kind", sa.Text(), nullable=False, comment="oidc or device"),
        sa.Column(
            "code", sa.Text(), nullable=True, comment="what a person compares or types: a device flow's user code"
        ),
        sa.Column("detail", Json, nullable=False),
        sa.Column("principal", sa.Text(), nullable=True, comment="who granted it; null while it waits"),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("expires_at", Time(), nullable=False),
        sa.Column("used_at", Time(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_ins")),
        sa.UniqueConstraint("code", name=op.f("uq_sign_ins_code")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False, comment="t_..., the public part"),
        sa.Column("hash", sa.Text(), nullable=False, comment="SHA-256 of the whole token"),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "scopes", Json, nullable=False, comment="actions or groups of actions; * for all that its principal may"
        ),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", Time(), nullable=True),
        sa.Column("used_at", Time(), nullable=True, comment="to the minute"),
        sa.Column("revoked_at", Time(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_tokens_hash")),
    )
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tokens_principal"), ["principal"], unique=False)
