"""The console in a real browser: both themes, wide and narrow, by keyboard, and with hostile names."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app.console import world
from tests.app.console.server import serve
from uwu.app.console import links
from uwu.kernel import codec, tables

PAGES = {
    "home": "/",
    "findings": "/findings",
    "filtered": "/findings?severity=critical&group=owner",
    "changes": "/changes?days=90&who=all",
    "resources": "/resources",
    "resource": links.resource(world.SG_PAYMENTS.urn),
    "gone": links.resource(world.DLQ.urn),
    "past": links.resource(world.SG_PAYMENTS.urn) + "?version=1",
    "hostile": links.resource(world.EVIL.urn),
    "catalog": "/catalog",
    "entity": "/catalog/group:default/payments",
    "coverage": "/coverage",
    "search": "/search?q=ledger",
    "nothing": "/findings?severity=low&actor=nobody",
}


@contextmanager
def opened(browser: Browser, *, theme: str = "light", width: int = 1280, allowed: int = 0) -> Iterator[Page]:
    """A page that must end without an error in the console, a refused resource or a dialog.

    ``allowed`` is the status that a page may have beside 200.
    """
    context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url} {request.failure}"))

    def refuse(dialog) -> None:
        wrong.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)
    yield page
    page.goto("about:blank")  # a page that follows something is never idle
    context.close()
    # a page that is left cuts what it was asking for, and htmx says so
    cut = ("htmx:sendAbort", "htmx:afterRequest")
    wrong = [text for text in wrong if "net::ERR_ABORTED" not in text and not text.startswith(cut)]
    wrong = [text for text in wrong if not allowed or f"status of {allowed}" not in text]
    assert wrong == []


_CONTRAST = """() => {
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
  const ink = canvas.getContext("2d", { willReadFrequently: true });
  const rgb = (colour, over) => {
    ink.clearRect(0, 0, 1, 1);
    if (over) { ink.fillStyle = `rgb(${over.join(",")})`; ink.fillRect(0, 0, 1, 1); }
    ink.fillStyle = colour; ink.fillRect(0, 0, 1, 1);
    return [...ink.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    const hidden = !element.checkVisibility() || element.closest(".vh, .skip, svg, dialog, [disabled]");
    if (hidden || !node.data.trim()) continue;
    const grounds = [];
    for (let up = element; up; up = up.parentElement) grounds.unshift(getComputedStyle(up).backgroundColor);
    let ground = [255, 255, 255];
    for (const each of grounds) ground = rgb(each, ground).slice(0, 3);
    const text = rgb(getComputedStyle(element).color, ground).slice(0, 3);
    const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push(`${ratio.toFixed(2)} ${node.data.trim().slice(0, 40)} .${element.className}`);
  }
  return [...new Set(low)];
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read_on_its_ground(browser: Browser, url: str, theme: str) -> None:
    with opened(browser, theme=theme) as page:
        for name, path in PAGES.items():
            page.goto(url + path)
            assert page.evaluate(_CONTRAST) == [], name


_UNNAMED = """() => [...document.querySelectorAll("a[href], button, input, summary, select")]
  .filter((e) => e.checkVisibility() && !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length))
  .map((e) => e.outerHTML.slice(0, 120))"""


def test_everything_that_can_be_used_has_a_name_and_takes_focus_visibly(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        for name, path in PAGES.items():
            page.goto(url + path)
            assert page.evaluate(_UNNAMED) == [], name
        page.goto(url + "/findings")
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to content")).to_be_focused()
        for _ in range(30):
            page.keyboard.press("Tab")
            seen = page.evaluate(
                """() => { const e = document.activeElement; const s = getComputedStyle(e);
                const after = getComputedStyle(e, '::after');
                return e === document.body || s.outlineStyle !== 'none' || after.outlineStyle !== 'none' }"""
            )
            assert seen, page.evaluate("document.activeElement.outerHTML.slice(0, 200)")


def test_the_palette_is_used_by_keyboard_alone(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        page.goto(url)
        page.keyboard.press("Control+k")
        palette = page.get_by_role("dialog", name="Search and places")
        expect(palette).to_be_visible()
        expect(palette.get_by_role("option").first).to_have_attribute("aria-selected", "true")
        page.keyboard.type("ledger-db")
        expect(palette.get_by_text("jun changed BackupRetentionPeriod of")).to_be_visible()
        expect(palette.locator("[aria-selected=true]")).to_have_count(1)
        page.keyboard.press("ArrowDown")
        chosen = palette.locator("[aria-selected=true]")
        expect(chosen).to_contain_text("ledger-db")
        field = palette.get_by_role("combobox")
        assert field.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("/resources/arn:aws:rds"))
        page.keyboard.press("/")
        expect(palette).to_be_visible()
        page.keyboard.press("Escape")
        expect(palette).to_be_hidden()


def test_keys_go_places_and_move_over_rows(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        page.goto(url)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.keyboard.press("f")
        page.wait_for_url("**/findings")
        page.keyboard.press("j")
        expect(page.locator("tr.on")).to_contain_text("open to the internet")
        page.keyboard.press("j")
        page.keyboard.press("k")
        expect(page.locator("tr.on")).to_have_count(1)
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("/findings/f_"))
        page.keyboard.press("g")
        page.keyboard.press("h")
        page.wait_for_url(url + "/")


def test_the_theme_is_chosen_at_once_and_kept_without_a_flash(browser: Browser, url: str) -> None:
    with opened(browser, theme="light") as page:
        page.goto(url)
        page.get_by_role("button", name="Dark theme").first.click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        answer = page.goto(url + "/findings")
        assert answer is not None
        assert 'data-theme="dark"' in answer.text()
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(17, 17, 21)"
        page.get_by_role("button", name="System theme").first.click()
        expect(page.locator("html")).not_to_have_attribute("data-theme", "dark")


def test_filters_open_without_a_mouse_and_close_with_escape(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        page.goto(url + "/findings")
        severity = page.locator("details.menu", has_text="Severity").first
        severity.locator("summary").focus()
        page.keyboard.press("Enter")
        expect(severity.get_by_role("link", name="critical")).to_be_visible()
        page.keyboard.press("Escape")
        expect(severity.get_by_role("link", name="critical")).to_be_hidden()
        page.keyboard.press("Enter")
        severity.get_by_role("link", name="critical").click()
        page.wait_for_url("**/findings?severity=critical")
        page.get_by_role("link", name="Remove the filter severity").click()
        page.wait_for_url("**/findings")


def test_a_command_is_copied(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(url + PAGES["resource"])
        page.get_by_role("button", name="Copy the command").click()
        expect(page.get_by_role("status")).to_have_text("Copied")
        assert "revoke-security-group-ingress" in page.evaluate("navigator.clipboard.readText()")


def test_hostile_names_stay_text(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        for path in (PAGES["hostile"], "/resources", "/changes?days=90", "/search?q=%3Cscript%3E", "/findings"):
            page.goto(url + path)
            assert page.locator("body").inner_text().count(world.HOSTILE) >= 1, path
            assert page.locator("main script, main img").count() == 0
        page.keyboard.press("/")
        page.keyboard.type("<script>")
        option = page.get_by_role("option").first
        expect(option).to_contain_text(world.HOSTILE)
        option.click()
        page.wait_for_load_state()
        assert page.locator("main script, main img").count() == 0


def test_pages_work_without_any_script(browser: Browser, url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    page.get_by_role("link", name="Search").first.click()
    page.wait_for_url("**/search")
    page.get_by_role("button", name="Dark theme").first.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(url + "/findings")
    page.locator("details.menu summary").first.click()
    expect(page.locator("details.menu a").first).to_be_visible()
    context.close()


def test_the_first_sync_is_followed_until_its_findings_are_there(
    browser: Browser, sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "state.db")
    kernel = world.open_kernel(tmp_path)
    at = codec.now()
    common = {"arguments": {}, "requested_by": "cli", "created_at": at, "started_at": at, "stage": ""}
    with serve(kernel) as base, opened(browser) as page:
        page.goto(base)
        expect(page.get_by_role("heading", name="Nothing is observed yet.")).to_be_visible()
        with kernel.db.write() as connection:
            run = {"id": "job_1", "name": "sync", "parent": "", "status": "running", "done": 0, "total": 0}
            shard = {**run, "id": "job_2", "name": "inventory.sync", "parent": "job_1", "done": 120, "total": 841}
            connection.execute(tables.jobs.insert(), [{**common, **run}, {**common, **shard}])
        expect(page.get_by_text("120 of 841")).to_be_visible(timeout=15_000)
        world.fill(kernel)
        with kernel.db.write() as connection:
            connection.execute(tables.jobs.update().values(status="done", finished_at=codec.now()))
        expect(page.get_by_role("heading", name="Needs attention")).to_be_visible(timeout=15_000)
    kernel.close()
