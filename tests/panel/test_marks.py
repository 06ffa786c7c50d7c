from __future__ import annotations

import pytest
from walking import Reader

from llm_walkthrough.panel.marks import attributes, button, chip, select, slider
from llm_walkthrough.panel.wording import LONGEST, percent, quoted, shortened

HOSTILE = '</style><script>alert("1")</script>\'&'


def test_a_button_says_what_it_sends_and_what_presses_it_and_can_be_off() -> None:
    page = Reader(button("back", "Back", "go back", key="ArrowLeft", is_off=True))
    (named,) = page.actions("back")
    assert (named["data-key"], named["title"]) == ("ArrowLeft", "go back")
    assert page.text == "Back←"
    assert named["aria-disabled"] == "true"  # so that it can still be reached
    assert "disabled" not in named


def test_a_slider_tells_its_name_and_its_value_in_words() -> None:
    (named,) = Reader(slider("k", "top-k", 0, (0, 9, 1), "off")).actions("knob")
    assert (named["aria-label"], named["aria-valuetext"]) == ("top-k", "off")
    assert (named["min"], named["max"], named["value"]) == ("0", "9", "0")


def test_everything_from_outside_is_shown_as_text() -> None:
    for page in (
        button("step", HOSTILE, HOSTILE),
        slider("k", HOSTILE, 0, (0, 9, 1), HOSTILE),
        chip(HOSTILE),
        select("limit", HOSTILE, (HOSTILE, "b"), HOSTILE),
        f"<i{attributes({'title': HOSTILE})}></i>",
    ):
        assert {tag for tag, _ in Reader(page).tags} <= {
            *("button", "input", "bdi", "select", "option", "i")
        }


def test_a_long_token_is_cut_where_it_is_shown() -> None:
    assert len(shortened("x" * 300)) == LONGEST
    assert shortened("x" * 300).endswith("…")
    assert shortened("x" * LONGEST) == "x" * LONGEST


def test_the_chosen_option_is_marked() -> None:
    page = Reader(select("speed", "how fast", ("a", "b"), "b"))
    options = ["selected" in named for tag, named in page.tags if tag == "option"]
    assert options == [False, True]


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0, "0"), (1, "100.0"), (0.4026, "40.3"), (0.00456, "0.46"), (1e-7, "<0.01")],
)
def test_percents_have_as_many_figures_as_can_be_read(
    probability: float, text: str
) -> None:
    assert percent(probability) == text


def test_a_token_in_a_sentence_keeps_its_direction_to_itself_and_is_cut() -> None:
    assert quoted("\u05d0") == "\u2068\u05d0\u2069"
    assert len(quoted("x" * 300)) == LONGEST + 2
