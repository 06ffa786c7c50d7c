from __future__ import annotations

import numpy as np
import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.exercises.practice_session import (
    HEAD_DIM,
    KV_HEADS,
    PAST,
    PracticeSession,
    continuation,
    mistake_in,
)

PROMPT = [3, 14, 15]


def first_feed() -> dict[str, np.ndarray]:
    """What the first run wants: the prompt, its mask, and a past of length 0."""
    empty = np.zeros((1, KV_HEADS, 0, HEAD_DIM), np.float32)
    past: dict[str, np.ndarray] = dict.fromkeys(PAST, empty)
    mask = np.ones((1, len(PROMPT)), np.int64)
    return {**past, "input_ids": np.array([PROMPT]), "attention_mask": mask}


def test_greedy_tokens_through_the_cache_are_those_worked_out_without_one() -> None:
    session = PracticeSession(["input_ids", "attention_mask"])
    feed, made = first_feed(), []
    for _ in range(5):
        names = [port.name for port in session.get_outputs()]
        outputs = dict(zip(names, session.run(None, feed), strict=True))
        made.append(int(outputs["logits"][0, -1].argmax()))
        total = feed["attention_mask"].shape[1] + 1
        feed = {
            n: outputs[n.replace("past_key_values", "present")]
            for n in feed
            if n.startswith("past")
        }
        feed["input_ids"] = np.array([[made[-1]]])
        feed["attention_mask"] = np.ones((1, total), np.int64)
    assert made == continuation(PROMPT, 5)
    assert session.num_fed == len(PROMPT) + 4


def test_the_outputs_come_in_the_order_that_was_asked_for() -> None:
    session = PracticeSession(["input_ids", "attention_mask"])
    key, logits = session.run(["present.1.key", "logits"], first_feed())
    assert (key.ndim, logits.shape[:2]) == (4, (1, len(PROMPT)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"input_ids": np.array(PROMPT)}, "the batch axis first"),
        ({"input_ids": np.zeros((1, 0), np.int64)}, "holds no token"),
        ({"token_type_ids": np.zeros((1, 3))}, "no input token_type_ids"),
        ({"attention_mask": np.ones((1, 2), np.int64)}, "attention_mask"),
        ({"past_key_values.0.key": np.zeros((1, 2, 4, 0))}, "past_key_values.0.key"),
    ],
)
def test_a_mistake_that_a_real_graph_might_accept_is_named(
    changed: dict[str, np.ndarray], said: str
) -> None:
    session = PracticeSession(["input_ids", "attention_mask"])
    with pytest.raises(InputError, match=said):
        session.run(None, {**first_feed(), **changed})


def test_what_is_no_dictionary_or_lacks_an_input_is_named() -> None:
    assert "dictionary" in str(mistake_in([], ["input_ids"]))
    assert "input_ids" in str(mistake_in({}, ["input_ids"]))


def test_a_loop_without_an_end_is_stopped() -> None:
    session = PracticeSession(["input_ids", "attention_mask"])

    def never_ending() -> None:
        while True:
            session.run(["logits"], first_feed())

    with pytest.raises(InputError, match="come to an end"):
        never_ending()
