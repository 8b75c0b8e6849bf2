"""The first tables."""

import sqlalchemy as sa
from alembic import op

from uwu.kernel.db import Json, Time

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", Time(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.Column("prev", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False)
    op.create_index(op.f("ix_audit_subject"), "audit", ["subject"], unique=False)
    op.create_table(
        "coverage",
        sa.Column("cell", sa.Text(), nullable=False, comment="source/account/region/type"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("observed_at", Time(), nullable=False, comment="the last try"),
        sa.Column("complete_at", Time(), nullable=True, comment="the last complete one"),
        sa.Column("resources", sa.Integer(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="the error's code; empty where complete"),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cell", name=op.f("pk_coverage")),
    )
    op.create_index(op.f("ix_coverage_account"), "coverage", ["account"], unique=False)
    op.create_index(op.f("ix_coverage_status"), "coverage", ["status"], unique=False)
    op.create_table(
        "declarations",
        sa.Column("id", sa.Text(), nullable=False, comment="source#address"),
        sa.Column(
            "source",
            sa.Text(),
            nullable=False,
            comment="what declares it: an entity reference such as stack:default/payments",
        ),
        sa.Column("address", sa.Text(), nullable=False, comment="its address there: aws_instance.web[0]"),
        sa.Column("place", sa.Text(), nullable=False, comment="file:line or state key and serial"),
        sa.Column("urn", sa.Text(), nullable=False, comment="empty where the address has no name we know"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("declared_type", sa.Text(), nullable=False, comment="the declaring tool's own type: aws_instance"),
        sa.Column("attributes", Json, nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("declared_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_declarations")),
    )
    op.create_index(op.f("ix_declarations_source"), "declarations", ["source"], unique=False)
    op.create_index(op.f("ix_declarations_urn"), "declarations", ["urn"], unique=False)
    op.create_table(
        "entities",
        sa.Column("ref", sa.Text(), nullable=False, comment="kind:namespace/name, lower case"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("api_version", sa.Text(), nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("spec", Json, nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False, comment="the location that brought it"),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("orphan", sa.Boolean(), nullable=False, comment="its source no longer holds it"),
        sa.Column("first_seen", Time(), nullable=False),
        sa.Column("last_seen", Time(), nullable=False),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_entities")),
    )
    op.create_index(op.f("ix_entities_kind"), "entities", ["kind"], unique=False)
    op.create_table(
        "findings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="the attribute; empty for the whole subject"),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="open, stale or closed"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("declared", Json, nullable=True),
        sa.Column("observed", Json, nullable=True),
        sa.Column("place", sa.Text(), nullable=False, comment="where it is declared"),
        sa.Column("cell", sa.Text(), nullable=False, comment="the coverage that may close it"),
        sa.Column("cause", Json, nullable=True, comment="the change that caused it, where one is known"),
        sa.Column("actor", sa.Text(), nullable=False, comment="the human or machine of the cause; empty where unknown"),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("opened_at", Time(), nullable=False),
        sa.Column("last_seen", Time(), nullable=False),
        sa.Column("closed_at", Time(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
    )
    op.create_index(op.f("ix_findings_opened_at"), "findings", ["opened_at"], unique=False)
    op.create_index(op.f("ix_findings_owner"), "findings", ["owner"], unique=False)
    op.create_index(op.f("ix_findings_status_findings_severity"), "findings", ["status", "severity"], unique=False)
    op.create_index(op.f("ix_findings_subject"), "findings", ["subject"], unique=False)
    op.create_table(
        "job_log",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("at", Time(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", Json, nullable=True),
        sa.PrimaryKeyConstraint("job", "line", name=op.f("pk_job_log")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("arguments", Json, nullable=False),
        sa.Column("parent", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="queued, running, done, failed or cancelled"),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("started_at", Time(), nullable=True),
        sa.Column("finished_at", Time(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("result", Json, nullable=True),
        sa.Column("problem", Json, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_created_at"), "jobs", ["created_at"], unique=False)
    op.create_index(op.f("ix_jobs_parent"), "jobs", ["parent"], unique=False)
    op.create_table(
        "lake_batches",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column(
            "number", sa.Integer(), autoincrement=False, nullable=False, comment="consecutive within the stream, from 1"
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="claimed, written, committed or void"),
        sa.Column("epoch", sa.Integer(), nullable=False, comment="raised at each taking: the fence"),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", Time(), nullable=False, comment="from when another may take a claimed batch"),
        sa.Column("files", Json, nullable=False, comment="table -> files, fixed once written"),
        sa.Column("rows", Json, nullable=False, comment="table -> rows"),
        sa.Column("detail", Json, nullable=False, comment="what the stream says of the batch"),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("written_at", Time(), nullable=True),
        sa.Column("committed_at", Time(), nullable=True),
        sa.PrimaryKeyConstraint("stream", "number", name=op.f("pk_lake_batches")),
    )
    op.create_index(
        op.f("ix_lake_batches_stream_lake_batches_state"), "lake_batches", ["stream", "state"], unique=False
    )
    op.create_table(
        "lake_keys",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="what was taken in: an object and its version"),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "key", name=op.f("pk_lake_keys")),
    )
    op.create_index(op.f("ix_lake_keys_stream_lake_keys_batch"), "lake_keys", ["stream", "batch"], unique=False)
    op.create_table(
        "lake_streams",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "last_batch",
            sa.Integer(),
            nullable=False,
            comment="the highest batch given out; its row lock orders claims",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lake_streams")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False, comment="raised at each taking: the fence"),
        sa.Column("expires_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "ownership",
        sa.Column("subject", sa.Text(), nullable=False, comment="a urn"),
        sa.Column("owner", sa.Text(), nullable=False, comment="an entity reference; empty for unowned"),
        sa.Column("strength", sa.Text(), nullable=False, comment="the kind of the evidence that decided"),
        sa.Column("evidence", Json, nullable=False),
        sa.Column("conflicts", Json, nullable=False),
        sa.Column("settled_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_ownership")),
    )
    op.create_index(op.f("ix_ownership_owner"), "ownership", ["owner"], unique=False)
    op.create_table(
        "relations",
        sa.Column("source", sa.Text(), nullable=False, comment="a urn or an entity reference"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("valid_from", Time(), nullable=False),
        sa.Column("valid_to", Time(), nullable=True),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False, comment="the attribute or place that says so"),
        sa.PrimaryKeyConstraint("source", "kind", "target", "valid_from", name=op.f("pk_relations")),
    )
    op.create_index(op.f("ix_relations_cell"), "relations", ["cell"], unique=False)
    op.create_index(op.f("ix_relations_target"), "relations", ["target"], unique=False)
    op.create_table(
        "resources",
        sa.Column("urn", sa.Text(), nullable=False),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("attributes", Json, nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column(
            "managed_by", sa.Text(), nullable=False, comment="'aws', or the urn that made and owns it; empty for itself"
        ),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("first_seen", Time(), nullable=False),
        sa.Column("changed_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("urn", name=op.f("pk_resources")),
    )
    op.create_index(op.f("ix_resources_account_resources_region"), "resources", ["account", "region"], unique=False)
    op.create_index(op.f("ix_resources_cell"), "resources", ["cell"], unique=False)
    op.create_index(op.f("ix_resources_type"), "resources", ["type"], unique=False)
    op.create_table(
        "trail_aliases",
        sa.Column(
            "alias", sa.Text(), nullable=False, comment="what a call says: a role without its path, an association"
        ),
        sa.Column("urn", sa.Text(), nullable=False, comment="what it means"),
        sa.Column("learned_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("alias", name=op.f("pk_trail_aliases")),
    )
    op.create_index(op.f("ix_trail_aliases_urn"), "trail_aliases", ["urn"], unique=False)
    op.create_table(
        "trail_late",
        sa.Column("event_id", sa.Text(), nullable=False, comment="an event whose actor was not known when it came"),
        sa.Column("at", Time(), nullable=False),
        sa.Column("identity", Json, nullable=False),
        sa.Column("shared_event", sa.Text(), nullable=False),
        sa.Column("actor", Json, nullable=True, comment="the actor, once a later event told it"),
        sa.Column("resolved_at", Time(), nullable=True),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_trail_late")),
    )
    op.create_index(op.f("ix_trail_late_at"), "trail_late", ["at"], unique=False)
    op.create_table(
        "trail_rejects",
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column(
            "index", sa.Integer(), nullable=False, comment="the record's place in the object; -1 for the object itself"
        ),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("seen_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("object", "index", "code", name=op.f("pk_trail_rejects")),
    )
    op.create_table(
        "trail_sessions",
        sa.Column("event_id", sa.Text(), nullable=False, comment="the event that issued the session"),
        sa.Column("at", Time(), nullable=False),
        sa.Column("access_key", sa.Text(), nullable=False, comment="the key it issued; empty where not told"),
        sa.Column("assumed_role", sa.Text(), nullable=False, comment="AROA...:session name"),
        sa.Column("role", sa.Text(), nullable=False, comment="the role's ARN as the call gave it"),
        sa.Column("name", sa.Text(), nullable=False, comment="the session's name"),
        sa.Column("role_session", sa.Text(), nullable=False, comment="account/role/session name"),
        sa.Column("source_identity", sa.Text(), nullable=False),
        sa.Column("shared_event", sa.Text(), nullable=False),
        sa.Column("caller", Json, nullable=False, comment="the userIdentity that asked"),
        sa.Column("seen_at", Time(), nullable=False, comment="when it was ingested: sessions are kept for a while"),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_trail_sessions")),
    )
    op.create_index(op.f("ix_trail_sessions_access_key"), "trail_sessions", ["access_key"], unique=False)
    op.create_index(op.f("ix_trail_sessions_assumed_role"), "trail_sessions", ["assumed_role"], unique=False)
    op.create_index(op.f("ix_trail_sessions_role_session"), "trail_sessions", ["role_session"], unique=False)
    op.create_index(op.f("ix_trail_sessions_seen_at"), "trail_sessions", ["seen_at"], unique=False)
    op.create_index(op.f("ix_trail_sessions_shared_event"), "trail_sessions", ["shared_event"], unique=False)
    op.create_table(
        "versions",
        sa.Column("urn", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("valid_from", Time(), nullable=False),
        sa.Column("valid_to", Time(), nullable=True, comment="null: still so"),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("attributes", Json, nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("managed_by", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("urn", "version", name=op.f("pk_versions")),
    )
    op.create_index(op.f("ix_versions_valid_from"), "versions", ["valid_from"], unique=False)
    op.create_table(
        "workers",
        sa.Column("executor_id", sa.Text(), nullable=False),
        sa.Column("beat_at", Time(), nullable=False),
        sa.Column("started_at", Time(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("executor_id", name=op.f("pk_workers")),
    )
