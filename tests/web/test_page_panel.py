from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_worker import CONFIG, FakeWorker
from page_panel import PagePanel
from tiny_tokenizer import CHATML, byte_level, write_folder
from walking import Reader, tokenizer

from llm_walkthrough import stepper
from llm_walkthrough.panel.frame import STYLE
from llm_walkthrough.panel.step import looking

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {"llm_walkthrough", "numpy", "jinja2", "markupsafe"}


class Page:
    """What the page does with a panel; its answers as the page gets them."""

    def __init__(self, panel: PagePanel) -> None:
        self.panel, self.number = panel, 0
        self.now: dict[str, Any] = json.loads(asyncio.run(panel.begin("the a the", 17)))
        self.files: list[dict[str, Any]] = []

    @property
    def read(self) -> Reader:
        return Reader(self.now["page"])

    def tell(self, action: str, value: object = None, frame: int | None = None) -> None:
        self.number += 1
        shown = self.now["frame"] if frame is None else frame
        event = {"action": action, "value": value, "frame": shown}
        event |= {"view": "v", "number": self.number}
        self.now = json.loads(asyncio.run(self.panel.hear(json.dumps(event))))
        assert self.now["heard"] == ["v", self.number]


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def page(
    tmp_path: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Page]:
    with monkeypatch.context() as patched:  # what the panel changes, for good in a page
        patched.setattr(stepper, "time", stepper.time)  # type: ignore[attr-defined]
        patched.setattr(looking, "time", looking.time)  # type: ignore[attr-defined]
        patched.setattr(sys, "executable", sys.executable)
        patched.setitem(sys.modules, "llm_walkthrough.inside", sys)
        folder = write_folder(tmp_path / "tiny", byte_level(), chat_template=CHATML)
        (folder / "genai_config.json").write_text(json.dumps({"model": CONFIG}))
        yield Page(PagePanel(str(folder), worker.ask, worker.free, split))


def split(text: str) -> list[int]:
    ids: list[int] = tokenizer().encode(text).tolist()
    return ids


def steps(page: Page) -> int:
    return len(page.read.styled("lw-made"))


def test_it_needs_nothing_but_numpy_and_jinja2() -> None:
    code = "import sys, page_panel; print(*{m.partition('.')[0] for m in sys.modules})"
    path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'web/beside')!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", path + code], capture_output=True, text=True, check=True
    )
    ours = {"page_model", "page_panel", "page_tokenizer"}
    foreign = {*done.stdout.split()} - {*sys.stdlib_module_names} - ours
    assert {name for name in foreign if not name.startswith(("_", "site"))} == NEEDED


def test_it_begins_with_what_the_page_asks(page: Page) -> None:
    assert "tiny" in page.read.text
    assert "the a the" in page.read.text


def test_each_event_is_answered_with_the_next_page(page: Page) -> None:
    page.tell("step")
    page.tell("step")
    assert steps(page) == 2
    page.tell("back", 1)
    assert steps(page) == 1
    page.tell("knob", {"name": "seed", "value": 5})
    assert 'data-name="seed"' in page.now["page"]
    page.tell("no such thing")
    assert "there is no action" in page.read.text


def test_an_event_waits_for_the_one_before_which_waits_for_a_run(page: Page) -> None:
    page.tell("step")
    acts: list[dict[str, Any]] = [{"action": "step"}, {"action": "back", "value": 1}]
    events = [
        json.dumps({**act, "frame": page.now["frame"], "view": "v", "number": number})
        for number, act in enumerate(acts, start=2)
    ]

    async def both() -> list[str]:
        return await asyncio.gather(*map(page.panel.hear, events))

    answers = []
    for answer in asyncio.run(both()):
        page.now = json.loads(answer)
        answers.append((page.now["heard"], steps(page)))
    assert answers == [(["v", 2], 2), (["v", 3], 1)]


def test_a_tick_of_an_old_page_is_answered_but_not_done(page: Page) -> None:
    page.tell("run")
    frame = page.now["frame"]
    page.tell("tick", frame=frame)
    assert steps(page) == 1
    page.tell("tick", frame=frame)
    assert steps(page) == 1
    page.tell("tick")
    assert steps(page) == 2


def test_a_saved_run_is_opened_on_a_fresh_page(page: Page, worker: FakeWorker) -> None:
    for _ in range(12):
        page.tell("step")
    page.tell("save")
    sent = page.now["file"]
    assert sent["name"] == "run.json"
    before = len(worker.asked)
    fresh = Page(page.panel)
    fresh.tell("load", sent["text"])
    assert steps(fresh) == 12
    assert worker.asked[before:] == [*worker.asked[:1] * 2, 12]  # prompts, then all
    assert fresh.now["file"] is None


def test_the_page_itself_can_be_saved(page: Page) -> None:
    page.tell("export")
    sent = page.now["file"]
    assert sent["text"].startswith("<!doctype html>")
    assert STYLE in sent["text"]
    page.tell("step")
    assert page.now["file"] is None


def test_what_is_no_saved_run_is_refused(page: Page) -> None:
    page.tell("load", "hello")
    assert "this is not a saved run" in page.read.text


def test_another_question_begins_anew(page: Page) -> None:
    page.tell("step")
    page.tell("ask", "a the a")
    assert steps(page) == 0
    assert "a the a" in page.read.text


def test_looking_inside_is_said_to_need_a_notebook(page: Page) -> None:
    page.tell("side", "Inside")
    assert "open this tab in notebook 06" in page.read.text
    page.tell("step")
    assert steps(page) == 1
