"""Archives of providers and modules that Terraform fetches from here."""

import sqlalchemy as sa
from alembic import op

from uwu.kernel.db import Json, Time

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "iac_packages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="provider or module"),
        sa.Column("source", sa.Text(), nullable=False, comment="host/namespace/type, or namespace/name/system"),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False, comment="os_arch; empty for a module"),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the archive"),
        sa.Column(
            "h1",
            sa.Text(),
            nullable=False,
            comment="of what the archive holds, as Go hashes folders; empty for a module",
        ),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("docs", Json, nullable=True, comment="a module's README, inputs and outputs"),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("yanked_at", Time(), nullable=True),
        sa.Column("yanked_by", sa.Text(), nullable=False),
        sa.Column("yanked_why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_iac_packages"),
    )
    op.create_index("uq_iac_packages_version", "iac_packages", ["kind", "source", "version", "platform"], unique=True)
    op.create_index("ix_iac_packages_blob", "iac_packages", ["blob"])
