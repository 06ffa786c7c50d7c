from __future__ import annotations

import numpy as np
from walking import Reader

from llm_walkthrough.panel.small.page_reshaping import page, twin
from llm_walkthrough.panel.small.reshaping import Reshaping

LOGITS = np.array([3.0, 2.0, 1.5, 0.0, -1.0], dtype=np.float32)


class Words:
    """A vocabulary of five words, one of which would break a page if it were raw."""

    def piece(self, token: int) -> str:
        return ["back", "<script>", "\u05d0\u05d1", "l" * 300, "cat"][token]


def reshaping() -> Reshaping:
    return Reshaping(LOGITS, np.array([4]))


def drawn(one: Reshaping) -> Reader:
    return Reader(page(one.snapshot(), Words()))


def test_no_candidate_is_a_button() -> None:
    assert drawn(reshaping()).actions("take") == []


def test_each_candidate_can_be_reached_with_the_arrow_keys_and_tells_its_id() -> None:
    listed = [a for _, a in drawn(reshaping()).tags if "data-item" in a]
    assert [a["data-item"] for a in listed] == ["candidates"] * 5
    assert str(listed[1]["data-tip"]).startswith("id 1 · ")


def test_all_knobs_and_u_can_be_moved() -> None:
    shown = drawn(reshaping())
    knobs = {str(one["data-name"]) for one in shown.actions("knob")}
    assert knobs == {
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
        "seed",
    }
    assert len(shown.actions("u")) == len(shown.actions("roll")) == 1


def test_it_counts_the_tokens_that_can_be_drawn() -> None:
    one = reshaping()
    one.act("knob", {"name": "top_k", "value": 2})
    one.act("knob", {"name": "top_p", "value": 1})
    assert "2 of 5 tokens can be drawn" in drawn(one).text


def test_reset_is_off_until_something_is_moved() -> None:
    one = reshaping()
    assert drawn(one).actions("reset")[0]["aria-disabled"] == "true"
    one.act("nonsense")
    assert drawn(one).actions("reset")[0]["aria-disabled"] == "true"
    one.act("u", 0.5)
    assert "aria-disabled" not in drawn(one).actions("reset")[0]


def test_the_seeds_u_is_given_back_only_if_there_is_another() -> None:
    one = reshaping()
    assert drawn(one).actions("unroll")[0]["aria-disabled"] == "true"
    one.act("u", 0.5)
    assert "aria-disabled" not in drawn(one).actions("unroll")[0]


def test_what_went_wrong_is_said() -> None:
    one = reshaping()
    one.act("knob", {"name": "top_p", "value": 7})
    shown = drawn(one)
    assert len(shown.styled("lw-problem")) == 1
    assert "✗ top-p must be between" in shown.text


def test_hostile_tokens_are_shown_as_text() -> None:
    one = reshaping()
    shown = drawn(one)
    assert "script" not in {tag for tag, _ in shown.tags}
    assert "<script>" in shown.text
    assert "l" * 100 not in shown.text
    assert "<script>" not in twin(one.snapshot(), Words())[0]


def test_the_picture_names_the_settings_and_needs_no_style_sheet() -> None:
    one = reshaping()
    one.act("knob", {"name": "temperature", "value": 0.5})
    shown, words = twin(one.snapshot(), Words())
    for stored in (Reader(shown).text, words):
        assert "penalty 1.10, ÷ T 0.50, top-k 40, top-p 0.90, seed 0" in stored
    assert shown.count("data:image/svg+xml;base64,") == 2
    assert "class=" not in shown
    assert len(shown) < 60_000


def test_equal_settings_give_equal_pictures() -> None:
    assert twin(reshaping().snapshot(), Words()) == twin(
        reshaping().snapshot(), Words()
    )
