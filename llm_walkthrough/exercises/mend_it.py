"""Exercises of notebook 10: the parts of a decode loop, each handed out with its fault.

A part is tried in the learner's own loop on the real model, with all other parts right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np

from llm_walkthrough.exercises.exercise import Exercise, ExerciseOn, texts_of
from llm_walkthrough.exercises.sampling import penalty_each_time
from llm_walkthrough.mending import RIGHT, SMALL, WRONG, Decoded, Part, parts

TEXTS = {name: texts_of(f"mend_it.{name}") for name in RIGHT}
Loop = Callable[[SimpleNamespace], Decoded]


def _is_same(mine: Decoded, right: Decoded) -> bool:
    told = [(one.tokens, one.text, round(one.claimed)) for one in (mine, right)]
    return told[0] == told[1] and max(mine.moves(right)) < SMALL


def _check(name: str, **typical: Part) -> ExerciseOn:
    """Make the exercise on one part, with what else is often written in its place."""

    def make(loop: Loop) -> Exercise:
        return Exercise(
            replace(TEXTS[name], case="{effect} "),
            right=RIGHT[name],
            cases=[()],
            ask=cache(lambda part: vars(loop(parts(**{name: part})))),
            same=lambda given, right: _is_same(Decoded(**given), Decoded(**right)),
            also=lambda t: {"effect": Decoded(**t.given).effect(Decoded(**t.right))},
            hints={"is_as_found": WRONG[name], **typical},
        )

    return ExerciseOn(make)


check_encode = _check(
    "encode",
    adds_the_end=lambda own, chat: own.encode(f"{chat}<|im_end|>").tolist(),
    adds_the_start=lambda own, chat: own.encode(f"<|im_start|>{chat}").tolist(),
)
check_past = _check("past", has_a_row=lambda ports, _: WRONG["past"](ports, 1))
check_mask = _check(
    "mask", covers_new_only=lambda _, new, __: np.ones((1, new), np.int64)
)
check_positions = _check(
    "positions",
    is_one_early=lambda cached, new: np.arange(new)[None] + max(cached - 1, 0),
)
check_carry = _check(
    "carry",
    swaps_key_and_value=lambda past, outputs: {
        past[i ^ 1]: array
        for i, array in enumerate(RIGHT["carry"](past, outputs).values())
    },
)
check_cut = _check(
    "cut", keeps_the_newest=lambda array, head, tail: array[:, :, -head - tail :]
)
check_penalise = _check("penalise", counts_how_often=penalty_each_time)
check_reshape = _check(
    "reshape",
    forgets_temperature=lambda logits, _, p: RIGHT["reshape"](logits, 1, p),
    forgets_top_p=lambda logits, t, _: RIGHT["reshape"](logits, t, 1),
)
check_is_end = _check("is_end")
check_stream = _check(
    "stream", decodes_alone=lambda own, tokens: [own.decode([x]) for x in tokens]
)
check_speed = _check("speed", is_upside_down=lambda made, _, seconds: seconds / made)
