"""The README is short, and the program in it prints what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
LONGEST = 160


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(README.splitlines()) <= LONGEST


def test_each_part_of_the_page_stands_in_it_with_its_licence() -> None:
    parts = tomllib.loads((ROOT / "tools/build_site/parts.toml").read_text("utf-8"))
    (row,) = re.findall(r"^\| (onnxruntime-web, .+?) \| (.+?) \|", README, re.MULTILINE)
    named = dict(zip(*(cell.split(", ") for cell in row), strict=True))
    assert named == {part["name"]: part["licence"] for part in parts["npm"]}


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
