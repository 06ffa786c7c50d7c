"""How fast is this package, against whom, measured how?

Everything is measured in one go and in turn (A B C, A B C, …), after a round that does
not count. A ratio is the median of the ratios of the single rounds: both sides of a
round ran within seconds of each other, so what slows the machine down for a while slows
both. Each engine lives in a process of its own, which waits without a thread running
while another one works: onnxruntime's threads go on spinning for a moment after a run,
and two engines in one process would take the cores from each other. What compares our
loop with other loops over the same session runs in one process, and in turn as well.
Knows nothing of how one engine is driven: `bench_engines` does.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np
import psutil

from benchmarks import engines
from benchmarks.report import Bar, Report, Row, Subject
from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import read_graph
from llm_walkthrough.tokenizer import open_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.report import Pair
    from llm_walkthrough.arrays import TokenIds

T = TypeVar("T")
P = ParamSpec("P")

TEXT = (
    "A library lends books to anyone who asks. In the morning the old reader comes "
    "for the newspaper, at noon the pupils look for a quiet table, and in the evening "
    "somebody returns a novel that was due last spring. "
)
"""What the prompts are made of, repeated as often as needed."""

REST_SECONDS = 0.1
"""Between two turns, so that the threads of the one before have gone to sleep."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        rounds: how often everything is measured, in turn.
        threads: of each engine; None means one for each core.
        prompt_length: tokens of the prompt for prefill and decode.
        new_tokens: tokens that are made after it and timed.
        overhead_context: tokens before the steps that are compared with bare runs.
        contexts: tokens before the steps that are compared with a plain loop.
        plain_tokens: how many such steps.
        memory_tokens: tokens in the cache when the memory is measured a second time.

    Raises:
        InputError: there is no round.
    """

    rounds: int = 5
    threads: int | None = None
    prompt_length: int = 512
    new_tokens: int = 64
    overhead_context: int = 128
    contexts: tuple[int, ...] = (128, 1024, 4096)
    plain_tokens: int = 16
    memory_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(
                f"rounds must be at least 1, got {self.rounds}; 5 are a good number"
            )


RATE = "tokens/s"
GENAI = "onnxruntime-genai"
KINDS = {"greedy": engines.GREEDY, "sampled": engines.SAMPLED}

SUBJECTS = (
    Subject("greedy decode", RATE, GENAI, Bar("at least", 0.97)),
    Subject("prefill", RATE, GENAI, Bar("at least", 0.97)),
    Subject("sampled decode", RATE, GENAI),
    Subject("one step", "ms", "its bare run", Bar("at most", 1.03)),
    Subject("mask of a grammar", "ms", "the model's run", Bar("at most", 0.05)),
)
PLAIN_BARS = {4096: Bar("at least", 1.7)}


def measure(path: Path, plan: Plan, show: Callable[[str, float], None]) -> Report:
    """Measure everything; takes a minute or two.

    Args:
        path: a model folder.
        plan: what is measured, and how often.
        show: told what is being done, and the share of it that is done.

    Raises:
        InputError: the model cannot be opened or is not of the kind that is measured
            here, its context is too short, or onnxruntime-genai is not installed.
    """
    _require_genai()
    threads = plan.threads or psutil.cpu_count(logical=False) or 1
    bench = _Bench(path, plan, threads)
    memory = bench.memory()
    with _new_process() as ours, _new_process() as genai:
        measured = interleaved(plan.rounds, bench.tasks(ours, genai), show, _rest)
    return Report(path.name, threads, plan.rounds, (*bench.rows(measured), *memory))


def interleaved(
    rounds: int,
    tasks: Mapping[str, Callable[[], Pair]],
    show: Callable[[str, float], None],
    rest: Callable[[], None],
) -> dict[str, list[Pair]]:
    """Do all tasks in turn, once to warm up and then `rounds` times.

    Returns:
        For each task what it measured in each round, the warming up left out.
    """
    measured: dict[str, list[Pair]] = {name: [] for name in tasks}
    for done in range(rounds + 1):
        show("measuring", done / (rounds + 1))
        for name, task in tasks.items():
            rest()
            measured[name].append(task())
    show("measuring", 1.0)
    return {name: pairs[1:] for name, pairs in measured.items()}


class _Bench:
    """The comparisons on one model: their prompts, their tasks and their rows."""

    def __init__(self, path: Path, plan: Plan, threads: int) -> None:
        self._plan = plan
        self._ours = engines.Place(engines.Ours, path, threads)
        self._genai = engines.Place(engines.GenAI, path, threads)
        self._words = open_tokenizer(path).encode(TEXT)
        longest = read_graph(path).context_length - plan.plain_tokens
        self._contexts = [n for n in plan.contexts if n < longest - 1]

    def memory(self) -> list[Row]:
        """Measure the memory of each engine in a process of its own, with no other."""
        prompt = self._prompt(self._plan.memory_tokens)
        measured = []
        for place in (self._ours, self._genai):
            with _new_process() as process:
                measured.append(_ask(process, engines.measure_memory, place, prompt))
        (kind, *ours), (_, *theirs) = measured
        names = ("memory after load", f"memory after {len(prompt):,} tokens")
        return [
            Subject(name, f"MB {kind.upper()}", GENAI).row([pair])
            for name, pair in zip(names, zip(ours, theirs, strict=True), strict=True)
        ]

    def tasks(
        self, ours: ProcessPoolExecutor, genai: ProcessPoolExecutor
    ) -> dict[str, Callable[[], Pair]]:
        """What is done in each round, in this order."""
        plan = self._plan
        tasks: dict[str, Callable[[], Pair]] = {}
        for kind, sampling in KINDS.items():
            work = (self._prompt(plan.prompt_length), plan.new_tokens, sampling)
            for process, place in ((ours, self._ours), (genai, self._genai)):
                name = f"{kind}, {place.engine.__name__}"
                tasks[name] = partial(_ask, process, engines.time_answer, place, *work)
        steps = (self._prompt(plan.overhead_context), plan.new_tokens)
        tasks["bare run"] = partial(
            _ask, ours, engines.time_bare_run, self._ours, *steps
        )
        tasks["mask"] = partial(_ask, ours, engines.time_mask, self._ours, *steps)
        for context in self._contexts:
            prompt = tuple(self._prompt(context).tolist())
            tasks[_after(context)] = partial(
                _ask,
                ours,
                engines.time_plain_loop,
                self._ours,
                prompt,
                plan.plain_tokens,
            )
        return tasks

    def rows(self, measured: Mapping[str, list[Pair]]) -> list[Row]:
        """Compare what the rounds measured."""
        greedy, prefill, sampled, overhead, mask = SUBJECTS
        context_rows = [
            Subject(_after(n), RATE, "plain loop", PLAIN_BARS.get(n)).row(
                measured[_after(n)]
            )
            for n in self._contexts
        ]
        return [
            greedy.row(_side_by_side(measured, "greedy", 1)),
            prefill.row(_side_by_side(measured, "greedy", 0)),
            sampled.row(_side_by_side(measured, "sampled", 1)),
            overhead.row(measured["bare run"]),
            mask.row(measured["mask"]),
            *context_rows,
        ]

    def _prompt(self, length: int) -> TokenIds:
        return np.resize(self._words, length)


def _side_by_side(
    measured: Mapping[str, list[Pair]], kind: str, position: int
) -> list[Pair]:
    """Pair what both engines measured, of their prefill (0) or their decode (1)."""
    ours, theirs = measured[f"{kind}, Ours"], measured[f"{kind}, GenAI"]
    return [(a[position], b[position]) for a, b in zip(ours, theirs, strict=True)]


def _after(context: int) -> str:
    return f"decode after {context:,} tokens"


def _new_process() -> ProcessPoolExecutor:
    """Start one process; Ctrl-C ends it without a word."""
    return ProcessPoolExecutor(
        max_workers=1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )


def _ask(
    process: ProcessPoolExecutor, work: Callable[P, T], *what: P.args, **named: P.kwargs
) -> T:
    """Have the process do some work, and wait for it."""
    return process.submit(work, *what, **named).result()


def _require_genai() -> None:
    if find_spec("onnxruntime_genai") is None:
        raise InputError(
            "bench measures against onnxruntime-genai, which is not installed; run "
            '`python3 run.py bench`, or `pip install "llm-walkthrough[test]"`'
        )


def _rest() -> None:
    time.sleep(REST_SECONDS)
