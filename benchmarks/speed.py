"""Speed and memory of this package against named peers, measured in turn.

Everything is measured in one go and in turn (A B C, A B C, …), after a round that does
not count. Each engine lives in a process of its own, which waits without a thread
running while another one works: onnxruntime's threads go on spinning for a moment after
a run, and two engines in one process would take the cores from each other. What
compares our loop with other loops over the same session runs in one process, and in
turn as well. Knows nothing of how one engine is driven: `engines` does.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks import engines
from benchmarks.engines import Engine, Pair
from benchmarks.report import Bar, Report, Row, Show, compared
from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import read_graph
from llm_walkthrough.tokenizer import open_tokenizer

TEXT = (
    "A library lends books to anyone who asks. In the morning the old reader comes "
    "for the newspaper, at noon the pupils look for a quiet table, and in the evening "
    "somebody returns a novel that was due last spring. "
)
"""What the prompts are made of, repeated as often as needed."""

Opener: TypeAlias = Callable[[Path, int], Engine]
"""An engine's class, or what else opens one on a folder with so many threads."""

REST_SECONDS = 0.1  # until the threads of the turn before have gone to sleep

RATE = "tokens/s"
GENAI = "onnxruntime-genai"
BARS = {
    "greedy decode": Bar("at least", 0.97),
    "prefill": Bar("at least", 0.97),
    "sampled decode": Bar("at least", 1),
    "one step": Bar("at most", 1.03),
    "mask of a grammar": Bar("at most", 0.05),
    "decode after 4,096 tokens": Bar("at least", 1.7),
}


@dataclass(frozen=True)
class Sizes:
    """How many tokens are read and made."""

    prompt: int = 512  # read, for prefill and decode
    new: int = 64  # made after it, and timed
    before_steps: int = 128  # that are compared with bare runs
    contexts: tuple[int, ...] = (128, 1024, 4096)  # before a plain loop's turns
    turns: int = 16
    in_memory: int = 1024  # in the cache when memory is measured a second time


def measure(
    path: Path,
    show: Show,
    rounds: int = 5,
    threads: int | None = None,
    sizes: Sizes = Sizes(),
) -> Report:
    """Measure everything, with texts of these `sizes`; takes a minute or two.

    Needs onnxruntime-genai, and a context that has room for the sizes.
    """
    if find_spec("onnxruntime_genai") is None:
        raise InputError(
            "bench measures against onnxruntime-genai, which is not installed; run "
            '`python3 run.py bench`, or `pip install "llm-walkthrough[test]"`'
        )
    threads = threads or engines.one_per_core()
    words = open_tokenizer(path).encode(TEXT)
    room = read_graph(path).context_length - sizes.turns - 1
    sizes = replace(sizes, contexts=tuple(n for n in sizes.contexts if n < room))
    kinds = [(kind, path, threads) for kind in (engines.Ours, engines.GenAI)]
    memory = _memory(kinds, np.resize(words, sizes.in_memory))
    measured = []
    with EngineProcess(*kinds[0]) as ours, EngineProcess(*kinds[1]) as genai:
        for done in range(rounds + 1):
            show("measuring", done / (rounds + 1))
            measured.append(one_round(ours, genai, words, sizes))
    show("measuring", 1.0)
    rows = [
        # the first round warms up
        compared(*thing, [one[thing] for one in measured[1:]], BARS.get(thing[0]))
        for thing in measured[0]
    ]
    title = f"{path.name}, threads: {threads}, rounds: {rounds}"
    return Report(title, (*rows, *memory))


class EngineProcess(ProcessPoolExecutor):
    """A process in which one engine waits for work; Ctrl-C ends it without a word."""

    def __init__(self, kind: Opener, folder: Path, threads: int) -> None:
        super().__init__(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=signal.signal,
            initargs=(signal.SIGINT, signal.SIG_DFL),
        )
        self.engine = (kind, folder, threads)

    def measure(self, work: Callable[..., Pair], *what: object) -> Pair:
        """Have some work done with the engine, after a rest, and wait for it."""
        time.sleep(REST_SECONDS)
        return self.submit(_do, self.engine, work, *what).result()


def _do(engine: tuple[Any, ...], work: Callable[..., Pair], *what: object) -> Pair:
    return work(_opened(*engine), *what)


@cache
def _opened(kind: Opener, folder: Path, threads: int) -> Engine:
    """Open the engine, once in each process."""
    return kind(folder, threads)


def one_round(
    ours: EngineProcess, genai: EngineProcess, words: TokenIds, sizes: Sizes
) -> dict[tuple[str, str, str], Pair]:
    """Measure everything once.

    Returns:
        For each thing, its unit and the other side: our figure and theirs.
    """
    decoded = {}
    for kind in (engines.GREEDY, engines.SAMPLED):
        answer = np.resize(words, sizes.prompt), sizes.new, kind
        both = [one.measure(engines.time_answer, *answer) for one in (ours, genai)]
        decoded[kind] = zip(*both, strict=True)
    prefill, greedy = decoded[engines.GREEDY]
    _, sampled = decoded[engines.SAMPLED]
    steps = np.resize(words, sizes.before_steps), sizes.new
    bare_run = ours.measure(engines.time_bare_run, *steps)
    mask = ours.measure(engines.time_mask, *steps)
    return {
        ("greedy decode", RATE, GENAI): greedy,
        ("prefill", RATE, GENAI): prefill,
        ("sampled decode", RATE, GENAI): sampled,
        ("one step", "ms", "its bare run"): bare_run,
        ("mask of a grammar", "ms", "the model's run"): mask,
    } | {
        (f"decode after {context:,} tokens", RATE, "plain loop"): ours.measure(
            engines.time_plain_loop, np.resize(words, context), sizes.turns
        )
        for context in sizes.contexts
    }


def _memory(kinds: list[tuple[Any, ...]], prompt: TokenIds) -> list[Row]:
    """Measure the memory of each engine in a process of its own, with no other."""
    measured = []
    for kind in kinds:
        with EngineProcess(*kind) as process:
            measured.append(process.measure(engines.measure_memory, prompt))
    unit = f"MB {engines.memory_kind().upper()}"
    names = ("memory after load", f"memory after {len(prompt):,} tokens")
    return [
        compared(name, unit, GENAI, [pair])
        for name, pair in zip(names, zip(*measured, strict=True), strict=True)
    ]
