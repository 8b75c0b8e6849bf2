"""One small organisation, and one home that has seen all of it, for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.world import Small, environment, opened, uwu
from uwu.kernel.runtime import Kernel
from uwu.sim import MotoServer


@dataclass(frozen=True)
class Synced:
    """A home after its first sync: read it, and leave it as it is."""

    home: Path
    kernel: Kernel
    result: dict[str, Any]
    env: dict[str, str]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with MotoServer() as server:
        yield Small.built(server.url, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def synced(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synced]:
    home = small.home(tmp_path_factory.mktemp("synced") / "home")
    env = environment(home, small.organisation)
    said = uwu(env, "sync", "--json")
    assert said.status == 0, said.err
    kernel = opened(home)
    yield Synced(home, kernel, said.json, env)
    kernel.close()
