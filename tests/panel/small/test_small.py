"""What every small panel does, whatever it is for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from toy_model import SharedToy
from walking import PROMPT, Reader, tokenizer, toy

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.acting import Notice
from llm_walkthrough.panel.small import feeding, race, reshaping, spelling
from llm_walkthrough.panel.small.feeding import Feeding
from llm_walkthrough.panel.small.race import Race

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_walkthrough.arrays import LogitsRows, TokenIds
    from llm_walkthrough.kv_cache import KVCache

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


# The panel's file, its state at the beginning, what shows its tokens, what moves it.
PANELS: dict[str, tuple[Any, Callable[[], Any], Any, str]] = {
    "feeding": (feeding, lambda: Feeding(toy(), PROMPT), Hostile(), "step"),
    "race": (race, lambda: Race(toy(), PROMPT), Hostile(), "step"),
    "reshaping": (
        *(reshaping, lambda: reshaping.Reshaping(LOGITS, PROMPT % 5)),
        *(Hostile(), "roll"),
    ),
    "spelling": (
        *(spelling, lambda: spelling.Spelling(tokenizer(), TEXT)),
        *(tokenizer(), "step"),
    ),
}
every_panel = pytest.mark.parametrize(
    ("file", "make", "words", "action"), PANELS.values(), ids=PANELS
)


@every_panel
def test_hostile_tokens_are_shown_as_text(
    file: Any, make: Callable[[], Any], words: Any, action: str
) -> None:
    one, text = make(), ""
    for _ in range(10):
        shown = Reader(file.page(one.now, words))
        text += shown.text
        assert {"script", "style"}.isdisjoint(tag for tag, _ in shown.tags)
        assert "x" * 100 not in shown.text
        stored, _ = file.twin(one.now, words)
        assert "<script>" not in stored
        assert "x" * 100 not in stored
        one.act(action)
    assert "<script>" in text


@every_panel
def test_a_picture_is_small_and_needs_no_style_sheet(
    file: Any, make: Callable[[], Any], words: Any, action: str
) -> None:
    one = make()
    for _ in range(120):
        one.act(action)
    stored, _ = file.twin(one.now, words)
    assert "class=" not in stored
    assert len(stored) < 60_000


@every_panel
def test_back_and_reset_are_off_until_something_is_done(
    file: Any, make: Callable[[], Any], words: Any, action: str
) -> None:
    def off() -> set[str | None]:
        shown = Reader(file.page(one.now, words))
        buttons = [*shown.actions("back"), *shown.actions("reset")]
        return {b["data-action"] for b in buttons if b.get("aria-disabled")}

    one = make()
    one.act("nonsense")
    assert off() == {"reset"} | ({"back"} if action == "step" else set()) - (
        {"back"} if file is race else set()
    )
    one.act(action)
    assert off() == set()


@pytest.mark.parametrize("name", ["race", "spelling"])
def test_only_a_running_panel_asks_for_the_next_step(name: str) -> None:
    file, make, words, _ = PANELS[name]
    one = make()
    assert "data-tick" not in file.page(one.now, words)
    one.act("run")
    shown = Reader(file.page(one.now, words))
    assert "data-tick" in shown.tags[0][1]
    assert len(shown.actions("stop")) == 1


@pytest.mark.parametrize(("kind", "nth"), [(Feeding, 1), (Race, 1), (Race, 2)])
def test_a_run_that_fails_is_said_and_can_be_made_again(kind: Any, nth: int) -> None:
    model = Failing()
    one, unbroken = kind(model, PROMPT % 23), kind(SharedToy(), PROMPT % 23)
    one.do("step")
    before = one.now
    model.fails_at = model.num_runs + nth
    one.act("step")
    assert one.now.notice.text.startswith("RuntimeError: out of memory")
    assert replace(one.now, notice=Notice()) == before
    one.do("step")
    for _ in range(2):
        unbroken.do("step")
    assert one.now.tokens == unbroken.now.tokens


@pytest.mark.parametrize(("kind", "steps"), [(Feeding, 1), (Race, 2)])
def test_a_full_context_is_said(kind: Any, steps: int) -> None:
    one = kind(toy(capacity=6), PROMPT)
    for _ in range(steps):
        one.do("step")
    with pytest.raises(InputError, match="the context is full: the model reads 6"):
        one.do("step")


@pytest.mark.parametrize("kind", [Feeding, Race])
def test_an_empty_prompt_is_refused(kind: Any) -> None:
    with pytest.raises(InputError, match="the prompt is empty"):
        kind(toy(), PROMPT[:0])
