"""The step panel as the browser sees it: events go in, pages and files come out."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tiny_folder import write_tiny_folder
from tiny_graph import LAYOUTS, write_model
from toy_model import SharedToy
from walking import END, PROMPT, Reader, tokenizer

from llm_walkthrough.errors import InputError
from llm_walkthrough.model import open_model
from llm_walkthrough.panel.step.saved_run import read
from llm_walkthrough.tokenizer import open_tokenizer
from llm_walkthrough.widgets import StepPanel

if TYPE_CHECKING:
    from pathlib import Path

VIEW = "application/vnd.jupyter.widget-view+json"


class Toy(SharedToy):
    """A toy with the little of a graph that a panel asks for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(vocab=264)
        self.graph = SimpleNamespace(path=folder / "model.onnx", end_tokens=(END,))


class Page:
    """Stands for the browser: sends events, keeps what it is sent."""

    def __init__(self, panel: StepPanel, sent: list[dict[str, Any]]) -> None:
        self.panel = panel
        self.sent = sent

    def send(self, action: str, value: object = None, frame: int | None = None) -> None:
        shown = self.panel.frame if frame is None else frame
        event = {"action": action, "value": value, "frame": shown}
        self.panel._handle_custom_msg(event, [])  # noqa: SLF001 - as the library does


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(StepPanel, "send", lambda _, message: messages.append(message))
    return messages


@pytest.fixture
def panel(sent: list[dict[str, Any]], tmp_path: Path) -> StepPanel:
    assert sent == []
    model: Any = Toy(tmp_path / "toy-int4")
    return StepPanel(model, tokenizer(), PROMPT)


@pytest.fixture
def page(panel: StepPanel, sent: list[dict[str, Any]]) -> Page:
    return Page(panel, sent)


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_works_on_every_graph_that_can_be_opened(name: str, tmp_path: Path) -> None:
    folder = write_tiny_folder(tmp_path / "tiny")
    write_model(folder, LAYOUTS[name])
    model = open_model(folder, threads=1)
    panel = StepPanel(model, open_tokenizer(folder), np.array([3, 4, 5]))
    page = Page(panel, [])
    for _ in range(4):
        page.send("step")
    page.send("back", 2)
    page.send("take", {"token": 7, "position": panel.stepper.position})
    assert panel.walk.now.notice.text == ""
    assert len(panel.walk.snapshot().branches) == 2
    fed = panel.walk.snapshot().feeds[-1]
    ports = {array.name for array in fed.arrays}
    assert len(ports) == len(model.graph.inputs) - len(model.graph.past) + 1
    assert Reader(panel.page).text.count("step 3 · context") == 1


def test_each_event_makes_one_frame_that_shows_what_the_stepper_holds(
    panel: StepPanel, page: Page
) -> None:
    for frame in range(1, 4):
        page.send("step")
        assert panel.frame == frame
        shown = Reader(panel.page)
        assert len(shown.styled("lw-made")) == len(panel.stepper.new_tokens) == frame


def test_page_and_frame_go_out_in_one_message(panel: StepPanel, page: Page) -> None:
    messages: list[list[str]] = []
    panel.send_state = lambda keys: messages.append(sorted(keys))
    page.send("step")
    assert messages == [["frame", "page"]]


def test_a_tick_of_an_old_frame_is_not_a_step(panel: StepPanel, page: Page) -> None:
    page.send("run")
    page.send("tick")
    page.send("tick", frame=panel.frame - 1)
    assert len(panel.stepper.new_tokens) == 1


def test_an_error_is_a_sentence_on_the_page_and_the_next_event_works(
    panel: StepPanel, page: Page
) -> None:
    page.send("take", {"token": "much", "position": 5})
    assert "✗ ValueError" in Reader(panel.page).text
    page.send("step")
    assert len(panel.stepper.new_tokens) == 1


def test_a_page_that_cannot_be_drawn_says_why(
    panel: StepPanel, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object) -> str:
        raise RuntimeError("no paper")

    monkeypatch.setattr("llm_walkthrough.widgets.page", fails)
    page.send("step")
    assert "RuntimeError: no paper" in Reader(panel.page).text
    monkeypatch.undo()
    page.send("step")
    assert len(panel.stepper.new_tokens) == 2


def test_events_of_two_threads_are_taken_one_after_the_other(
    panel: StepPanel, page: Page
) -> None:
    def often() -> None:
        for _ in range(20):
            page.send("step")

    threads = [threading.Thread(target=often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(panel.stepper.new_tokens), panel.frame) == (60, 60)


def test_a_run_is_saved_in_the_browser_and_opened_again(
    panel: StepPanel, page: Page
) -> None:
    page.send("step")
    page.send("step")
    page.send("save")
    (message,) = page.sent
    assert message["file"]["name"] == "run.json"
    tokens = panel.stepper.new_tokens.tolist()
    page.send("reset")
    page.send("load", message["file"]["text"])
    assert panel.stepper.new_tokens.tolist() == tokens
    assert "Replayed 2 steps: the same tokens." in Reader(panel.page).text


def test_a_run_that_cannot_be_saved_sends_no_file(panel: StepPanel, page: Page) -> None:
    panel.stepper.step()
    page.send("save")
    assert page.sent == []
    assert "made outside this panel" in Reader(panel.page).text


def test_the_picture_is_a_whole_page_of_this_moment(
    panel: StepPanel, page: Page
) -> None:
    page.send("step")
    page.send("export")
    (message,) = page.sent
    text = message["file"]["text"]
    assert text.startswith("<!doctype html>")
    piece = tokenizer().piece(int(panel.stepper.new_tokens[0]))
    assert piece in Reader(text.replace("<!doctype html>", "")).text


def test_runs_and_pictures_are_written_to_files_from_a_cell(
    panel: StepPanel, page: Page, tmp_path: Path
) -> None:
    page.send("step")
    panel.save(tmp_path / "run.json")
    panel.export(tmp_path / "step.html")
    assert read((tmp_path / "run.json").read_text("utf-8")).model == "toy-int4"
    assert panel.page in (tmp_path / "step.html").read_text("utf-8")
    page.send("reset")
    panel.replay(tmp_path / "run.json")
    assert len(Reader(panel.page).styled("lw-made")) == 1
    (tmp_path / "run.json").write_text("{}", "utf-8")
    with pytest.raises(InputError, match="this is not a saved run"):
        panel.replay(tmp_path / "run.json")


def test_a_cell_that_has_stepped_redraws_the_page(panel: StepPanel) -> None:
    panel.stepper.step()
    assert Reader(panel.page).styled("lw-made") == []
    panel.redraw()
    assert len(Reader(panel.page).styled("lw-made")) == 1


def test_the_time_of_a_step_stays_when_a_knob_is_turned(
    panel: StepPanel, page: Page
) -> None:
    def rest() -> str:
        return panel.page.partition("everything else <b>")[2].partition("</b>")[0]

    page.send("step")
    before = rest()
    assert before.endswith(" ms")
    page.send("knob", {"name": "temperature", "value": 1.5})
    assert rest() == before


def test_a_page_without_a_kernel_has_a_picture_and_no_address(panel: StepPanel) -> None:
    bundle, _ = panel._repr_mimebundle_()
    assert VIEW in bundle
    assert "Step panel: toy-int4, step 0" in bundle["text/html"]
    assert bundle["text/plain"].startswith("Step panel: toy-int4, step 0")
    assert len(json.dumps(bundle)) < 60_000
