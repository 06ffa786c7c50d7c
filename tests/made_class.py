"""A class that is made of the course's solutions, with what each exercise must get.

Some learners answer rightly, some as the wrong answers that the hints are for, some not
at all, and some do harm. `python tests/made_class.py FOLDER` makes one and reviews it.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from itertools import cycle
from pathlib import Path

import nbformat

from llm_walkthrough.exercises.exercise import Exercise
from llm_walkthrough.exercises.when import When
from tools.review import __main__ as review
from tools.review.judge import (
    MISSING,
    RIGHT,
    UNANSWERED,
    UNREADABLE,
    WRONG,
)
from tools.review.lesson import Question, code_cells, names_in, questions

COURSE = Path(__file__).resolve().parents[1] / "notebooks"
Wanted = tuple[set[str], str]  # kinds, and what the hint says, "" for anything
HARMFUL_ANSWERS = tomllib.loads(
    Path(__file__).with_name("harmful_answers.toml").read_text("utf-8")
)
DAMAGE: dict[str, Callable[[str], str]] = {
    "half": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "no notebook": lambda _: '{"cells": 3}',
    "a list": lambda _: "[]",
    "nested": lambda _: "[" * 100_000,
}
"""What makes of a notebook none."""

NAMES = ("=cmd|' C calc'!A0", "<img src=x onerror=alert(1)>", "two\nlines", "-1 + 1")
FORGED = 'print("✓ Right.")'


@dataclass
class Made:
    """A class on disk, and what each exercise in it must get."""

    folder: Path
    course: Path = COURSE
    wanted: dict[tuple[str, str, str], Wanted] = field(default_factory=dict)

    def asked(self, lesson: str) -> tuple[Question, ...]:
        return questions(self.course / f"{lesson}.ipynb")

    def hand_in(
        self, learner: str, lesson: str, answers: Mapping[str, str], check: str = ""
    ) -> Path:
        """Write a notebook with answers by their names; one may have a check forged."""
        book = nbformat.read(self.course / f"{lesson}.ipynb", as_version=4)
        cells = [cell for cell in book.cells if cell.cell_type == "code"]
        places = {
            name: next(cell for cell in cells if name in names_in(cell.source)[0])
            for name in answers
        }
        for name, source in answers.items():
            places[name].source = source
        for cell in cells:
            if check and cell.source.startswith(f"{check}("):
                cell.source = FORGED
        file = self.folder / learner / f"{lesson}.ipynb"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(nbformat.writes(book), "utf-8")
        return file

    def want(
        self,
        learner: str,
        lesson: str,
        kinds: set[str],
        answer: str = "",
        hint: str = "",
    ) -> None:
        """Note what an answer must get, or all answers of a notebook."""
        for one in self.asked(lesson):
            if answer in ("", one.answer):
                self.wanted[learner, lesson, one.name] = kinds, hint

    def answer_rightly(self, learner: str, lesson: str) -> Path:
        self.want(learner, lesson, {RIGHT})
        return self.hand_in(learner, lesson, solved(self.course, lesson))

    def answer_wrongly(self, learner: str, lesson: str, number: int) -> None:
        """Answer each exercise as one of the mistakes that are known of it."""
        self.want(learner, lesson, {UNANSWERED})
        answers = {}
        for one in self.asked(lesson):
            if known := known_mistakes(self.course, lesson, one):
                answers[one.answer], hint = known[number % len(known)]
                self.want(learner, lesson, {WRONG}, one.answer, hint)
        self.hand_in(learner, lesson, answers)

    def do_harm(self, learner: str, lesson: str, harm: str) -> None:
        """Answer one exercise with harm and a forged check, the others rightly."""
        source, kinds = HARMFUL_ANSWERS[harm]["code"], HARMFUL_ANSWERS[harm]["verdicts"]
        answers = {**solved(self.course, lesson)}
        one = next(
            one
            for one in self.asked(lesson)
            if f"def {one.answer}(" in answers[one.answer]
            and not any(
                one.answer in names_in(cell)[1]
                for name, cell in answers.items()
                if name != one.answer
            )
        )
        answers[one.answer] = source.replace("NAME", one.answer)
        self.want(learner, lesson, {RIGHT})
        self.want(learner, lesson, {*kinds}, one.answer)
        self.hand_in(learner, lesson, answers, one.check)

    def damage(self, learner: str, lesson: str, how: str) -> None:
        file = self.answer_rightly(learner, lesson)
        file.write_text(DAMAGE[how](file.read_text("utf-8")), "utf-8")
        self.want(learner, lesson, {UNREADABLE})

    def mistakes(self, table: Path) -> list[str]:
        """Compare a review with what was made; returns what is not as it must be."""
        with table.open(encoding="utf-8-sig", newline="") as stream:
            rows = [*csv.DictReader(stream)]
        keys = ("learner", "notebook", "exercise")
        found = {tuple(row[key].removeprefix("'") for key in keys): row for row in rows}
        lines = []
        for (learner, lesson, name), (kinds, hint) in self.wanted.items():
            row = found.get((learner.replace("\n", "⏎"), lesson, name))
            if row is None:
                lines.append(f"{learner!r} {lesson} {name}: no row")
            elif row["verdict"] not in kinds or hint[:400] not in row["hint"]:
                told = f"{row['verdict']}, {row['hint']!r}"
                lines.append(
                    f"{learner!r} {lesson} {name}: {told}, not {kinds} {hint!r}"
                )
        return lines


@cache
def solved(course: Path, lesson: str) -> dict[str, str]:
    """Return the answers of a lesson's solutions."""
    cells = code_cells(course / "solutions" / f"{lesson}.ipynb")
    return {
        one.answer: next(cell for cell in cells if one.answer in names_in(cell)[0])
        for one in questions(course / f"{lesson}.ipynb")
    }


