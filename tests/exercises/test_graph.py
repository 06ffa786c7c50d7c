"""Tests of notebook 01's checks: right answers pass, mistakes get their hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_folder import write_tiny_folder

from llm_walkthrough.conversion.quantised import Q4Matrix
from llm_walkthrough.exercises.graph import (
    check_dequantise,
    check_input_shapes,
    check_unpack,
)
from llm_walkthrough.graph import Graph, read_graph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Shapes = dict[str, tuple[int | str, ...]]


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return read_graph(write_tiny_folder(tmp_path))


def input_shapes(graph: Graph, cached: int, new: int) -> Shapes:
    past = (1, graph.kv_heads, cached, graph.head_dim)
    lengths = {"token ids": new, "position ids": new, "attention mask": cached + new}
    return {
        p.name: past if p.layer is not None else (1, lengths[p.role])
        for p in graph.inputs
    }


def unpack(packed: np.ndarray) -> np.ndarray:
    return np.stack([packed & 15, packed >> 4], axis=-1).ravel()


def dequantise(codes: np.ndarray, scale: float, offset: float) -> np.ndarray:
    return scale * (codes.astype(np.float32) - 8) + offset


def test_the_solutions_pass(graph: Graph) -> None:
    assert check_input_shapes(input_shapes, graph).is_right
    assert check_unpack(unpack).is_right
    assert check_dequantise(dequantise).is_right


def test_as_handed_out_they_are_not_answered_yet(graph: Graph) -> None:
    def stub(*_arguments: object) -> None: ...

    verdicts = (
        check_input_shapes(stub, graph),
        check_unpack(stub),  # type: ignore[arg-type]
        check_dequantise(stub),  # type: ignore[arg-type]
    )
    for verdict in verdicts:
        assert repr(verdict).startswith("… Not answered yet.")


def test_the_codes_lie_as_the_package_packs_them() -> None:
    """The bytes of a GGUF block, d = 0.5 and m = 3.25, and codes 0 … 15 twice."""
    numbers = np.array([0.5, 3.25], "<f2").view(np.uint8)
    codes = np.arange(32, dtype=np.uint8) % 16
    block = np.concatenate([numbers, codes[:16] | codes[16:] << 4])
    matrix = Q4Matrix.from_blocks(block.reshape(1, 1, 20))
    np.testing.assert_array_equal(unpack(matrix.codes[0, 0]), codes)
    offset = matrix.minimums + 8 * matrix.scales
    weights = dequantise(codes, matrix.scales[0, 0], offset[0, 0])
    np.testing.assert_array_equal(weights, 0.5 * codes + 3.25)


def changed(**shapes: tuple[int | str, ...]) -> Callable[[Graph, int, int], Shapes]:
    """Answer as it should be, apart from these inputs."""
    return lambda graph, cached, new: input_shapes(graph, cached, new) | shapes


def narrow_mask(graph: Graph, cached: int, new: int) -> Shapes:
    return input_shapes(graph, cached, new) | {"attention_mask": (1, new)}


def longer_past(graph: Graph, cached: int, new: int) -> Shapes:
    past = {p.name: (1, p.shape[1], cached + new, p.shape[3]) for p in graph.past}
    return input_shapes(graph, cached, new) | past


def turned_past(graph: Graph, cached: int, new: int) -> Shapes:
    past = {p.name: (1, cached, p.shape[1], p.shape[3]) for p in graph.past}
    return input_shapes(graph, cached, new) | past


def all_tokens(graph: Graph, cached: int, new: int) -> Shapes:
    return input_shapes(graph, cached, new) | {"input_ids": (1, cached + new)}


def no_cache(graph: Graph, cached: int, new: int) -> Shapes:
    shapes = input_shapes(graph, cached, new)
    return {name: shapes[name] for name in ("input_ids", "attention_mask")}


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (narrow_mask, "covers the past"),
        (longer_past, "nothing of the new tokens"),
        (turned_past, "wrong axes"),
        (all_tokens, "Only the new tokens"),
        (no_cache, "have no shape"),
        (changed(logits=(1, 1, 32)), "logits is not an input"),
        (changed(input_ids=("batch", "sequence")), "symbolic"),
        (changed(input_ids=(5,)), "1 axes"),
        (lambda _graph, _cached, _new: [(1, 5)], "dictionary"),
    ],
)
def test_wrong_shapes_get_their_hint(
    graph: Graph, answer: Callable[[Graph, int, int], Shapes], hint: str
) -> None:
    verdict = check_input_shapes(answer, graph)
    assert verdict.is_right is False
    assert hint in verdict.message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda p: np.stack([p >> 4, p & 15], axis=-1).ravel(), "swapped"),
        (lambda p: np.concatenate([p & 15, p >> 4]), "neighbours"),
        (lambda p: np.stack([p & 15, p >> 4], axis=-1), "one row of 8"),
        (lambda p: p & 15, "hold 8 codes"),
        (lambda p: np.stack([p & 15, p & 240], axis=-1).ravel(), "moved down"),
        (lambda p: unpack(p).astype(int) - 8, "below 0"),
        (lambda p: np.minimum(unpack(p), p.repeat(2) // 9), "hexadecimal"),
    ],
)
def test_wrong_codes_get_their_hint(
    answer: Callable[[np.ndarray], np.ndarray], hint: str
) -> None:
    verdict = check_unpack(answer)
    assert verdict.is_right is False
    assert hint in verdict.message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda q, d, c: d * (q - np.uint8(8)) + c, "uint8"),
        (lambda q, d, c: d * q + c, "8 is not taken away"),
        (lambda q, d, _c: d * (q.astype(float) - 8), "offset is missing"),
        (lambda q, d, c: d * (q.astype(float) - 8) - c, "sign of the offset"),
        (lambda q, d, c: d * (q.astype(float) - 8 + c), "outside the brackets"),
        (lambda q, d, c: d * q - 8 + c, "before you multiply"),
        (lambda q, d, c: d * (8 - q.astype(float)) + c, "code away from 8"),
        (lambda q, d, c: (d * (q.astype(float) - 8) + c).sum(), "16 weights"),
        (lambda q, _d, _c: q.astype(float) * 0, "should give the offset"),
    ],
)
def test_wrong_weights_get_their_hint(
    answer: Callable[[np.ndarray, float, float], np.ndarray], hint: str
) -> None:
    verdict = check_dequantise(answer)
    assert verdict.is_right is False
    assert hint in verdict.message
