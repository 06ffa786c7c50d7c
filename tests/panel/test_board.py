"""A panel works without a widget library, wherever its page is shown."""

from __future__ import annotations

import subprocess
import sys

from fake_inside import FakeInside, fake_inside
from walking import made, tokenizer, walk

from llm_walkthrough.panel.board import Board
from llm_walkthrough.panel.step.page import page, twin
from llm_walkthrough.panel.step.saved_run import read

ALL = """\
import sys
import llm_walkthrough.panel.server
import llm_walkthrough.panel.step.page
import llm_walkthrough.panel.small.spelling
libraries = {"anywidget", "ipywidgets", "traitlets", "IPython", "onnxruntime"}
print(sorted(libraries & {*sys.modules}))
"""


def test_a_board_needs_neither_a_widget_library_nor_an_engine() -> None:
    asked = [sys.executable, "-c", ALL]
    ended = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_a_file_is_given_to_the_event_that_asks_for_it_and_to_no_other() -> None:
    one = walk()
    board = Board(one, page, twin, tokenizer())
    board.hear({"action": "step"})
    run = board.hear({"action": "save"})
    assert run is not None
    assert [step.token for step in read(run["text"]).steps] == made(one)
    for other in ("fly", "tick", "step", "tick"):
        assert board.hear({"action": other, "frame": board.frame}) is None
    shown = board.hear({"action": "export", "view": "v", "number": 7})
    assert shown is not None
    assert board.page in shown["text"]
    assert board.state() == {"page": board.page, "frame": 7, "heard": ("v", 7)}


def test_nobody_looks_inside_for_a_page_behind_which_another_event_waits() -> None:
    one = walk()
    board = Board(one, page, twin, tokenizer())
    with fake_inside():
        board.hear({"action": "side", "value": "Inside", "more": True})
        board.hear({"action": "step", "more": True})
        assert FakeInside.looked == []
        assert "data-later" in board.page
        shown = board.hear(
            {"action": "export", "more": True}
        )  # a file is of its moment
        assert shown is not None
        assert "lw-lens" in shown["text"]
        board.hear({"action": "step", "more": True})
        board.redraw()
        assert "lw-lens" in board.page
        board.hear({"action": "step", "more": False})
        assert len(FakeInside.looked) == len(made(one)) == 3
