"""A class on one machine: what kernels with both variants open cost together.

Each is a real kernel in a process of its own, with the variables of a hub. It does what
a lesson does: imports the panels and the plots, opens int4 and float32, and steps. All
of them work at the same time, as in a class. Knows nothing of servers and browsers:
`hub` does.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from statistics import median
from subprocess import DEVNULL
from time import perf_counter as now
from typing import Any

import psutil
from jupyter_client.manager import KernelManager

from benchmarks.engines import memory_kind
from benchmarks.report import Bar, Report, Row, Show
from llm_walkthrough.catalogue import entries, find
from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import read_graph
from llm_walkthrough.machine.packed import SWITCH
from llm_walkthrough.packing import pack

VARIANTS = ("int4", "float32")
TOKENS = 50
FEW = 2  # kernels without packed copies: each takes as much again
AT_ONCE = (1, 12)  # kernels that step at the same time, besides all of them
ROOM = 0.2e9  # bytes that must be free for each kernel
PATIENCE = 600  # seconds for whatever a kernel is asked to do
BAR = Bar("at most", 6)  # GB, of thirty kernels together

# what a kernel on a hub finds in its environment
HUB = {"JUPYTERHUB_API_URL": "http://127.0.0.1"}
SERVER = Path(__file__).resolve().parent.parent / "binder" / "hub" / "server"
SET = re.compile(r"^export (MALLOC_\w+)=(\S+)", re.MULTILINE)

# Each leaves `times` behind, in milliseconds.
IMPORT = """
from time import perf_counter as now
began = now()
import llm_walkthrough.plots, llm_walkthrough.widgets
from llm_walkthrough.classroom import open_lesson
from llm_walkthrough.stepper import Stepper
times, steppers = [1000 * (now() - began)], {}
"""
OPEN = """
began = now()
lesson = open_lesson({variant!r})
steppers[{variant!r}] = Stepper(lesson.model, lesson.prompt())
times = [1000 * (now() - began)]
"""
STEP = """
times = []
for _ in range({tokens}):
    began = now()
    steppers[{variant!r}].step()
    times.append(1000 * (now() - began))
"""


class Kernel:
    """A kernel, its process, and our connection to it."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._manager = KernelManager()
        # the hub's own are those that its servers set, and the sign of a hub
        own = {**os.environ, **HUB, **dict(SET.findall(SERVER.read_text("utf-8")))}
        self._manager.start_kernel(
            env={**own, **variables}, stdout=DEVNULL, stderr=DEVNULL
        )
        self._client = self._manager.client()
        # no one here reads what the kernel publishes: it would be kept for us
        self._client.start_channels(iopub=False, stdin=False, hb=False)
        provisioner: Any = self._manager.provisioner
        self._process = psutil.Process(provisioner.pid)

    def send(self, code: str) -> None:
        """Have it begin with some code."""
        self._client.execute(code, user_expressions={"times": "times"})

    def receive(self) -> list[float]:
        """Wait for the end of what was sent; returns its `times`.

        Raises:
            InputError: it has raised something.
        """
        content = self._client.get_shell_msg(timeout=PATIENCE)["content"]
        if content["status"] != "ok":
            said = content.get("evalue", content["status"])
            raise InputError(f"a kernel cannot do its lesson: {said}")
        answer = content["user_expressions"]["times"]["data"]["text/plain"]
        times: list[float] = ast.literal_eval(answer)
        return times

    def megabytes(self, kind: str) -> float:
        """Its memory: "pss", shared pages in part, or "uss", only what is its own."""
        return float(getattr(self._process.memory_full_info(), kind)) / 1e6

    def seconds(self) -> float:
        """Time of a processor that it has used."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        """End it."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@contextmanager
def started(count: int, **variables: str) -> Iterator[list[Kernel]]:
    """Start kernels, all at once, and end them."""
    kernels: list[Kernel] = []
    try:
        kernels.extend(Kernel(variables) for _ in range(count))
        yield kernels
    finally:
        for kernel in kernels:
            kernel.stop()


def together(kernels: Sequence[Kernel], code: str, **names: object) -> list[float]:
    """Have them do the same at the same time; returns the times of all."""
    for kernel in kernels:
        kernel.send(code.format(**names) if names else code)
    return [*chain.from_iterable([kernel.receive() for kernel in kernels])]


def measure(path: Path, show: Show, kernels: int = 30) -> Report:
    """Measure a class of so many kernels; takes a few minutes.

    A lesson opens the default model, so `path` is not used; there must be memory for
    all kernels.
    """
    del path
    wanted, free = kernels * ROOM, psutil.virtual_memory().available
    if free < wanted:
        raise InputError(
            f"{kernels} kernels want {wanted / 1e9:.1f} GB of free memory, got "
            f"{free / 1e9:.1f} GB; name fewer with --kernels"
        )
    for variant in VARIANTS:
        pack(read_graph(find(f"{entries()[0].name}-{variant}")))
    with started(kernels) as every:
        rows = [*opening(every, show), *stepping(every, show), *memory(every)]
    with started(FEW, **{SWITCH: "off"}) as few:
        list(opening(few, show))
        own = median(kernel.megabytes("uss") for kernel in few)
        rows.append(Row("private memory of each without packed copies", "MB", own))
    return Report(f"kernels: {kernels}, tokens: {TOKENS} of each variant", tuple(rows))


def opening(kernels: Sequence[Kernel], show: Show) -> Iterator[Row]:
    """Open both variants in all of them, and look at the memory part by part."""
    parts: list[tuple[str, str, dict[str, str]]] = [
        ("the kernel", "times = []", {}),
        ("imports", IMPORT, {}),
        *((variant, OPEN, {"variant": variant}) for variant in VARIANTS),
    ]
    began, before = now(), 0.0
    for done, (part, code, names) in enumerate(parts):
        show("opening", done / len(parts))
        together(kernels, code, **names)
        private = median(kernel.megabytes("uss") for kernel in kernels)
        yield Row(f"private memory, {part}", "MB", private - before)
        before = private
    yield Row("all open", "s", now() - began)
    spent = median(kernel.seconds() for kernel in kernels)
    yield Row("processor time of each until then", "s", spent)


def stepping(kernels: Sequence[Kernel], show: Show) -> Iterator[Row]:
    """Have all of them step, then some of them; the figures are medians of a step."""
    counts = [len(kernels), *(count for count in AT_ONCE if count < len(kernels))]
    for done, count in enumerate(counts):
        show("stepping", done / len(counts))
        for variant in VARIANTS:
            names = {"variant": variant, "tokens": TOKENS}
            times = together(kernels[:count], STEP, **names)
            yield Row(f"a step, {variant}, {count} at once", "ms", median(times))


def memory(kernels: Sequence[Kernel]) -> Iterator[Row]:
    """Look what they hold when each has done its steps."""
    kind = memory_kind()
    every = sum(kernel.megabytes(kind) for kernel in kernels) / 1e3
    own = [kernel.megabytes("uss") for kernel in kernels]
    yield Row("private memory of each", "MB", median(own))
    yield Row("memory that all share", "GB", every - sum(own) / 1e3)
    yield Row("memory of all together", f"GB {kind.upper()}", every, BAR)
