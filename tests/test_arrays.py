from __future__ import annotations

import jaxtyping
import numpy as np
import pytest
from toy_model import GrownToy

from llm_walkthrough import arrays
from llm_walkthrough.stepper import Stepper

PROMPT = np.array([3, 1, 4])


def fits(array: object, name: str) -> bool:
    """Tell whether an array has the type and axes that one of our names says."""
    known = {**vars(jaxtyping), "np": np}
    return isinstance(array, eval(getattr(arrays, name), known))  # noqa: S307 - our own


def test_what_the_stepper_returns_is_what_the_names_promise() -> None:
    stepper = Stepper(GrownToy(), PROMPT)
    stepper.step()
    assert fits(stepper.tokens, "TokenIds")
    assert fits(stepper.logits, "Logits")
    assert fits(stepper.probabilities, "Probabilities")
    held = stepper.cache.arrays().values()
    assert all(fits(array, "KeyOrValue") for array in held)
    rows, _ = GrownToy().run(PROMPT, GrownToy().new_cache())
    assert fits(rows, "LogitsRows")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("TokenIds", np.zeros(3, np.int32)),
        ("TokenIds", np.zeros((1, 3), np.int64)),
        ("Logits", np.zeros(3, np.float64)),
        ("Logits", np.zeros((1, 3), np.float32)),
        ("LogitsRows", np.zeros(3, np.float32)),
        ("Probabilities", np.zeros(3, np.float32)),
        ("TokenMask", np.zeros(3, np.uint8)),
        ("KeyOrValue", np.zeros((3, 0, 64), np.float32)),
        ("KeyOrValue", np.zeros((1, 3, 0, 64), np.int8)),
    ],
)
def test_a_name_fits_no_other_type_or_number_of_axes(name: str, wrong: object) -> None:
    assert not fits(wrong, name)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_cache_may_be_of_half_or_single_precision(dtype: type) -> None:
    assert fits(np.zeros((1, 3, 0, 64), dtype), "KeyOrValue")
