"""Alembic's entry: runs on the connection that ``uwu.kernel.migrate`` hands over."""

from alembic import context

from uwu.kernel import tables
from uwu.kernel.db import metadata
from uwu.kernel.domain import installed, load

__all__ = ["tables"]

for domain in installed():
    if domain.tables:
        load(domain.tables)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
