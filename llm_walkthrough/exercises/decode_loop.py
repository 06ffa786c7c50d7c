"""Exercises of notebook 06: the dictionary, counting honestly, the decode loop.

The loop is tried on a practice session whose sizes, ports and their order differ from
those of the course's model, so that only what holds for any decoder passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from llm_walkthrough.arrays import KeyOrValue, TokenIds
from llm_walkthrough.branch import Run
from llm_walkthrough.exercises.exercise import OTHERWISE, Attempt, Exercise, When
from llm_walkthrough.exercises.practice_session import (
    HEAD_DIM,
    KV_HEADS,
    PAST,
    PRESENT,
    VOCAB,
    PracticeSession,
    continuation,
    mistake_in,
)

Arrays = dict[str, np.ndarray]

WITHOUT_POSITIONS = ("input_ids", "attention_mask")
WITH_POSITIONS = (*WITHOUT_POSITIONS, "position_ids")
PROMPT = np.array([5, 11, 2, 40], dtype=np.int64)
LIMIT = 8


# --- the dictionary ---------------------------------------------------------------
def _feed(
    names: Sequence[str], unseen: TokenIds, past: Mapping[str, KeyOrValue]
) -> Arrays:
    length = next(iter(past.values())).shape[2]
    total = length + len(unseen)
    small = {
        "input_ids": unseen[np.newaxis],
        "attention_mask": np.ones((1, total), np.int64),
        "position_ids": np.arange(length, total)[np.newaxis],
    }
    return {name: {**small, **past}[name] for name in names}


def _past(length: int) -> Arrays:
    return {n: np.ones((1, KV_HEADS, length, HEAD_DIM), np.float32) for n in PAST}


check_feed = Exercise(
    task="a function of input names, unseen tokens and past that returns a feed",
    right=_feed,
    cases=[
        ([*PAST, *WITHOUT_POSITIONS], PROMPT, _past(0)),
        ([*PAST, *WITHOUT_POSITIONS], PROMPT[:1], _past(7)),
        ([*PAST, *WITH_POSITIONS], PROMPT[:2], _past(5)),
    ],
    same=lambda given, right: mistake_in(given, list(right)) is None,
    also=lambda t: {
        "length": t.past[PAST[0]].shape[2],
        "mistake": mistake_in(t.given, t.names),
    },
    hints={
        "With {unseen.size} unseen tokens after {length} in the past, "
        "{mistake}.": OTHERWISE,
    },
    praise="Prefill, decode and a graph that wants positions get what they need.",
)


# --- counting honestly ------------------------------------------------------------
def _runs(*each: tuple[int, float]) -> tuple[Run, ...]:
    starts = np.cumsum([0, *(count for count, _ in each)]).tolist()
    return tuple(
        Run(start, np.zeros(count, np.int64), seconds)
        for start, (count, seconds) in zip(starts, each, strict=False)
    )


def _decode(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if len(run.tokens) == 1]


def _seconds(runs: Sequence[Run]) -> float:
    return sum(run.seconds for run in runs)


def _num_tokens(runs: Sequence[Run]) -> int:
    return sum(len(run.tokens) for run in runs)


check_speed = Exercise(
    task="a function of runs that returns the tokens per second of decoding",
    right=lambda runs: len(_decode(runs)) / _seconds(_decode(runs)),
    cases=[
        (_runs((40, 0.5), (1, 0.02), (1, 0.03), (1, 0.05)),),
        (_runs((256, 2.0), (44, 0.5), (1, 0.04), (1, 0.06)),),
    ],
    hints={
        "It gives seconds per token; turn the fraction over.": (
            lambda runs: _seconds(_decode(runs)) / len(_decode(runs))
        ),
        "Tokens of the prompt count too, and they go through many at a time; leave "
        "prefill out.": lambda runs: _num_tokens(runs) / _seconds(runs),
        "The time of prefill is in it; leave that run out.": [
            lambda runs: len(runs) / _seconds(runs),
            lambda runs: len(runs[1:]) / _seconds(runs),
            lambda runs: len(_decode(runs)) / _seconds(runs),
        ],
        "The run of prefill is counted, though its time is not.": [
            lambda runs: len(runs) / _seconds(runs[1:]),
            lambda runs: len(runs) / _seconds(_decode(runs)),
        ],
        "A mean of speeds lets the fast runs count too much; divide all tokens by all "
        "seconds.": [
            lambda runs: np.mean([1 / run.seconds for run in runs[1:]]),
            lambda runs: np.mean([1 / run.seconds for run in _decode(runs)]),
        ],
        "A long prompt goes through in several runs, so prefill may be more than the "
        "first of them; how many tokens has each run?": [
            lambda runs: _num_tokens(runs[1:]) / _seconds(runs[1:]),
            lambda runs: len(runs[1:]) / _seconds(runs[1:]),
        ],
        "It gives {given:.3g} tokens/s for runs that make {right:.3g}.": OTHERWISE,
    },
    praise="Only runs of one token count, with their own time.",
)


# --- the loop ---------------------------------------------------------------------
def _loop(
    session: PracticeSession, prompt: TokenIds, limit: int, end: int, row: int = -1
) -> list[int]:
    names = [port.name for port in session.get_inputs()]
    tokens: list[int] = prompt.tolist()
    seen, past = 0, _past(0)
    while len(tokens) < len(prompt) + limit and tokens[-1] != end:
        unseen = np.array(tokens[seen:], np.int64)
        logits, *caches = session.run(["logits", *PRESENT], _feed(names, unseen, past))
        past, seen = dict(zip(past, caches, strict=True)), len(tokens)
        tokens.append(int(logits[0, row].argmax()))
    return tokens[len(prompt) :]


_WHOLE = continuation(PROMPT.tolist(), LIMIT)
_END = next(token for token in _WHOLE[2:] if token not in _WHOLE[:2])
_UNUSED = next(token for token in range(VOCAB) if token not in _WHOLE)
_ENOUGH = len(PROMPT) + LIMIT - 1  # nobody needs what follows the last token


def _ask(decode: Callable[..., Any], small: Sequence[str], end: int) -> dict[str, Any]:
    """Return the tokens that a loop makes, and how many it fed for them."""
    session = PracticeSession(small)
    tokens = list(decode(session, PROMPT.copy(), LIMIT, end))
    return {"tokens": tokens, "fed": session.num_fed}


def _made(t: Attempt) -> dict[str, Any]:
    made, wanted = t.given["tokens"], t.right["tokens"]
    differs = [i for i, token in enumerate(wanted) if made[i : i + 1] != [token]]
    place = (*differs, 0)[0]
    return {
        "made": made,
        "wanted": wanted,
        "num_made": len(made),
        "num_wanted": len(wanted),
        "place": place + 1,
        "token": (*made, "none")[min(place, len(made))],
        "right_token": wanted[place],
        "fed": t.given["fed"],
        "enough": _ENOUGH,
    }


check_decode = Exercise(
    task="a function (session, prompt, max_new_tokens, end_token) -> the new tokens",
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
    also=_made,
    hints={
        "{fed} tokens were fed where {enough} are enough: let the cache come back in, "
        "and feed what it has not seen.": When(lambda t: t.fed > t.enough + 1),
        "The end token is missing; it was made, so it counts and is returned.": When(
            lambda t: t.end == t.wanted[-1] and t.made == t.wanted[:-1]
        ),
        "It goes on after the end token {end}; stop as soon as it is chosen.": (
            lambda session, prompt, limit, _: _loop(session, prompt, limit, VOCAB)
        ),
        "The prompt is in it too; return the new tokens only.": (
            lambda session, prompt, *rest: [*prompt, *_loop(session, prompt, *rest)]
        ),
        "It returns {num_made} tokens where {num_wanted} are wanted; count how often "
        "the loop chooses one.": When(
            lambda t: t.made[: t.num_wanted] == t.wanted[: t.num_made]
        ),
        "The first token is what follows the first token of the prompt: logits have a "
        "row for each token that was fed, "
        "and only the last row is news.": partial(_loop, row=0),
        "New token {place} of {num_wanted} is wrong: {token} instead of {right_token}. "
        "Does every array of the cache come back as its own past?": OTHERWISE,
    },
    praise="It decodes with any graph, feeds each token once and stops in time.",
)
