"""A small company, built once for each test process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from uwu.sim import MotoServer, Organisation, build

SEED = 11


def small(server: MotoServer, home: Path) -> Organisation:
    """A company of four accounts on a fresh server."""
    return build(server.url, home, seed=SEED, accounts=4, regions=2, resources=120)


@pytest.fixture(scope="session")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisation]:
    """It has a server of its own: what is built there is the whole world."""
    with MotoServer() as server:
        yield small(server, tmp_path_factory.mktemp("company"))
