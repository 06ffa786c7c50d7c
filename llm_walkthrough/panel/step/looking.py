"""Where the newest token looks, and what each layer would say after it.

Opens nothing unless somebody looks. Knows nothing of HTML; `inside` finds the numbers.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_walkthrough.branch import Run
from llm_walkthrough.panel.watched import scores
from llm_walkthrough.stepper import Stepper

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

    from llm_walkthrough.inside import Inside

TAB = "Inside"  # the tab that shows it; nobody looks while another one is open
KINDS = ("layer", "head")  # what can be chosen; "all" of them is the mean


class Look(NamedTuple):
    """What was found after one run of the graph."""

    weights: Float32[np.ndarray, "num_layers num_heads total"]  # the last sum to 1
    lens: tuple[tuple[int, float], ...]  # likeliest token and share: 0, 1 … all layers
    seconds: float  # how long it took

    def names(self, kind: str) -> tuple[str, ...]:
        """Name what can be chosen of a kind."""
        numbers = range(self.weights.shape[KINDS.index(kind)])
        return (f"all {kind}s", *(f"{kind} {number}" for number in numbers))

    def shares(self, *chosen: str) -> list[float]:
        """Return how much is looked at each position, by names of layer and head."""
        weights = self.weights
        for axis, (kind, name) in enumerate(zip(KINDS, chosen, strict=True)):
            if name in (names := self.names(kind))[1:]:
                weights = weights.take([names.index(name) - 1], axis)
        shares: list[float] = weights.mean(axis=(0, 1), dtype=float).tolist()
        return shares


class Looking:
    """Looks at the newest run of a stepper, once for each run."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - `Inside` says what it wants
        self._model = model
        self._inside: Inside | None = None
        self._last: tuple[Run, Look | Exception] | None = None
        self._spent = 0.0  # seconds

    def clock(self) -> float:
        """Return the time in seconds, on a clock that stops during each look."""
        return time.perf_counter() - self._spent

    def look(self, stepper: Stepper, side: str) -> Look | Exception | None:
        """Return what is found or why nothing is; None if another tab is open.

        The next run then gives all memory back, and a later look opens the model anew.
        """
        run, last = stepper.runs[-1] if stepper.runs else None, self._last
        if side != TAB or run is None:
            if last and last[0] is not run:
                self._inside = self._last = None
            return None
        if last is None or last[0] is not run:
            began = time.perf_counter()
            try:
                last = run, self._found(run, stepper)
            except Exception as error:  # noqa: BLE001 - the panel around it is drawn
                last = run, error
            self._last = last
            self._spent += time.perf_counter() - began
        return last[1]

    def _found(self, run: Run, stepper: Stepper) -> Look:
        began = time.perf_counter()
        if self._inside is None:
            from llm_walkthrough.inside import Inside  # noqa: PLC0415 - as said above

            self._inside = Inside(self._model, is_exact=False)
        look = self._inside.look(run.seen[-1:], stepper.cache.truncated(run.stop - 1))
        lens = []
        # the last row is that of the run: alone a token is rounded a little otherwise
        for row in (*look.lens()[:-1], stepper.logits):  # [vocab]
            token = int(row.argmax())
            lens.append((token, scores(row, [token])[0].probability))
        return Look(look.newest(), tuple(lens), time.perf_counter() - began)
