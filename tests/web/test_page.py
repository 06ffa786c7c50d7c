"""The panel's place in the start page: what it offers, how it loads, what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from fake_panel import WEIGHTS, FakeSite, fake_site, write_model
from playwright.sync_api import Browser, BrowserContext, Page, expect

pytestmark = pytest.mark.browser

ENGINE = "parts/ort/ort-wasm-simd-threaded.wasm"
# what is called there is not there, does not work, or has no room
NO_CACHE = "Object.defineProperty(self, 'caches', { value: undefined });"
REFUSED_CACHE = """
const refuse = async () => { throw new DOMException("refused", "SecurityError"); };
Object.defineProperty(self, "caches", { value: { open: refuse, match: refuse } });"""
FULL_CACHE = """
const full = new DOMException("full", "QuotaExceededError");
Cache.prototype.put = () => Promise.reject(full);"""

PHONE = {
    "has_touch": True,
    "is_mobile": True,
    "screen": {"width": 390, "height": 844},
    "viewport": {"width": 390, "height": 700},
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FakeSite]:
    with fake_site(tmp_path) as site:
        yield site


@pytest.fixture
def visit(chromium: Browser, site: FakeSite) -> Iterator[Callable[..., Page]]:
    """Open the start page in a new browser of this kind, and wait for its offer."""
    contexts: list[BrowserContext] = []

    def open_page(script: str = "", **kind: Any) -> Page:  # noqa: ANN401 - playwright's
        contexts.append(chromium.new_context(**kind))
        page = contexts[-1].new_page()
        page.add_init_script(script)
        page.goto(site.url)
        page.wait_for_selector("#panel[data-state]")
        return page

    yield open_page
    for context in contexts:
        context.close()


def state(page: Page) -> str | None:
    return page.locator("#panel").get_attribute("data-state")


def start(page: Page, until: str = "ready") -> None:
    """Press the button that is there, and wait."""
    page.locator("[data-do=start]:visible").click()
    page.wait_for_selector(f"#panel[data-state={until}]")


def said(page: Page) -> str:
    return " ".join(page.locator(".load").inner_text().split())


def listen(page: Page) -> list[str]:
    """Note what the page writes to its console, and what it fails with."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


def test_nothing_large_is_asked_for_before_the_reader_agrees(
    visit: Callable[..., Page], site: FakeSite
) -> None:
    page = visit()
    assert state(page) == "offer"
    assert "Pressing Start downloads 0 MB" in said(page)
    assert "1.5 GB of memory" in said(page)
    expect(page.locator(".stored")).to_be_visible()
    assert not {WEIGHTS, ENGINE, "model_worker.js", "python_worker.js"} & {*site.asked}


def test_the_panel_loads_and_steps_and_the_console_stays_empty(
    visit: Callable[..., Page],
) -> None:
    page = visit()
    heard = listen(page)
    start(page)
    expect(page.locator(".stored")).to_be_hidden()
    page.locator(".load-panel [data-action=step]").click()
    expect(page.locator(".lw-where")).to_have_text("step 1")
    with page.expect_download() as saved:
        page.locator("[data-action=save]").click()
    assert saved.value.suggested_filename == "run.json"
    page.context.set_offline(True)
    page.keyboard.press("ArrowRight")
    expect(page.locator(".lw-where")).to_have_text("step 2")
    assert heard == []


def test_the_next_visit_starts_by_itself_and_downloads_no_model(
    visit: Callable[..., Page], site: FakeSite
) -> None:
    page = visit()
    start(page)
    limits = page.locator(".load-limits").text_content() or ""
    assert "The next visit starts without a download" in limits
    site.asked.clear()
    page.reload()
    page.wait_for_selector("#panel[data-state=ready]")
    assert not {WEIGHTS, ENGINE, "model/model.onnx"} & {*site.asked}


def test_a_page_that_is_left_frees_its_memory_and_loads_anew_when_it_is_shown_again(
    visit: Callable[..., Page],
) -> None:
    page = visit()
    start(page)
    assert page.workers
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    page.wait_for_timeout(300)
    assert not page.workers
    shown = "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
    with page.expect_navigation():
        page.evaluate(shown)
    page.wait_for_selector("#panel[data-state=ready]")


def test_a_model_that_was_replaced_on_the_site_is_offered_anew(
    visit: Callable[..., Page], site: FakeSite
) -> None:
    page = visit()
    start(page)
    panel = site.folder / "panel"
    (panel / "model/model.onnx").unlink()
    write_model(panel, ranges=[(4096, 4352), (0, 256)])
    page.reload()
    page.wait_for_selector("#panel[data-state=offer]")
    start(page)


def test_a_kept_file_that_is_damaged_is_fetched_again(
    visit: Callable[..., Page], site: FakeSite
) -> None:
    page = visit()
    start(page)
    page.evaluate(
        """async () => {
          const cache = await caches.open((await caches.keys())[0]);
          for (const key of await cache.keys()) await cache.put(key, new Response("x"));
        }"""
    )
    site.asked.clear()
    page.reload()
    page.wait_for_selector("#panel[data-state=ready]")
    assert WEIGHTS in site.asked


