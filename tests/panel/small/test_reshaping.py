from __future__ import annotations

import numpy as np
import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.small.reshaping import Reshaping
from llm_walkthrough.sampling import Sampling, pick, process, softmax, uniform

CONTEXT = np.array([0, 3], dtype=np.int64)
LOGITS = np.array([3.0, 2.0, 1.5, 0.0, -1.0], dtype=np.float32)


def reshaping() -> Reshaping:
    return Reshaping(LOGITS, CONTEXT)


def turn(one: Reshaping, name: str, value: float) -> None:
    one.act("knob", {"name": name, "value": value})
    assert one.now.notice.text == ""


def drawn(sampling: Sampling, u: float) -> int:
    return pick(softmax(process(LOGITS, CONTEXT, sampling.processors())), u)


def test_every_setting_has_a_knob() -> None:
    one = reshaping()
    moved = {
        "temperature": 1.5,
        "top_k": 3,
        "top_p": 0.5,
        "min_p": 0.25,
        "repetition_penalty": 1.3,
        "seed": 7,
    }
    for name, value in moved.items():
        turn(one, name, value)
    assert one.now.sampling == Sampling(1.5, 3, 0.5, 0.25, 1.3)
    assert one.now.seed == 7


@pytest.mark.parametrize("seed", range(5))
def test_it_draws_what_the_functions_draw(seed: int) -> None:
    one = reshaping()
    turn(one, "temperature", 2)
    turn(one, "seed", seed)
    u = uniform(seed, position=2)
    assert one.u == u
    assert one.found().draw.token == drawn(Sampling(temperature=2), u)


def test_the_learners_own_u_draws_until_it_is_given_back() -> None:
    one = reshaping()
    turn(one, "temperature", 2)
    one.act("u", 0.999)
    assert one.found().draw.token == drawn(Sampling(temperature=2), 0.999)
    one.act("unroll")
    assert one.u == uniform(0, position=2)


def test_a_rolled_u_is_another_one() -> None:
    one = reshaping()
    one.act("roll")
    first = one.u
    one.act("roll")
    assert 0 <= first < 1
    assert first != one.u


def test_the_end_of_the_slider_is_the_last_number_that_can_be_drawn() -> None:
    one = reshaping()
    one.act("u", 1)
    assert one.now.notice.text == ""
    assert 0.999 < one.u < 1


def test_a_stage_can_be_looked_at_and_does_not_change_what_is_drawn() -> None:
    one = reshaping()
    before = one.found()
    one.act("stage", 0)
    after = one.found()
    assert after.stages[after.looked_at].kind == "RepetitionPenalty"
    assert after.draw.token == before.draw.token
    assert [r.now for r in after.rows] != [r.now for r in before.rows]


@pytest.mark.parametrize(
    ("action", "value", "said"),
    [
        ("knob", {"name": "top_p", "value": 7}, "top-p must be between"),
        ("knob", {"name": "luck", "value": 7}, "there is no knob 'luck'"),
        ("knob", {"name": "seed", "value": -1}, "seed must be 0 or more"),
        ("u", 1.5, "u must be at least 0 and below 1"),
        ("take", {"token": 1}, "there is no action 'take'"),
    ],
)
def test_what_cannot_be_set_is_said_and_changes_nothing(
    action: str, value: object, said: str
) -> None:
    one = reshaping()
    before = one.snapshot()
    one.act(action, value)
    assert one.now.notice.text.startswith(said)
    assert one.now.sampling == before.settings.sampling
    assert (one.now.seed, one.u) == (0, before.found.draw.u)


def test_it_never_changes_the_logits() -> None:
    logits = LOGITS.copy()
    logits.flags.writeable = False
    turn(Reshaping(logits, CONTEXT), "repetition_penalty", 2)
    assert np.array_equal(logits, LOGITS)


def test_logits_of_which_nothing_comes_are_refused() -> None:
    with pytest.raises(InputError, match="a logit must be a number"):
        Reshaping(np.full(5, np.nan, dtype=np.float32), CONTEXT)
