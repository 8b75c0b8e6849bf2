"""Runs of Terraform: what is planned and applied, their logs, what webhooks delivered; references between states."""

import sqlalchemy as sa
from alembic import op

from uwu.kernel.db import Json, Time

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "iac_references",
        sa.Column("source", sa.Text(), nullable=False, comment="the id of a declaration: stack#address"),
        sa.Column("target", sa.Text(), nullable=False, comment="the id of the declaration that it names"),
        sa.Column("path", sa.Text(), nullable=False, comment="the attribute that names it"),
        sa.Column("name", sa.Text(), nullable=False, comment="what the source is called"),
        sa.PrimaryKeyConstraint("source", "target", name="pk_iac_references"),
    )
    op.create_index("ix_iac_references_target", "iac_references", ["target"])
    op.create_table(
        "iac_runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="counts from 1, over all stacks"),
        sa.Column("stack", sa.Text(), nullable=False, comment="the reference of the stack"),
        sa.Column("state", sa.Text(), nullable=False, comment="namespace/name of the state that it reads and writes"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False, comment="why it is so; empty where that goes without saying"),
        sa.Column("speculative", sa.Boolean(), nullable=False, comment="it is never applied"),
        sa.Column("destroy", sa.Boolean(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False, comment="it may pass the safety limit of plans"),
        sa.Column("origin", sa.Text(), nullable=False, comment="cli, console or github"),
        sa.Column("revision", sa.Text(), nullable=False, comment="of the configuration: a commit; empty for a folder"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "retries", sa.Text(), nullable=False, comment="the id of the run that it tries again; empty for none"
        ),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column(
            "principal",
            Json,
            nullable=False,
            comment="who asked, as they were then: the plan is asked for as they",
        ),
        sa.Column("requested_at", Time(), nullable=False),
        sa.Column("started_at", Time(), nullable=True),
        sa.Column("finished_at", Time(), nullable=True),
        sa.Column("job", sa.Text(), nullable=False, comment="the job that plans"),
        sa.Column(
            "plan", sa.Text(), nullable=False, comment="the id of the plan that is approved and applied; empty for none"
        ),
        sa.Column("plan_sha256", sa.Text(), nullable=False, comment="of the plan file; empty before it is made"),
        sa.Column(
            "plan_blob", sa.Text(), nullable=False, comment="the plan file, encrypted; empty once it is of no use"
        ),
        sa.Column("json_blob", sa.Text(), nullable=False, comment="what the plan says, without secrets, encrypted"),
        sa.Column("config_blob", sa.Text(), nullable=False, comment="the configuration that was planned, encrypted"),
        sa.Column("config_sha256", sa.Text(), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False, comment="of the state that was planned from; -1 for none"),
        sa.Column("lineage", sa.Text(), nullable=False),
        sa.Column("lock_id", sa.Text(), nullable=False, comment="the state's lock that the run holds; empty for none"),
        sa.Column("summary", Json, nullable=True, comment="counts, checks and blast radius, without values"),
        sa.Column("outcomes", Json, nullable=True, comment="address -> how applying it went"),
        sa.Column("cancelled_by", sa.Text(), nullable=False, comment="who asked that it stops; empty for nobody"),
        sa.Column("pull_request", Json, nullable=True, comment="where a comment is due: repository, number, commit"),
        sa.PrimaryKeyConstraint("id", name="pk_iac_runs"),
    )
    op.create_index("uq_iac_runs_number", "iac_runs", ["number"], unique=True)
    op.create_index("ix_iac_runs_stack", "iac_runs", ["stack", "number"])
    op.create_index("ix_iac_runs_status", "iac_runs", ["status"])
    op.create_index("ix_iac_runs_plan", "iac_runs", ["plan"])
    op.create_table(
        "iac_run_log",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False, comment="counts from 1"),
        sa.Column("at", Time(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False, comment="plan or apply"),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False, comment="without secrets"),
        sa.PrimaryKeyConstraint("run", "line", name="pk_iac_run_log"),
    )
    op.create_table(
        "iac_deliveries",
        sa.Column("id", sa.Text(), nullable=False, comment="what GitHub calls the delivery"),
        sa.Column(
            "digest", sa.Text(), nullable=False, comment="of what was signed: the same body is no second delivery"
        ),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_iac_deliveries"),
    )
    op.create_index("uq_iac_deliveries_digest", "iac_deliveries", ["digest"], unique=True)
    op.create_index("ix_iac_deliveries_at", "iac_deliveries", ["at"])
