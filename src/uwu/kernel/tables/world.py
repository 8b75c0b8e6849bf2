"""The kernel's tables. Urns, entity references and cell ids are text keys: they are what people paste."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, Index, Integer, Text

from uwu.kernel.db import Json, Time, metadata

entities = sa.Table(
    "entities",
    metadata,
    Column("ref", Text, primary_key=True, comment="kind:namespace/name, lower case"),
    Column("kind", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("api_version", Text, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("spec", Json, nullable=False),
    Column("file", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("origin", Text, nullable=False, comment="the location that brought it"),
    Column("hash", Text, nullable=False),
    Column("orphan", Boolean, nullable=False, comment="its source no longer holds it"),
    Column("first_seen", Time, nullable=False),
    Column("last_seen", Time, nullable=False),
    Index(None, "kind"),
)

declarations = sa.Table(
    "declarations",
    metadata,
    Column("id", Text, primary_key=True, comment="source#address"),
    Column(
        "source", Text, nullable=False, comment="what declares it: an entity reference such as stack:default/payments"
    ),
    Column("address", Text, nullable=False, comment="its address there: aws_instance.web[0]"),
    Column("place", Text, nullable=False, comment="file:line or state key and serial"),
    Column("urn", Text, nullable=False, comment="empty where the address has no name we know"),
    Column("type", Text, nullable=False),
    Column("declared_type", Text, nullable=False, comment="the declaring tool's own type: aws_instance"),
    Column("attributes", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("hash", Text, nullable=False),
    Column("declared_at", Time, nullable=False),
    Index(None, "urn"),
    Index(None, "source"),
    Index(None, "address"),
)

coverage = sa.Table(
    "coverage",
    metadata,
    Column("cell", Text, primary_key=True, comment="source/account/region/type"),
    Column("source", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("observed_at", Time, nullable=False, comment="the last try"),
    Column("complete_at", Time, comment="the last complete one"),
    Column("resources", Integer, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("code", Text, nullable=False, comment="the error's code; empty where complete"),
    Column("message", Text, nullable=False),
    Index("ix_coverage_by_status", "status", "account", "type"),
    Index("ix_coverage_by_account", "account", "type", "status"),
    Index("ix_coverage_by_type", "type", "status", "account"),
)

resources = sa.Table(
    "resources",
    metadata,
    Column("urn", Text, primary_key=True),
    Column("cell", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("attributes", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("managed_by", Text, nullable=False, comment="'aws', or the urn that made and owns it; empty for itself"),
    Column("hash", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("first_seen", Time, nullable=False),
    Column("changed_at", Time, nullable=False),
    Column("owner", Text, nullable=False, server_default="", comment="that of ownership, kept by a trigger"),
    Index(None, "cell"),
    Index("ix_resources_by_name", "name", "urn"),
    # each filter of the list counts the values of the others from one index, without the rows
    Index("ix_resources_by_type", "type", "account", "region", "owner"),
    Index("ix_resources_by_account", "account", "region", "type", "owner"),
    Index("ix_resources_by_region", "region", "type", "account", "owner"),
    Index("ix_resources_by_owner", "owner", "account", "type", "region"),
    Index("ix_resources_by_maker", "managed_by", "owner", "account"),
)

versions = sa.Table(
    "versions",
    metadata,
    Column("urn", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("valid_from", Time, nullable=False),
    Column("valid_to", Time, comment="null: still so"),
    Column("cell", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("attributes", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("managed_by", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index(None, "valid_from"),
)

relations = sa.Table(
    "relations",
    metadata,
    Column("source", Text, primary_key=True, comment="a urn or an entity reference"),
    Column("kind", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("valid_from", Time, primary_key=True),
    Column("valid_to", Time),
    Column("cell", Text, nullable=False),
    Column("evidence", Text, nullable=False, comment="the attribute or place that says so"),
    Index(None, "target"),
    Index(None, "cell"),
)

ownership = sa.Table(
    "ownership",
    metadata,
    Column("subject", Text, primary_key=True, comment="a urn"),
    Column("owner", Text, nullable=False, comment="an entity reference; empty for unowned"),
    Column("strength", Text, nullable=False, comment="the kind of the evidence that decided"),
    Column("evidence", Json, nullable=False),
    Column("conflicts", Json, nullable=False),
    Column("settled_at", Time, nullable=False),
    Index(None, "owner"),
)

findings = sa.Table(
    "findings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("path", Text, nullable=False, comment="the attribute; empty for the whole subject"),
    Column("domain", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("status", Text, nullable=False, comment="open, stale or closed"),
    Column("type", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("declared", Json),
    Column("observed", Json),
    Column("place", Text, nullable=False, comment="where it is declared"),
    Column("cell", Text, nullable=False, comment="the coverage that may close it"),
    Column("cause", Json, comment="the change that caused it, where one is known"),
    Column("actor", Text, nullable=False, comment="the human or machine of the cause; empty where unknown"),
    Column("remedy", Text, nullable=False),
    Column("opened_at", Time, nullable=False),
    Column("last_seen", Time, nullable=False),
    Column("closed_at", Time),
    Index(None, "status", "severity"),
    Index(None, "subject"),
    Index(None, "owner"),
    Index(None, "opened_at"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("arguments", Json, nullable=False),
    Column("parent", Text, nullable=False),
    Column("status", Text, nullable=False, comment="queued, running, done, failed or cancelled"),
    Column("requested_by", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("started_at", Time),
    Column("finished_at", Time),
    Column("stage", Text, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("result", Json),
    Column("problem", Json),
    Index(None, "parent"),
    Index(None, "created_at"),
)

job_log = sa.Table(
    "job_log",
    metadata,
    Column("job", Text, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("at", Time, nullable=False),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("data", Json),
)

workers = sa.Table(
    "workers",
    metadata,
    Column("executor_id", Text, primary_key=True),
    Column("beat_at", Time, nullable=False),
    Column("started_at", Time, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
)

leases = sa.Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", Integer, nullable=False, comment="raised at each taking: the fence"),
    Column("expires_at", Time, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Time, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Json, nullable=False),
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index(None, "subject"),
    Index(None, "at"),
)

lake_streams = sa.Table(
    "lake_streams",
    metadata,
    Column("name", Text, primary_key=True),
    Column("last_batch", Integer, nullable=False, comment="the highest batch given out; its row lock orders claims"),
)

lake_batches = sa.Table(
    "lake_batches",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="consecutive within the stream, from 1"),
    Column("state", Text, nullable=False, comment="claimed, written, committed or void"),
    Column("epoch", Integer, nullable=False, comment="raised at each taking: the fence"),
    Column("holder", Text, nullable=False),
    Column("expires_at", Time, nullable=False, comment="from when another may take a claimed batch"),
    Column("files", Json, nullable=False, comment="table -> files, fixed once written"),
    Column("rows", Json, nullable=False, comment="table -> rows"),
    Column("detail", Json, nullable=False, comment="what the stream says of the batch"),
    Column("created_at", Time, nullable=False),
    Column("written_at", Time),
    Column("committed_at", Time),
    Index(None, "stream", "state"),
)

lake_keys = sa.Table(
    "lake_keys",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("key", Text, primary_key=True, comment="what was taken in: an object and its version"),
    Column("batch", Integer, nullable=False),
    Index(None, "stream", "batch"),
)
