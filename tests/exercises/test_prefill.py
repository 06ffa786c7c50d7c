"""Tests of the checks of notebook 03: solutions pass, typical mistakes get a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_graph import GROUPED, write_model

from llm_walkthrough.exercises.prefill import (
    check_feed,
    check_softmax_rows,
    check_surprises,
)
from llm_walkthrough.model import Model, open_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llm_walkthrough.arrays import LogitsRows, TokenIds
    from llm_walkthrough.graph import Graph

    Arrays = dict[str, np.ndarray]
    Change = Callable[[Arrays], Arrays]


# --- the dictionary ---------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder: Path = tmp_path_factory.mktemp("tiny")
    write_model(folder, GROUPED)
    return open_model(folder)


def feed(tokens: TokenIds, graph: Graph) -> Arrays:
    arrays = {
        "input_ids": tokens[np.newaxis],
        "attention_mask": np.ones((1, len(tokens)), np.int64),
    }
    shape = (1, graph.kv_heads, 0, graph.head_dim)
    for port in graph.past:
        arrays[port.name] = np.zeros(shape, graph.cache_dtype)
    return arrays


def with_past(arrays: Arrays, length: int) -> Arrays:
    """Put rows of zeros into every past."""
    past = {
        name: np.zeros((*array.shape[:2], length, array.shape[3]), array.dtype)
        for name, array in arrays.items()
        if name.startswith("past")
    }
    return arrays | past


def changed(name: str, change: Callable[[np.ndarray], object]) -> Change:
    return lambda arrays: {**arrays, name: change(arrays[name])}  # type: ignore[dict-item]


def without(name: str) -> Change:
    return lambda arrays: {key: a for key, a in arrays.items() if key != name}


KEY = "past_key_values.0.key"


def test_the_dictionary_of_the_solution_passes(model: Model) -> None:
    assert check_feed(feed, model).is_right


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (changed("input_ids", lambda a: a[0]), "One axis is missing"),
        (changed("input_ids", lambda a: a.T), "another order"),
        (changed("input_ids", lambda a: a.astype(np.int32)), "int32"),
        (changed("input_ids", lambda a: a.tolist()), "must be an array"),
        (changed("input_ids", lambda a: a[:, ::-1] + 1), "other numbers"),
        (changed("attention_mask", lambda a: a[:, 1:]), "each of 5 tokens"),
        (changed("attention_mask", np.zeros_like), "other numbers"),
        (changed(KEY, lambda a: a.astype(np.float64)), "float64"),
        (changed(KEY, lambda a: a.swapaxes(1, 2)), "another order"),
        (changed(KEY, lambda a: a[0]), "One axis is missing"),
        (without("past_key_values.1.value"), "1 of 6 inputs are missing"),
        (lambda arrays: {**arrays, "position_ids": arrays["input_ids"]}, "no input"),
        (lambda arrays: with_past(arrays, 1), "before the first run"),
        (lambda arrays: with_past(arrays, 5), "before the first run"),
        (lambda arrays: [arrays], "a list"),
        (lambda arrays: arrays["mask"], "KeyError"),
    ],
)
def test_a_wrong_dictionary_gets_its_hint(
    change: Change, word: str, model: Model
) -> None:
    verdict = check_feed(lambda tokens, graph: change(feed(tokens, graph)), model)
    assert verdict.is_right is False
    assert word in verdict.message


def test_a_dictionary_for_one_length_of_prompt_is_not_enough(model: Model) -> None:
    def for_five(tokens: TokenIds, graph: Graph) -> Arrays:
        mask = np.ones((1, 5), np.int64)
        return {**feed(tokens, graph), "attention_mask": mask}

    verdict = check_feed(for_five, model)
    assert verdict.is_right is False
    assert "each of 1 tokens" in verdict.message


# --- softmax ----------------------------------------------------------------------


def softmax_rows(rows: LogitsRows) -> np.ndarray:
    weights = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def naive(rows: LogitsRows) -> np.ndarray:
    with np.errstate(all="ignore"):
        weights = np.exp(rows)
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def over(axis: int | None) -> Callable[[LogitsRows], np.ndarray]:
    def softmax(rows: LogitsRows) -> np.ndarray:
        weights = np.exp(rows - rows.max())
        return np.asarray(weights / weights.sum(axis=axis, keepdims=True))

    return softmax


def test_the_softmax_of_the_solution_passes() -> None:
    assert check_softmax_rows(softmax_rows).is_right


@pytest.mark.parametrize(
    ("mistake", "word"),
    [
        (naive, "overflow"),
        (over(0), "Wrong axis"),
        (over(None), "whole array"),
        (lambda rows: np.exp(rows - rows.max()), "Not normalised"),
        (lambda rows: softmax_rows(rows * np.float32(np.log(2))), "base"),
        (lambda rows: softmax_rows(rows)[0], "shape"),
        (lambda rows: softmax_rows(np.minimum(rows, 50)), "near 1000"),
        (lambda rows: rows.softmax(), "AttributeError"),
    ],
)
def test_a_wrong_softmax_gets_its_hint(
    mistake: Callable[[LogitsRows], np.ndarray], word: str
) -> None:
    verdict = check_softmax_rows(mistake)
    assert verdict.is_right is False
    assert word in verdict.message


# --- surprise ---------------------------------------------------------------------


def surprises(rows: LogitsRows, tokens: TokenIds) -> np.ndarray:
    following = tokens[1:]
    probabilities = softmax_rows(rows)
    return np.asarray(-np.log(probabilities[np.arange(len(following)), following]))


def of_itself(rows: LogitsRows, tokens: TokenIds) -> np.ndarray:
    return np.asarray(-np.log(softmax_rows(rows)[np.arange(len(tokens)), tokens]))


def test_the_surprises_of_the_solution_pass() -> None:
    assert check_surprises(surprises).is_right


def test_surprises_as_a_list_pass() -> None:
    assert check_surprises(lambda rows, tokens: list(surprises(rows, tokens))).is_right


@pytest.mark.parametrize(
    ("mistake", "word"),
    [
        (of_itself, "token i itself"),
        (lambda r, t: of_itself(r, t)[:-1], "token i itself"),
        (lambda r, t: of_itself(r, t)[1:], "token i itself"),
        (lambda r, t: -surprises(r, t), "sign"),
        (lambda r, t: surprises(r, t) / np.log(2), "bits"),
        (lambda r, t: np.exp(-surprises(r, t)), "minus their log"),
        (lambda r, t: -r[np.arange(5), t[1:]], "softmax comes first"),
        (lambda r, t: np.append(surprises(r, t), 0), "first token was not predicted"),
        (lambda r, t: surprises(r, t) + 1, "token i+1"),
        (lambda r, t: surprises(r, t)[:, 0], "IndexError"),
    ],
)
def test_wrong_surprises_get_their_hint(
    mistake: Callable[[LogitsRows, TokenIds], np.ndarray], word: str
) -> None:
    verdict = check_surprises(mistake)
    assert verdict.is_right is False
    assert word in verdict.message
