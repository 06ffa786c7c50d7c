"""The step panel as the browser sees it: events go in, pages and files come out."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comm
import numpy as np
import pytest
from tiny_folder import write_tiny_folder
from tiny_graph import LAYOUTS, write_model
from walking import END, PROMPT, Reader, tokenizer, toy

from llm_walkthrough.errors import InputError
from llm_walkthrough.model import open_model
from llm_walkthrough.panel.step.saved_run import read
from llm_walkthrough.tokenizer import open_tokenizer
from llm_walkthrough.widgets import StepPanel


class Panel(StepPanel):
    """A panel to which a test sends events as the browser does; keeps what it sends."""

    def __init__(self, *given: Any) -> None:  # noqa: ANN401 - as StepPanel
        self.sent: list[dict[str, Any]] = []
        super().__init__(*given)

    def send(self, content: dict[str, Any], _buffers: object = None) -> None:
        self.sent.append(content)

    def hear(self, action: str, value: object = None, frame: int | None = None) -> None:
        shown = self.frame if frame is None else frame
        event = {"action": action, "value": value, "frame": shown}
        self._handle_custom_msg(event, [])

    def shown(self) -> Reader:
        return Reader(self.page)


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Panel:
    # ipykernel, once imported, lets no widget send anything where there is no kernel
    monkeypatch.setattr("comm.create_comm", comm.DummyComm)
    model: Any = toy()
    file = tmp_path / "toy-int4" / "model.onnx"
    model.graph = SimpleNamespace(path=file, end_tokens=(END,))
    return Panel(model, tokenizer(), PROMPT)


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_works_on_every_graph_that_can_be_opened(name: str, tmp_path: Path) -> None:
    folder = write_tiny_folder(tmp_path / "tiny")
    write_model(folder, LAYOUTS[name])
    model = open_model(folder, threads=1)
    panel = Panel(model, open_tokenizer(folder), np.array([3, 4, 5]))
    for _ in range(4):
        panel.hear("step")
    panel.hear("back", 2)
    panel.hear("take", {"token": 7, "position": panel.stepper.position})
    shot = panel.walk.snapshot()
    assert (shot.desk.notice.text, len(shot.branches)) == ("", 2)
    ports = {array.name for array in shot.feeds[-1].arrays}
    assert len(ports) == len(model.graph.inputs) - len(model.graph.past) + 1
    assert panel.shown().text.count("step 3 · context") == 1
    panel.hear("side", "Inside")
    shown = panel.shown()
    is_seen, is_refused = (len(shown.styled(f"lw-{s}")) for s in ("inside", "why"))
    assert is_seen + is_refused == 1
    assert is_seen or "is in the way" in shown.text
    panel.hear("step")
    assert panel.shown().text.count("step 4 · context") == 1


def test_each_event_makes_one_frame_that_shows_what_the_stepper_holds(
    panel: Panel,
) -> None:
    messages: list[list[str]] = []
    panel.send_state = lambda keys: messages.append(sorted(keys))
    for frame in range(1, 4):
        panel.hear("step")
        assert panel.frame == len(panel.stepper.new_tokens) == frame
        assert len(panel.shown().styled("lw-made")) == frame
    assert messages == [["frame", "page"]] * 3  # in one message, so that none is torn


def test_a_tick_of_an_old_frame_is_not_a_step(panel: Panel) -> None:
    panel.hear("run")
    panel.hear("tick")
    panel.hear("tick", frame=panel.frame - 1)
    assert len(panel.stepper.new_tokens) == 1


def test_a_page_that_cannot_be_drawn_says_why_and_the_next_event_works(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_given: object) -> str:
        raise RuntimeError("no paper")

    with monkeypatch.context() as patched:
        patched.setattr(panel.board, "draw", fails)
        panel.hear("step")
    assert "✗ RuntimeError: no paper; run the cell again" in panel.shown().text
    panel.hear("step")
    assert len(panel.shown().styled("lw-made")) == 2


def test_events_of_two_threads_are_taken_one_after_the_other(panel: Panel) -> None:
    def often() -> None:
        for _ in range(20):
            panel.hear("step")

    threads = [threading.Thread(target=often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(panel.stepper.new_tokens), panel.frame) == (60, 60)


def test_run_and_picture_are_handed_to_the_browser_and_the_run_opened_again(
    panel: Panel,
) -> None:
    for action in ("step", "step", "save", "export"):
        panel.hear(action)
    run, picture = (message["file"] for message in panel.sent)
    assert (run["name"], picture["name"]) == ("run.json", "step.html")
    tokens = panel.stepper.new_tokens.tolist()
    text = picture["text"].removeprefix("<!doctype html>")
    assert tokenizer().piece(tokens[0]) in Reader(text).text
    panel.hear("reset")
    panel.hear("load", run["text"])
    assert panel.stepper.new_tokens.tolist() == tokens
    assert "Replayed 2 steps: the same tokens." in panel.shown().text


def test_a_run_that_cannot_be_saved_sends_no_file(panel: Panel) -> None:
    panel.stepper.step()
    assert panel.shown().styled("lw-made") == []
    panel.redraw()
    assert len(panel.shown().styled("lw-made")) == 1
    panel.hear("save")
    assert panel.sent == []
    assert "made outside this panel" in panel.shown().text


def test_runs_and_pictures_are_written_to_files_from_a_cell(
    panel: Panel, tmp_path: Path
) -> None:
    panel.hear("step")
    panel.save(tmp_path / "run.json")
    panel.export(tmp_path / "step.html")
    assert read((tmp_path / "run.json").read_text("utf-8")).model == "toy-int4"
    assert panel.page in (tmp_path / "step.html").read_text("utf-8")
    panel.hear("reset")
    panel.replay(tmp_path / "run.json")
    assert len(panel.shown().styled("lw-made")) == 1
    (tmp_path / "run.json").write_text("{}", "utf-8")
    with pytest.raises(InputError, match="this is not a saved run"):
        panel.replay(tmp_path / "run.json")
