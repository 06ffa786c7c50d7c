"""Stand-in for an onnxruntime session that notices every mistake in what it is fed.

Its next token depends on every array and every row of the cache that comes back in, and
where a real graph goes on without a word, it says what is wrong. Ports are named as in
a real graph; inputs and outputs differ in order. Knows nothing of the exercises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from llm_walkthrough.arrays import KeyOrValue
from llm_walkthrough.errors import InputError

KV_HEADS, HEAD_DIM, VOCAB = 2, 4, 61
MOST_RUNS = 60
PAST = [f"past_key_values.{i}.{part}" for part in ("key", "value") for i in (0, 1)]
PRESENT = [name.replace("past_key_values", "present") for name in PAST]


class PracticePort(NamedTuple):
    """An input or output, with the attributes that onnxruntime gives it."""

    name: str
    shape: tuple[int | str, ...]
    type: str


def past_of(length: int) -> dict[str, KeyOrValue]:
    """Return a past of this many tokens, full of ones."""
    return {n: np.ones((1, KV_HEADS, length, HEAD_DIM), np.float32) for n in PAST}


class PracticeSession:
    """Has the three methods of an `InferenceSession` that a decode loop needs.

    `small_inputs` are some of "input_ids", "attention_mask", "position_ids".
    """

    def __init__(self, small_inputs: Sequence[str]) -> None:
        self.small_inputs = small_inputs
        self.num_fed = 0  # tokens that went in, over all runs
        self._num_runs = 0

    def get_inputs(self) -> list[PracticePort]:
        """Return the inputs, the cache first."""
        lengths = {"attention_mask": "past + sequence"}
        small = ((name, lengths.get(name, "sequence")) for name in self.small_inputs)
        ports = [PracticePort(name, (1, axis), "tensor(int64)") for name, axis in small]
        return [*_cache_ports(PAST, "past"), *ports]

    def get_outputs(self) -> list[PracticePort]:
        """Return the outputs, the logits last."""
        logits = PracticePort("logits", (1, "sequence", VOCAB), "tensor(float)")
        by_layer = sorted(PRESENT)  # the inputs have all keys first, then all values
        return [*_cache_ports(by_layer, "past + sequence"), logits]

    def run(
        self, names: Sequence[str] | None, feed: Mapping[str, np.ndarray]
    ) -> list[np.ndarray]:
        """Return outputs by name, or all; InputError: a bad feed, or too many runs."""
        mistake = mistake_in(feed, [port.name for port in self.get_inputs()])
        if mistake is not None:
            raise InputError(mistake)
        self._num_runs += 1
        if self._num_runs > MOST_RUNS:
            raise InputError(f"{MOST_RUNS} runs were made: does the loop ever end?")
        self.num_fed += feed["input_ids"].size
        outputs = _outputs(feed)
        return [outputs[n] for n in names or [port.name for port in self.get_outputs()]]


def mistake_in(feed: object, wanted: Sequence[str]) -> str | None:
    """Say what is wrong with a feed for inputs of these names, or return None."""
    if not isinstance(feed, dict):
        return f"a feed is a dictionary of arrays, not a {type(feed).__name__}"
    mistakes = chain(_off_names(feed, wanted), _off_shapes(feed), _off_numbers(feed))
    return next(mistakes, None)  # each relies on those before it having passed


def _off_names(feed: Mapping[str, object], wanted: Sequence[str]) -> Iterator[str]:
    for name in (name for name in wanted if name not in feed):
        yield f"the graph has an input {name}, which is not in the feed"
    for name in (name for name in feed if name not in wanted):
        yield f"the graph has no input {name}; it refuses names it does not know"
    for name in (name for name in feed if not hasattr(feed[name], "dtype")):
        yield f"{name} must be an array, not a {type(feed[name]).__name__}"


def _off_shapes(feed: Mapping[str, np.ndarray]) -> Iterator[str]:
    batch, *sequence = np.shape(feed["input_ids"]) or (0,)
    if batch != 1 or len(sequence) != 1:
        wrong = f"input_ids has the shape {[*np.shape(feed['input_ids'])]}"
        yield f"{wrong}; wanted is [1, sequence], the batch axis first"
    if sequence == [0]:
        yield "input_ids holds no token; each run needs at least one"
    shapes = {name: [*np.shape(feed[name])] for name in PAST}
    for name, shape in shapes.items():
        if [*shape[:2], *shape[3:]] != [1, KV_HEADS, HEAD_DIM]:
            right = f"[1, {KV_HEADS}, past, {HEAD_DIM}], as the session's inputs say"
            yield f"{name} has the shape {shape}; wanted is {right}"
    if len(lengths := {shape[2] for shape in shapes.values()}) > 1:
        yield f"the past arrays hold different numbers of tokens: {sorted(lengths)}"


def _off_numbers(feed: Mapping[str, np.ndarray]) -> Iterator[str]:
    new, past = feed["input_ids"].shape[1], feed[PAST[0]].shape[2]
    for name in (name for name in feed if name not in PAST):
        if feed[name].dtype != np.int64:
            yield f"{name} has the dtype {feed[name].dtype}; wanted is int64"
    for name, right, must in (
        ("attention_mask", [1] * (past + new), "it must cover both, a 1 for each"),
        ("position_ids", range(past, past + new), "they must go on where it ends"),
    ):
        mine = feed.get(name, np.array([right])).tolist()
        if mine != [[*right]]:
            yield f"{name}: {mine} for {past} tokens in the past and {new} new; {must}"


def _cache_ports(names: Sequence[str], length: str) -> list[PracticePort]:
    shape = (1, KV_HEADS, length, HEAD_DIM)
    return [PracticePort(name, shape, "tensor(float)") for name in names]


def _outputs(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the longer cache, and logits for which each entry of it counts."""
    tokens, past = feed["input_ids"][0], feed[PAST[0]].shape[2]
    positions = np.arange(past, past + len(tokens))
    present: dict[str, KeyOrValue] = {}
    for place, (before, after) in enumerate(zip(PAST, PRESENT, strict=True)):
        rows = np.zeros((1, KV_HEADS, len(tokens), HEAD_DIM), np.float32)
        rows[..., 0] = (tokens + 2) * (positions + 3 * place + 1) % 97
        present[after] = np.concatenate([feed[before], rows], axis=2)
    held = np.stack([array[0, 0, :, 0] for array in present.values()])
    sums = np.cumsum(np.arange(1, len(PAST) + 1) @ held)[past:].astype(np.int64)
    logits = np.zeros((1, len(tokens), VOCAB), np.float32)
    logits[0, range(len(tokens)), (7 * sums + 3) % VOCAB] = 1
    return {**present, "logits": logits}
