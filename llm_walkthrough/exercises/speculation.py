"""Exercises of notebook 11: the guesses that are kept, a guesser, how many to make.

Pure functions of small arrays and lists. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from llm_walkthrough.arrays import LogitsRows
from llm_walkthrough.exercises.exercise import Exercise, texts_of
from llm_walkthrough.exercises.when import When


def _kept(rows: LogitsRows, guess: Sequence[int]) -> int:
    pairs = zip(rows.argmax(axis=-1).tolist(), guess, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _matches(rows: LogitsRows, guess: Sequence[int]) -> int:
    """Count right guesses, those behind a wrong one included."""
    return int(sum(rows[: len(guess)].argmax(axis=-1) == guess))


_ROWS = np.eye(9, dtype=np.float32)[[4, 7, 2, 2, 5]]  # these are the likeliest tokens

check_kept = Exercise(
    texts_of("speculation.kept"),
    right=_kept,
    cases=[
        (_ROWS, guess)
        for guess in ([4, 7, 1, 2], [4, 7, 2, 2], [5, 7, 2, 2], [7, 2, 2, 5], [4, 7])
    ],
    hints={
        "counts_what_is_behind": _matches,
        "counts_one_more": When(lambda t: t.given == t.right + 1),
        "reads_the_next_row": lambda rows, guess: _kept(rows[1:], guess),
        "gives_tokens": When(lambda t: np.ndim(t.given)),
    },
)


def _places(tokens: Sequence[int]) -> list[int]:
    """Return where the newest token stood before, the earliest place first."""
    return [i for i, token in enumerate(tokens[:-1]) if token == tokens[-1]]


def _followers(tokens: Sequence[int], which: int, most: int) -> list[int]:
    """Return what followed at one of these places."""
    places = _places(tokens)
    return list(tokens[places[which] + 1 :][:most]) if places else []


check_guesses = Exercise(
    texts_of("speculation.guesses"),
    right=lambda tokens, most: _followers(tokens, -1, most),
    cases=[
        ([5, 8, 2, 5, 3, 9, 4, 5], 2),
        ([5, 8, 2, 5, 3, 9, 4, 5], 3),
        ([1, 2, 3], 4),
        ([7, 6, 7], 4),
    ],
    hints={
        "finds_itself": lambda *_: [],
        "takes_the_first": lambda tokens, most: _followers(tokens, 0, most),
        "begins_with_the_token": lambda tokens, most: (
            [tokens[-1], *_followers(tokens, -1, most)][:most] * bool(_places(tokens))
        ),
        "gives_a_number": When(lambda t: np.ndim(t.given) == 0),
        "gives_too_many": When(lambda t: t.num_given > t.most),
        "guesses_something": When(lambda t: t.right == []),
    },
)


def _made(share: float, costs: Sequence[float], first: int = 0) -> np.ndarray:
    """Return how many tokens a run with 0, 1, 2 … guesses makes on average."""
    return np.cumsum(share ** np.arange(len(costs))) - first


check_number = Exercise(
    texts_of("speculation.number"),
    right=lambda share, costs: int(np.argmax(_made(share, costs) / costs)),
    cases=[
        (0.5, [1.0, 1.1, 1.3, 1.5, 1.7]),
        (0.9, [1.0, 1.1, 1.2, 1.6, 2.2]),
        (0.1, [1.0, 1.2, 1.4, 1.6, 1.8]),
    ],
    hints={
        "gives_no_count": When(lambda t: np.ndim(t.given) or t.given % 1),
        "subtracts_the_cost": lambda p, costs: np.argmax(_made(p, costs) - costs),
        "ignores_the_cost": lambda p, costs: np.argmax(_made(p, costs)),
        "forgets_the_free_token": lambda p, costs: np.argmax(
            _made(p, costs, 1) / costs
        ),
        "is_one_more": lambda p, costs: np.argmax(_made(p, costs) / costs) + 1,
        "never_guesses": lambda *_: 0,
        "takes_all_for_sure": lambda p, costs: np.argmax(
            (1 + p * np.arange(len(costs))) / costs
        ),
    },
)
