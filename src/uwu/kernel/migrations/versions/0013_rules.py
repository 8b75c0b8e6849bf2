"""Rules: what is exempt from them and until when, and what each could not judge."""

import sqlalchemy as sa
from alembic import op

import uwu.kernel.db

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column(
        "findings", sa.Column("exemption", sa.Text(), nullable=False, server_default="", comment="what exempts it")
    )
    op.create_table(
        "exemptions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False, comment="a rule's id, or a pattern"),
        sa.Column("subject", sa.Text(), nullable=False, comment="a urn; empty for all of the account"),
        sa.Column("account", sa.Text(), nullable=False, comment="empty where a subject is exempt"),
        sa.Column("until", uwu.kernel.db.Time(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", uwu.kernel.db.Time(), nullable=False),
        sa.Column(
            "ended_at",
            uwu.kernel.db.Time(),
            nullable=True,
            comment="when it ended: at its time, or before by somebody; null while it holds",
        ),
        sa.Column("ended_by", sa.Text(), nullable=False, comment="who ended it; empty where its time did"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exemptions")),
    )
    op.create_index("ix_exemptions_by_until", "exemptions", ["ended_at", "until"])
    op.create_table(
        "judgements",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("judged_at", uwu.kernel.db.Time(), nullable=False),
        sa.Column("unjudged", sa.Integer(), nullable=False, comment="subjects of which it could say nothing"),
        sa.Column("reasons", uwu.kernel.db.Json, nullable=False, comment="why, how many, and some of them"),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_judgements")),
    )
