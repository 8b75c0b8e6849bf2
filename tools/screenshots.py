"""Takes the pictures of docs/images, of every page of the console: of the demo that it starts itself.

``python tools/screenshots.py``. Needs Chromium (tools/browser.sh brings it).
"""

from __future__ import annotations

import json
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
from typing import Any

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


UWU = str(Path(sys.executable).with_name("uwu"))


@contextmanager
def demo() -> Iterator[tuple[str, str]]:
    """(base URL, home) of a demo of its own, which ends with this."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        home = f"{folder}/home"
        process = subprocess.Popen([UWU, "demo", "--port", str(port), "--folder", home])
        try:
            deadline = time.monotonic() + DEMO_SECONDS
            while not answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the demo did not start; run `uwu demo` to see why")
                time.sleep(0.5)
            yield url, home
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


PLACES = {
    "changes": "/changes?days=90",
    "resources": "/resources",
    "catalog": "/catalog",
    "graph": "/graph",
    "plans": "/plans",
    "jobs": "/jobs",
    "coverage": "/coverage",
    "entropy": "/entropy",
    "notices": "/notices",
    "audit": "/audit",
    "settings": "/settings",
    "account": "/account",
    "break-glass": "/break-glass",
}
"""Pages that stand by themselves; the others are reached as a person reaches them."""


def command(home: str, *arguments: str) -> dict[str, Any]:
    """The answer of an ``uwu`` command of the home's holder."""
    done = subprocess.run([UWU, "--home", home, "--json", *arguments], check=True, capture_output=True, timeout=120)
    return json.loads(done.stdout)


def sign_in(page: Page, base: str, token: str) -> None:
    page.goto(f"{base}/sign-in")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in with the token").click()
    page.wait_for_url(f"{base}/")


def plan_a_repair(page: Page, base: str) -> None:
    """Asks for a plan that closes the port that was opened by hand."""
    page.goto(f"{base}/findings?type=aws_vpc_security_group")
    page.locator("tbody .t a").first.click()
    page.get_by_role("button", name="Plan the repair").click()
    page.wait_for_url("**/plans/1")


def take(base: str, home: str) -> None:
    """Every picture, light and dark."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    token = command(home, "access", "bootstrap", "--again")["secret"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for theme in ("light", "dark"):
            with page_of(browser, theme) as page:
                page.goto(f"{base}/sign-in")
                shoot(page, f"sign-in-{theme}")
                sign_in(page, base, token)
                if theme == "light":
                    plan_a_repair(page, base)
                page.goto(f"{base}/plans/1")
                shoot(page, f"plan-{theme}")
                page.goto(base)
                shoot(page, f"home-{theme}")
                page.goto(f"{base}/findings")
                shoot(page, f"findings-{theme}")
                page.locator("tbody .t a").first.click()
                page.wait_for_url("**/findings/f_*")
                shoot(page, f"finding-{theme}")
                page.locator(".urn a").click()
                page.wait_for_url("**/resources/**")
                subject = page.url.partition("/resources/")[2]
                shoot(page, f"resource-{theme}")
                page.goto(f"{base}/graph?subject={subject}")
                page.wait_for_timeout(800)
                shoot(page, f"neighbours-{theme}")
                page.goto(f"{base}/catalog")
                page.locator("main a[href^='/catalog/component']").first.click()
                shoot(page, f"entity-{theme}")
                page.goto(f"{base}/jobs")
                page.locator("tbody .t a").first.click()
                shoot(page, f"job-{theme}")
                for name, path in PLACES.items():
                    page.goto(base + path)
                    shoot(page, f"{name}-{theme}")
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
    with demo() as (base, home):
        take(base, home)


if __name__ == "__main__":
    main()
