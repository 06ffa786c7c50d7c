"""A class that is made of the course's solutions, with what each exercise must get.

Some learners answer rightly, some as the wrong answers that the hints are for, some not
at all, and some do harm. `python tests/made_class.py FOLDER` makes one and reviews it.
"""

from __future__ import annotations

import csv
import json
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat

from llm_walkthrough.exercises.exercise import Exercise
from llm_walkthrough.exercises.when import When
from tools.review.judge import (
    MISSING,
    RIGHT,
    STOPPED,
    UNANSWERED,
    UNREADABLE,
    WRONG,
)
from tools.review.lesson import Question, code_cells, names_in, questions

COURSE = Path(__file__).resolve().parents[1] / "notebooks"
Wanted = tuple[set[str], str]  # kinds, and what the hint says, "" for anything
ANY_END = {STOPPED, WRONG}

HARMFUL_ANSWERS: dict[str, tuple[str, set[str]]] = {
    "endless loop": ("def NAME(*given):\n    while True:\n        pass", {STOPPED}),
    "endless cell": ("while True:\n    pass\nNAME = 1", {STOPPED}),
    "endless list": (
        "def NAME(*given):\n    import itertools\n    return itertools.count()",
        ANY_END,
    ),
    "endless in C": ("def NAME(*given):\n    return sum(iter(int, 1))", {STOPPED}),
    "large block": ("block = bytearray(10**12)\nNAME = 1", {WRONG}),
    "many blocks": (
        "def NAME(*given):\n    rows = []\n    while True:\n"
        "        rows.append(bytearray(10**7))",
        ANY_END,
    ),
    "exit()": ("exit()\ndef NAME(*given):\n    return 1", {WRONG, STOPPED}),
    "sys.exit": ("def NAME(*given):\n    import sys\n    sys.exit(0)", {WRONG}),
    "os._exit": ("def NAME(*given):\n    import os\n    os._exit(0)", {STOPPED}),
    "crash": (
        "import ctypes\ndef NAME(*given):\n    return ctypes.string_at(0)",
        {STOPPED},
    ),
    "forks": (
        "import os\ndef NAME(*given):\n    while True:\n        os.fork()",
        ANY_END,
    ),
    "loud": (
        "def NAME(*given):\n    for _ in range(10**5):\n        print('x' * 1000)\n"
        "    return 'loud'",
        {WRONG},
    ),
    "input()": ("NAME = input('your answer')", {WRONG}),
    "kills its parent": (
        "import os, signal\ndef NAME(*given):\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n    return 1",
        ANY_END,
    ),
    "stands still": (
        "import os, signal\ndef NAME(*given):\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n    return 1",
        ANY_END,
    ),
    "syntax": ("def NAME(*given:\n    return", {WRONG}),
    "writes elsewhere": (
        "from pathlib import Path\nPath('left.txt').write_text('here')\n"
        "def NAME(*given):\n    return 'wrote'",
        {WRONG},
    ),
    "claims": (
        "import os\nfor number in range(3, 40):\n    try:\n"
        "        os.write(number, b'gAROLg==\\n' * 9)\n    except OSError:\n        pass\n"
        "def NAME(*given):\n    return 'claimed'",
        ANY_END,
    ),
    "patched": (
        "import numpy\nfrom llm_walkthrough.exercises import exercise, when\n"
        "yes = exercise.Verdict(True, 'all right')\n"
        "exercise.Exercise.__call__ = lambda *given: yes\n"
        "exercise.Exercise._try = lambda *given: ([], yes)\n"
        "when.alike = exercise.alike = numpy.allclose = lambda *given: True\n"
        "def NAME(*given):\n    return 'patched'",
        {WRONG},
    ),
    "equal to all": (
        "class Odd(str):\n    __eq__ = lambda *given: True\n    __hash__ = str.__hash__\n"
        "def NAME(*given):\n    return Odd('odd')",
        {WRONG},
    ),
    "network": (
        "import urllib.request\ndef NAME(*given):\n"
        "    return urllib.request.urlopen('http://127.0.0.1:9').read()",
        {WRONG},
    ),
    "leaves a process": (
        "import subprocess, sys\ndef NAME(*given):\n"
        "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(987)'],"
        " start_new_session=True)\n    return 'left'",
        {WRONG},
    ),
}
"""What stands in place of an answer, and what may come of it."""

