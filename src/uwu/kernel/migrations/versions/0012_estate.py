"""The estate file by file: what each claims and refers to; the entities' paths and values, for filters."""

import sqlalchemy as sa
from alembic import op

from uwu.kernel.db import Bytewise, Json, Time

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "entity_facts",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column(
            "key", Bytewise, nullable=False, comment="a path into the entity, lower case: metadata.tags, spec.type"
        ),
        sa.Column(
            "value", Bytewise, nullable=False, comment="lower case; empty for what is no text, number or truth value"
        ),
        sa.Column("written", sa.Text(), nullable=True, comment="as it is written; null where that is lower case"),
        sa.PrimaryKeyConstraint("ref", "key", "value"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_entity_facts_by_value", "entity_facts", ["key", "value", "ref", "written"])
    op.create_index("ix_entities_by_origin", "entities", ["origin", "orphan"])
    op.create_table(
        "entity_versions",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("valid_from", Time(), nullable=False),
        sa.Column("valid_to", Time(), nullable=True, comment="null: still so"),
        sa.Column("api_version", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("spec", Json, nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ref", "version"),
    )
    op.create_table(
        "estate_files",
        sa.Column("file", sa.Text(), nullable=False, comment="as it is shown in places"),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column(
            "mark", sa.Text(), nullable=False, comment="what it looked like when it was read; empty: read it again"
        ),
        sa.Column("uses", Json, nullable=False, comment="files that it embeds"),
        sa.Column("embeds", sa.Boolean(), nullable=False),
        sa.Column("targets", Json, nullable=False, comment="what its Locations name"),
        sa.Column("names", sa.Boolean(), nullable=False),
        sa.Column("problems", Json, nullable=False),
        sa.Column("faulty", sa.Boolean(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False, comment="all that it holds could be read and fits"),
        sa.Column("read_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("file"),
    )
    for column in ("embeds", "faulty", "names"):
        op.create_index(f"ix_estate_files_{column}", "estate_files", [column])
    op.create_table(
        "estate_claims",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False, comment="file:line of its name"),
        sa.Column(
            "held",
            sa.Boolean(),
            nullable=False,
            comment="false: the file may hold it, and cannot be read or does not fit",
        ),
        sa.Column("accepted", sa.Boolean(), nullable=False, comment="the entity is this file's"),
        sa.PrimaryKeyConstraint("ref", "file"),
    )
    op.create_index("ix_estate_claims_file", "estate_claims", ["file"])
    op.create_index("ix_estate_claims_accepted_estate_claims_held", "estate_claims", ["accepted", "held"])
    op.create_table(
        "estate_references",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("back", sa.Text(), nullable=False, comment="the relation from the target to the source"),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("resolved", sa.Boolean(), nullable=False, comment="the target is declared"),
        sa.PrimaryKeyConstraint("source", "kind", "target"),
    )
    op.create_index("ix_estate_references_back", "estate_references", ["target", "back", "source"])
    op.create_index("ix_estate_references_resolved", "estate_references", ["resolved"])
    op.create_table(
        "estate_pending",
        sa.Column("ref", sa.Text(), nullable=False, comment="an entity whose relations are to be drawn anew"),
        sa.PrimaryKeyConstraint("ref"),
    )
    # an entity that is loaded again as it was is not written: its facts and references would never come
    op.execute("update entities set hash = ''")
