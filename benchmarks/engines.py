"""Ways of decoding, and how long each takes for one and the same piece of work.

The ways are `Ours`; `GenAI`, an engine of its own; the bare run, which no step can go
below; and the plain loop, which one writes first. Every span that is timed begins and
ends at the same point of the work. Knows nothing of rounds and ratios: `speed` does.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter as now
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import onnxruntime as ort
import psutil

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import json_schema
from llm_walkthrough.kv_cache import GrownCache, KVCache, SharedCache
from llm_walkthrough.model import Model, open_model
from llm_walkthrough.sampling import Sampling
from llm_walkthrough.stepper import Stepper
from llm_walkthrough.structured_output import GrammarMask
from llm_walkthrough.tokenizer import open_tokenizer

Pair = tuple[float, float]
"""Ours, and that of the other side."""

GREEDY = Sampling(temperature=0, repetition_penalty=1)
SAMPLED = Sampling()

RECORDS = """{"type": "array", "items": {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 40},
        "year": {"type": "integer", "minimum": 1500, "maximum": 2100},
        "is_lent": {"type": "boolean"}},
    "required": ["title", "year", "is_lent"],
    "additionalProperties": false}}"""
"""A schema of the usual kind: free texts, numbers, and much that is forced."""

# Which figure of a process is taken: the first that the system knows. A page that n
# processes share counts in PSS as 1/n of a page, in USS not at all, in RSS in full.
MEMORY_KINDS = ("pss", "uss", "rss")


# --- what decodes -------------------------------------------------------------------


class Decoder(NamedTuple):
    """Answers one prompt."""

    read: Callable[[], object]  # runs the prompt, up to the logits of its last token
    step: Callable[[], object]  # chooses a token, after the run of the one before


class Ours:
    """This package, as `ask` uses it."""

    def __init__(self, folder: Path, threads: int, provider: str | None = None) -> None:
        self.model = open_model(folder, threads=threads, provider=provider)
        self._read: dict[int, Stepper] = {}
        if provider is None and not self.model.graph.can_share_buffers:
            raise InputError(
                f"{folder} has attention other than GroupQueryAttention, and `bench` "
                "measures shared buffers; name another model"
            )

    def stepper(self, prompt: TokenIds, count: int, sampling: Sampling) -> Stepper:
        """Return a stepper; the system hands out its cache's memory while it reads."""
        cache = self.model.new_cache(len(prompt) + count + 1)
        processors = sampling.processors()
        return Stepper(self.model, prompt, processors=processors, cache=cache)

    def decoder(self, prompt: TokenIds, count: int, sampling: Sampling) -> Decoder:
        """Return the two acts of a stepper; its first step has the prompt's logits."""
        stepper = self.stepper(prompt, count, sampling)
        return Decoder(lambda: stepper.logits, stepper.step)

    def stepper_after(self, prompt: TokenIds, count: int) -> Stepper:
        """Return a greedy stepper that has read the prompt, a long one only once."""
        if len(prompt) not in self._read:
            stepper = self._read[len(prompt)] = self.stepper(prompt, count, GREEDY)
            _ = stepper.logits
        return self._read[len(prompt)]


