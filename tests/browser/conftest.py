"""A real Chromium over the console as the front door serves it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.app.console import lively, world
from tests.app.console.server import serve
from tests.conftest import missing
from uwu.kernel.runtime import Kernel

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = ("Chromium", "Google Chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """The path of an installed Chromium; empty where there is none."""
    mac = [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in MAC]
    found = [os.environ.get("UWU_CHROMIUM", ""), *(shutil.which(name) or "" for name in NAMES), *mac]
    return next((path for path in found if path and Path(path).exists()), "")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    if not path:
        missing("Chromium", "tools/browser.sh brings it, or set UWU_CHROMIUM to its path")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def lively_kernel(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """The small world with all that it does: a row for every kind of page."""
    home = tmp_path_factory.mktemp("browser")
    shutil.copy(sqlite_template, home / "state.db")
    kernel = lively.open_kernel(home)
    world.fill(kernel)
    lively.enliven(kernel)
    yield kernel
    kernel.close()


@pytest.fixture(scope="session")
def url(lively_kernel: Kernel) -> Iterator[str]:
    """Where its console is served."""
    with serve(lively_kernel) as base:
        yield base
