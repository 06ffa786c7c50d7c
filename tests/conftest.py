"""A real browser and a real JupyterLab, for the tests that are marked so."""

from __future__ import annotations

import own_core  # isort: skip - before what counts the cores  # noqa: F401

import gc
import os
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.lab import FLAGS, Lab, find_chromium
from llm_walkthrough.errors import InputError

pytest.register_assert_rewrite("real_lab")  # so that a failure says more

from real_lab import lab_with_notebooks, quiet_page  # noqa: E402 - as said above

A_LOT = 700_000_000  # bytes: one model, or what is left of it
os.environ["LLM_WALKTHROUGH_PACKED"] = "off"  # a test that wants copies says so


@pytest.fixture(scope="module", autouse=True)
def _forgotten_after_the_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a file's tests opened and keep with `cache`, such as a model, goes then."""
    yield
    for one in vars(request.module).values():
        if hasattr(one, "cache_clear") and "llm_walkthrough" not in one.__module__:
            one.cache_clear()
    if psutil.Process().memory_info().rss > A_LOT:  # else it is not worth the time
        gc.collect()


@pytest.fixture(scope="session")
def path_of_chromium() -> str:
    try:
        return find_chromium()
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def chromium(path_of_chromium: str) -> Iterator[Browser]:
    """Not for the whole session: its event loop would disturb tests without it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path_of_chromium, args=FLAGS
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(
    path_of_chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    assert path_of_chromium  # without a browser there is no need for a lab
    home, root = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("root")
    with lab_with_notebooks(home, root) as lab:
        yield lab


@pytest.fixture
def page(chromium: Browser, lab: Lab) -> Iterator[Page]:
    with quiet_page(chromium, lab) as page:
        yield page