class GenAI:
    """onnxruntime-genai on the same folder."""

    def __init__(self, folder: Path, threads: int) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at the import
        self._library: Any = importlib.import_module("onnxruntime_genai")
        config = self._library.Config(str(folder))
        options = {"session_options": {"intra_op_num_threads": threads}}
        config.overlay(json.dumps({"model": {"decoder": options}}))
        self._model = self._library.Model(config)

    def decoder(self, prompt: TokenIds, count: int, sampling: Sampling) -> Decoder:
        """Return the acts of a generator; it makes its cache now, which is not timed.

        Like a stepper it has the prompt's logits for its first token.
        """
        is_greedy = sampling.temperature == 0
        names = ("temperature", "top_k", "top_p")
        drawing = {} if is_greedy else {n: getattr(sampling, n) for n in names}
        length = len(prompt) + count + 1
        options = self._library.GeneratorParams(self._model)
        options.set_search_options(
            max_length=length,
            min_length=length,  # an end token must not end the measurement
            do_sample=not is_greedy,
            repetition_penalty=sampling.repetition_penalty,
            **drawing,
        )
        generator = self._library.Generator(self._model, options)
        read = partial(generator.append_tokens, prompt.astype(np.int32))
        return Decoder(read, generator.generate_next_token)

    def generator(
        self, prompt: TokenIds, count: int, guessing: Mapping[str, float]
    ) -> Any:  # noqa: ANN401 - a Generator of the library
        """Return a greedy generator that has read the prompt, and guesses as told."""
        options = self._library.GeneratorParams(self._model)
        options.set_search_options(max_length=len(prompt) + count, do_sample=False)
        options.set_speculative_options(**guessing)
        generator = self._library.Generator(self._model, options)
        generator.append_tokens(prompt.astype(np.int32))
        return generator


Engine: TypeAlias = Ours | GenAI


class BareRun:
    """What a bare `session.run` does and nothing else: hand the arrays over, compute.

    It runs on the buffer of a stepper's cache. Making the arrays, checking, choosing a
    token and keeping a record are what a step adds.
    """

    def __init__(self, model: Model, shared: KVCache) -> None:
        self._model = model
        self._binding = model.session.io_binding()
        whole = cast("SharedCache", shared).buffer.whole  # `Ours` opens no other kind
        for past, present in zip(model.graph.past, model.graph.present, strict=True):
            value = ort.OrtValue.ortvalue_from_numpy(whole[past.name])
            self._binding.bind_ortvalue_input(past.name, value)
            self._binding.bind_ortvalue_output(present.name, value)
        self._inputs: dict[str, np.ndarray] = {}
        (dtype,) = [o.dtype for o in model.graph.outputs if o.name == "logits"]
        self.logits = np.empty((1, 1, model.vocab), dtype)

    def prepare(self, unseen: TokenIds, shared: KVCache) -> None:
        """Make the arrays of a step that begins with this cache; this is not timed."""
        past = {port.name for port in self._model.graph.past}
        feed = self._model.feed(unseen, shared)
        self._inputs = {name: feed[name] for name in feed.keys() - past}

    def run(self) -> None:
        """Write the rows which the stepper writes, with the same values."""
        for name, array in self._inputs.items():
            self._binding.bind_cpu_input(name, array)
        value = ort.OrtValue.ortvalue_from_numpy(self.logits)
        self._binding.bind_ortvalue_output("logits", value)
        self._model.session.run_with_iobinding(self._binding)


class PlainLoop:
    """What one writes first: arrays go in, longer arrays come out, and so on.

    Begins where a stepper stands that has read its prompt, with a copy of its cache.
    """

    def __init__(self, model: Model, stepper: Stepper) -> None:
        self._model = model
        self.token = int(stepper.logits.argmax())
        held = {name: array.copy() for name, array in stepper.cache.arrays().items()}
        self._past = GrownCache(held, stepper.cache.capacity)
        self._outputs = [port.name for port in model.graph.outputs]

    def step(self) -> None:
        """Run the graph on the newest token and take the likeliest one."""
        feed = self._model.feed(np.array([self.token]), self._past)
        out = self._model.session.run(self._outputs, feed)
        found = dict(zip(self._outputs, out, strict=True))
        self.token = int(found["logits"][0, -1].argmax())
        graph = self._model.graph
        pairs = zip(graph.past, graph.present, strict=True)
        held = {past.name: found[present.name] for past, present in pairs}
        self._past = GrownCache(held, self._past.capacity)


# --- what is timed ------------------------------------------------------------------


def one_per_core() -> int:
    """Return how many threads an engine gets unless it is told: one for each core."""
    return psutil.cpu_count(logical=False) or 1


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """Return how long the work takes, done so many times over."""
    began = now()
    for _ in range(times):
        work()
    return now() - began