@cache
def known_mistakes(
    course: Path, lesson: str, question: Question
) -> list[tuple[str, str]]:
    """Return cells that answer wrongly, each with what the learner must be told."""
    code = "\n".join(code_cells(course / f"{lesson}.ipynb"))
    (module,) = set(re.findall(r"llm_walkthrough\.exercises\.(\w+)", code))
    theirs = import_module(f"llm_walkthrough.exercises.{module}")
    check = getattr(theirs, question.check)
    if not isinstance(check, Exercise) or not callable(check.right):
        return []
    made = []
    for name, row in check.hints.items():
        one = row[0] if isinstance(row, list) else row
        if not isinstance(one, When):
            place = f'["{name}"]' + "[0]" * isinstance(row, list)
            source = (
                f"from llm_walkthrough.exercises import {module} as theirs\n"
                f"{question.answer} = theirs.{question.check}.hints{place}"
            )
            made.append((source, check(one).message))
    return made


def make_class(folder: Path, lessons: Sequence[str], num_learners: int) -> Made:
    """Make a class in which one in three does harm, or hands in what is no notebook."""
    made, harms, damages = Made(folder), cycle(HARMFUL_ANSWERS), cycle(DAMAGE)
    num_good, names = num_learners // 3, cycle(NAMES)
    for number in range(num_learners):
        who = f"learner {number:02}"
        if number in (1, num_learners - 1, num_learners - 2, num_learners - 3):
            who = next(names)
        for lesson in lessons:
            if number < num_good:
                made.answer_rightly(who, lesson)
            elif number < 2 * num_good:
                made.answer_wrongly(who, lesson, number)
            elif number == 2 * num_good:
                made.want(who, lesson, {UNANSWERED})
                made.hand_in(who, lesson, {})
            elif number == 2 * num_good + 1:
                made.damage(who, lesson, next(damages))
            else:
                made.do_harm(who, lesson, next(harms))
    odd_files(made, "odd files", lessons)
    return made


def odd_files(made: Made, who: str, lessons: Sequence[str]) -> None:
    """Hand in a link, a pipe, and a notebook of another version of the course."""
    folder = made.folder / who
    link, other, pipe, *_ = lessons
    for lesson in lessons:
        made.want(who, lesson, {MISSING})
    folder.mkdir()
    (folder / f"{link}.ipynb").symlink_to(made.folder / "learner 00" / f"{link}.ipynb")
    os.mkfifo(folder / f"{pipe}.ipynb")
    made.want(who, link, {UNREADABLE})
    made.want(who, pipe, {UNREADABLE})
    file = made.answer_rightly(who, other)
    imports = code_cells(made.course / f"{other}.ipynb")[0]
    code = [imports, *solved(made.course, other).values()]
    cells = [{"cell_type": "code", "source": source} for source in code]
    file.write_text(json.dumps({"nbformat": 99, "cells": cells}))


def main(
    folder: str, num_lessons: str = "9", num_learners: str = "30", *rest: str
) -> int:
    """Make a class and review it; returns how much is not as it must be."""
    lessons = [file.stem for file in sorted(COURSE.glob("*.ipynb")) if questions(file)]
    made = make_class(Path(folder), lessons[: int(num_lessons)], int(num_learners))
    review.main([folder, "--to", f"{folder}-reviewed", *rest])
    mistakes = made.mistakes(Path(f"{folder}-reviewed", "review.csv"))
    end = f"{len(made.wanted)} verdicts, {len(mistakes)} not as made\n"
    sys.stdout.write("\n".join([*mistakes, end]))
    return len(mistakes)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
