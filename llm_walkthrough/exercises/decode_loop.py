"""Exercises of notebook 06: the dictionary, counting honestly, the decode loop.

The loop is tried on a practice session, so that only what holds for any decoder passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from llm_walkthrough.arrays import KeyOrValue, TokenIds
from llm_walkthrough.branch import Run
from llm_walkthrough.exercises.exercise import Exercise, texts_of
from llm_walkthrough.exercises.practice_session import (
    PAST,
    PRESENT,
    VOCAB,
    PracticeSession,
    mistake_in,
    past_of,
)
from llm_walkthrough.exercises.when import Attempt, When

WITHOUT_POSITIONS = ("input_ids", "attention_mask")
WITH_POSITIONS = (*WITHOUT_POSITIONS, "position_ids")
PROMPT = np.array([5, 11, 2, 40], dtype=np.int64)
LIMIT = 8


# --- the dictionary ---------------------------------------------------------------
def _feed(
    names: Sequence[str], unseen: TokenIds, past: Mapping[str, KeyOrValue]
) -> dict[str, np.ndarray]:
    length = past[PAST[0]].shape[2]
    total = length + len(unseen)
    small = {
        "input_ids": unseen[np.newaxis],
        "attention_mask": np.ones((1, total), np.int64),
        "position_ids": np.arange(length, total)[np.newaxis],
    }
    return {name: {**small, **past}[name] for name in names}


check_feed = Exercise(
    texts_of("decode_loop.feed"),
    right=_feed,
    cases=[
        ([*PAST, *WITHOUT_POSITIONS], PROMPT, past_of(0)),
        ([*PAST, *WITHOUT_POSITIONS], PROMPT[:1], past_of(7)),
        ([*PAST, *WITH_POSITIONS], PROMPT[:2], past_of(5)),
    ],
    same=lambda given, right: mistake_in(given, list(right)) is None,
    also=lambda t: {
        "length": t.past[PAST[0]].shape[2],
        "mistake": mistake_in(t.given, t.names),
    },
)


# --- counting honestly ------------------------------------------------------------
def _runs(counts: list[int], seconds: list[float]) -> tuple[Run, ...]:
    starts = np.cumsum([0, *counts[:-1]]).tolist()
    tokens = [np.zeros(count, np.int64) for count in counts]
    return tuple(map(Run, starts, tokens, seconds))


def _decode(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if len(run.tokens) == 1]


def _seconds(runs: Sequence[Run]) -> float:
    return sum(run.seconds for run in runs)


def _num_tokens(runs: Sequence[Run]) -> int:
    return sum(len(run.tokens) for run in runs)


check_speed = Exercise(
    texts_of("decode_loop.speed"),
    right=lambda runs: len(_decode(runs)) / _seconds(_decode(runs)),
    cases=[
        (_runs([40, 1, 1, 1], [0.5, 0.02, 0.03, 0.05]),),
        (_runs([256, 44, 1, 1], [2.0, 0.5, 0.04, 0.06]),),
    ],
    hints={
        "is_upside_down": lambda runs: _seconds(_decode(runs)) / len(_decode(runs)),
        "counts_the_prompt": lambda runs: _num_tokens(runs) / _seconds(runs),
        "has_the_time_of_prefill": [
            lambda runs: len(runs) / _seconds(runs),
            lambda runs: len(runs[1:]) / _seconds(runs),
            lambda runs: len(_decode(runs)) / _seconds(runs),
        ],
        "counts_the_run_of_prefill": [
            lambda runs: len(runs) / _seconds(runs[1:]),
            lambda runs: len(runs) / _seconds(_decode(runs)),
        ],
        "is_a_mean_of_speeds": [
            lambda runs: np.mean([len(run.tokens) / run.seconds for run in runs]),
            lambda runs: np.mean([len(run.tokens) / run.seconds for run in runs[1:]]),
            lambda runs: np.mean([1 / run.seconds for run in _decode(runs)]),
        ],
        "leaves_out_one_run_only": [
            lambda runs: _num_tokens(runs[1:]) / _seconds(runs[1:]),
            lambda runs: len(runs[1:]) / _seconds(runs[1:]),
        ],
    },
)


# --- the loop ---------------------------------------------------------------------
def _loop(
    session: PracticeSession, prompt: TokenIds, limit: int, end: int, row: int = -1
) -> list[int]:
    names = [port.name for port in session.get_inputs()]
    tokens: list[int] = prompt.tolist()
    seen, past = 0, past_of(0)
    while len(tokens) < len(prompt) + limit and tokens[-1] != end:
        unseen = np.array(tokens[seen:], np.int64)
        logits, *caches = session.run(["logits", *PRESENT], _feed(names, unseen, past))
        past, seen = dict(zip(past, caches, strict=True)), len(tokens)
        tokens.append(int(logits[0, row].argmax()))
    return tokens[len(prompt) :]


_WHOLE = _loop(PracticeSession(WITHOUT_POSITIONS), PROMPT, LIMIT, VOCAB)
_END = next(token for token in _WHOLE[2:] if token not in _WHOLE[:2])
_UNUSED = next(token for token in range(VOCAB) if token not in _WHOLE)
_ENOUGH = len(PROMPT) + LIMIT - 1  # nobody needs what follows the last token


def _ask(decode: Callable[..., Any], small: Sequence[str], end: int) -> dict[str, Any]:
    """Return the tokens that a loop makes, and how many it fed for them."""
    session = PracticeSession(small)
    tokens = list(decode(session, PROMPT.copy(), LIMIT, end))
    return {"tokens": tokens, "fed": session.num_fed}


def _first_wrong(t: Attempt) -> dict[str, int]:
    pairs = enumerate(zip(t.mine, t.wanted, strict=False), start=1)
    wrong = [(place, *pair) for place, pair in pairs if pair[0] != pair[1]]
    first = (*wrong, (0, 0, 0))[0]  # or the lengths differ, and no token does
    return dict(zip(("place", "token", "right_token"), first, strict=True))


check_decode = Exercise(
    texts_of("decode_loop.decode"),
    right=_loop,
    cases=[
        (WITHOUT_POSITIONS, _UNUSED),
        (WITHOUT_POSITIONS, _END),
        (WITH_POSITIONS, _UNUSED),
    ],
    ask=_ask,
    same=lambda given, right: (
        given["tokens"] == right["tokens"] and given["fed"] <= _ENOUGH + 1
    ),
    also=_first_wrong,
    hints={
        "feeds_too_much": When(lambda t: t.given["fed"] > _ENOUGH + 1),
        "drops_the_end_token": When(lambda t: [*t.mine, t.end] == t.wanted),
        "goes_on_after_the_end": (
            lambda session, prompt, limit, _: _loop(session, prompt, limit, VOCAB)
        ),
        "returns_the_prompt_too": lambda *given: [*given[1], *_loop(*given)],
        "has_another_length": When(lambda t: not t.place),
        "reads_the_first_row": partial(_loop, row=0),
    },
)
