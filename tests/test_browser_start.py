"""What a learner finds who typed the first command, in a real JupyterLab.

It runs in a copy of the repository as `run.py` leaves it, on its `my_course/`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    ViewportSize,
    expect,
)
from playwright.sync_api import (
    TimeoutError as TookTooLong,
)
from real_lab import NOTEBOOKS, PATIENCE, quiet_page

from benchmarks.lab import Lab, started_course
from tools.my_course import NAME, START

pytestmark = [pytest.mark.browser, pytest.mark.model]

MOST_CLICKS = 3
VIEW: ViewportSize = {"width": 1280, "height": 800}
LESSON = "06_decode_loop.ipynb"


@pytest.fixture(scope="module")
def course(
    path_of_chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    assert path_of_chromium  # without a browser there is no need for a lab
    home, clone = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("clone")
    weights = shutil.ignore_patterns("*.gguf", "smollm2-*")
    for name in ("launcher", "llm_walkthrough", "models", "notebooks", "tools"):
        shutil.copytree(NOTEBOOKS.parent / name, clone / name, ignore=weights)
    shutil.copy(NOTEBOOKS.parent / "run.py", clone)
    with started_course(home, clone) as lab:
        yield lab


@pytest.fixture
def page(chromium: Browser, course: Lab) -> Iterator[Page]:
    with quiet_page(chromium, course) as page:
        page.set_viewport_size(VIEW)
        yield page


def open_notebook(page: Page, address: str, name: str) -> None:
    """Open an address, which must show this notebook alone, until its kernel is up."""
    page.goto(address)
    tabs = page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab")
    expect(tabs).to_have_text([name])
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    expect(page.locator(".jp-Launcher")).to_have_count(0)


def expect_unmarked_and_trusted(page: Page) -> None:
    page.wait_for_timeout(1_000)  # what the kernel says of itself has been noted
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    seal = page.locator(".jp-StatusItem-trust svg")
    expect(seal).to_have_attribute("data-icon", "ui-components:trusted")


def is_in_view(element: Locator) -> bool:
    box = element.bounding_box()
    return (
        box is not None
        and 0 <= box["x"] <= box["x"] + box["width"] <= VIEW["width"]
        and 0 <= box["y"] <= box["y"] + box["height"] <= VIEW["height"]
    )


@pytest.mark.parametrize("visit", ["first", "second"])
def test_the_start_page_opens_without_a_launcher_and_without_an_unsaved_mark(
    course: Lab, page: Page, visit: str
) -> None:
    assert visit in {"first", "second"}  # JupyterLab remembers what was open
    open_notebook(page, course.address, START)
    listed = page.locator(".jp-DirListing-item")
    expect(listed.filter(has_text="00_environment.ipynb")).to_be_visible()
    expect_unmarked_and_trusted(page)


def test_a_lesson_opens_without_an_unsaved_mark_and_is_not_written_to(
    course: Lab, page: Page
) -> None:
    before = (course.root / NAME / LESSON).read_bytes()
    open_notebook(page, course.url(f"{NAME}/{LESSON}"), LESSON)
    expect_unmarked_and_trusted(page)
    assert (course.root / NAME / LESSON).read_bytes() == before


def test_the_first_token_is_three_clicks_away_and_needs_no_scrolling(
    course: Lab, page: Page
) -> None:
    open_notebook(page, course.address, START)
    run = page.locator("[data-command='notebook:run-cell-and-select-next']")
    step = page.locator("[data-action=step]")
    for patience in (2_000, PATIENCE)[: MOST_CLICKS - 1]:
        run.click()
        with suppress(TookTooLong):  # a title, and no panel yet
            step.wait_for(timeout=patience)
            break
    assert is_in_view(step)
    expect(page.locator("[data-action=tour]").last).to_be_in_viewport(ratio=1)
    for knob in page.locator("input[data-action=knob]").all():
        expect(knob).to_be_in_viewport(ratio=1)
    step.click()
    expect(page.locator(".lw-made")).to_have_count(1)
