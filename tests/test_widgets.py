"""The small panels as a page drives them: by events, and as a cell does: by calls."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from walking import END, PROMPT, tokenizer, toy

from llm_walkthrough.errors import InputError
from llm_walkthrough.sampling import Sampling, pick, process, softmax, uniform
from llm_walkthrough.widgets import (
    Board,
    CachePanel,
    FeedPanel,
    SamplingPanel,
    TextPanel,
)

VIEW = "application/vnd.jupyter.widget-view+json"
CONTEXT = np.array([0, 3], dtype=np.int64)
LOGITS = np.array([3.0, 2.0, 1.5, 0.0, -1.0], dtype=np.float32)


class Words:
    """A vocabulary of five words, one of which would break a page if it were raw."""

    def piece(self, token: int) -> str:
        return ["back", "<side>", "mat", "belly", "cat"][token]


def model() -> Any:  # noqa: ANN401 - a toy with the little of a graph that is asked for
    one: Any = toy()
    one.graph = SimpleNamespace(end_tokens=(END,))
    return one


def sampling_panel() -> SamplingPanel:
    return SamplingPanel(Words(), LOGITS, CONTEXT)


def cache_panel() -> CachePanel:
    return CachePanel(model(), tokenizer(), PROMPT)


def text_panel() -> TextPanel:
    return TextPanel(tokenizer(), "a 🙏 <script>")


def feed_panel() -> FeedPanel:
    return FeedPanel(model(), tokenizer(), PROMPT)


MAKERS: tuple[Callable[[], Board], ...] = (
    sampling_panel,
    cache_panel,
    text_panel,
    feed_panel,
)
STEPPED: tuple[Callable[[], Any], ...] = MAKERS[1:]


def send(panel: Board, action: str, value: object = None) -> None:
    """Do what the browser does when something is clicked, moved or awaited."""
    event = {"action": action, "value": value, "frame": panel.frame}
    panel._handle_custom_msg(event, [])  # noqa: SLF001 - as the library does


def stored(panel: Board) -> dict[str, Any]:
    data, _ = panel._repr_mimebundle_()
    return data


@pytest.mark.parametrize("make", MAKERS)
def test_each_event_redraws_once_also_one_that_fails(make: Callable[[], Board]) -> None:
    panel = make()
    send(panel, "nonsense")
    assert panel.frame == 1
    assert "✗ there is no action &#x27;nonsense&#x27;" in panel.page
    send(panel, "reset")
    assert panel.frame == 2
    assert "lw-problem" not in panel.page


@pytest.mark.parametrize("make", MAKERS)
def test_a_page_without_a_kernel_has_a_picture_beside_the_live_panel(
    make: Callable[[], Board],
) -> None:
    data = stored(make())
    assert VIEW in data
    assert "Run this notebook in a kernel" in data["text/html"]
    assert "0x7" not in data["text/plain"]
    assert len(data["text/html"]) < 60_000


@pytest.mark.parametrize("make", MAKERS)
def test_equal_panels_draw_equal_pages_and_pictures(make: Callable[[], Board]) -> None:
    first, second = make(), make()
    assert first.page == second.page
    assert stored(first)["text/html"] == stored(second)["text/html"]


@pytest.mark.parametrize("make", STEPPED)
def test_a_cell_steps_as_the_button_does(make: Callable[[], Any]) -> None:
    by_hand, by_call = make(), make()
    for _ in range(2):
        send(by_hand, "step")
    by_call.step(2)
    where = '<p class="lw-where">'
    assert by_call.page.split(where)[1][:40] == by_hand.page.split(where)[1][:40]
    assert by_call.frame == 1


def test_a_step_that_cannot_be_made_raises_in_a_cell_and_the_others_are_shown() -> None:
    panel = text_panel()
    with pytest.raises(InputError, match="all tokens were fed"):
        panel.step(99)
    assert len(panel.fed) == len(tokenizer().encode("a 🙏 <script>"))
    assert f"token <b>{len(panel.fed)}</b>" in panel.page


def test_sampling_begins_with_the_usual_settings() -> None:
    panel = sampling_panel()
    assert panel.sampling == Sampling()
    assert panel.seed == 0
    assert panel.u == uniform(0, position=2)


def test_sampling_draws_what_the_functions_draw() -> None:
    panel = sampling_panel()
    send(panel, "knob", {"name": "temperature", "value": 2})
    send(panel, "knob", {"name": "seed", "value": 3})
    processors = Sampling(temperature=2).processors()
    probabilities = softmax(process(LOGITS, CONTEXT, processors))
    assert panel.chosen == pick(probabilities, uniform(3, position=2))
    send(panel, "u", 0.9)
    assert panel.u == 0.9
    assert panel.chosen == pick(probabilities, 0.9)


def test_the_race_holds_tokens_and_what_was_measured() -> None:
    panel = cache_panel()
    panel.step(3)
    assert len(panel.tokens) == len(PROMPT) + 3
    assert [one.cached.fed for one in panel.rounds] == [5, 1, 1]
    assert [one.plain.fed for one in panel.rounds] == [5, 6, 7]


def test_the_text_holds_what_each_token_did() -> None:
    panel = text_panel()
    panel.step(3)
    assert [one.given for one in panel.fed] == ["a", " ", ""]
    assert panel.fed[-1].pending == b"\xf0\x9f"


def test_the_feed_is_the_dictionary_of_the_run_that_is_shown() -> None:
    panel = feed_panel()
    assert panel.feed["input_ids"].tolist() == [PROMPT.tolist()]
    panel.step()
    assert panel.feed["input_ids"].shape == (1, 1)
    assert panel.feed["attention_mask"].shape == (1, 6)
    send(panel, "back")
    assert panel.feed["input_ids"].tolist() == [PROMPT.tolist()]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("when", ["_hand_over", "_drawn"])
def test_an_interrupt_outside_of_an_action_ends_a_run_and_the_page_is_answered(
    make: Callable[[], Board], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, errors = make(), [KeyboardInterrupt]
    usual = getattr(panel, when)

    def interrupted_once(*given: object) -> Any:  # noqa: ANN401 - as the other
        if errors:
            raise errors.pop()
        return usual(*given)

    monkeypatch.setattr(panel, when, interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        send(panel, "run")
    assert panel.frame == 1
    assert "data-tick" not in panel.page
    assert "✗" not in panel.page
