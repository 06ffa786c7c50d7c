"""The exercises of a notebook, and the cells that an answer needs.

Which cells these are is read from names: the cell that makes the answer, those that
make what it uses, and so on. Runs nothing.
"""

from __future__ import annotations

import ast
import re
import symtable
import warnings
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

MOST_BYTES = 50_000_000  # of a notebook
_TRANSFORMER: Any = TransformerManager()  # type: ignore[no-untyped-call] # of %magic
_CHANGE = re.compile(r"^(\w+)[\[.].*[^=!<>]=[^=]", re.MULTILINE)  # as name["a"] = 3


class Question(NamedTuple):
    """An exercise, as its check in the course's own notebook asks it."""

    check: str  # "check_feed"
    answer: str  # "my_feed"
    others: tuple[str, ...]  # what else the check is given

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.check.removeprefix("check_")

    @property
    def cell(self) -> str:
        """The check as it stands in the notebook."""
        return f"{self.check}({', '.join((self.answer, *self.others))})"


def code_cells(content: bytes) -> list[str]:
    """Read the code cells of a notebook.

    Raises:
        ValueError: it is none, of any known version.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"It has more than {MOST_BYTES / 1e6:.0f} MB.")
    try:
        with warnings.catch_warnings(action="ignore"):  # of cells without an id
            book = nbformat.reads(content.decode("utf-8-sig"), as_version=4)
        return ["".join(one.source) for one in book.cells if one.cell_type == "code"]
    except Exception as error:  # a stranger's file may break nbformat anywhere
        raise ValueError(f"It is no notebook ({type(error).__name__}).") from error


@cache
def questions(lesson: Path) -> tuple[Question, ...]:
    """Return the exercises of one of the course's own notebooks."""
    found = []
    for source in code_cells(lesson.read_bytes()):
        match ast.parse(source).body:
            case [ast.Expr(ast.Call(ast.Name(check), arguments))] if check.startswith(
                "check_"
            ):
                names = [one.id for one in arguments if isinstance(one, ast.Name)]
                found.append(Question(check, names[0], tuple(names[1:])))
    return tuple(found)


@cache
def names_in(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that a cell makes or changes, and those that it uses.

    Where Python cannot read it, it may be both with every word in it.
    """
    try:
        code = _TRANSFORMER.transform_cell(source)
        words = "" if "run_cell_magic" not in code else source  # the cell is a text
        with warnings.catch_warnings(action="ignore"):
            table = symtable.symtable(code, "cell", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        table, words = symtable.symtable("", "cell", "exec"), source
    own, shared, inner = table.get_symbols(), [], [*table.get_children()]
    for one in inner:  # grows while it is walked through
        inner += one.get_children()
        shared += [symbol for symbol in one.get_symbols() if symbol.is_global()]
    makes = {s.get_name() for s in (*own, *shared) if s.is_assigned()}
    makes |= {s.get_name() for s in own if s.is_imported()}
    uses = {s.get_name() for s in (*own, *shared) if s.is_referenced()}
    either = {*re.findall(r"\w+", words)}
    return frozenset({*makes, *either, *_CHANGE.findall(source)}), frozenset(
        uses | either
    )


def needed(cells: Sequence[str], names: Collection[str]) -> list[int]:
    """Return the places of the cells that make these names, and what those need."""
    wanted, taken = {*names}, set[int]()
    while True:
        places = {i for i, one in enumerate(cells) if names_in(one)[0] & wanted}
        if places == taken:
            return sorted(taken)
        wanted.update(*(names_in(cells[place])[1] for place in places - taken))
        taken = places
