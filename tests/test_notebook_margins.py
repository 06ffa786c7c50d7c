"""What nbval compares holds on another processor: it survives disturbed logits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import numpy as np
import pytest
from handicap import FLOAT32, INT4, NONE, handicap_of

from llm_walkthrough.catalogue import find
from tools import checks
from tools.notebooks import execute, save

TESTS = Path(__file__).resolve().parent


def logits(*first: float) -> np.ndarray:
    """Return one row [1, 100], the given logits and then many that are low."""
    return np.array([[*first, *[-20.0] * (100 - len(first))]], np.float32)


@pytest.mark.parametrize(("best", "likeliest"), [(5.5, 0), (6.1, 1)])
def test_only_a_runner_up_within_the_margin_becomes_the_likeliest(
    best: float, likeliest: int
) -> None:
    row = logits(5.0, best, 1.0)
    INT4.disturb(row)
    assert row.argmax() == likeliest


def test_the_noise_is_as_small_as_float32_and_the_same_each_time() -> None:
    once, again, before = logits(5.0, 6.0), logits(5.0, 6.0), logits(5.0, 6.0)
    FLOAT32.disturb(once)
    FLOAT32.disturb(again)
    assert (once == again).all()
    assert 0 < np.abs(once - before).max() < 1.1e-4


def test_a_graph_without_logits_is_left_alone(tmp_path: Path) -> None:
    assert handicap_of(tmp_path / "model.onnx", ["sum"]) is NONE
    assert handicap_of(b"the bytes of a graph", ["logits"]) is NONE


@pytest.mark.model
@pytest.mark.parametrize("variant", ["int4", "float32"])
@pytest.mark.parametrize("cache", ["new_grown_cache", "new_shared_cache"])
def test_logits_are_disturbed_through_either_cache(variant: str, cache: str) -> None:
    row = (
        "import sys, numpy; from pathlib import Path;"
        "from llm_walkthrough.model import open_model;"
        "model = open_model(Path(sys.argv[1]));"
        f"rows, _ = model.run(numpy.arange(9), model.{cache}(32));"
        "sys.stdout.buffer.write(rows[-1].tobytes())"
    )
    disturbed = f"import runpy; runpy.run_path({str(TESTS / 'handicap.py')!r}, "
    disturbed += "run_name='__main__');"
    folder = str(find(f"smollm2-135m-instruct-{variant}"))
    plain = np.frombuffer(python("-c", row, folder), np.float32).copy()
    changed = np.frombuffer(python("-c", disturbed + row, folder), np.float32)
    {"int4": INT4, "float32": FLOAT32}[variant].disturb(plain[np.newaxis])
    np.testing.assert_array_equal(changed, plain)


@pytest.mark.model
def test_an_output_without_margin_is_found(tmp_path: Path) -> None:
    code = (
        "from llm_walkthrough.classroom import open_lesson\n"
        "lesson = open_lesson()\n"
        "rows, _ = lesson.model.run(lesson.prompt(), lesson.model.new_cache())\n"
        "rows[-1].argmax(), float(rows[-1].max())  # all digits: no margin at all"
    )
    file = tmp_path / "00_fragile.ipynb"
    cell = nbformat.v4.new_code_cell(code)
    save(nbformat.v4.new_notebook(cells=[cell]), file)
    save(execute(file), file)
    disturbed = checks.comparing([str(file)])
    at = disturbed.index("tests.disturbed")
    plain = disturbed[: at - 1] + disturbed[at + 1 :]  # without "-p" and its name
    assert (exit_status(plain), exit_status(disturbed)) == (0, 1)


def exit_status(command: Sequence[str]) -> int:
    line = [sys.executable, "-m", *command, "-p", "no:cacheprovider"]
    return subprocess.call(line, cwd=TESTS.parent, stdout=subprocess.DEVNULL)


def python(*arguments: str) -> bytes:
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout
