"""The small world behind the console, in a migrated home."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console import lively, world
from tests.app.console.server import client as client_of
from uwu.kernel.runtime import Kernel


@pytest.fixture(scope="session")
def filled(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel that holds the small world; tests only read it."""
    home = tmp_path_factory.mktemp("world")
    shutil.copy(sqlite_template, home / "state.db")
    kernel = world.open_kernel(home)
    world.fill(kernel)
    yield kernel
    kernel.close()


@pytest.fixture(scope="session")
def lively_kernel(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel whose world has a past, jobs and saved views; tests only read it."""
    home = tmp_path_factory.mktemp("lively")
    shutil.copy(sqlite_template, home / "state.db")
    kernel = lively.open_kernel(home)
    world.fill(kernel)
    lively.enliven(kernel)
    yield kernel
    kernel.close()


@pytest.fixture
def empty(sqlite_template: Path, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel before its first sync."""
    shutil.copy(sqlite_template, tmp_path / "state.db")
    kernel = world.open_kernel(tmp_path)
    yield kernel
    kernel.close()


@pytest.fixture(scope="session")
def client(filled: Kernel) -> Iterator[TestClient[Any]]:
    with client_of(filled) as opened:
        yield opened
