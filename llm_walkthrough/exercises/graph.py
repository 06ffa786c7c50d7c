"""Exercises of notebook 01: shapes of the inputs, codes in bytes, weights.

Knows nothing of the file in which the weights are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_walkthrough.exercises import when
from llm_walkthrough.exercises.exercise import Exercise, ExerciseOn, texts_of
from llm_walkthrough.exercises.when import Attempt, When
from llm_walkthrough.graph import Graph


@ExerciseOn
def check_input_shapes(graph: Graph) -> Exercise:
    """Judge a function (graph, cached, new) -> the shape of every input by its name.

    `cached` tokens are in the cache, `new` ones are fed, and the batch is 1.
    """
    return Exercise(
        texts_of("graph.input_shapes"),
        right=_input_shapes,
        cases=[(graph, 0, 5), (graph, 5, 1), (graph, 7, 3)],
        also=lambda t: {"num_mine": np.size(t.mine)},  # an int is no tuple
        hints={
            "is_no_dictionary": when.IS_NO_DICTIONARY,
            "misses_a_name": when.MISSES_A_NAME,
            "has_a_foreign_name": when.HAS_A_FOREIGN_NAME,
            "is_symbolic": When(lambda t: any(isinstance(x, str) for x in t.mine)),
            "has_other_axes": When(lambda t: t.num_mine != t.num_wanted),
            "swaps_axes": When(lambda t: sorted(t.mine) == sorted(t.wanted)),
            "mask_is_wrong": When(lambda t: t.name == "attention_mask"),
            "past_is_wrong": When(lambda t: t.name.startswith("past")),
        },
    )


def _input_shapes(graph: Graph, cached: int, new: int) -> dict[str, tuple[int, ...]]:
    past = (1, graph.kv_heads, cached, graph.head_dim)
    by_role = {"attention mask": (1, cached + new), "cache branch": (1,)}
    return {
        port.name: past if port.layer is not None else by_role.get(port.role, (1, new))
        for port in graph.inputs
    }


def _halves(packed: np.ndarray) -> np.ndarray:
    """Return the lower and the upper four bits of each byte [bytes, 2]."""
    return np.stack([packed & 15, packed >> 4], axis=-1)


def _first_wrong_code(t: Attempt) -> dict[str, Any]:
    codes = np.ravel(t.given)[: len(t.right)]
    place = int(np.argmax(codes != t.right[: len(codes)]))
    return {
        "place": place,
        "byte": t.packed[place // 2],
        "code": codes[place],
        "largest": codes.max(),
    }


check_unpack = Exercise(
    texts_of("graph.unpack"),
    right=lambda packed: _halves(packed).ravel(),
    cases=[
        (np.array([0x21, 0x43, 0xF0, 0x0F], np.uint8),),
        (np.random.default_rng(0).integers(0, 256, 16).astype(np.uint8),),
    ],
    also=_first_wrong_code,
    hints={
        "has_two_axes": [_halves, lambda packed: _halves(packed).T],
        "has_another_length": when.HAS_WRONG_SHAPE,
        "is_below_0": When(lambda t: np.min(t.given) < 0),
        "is_above_15": When(lambda t: np.max(t.given) >= 2**4),
        "swaps_halves": lambda packed: _halves(packed)[:, ::-1].ravel(),
        "parts_neighbours": [
            lambda packed: _halves(packed).T.ravel(),
            lambda packed: _halves(packed)[:, ::-1].T.ravel(),
        ],
    },
)


def _dequantise(codes: np.ndarray, scale: float, offset: float) -> np.ndarray:
    return scale * (codes.astype(np.float32) - 8) + offset


check_dequantise = Exercise(
    texts_of("graph.dequantise"),
    right=_dequantise,
    cases=[(np.arange(16, dtype=np.uint8), np.float32(0.5), np.float32(3.25))],
    hints={
        "has_another_length": when.HAS_WRONG_SHAPE,
        "stays_uint8": When(lambda t: np.max(t.given) > t.scale * 200),
        "misses_the_8": lambda codes, scale, offset: scale * codes + offset,
        "misses_the_offset": lambda codes, scale, _: _dequantise(codes, scale, 0),
        "takes_the_offset_away": lambda codes, d, c: _dequantise(codes, d, -c),
        "scales_the_offset": lambda codes, d, c: _dequantise(codes, d, d * c),
        "does_not_scale_the_8": lambda codes, d, c: d * codes - 8 + c,
        "takes_the_code_away": lambda codes, d, c: _dequantise(codes, -d, c),
    },
)
