"""Kernels do the same at the same time, and are looked at while they live."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from benchmarks import classroom
from benchmarks.classroom import measure, memory, opening, started, stepping
from llm_walkthrough.errors import InputError

Calls = list[tuple[str, float]]


def test_real_kernels_are_opened_stepped_and_weighed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classroom, "IMPORT", "times, n = [], 0; held = []")
    monkeypatch.setattr(classroom, "OPEN", "held.append(bytearray(30_000_000))")
    monkeypatch.setattr(classroom, "STEP", "n += 1; times = [n] * {tokens}")
    calls: Calls = []

    def show(what: str, share: float) -> None:
        calls.append((what, share))

    with started(2) as kernels:
        opened = {row.what: row.ours for row in opening(kernels, show)}
        stepped = [(row.what, row.ours) for row in stepping(kernels, show)]
        together = {row.what: row.ours for row in memory(kernels)}
    for variant in ("int4", "float32"):
        assert opened[f"private memory, {variant}"] == pytest.approx(30, abs=3)
    assert opened["private memory, the kernel"] > 10
    assert opened["processor time of each until then"] > 0
    assert stepped == [
        ("a step, int4, 2 at once", 1),
        ("a step, float32, 2 at once", 2),
        ("a step, int4, 1 at once", 3),
        ("a step, float32, 1 at once", 4),
    ]
    own, shared, every = together.values()
    assert own > 70
    assert shared > 0
    assert every == pytest.approx(2 * own / 1000 + shared, rel=0.05)
    assert all(0 <= share < 1 for _, share in calls)


def test_a_kernel_that_cannot_do_its_lesson_says_why() -> None:
    with started(1) as (kernel,):
        kernel.send("raise ValueError('no model')")
        with pytest.raises(InputError, match="cannot do its lesson: no model"):
            kernel.receive()


def test_too_many_kernels_for_the_memory_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    free = SimpleNamespace(available=1e9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(InputError, match=r"30 kernels want 6.0 GB .* got 1.0 GB"):
        measure(tmp_path, lambda *_: None, kernels=30)


def test_what_a_server_of_the_hub_sets_a_kernel_has_too() -> None:
    code = "import os; times = [float(os.environ['MALLOC_TRIM_THRESHOLD_'])]"
    with started(1) as (kernel,):
        kernel.send(code)
        assert kernel.receive() == [131072]
