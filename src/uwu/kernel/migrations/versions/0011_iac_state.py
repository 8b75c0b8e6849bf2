"""Terraform states that are kept here: their versions, locks and uploads, and the encrypted blobs of what they hold."""

import sqlalchemy as sa
from alembic import op

from uwu.kernel.db import Json, Time

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "iac_states",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False, comment="the id of the current version; empty for none"),
        sa.Column("number", sa.Integer(), nullable=False, comment="of the last version that was written"),
        sa.Column("tags", Json, nullable=False, comment="key -> value; what the cloud block calls tags"),
        sa.Column("lock_id", sa.Text(), nullable=False, comment="empty where it is not locked"),
        sa.Column("lock", Json, nullable=True, comment="what the holder told of itself"),
        sa.Column("locked_by", sa.Text(), nullable=False, comment="the principal that holds the lock"),
        sa.Column("locked_at", Time(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_iac_states"),
    )
    op.create_index("uq_iac_states_name", "iac_states", ["namespace", "name"], unique=True)
    op.create_table(
        "iac_state_versions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="counts from 1 in each state"),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("lineage", sa.Text(), nullable=False),
        sa.Column("terraform_version", sa.Text(), nullable=False),
        sa.Column("resources", sa.Integer(), nullable=False, comment="managed instances"),
        sa.Column("outputs", sa.Integer(), nullable=False),
        sa.Column(
            "opaque", sa.Boolean(), nullable=False, comment="the client has encrypted it: nothing in it can be read"
        ),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the bytes as they came"),
        sa.Column("md5", sa.Text(), nullable=False, comment="hex; what Terraform compares"),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False, comment="http, cloud, import or rollback"),
        sa.Column("operation", sa.Text(), nullable=False, comment="what the lock's holder said that it does"),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column(
            "restored",
            sa.Integer(),
            nullable=False,
            comment="the number of the version that it brings back; 0 for none",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_iac_state_versions"),
    )
    op.create_index("uq_iac_state_versions_number", "iac_state_versions", ["state", "number"], unique=True)
    op.create_index("ix_iac_state_versions_blob", "iac_state_versions", ["blob"])
    op.create_table(
        "iac_blobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="the id of the key that its own key is wrapped with"),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False, comment="its own key, AES-256-GCM under the key"),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="before compression"),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_iac_blobs"),
    )
    op.create_index("ix_iac_blobs_key", "iac_blobs", ["key"])
    op.create_table(
        "iac_blob_chunks",
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False, comment="counts from 0"),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("blob", "chunk", name="pk_iac_blob_chunks"),
    )
    op.create_table(
        "iac_uploads",
        sa.Column("id", sa.Text(), nullable=False, comment="becomes the id of the version"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False, comment="who asked for it, and writes by it"),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("lineage", sa.Text(), nullable=False),
        sa.Column("md5", sa.Text(), nullable=False, comment="hex; empty where none was told"),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("lock_id", sa.Text(), nullable=False, comment="the lock under which it was asked for"),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("expires_at", Time(), nullable=False),
        sa.Column("used_at", Time(), nullable=True, comment="when the state came"),
        sa.Column("json_used_at", Time(), nullable=True, comment="when the state in Terraform's output format came"),
        sa.Column("json_blob", sa.Text(), nullable=False, comment="where that lies; empty for nowhere"),
        sa.Column(
            "refused",
            sa.Text(),
            nullable=False,
            comment="why the state was not taken; empty where it was, or has not come",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_iac_uploads"),
    )
    op.create_index("ix_iac_uploads_state", "iac_uploads", ["state"])
