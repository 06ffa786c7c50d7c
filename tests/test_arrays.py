from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from toy_model import GrownToy

from llm_walkthrough.arrays import (
    KeyOrValue,
    Logits,
    LogitsRows,
    Probabilities,
    TokenIds,
    TokenMask,
)
from llm_walkthrough.stepper import Stepper

PROMPT = np.array([3, 1, 4])


def test_what_the_stepper_returns_is_what_the_names_promise() -> None:
    stepper = Stepper(GrownToy(), PROMPT)
    stepper.step()
    assert isinstance(stepper.tokens, TokenIds)
    assert isinstance(stepper.logits, Logits)
    assert isinstance(stepper.probabilities, Probabilities)
    held = stepper.cache.arrays().values()
    assert all(isinstance(array, KeyOrValue) for array in held)
    rows, _ = GrownToy().run(PROMPT, GrownToy().new_cache())
    assert isinstance(rows, LogitsRows)


@pytest.mark.parametrize(
    ("alias", "wrong"),
    [
        (TokenIds, np.zeros(3, np.int32)),
        (TokenIds, np.zeros((1, 3), np.int64)),
        (Logits, np.zeros(3, np.float64)),
        (Logits, np.zeros((1, 3), np.float32)),
        (LogitsRows, np.zeros(3, np.float32)),
        (Probabilities, np.zeros(3, np.float32)),
        (TokenMask, np.zeros(3, np.uint8)),
        (KeyOrValue, np.zeros((3, 0, 64), np.float32)),
        (KeyOrValue, np.zeros((1, 3, 0, 64), np.int8)),
    ],
)
def test_a_name_fits_no_other_type_or_number_of_axes(
    alias: type, wrong: np.ndarray[Any, Any]
) -> None:
    assert not isinstance(wrong, alias)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_cache_may_be_of_half_or_single_precision(dtype: type) -> None:
    assert isinstance(np.zeros((1, 3, 0, 64), dtype), KeyOrValue)
