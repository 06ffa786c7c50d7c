"""What is stored of the cost of int4 is whole, and its measure is right."""

from __future__ import annotations

import json
from math import log
from pathlib import Path

import numpy as np
import pytest

from benchmarks.int4_cost import REQUESTS, kl

STORED = Path(__file__).parents[2] / "docs" / "int4_cost.json"


def test_kl_is_that_of_the_definition_and_0_for_the_same() -> None:
    even, odd = (np.log(np.array([p], np.float32)) for p in ([0.5, 0.5], [0.25, 0.75]))
    assert kl(even, even) == [0]
    (found,) = kl(even, odd)
    assert found == pytest.approx(0.5 * log(2) + 0.5 * log(2 / 3), abs=1e-6)


def test_a_token_without_a_chance_adds_nothing() -> None:
    certain, even = np.array([[0, -np.inf]]), np.zeros((1, 2))
    assert kl(certain, even) == [pytest.approx(log(2))]


def test_both_variants_are_stored_for_every_request() -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert tuple(stored["requests"]) == REQUESTS
    assert stored["variants"].keys() == {"ours", "model builder"}
    for variant in stored["variants"].values():
        assert len(variant["first_difference"]) == len(REQUESTS)
        assert 0 < variant["mean_kl"] < variant["worst_kl"]
