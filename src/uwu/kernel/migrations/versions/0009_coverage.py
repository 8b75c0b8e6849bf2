"""What observing a cell cost, which run wrote it, since when it is as it is, and when the next look is due."""

from typing import Any

import sqlalchemy as sa
from alembic import op

import uwu.kernel.db

revision = "0009"
down_revision = "0008"

_SEEN = ["account", "type", "status", "code", "due_at", "complete_at", "observed_at"]


def upgrade() -> None:
    def time(name: str, comment: str) -> sa.Column[Any]:
        return sa.Column(name, uwu.kernel.db.Time(), nullable=True, comment=comment)

    def text(name: str, comment: str) -> sa.Column[Any]:
        return sa.Column(name, sa.Text(), server_default="", nullable=False, comment=comment)

    def number(name: str, type: sa.types.TypeEngine[Any], comment: str) -> sa.Column[Any]:
        return sa.Column(name, type, server_default="0", nullable=False, comment=comment)

    op.add_column("coverage", text("action", "the IAM action that is denied"))
    op.add_column("coverage", time("since", "since when the status and the code are these"))
    op.add_column("coverage", time("due_at", "when the next look is due; a complete cell is late afterwards"))
    op.add_column("coverage", text("run", "the job that wrote it"))
    op.add_column("coverage", number("attempts", sa.Integer(), "requests sent, with those tried again"))
    op.add_column("coverage", number("throttled", sa.Integer(), "answers that told to slow down"))
    op.add_column("coverage", number("bytes", sa.BigInteger(), "of the answers"))
    op.add_column("coverage", number("cost", sa.Float(), "US dollars at list price"))
    op.execute("update coverage set since = observed_at, attempts = calls")
    op.drop_index("ix_coverage_by_account", "coverage")  # the next one begins with its columns
    op.create_index("ix_coverage_seen", "coverage", _SEEN)
    op.create_index("ix_coverage_due", "coverage", ["status", "due_at"])
    op.create_index("ix_coverage_run", "coverage", ["run", "account", "region"])
    op.create_index("ix_coverage_seconds", "coverage", ["seconds", "cell"])
