"""The small panels as a page drives them: by events, and as a cell does: by calls."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from walking import END, PROMPT, Hostile, Reader, tokenizer, toy

from llm_walkthrough.errors import InputError
from llm_walkthrough.sampling import Sampling, pick, process, softmax, uniform
from llm_walkthrough.widgets import (
    CachePanel,
    FeedPanel,
    Panel,
    SamplingPanel,
    TextPanel,
)

VIEW = "application/vnd.jupyter.widget-view+json"
CONTEXT = np.array([0, 3], dtype=np.int64)
LOGITS = np.array([3.0, 2.0, 1.5, 0.0, -1.0], dtype=np.float32)
TEXT = "a 🙏 <script>\u200f</style>"


def model() -> Any:  # noqa: ANN401 - a toy with the little of a graph that is asked for
    one: Any = toy()
    one.graph = SimpleNamespace(end_tokens=(END,))
    return one


def sampling_panel() -> SamplingPanel:
    return SamplingPanel(Hostile(), LOGITS, CONTEXT)


def cache_panel() -> CachePanel:
    return CachePanel(model(), Hostile(), PROMPT)


def text_panel() -> TextPanel:
    return TextPanel(tokenizer(), TEXT)


def feed_panel() -> FeedPanel:
    return FeedPanel(model(), Hostile(), PROMPT)


MAKERS: tuple[Callable[[], Panel], ...] = (
    sampling_panel,
    cache_panel,
    text_panel,
    feed_panel,
)
STEPPED: tuple[Callable[[], Any], ...] = MAKERS[1:]


def send(panel: Panel, action: str, value: object = None) -> Reader:
    """Do what the browser does when something is clicked, moved or awaited."""
    event = {"action": action, "value": value, "frame": panel.frame}
    panel._handle_custom_msg(event, [])  # noqa: SLF001 - as the library does
    return Reader(panel.page)


def stored(panel: Panel) -> dict[str, Any]:
    data, _ = panel._repr_mimebundle_()
    return data


@pytest.mark.parametrize("make", MAKERS)
def test_each_event_redraws_once_also_one_that_fails(make: Callable[[], Panel]) -> None:
    panel = make()
    assert "✗ there is no action 'nonsense'" in send(panel, "nonsense").text
    assert panel.frame == 1
    assert send(panel, "reset").styled("lw-problem") == []
    assert panel.frame == 2


@pytest.mark.parametrize("make", MAKERS)
def test_equal_panels_draw_equal_pages_and_a_small_picture_beside_them(
    make: Callable[[], Panel],
) -> None:
    first, second = make(), make()
    assert first.page == second.page
    assert stored(first)["text/html"] == stored(second)["text/html"]
    for _ in range(100):
        first.board.engine.act("step")  # without a page for each
    data = stored(first)
    assert VIEW in data
    assert "run its cell in Jupyter" in data["text/html"]
    assert "class=" not in data["text/html"]
    assert "0x7" not in data["text/plain"]
    assert len(data["text/html"]) < 60_000


@pytest.mark.parametrize("make", MAKERS)
def test_hostile_tokens_are_shown_as_text(make: Callable[[], Panel]) -> None:
    panel, text = make(), ""
    for _ in range(10):
        shown, picture = Reader(panel.page), stored(panel)["text/html"]
        assert {"script", "style"}.isdisjoint(tag for tag, _ in shown.tags)
        assert "<script>" not in picture
        text += shown.text
        assert "x" * 100 not in text + picture
        send(panel, "roll" if make is sampling_panel else "step")
    assert "<script>" in text


@pytest.mark.parametrize("make", MAKERS)
def test_back_and_reset_are_off_until_something_is_done(
    make: Callable[[], Panel],
) -> None:
    panel = make()
    done = "roll" if make is sampling_panel else "step"
    for action, is_off in (("nonsense", True), (done, False)):
        shown = send(panel, action)
        for button in (*shown.actions("back"), *shown.actions("reset")):
            assert ("aria-disabled" in button) is is_off


@pytest.mark.parametrize("make", [cache_panel, text_panel])
def test_only_a_running_panel_asks_for_the_next_step(make: Callable[[], Panel]) -> None:
    panel = make()
    assert "data-tick" not in panel.page
    shown = send(panel, "run")
    assert "data-tick" in shown.tags[0][1]
    assert len(shown.actions("stop")) == 1


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
    with pytest.raises(InputError, match="all tokens have been fed"):
        panel.step(99)
    assert len(panel.fed) == len(tokenizer().encode(TEXT))
    assert f"token <b>{len(panel.fed)}</b>" in panel.page


def test_a_cell_reads_where_the_knobs_stand_and_what_is_drawn() -> None:
    panel = sampling_panel()
    assert (panel.sampling, panel.seed) == (Sampling(), 0)
    assert panel.u == uniform(0, position=2)
    send(panel, "knob", {"name": "temperature", "value": 2})
    send(panel, "u", 0.9)
    processors = Sampling(temperature=2).processors()
    probabilities = softmax(process(LOGITS, CONTEXT, processors))
    assert (panel.u, panel.chosen) == (0.9, pick(probabilities, 0.9))


def test_a_cell_reads_what_was_raced_spelled_and_fed() -> None:
    race, text, feed = cache_panel(), text_panel(), feed_panel()
    assert feed.feed["input_ids"].tolist() == [PROMPT.tolist()]
    for panel in (race, text, feed):
        panel.step(3)
    assert len(race.tokens) == len(PROMPT) + 3
    assert [one.plain.fed for one in race.rounds] == [5, 6, 7]
    assert [one.given for one in text.fed] == ["a", " ", ""]
    assert feed.feed["input_ids"].shape == (1, 1)
    assert feed.feed["attention_mask"].shape == (1, 8)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("when", ["redraw", "_drawn"])
def test_an_interrupt_outside_of_an_action_ends_a_run_and_the_page_is_answered(
    make: Callable[[], Panel], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, errors = make(), [KeyboardInterrupt]
    usual = getattr(panel.board, when)

    def interrupted_once(*given: object, **named: object) -> Any:  # noqa: ANN401 - as the other
        if errors:
            raise errors.pop()
        return usual(*given, **named)

    monkeypatch.setattr(panel.board, when, interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        send(panel, "run")
    assert panel.frame == 1
    assert "data-tick" not in panel.page
    assert "✗" not in panel.page
