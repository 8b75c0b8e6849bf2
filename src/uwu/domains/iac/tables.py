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
