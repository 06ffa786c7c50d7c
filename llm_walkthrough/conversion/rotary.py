"""The cosines and sines by which attention turns queries and keys at each position.

Pair i of a head turns by theta ** (-2 i / head_dim) radians from one position to the
next (Su et al. 2021, RoFormer, section 3.2.2). Models that were trained on for a
longer context turn more slowly: all pairs ("linear"), or only the slow ones ("yarn",
Peng et al. 2023; in Llama 3, by a factor for each pair). Knows nothing of nodes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.conversion.gguf_model import ROPE_FACTORS, GgufModel

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64

    Table = Float32[np.ndarray, "positions pairs"]
    Turns = Float64[np.ndarray, " pairs"]  # radians from one position to the next


def rotary_tables(model: GgufModel, positions: int) -> tuple[Table, Table]:
    """Return cos and sin for so many positions."""
    angles, length = np.outer(np.arange(positions), _turns(model)), 1.0
    if model.rope_scaling == "yarn":  # longer vectors sharpen attention
        length = 1 + 0.1 * math.log(model.number("rope.scaling.factor"))
    cos, sin = np.cos(angles) * length, np.sin(angles) * length
    return cos.astype(np.float32), sin.astype(np.float32)


def _turns(model: GgufModel) -> Turns:
    theta = model.number("rope.freq_base", 10_000.0, above=1)
    turns: Turns = theta ** (-2.0 * np.arange(model.head_dim // 2) / model.head_dim)
    if model.has(ROPE_FACTORS):
        factors = model.dense(ROPE_FACTORS)
        if not (factors > 0).all():
            raise model.wrong(ROPE_FACTORS, "above 0", float(factors.min()))
        turns = turns / factors
    if model.rope_scaling == "none":
        return turns
    slower = turns / model.number("rope.scaling.factor")
    kept = _kept(model, theta) if model.rope_scaling == "yarn" else 0.0
    return kept * turns + (1 - kept) * slower


def _kept(model: GgufModel, theta: float) -> Turns:
    """How much of its turn a pair keeps under yarn: 1 if fast, 0 if slow."""
    longest = float(model.context_length)
    trained = model.number("rope.scaling.original_context_length", longest)

    def pair_of(rounds: float) -> float:
        """Which pair turns round so often within the context of the training?"""
        positions = trained / (rounds * 2 * math.pi)  # for one round
        return model.head_dim * math.log(positions) / (2 * math.log(theta))

    fast = pair_of(model.number("rope.scaling.yarn_beta_fast", 32.0))
    slow = pair_of(model.number("rope.scaling.yarn_beta_slow", 1.0))
    first, last = max(math.floor(fast), 0), min(math.ceil(slow), model.head_dim - 1)
    past_first = np.arange(model.head_dim // 2) - first
    kept: Turns = 1 - np.clip(past_first / max(last - first, 0.001), 0, 1)
    return kept
