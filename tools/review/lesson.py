"""The exercises of a notebook, and the cells that an answer needs.

Which cells these are is read from names: the cell that makes the answer, those that
make what it uses, and so on. Runs nothing.
"""

from __future__ import annotations

import ast
import json
import re
import symtable
import warnings
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

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
    """Read the code cells of a notebook, whatever its format says of itself.

    Raises:
        ValueError: it is none.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"It has more than {MOST_BYTES / 1e6:.0f} MB.")
    try:
        book = json.loads(content)
        old = (cell for sheet in book.get("worksheets", []) for cell in sheet["cells"])
        cells = [one for one in book.get("cells", old) if one["cell_type"] == "code"]
        return ["".join(one.get("source", one.get("input"))) for one in cells]
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ValueError("It is no notebook, or only a part of one.") from error


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
    """Return the names that a cell makes or changes, and those that it needs.

    Where Python cannot read it, it may be both with every word in it.
    """
    words = frozenset(re.findall(r"\w+", source))
    makes, uses = set[str](), set[str]()
    try:
        code = _TRANSFORMER.transform_cell(source)
        if "run_cell_magic" in code:  # with the cell as a text
            return words, words
        with warnings.catch_warnings(action="ignore"):
            for statement in ast.parse(code).body:
                made, used = _names(ast.unparse(statement))
                uses |= used - makes
                makes |= made
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return words, words
    return frozenset({*makes, *_CHANGE.findall(source)}), frozenset(uses)


def _names(statement: str) -> tuple[set[str], set[str]]:
    table = symtable.symtable(statement, "cell", "exec")
    own, inner = table.get_symbols(), [*table.get_children()]
    for one in inner:  # grows while it is walked through
        inner += one.get_children()
    shared = [s for one in inner for s in one.get_symbols() if s.is_global()]
    makes = {s.get_name() for s in (*own, *shared) if s.is_assigned()}
    makes |= {s.get_name() for s in own if s.is_imported()}
    return makes, {s.get_name() for s in (*own, *shared) if s.is_referenced()}


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
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        match ast.parse(source).body:
            case [ast.Try(body=body)] | body:
                pass
        imports = [one for one in body if isinstance(one, ast.Import | ast.ImportFrom)]
        if imports and len(imports) == len(body):
            kept = [one for one in imports if names_in(ast.unparse(one))[0] & {*wanted}]
            return "\n".join(map(ast.unparse, kept))
    return source
