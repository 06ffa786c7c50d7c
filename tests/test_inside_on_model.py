"""What is seen inside the real model, in both variants."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy_forward import NumpyModel

from llm_walkthrough.catalogue import fetch_gguf, find
from llm_walkthrough.inside import Inside
from llm_walkthrough.model import open_model
from llm_walkthrough.tokenizer import open_tokenizer

pytestmark = pytest.mark.model

CAPITALS = "The capital of France is Paris. The capital of Italy is"
TEXTS = [
    CAPITALS,
    "The quick brown fox jumps over the lazy dog, and then",
    "It was the best of times, it was the worst of times, it was the age of",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "SELECT name, price FROM products WHERE price > 100 ORDER BY",
    "<html><head><title>Welcome</title></head><body><h1>",
    "Le chat est assis sur la table et regarde",
    "Die Katze sitzt auf dem Tisch und wartet auf",
    "日本語の文章を書くことは",
    "1, 1, 2, 3, 5, 8, 13, 21, 34,",
    "12 * 12 = 144, 13 * 13 = 169, 14 * 14 =",
    "<|im_start|>user\nHow do I boil an egg?<|im_end|>\n<|im_start|>assistant\n",
]
both = pytest.mark.parametrize("variant", ["int4", "float32"])


@cache
def opened(variant: str) -> Inside:
    return Inside(open_model(find(f"smollm2-135m-instruct-{variant}")))


def encode(text: str) -> np.ndarray:
    return open_tokenizer(find("smollm2-135m-instruct-int4")).encode(text)


def test_attention_is_that_of_an_independent_implementation() -> None:
    oracle = NumpyModel(fetch_gguf("smollm2-135m-instruct"))
    for text in TEXTS:
        look = opened("float32").look(encode(text))
        for layer, weights in enumerate(oracle.attention_weights(encode(text))):
            np.testing.assert_allclose(look.weights(layer), weights, atol=1e-4, rtol=0)


@both
def test_looking_changes_no_bit_and_weights_times_values_are_what_heads_hand_on(
    variant: str,
) -> None:
    inside, model = opened(variant), opened(variant).model
    for text in TEXTS:
        tokens = encode(text)
        expected, full = model.run(tokens, model.new_cache(64))
        look = inside.look(tokens, off=[])
        np.testing.assert_array_equal(look.logits, expected)
        past = full.truncated(len(tokens) - 1)
        newest = inside.look(tokens[-1:], past)
        np.testing.assert_array_equal(newest.logits, model.run(tokens[-1:], past)[0])
        for layer in range(30):
            mixed = look.weights(layer) @ np.repeat(look.values[layer], 3, axis=0)
            np.testing.assert_allclose(mixed, look.mixed[layer], atol=1e-4, rtol=0)


@both
def test_the_lens_ends_in_the_logits_and_the_attribution_in_their_difference(
    variant: str,
) -> None:
    most = {"int4": 0.3, "float32": 1e-3}[variant]
    for text in TEXTS:
        look = opened(variant).look(encode(text))
        np.testing.assert_allclose(look.lens()[-1], look.logits[-1], atol=1e-3, rtol=0)
        second, first = np.argsort(look.logits[-1])[-2:]
        shares = look.attribution(int(first), int(second))
        parts = shares.heads.sum() + shares.mlps.sum() + shares.embedding
        gap = look.logits[-1, first] - look.logits[-1, second]
        assert parts + shares.rest == pytest.approx(gap, abs=1e-3)
        assert abs(shares.rest) < most


@both
def test_rome_is_known_only_after_the_last_layer(variant: str) -> None:
    rows = opened(variant).look(encode(CAPITALS)).lens()
    [rome] = encode(" Rome")
    assert [int(row.argmax()) == rome for row in rows[-4:]] == [False] * 3 + [True]


@pytest.mark.skipif(sys.platform != "linux", reason="private memory is read from /proc")
@both
def test_a_look_that_need_not_be_exact_takes_less_than_300_megabytes(
    variant: str,
) -> None:
    tokens = encode(" ".join(TEXTS) * 3)[:500]
    model = opened(variant).model
    expected, cache = model.run(tokens, model.new_cache(500))
    before = private_megabytes()
    inside = Inside(model, is_exact=False)
    look = inside.look(tokens[-1:], cache.truncated(499))
    assert look.lens().shape == (31, model.vocab)
    assert private_megabytes() - before < 300
    if variant == "float32":
        np.testing.assert_allclose(look.logits, expected[-1:], atol=1e-3)


def private_megabytes() -> float:
    """Return what this process has written to, and shares with no other."""
    rolled = Path("/proc/self/smaps_rollup").read_text("ascii")
    found = re.search(r"^Private_Dirty: +(\d+) kB$", rolled, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1e3
