"""Exercises of notebook 12: one BOS, and an honest rate.

Pure functions of ids and times. Knows nothing of models.
"""

from __future__ import annotations

import numpy as np

from llm_walkthrough.exercises.exercise import Exercise, texts_of

check_one_bos = Exercise(
    texts_of("your_model.one_bos"),
    right=lambda ids, bos: [bos, *(one for one in ids if one != bos)],
    cases=[
        ([1, 733, 16], 1),
        ([733, 16], 1),
        ([1, 1, 733], 1),
        ([7, 0, 9], 0),
        ([], 5),
    ],
    hints={
        "adds_one_more": lambda ids, bos: [bos, *ids],
        "adds_none": lambda ids, bos: [one for one in ids if one != bos],
        "leaves_it_as_it_is": lambda ids, _bos: ids,
    },
)

check_rate = Exercise(
    texts_of("your_model.rate"),
    right=lambda times: (len(times) - 1) / (times[-1] - times[0]),
    cases=[([2.0, 2.25, 3.0],), ([10.0, 10.25, 10.5, 10.75, 11.0],), ([0.5, 0.75],)],
    hints={
        "counts_the_prompts_token": lambda times: len(times) / (times[-1] - times[0]),
        "counts_the_prefill": [
            lambda times: len(times) / times[-1],
            lambda times: (len(times) - 1) / times[-1],
        ],
        "averages_the_rates": lambda times: np.mean(1 / np.diff(times)),
        "is_turned_round": lambda times: (times[-1] - times[0]) / (len(times) - 1),
    },
)
