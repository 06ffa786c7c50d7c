"""The panel is driven as a user drives it: by setting the value of a slider."""

from __future__ import annotations

import re

import numpy as np
import pytest

from llm_walkthrough.sampling import Sampling, TopK, pick, process, softmax, uniform
from llm_walkthrough.widgets import SamplingPanel

VIEW = "application/vnd.jupyter.widget-view+json"
CONTEXT = np.array([0, 3], dtype=np.int64)
LOGITS = np.array([3.0, 2.0, 1.5, 0.0, -1.0], dtype=np.float32)


class Words:
    """A vocabulary of five words, one of which would break a page if it were raw."""

    def piece(self, token: int) -> str:
        return ["back", "<side>", "mat", "belly", "cat"][token]


def panel(logits: np.ndarray = LOGITS) -> SamplingPanel:
    return SamplingPanel(Words(), logits, CONTEXT)


def slide(shown: SamplingPanel, name: str, value: float) -> str:
    """Move the slider whose label begins with `name`; return what is drawn then."""
    sliders, picture = shown.children
    (slider,) = [s for s in sliders.children if s.description.startswith(name)]
    slider.value = value
    return str(picture.value)


def twin(shown: SamplingPanel) -> dict[str, str]:
    return dict(shown._repr_mimebundle_())


def test_it_begins_with_the_usual_settings() -> None:
    assert panel().sampling == Sampling()
    assert panel().seed == 0


def test_every_setting_has_a_slider() -> None:
    moved = {
        "temperature": 1.5,
        "top-k": 3,
        "top-p": 0.5,
        "min-p": 0.25,
        "penalty": 1.3,
    }
    shown = panel()
    for name, value in moved.items():
        slide(shown, name, value)
    assert shown.sampling == Sampling(1.5, 3, 0.5, 0.25, 1.3)


@pytest.mark.parametrize("seed", range(5))
def test_it_draws_what_the_functions_draw(seed: int) -> None:
    shown = panel()
    slide(shown, "temperature", 2)
    slide(shown, "seed", seed)
    processors = Sampling(temperature=2).processors()
    probabilities = softmax(process(LOGITS, CONTEXT, processors))
    assert shown.chosen == pick(probabilities, uniform(seed, position=2))


def test_a_slider_redraws_the_bars_of_all_candidates() -> None:
    shown = panel()
    before = twin(shown)["text/plain"]
    slide(shown, "top-k", 1)
    after = twin(shown)["text/plain"]
    processed = re.search(r"After processing: (.*)\. Chosen", after)
    assert processed is not None
    assert processed[1] == "back 100.0 %"
    assert (
        before.split(" After")[0].split(": ")[2]
        == after.split(" After")[0].split(": ")[2]
    )


def test_it_never_changes_the_logits() -> None:
    logits = LOGITS.copy()
    logits.flags.writeable = False
    slide(panel(logits), "penalty", 2)
    assert np.array_equal(logits, LOGITS)


def test_temperature_zero_is_greedy() -> None:
    shown = panel()
    slide(shown, "temperature", 0)
    greedy = TopK(1)(LOGITS, CONTEXT)
    assert shown.chosen == int(greedy.argmax())
    assert "back 100.0 %" in twin(shown)["text/plain"]


def test_an_error_is_shown_in_one_sentence_and_gone_when_it_is_mended() -> None:
    shown = panel(np.full(5, np.nan, dtype=np.float32))
    assert "<b>✗ InputError: a logit must be a number" in twin(shown)["text/html"]
    shown = panel()
    shown.children[0].children[2].min = 0
    assert "InputError: top-p must be between" in slide(shown, "top-p", 0)
    assert "InputError" not in slide(shown, "top-p", 1)


def test_a_page_without_a_kernel_has_the_picture_and_its_settings() -> None:
    shown = panel()
    slide(shown, "temperature", 0.5)
    stored = twin(shown)
    assert (
        "temperature 0.5, top-k (0: off) 40, top-p (1: off) 0.9" in stored["text/html"]
    )
    assert stored["text/html"].count("data:image/svg+xml;base64,") == 2
    assert "&lt;side&gt;" in stored["text/html"]
    assert "<side>" not in stored["text/html"]
    assert VIEW in stored


def test_equal_settings_store_equal_twins() -> None:
    first, second = twin(panel()), twin(panel())
    assert first["text/html"] == second["text/html"]
    assert first["text/plain"] == second["text/plain"]
    assert "0x" not in first["text/plain"]
