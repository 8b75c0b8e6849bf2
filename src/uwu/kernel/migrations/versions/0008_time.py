"""When each resource was last seen by itself, what cells are known to hold, what is gone, and when versions ended."""

import sqlalchemy as sa
from alembic import op

import uwu.kernel.db

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "resources",
        sa.Column(
            "seen_at",
            uwu.kernel.db.Time(),
            nullable=True,
            comment="when it was last seen other than by a complete look at its cell",
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("alter table resources set (fillfactor = 70)")  # room for a changed row in its page
    op.create_table(
        "cell_marks",
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=True, comment="a digest of each resource in it; null: not known"),
        sa.Column("turn", sa.Integer(), nullable=False, comment="how often it was written"),
        sa.PrimaryKeyConstraint("cell", name=op.f("pk_cell_marks")),
    )
    op.create_table(
        "tombstones",
        sa.Column("urn", sa.Text(), nullable=False),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column(
            "gone_at",
            uwu.kernel.db.Time(),
            nullable=False,
            comment="when it was looked for by itself and was not there",
        ),
        sa.PrimaryKeyConstraint("urn", name=op.f("pk_tombstones")),
    )
    op.create_index(op.f("ix_tombstones_cell"), "tombstones", ["cell"])
    ended = sa.text("valid_to is not null")
    op.create_index(op.f("ix_versions_valid_to"), "versions", ["valid_to"], postgresql_where=ended, sqlite_where=ended)
