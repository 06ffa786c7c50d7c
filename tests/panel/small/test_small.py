"""What every small panel does, whatever it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from toy_model import SharedToy
from walking import PROMPT, Reader, tokenizer, toy

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.panel.small import feeding, race, reshaping, spelling

Decoding = type[feeding.Feeding] | type[race.Race]
LOGITS = np.array([3.0, 2.0, 1.5, 0.0, -1.0], dtype=np.float32)
TEXT = "<script>\u200f</style>🙏" * 10


class Hostile:
    """Tokens that would break a page if they were raw."""

    def piece(self, token: int) -> str:
        return ["<script>", "x" * 300, "</style>"][token % 3]


class Failing(SharedToy):
    """Fails at the run of this number, once."""

    fails_at = 0

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        if self.num_runs + 1 == self.fails_at:
            self.fails_at = 0
            raise RuntimeError("out of memory")
        return super().run(unseen, cache)


class Panel(NamedTuple):
    file: Any
    state: Any
    words: Any = Hostile()
    action: str = "step"

    def page(self) -> Reader:
        return Reader(self.file.page(self.state.now, self.words))

    def picture(self) -> str:
        return str(self.file.twin(self.state.now, self.words)[0])


PANELS: dict[str, Callable[[], Panel]] = {
    "feeding": lambda: Panel(feeding, feeding.Feeding(toy(), PROMPT)),
    "race": lambda: Panel(race, race.Race(toy(), PROMPT)),
    "reshaping": lambda: Panel(
        reshaping, reshaping.Reshaping(LOGITS, PROMPT % 5), action="roll"
    ),
    "spelling": lambda: Panel(
        spelling, spelling.Spelling(tokenizer(), TEXT), tokenizer()
    ),
}


@pytest.fixture(params=PANELS)
def panel(request: pytest.FixtureRequest) -> Panel:
    return PANELS[request.param]()


@pytest.fixture(params=[feeding.Feeding, race.Race])
def decoding(request: pytest.FixtureRequest) -> Decoding:
    kind: Decoding = request.param
    return kind


def test_hostile_tokens_are_shown_as_text(panel: Panel) -> None:
    text = ""
    for _ in range(10):
        shown, stored = panel.page(), panel.picture()
        assert {"script", "style"}.isdisjoint(tag for tag, _ in shown.tags)
        assert "<script>" not in stored
        text += shown.text
        assert "x" * 100 not in text + stored
        panel.state.do(panel.action)
    assert "<script>" in text


def test_a_picture_is_small_and_needs_no_style_sheet(panel: Panel) -> None:
    for _ in range(120):
        panel.state.act(panel.action)
    assert "class=" not in panel.picture()
    assert len(panel.picture()) < 60_000


def test_back_and_reset_are_off_until_something_is_done(panel: Panel) -> None:
    for action, is_off in (("nonsense", True), (panel.action, False)):
        panel.state.act(action)
        shown = panel.page()
        for button in (*shown.actions("back"), *shown.actions("reset")):
            assert ("aria-disabled" in button) is is_off


@pytest.mark.parametrize("name", ["race", "spelling"])
def test_only_a_running_panel_asks_for_the_next_step(name: str) -> None:
    panel = PANELS[name]()
    assert "data-tick" not in panel.page().tags[0][1]
    panel.state.act("run")
    assert "data-tick" in panel.page().tags[0][1]
    assert len(panel.page().actions("stop")) == 1


@pytest.mark.parametrize("fails_at", [2, 3, 4])
def test_a_run_that_fails_is_said_and_can_be_made_again(
    decoding: Decoding, fails_at: int
) -> None:
    model = Failing(tokenizer().vocab)
    model.fails_at = fails_at
    one, unbroken = decoding(model, PROMPT), decoding(toy(), PROMPT)
    num_problems = 0
    while one.now.cache.length < len(PROMPT) + 3:
        before = one.now
        one.act("step")
        if one.now.notice.kind == "problem":
            num_problems += 1
            assert one.now.notice.text.startswith("RuntimeError: out of memory")
            assert replace(one.now, notice=before.notice) == before
    assert num_problems == 1
    while unbroken.now.cache.length < len(PROMPT) + 3:
        unbroken.do("step")
    for name, array in one.now.cache.arrays().items():  # each row tells of its token
        np.testing.assert_array_equal(array, unbroken.now.cache.arrays()[name])


def test_a_full_context_and_an_empty_prompt_are_refused(decoding: Decoding) -> None:
    one = decoding(toy(capacity=6), PROMPT)
    while one.now.cache.length < 6:
        one.do("step")
    with pytest.raises(InputError, match="the context is full: the model reads 6"):
        one.do("step")
    with pytest.raises(InputError, match="the prompt is empty"):
        decoding(toy(), PROMPT[:0])
