from __future__ import annotations

import numpy as np

from llm_walkthrough.conversion.quantised import Q4Matrix, Q8Matrix


def float16_bytes(*numbers: float) -> list[int]:
    return list(np.array(numbers, "<f2").tobytes())


def test_a_4_bit_block_is_read_as_its_layout_says() -> None:
    """Column i is i % 16; byte i of the block has columns i and i + 16."""
    stored = [i | i << 4 for i in range(16)]
    block = np.array([[float16_bytes(0.5, -3.0) + stored]], np.uint8)
    matrix = Q4Matrix.from_blocks(block)
    assert matrix.scales == 0.5
    assert matrix.minimums == -3.0
    neighbours = [(i % 16) | ((i + 1) % 16) << 4 for i in range(0, 32, 2)]
    assert matrix.codes.ravel().tolist() == neighbours


def test_an_8_bit_block_is_read_as_its_layout_says() -> None:
    stored = np.array([-128, -1, 0, 127, *range(28)], np.int8)
    block = np.array([[float16_bytes(0.25) + stored.view(np.uint8).tolist()]], np.uint8)
    matrix = Q8Matrix.from_blocks(block)
    assert matrix.scales == 0.25
    assert matrix.codes.ravel()[:4].tolist() == [0, 127, 128, 255]


def test_stacking_keeps_the_order_of_rows() -> None:
    rows = [
        np.array([[float16_bytes(scale, 0.0) + [0] * 16]], np.uint8)
        for scale in (1.0, 2.0, 3.0)
    ]
    matrices = [Q4Matrix.from_blocks(row) for row in rows]
    assert Q4Matrix.stacked(matrices).scales.ravel().tolist() == [1.0, 2.0, 3.0]
