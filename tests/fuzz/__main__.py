"""Damaged input for every reader: how many cases were refused, taken, or went wrong.

    python -m tests.fuzz [--cases N] [--seconds S] [--seed N] [READER …]

Each reader runs in a process of its own, which is watched: a case that takes more than
ten seconds or two gigabytes is a fault, as is a crash or a traceback.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MOST_SECONDS, MOST_BYTES = 10.0, 2_000_000_000
READERS = (
    *("gguf", "onnx", "config", "tokenizer", "template", "grammar"),
    *("run_file", "record", "models", "event"),
)


@dataclass
class Result:
    """What came of the cases of one reader."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def fuzz(reader: str, cases: int, seconds: float, seed: int = 0) -> Result:
    """Read cases until there were so many, or until the time is over."""
    result, number, end = Result(), 0, monotonic() + seconds
    while number < cases and monotonic() < end:
        number = _until_it_breaks(reader, seed, number, cases - number, end, result)
    return result


def _until_it_breaks(  # noqa: PLR0913 - one loop, split where a process ends
    reader: str, seed: int, first: int, count: int, end: float, result: Result
) -> int:
    """Run one process; returns the number of the case after the last one."""
    words = [sys.executable, str(HERE / "worker.py"), reader, str(seed), str(first)]
    path = "; ".join(
        f"sys.path.insert(0, {str(p)!r})" for p in (ROOT, HERE.parent, HERE)
    )
    program = f"import runpy, sys; {path}; sys.argv = sys.argv[1:]; "
    program += "runpy.run_path(sys.argv[0], run_name='__main__')"
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [words[0], "-c", program, *words[1:], str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
    )
    state = {"number": first, "since": None, "why": ""}
    watch = threading.Thread(target=_watch, args=(process, state, end))
    watch.start()
    number = first
    assert process.stdout is not None
    for line in process.stdout:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "case":
            number = int(rest)
            state |= {"number": number, "since": monotonic()}
        elif word == "done":
            state["since"] = None
            kind = rest.partition(" ")[0]
            result.counts[kind] += 1
            if kind not in ("taken", "refused"):
                result.faults.append(f"{reader} {seed} {number}: {rest}")
            number += 1
    process.wait()
    watch.join()
    if state["why"] != "time" and number < first + count:
        kind = str(state["why"] or "crash")
        result.counts[kind] += 1
        result.faults.append(f"{reader} {seed} {number}: {kind} {process.returncode}")
        number += 1
    return number


def _watch(
    process: subprocess.Popen[str], state: dict[str, object], end: float
) -> None:
    while process.poll() is None:
        since = state["since"]
        try:
            inner = psutil.Process(process.pid)
            used = inner.memory_info().rss
        except psutil.Error:
            return
        if isinstance(since, float) and monotonic() - since > MOST_SECONDS:
            state["why"] = "hang"
        elif used > MOST_BYTES:
            state["why"] = "memory"
        elif monotonic() > end and since is None:
            state["why"] = "time"
        if state["why"]:
            process.kill()
            return
        threading.Event().wait(0.02)


def main() -> int:
    """Fuzz the readers that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    parser.add_argument("--cases", type=int, default=1_000, help="of each reader")
    parser.add_argument("--seconds", type=float, default=600.0, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faults: list[str] = []
    for reader in options.readers or READERS:
        result = fuzz(reader, options.cases, options.seconds, options.seed)
        counts = ", ".join(f"{k} {n}" for k, n in sorted(result.counts.items()))
        print(f"{reader:10} {counts}", flush=True)
        for fault in result.faults:
            print(f"  {fault}", flush=True)
        faults += result.faults
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
