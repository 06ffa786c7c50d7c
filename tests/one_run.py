"""The logits of one run of a model folder: no cache, nothing of this package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64


class OneRun:
    """Args: folder: holds model.onnx with the ports that the converter writes."""

    def __init__(self, folder: Path) -> None:
        self._session = onnxruntime.InferenceSession(folder / "model.onnx")
        self._empty_past = {
            port.name: np.zeros((1, port.shape[1], 0, port.shape[3]), np.float32)
            for port in self._session.get_inputs()
            if port.name.startswith("past_key_values.")
        }

    def logits(
        self, tokens: Int64[np.ndarray, "batch sequence"]
    ) -> Float32[np.ndarray, "batch sequence vocab"]:
        """Logits after every token of every sequence."""
        batch = len(tokens)
        past = {n: np.repeat(p, batch, axis=0) for n, p in self._empty_past.items()}
        ids = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
        logits: Float32[np.ndarray, "batch sequence vocab"]
        (logits,) = self._session.run(["logits"], ids | past)
        return logits
