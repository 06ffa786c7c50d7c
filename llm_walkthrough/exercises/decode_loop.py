"""Is the learner's decode loop right, and if not, which typical mistake is it?

The loop is tried on a practice session whose sizes, ports and their order differ from
those of the course's model, so that only what holds for any decoder passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.branch import Run
from llm_walkthrough.exercises.practice_session import (
    HEAD_DIM,
    KV_HEADS,
    PAST,
    VOCAB,
    PracticeSession,
    continuation,
    mistake_in,
)
from llm_walkthrough.exercises.verdict import Verdict, called, first_failing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llm_walkthrough.arrays import KeyOrValue, TokenIds

    Feed = Callable[[Sequence[str], TokenIds, Mapping[str, KeyOrValue]], object]
    Speed = Callable[[Sequence[Run]], float]
    Decode = Callable[[PracticeSession, TokenIds, int, int], Sequence[int]]

WITHOUT_POSITIONS = ("input_ids", "attention_mask")
WITH_POSITIONS = (*WITHOUT_POSITIONS, "position_ids")
PROMPT = np.array([5, 11, 2, 40], dtype=np.int64)
LIMIT = 8


# --- the dictionary ---------------------------------------------------------------
def check_feed(my_feed: Feed) -> Verdict:
    """Judge a function of input names, unseen tokens and past that returns a feed."""
    tests = (_feed_of_prefill, _feed_of_decode, _feed_with_positions)
    praise = "Prefill, decode and a graph that wants positions get what they need."
    return first_failing(my_feed, tests, praise)


def _feed_of_prefill(my_feed: Feed) -> str | None:
    return _mistake(my_feed, WITHOUT_POSITIONS, PROMPT, 0)


def _feed_of_decode(my_feed: Feed) -> str | None:
    return _mistake(my_feed, WITHOUT_POSITIONS, PROMPT[:1], 7)


def _feed_with_positions(my_feed: Feed) -> str | None:
    return _mistake(my_feed, WITH_POSITIONS, PROMPT[:2], 5)


def _mistake(
    my_feed: Feed, small: tuple[str, ...], unseen: TokenIds, length: int
) -> str | None:
    past = {n: np.ones((1, KV_HEADS, length, HEAD_DIM), np.float32) for n in PAST}
    names = [port.name for port in PracticeSession(small).get_inputs()]
    mistake = mistake_in(called(my_feed, names, unseen.copy(), past), names)
    if mistake is None:
        return None
    return f"With {len(unseen)} unseen tokens after {length} in the past, {mistake}."


# --- counting honestly ------------------------------------------------------------
def check_speed(my_speed: Speed) -> Verdict:
    """Judge a function of runs that returns the tokens per second of decoding."""
    tests = (_speed_after_one_prefill, _speed_after_chunks)
    praise = "Only runs of one token count, with their own time."
    return first_failing(my_speed, tests, praise)


def _speed_after_one_prefill(my_speed: Speed) -> str | None:
    runs = _runs((40, 0.5), (1, 0.02), (1, 0.03), (1, 0.05))
    return _speed_hint(my_speed, runs)


def _speed_after_chunks(my_speed: Speed) -> str | None:
    runs = _runs((256, 2.0), (44, 0.5), (1, 0.04), (1, 0.06))
    return _speed_hint(my_speed, runs)


def _runs(*each: tuple[int, float]) -> tuple[Run, ...]:
    starts = np.cumsum([0, *(count for count, _ in each)]).tolist()
    return tuple(
        Run(start, np.zeros(count, np.int64), seconds)
        for start, (count, seconds) in zip(starts, each, strict=False)
    )


def _speed_hint(my_speed: Speed, runs: Sequence[Run]) -> str | None:
    given = float(called(my_speed, runs))
    decode = [run for run in runs if len(run.tokens) == 1]
    seconds = sum(run.seconds for run in decode)
    wanted = len(decode) / seconds
    if np.isclose(given, wanted):
        return None
    whole = sum(run.seconds for run in runs)
    mistakes = {
        1 / wanted: "It gives seconds per token; turn the fraction over.",
        sum(len(run.tokens) for run in runs) / whole: "Tokens of the prompt count too, "
        "and they go through many at a time; leave prefill out.",
        len(runs) / whole: "The time of prefill is in it; leave that run out.",
        len(decode) / whole: "The time of prefill is in it; leave that run out.",
        len(runs) / seconds: "The run of prefill is counted, though its time is not.",
        float(np.mean([1 / run.seconds for run in decode])): "A mean of speeds lets "
        "the fast runs count too much; divide all tokens by all seconds.",
        _speed_after_first(runs): "A long prompt goes through in several runs, so "
        "prefill may be more than the first of them; how many tokens has each run?",
    }
    for mistaken, hint in mistakes.items():
        if np.isclose(given, mistaken):
            return hint
    return f"It gives {given:.3g} tokens/s for runs that make {wanted:.3g}."


def _speed_after_first(runs: Sequence[Run]) -> float:
    later = runs[1:]
    return sum(len(run.tokens) for run in later) / sum(run.seconds for run in later)


# --- the loop ---------------------------------------------------------------------
def check_decode(my_decode: Decode) -> Verdict:
    """Judge a greedy decode loop.

    It is a function of session, prompt [sequence] int64, max_new_tokens and end_token,
    and returns the new token ids, the end token included.
    """
    tests = (_decodes, _stops_at_the_end_token, _feeds_each_token_once, _any_graph)
    praise = "It decodes with any graph, feeds each token once and stops in time."
    return first_failing(my_decode, tests, praise)


def _decodes(my_decode: Decode) -> str | None:
    session = PracticeSession(WITHOUT_POSITIONS)
    wanted = continuation(PROMPT.tolist(), LIMIT)
    given = _decoded(my_decode, session, _unused(wanted))
    if given == wanted:
        return None
    return _hint_at_feeding(session) or _decode_hint(given, wanted)


def _stops_at_the_end_token(my_decode: Decode) -> str | None:
    whole = continuation(PROMPT.tolist(), LIMIT)
    end = next(token for token in whole[2:] if token not in whole[:2])
    wanted = whole[: whole.index(end) + 1]
    given = _decoded(my_decode, PracticeSession(WITHOUT_POSITIONS), end)
    if given == wanted[:-1]:
        return "The end token is missing; it was made, so it counts and is returned."
    if given[: len(wanted)] == wanted and len(given) > len(wanted):
        return f"It goes on after the end token {end}; stop as soon as it is chosen."
    return _decode_hint(given, wanted)


def _feeds_each_token_once(my_decode: Decode) -> str | None:
    session = PracticeSession(WITHOUT_POSITIONS)
    _decoded(my_decode, session, _unused(continuation(PROMPT.tolist(), LIMIT)))
    return _hint_at_feeding(session)


def _hint_at_feeding(session: PracticeSession) -> str | None:
    enough = len(PROMPT) + LIMIT - 1  # nobody needs what follows the last token
    if session.num_fed <= enough + 1:
        return None
    return (
        f"{session.num_fed} tokens were fed where {enough} are enough: let the cache "
        "come back in, and feed what it has not seen."
    )


def _any_graph(my_decode: Decode) -> str | None:
    session = PracticeSession(WITH_POSITIONS)
    wanted = continuation(PROMPT.tolist(), LIMIT)
    return _decode_hint(_decoded(my_decode, session, _unused(wanted)), wanted)


def _decoded(my_decode: Decode, session: PracticeSession, end: int) -> list[int]:
    given = called(my_decode, session, PROMPT.copy(), LIMIT, end)
    return [int(token) for token in given]


def _unused(tokens: Sequence[int]) -> int:
    return next(i for i in range(VOCAB) if i not in tokens)


def _decode_hint(given: list[int], wanted: list[int]) -> str | None:
    if given == wanted:
        return None
    if given[: len(PROMPT)] == PROMPT.tolist():
        return "The prompt is in it too; return the new tokens only."
    if given[: len(wanted)] == wanted or given == wanted[: len(given)]:
        return (
            f"It returns {len(given)} tokens where {len(wanted)} are wanted; count how "
            "often the loop chooses one."
        )
    if given and given[0] == continuation(PROMPT[:1].tolist(), 1)[0]:
        return (
            "The first token is what follows the first token of the prompt: logits "
            "have a row for each token that was fed, and only the last row is news."
        )
    place = next(i for i, token in enumerate(wanted) if given[i : i + 1] != [token])
    return (
        f"New token {place + 1} of {len(wanted)} is wrong: {given[place]} instead of "
        f"{wanted[place]}. Does every array of the cache come back as its own past?"
    )
