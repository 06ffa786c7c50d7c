"""Speed of an execution provider against the CPU's, and where the nodes were placed.

Both sides are this package, each in a process of its own, and take turns. Knows nothing
of how one engine is driven: `engines` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import engines
from benchmarks.engines import Ours, Pair
from benchmarks.report import Report, Show, compared
from benchmarks.speed import RATE, TEXT, EngineProcess, Sizes
from llm_walkthrough.machine.providers import placement
from llm_walkthrough.model import open_model
from llm_walkthrough.tokenizer import open_tokenizer


@dataclass(frozen=True)
class On:
    """Opens this package on a provider, as an engine's class opens it on the CPU."""

    provider: str

    def __call__(self, folder: Path, threads: int) -> Ours:
        """Return the engine; it has no buffers to share, except on the CPU."""
        return Ours(folder, threads, self.provider)


def measure(
    path: Path,
    show: Show,
    rounds: int = 5,
    threads: int | None = None,
    provider: str = "cpu",
) -> Report:
    """Measure prefill and decode on a provider, and on the CPU.

    `provider` is a name, as `open_model` takes it.
    """
    nodes = placement(open_model(path, threads=threads, provider=provider).session)
    threads = threads or engines.one_per_core()
    prompt = np.resize(open_tokenizer(path).encode(TEXT), Sizes.prompt)
    what = engines.time_answer, prompt, Sizes.new, engines.GREEDY
    measured: list[tuple[Pair, Pair]] = []
    with (
        EngineProcess(On(provider), path, threads) as ours,
        EngineProcess(Ours, path, threads) as cpu,
    ):
        for done in range(rounds + 1):
            show("measuring", done / (rounds + 1))
            measured.append((ours.measure(*what), cpu.measure(*what)))
    show("measuring", 1.0)
    rows = [
        # the first round warms up
        compared(name, RATE, "the CPU", [(a[i], b[i]) for a, b in measured[1:]])
        for i, name in enumerate(("prefill", "greedy decode"))
    ]
    title = f"{path.name}, threads: {threads}, rounds: {rounds}, nodes: {nodes}"
    return Report(title, tuple(rows))
