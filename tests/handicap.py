"""Disturb every row of logits as another processor might, and what has no margin more.

IPython runs this file before the first cell of a notebook where `disturbed` has put
it. Where the second likeliest token is nearer than the margin, it becomes the
likeliest; everywhere a fixed noise is added. What a notebook compares must not change.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort


@dataclass(frozen=True)
class Handicap:
    """How strongly logits are disturbed.

    Attributes:
        margin: what the likeliest token must be ahead by to stay the likeliest.
        noise: the most that is added to a logit or taken from it.
    """

    margin: float
    noise: float

    def disturb(self, logits: np.ndarray) -> None:
        """Change logits [..., vocab] in place."""
        rows = logits.reshape(-1, logits.shape[-1])
        for row in rows:
            second, first = np.argpartition(row, -2)[-2:]
            if row[first] - row[second] < self.margin:
                row[first] -= self.margin
        noise = np.random.default_rng(0).uniform(-1, 1, rows.shape[-1])
        rows += self.noise * noise.astype(rows.dtype)


INT4 = Handicap(margin=1.0, noise=0.3)
FLOAT32 = Handicap(margin=0.01, noise=1e-4)
NONE = Handicap(margin=0.0, noise=0.0)


def handicap_of(model: object, outputs: list[str]) -> Handicap:
    """Return the handicap that suits a graph; none for one that is no decoder."""
    if not isinstance(model, str | Path) or "logits" not in outputs:
        return NONE
    return INT4 if b"MatMulNBits" in Path(model).read_bytes() else FLOAT32


def install() -> None:
    """Make every onnxruntime session in this process disturb its logits."""
    kind = ort.InferenceSession
    kind.__init__ = _opening(kind.__init__)
    kind.run = _running(kind.run)
    kind.run_with_iobinding = _running_bound(kind.run_with_iobinding)


def _opening(original: Callable[..., None]) -> Callable[..., None]:
    def opened(
        self: ort.InferenceSession, model: object, *rest: object, **settings: object
    ) -> None:
        original(self, model, *rest, **settings)
        self.handicap = handicap_of(model, [port.name for port in self.get_outputs()])

    return opened


def _running(original: Callable[..., Any]) -> Callable[..., Any]:
    def run(
        self: ort.InferenceSession, names: list[str] | None, *rest: object
    ) -> list[np.ndarray]:
        outputs: list[np.ndarray] = original(self, names, *rest)
        names = names or [port.name for port in self.get_outputs()]
        if self.handicap is not NONE and "logits" in names:
            place = names.index("logits")
            outputs[place] = outputs[place].copy()
            self.handicap.disturb(outputs[place])
        return outputs

    return run


def _running_bound(original: Callable[..., None]) -> Callable[..., None]:
    def run(self: ort.InferenceSession, binding: ort.IOBinding, *rest: object) -> None:
        original(self, binding, *rest)
        if self.handicap is not NONE:
            # logits have three axes, the arrays of the cache have four
            bound = (v for v in binding.get_outputs() if len(v.shape()) == 3)
            self.handicap.disturb(_memory(next(bound)))

    return run


def _memory(value: ort.OrtValue) -> np.ndarray:
    """Return the float32 numbers of an OrtValue where they are, not a copy."""
    start = ctypes.cast(value.data_ptr(), ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(start, shape=tuple(value.shape()))


if __name__ == "__main__":  # so IPython runs it; a test that imports it is not changed
    install()
