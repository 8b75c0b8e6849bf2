"""The kernel at work: the settings of one home, its database, its lake, its domains."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from uwu.kernel import domain as domains_
from uwu.kernel import settings as settings_
from uwu.kernel.db import Database
from uwu.kernel.domain import ChangeLog, Domain
from uwu.kernel.settings import Settings

if TYPE_CHECKING:
    from uwu.kernel.aws import Aws
    from uwu.kernel.identity.resolve import Identities
    from uwu.kernel.jobs import Jobs
    from uwu.kernel.lake import Lake
    from uwu.kernel.policies import Policies


class Kernel:
    """Everything a room needs, opened on first use. One per process and home; threads may share it."""

    def __init__(self, settings: Settings, domains: tuple[Domain, ...] | None = None) -> None:
        self.settings = settings
        self.domains = domains_.installed() if domains is None else domains

    @classmethod
    def open(cls, home: Path | None = None) -> Kernel:
        """The kernel of ``home`` (default ``$UWU_HOME`` or ``~/.uwu``), its database migrated."""
        from uwu.kernel import migrate

        kernel = cls(settings_.load(home))
        migrate.upgrade(kernel.db)
        return kernel

    @cached_property
    def db(self) -> Database:
        from uwu.kernel import sight

        database = Database(self.settings.state_url)
        sight.watch(database.engine)
        return database

    @cached_property
    def lake(self) -> Lake:
        from uwu.kernel.lake import Lake

        return Lake(self.settings)

    @cached_property
    def aws(self) -> Aws:
        from uwu.kernel.aws import Aws

        return Aws(self.settings.aws)

    @cached_property
    def jobs(self) -> Jobs:
        """The port to ask for jobs."""
        from uwu.kernel.jobs import Jobs

        return Jobs(self)

    @cached_property
    def identities(self) -> Identities:
        """Who shows a token or a session."""
        from uwu.kernel.identity.resolve import Identities

        return Identities(self)

    @cached_property
    def policies(self) -> Policies:
        """What decides who may do what."""
        from uwu.kernel.policies import Policies

        return Policies(self)

    @cached_property
    def change_log(self) -> ChangeLog | None:
        """The port to who changed what; None where no domain provides it."""
        from uwu.kernel import sight

        for domain in self.domains:
            if domain.changes:
                return sight.SeenLog(self, domains_.load(domain.changes)(self))
        return None

    def domain(self, name: str) -> Domain | None:
        return next((d for d in self.domains if d.name == name), None)

    def close(self) -> None:
        """Gives back connections and files."""
        if "jobs" in self.__dict__:
            self.jobs.close()
        if "lake" in self.__dict__:
            self.lake.close()
        if "db" in self.__dict__:
            self.db.close()