def time_answer(
    engine: Engine, prompt: TokenIds, count: int, sampling: Sampling
) -> Pair:
    """Time one answer of `count` tokens.

    Returns:
        Tokens per second of the prompt, from its tokens to its last logits; tokens per
        second of what follows the first new token, which are as many runs of the graph
        as choices.
    """
    decoder = engine.decoder(prompt, count + 1, sampling)
    prefill = seconds(decoder.read)
    decoder.step()  # from the logits of the prompt, without a run
    return len(prompt) / prefill, count / seconds(decoder.step, count)


def time_bare_run(ours: Ours, prompt: TokenIds, count: int) -> Pair:
    """Time whole steps and bare runs in turn, with the same session and inputs.

    Of a step everything counts, of a bare run what a bare `session.run` does: it hands
    over arrays that are there and computes. Making them, checking, choosing and keeping
    a record are what a step adds. Each bare run repeats the run of the step before it,
    and writes the same rows once more.

    Returns:
        Median milliseconds of a step, of a bare run.
    """
    stepper = ours.stepper(prompt, count + 1, GREEDY)
    stepper.step()
    bare = BareRun(ours.model, stepper.cache)
    pairs = []
    for _ in range(count):
        unseen, shared = stepper.unseen, stepper.cache
        step = seconds(stepper.step)
        # afterwards: before the step it would warm the processor's caches for it
        bare.prepare(unseen, shared)
        pairs.append((step, seconds(bare.run)))
    step, run = np.median(pairs, axis=0) * 1000
    return float(step), float(run)


def time_mask(ours: Ours, prompt: TokenIds, count: int) -> Pair:
    """Time a grammar's mask at each step of a text, right after the run before it.

    Everything counts that the grammar adds to a step: following the newest token, the
    mask, and the logits that are left.

    Returns:
        Median milliseconds of a mask, of a run of the model on one token.
    """
    graph = ours.model.graph
    tokenizer = open_tokenizer(graph.path.parent)
    vocabulary = GrammarVocabulary(tokenizer, graph.vocab, graph.end_tokens)
    mask = GrammarMask(json_schema(RECORDS), vocabulary, len(prompt))
    stepper = ours.stepper(prompt, count + 1, GREEDY)
    stepper.processors = (mask, *GREEDY.processors())
    masks = []
    for _ in range(count):
        logits, context = stepper.logits, stepper.tokens
        masks.append(seconds(partial(mask, logits, context)))
        stepper.step()
    runs = [run.seconds for run in stepper.runs if len(run.tokens) == 1]
    return float(np.median(masks)) * 1000, float(np.median(runs)) * 1000


def time_plain_loop(ours: Ours, prompt: TokenIds, count: int) -> Pair:
    """Time steps and turns of a plain loop in turn, with the same session and prompt.

    Both begin with the logits of the prompt, so that each makes the same tokens with as
    many in its cache; a turn, like a step, is one run and one choice.

    Returns:
        Tokens per second of both, by the medians.
    """
    stepper = ours.stepper_after(prompt, count + 1)
    loop = PlainLoop(ours.model, stepper)
    stepper.step()  # the loop, too, begins with one token that was chosen
    pairs = [(seconds(stepper.step), seconds(loop.step)) for _ in range(count)]
    stepper.undo(count + 1)
    step, turn = np.median(pairs, axis=0)
    return float(1 / step), float(1 / turn)


def measure_memory(engine: Engine, prompt: TokenIds) -> Pair:
    """Return the MB of this process: as it is, and after it has read the prompt."""
    loaded = _megabytes()
    decoder = engine.decoder(prompt, 1, GREEDY)
    decoder.read()
    decoder.step()
    return loaded, _megabytes()


def memory_kind() -> str:
    """Tell which of `MEMORY_KINDS` this system knows."""
    known = psutil.Process().memory_full_info()
    return next(kind for kind in MEMORY_KINDS if hasattr(known, kind))


def _megabytes() -> float:
    return float(getattr(psutil.Process().memory_full_info(), memory_kind())) / 1e6
