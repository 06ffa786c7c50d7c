"""Damaged inputs, which every reader reads or refuses in one sentence.

More of them by hand, or one of them again:

    FUZZ_CASES=1000 FUZZ_SECONDS=600 python -m pytest -s tests/fuzz/test_fuzz.py
    FUZZ_SEED=0 FUZZ_FIRST=17 FUZZ_CASES=1 python -m pytest tests/fuzz -k onnx
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from fuzz.readers import READERS

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 2_000_000_000  # of memory
SEED, FIRST, CASES, SECONDS = (
    int(os.environ.get(f"FUZZ_{name}", usual))
    for name, usual in (("SEED", 0), ("FIRST", 0), ("CASES", 100), ("SECONDS", 4))
)
PROGRAM = """\
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from fuzz.worker import read_cases
read_cases(sys.argv[3], *map(int, sys.argv[4:7]), Path(sys.argv[7]))
"""


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_input_is_read_or_refused_in_a_sentence(
    reader: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    counts, faults = Counter[str](), list[str]()
    longest, deadline, number = 0.0, time.monotonic() + SECONDS, FIRST
    while number < FIRST + CASES and time.monotonic() < deadline:
        notes = worked(reader, number, deadline, tmp_path / "notes")
        for case, note in zip(notes[::2], notes[1::2], strict=False):
            outcome, seconds = note.split()
            counts[outcome], longest = counts[outcome] + 1, max(longest, float(seconds))
            number = int(case) + 1
            if outcome not in {"taken", "refused"}:
                faults.append(f"case {case}: {note}")
        if len(notes) % 2:  # the last one has ended the process
            number = int(notes[-1]) + 1
            counts["broken"] += 1
            faults.append(f"case {notes[-1]}: {capfd.readouterr().err[-2_000:]}")
    with capfd.disabled():
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        sys.stdout.write(f"\n{reader}: {told}; the longest took {longest:.1f} s")
    repeat = f"FUZZ_SEED={SEED} FUZZ_FIRST=… FUZZ_CASES=1 pytest tests/fuzz -k {reader}"
    assert not faults, f"repeat with {repeat}\n" + "\n".join(faults)
    assert counts


def worked(reader: str, first: int, deadline: float, notes: Path) -> list[str]:
    """Let a process read cases until one ends it or the time is over; its notes."""
    notes.write_text("")
    numbers = map(str, (SEED, first, FIRST + CASES))
    places = map(str, (ROOT, ROOT / "tests"))
    command = [sys.executable, "-c", PROGRAM, *places, reader, *numbers, str(notes)]
    with subprocess.Popen(command) as process:
        is_over = False
        while process.poll() is None and not is_over:
            time.sleep(0.05)
            with suppress(psutil.Error):  # it has just ended
                if psutil.Process(process.pid).memory_info().rss > MOST_BYTES:
                    sys.stderr.write(f"it took more than {MOST_BYTES:,} bytes\n")
                    process.kill()
            told = read(notes)
            is_between = len(told) > 1 and len(told) % 2 == 0
            is_over = is_between and time.monotonic() > deadline
        process.kill()
    told = read(notes)
    return told[: len(told) // 2 * 2] if is_over else told


def read(notes: Path) -> list[str]:
    return notes.read_text("utf-8").splitlines()
