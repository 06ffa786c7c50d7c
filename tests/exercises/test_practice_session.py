from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.exercises import decode_loop
from llm_walkthrough.exercises.practice_session import (
    MOST_RUNS,
    PAST,
    PRESENT,
    VOCAB,
    PracticeSession,
    mistake_in,
    past_of,
)

PROMPT, NEXT = np.array([3, 14, 15]), np.array([7])
KEY = PAST[0]
NAMES = [*PAST, "input_ids", "attention_mask", "position_ids"]


EMPTY = past_of(0)
feed = partial(decode_loop.check_feed.right, NAMES)


def test_its_next_token_depends_on_every_row_of_every_array() -> None:
    session = PracticeSession(NAMES[len(PAST) :])
    after = dict(zip(PAST, session.run(PRESENT, feed(PROMPT, EMPTY)), strict=True))
    (undisturbed,) = session.run(["logits"], feed(NEXT, after))
    for name in PAST:
        for row in range(len(PROMPT)):
            other = {**after, name: after[name].copy()}
            other[name][:, :, row] += 1
            (logits,) = session.run(["logits"], feed(NEXT, other))
            assert logits.argmax() != undisturbed.argmax(), (name, row)


def test_the_loop_makes_what_is_worked_out_without_a_cache() -> None:
    prompt: list[int] = decode_loop.PROMPT.tolist()
    tokens = prompt.copy()
    for _ in range(decode_loop.LIMIT):
        rows = sum(
            (place + 1) * ((token + 2) * (position + 3 * place + 1) % 97)
            for position, token in enumerate(tokens)
            for place in range(len(PAST))
        )
        tokens.append((7 * rows + 3) % VOCAB)
    made = tokens[len(prompt) :]
    decode = decode_loop.check_decode
    answer = decode.ask(decode.right, decode_loop.WITH_POSITIONS, -1)
    assert answer == {"tokens": made, "fed": len(tokens) - 1}
    assert len(set(made)) > len(made) // 2  # or a mistake could hide


def test_the_outputs_come_in_the_order_that_was_asked_for() -> None:
    session = PracticeSession(NAMES[len(PAST) :])
    key, logits = session.run(["present.1.key", "logits"], feed(PROMPT, EMPTY))
    assert (key.ndim, logits.shape[:2]) == (4, (1, len(PROMPT)))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("input_ids", lambda ids: ids[0], "the batch axis first"),
        ("input_ids", lambda ids: ids[:, :0], "holds no token"),
        ("input_ids", lambda ids: ids.astype(np.int32), "dtype int32"),
        (
            "attention_mask",
            lambda mask: mask[:, 1:],
            "2 tokens in the past and 3 new; it must cover both",
        ),
        ("attention_mask", lambda mask: mask * 0, "a 1 for each"),
        ("position_ids", lambda places: places - 2, "go on where it ends"),
        ("position_ids", lambda places: places[0], "go on where it ends"),
        (KEY, lambda array: array[:, :, 1:], "different numbers"),
        (KEY, lambda array: array[0], "as the session's inputs say"),
    ],
)
def test_a_mistake_that_a_real_graph_might_accept_is_named(
    name: str, change: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    right = feed(PROMPT, past_of(2))
    assert mistake_in(right, NAMES) is None
    with pytest.raises(InputError, match=said):
        PracticeSession(NAMES[len(PAST) :]).run(
            None, {**right, name: change(right[name])}
        )


def test_what_is_no_dictionary_or_has_other_names_is_named() -> None:
    right = feed(PROMPT, EMPTY)
    assert "a feed is a dictionary" in str(mistake_in([], NAMES))
    assert "an input token_type" in str(mistake_in(right, [*NAMES, "token_type"]))
    assert "no input position_ids" in str(mistake_in(right, NAMES[:-1]))


def test_a_loop_without_an_end_is_stopped() -> None:
    session = PracticeSession(NAMES[len(PAST) :])
    for _ in range(MOST_RUNS):
        session.run(["logits"], feed(PROMPT, EMPTY))
    with pytest.raises(InputError, match="ever end"):
        session.run(["logits"], feed(PROMPT, EMPTY))
