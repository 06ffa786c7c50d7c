"""Many answers to one prompt, made side by side: one run of the graph for all of them.

Made for counting, when nobody reads along: a run on forty tokens, one of each answer,
takes a fraction of forty runs. In int4 the logits of such a run differ from those of
runs on one token as rounding does. Knows nothing of what the answers are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnxruntime as ort

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.model import Model
from llm_walkthrough.sampling import Processor, choose, uniform


class Way(NamedTuple):
    """How one answer is drawn."""

    processors: tuple[Processor, ...]
    seed: int


class _Texts:
    """The caches of several texts of one length, in shared buffers."""

    def __init__(self, model: Model, held: dict[str, np.ndarray], length: int) -> None:
        self.model, self.held, self.length = model, held, length
        self._binding = model.session.io_binding()
        for past, present in zip(model.graph.past, model.graph.present, strict=True):
            value = ort.OrtValue.ortvalue_from_numpy(held[past.name])
            self._binding.bind_ortvalue_input(past.name, value)
            self._binding.bind_ortvalue_output(present.name, value)
        self._small = [port for port in model.graph.inputs if port.layer is None]
        self._logits = model.graph.logits

    def run(self, tokens: Sequence[int]) -> LogitsRows:
        """Run one token [text] more of each text; returns logits [text, vocab]."""
        count = len(tokens)
        feeds = {
            "token ids": np.array(tokens)[:, np.newaxis],
            "attention mask": np.ones((count, self.length + 1)),
            "position ids": np.full((count, 1), self.length),
        }
        for port in self._small:
            array = feeds[str(port.role)].astype(port.dtype)
            self._binding.bind_cpu_input(port.name, array)
        logits = np.empty((count, 1, self.model.vocab), self._logits.dtype)
        value = ort.OrtValue.ortvalue_from_numpy(logits)
        self._binding.bind_ortvalue_output(self._logits.name, value)
        self.model.session.run_with_iobinding(self._binding)
        self.length += 1
        return logits[:, 0].astype(np.float32, copy=False)

    def only(self, places: Sequence[int]) -> _Texts:
        """Return those texts alone."""
        held = {name: array[places] for name, array in self.held.items()}
        return _Texts(self.model, held, self.length)


def answer_side_by_side(
    model: Model, prompt: TokenIds, ways: Sequence[Way], limit: int
) -> list[list[int]]:
    """Answer the prompt in each way, until an end token or for `limit` tokens.

    Returns:
        The new tokens of each answer, the end token with them.
    """
    rows, cache = model.run(prompt, model.new_shared_cache(len(prompt) + 1))
    shape = (len(ways), model.graph.kv_heads, len(prompt) + limit, model.graph.head_dim)
    held = {port.name: np.zeros(shape, port.dtype) for port in model.graph.past}
    for name, array in cache.arrays().items():
        held[name][:, :, : len(prompt)] = array
    texts = _Texts(model, held, len(prompt))
    made: list[list[int]] = [[] for _ in ways]
    going = [*range(len(ways))]  # the answers that `texts` holds
    logits = np.repeat(rows[-1:], len(ways), axis=0)
    ends = {*model.graph.end_tokens}
    for position in range(len(prompt), len(prompt) + limit):
        for row, number in zip(logits, going, strict=True):
            if ends & {*made[number][-1:]}:
                continue
            context = np.array([*prompt, *made[number]])
            processors, seed = ways[number]
            token = choose(row, context, processors, uniform(seed, position))
            made[number].append(token)
        open_ = [i for i, n in enumerate(going) if made[n][-1] not in ends]
        if not open_:
            break
        if len(open_) <= len(going) / 2:  # the others' rows would be made for nothing
            texts, going = texts.only(open_), [going[i] for i in open_]
        logits = texts.run([made[number][-1] for number in going])
    return made
