"""Speed of converted GGUF files against llama.cpp on the same files, in turn.

The files are written on the spot, with random weights and the default model's
tokenizer: one whose types are mixed as in files called Q4_K_M, which has the bars, and
smaller ones of a single type. llama.cpp is the wheel `xllamacpp`. Knows nothing of how
the rows become a table.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from benchmarks import engines
from benchmarks.engines import Pair
from benchmarks.random_gguf import NUMBERS, Shape, q4_k_m, write_random_gguf
from benchmarks.report import Bar, Report, Row, Show, compared
from benchmarks.speed import RATE, EngineProcess
from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.catalogue import fetch_gguf
from llm_walkthrough.conversion.convert import convert
from llm_walkthrough.errors import InputError

PROMPT, NEW = 128, 32  # tokens that are read and made
BARS = {"decode": Bar("at least", 0.9), "prefill": Bar("at least", 1.2)}
MIXED, OF_ONE_TYPE = Shape(layers=12), Shape(layers=8, hidden=1024, ffn=2816, heads=16)


class LlamaCpp:
    """llama.cpp on a GGUF file; it times its answers itself."""

    def __init__(self, file: Path, threads: int) -> None:
        library: Any = importlib.import_module("xllamacpp")
        given = library.CommonParams()
        given.model.path = str(file)
        given.n_ctx, given.n_parallel, given.n_gpu_layers = 2048, 1, 0
        given.cpuparams.n_threads = given.cpuparams_batch.n_threads = threads
        given.verbosity = 0
        self._server = library.Server(given)

    def time_answer(self, prompt: TokenIds, count: int) -> Pair:
        """Tokens a second that are read, and made."""
        request = {"prompt": prompt.tolist(), "n_predict": count, "temperature": 0}
        request |= {"cache_prompt": False, "ignore_eos": True}
        found = self._server.handle_completions(request)["timings"]
        return found["prompt_per_second"], found["predicted_per_second"]


def measure(
    path: Path, show: Show, rounds: int = 5, threads: int | None = None
) -> Report:
    """Measure everything; takes some minutes, and 3 GB of disk while it runs.

    The files are made here, so `path` is not used. Needs llama.cpp.
    """
    if find_spec("xllamacpp") is None:
        raise InputError(
            "bench gguf measures against llama.cpp, which is not installed; run "
            "`pip install xllamacpp`"
        )
    del path
    threads = threads or engines.one_per_core()
    kinds: dict[str, tuple[Shape, Callable[..., str]]] = {"Q4_K_M": (MIXED, q4_k_m)}
    kinds |= {kind: (OF_ONE_TYPE, partial(_always, kind)) for kind in NUMBERS}
    rows: list[Row] = []
    with TemporaryDirectory(prefix="bench-gguf-") as name:
        for done, (kind, (shape, kind_of)) in enumerate(kinds.items()):
            show(f"measuring {kind}", done / len(kinds))
            file, folder = Path(name, f"{kind}.gguf"), Path(name, kind)
            write_random_gguf(file, fetch_gguf("smollm2"), shape, kind_of)
            convert(file, folder, variant="int4")
            rows += _rows(kind, file, folder, rounds, threads)
            file.unlink()
            (folder / "model.onnx.data").unlink()
    show("measuring", 1.0)
    return Report(f"GGUF files, threads: {threads}, rounds: {rounds}", tuple(rows))


def _always(kind: str, *_: object) -> str:
    return kind


def _rows(
    kind: str, file: Path, folder: Path, rounds: int, threads: int
) -> Iterator[Row]:
    prompt = np.random.default_rng(0).integers(300, 40_000, PROMPT)
    with (
        EngineProcess(engines.Ours, folder, threads) as ours,
        EngineProcess(cast("Any", LlamaCpp), file, threads) as theirs,
    ):
        measured = [
            (
                ours.measure(engines.time_answer, prompt, NEW, engines.GREEDY),
                theirs.measure(cast("Any", LlamaCpp.time_answer), prompt, NEW),
            )
            for _ in range(rounds + 1)
        ][1:]  # the first round warms up
    for place, what in enumerate(("prefill", "decode")):
        pairs = [(mine[place], other[place]) for mine, other in measured]
        bar = BARS[what] if kind == "Q4_K_M" else None
        yield compared(f"{what}, {kind}", RATE, "llama.cpp", pairs, bar)
    sizes = (folder / "model.onnx.data").stat().st_size, file.stat().st_size
    yield compared(
        f"size, {kind}", "MB", "the file", [(sizes[0] / 1e6, sizes[1] / 1e6)]
    )
