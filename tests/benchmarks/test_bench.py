"""Everything is measured in turn, and every row is there."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from functools import partial

import pytest

from benchmarks import bench
from benchmarks.bench import Plan, interleaved, measure
from llm_walkthrough.catalogue import entries, find
from llm_walkthrough.errors import InputError

ROWS = [
    "greedy decode",
    "prefill",
    "sampled decode",
    "one step",
    "mask of a grammar",
    "decode after 8 tokens",
    "memory after load",
    "memory after 12 tokens",
]


def test_tasks_are_done_in_turn_with_a_rest_before_each() -> None:
    done: list[str] = []

    def task(name: str) -> tuple[float, float]:
        done.append(name)
        return len(done), 0.0

    tasks = {name: partial(task, name) for name in "ABC"}
    measured = interleaved(
        2, tasks, lambda _what, _share: None, lambda: done.append("-")
    )
    assert "".join(done) == "-A-B-C" * 3
    # the first round warms up and is not counted
    assert measured == {
        "A": [(8, 0.0), (14, 0.0)],
        "B": [(10, 0.0), (16, 0.0)],
        "C": [(12, 0.0), (18, 0.0)],
    }


def test_progress_goes_from_nothing_to_everything() -> None:
    shares: list[float] = []
    interleaved(3, {}, lambda _what, share: shares.append(share), lambda: None)
    assert shares == [0, 0.25, 0.5, 0.75, 1]


def test_no_round_is_refused() -> None:
    with pytest.raises(InputError, match="rounds must be at least 1, got 0"):
        Plan(rounds=0)


def test_missing_onnxruntime_genai_is_told_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"not installed; run `python3 run\.py bench`"):
        measure(find("."), Plan(), lambda _what, _share: None)


@pytest.mark.model
def test_tiny_run_on_the_real_model_has_every_row() -> None:
    plan = Plan(
        rounds=1,
        prompt_length=8,
        new_tokens=2,
        overhead_context=8,
        contexts=(8, 9_000),  # the second does not fit and is left out
        plain_tokens=2,
        memory_tokens=12,
    )
    report = measure(find(entries()[0].name), plan, lambda _what, _share: None)
    record = json.loads(json.dumps(asdict(report)))
    assert [row["what"] for row in record["rows"]] == ROWS
    for row in record["rows"]:
        assert row["ours"] > 0
        assert row["theirs"] > 0
        assert row["ratio"] == pytest.approx(row["ours"] / row["theirs"])
        assert (row["bar"] is None) == (row["is_met"] is None)


def test_onnxruntime_genai_is_not_loaded_into_the_process_that_compares() -> None:
    code = "import sys, benchmarks.bench; print(*sys.modules)"
    imported = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "onnxruntime_genai" not in imported.stdout.split()
