"""Exercises of notebook 01: shapes of the inputs, codes in bytes, weights.

Knows nothing of the file in which the weights are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llm_walkthrough.exercises.exercise import (
    HAS_WRONG_SHAPE,
    IS_NO_DICTIONARY,
    OTHERWISE,
    Attempt,
    Exercise,
    ExerciseOn,
    When,
    first_difference,
)
from llm_walkthrough.graph import Graph

if TYPE_CHECKING:
    from jaxtyping import UInt8


@ExerciseOn
def check_input_shapes(graph: Graph) -> Exercise:
    """Judge a function (graph, cached, new) -> the shape of every input by its name.

    `cached` tokens are in the cache, `new` ones are fed, and the batch is 1.
    """
    return Exercise(
        task="a function (graph, cached, new) -> the shape of every input by its name",
        right=_input_shapes,
        cases=[(graph, 0, 5), (graph, 5, 1), (graph, 7, 3)],
        case="With {cached} tokens in the cache and {new} new: ",
        also=lambda t: {
            **(names := first_difference(t)),
            "num_axes": np.size(names["mine"]),
            "right_axes": np.size(names["wanted"]),
        },
        hints={
            "return a dictionary, name of the input to its shape.": IS_NO_DICTIONARY,
            "{num_missing} inputs have no shape, among them {missing[0]}.": When(
                lambda t: t.missing
            ),
            "{extra[0]} is not an input of this graph.": When(lambda t: t.extra),
            "{name} is {mine}. Every symbolic dimension becomes a number.": When(
                lambda t: any(isinstance(axis, str) for axis in t.mine)
            ),
            "{name} is {mine}. It has {num_axes} axes; the table of ports shows "
            "{right_axes}.": When(lambda t: t.num_axes != t.right_axes),
            "{name} is {mine}. The right numbers on the wrong axes: "
            "look at each.": When(lambda t: sorted(t.mine) == sorted(t.wanted)),
            "{name} is {mine}. The mask covers the past as well as the new tokens.": (
                When(lambda t: t.name == "attention_mask")
            ),
            "{name} is {mine}. It holds what was there before the run, nothing of the "
            "new tokens.": When(lambda t: t.name.startswith("past")),
            "{name} is {mine}. Only the new tokens are fed.": OTHERWISE,
        },
        praise=f"All {len(graph.inputs)} inputs, for first runs and later ones alike.",
    )


def _input_shapes(graph: Graph, cached: int, new: int) -> dict[str, tuple[int, ...]]:
    past = (1, graph.kv_heads, cached, graph.head_dim)
    by_role = {"attention mask": (1, cached + new), "cache branch": (1,)}
    return {
        port.name: past if port.layer is not None else by_role.get(port.role, (1, new))
        for port in graph.inputs
    }


def _unpack(packed: UInt8[np.ndarray, " bytes"]) -> UInt8[np.ndarray, " codes"]:
    return np.stack([packed & 15, packed >> 4], axis=-1).ravel()


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
    task="a function from bytes [n] uint8 to their codes [2 n], 0 … 15",
    right=_unpack,
    cases=[
        (np.array([0x21, 0x43, 0xF0, 0x0F], np.uint8),),
        (np.random.default_rng(0).integers(0, 256, 16).astype(np.uint8),),
    ],
    also=_first_wrong_code,
    hints={
        "The shape is {shape}; return one row of {right.size} codes: `.ravel()`.": [
            lambda packed: _unpack(packed).reshape(-1, 2),
            lambda packed: _unpack(packed).reshape(-1, 2).T,
        ],
        "{packed.size} bytes hold {right.size} codes, and the shape is "
        "{shape}.": HAS_WRONG_SHAPE,
        "A code is below 0: codes are 0 … 15, taking away 8 comes later.": When(
            lambda t: np.min(t.given) < 0
        ),
        "A code is {largest}, and four bits hold at most 15: the upper half must be "
        "moved down (`>> 4`), the lower one cut off (`& 15`).": When(
            lambda t: np.max(t.given) > 15  # noqa: PLR2004 - the largest number of four bits
        ),
        "The halves of each byte are swapped: the lower half comes first.": (
            lambda packed: _unpack(packed).reshape(-1, 2)[:, ::-1].ravel()
        ),
        "All lower halves, then all upper ones: but the two codes of a byte are "
        "neighbours. Stack along a new last axis before `.ravel()`.": [
            lambda packed: np.concatenate([packed & 15, packed >> 4]),
            lambda packed: np.concatenate([packed >> 4, packed & 15]),
        ],
        "Code {place} of byte {byte:#04x} is {code}; write the byte as two hexadecimal "
        "digits and look again.": OTHERWISE,
    },
    praise="Two codes from each byte, the lower half first.",
)


def _dequantise(codes: np.ndarray, scale: float, offset: float) -> np.ndarray:
    return scale * (codes.astype(np.float32) - 8) + offset


check_dequantise = Exercise(
    task="a function (codes [n] uint8, scale, offset) -> weights [n] float32",
    right=_dequantise,
    cases=[(np.arange(16, dtype=np.uint8), np.float32(0.5), np.float32(3.25))],
    hints={
        "{codes.size} codes give {codes.size} weights, not shape "
        "{shape}.": HAS_WRONG_SHAPE,
        "A weight is far too large: codes are uint8, which knows no number below 0, so "
        "5 - 8 becomes 253. Turn the codes into float32 first.": When(
            lambda t: np.max(t.given) > t.scale * 200
        ),
        "The 8 is not taken away: code 8 stands for no scale at all.": (
            lambda codes, scale, offset: scale * codes + offset
        ),
        "The offset is missing: it is added to every weight of the block.": (
            lambda codes, scale, _offset: _dequantise(codes, scale, 0)
        ),
        "The sign of the offset is wrong: it is added.": (
            lambda codes, scale, offset: _dequantise(codes, scale, -offset)
        ),
        "The offset is scaled as well: add it last, outside the brackets.": (
            lambda codes, scale, offset: _dequantise(codes, scale, scale * offset)
        ),
        "Only the 8 is scaled wrongly: take it away before you multiply.": (
            lambda codes, scale, offset: scale * codes - 8 + offset
        ),
        "The sign of code - 8 is wrong: you take the code away from 8.": (
            lambda codes, scale, offset: _dequantise(codes, -scale, offset)
        ),
        "Code 8 should give the offset {offset}, not {given[8]:.4g}.": OTHERWISE,
    },
    praise="These are the weights, and codes below 8 give what they should.",
)
