"""The kernel's tables. Urns, entity references and cell ids are text keys: they are what people paste."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, Text

from uwu.kernel.db import Bytewise, Json, Time, metadata

_DISPUTED = sa.text("conflicts <> '[]'")
_OTHERWISE = sa.text("ended <> 'changed'")

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
    Index("ix_entities_by_origin", "origin", "orphan"),
)

entity_facts = sa.Table(
    "entity_facts",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("key", Bytewise, primary_key=True, comment="a path into the entity, lower case: metadata.tags, spec.type"),
    Column("value", Bytewise, primary_key=True, comment="lower case; empty for what is no text, number or truth value"),
    Column("written", Text, comment="as it is written; null where that is lower case"),
    Index("ix_entity_facts_by_value", "key", "value", "ref", "written"),
    sqlite_with_rowid=False,
)

entity_versions = sa.Table(
    "entity_versions",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("valid_from", Time, nullable=False),
    Column("valid_to", Time, comment="null: still so"),
    Column("api_version", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("spec", Json, nullable=False),
    Column("file", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("origin", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

estate_files = sa.Table(
    "estate_files",
    metadata,
    Column("file", Text, primary_key=True, comment="as it is shown in places"),
    Column("origin", Text, nullable=False),
    Column("mark", Text, nullable=False, comment="what it looked like when it was read; empty: read it again"),
    Column("uses", Json, nullable=False, comment="files that it embeds"),
    Column("embeds", Boolean, nullable=False),
    Column("targets", Json, nullable=False, comment="what its Locations name"),
    Column("names", Boolean, nullable=False),
    Column("problems", Json, nullable=False),
    Column("faulty", Boolean, nullable=False),
    Column("whole", Boolean, nullable=False, comment="all that it holds could be read and fits"),
    Column("read_at", Time, nullable=False),
    Index(None, "embeds"),
    Index(None, "names"),
    Index(None, "faulty"),
)

estate_claims = sa.Table(
    "estate_claims",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("file", Text, primary_key=True),
    Column("place", Text, nullable=False, comment="file:line of its name"),
    Column("held", Boolean, nullable=False, comment="false: the file may hold it, and cannot be read or does not fit"),
    Column("accepted", Boolean, nullable=False, comment="the entity is this file's"),
    Index(None, "file"),
    Index(None, "accepted", "held"),
)

estate_references = sa.Table(
    "estate_references",
    metadata,
    Column("source", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("back", Text, nullable=False, comment="the relation from the target to the source"),
    Column("place", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("resolved", Boolean, nullable=False, comment="the target is declared"),
    Index("ix_estate_references_back", "target", "back", "source"),
    Index(None, "resolved"),
)

estate_pending = sa.Table(
    "estate_pending",
    metadata,
    Column("ref", Text, primary_key=True, comment="an entity whose relations are to be drawn anew"),
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
    Column("action", Text, nullable=False, server_default="", comment="the IAM action that is denied"),
    Column("since", Time, comment="since when the status and the code are these"),
    Column("due_at", Time, comment="when the next look is due; a complete cell is late afterwards"),
    Column("run", Text, nullable=False, server_default="", comment="the job that wrote it"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="requests sent, with those tried again"),
    Column("throttled", Integer, nullable=False, server_default="0", comment="answers that told to slow down"),
    Column("bytes", BigInteger, nullable=False, server_default="0", comment="of the answers"),
    Column("cost", Float, nullable=False, server_default="0", comment="US dollars at list price"),
    Index("ix_coverage_by_status", "status", "account", "type"),
    Index("ix_coverage_by_type", "type", "status", "account"),
    # how every account and type was seen comes from this index, without the rows
    Index("ix_coverage_seen", "account", "type", "status", "code", "due_at", "complete_at", "observed_at"),
    Index("ix_coverage_due", "status", "due_at"),
    Index("ix_coverage_run", "run", "account", "region"),
    Index("ix_coverage_seconds", "seconds", "cell"),
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
    Column("seen_at", Time, comment="when it was last seen other than by a complete look at its cell"),
    Index(None, "cell"),
    Index("ix_resources_by_name", "name", "urn"),
    Index(None, "first_seen"),
    # each filter of the list counts the values of the others from one index, without the rows
    Index("ix_resources_by_type", "type", "account", "region", "owner"),
    Index("ix_resources_by_account", "account", "region", "type", "owner"),
    Index("ix_resources_by_region", "region", "type", "account", "owner"),
    Index("ix_resources_by_owner", "owner", "account", "type", "region"),
    Index("ix_resources_by_maker", "managed_by", "owner", "account"),
)

past_versions = sa.Table(
    "past_versions",
    metadata,
    Column("urn", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("valid_from", Time, nullable=False),
    Column("valid_to", Time, nullable=False),
    Column("cell", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("attributes", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("managed_by", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("first_seen", Time, nullable=False, comment="since when it had been there"),
    Column("ended", Text, nullable=False, comment="changed; moved, as what follows has another place; gone"),
    Index(None, "valid_from"),
    Index(None, "valid_to"),
    # how many there were at a time comes from these: what changed in its place counts as before
    Index("ix_past_versions_otherwise", "valid_to", postgresql_where=_OTHERWISE, sqlite_where=_OTHERWISE),
)

views = sa.MetaData()
"""What migrations make as views."""

_KEPT_OF_ITS_END = {"first_seen", "ended"}
versions = sa.Table(
    "versions", views, *(Column(c.name, c.type) for c in past_versions.columns if c.name not in _KEPT_OF_ITS_END)
)
"""Every version: those that ended, and with ``valid_to`` null those that hold, which are the resources."""

cell_marks = sa.Table(
    "cell_marks",
    metadata,
    Column("cell", Text, primary_key=True),
    Column("marks", LargeBinary, comment="a digest of each resource in it; null: not known"),
    Column("turn", Integer, nullable=False, comment="how often it was written"),
)

tombstones = sa.Table(
    "tombstones",
    metadata,
    Column("urn", Text, primary_key=True),
    Column("cell", Text, nullable=False),
    Column("gone_at", Time, nullable=False, comment="when it was looked for by itself and was not there"),
    Index(None, "cell"),
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
    Index("ix_ownership_by_owner", "owner", "strength"),
    Index("ix_ownership_disputed", "subject", postgresql_where=_DISPUTED, sqlite_where=_DISPUTED),
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
    Column("exemption", Text, nullable=False, server_default="", comment="what exempts it"),
    Index(None, "status", "severity"),
    Index(None, "subject"),
    Index(None, "owner"),
    Index(None, "opened_at"),
)

exemptions = sa.Table(
    "exemptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("rule", Text, nullable=False, comment="a rule's id, or a pattern"),
    Column("subject", Text, nullable=False, comment="a urn; empty for all of the account"),
    Column("account", Text, nullable=False, comment="empty where a subject is exempt"),
    Column("until", Time, nullable=False),
    Column("reason", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", Time, nullable=False),
    Column("ended_at", Time, comment="when it ended: at its time, or before by somebody; null while it holds"),
    Column("ended_by", Text, nullable=False, comment="who ended it; empty where its time did"),
    Index("ix_exemptions_by_until", "ended_at", "until"),
)

judgements = sa.Table(
    "judgements",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("judged_at", Time, nullable=False),
    Column("unjudged", Integer, nullable=False, comment="subjects of which it could say nothing"),
    Column("reasons", Json, nullable=False, comment="why, how many, and some of them"),
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
