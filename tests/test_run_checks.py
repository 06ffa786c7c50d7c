"""What is said of tokens that cannot be run, and of logits that cannot be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_graph import CONTEXT, VOCAB, write_model

from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import Graph, read_graph
from llm_walkthrough.kv_cache import GrownCache
from llm_walkthrough.run_checks import (
    check_capacity,
    check_grown,
    check_logits,
    check_tokens,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    folder: Path = tmp_path_factory.mktemp("model")
    return read_graph(write_model(folder))


def cache(length: int, capacity: int = CONTEXT) -> GrownCache:
    return GrownCache({"key": np.zeros((1, 2, length, 16), np.float32)}, capacity)


@pytest.mark.parametrize("capacity", [1, CONTEXT])
def test_a_capacity_within_the_context_is_accepted(graph: Graph, capacity: int) -> None:
    check_capacity(graph, capacity)


@pytest.mark.parametrize("capacity", [0, -1, CONTEXT + 1])
def test_a_capacity_outside_the_context_is_named(graph: Graph, capacity: int) -> None:
    with pytest.raises(InputError, match=f"the context of 96, got {capacity};"):
        check_capacity(graph, capacity)


def test_no_token_is_refused(graph: Graph) -> None:
    with pytest.raises(InputError, match="there is no token to run"):
        check_tokens(graph, np.empty(0, np.int64), cache(0))


@pytest.mark.parametrize("token", [-1, VOCAB, 10**12])
def test_an_id_outside_the_vocabulary_is_named(graph: Graph, token: int) -> None:
    with pytest.raises(InputError, match=f"token id {token} is not in 0 … 63"):
        check_tokens(graph, np.array([5, token, 6]), cache(0))


@pytest.mark.parametrize("tokens", [[1.5], [True], [[1, 2]], ["a"]])
def test_what_is_no_row_of_ids_is_refused(graph: Graph, tokens: list[object]) -> None:
    with pytest.raises(InputError, match="whole numbers in one row, got "):
        check_tokens(graph, np.array(tokens), cache(0))


def test_as_many_tokens_fit_as_the_cache_has_room_for(graph: Graph) -> None:
    check_tokens(graph, np.zeros(3, np.int64), cache(7, capacity=10))
    with pytest.raises(InputError, match="11 tokens do not fit into 10"):
        check_tokens(graph, np.zeros(4, np.int64), cache(7, capacity=10))


def test_a_cache_that_drops_tokens_is_refused(graph: Graph) -> None:
    check_grown(graph, np.zeros(2, np.int64), cache(5), cache(7))
    with pytest.raises(InputError, match=r"keeps 5 of 7 tokens; .* sliding window"):
        check_grown(graph, np.zeros(2, np.int64), cache(5), cache(5))


def test_logits_for_another_vocabulary_are_refused(graph: Graph) -> None:
    with pytest.raises(InputError, match=r"shape \(2, 10\), wanted \(2, 64\)"):
        check_logits(graph, np.zeros(2, np.int64), np.zeros((2, 10), np.float32))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_with_a_number_that_is_none_are_refused(
    graph: Graph, wrong: float
) -> None:
    logits = np.zeros((2, VOCAB), np.float32)
    logits[-1, 9] = wrong
    with pytest.raises(InputError, match="the logits hold NaN or infinity"):
        check_logits(graph, np.zeros(2, np.int64), logits)


def test_minus_infinity_for_some_tokens_is_accepted(graph: Graph) -> None:
    logits = np.zeros((1, VOCAB), np.float32)
    logits[0, 1:] = -np.inf
    check_logits(graph, np.zeros(1, np.int64), logits)