DAMAGE: dict[str, Callable[[str], str]] = {
    "half": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "no notebook": lambda _: '{"cells": 3}',
    "a list": lambda _: "[]",
    "nested": lambda _: "[" * 100_000,
    "nbformat 99": lambda text: json.dumps({**json.loads(text), "nbformat": 99}),
}
"""What makes of a notebook none."""

NAMES = ("=cmd|' /C calc'!A0", "<img src=x onerror=alert(1)>", "two\nlines", "-1 + 1")


@dataclass
class Made:
    """A class on disk, and what each exercise in it must get."""

    folder: Path
    course: Path
    lessons: Sequence[str]
    wanted: dict[tuple[str, str, str], Wanted] = field(default_factory=dict)

    def asked(self, lesson: str) -> tuple[Question, ...]:
        return questions(self.course / f"{lesson}.ipynb")

    def hand_in(
        self, learner: str, lesson: str, answers: Mapping[str, str], **change: Any
    ) -> Path:
        """Write a notebook with answers by the names of their functions."""
        book = nbformat.read(self.course / f"{lesson}.ipynb", as_version=4)
        for answer, source in answers.items():
            cells = [cell for cell in book.cells if cell.cell_type == "code"]
            cell = next(cell for cell in cells if answer in names_in(cell.source)[0])
            cell.source = source
        for check, source in change.get("checks", {}).items():
            cell = next(cell for cell in book.cells if cell.source.startswith(check))
            cell.source = source
        file = self.folder / learner / f"{lesson}.ipynb"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(nbformat.writes(book), "utf-8")
        return file

    def want(
        self, learner: str, lesson: str, answer: str, kinds: set[str], hint: str = ""
    ) -> None:
        for one in self.asked(lesson):
            if answer in ("", one.answer):
                self.wanted[learner, lesson, one.name] = kinds, hint

    def mistakes(self, table: Path) -> list[str]:
        """Compare a review with what was made; returns what is not as it must be."""
        with table.open(encoding="utf-8-sig", newline="") as stream:
            rows = [*csv.DictReader(stream)]
        found = {
            (row["learner"].removeprefix("'"), row["notebook"], row["exercise"]): row
            for row in rows
        }
        lines = []
        for (learner, lesson, name), (kinds, hint) in self.wanted.items():
            row = found.get((learner.replace("\n", "⏎"), lesson, name))
            if row is None:
                lines.append(f"{learner!r} {lesson} {name}: no row")
            elif row["verdict"] not in kinds or hint not in row["hint"]:
                told = f"{row['verdict']}, {row['hint']!r}"
                lines.append(f"{learner!r} {lesson} {name}: {told}; not {kinds} {hint!r}")
        return lines


def solved(course: Path, lesson: str) -> dict[str, str]:
    """Return the answers of a lesson's solutions, with what they are made of."""
    cells = code_cells((course / "solutions" / f"{lesson}.ipynb").read_bytes())
    asked = questions(course / f"{lesson}.ipynb")
    return {
        one.answer: next(cell for cell in cells if one.answer in names_in(cell)[0])
        for one in asked
    }


def known_mistakes(
    course: Path, lesson: str, question: Question
) -> list[tuple[str, str]]:
    """Return cells that answer wrongly, each with what the learner must be told."""
    cells = code_cells((course / f"{lesson}.ipynb").read_bytes())
    line = next(one for one in cells if f"import {question.check}" in one or
                f"    {question.check}," in one or f" {question.check}," in one)
    module = line.partition("from llm_walkthrough.exercises.")[2].split()[0]
    check = getattr(import_module(f"llm_walkthrough.exercises.{module}"), question.check)
    if not isinstance(check, Exercise) or not callable(check.right):
        return []
    made = []
    for name, row in check.hints.items():
        one = row[0] if isinstance(row, list) else row
        if not isinstance(one, When):
            source = (
                f"from llm_walkthrough.exercises import {module} as theirs\n"
                f'row = theirs.{question.check}.hints["{name}"]\n'
                f"{question.answer} = row[0] if isinstance(row, list) else row"
            )
            made.append((source, check(one).message))
    return made
