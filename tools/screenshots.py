"""Takes the pictures of docs/images for the README: of a running console, or of the demo that it starts itself.

``python tools/screenshots.py [URL]``. Needs Chromium (tools/browser.sh brings it).
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs/images"
WIDTH, HEIGHT = 1280, 800
DEMO_SECONDS = 300
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--hide-scrollbars"]


def chromium() -> str:
    """The path of an installed Chromium. Raises ``SystemExit`` where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    mac = [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Chromium", "Google Chrome")]
    for path in (os.environ.get("UWU_CHROMIUM", ""), *(shutil.which(name) or "" for name in names), *mac):
        if path and Path(path).exists():
            return path
    raise SystemExit("there is no Chromium; tools/browser.sh brings it, or set UWU_CHROMIUM to its path")


@contextmanager
def demo() -> Iterator[str]:
    """The base URL of a demo of its own, which ends with this."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        argv = [str(Path(sys.executable).with_name("uwu")), "demo", "--port", str(port), "--folder", f"{folder}/home"]
        process = subprocess.Popen(argv)
        try:
            deadline = time.monotonic() + DEMO_SECONDS
            while not answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the demo did not start; run `uwu demo` to see why")
                time.sleep(0.5)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    """The console at ``url`` is there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the caller's own console
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def page_of(browser: Browser, theme: str, width: int = WIDTH, height: int = HEIGHT) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
    )
    yield context.new_page()
    context.close()


def shoot(page: Page, name: str) -> None:
    """Writes one picture once fonts and icons are there."""
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready")
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1024} KB")


def take(base: str) -> None:
    """Every picture: home, a finding, its resource, the list, the palette; light and dark."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for theme in ("light", "dark"):
            with page_of(browser, theme) as page:
                page.goto(base)
                shoot(page, f"home-{theme}")
                page.goto(f"{base}/findings")
                shoot(page, f"findings-{theme}")
                page.locator("tbody .t a").first.click()
                page.wait_for_url("**/findings/f_*")
                shoot(page, f"finding-{theme}")
                page.locator(".urn a").click()
                page.wait_for_url("**/resources/**")
                shoot(page, f"resource-{theme}")
        with page_of(browser, "dark") as page:
            page.goto(f"{base}/findings")
            name = page.locator("tbody .t a").first.inner_text()
            page.keyboard.press("/")
            page.keyboard.type(max((word.strip(":,.") for word in name.split() if "-" in word), key=len, default=name))
            page.locator("#pal-l [aria-selected=true]").wait_for()
            page.wait_for_timeout(300)
            shoot(page, "palette-dark")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", help="a running console; without it the demo is started")
    url = parser.parse_args().url
    if url:
        if not answers(url):
            raise SystemExit(f"no console answers at {url}")
        take(url.rstrip("/"))
        return
    with demo() as started:
        take(started)


if __name__ == "__main__":
    main()