def wrong(site: FakeSite) -> None:
    site.write(WEIGHTS, bytes(136))


def longer(site: FakeSite) -> None:
    site.write(WEIGHTS, bytes(137))


def cut(site: FakeSite) -> None:
    site.cut = {WEIGHTS}


def refused(site: FakeSite) -> None:
    site.refused = {WEIGHTS}


def without_engine(site: FakeSite) -> None:
    site.refused = {"parts/ort/ort.wasm.min.mjs"}


def without_worker(site: FakeSite) -> None:
    site.refused = {"python_worker.js"}


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (
            wrong,
            "model/weights.gguf has not the length or the hash that this site lists",
        ),
        (longer, "model/weights.gguf has not the length or the hash"),
        (cut, "model/weights.gguf did not come: "),
        (refused, "model/weights.gguf did not come: the server answered 500"),
        (without_engine, "Failed to fetch dynamically imported module"),
        (without_worker, "a part of this page could not be loaded"),
    ],
)
def test_what_cannot_be_loaded_is_said_and_can_be_tried_again(
    harm: Callable[[FakeSite], None],
    sentence: str,
    visit: Callable[..., Page],
    site: FakeSite,
) -> None:
    whole = (site.folder / "panel" / WEIGHTS).read_bytes()
    page = visit()
    harm(site)
    start(page, "failed")
    assert "The panel could not start: " in said(page)
    assert sentence in said(page)
    expect(page.locator("[data-fill=trouble]")).to_be_visible()
    site.cut, site.refused = set(), set()
    site.write(WEIGHTS, whole)
    start(page)
    expect(page.locator("[data-fill=trouble]")).to_be_hidden()


@pytest.mark.parametrize("harm", [NO_CACHE, REFUSED_CACHE, FULL_CACHE])
def test_a_browser_that_keeps_nothing_shows_the_panel_all_the_same(
    harm: str, visit: Callable[..., Page], site: FakeSite
) -> None:
    script = site.folder / "panel/download.js"
    script.write_text(f"{harm}\n{script.read_text('utf-8')}", "utf-8")
    page = visit()
    heard = listen(page)
    start(page)
    limits = page.locator(".load-limits").text_content() or ""
    assert "The next visit downloads it again, for want of room" in limits
    assert heard == []


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("Object.defineProperty(navigator, 'deviceMemory', { value: 2 })", {}),
        (
            "",
            {
                "has_touch": True,
                "is_mobile": True,
                "screen": {"width": 390, "height": 844},
            },
        ),
    ],
)
def test_a_small_device_is_offered_the_stored_walk(
    script: str, kind: dict[str, Any], visit: Callable[..., Page]
) -> None:
    page = visit(script, **kind)
    assert state(page) == "small"
    link = page.get_by_role("link", name="the same walk, stored").locator(
        "visible=true"
    )
    expect(link).to_have_attribute("href", "panel/walk.html")
    assert "Start anyway" in said(page)
    start(page)


@pytest.mark.parametrize("lacking", ["CompressionStream", "structuredClone"])
def test_a_browser_that_is_too_old_is_told_so(
    lacking: str, visit: Callable[..., Page]
) -> None:
    page = visit(f"delete self.{lacking}")
    assert state(page) == "old"
    assert "This browser is too old to run the model" in said(page)
    expect(page.locator("[data-do=start]:visible")).to_have_count(0)


def test_what_python_refuses_is_said_and_the_panel_goes_on(
    visit: Callable[..., Page],
) -> None:
    page = visit()
    start(page)
    page.locator("[data-action=fail]").click()
    expect(page.get_by_role("alert")).to_have_text(
        "This was not taken: InputError: no such token"
    )
    page.locator("[data-action=step]").click()
    expect(page.locator(".lw-where")).to_have_text("step 1")
    expect(page.locator("[data-fill=trouble]")).to_be_hidden()


@pytest.mark.parametrize("look", ["light", "dark"])
def test_everything_can_be_read_and_fits_a_narrow_screen(
    look: str, visit: Callable[..., Page], site: FakeSite
) -> None:
    page = visit(color_scheme=look, viewport={"width": 320, "height": 640})
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    for until in ("offer", "failed", "ready"):
        site.refused = {WEIGHTS} if until == "failed" else set()
        if until != "offer":
            start(page, until)
        assert not page.evaluate(wide), until
        found = Axe().run(page, context="#panel")
        assert found.violations_count == 0, found.generate_report()


def test_the_focus_stays_on_what_is_said_and_progress_is_told(
    visit: Callable[..., Page],
) -> None:
    page = visit()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel[data-state=ready]")
    status = page.get_by_role("status").first
    expect(status).to_have_text("Ready: press Step.")
    for name in ("bytes", "weights", "python"):
        bar = page.locator(f"[data-bar={name}]")
        assert bar.evaluate("(bar) => bar.value / bar.max") == 1
