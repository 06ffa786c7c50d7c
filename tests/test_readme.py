"""The README is short, and the program in it prints what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
LONGEST = 160


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(README.splitlines()) <= LONGEST


@pytest.mark.model
def test_the_program_prints_what_stands_below_it() -> None:
    found = re.search(r"```python\n([^`]+)```\n\n```\n(.+?)\n```", README, re.DOTALL)
    assert found is not None
    program, output = found.groups()
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert ended.stdout.rstrip() == output, ended.stderr
