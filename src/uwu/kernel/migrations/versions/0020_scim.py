"""People and groups that an identity provider brings."""

import sqlalchemy as sa
from alembic import op

import uwu.kernel.db

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "scim_resources",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="User or Group"),
        sa.Column("name", sa.Text(), nullable=False, comment="userName or displayName, lower case"),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False, comment="the entity that it means"),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("document", uwu.kernel.db.Json, nullable=False, comment="its attributes, without id and meta"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", uwu.kernel.db.Time(), nullable=False),
        sa.Column("changed_at", uwu.kernel.db.Time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scim_resources")),
        sa.UniqueConstraint("kind", "name", name=op.f("uq_scim_resources_kind_name")),
        sa.UniqueConstraint("ref", name=op.f("uq_scim_resources_ref")),
    )
    op.create_table(
        "scim_members",
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Text(), nullable=False),
        sa.Column("display", sa.Text(), nullable=False, comment="as the directory calls it; empty: by its name"),
        sa.PrimaryKeyConstraint("group_id", "member_id", name=op.f("pk_scim_members")),
    )
    op.create_index(op.f("ix_scim_members_member_id"), "scim_members", ["member_id"])
