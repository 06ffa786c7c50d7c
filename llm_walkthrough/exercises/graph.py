"""Are the answers of notebook 01 right: shapes of the inputs, codes in bytes, weights?

References come from the graph that is handed in and from the arithmetic of a block.
Knows nothing of the file in which the weights are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llm_walkthrough.exercises.verdict import Verdict, called, first_failing

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import UInt8

    from llm_walkthrough.graph import Graph

    Shapes = dict[str, tuple[int, ...]]
    InputShapes = Callable[[Graph, int, int], object]
    Unpack = Callable[[UInt8[np.ndarray, " bytes"]], np.ndarray]
    Dequantise = Callable[[UInt8[np.ndarray, " codes"], Any, Any], np.ndarray]

_RUNS = ((0, 5), (5, 1), (7, 3))  # tokens in the cache, new tokens
_BYTES = np.array([0x21, 0x43, 0xF0, 0x0F], np.uint8)


# --- shapes -----------------------------------------------------------------------
def check_input_shapes(my_shapes: InputShapes, graph: Graph) -> Verdict:
    """Judge a function (graph, cached, new) -> the shape of every input by its name.

    Args:
        my_shapes: the answer; `cached` tokens are in the cache, `new` ones are fed.
        graph: the decoder it is tried on, batch 1.
    """

    def hint(shapes: InputShapes) -> str | None:
        for cached, new in _RUNS:
            given = called(shapes, graph, cached, new)
            found = _shapes_hint(given, graph, cached, new)
            if found:
                return f"With {cached} tokens in the cache and {new} new: {found}"
        return None

    praise = f"All {len(graph.inputs)} inputs, for first runs and later ones alike."
    return first_failing(my_shapes, [hint], praise)


def _wanted_shapes(graph: Graph, cached: int, new: int) -> Shapes:
    past = (1, graph.kv_heads, cached, graph.head_dim)
    by_role = {"attention mask": (1, cached + new), "cache branch": (1,)}
    return {
        port.name: past if port.layer is not None else by_role.get(port.role, (1, new))
        for port in graph.inputs
    }


def _shapes_hint(given: object, graph: Graph, cached: int, new: int) -> str | None:
    wanted = _wanted_shapes(graph, cached, new)
    if not isinstance(given, dict):
        return "return a dictionary, name of the input to its shape."
    missing = sorted(wanted.keys() - given.keys())
    if missing:
        return f"{len(missing)} inputs have no shape, among them {missing[0]}."
    extra = sorted(given.keys() - wanted.keys())
    if extra:
        return f"{extra[0]} is not an input of this graph."
    for name, shape in wanted.items():
        axes = _axes(given[name])
        if axes != shape:
            return f"{name} is {given[name]}. {_axes_hint(name, axes, shape)}"
    return None


def _axes(shape: object) -> tuple[object, ...]:
    return tuple(shape) if isinstance(shape, tuple | list) else ()


def _axes_hint(name: str, axes: tuple[object, ...], wanted: tuple[int, ...]) -> str:
    if any(isinstance(axis, str) for axis in axes):
        return "Every symbolic dimension becomes a number."
    if len(axes) != len(wanted):
        return f"It has {len(axes)} axes; the table of ports shows {len(wanted)}."
    if sorted(map(str, axes)) == sorted(map(str, wanted)):
        return "The right numbers on the wrong axes: look at each."
    if name == "attention_mask":
        return "The mask covers the past as well as the new tokens."
    if name.startswith("past"):
        return "It holds what was there before the run, nothing of the new tokens."
    return "Only the new tokens are fed."


# --- codes ------------------------------------------------------------------------
def check_unpack(my_unpack: Unpack) -> Verdict:
    """Judge a function from bytes [n] uint8 to their codes [2 n], 0 … 15."""
    tests = (_unpack_length, _unpack_range, _unpack_order, _unpack_random)
    praise = "Two codes from each byte, the lower half first."
    return first_failing(my_unpack, tests, praise)


def _codes(packed: UInt8[np.ndarray, " bytes"]) -> list[int]:
    return [half for byte in packed.tolist() for half in (byte % 16, byte // 16)]


def _unpacked(my_unpack: Unpack, packed: UInt8[np.ndarray, " bytes"]) -> np.ndarray:
    return np.asarray(called(my_unpack, packed.copy()))


def _unpack_length(my_unpack: Unpack) -> str | None:
    shape, wanted = _unpacked(my_unpack, _BYTES).shape, 2 * len(_BYTES)
    if shape == (len(_BYTES), 2) or shape == (2, len(_BYTES)):
        return f"The shape is {shape}; return one row of {wanted} codes: `.ravel()`."
    if shape != (wanted,):
        return f"{len(_BYTES)} bytes hold {wanted} codes, and the shape is {shape}."
    return None


def _unpack_range(my_unpack: Unpack) -> str | None:
    codes = _unpacked(my_unpack, _BYTES)
    if codes.min() < 0:
        return "A code is below 0: codes are 0 … 15, taking away 8 comes later."
    if codes.max() > 15:  # noqa: PLR2004 - the largest number of four bits
        return (
            f"A code is {codes.max()}, and four bits hold at most 15: the upper half "
            "must be moved down (`>> 4`), the lower one cut off (`& 15`)."
        )
    return None


def _unpack_order(my_unpack: Unpack) -> str | None:
    codes, wanted = _unpacked(my_unpack, _BYTES).tolist(), _codes(_BYTES)
    swapped = np.reshape(wanted, (-1, 2))[:, ::-1].ravel().tolist()
    if codes == swapped:
        return "The halves of each byte are swapped: the lower half comes first."
    if codes in (wanted[::2] + wanted[1::2], wanted[1::2] + wanted[::2]):
        return (
            "All lower halves, then all upper ones: but the two codes of a byte are "
            "neighbours. Stack along a new last axis before `.ravel()`."
        )
    return None


def _unpack_random(my_unpack: Unpack) -> str | None:
    packed = np.random.default_rng(0).integers(0, 256, 16).astype(np.uint8)
    codes = _unpacked(my_unpack, packed)
    wrong = np.flatnonzero(codes != _codes(packed))
    if wrong.size:
        place = int(wrong[0])
        return (
            f"Code {place} of byte {packed[place // 2]:#04x} is {codes[place]}; write "
            "the byte as two hexadecimal digits and look again."
        )
    return None


# --- weights ----------------------------------------------------------------------
def check_dequantise(my_dequantise: Dequantise) -> Verdict:
    """Judge a function (codes [n] uint8, scale, offset) -> weights [n] float32."""
    tests = (_weights_shape, _weights_wrap, _weights_formula)
    praise = "These are the weights, and codes below 8 give what they should."
    return first_failing(my_dequantise, tests, praise)


_BLOCK = np.arange(16, dtype=np.uint8)
_SCALE, _OFFSET = np.float32(0.5), np.float32(3.25)


def _weights(my_dequantise: Dequantise) -> np.ndarray:
    return np.asarray(called(my_dequantise, _BLOCK.copy(), _SCALE, _OFFSET))


def _weights_shape(my_dequantise: Dequantise) -> str | None:
    shape = _weights(my_dequantise).shape
    if shape != _BLOCK.shape:
        return f"{len(_BLOCK)} codes give {len(_BLOCK)} weights, not shape {shape}."
    return None


def _weights_wrap(my_dequantise: Dequantise) -> str | None:
    if _weights(my_dequantise).max() > _SCALE * 200:
        return (
            "A weight is far too large: codes are uint8, which knows no number below "
            "0, so 5 - 8 becomes 253. Turn the codes into float32 first."
        )
    return None


def _weights_formula(my_dequantise: Dequantise) -> str | None:
    given, codes = _weights(my_dequantise), _BLOCK.astype(np.float32)
    mistakes = {
        "The 8 is not taken away: code 8 stands for no scale at all.": (
            _SCALE * codes + _OFFSET
        ),
        "The offset is missing: it is added to every weight of the block.": (
            _SCALE * (codes - 8)
        ),
        "The sign of the offset is wrong: it is added.": (
            _SCALE * (codes - 8) - _OFFSET
        ),
        "The offset is scaled as well: add it last, outside the brackets.": (
            _SCALE * (codes - 8 + _OFFSET)
        ),
        "Only the 8 is scaled wrongly: take it away before you multiply.": (
            _SCALE * codes - 8 + _OFFSET
        ),
        "The sign of code - 8 is wrong: you take the code away from 8.": (
            _SCALE * (8 - codes) + _OFFSET
        ),
    }
    if np.allclose(given, _SCALE * (codes - 8) + _OFFSET, atol=1e-6):
        return None
    hits = (hint for hint, weights in mistakes.items() if np.allclose(given, weights))
    return next(hits, f"Code 8 should give the offset {_OFFSET}, not {given[8]:.4g}.")
