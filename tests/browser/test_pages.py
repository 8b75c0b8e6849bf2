"""Every page in a real browser: both themes, wide and narrow, axe, by keyboard alone, and as things happen."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app.console import lively, world
from tests.app.console.server import serve
from tests.browser import pages
from tests.browser.test_console import opened
from tests.conftest import missing
from uwu.app.console import links
from uwu.kernel import codec, tables
from uwu.kernel.runtime import Kernel

AXE = Path(__file__).parents[1] / "node/node_modules/axe-core/axe.min.js"
PARTS = 4
"""So many tests share the pages: they run beside each other."""
GROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 17, 21)"}
_AXE = """async () => (await axe.run(document, {
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  resultTypes: ["violations"],
})).violations.filter((v) => ["serious", "critical"].includes(v.impact))
  .map((v) => `${v.id}, ${v.nodes.length}: ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary}`)"""


def axe(page: Page) -> list[str]:
    """What axe-core finds serious or critical."""
    if not AXE.exists():
        missing("axe-core", "run: npm ci --ignore-scripts in tests/node")
    page.evaluate(AXE.read_text("utf-8"))
    return page.evaluate(_AXE)


def test_every_route_has_a_page_to_look_at(lively_kernel: Kernel) -> None:
    assert {path for path in pages.routes() if "{" in path} <= set(pages.SAMPLES)
    every = pages.every(lively_kernel)
    assert len(every) == len(set(every)) > 25


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_stands_in_each_theme_wide_and_narrow_and_axe_finds_nothing_serious(
    browser: Browser, url: str, lively_kernel: Kernel, theme: str, part: int
) -> None:
    wrong: list[str] = []
    with opened(browser, theme=theme, allowed=404) as page:
        for path in pages.every(lively_kernel)[part::PARTS]:
            page.set_viewport_size({"width": 1280, "height": 860})
            answer = page.goto(url + path)
            assert answer is not None
            if answer.status != (404 if path == "/nowhere" else 200):
                wrong.append(f"{path} answers {answer.status}")
                continue
            if page.locator("#graph").count():
                page.wait_for_selector("#graph[data-ready]")
            expect(page.locator("main")).to_be_visible()
            if page.locator("h1").count() != 1:
                wrong.append(f"{path} has {page.locator('h1').count()} h1")
            if page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != GROUND[theme]:
                wrong.append(f"{path} is not {theme}")
            wrong += [f"{path} at 1280: {found}" for found in axe(page)]
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 860})
                wide = page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    wrong.append(f"{path} is {wide} px wide at {width}")
                bar = page.locator(".tabbar")
                if bar.count() and bar.is_visible() != (width == 390):
                    wrong.append(f"{path} has its tab bar wrong at {width}")
            if theme == "light":  # narrow, only what stands where is another
                wrong += [f"{path} at 390: {found}" for found in axe(page)]
    assert not wrong, "\n".join(wrong)


# ---- by keyboard


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.outerHTML.slice(0, 160)")


def test_tab_walks_every_page_in_order_and_is_always_seen(browser: Browser, url: str) -> None:
    paths = ["/", "/findings", "/jobs", pages.LEDGER, links.graph(world.SG_PAYMENTS.urn), "/views"]
    with opened(browser) as page:
        for path in paths:
            page.goto(url + path)
            if page.locator("#graph").count():
                page.wait_for_selector("#graph[data-ready]")
            page.keyboard.press("Tab")
            expect(page.get_by_text("Skip to content")).to_be_focused()
            seen: list[str] = []
            for _ in range(60):
                page.keyboard.press("Tab")
                where = page.evaluate(
                    """() => { const e = document.activeElement;
                    if (e === document.body) return null;
                    const s = getComputedStyle(e), a = getComputedStyle(e, "::after"), f = e.closest(".input, .pal-in");
                    const box = e.querySelector("rect");
                    const shown = [s, a, ...(f ? [getComputedStyle(f)] : [])].some((x) => x.outlineStyle !== "none")
                      || (box && parseFloat(getComputedStyle(box).strokeWidth) >= 2);
                    return { shown, main: !!e.closest("main"), html: e.outerHTML.slice(0, 140) } }"""
                )
                if where is None:
                    break
                assert where["shown"], where["html"]
                seen.append(where["html"])
            assert any("main" in html or "href" in html for html in seen), path
            assert len(seen) > 12, path
            page.goto(url + path)
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            page.keyboard.press("Tab")
            assert page.evaluate("!!document.activeElement.closest('main')"), (path, focused(page))


def test_rows_are_walked_selected_and_acted_on(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(url + "/findings")
        bar = page.get_by_role("toolbar", name="What to do with the selected findings")
        expect(bar).to_be_hidden()
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.keyboard.press("j")
        page.keyboard.press("x")
        expect(bar).to_contain_text("2 selected")
        expect(page.locator("tr.sel")).to_have_count(2)
        page.keyboard.press("a")
        expect(bar.get_by_role("button", name="Copy links")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").first).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()").count("/findings/f_") == 2
        with page.expect_download() as download:
            bar.get_by_role("link", name="Export CSV").click()
        assert download.value.suggested_filename.startswith("findings-")
        assert len(Path(download.value.path()).read_text("utf-8").splitlines()) == 3
        page.locator("tbody .t a").first.focus()
        page.keyboard.press("Escape")
        expect(bar).to_be_hidden()
        page.get_by_label("Select all findings on this page").check()
        expect(page.locator("tr.sel")).to_have_count(page.locator("[data-pick]").count())
        page.get_by_role("button", name="Clear the selection").click()
        expect(page.locator("tr.sel")).to_have_count(0)


def test_every_key_that_goes_somewhere_does(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        page.goto(url + "/")
        places: list[list[str]] = page.evaluate(
            "[...document.querySelectorAll('#keys [data-go]')].map((e) => [e.dataset.go, e.dataset.href])"
        )
        assert len(places) >= 8
        assert len({keys for keys, _ in places}) == len(places)
        for keys, href in places:
            for key in keys:
                page.keyboard.press(key)
            page.wait_for_url(url + href)
            expect(page.locator("nav[aria-label=Main] [aria-current=page]")).to_have_attribute("href", href)


def test_who_opened_this_port_is_three_clicks_from_home(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        page.goto(url)
        page.get_by_role("link", name=re.compile("Port 5432 of sg-payments-db is open to the internet")).click()
        page.wait_for_url(re.compile("/findings/f_"))
        expect(page.locator(".story").first).to_contain_text("mira.k")
        page.locator(".urn a").click()
        page.wait_for_url(re.compile("/resources/"))
        expect(page.locator(".tl")).to_contain_text("mira.k")
        page.locator(".story").get_by_role("link", name="mira.k").first.click()
        page.wait_for_url(re.compile("/changes"))
        expect(page.locator("main")).to_contain_text("opened port 5432 to 0.0.0.0/0 on sg-payments-db")


# ---- time


def test_time_is_walked_by_arrow_keys_without_losing_focus(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        page.goto(url + pages.LEDGER)
        slider = page.get_by_role("slider", name="Point in time")
        slider.focus()
        expect(slider).to_have_attribute("aria-valuetext", "now, version 4")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        page.wait_for_url(re.compile(r"version=3"))
        expect(page.locator(".notice.past")).to_contain_text("version 3")
        expect(slider).to_be_focused()
        page.keyboard.press("ArrowLeft")
        page.wait_for_url(re.compile(r"version=2"))
        expect(page.locator(".attrs")).to_contain_text("7")
        page.get_by_role("link", name="Compare with now").click()
        expect(page.get_by_role("heading", name="Version 2 and version 4")).to_be_visible()
        page.get_by_label("Earlier version").select_option("1")
        page.wait_for_url(re.compile(r"version=1&with=4"))
        page.go_back()
        page.go_back()
        expect(page.locator(".notice.past")).to_contain_text("version 2")
        page.keyboard.press("]")
        page.wait_for_url(re.compile(r"version=3"))


# ---- graph


def test_the_graph_is_walked_by_keyboard_and_its_address_gives_it_back(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        page.goto(url + links.graph(world.SG_PAYMENTS.urn))
        page.wait_for_selector("#graph[data-ready]")
        nodes = page.locator(".gnode:visible")
        expect(nodes).to_have_count(4)
        page.locator(".gnode.sel").focus()
        page.keyboard.press("ArrowLeft")
        chosen = page.locator(".gnode[aria-current=true]")
        expect(chosen).to_be_focused()
        expect(chosen).to_contain_text("ledger-db")
        side = page.get_by_label("The node that is chosen")
        expect(side.get_by_role("heading", level=2)).to_contain_text("ledger-db")
        before = nodes.count()
        page.keyboard.press("Enter")
        expect(page.locator("#g-said")).to_contain_text(re.compile(r"\d+ nodes, \d+ relations"))
        page.wait_for_url(re.compile("open="))
        after = nodes.count()
        assert after >= before
        page.reload()
        page.wait_for_selector("#graph[data-ready]")
        expect(nodes).to_have_count(after)
        expect(chosen).to_contain_text("ledger-db")
        kind = page.get_by_role("button", name=re.compile("^replicates"))
        kind.click()
        expect(kind).to_have_attribute("aria-pressed", "false")
        page.get_by_role("button", name=re.compile("^guarded by")).click()
        page.get_by_role("button", name=re.compile("^in ")).click()
        expect(nodes).to_have_count(1)
        expect(nodes).to_contain_text("sg-payments-db")
        page.wait_for_url(re.compile("hide="))


def test_the_list_beside_the_graph_leads_through_it(browser: Browser, url: str) -> None:
    with opened(browser) as page:
        page.goto(url + links.graph(world.SG_PAYMENTS.urn))
        page.wait_for_selector("#graph[data-ready]")
        side = page.get_by_label("The node that is chosen")
        side.get_by_role("link", name="vpc-payments").click()
        expect(side.get_by_role("heading", level=2)).to_have_text("vpc-payments")
        expect(page.locator(".gnode[aria-current=true]")).to_contain_text("vpc-payments")
        side.get_by_role("link", name="Open its page").click()
        page.wait_for_url(re.compile("/resources/"))


# ---- saved views


def test_a_view_is_saved_by_keyboard_and_found_in_the_palette(
    browser: Browser, sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "state.db")
    kernel = lively.open_kernel(tmp_path)
    world.fill(kernel)
    with serve(kernel) as base, opened(browser) as page:
        page.goto(base + "/findings?severity=critical")
        page.keyboard.press("s")
        expect(page.get_by_label("Save this view as")).to_be_focused()
        page.keyboard.type("Mine, critical")
        with page.expect_navigation(url=base + "/findings?severity=critical"):
            page.keyboard.press("Enter")
        page.goto(base + "/")
        page.keyboard.press("/")
        page.keyboard.type("mine, cri")
        option = page.get_by_role("option", name=re.compile("Mine, critical"))
        expect(option).to_be_visible()
        option.click()
        page.wait_for_url(base + "/findings?severity=critical")
    kernel.close()


# ---- as it happens


def test_a_job_is_followed_to_its_end(browser: Browser, sqlite_template: Path, tmp_path: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "state.db")
    kernel = world.open_kernel(tmp_path)
    j = tables.jobs

    def change(**values: Any) -> None:
        with kernel.db.write() as connection:
            connection.execute(j.update().where(j.c.id == "job_a").values(**values))

    def say(line: int, message: str) -> None:
        row = {"job": "job_a", "line": line, "at": codec.now(), "level": "info", "message": message, "data": None}
        with kernel.db.write() as connection:
            connection.execute(tables.job_log.insert().values(**row))

    with kernel.db.write() as connection:
        row = lively.job("job_a", "inventory.sync", "running", done=1, total=4, stage="shards")
        connection.execute(j.insert(), [row])
    say(1, "it begins")
    with serve(kernel) as base, opened(browser) as page:
        page.goto(base + "/jobs/job_a")
        expect(page.locator(".log")).to_contain_text("it begins")
        say(2, f"it goes on {world.HOSTILE}")
        change(done=3)
        expect(page.locator("main")).to_contain_text("3 of 4")
        expect(page.locator(".log")).to_contain_text(world.HOSTILE)
        expect(page.locator(".log li")).to_have_count(2)
        change(status="done", done=4, finished_at=codec.now())
        expect(page.locator("main .title")).to_contain_text("done")
        expect(page.get_by_role("button", name="Cancel this job")).to_have_count(0)
        expect(page.locator(".log li")).to_have_count(2)
    kernel.close()


def test_the_coverage_follows_a_sync(browser: Browser, sqlite_template: Path, tmp_path: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "state.db")
    kernel = world.open_kernel(tmp_path)
    with kernel.db.write() as connection:
        connection.execute(tables.jobs.insert(), [lively.job("job_a", "sync", "running", done=1, total=9)])
    with serve(kernel) as base, opened(browser) as page:
        page.goto(base + "/coverage")
        expect(page.get_by_text("Nothing was asked yet")).to_be_visible()
        world.fill(kernel)
        with kernel.db.write() as connection:
            connection.execute(tables.jobs.update().values(status="done", finished_at=codec.now()))
        expect(page.get_by_text("not seen completely").first).to_be_visible(timeout=15_000)
    kernel.close()
