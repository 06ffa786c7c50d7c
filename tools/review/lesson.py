"""Notebooks: whose they are, the exercises in them, and the cells that an answer needs.

Which cells these are is read from names: the cell that makes the answer, those that
make what it uses, and so on. Runs nothing.
"""

from __future__ import annotations

import ast
import json
import re
import stat
import symtable
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from llm_walkthrough.errors import InputError, harmless

MOST_BYTES = 50_000_000  # of a notebook
_NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)


class Question(NamedTuple):
    """An exercise, as its check in the course's own notebook asks it."""

    check: str  # "check_feed"
    answer: str  # "my_feed"
    others: tuple[str, ...]  # what else the check is given

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.check.removeprefix("check_")


def shown(name: str) -> str:
    """Return a name, or a hint, in one line in which no sign is an order."""
    readable = name.encode("utf-8", "backslashreplace").decode()
    return harmless(re.sub(r"[\n\t]", "⏎", readable))


def handed_in(folder: Path, lessons: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Return each learner's notebooks by lesson, "05_sampling"; the newest counts.

    A learner is a folder in `folder`, or else what the name of a notebook says beside
    that of the lesson. No link is followed.

    Raises:
        InputError: nobody has handed in anything.
    """
    learners: dict[str, dict[str, Path]] = {
        shown(one.name): {}
        for one in folder.iterdir()
        if one.is_dir() and one.name[0] != "."
    }
    for file in sorted(folder.rglob("*.ipynb"), key=lambda one: one.lstat().st_mtime):
        parts = file.relative_to(folder).parts
        lesson = next((one for one in lessons if one in file.name), "")
        if lesson and not any(one[0] == "." or one == "solutions" for one in parts):
            beside = file.stem.replace(lesson, "").strip(" _-") or "(no name)"
            who = parts[0] if len(parts) > 1 else beside
            learners.setdefault(shown(who), {})[lesson] = file
    if not any(learners.values()):
        what = "holds no notebooks of the course"
        raise InputError(f"{folder} {what}; name a folder with one for each learner")
    return dict(sorted(learners.items()))


def code_cells(file: Path) -> list[str]:
    """Read the code cells of a notebook.

    Raises:
        ValueError: it is none.
    """
    facts = file.lstat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("It is a link, which is not followed, or no file.")
    if facts.st_size > MOST_BYTES:
        raise ValueError(f"It has more than {MOST_BYTES / 1e6:.0f} MB.")
    try:
        cells = json.loads(file.read_bytes())["cells"]
        return ["".join(x["source"]) for x in cells if x["cell_type"] == "code"]
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise ValueError(f"It is no notebook, or a part of one ({error}).") from error


@cache
def questions(lesson: Path) -> tuple[Question, ...]:
    """Return the exercises of one of the course's own notebooks."""
    found = []
    for source in code_cells(lesson):
        match ast.parse(source).body:
            case [ast.Expr(ast.Call(ast.Name(name), arguments))] if (
                name[:6] == "check_"
            ):
                given = [one.id for one in arguments if isinstance(one, ast.Name)]
                found.append(Question(name, given[0], tuple(given[1:])))
    return tuple(found)


@cache
def names_in(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that a cell makes or changes, and those that it uses.

    One that is not plain Python, as with a %magic, may be both with every word in it.
    """
    try:
        tables = [symtable.symtable(source, "cell", "exec")]
    except _NO_PYTHON:
        words = frozenset(re.findall(r"\w+", source))
        return words, words
    for one in tables:  # grows while it is walked through
        tables += one.get_children()
    own, *inner = (one.get_symbols() for one in tables)
    names = [*own, *(name for one in inner for name in one if name.is_global())]
    makes = [one for one in names if one.is_assigned() or one.is_imported()]
    uses = [one for one in names if one.is_referenced()]
    return frozenset(x.get_name() for x in makes), frozenset(x.get_name() for x in uses)


def needed(cells: Sequence[str], names: Collection[str]) -> tuple[list[int], set[str]]:
    """Return the places of the cells that make these names, and what those need.

    With them come these names and all that the cells use.
    """
    wanted, taken = {*names}, set[int]()
    while True:
        places = {i for i, one in enumerate(cells) if names_in(one)[0] & wanted}
        if places == taken:
            return sorted(taken), wanted
        wanted.update(*(names_in(cells[place])[1] for place in places - taken))
        taken = places


def lighter(source: str, wanted: Collection[str]) -> str:
    """Return a cell of imports without those that nobody wants, which take seconds."""
    with suppress(*_NO_PYTHON):
        match ast.parse(source).body:
            case [ast.Try(body=body)] | body:
                pass
        imports = [one for one in body if isinstance(one, ast.Import | ast.ImportFrom)]
        if imports and len(imports) == len(body):
            kept = [one for one in imports if names_in(ast.unparse(one))[0] & {*wanted}]
            return "\n".join(map(ast.unparse, kept))
    return source
