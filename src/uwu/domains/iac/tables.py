"""The tables of kept Terraform states: states, their versions, their locks, uploads. What a state holds lies in blobs,
encrypted; no other column ever holds a part of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text

from uwu.kernel.db import Json, Time, metadata

states = Table(
    "iac_states",
    metadata,
    Column("id", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("version", Text, nullable=False, comment="the id of the current version; empty for none"),
    Column("number", Integer, nullable=False, comment="of the last version that was written"),
    Column("tags", Json, nullable=False, comment="key -> value; what the cloud block calls tags"),
    Column("lock_id", Text, nullable=False, comment="empty where it is not locked"),
    Column("lock", Json, comment="what the holder told of itself"),
    Column("locked_by", Text, nullable=False, comment="the principal that holds the lock"),
    Column("locked_at", Time),
    Index("uq_iac_states_name", "namespace", "name", unique=True),
)

versions = Table(
    "iac_state_versions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="counts from 1 in each state"),
    Column("serial", BigInteger, nullable=False),
    Column("lineage", Text, nullable=False),
    Column("terraform_version", Text, nullable=False),
    Column("resources", Integer, nullable=False, comment="managed instances"),
    Column("outputs", Integer, nullable=False),
    Column("opaque", Boolean, nullable=False, comment="the client has encrypted it: nothing in it can be read"),
    Column("sha256", Text, nullable=False, comment="of the bytes as they came"),
    Column("md5", Text, nullable=False, comment="hex; what Terraform compares"),
    Column("bytes", BigInteger, nullable=False),
    Column("blob", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("via", Text, nullable=False, comment="http, cloud, import or rollback"),
    Column("operation", Text, nullable=False, comment="what the lock's holder said that it does"),
    Column("forced", Boolean, nullable=False),
    Column("restored", Integer, nullable=False, comment="the number of the version that it brings back; 0 for none"),
    Index("uq_iac_state_versions_number", "state", "number", unique=True),
    Index(None, "blob"),
)

blobs = Table(
    "iac_blobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False, comment="the id of the key that its own key is wrapped with"),
    Column("wrapped", LargeBinary, nullable=False, comment="its own key, AES-256-GCM under the key"),
    Column("bytes", BigInteger, nullable=False, comment="before compression"),
    Column("chunks", Integer, nullable=False),
    Column("created_at", Time, nullable=False),
    Index(None, "key"),
)

chunks = Table(
    "iac_blob_chunks",
    metadata,
    Column("blob", Text, primary_key=True),
    Column("chunk", Integer, primary_key=True, comment="counts from 0"),
    Column("data", LargeBinary, nullable=False),
)

uploads = Table(
    "iac_uploads",
    metadata,
    Column("id", Text, primary_key=True, comment="becomes the id of the version"),
    Column("state", Text, nullable=False),
    Column("principal", Text, nullable=False, comment="who asked for it, and writes by it"),
    Column("serial", BigInteger, nullable=False),
    Column("lineage", Text, nullable=False),
    Column("md5", Text, nullable=False, comment="hex; empty where none was told"),
    Column("force", Boolean, nullable=False),
    Column("lock_id", Text, nullable=False, comment="the lock under which it was asked for"),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("used_at", Time, comment="when the state came"),
    Column("json_used_at", Time, comment="when the state in Terraform's output format came"),
    Column("json_blob", Text, nullable=False, comment="where that lies; empty for nowhere"),
    Column("refused", Text, nullable=False, comment="why the state was not taken; empty where it was, or has not come"),
    Index(None, "state"),
)

references = Table(
    "iac_references",
    metadata,
    Column("source", Text, primary_key=True, comment="the id of a declaration: stack#address"),
    Column("target", Text, primary_key=True, comment="the id of the declaration that it names"),
    Column("path", Text, nullable=False, comment="the attribute that names it"),
    Column("name", Text, nullable=False, comment="what the source is called"),
    Index(None, "target"),
)

runs = Table(
    "iac_runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", Integer, nullable=False, comment="counts from 1, over all stacks"),
    Column("stack", Text, nullable=False, comment="the reference of the stack"),
    Column("state", Text, nullable=False, comment="namespace/name of the state that it reads and writes"),
    Column("status", Text, nullable=False),
    Column("why", Text, nullable=False, comment="why it is so; empty where that goes without saying"),
    Column("speculative", Boolean, nullable=False, comment="it is never applied"),
    Column("destroy", Boolean, nullable=False),
    Column("forced", Boolean, nullable=False, comment="it may pass the safety limit of plans"),
    Column("origin", Text, nullable=False, comment="cli, console or github"),
    Column("revision", Text, nullable=False, comment="of the configuration: a commit; empty for a folder"),
    Column("reason", Text, nullable=False),
    Column("retries", Text, nullable=False, comment="the id of the run that it tries again; empty for none"),
    Column("requested_by", Text, nullable=False),
    Column("principal", Json, nullable=False, comment="who asked, as they were then: the plan is asked for as they"),
    Column("requested_at", Time, nullable=False),
    Column("started_at", Time),
    Column("finished_at", Time),
    Column("job", Text, nullable=False, comment="the job that plans"),
    Column("plan", Text, nullable=False, comment="the id of the plan that is approved and applied; empty for none"),
    Column("plan_sha256", Text, nullable=False, comment="of the plan file; empty before it is made"),
    Column("plan_blob", Text, nullable=False, comment="the plan file, encrypted; empty once it is of no use"),
    Column("json_blob", Text, nullable=False, comment="what the plan says, without secrets, encrypted"),
    Column("config_blob", Text, nullable=False, comment="the configuration that was planned, encrypted"),
    Column("config_sha256", Text, nullable=False),
    Column("serial", BigInteger, nullable=False, comment="of the state that was planned from; -1 for none"),
    Column("lineage", Text, nullable=False),
    Column("lock_id", Text, nullable=False, comment="the state's lock that the run holds; empty for none"),
    Column("summary", Json, comment="counts, checks and blast radius, without values"),
    Column("outcomes", Json, comment="address -> how applying it went"),
    Column("cancelled_by", Text, nullable=False, comment="who asked that it stops; empty for nobody"),
    Column("pull_request", Json, comment="where a comment is due: repository, number, commit"),
    Index("uq_iac_runs_number", "number", unique=True),
    Index("ix_iac_runs_stack", "stack", "number"),
    Index(None, "status"),
    Index(None, "plan"),
)

run_log = Table(
    "iac_run_log",
    metadata,
    Column("run", Text, primary_key=True),
    Column("line", Integer, primary_key=True, comment="counts from 1"),
    Column("at", Time, nullable=False),
    Column("phase", Text, nullable=False, comment="plan or apply"),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False, comment="without secrets"),
)

deliveries = Table(
    "iac_deliveries",
    metadata,
    Column("id", Text, primary_key=True, comment="what GitHub calls the delivery"),
    Column("digest", Text, nullable=False, comment="of what was signed: the same body is no second delivery"),
    Column("event", Text, nullable=False),
    Column("at", Time, nullable=False),
    Index("uq_iac_deliveries_digest", "digest", unique=True),
    Index(None, "at"),
)

packages = Table(
    "iac_packages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False, comment="provider or module"),
    Column("source", Text, nullable=False, comment="host/namespace/type, or namespace/name/system"),
    Column("version", Text, nullable=False),
    Column("platform", Text, nullable=False, comment="os_arch; empty for a module"),
    Column("filename", Text, nullable=False),
    Column("sha256", Text, nullable=False, comment="of the archive"),
    Column("h1", Text, nullable=False, comment="of what the archive holds, as Go hashes folders; empty for a module"),
    Column("bytes", BigInteger, nullable=False),
    Column("blob", Text, nullable=False),
    Column("docs", Json, comment="a module's README, inputs and outputs"),
    Column("created_at", Time, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("yanked_at", Time),
    Column("yanked_by", Text, nullable=False),
    Column("yanked_why", Text, nullable=False),
    Index("uq_iac_packages_version", "kind", "source", "version", "platform", unique=True),
    Index(None, "blob"),
)
