"""An organization in moto, and kernels that look at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.domains.inventory import world
from tests.domains.inventory.world import AccountWorld, FaultProxy, OrganizationWorld
from uwu.kernel import domain
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AwsSettings, InventorySettings, Settings

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

Open = Callable[..., Kernel]


@pytest.fixture(scope="session")
def full(aws_server: MotoServer) -> AccountWorld:
    """An account with one of every type, on its own: no organization."""
    return world.whole(aws_server.url)


@pytest.fixture(scope="session")
def organized(aws_server: MotoServer) -> OrganizationWorld:
    """A management account and two members, empty but for what AWS makes."""
    return world.organization(aws_server.url)


@pytest.fixture
def proxy(aws_server: MotoServer) -> Iterator[FaultProxy]:
    """A proxy before the server that can make faults."""
    with world.faulty(aws_server.url) as opened:
        yield opened


@pytest.fixture
def open_kernel(
    aws_server: MotoServer, sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Opens kernels on SQLite as a given account: ``open_kernel(account, url=..., regions=...)``."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    opened: list[Kernel] = []

    def make(
        account: AccountWorld | None,
        url: str = "",
        database_url: str = "",
        types: Sequence[str] = ("core",),
        **settings: Any,
    ) -> Kernel:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (account.keys if account is not None else {}).items():
            monkeypatch.setenv(name, value)
        home = tmp_path / f"home-{len(opened)}"
        home.mkdir()
        shutil.copy(sqlite_template, home / "state.db")
        chosen = {"home_region": world.REGION, "regions": (world.REGION,), "max_attempts": 1, **settings}
        aws = AwsSettings(endpoint_url=url or aws_server.url, **chosen)
        inventory = InventorySettings(types=tuple(types))
        settings_ = Settings(home=str(home), database_url=database_url, aws=aws, inventory=inventory)
        kernel = Kernel(settings_, domain.installed())
        opened.append(kernel)
        return kernel

    yield make
    for kernel in opened:
        kernel.close()
