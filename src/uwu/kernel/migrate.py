"""Schema migrations, forward only. The revisions lie in ``uwu/kernel/migrations/versions``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from uwu.kernel.db import Database
from uwu.kernel.errors import Misconfigured


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def head() -> str:
    """The newest revision that this version of uwu knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def current(db: Database) -> str | None:
    """The revision that the database is at; None for an empty one."""
    with db.engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("select version_num from alembic_version")).scalar_one_or_none()


def upgrade(db: Database, to: str = "head") -> None:
    """Brings the database to ``head()``, or to the revision ``to``.

    Refuses one that a newer uwu has migrated, and changes nothing then.
    """
    at = current(db)
    newest = head()
    if at == newest:
        return
    config = _config()
    if at is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(at)
        except CommandError:
            raise Misconfigured(
                f"the database is at migration {at}, which this version of uwu does not know (it knows up to {newest})",
                code="database-newer",
                place=db.url.render_as_string(hide_password=True),
                hint="install the uwu that migrated it, or a newer one; nothing was changed",
            ) from None
    with db.engine.connect() as connection:
        if db.dialect == "sqlite":
            # a batch migration drops and renames tables: with foreign keys on that deletes the rows that point there;
            # the pragma does nothing within a transaction, so it goes to the driver
            _driver(connection).execute("pragma foreign_keys=off")
        connection = connection.execution_options(write=True)
        try:
            with connection.begin():
                config.attributes["connection"] = connection
                command.upgrade(config, to)
        finally:
            if db.dialect == "sqlite":
                _driver(connection).execute("pragma foreign_keys=on")


def _driver(connection: sa.Connection) -> Any:
    return connection.connection.dbapi_connection
