from __future__ import annotations

import numpy as np
import pytest
from walking import Hostile, Reader

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.small.reshaping import Reshaping, page, twin
from llm_walkthrough.sampling import KNOBS, Sampling, pick, process, softmax, uniform

CONTEXT = np.array([0, 3], dtype=np.int64)
LOGITS = np.array([3.0, 2.0, 1.5, 0.0, -1.0], dtype=np.float32)
LOGITS.flags.writeable = False  # no knob changes them


def reshaping(**knobs: float) -> Reshaping:
    one = Reshaping(LOGITS, CONTEXT)
    for name, value in knobs.items():
        one.do("knob", {"name": name, "value": value})
    return one


def drawn(one: Reshaping) -> Reader:
    return Reader(page(one.now, Hostile()))


def test_every_setting_has_a_knob_that_can_be_moved() -> None:
    one = reshaping(top_k=3, top_p=0.5, repetition_penalty=1.3, seed=7)
    assert one.now.sampling == Sampling(top_k=3, top_p=0.5, repetition_penalty=1.3)
    assert one.now.seed == 7
    assert len(drawn(one).actions("knob")) == len(KNOBS) + 1


@pytest.mark.parametrize("seed", range(5))
def test_it_draws_what_the_functions_draw_until_the_learner_has_an_own_u(
    seed: int,
) -> None:
    one = reshaping(temperature=2, seed=seed)
    processors = Sampling(temperature=2).processors()
    probabilities = softmax(process(LOGITS, CONTEXT, processors))
    luck = uniform(seed, position=2)
    for action, u in (("stop", luck), ("u", 0.999), ("u", 0), ("unroll", luck)):
        one.do(action, u)
        draw = one.now.found.draw
        assert (draw.u, draw.token) == (u, pick(probabilities, u))


def test_a_rolled_u_is_another_one_and_the_end_of_the_slider_can_be_drawn() -> None:
    one, seen = reshaping(), []
    for action, value in (("roll", None), ("roll", None), ("u", 1)):
        one.do(action, value)
        seen.append(one.now.found.draw.u)
    assert len({*seen}) == 3
    assert min(seen) >= 0
    assert 0.999 < seen[-1] < 1


def test_a_stage_can_be_looked_at_and_does_not_change_what_is_drawn() -> None:
    one = reshaping()
    before = one.now.found
    one.do("stage", 0)
    after = one.now.found
    assert after.stages[after.looked_at].kind == "RepetitionPenalty"
    assert after.draw.token == before.draw.token
    assert [r.now for r in after.rows] != [r.now for r in before.rows]


@pytest.mark.parametrize(
    ("action", "value", "said"),
    [
        ("knob", {"name": "top_p", "value": 7}, "top-p must be between"),
        ("u", 1.5, "u must be at least 0 and below 1"),
        ("take", {"token": 1}, "there is no action 'take'"),
    ],
)
def test_what_cannot_be_set_is_said_and_changes_nothing(
    action: str, value: object, said: str
) -> None:
    one = reshaping()
    one.act(action, value)
    assert not one.now.is_moved
    shown = drawn(one)
    assert len(shown.styled("lw-problem")) == 1
    assert f"✗ {said}" in shown.text


def test_logits_of_which_nothing_comes_are_refused() -> None:
    with pytest.raises(InputError, match="a logit must be a number"):
        Reshaping(np.full(5, np.nan, dtype=np.float32), CONTEXT)


def test_candidates_can_be_looked_at_and_are_no_buttons() -> None:
    shown = drawn(reshaping(top_k=2, top_p=1))
    assert "2 of 5 tokens can be drawn" in shown.text
    assert shown.actions("take") == []
    listed = [a for _, a in shown.tags if "data-item" in a]
    assert [a["data-item"] for a in listed] == ["candidates"] * 5
    assert str(listed[1]["data-tip"]).startswith("id 1 · ")


def test_the_picture_names_the_settings_also_in_words() -> None:
    shown, words = twin(reshaping(temperature=0.5).now, Hostile())
    for stored in (Reader(shown).text, words):
        assert "penalty 1.10, ÷ T 0.50, top-k 40, top-p 0.90, seed 0" in stored
    assert shown.count("data:image/svg+xml;base64,") == 2
