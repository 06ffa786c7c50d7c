"""Tests of the checks of notebook 04: solutions pass, typical mistakes get a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llm_walkthrough.exercises.kv_cache import (
    check_cache_bytes,
    check_cut_back,
    check_kv_head_of,
    check_small_feed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_walkthrough.arrays import KeyOrValue, TokenIds
    from llm_walkthrough.exercises.verdict import Verdict

    Arrays = dict[str, np.ndarray]


def stub(*_arguments: object) -> Any:  # noqa: ANN401 - stands for every answer
    ...


@pytest.mark.parametrize(
    "check", [check_cache_bytes, check_kv_head_of, check_small_feed, check_cut_back]
)
def test_an_exercise_as_handed_out_is_not_answered(
    check: Callable[[object], Verdict],
) -> None:
    assert check(stub).is_right is None


# --- bytes ------------------------------------------------------------------------


def test_bytes_of_keys_and_values_of_all_layers_are_right() -> None:
    def answer(layers: int, heads: int, dim: int, length: int, size: int) -> int:
        return layers * 2 * heads * length * dim * size

    assert check_cache_bytes(answer).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda n, k, d, t, b: n * k * d * t * b, "besides the keys"),
        (lambda n, k, d, t, _b: 2 * n * k * d * t, "not bytes"),
        (lambda n, k, d, _t, b: 2 * n * k * d * b, "one token"),
        (lambda _n, k, d, t, b: 2 * k * d * t * b, "one layer"),
        (lambda n, _k, d, t, b: 2 * n * d * t * b, "one head"),
        (lambda n, k, _d, t, b: 2 * n * k * t * b, "not one number"),
        (lambda n, k, d, t, b: 4 * n * k * d * t * b, "two times"),
        (lambda n, k, d, t, b: 2 * n * k * d * t * b + 1, "axes"),
    ],
)
def test_what_is_missing_in_the_bytes_is_named(
    answer: Callable[[int, int, int, int, int], int], word: str
) -> None:
    verdict = check_cache_bytes(answer)
    assert verdict.is_right is False
    assert word in verdict.message


# --- grouped heads ----------------------------------------------------------------


def test_neighbouring_query_heads_share_a_kv_head() -> None:
    assert check_kv_head_of(lambda head, q, kv: head // (q // kv)).is_right
    assert check_kv_head_of(lambda head, q, kv: head * kv // q).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda head, _q, kv: head % kv, "take turns"),
        (lambda head, q, kv: head / (q // kv), "rounds down"),
        (lambda head, _q, kv: head // kv, "not as the number of kv heads"),
        (lambda head, _q, _kv: head, "no kv head 8"),
        (lambda _head, _q, _kv: 0, "query head 3"),
    ],
)
def test_a_wrong_kv_head_gets_its_hint(
    answer: Callable[[int, int, int], int], word: str
) -> None:
    verdict = check_kv_head_of(answer)
    assert verdict.is_right is False
    assert word in verdict.message


# --- the feed ---------------------------------------------------------------------


def feed(tokens: TokenIds, length: int) -> Arrays:
    return {
        "input_ids": tokens[np.newaxis, length:],
        "attention_mask": np.ones((1, len(tokens)), np.int64),
    }


def with_ids(start: Callable[[int], int]) -> Callable[[TokenIds, int], Arrays]:
    def answer(tokens: TokenIds, length: int) -> Arrays:
        ids = tokens[np.newaxis, start(length) :]
        return feed(tokens, length) | {"input_ids": ids}

    return answer


def with_mask(
    width: Callable[[int, int], int], kind: type = np.int64
) -> Callable[[TokenIds, int], Arrays]:
    def answer(tokens: TokenIds, length: int) -> Arrays:
        mask: np.ndarray = np.ones((1, width(len(tokens), length)), kind)
        return feed(tokens, length) | {"attention_mask": mask}

    return answer


def test_unseen_tokens_with_a_mask_over_past_and_new_are_right() -> None:
    assert check_small_feed(feed).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (with_ids(lambda _length: 0), "feed only the others"),
        (with_ids(lambda length: -1 if length else 0), "more of them are unseen"),
        (with_mask(lambda _total, length: length), "covers the past only"),
        (with_mask(lambda total, length: total - length), "new tokens only"),
        (with_mask(lambda total, _length: total - 1), "1 too short"),
        (with_mask(lambda total, _length: total + 1), "1 too long"),
        (with_mask(lambda total, _length: total, np.float32), "wants int64"),
        (lambda tokens, _length: {"input_ids": tokens[np.newaxis]}, "a dictionary"),
        (
            lambda tokens, length: {n: a[0] for n, a in feed(tokens, length).items()},
            "the batch",
        ),
        (
            lambda tokens, length: {
                n: a.tolist() for n, a in feed(tokens, length).items()
            },
            "must be an array",
        ),
        (
            lambda tokens, length: {n: 0 * a for n, a in feed(tokens, length).items()},
            "which tokens",
        ),
        (
            lambda tokens, length: (
                feed(tokens, length)
                | {"attention_mask": np.zeros((1, len(tokens)), np.int64)}
            ),
            "hides",
        ),
    ],
)
def test_a_wrong_feed_gets_its_hint(
    answer: Callable[[TokenIds, int], Arrays], word: str
) -> None:
    verdict = check_small_feed(answer)
    assert verdict.is_right is False
    assert word in verdict.message


# --- the cut ----------------------------------------------------------------------


def slices(cut: Callable[[KeyOrValue, int], KeyOrValue]) -> Callable[..., Arrays]:
    def answer(arrays: Arrays, length: int) -> Arrays:
        return {name: cut(array, length) for name, array in arrays.items()}

    return answer


def test_the_first_tokens_of_every_array_are_right() -> None:
    assert check_cut_back(slices(lambda array, n: array[:, :, :n])).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (slices(lambda array, n: array[:, :n]), "wrong axis: axis 1"),
        (slices(lambda array, n: array[..., :n]), "wrong axis: axis 3"),
        (slices(lambda array, n: array[:, :, 5 - n :]), "last tokens"),
        (slices(lambda array, n: array[:, :, : n - 1]), "3 tokens are left"),
        (slices(lambda array, _n: array), "nothing was cut"),
        (slices(lambda array, n: array[:, :, n]), "an axis was lost"),
        (slices(lambda array, n: 2 * array[:, :, :n]), "rows of other tokens"),
        (lambda arrays, n: list(arrays.values())[:n], "a dictionary"),
    ],
)
def test_a_wrong_cut_gets_its_hint(
    answer: Callable[[Arrays, int], Arrays], word: str
) -> None:
    verdict = check_cut_back(answer)
    assert verdict.is_right is False
    assert word in verdict.message
