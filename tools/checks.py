"""Every check there is, each with a line that says how it went."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from launcher.places import ROOT
from launcher.words import say

SLOW = "model or browser"
# two workers, a file as a whole on one of them: its tests share what they open
PAIR = ["-n", "2", "--dist", "loadfile"]


def checks() -> dict[str, list[str]]:
    """List every check: its name, and what follows `python -m`."""
    found = {
        "pins fit together": ["pip", "check"],
        "ruff check": ["ruff", "check"],
        "ruff format": ["ruff", "format", "--check"],
        "mypy": ["mypy"],
        "tests, model-free": ["pytest", "-n", "auto", "-m", f"not ({SLOW})"],
        "tests on the model": ["pytest", *PAIR, "-m", SLOW],
    }
    if notebooks():
        found["notebooks"] = [*comparing(notebooks()), *PAIR]
    return found


def comparing(files: Sequence[str]) -> list[str]:
    """Compare what notebooks store with a run in which all logits are disturbed."""
    nbval = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with"]
    plugins = ["-p", "tests.own_core", "-p", "tests.disturbed"]
    return ["pytest", *plugins, *nbval, "tests/nbval.cfg", *files]


def notebooks() -> list[str]:
    """List the notebooks, the solutions among them, in reading order."""
    found = sorted((ROOT / "notebooks").rglob("*.ipynb"))
    return [str(path) for path in found if ".ipynb_checkpoints" not in path.parts]


def run_checks() -> int:
    """Run every check, even after a red one; returns 1 if any is red."""
    lines = []
    for name, command in checks().items():
        say(f"\n--- {name}")
        began = time.monotonic()
        fault = run_check(command)
        seconds = time.monotonic() - began
        lines.append(f"{'red  ' if fault else 'green'} {seconds:6.1f} s  {name}{fault}")
    red = sum(line.startswith("red") for line in lines)
    say("\n" + "\n".join(lines))
    say(f"checks: {len(lines) - red} passed, {red} failed")
    return 1 if red else 0


def run_check(command: Sequence[str]) -> str:
    """Run one check; returns what is wrong, empty if nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        counting = [f"--junitxml={report}"] if command[0] == "pytest" else []
        line = [sys.executable, "-m", *command, *counting]
        others = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}  # run.py's
        status = subprocess.call(  # noqa: S603 - the checks that are listed above
            line, stdin=subprocess.DEVNULL, cwd=ROOT, env=others
        )
        skipped = count_skips(report) if report.exists() else 0
    if status:
        return f": exit status {status}"
    if skipped and os.environ.get("CI"):
        return f": {skipped} skipped, and under CI a skip is a failure"
    return ""


def count_skips(report: Path) -> int:
    """Count the skipped tests in pytest's report."""
    suites = ET.parse(report).iter("testsuite")  # noqa: S314 - pytest's own file
    return sum(int(suite.get("skipped", 0)) for suite in suites)


if __name__ == "__main__":
    sys.exit(run_checks())
