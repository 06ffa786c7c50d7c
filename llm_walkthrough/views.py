"""Tables, chips and passages, as HTML for a page and as plain text for a terminal.

Every function here is pure: it takes values and returns something that Jupyter shows by
itself when it is the last line of a cell. The HTML, written by `views.html`, holds no
script, style sheet or background, so it reads the same on a page without a kernel,
light or dark. Knows nothing of widgets, and does not run the model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from llm_walkthrough.arrays import Logits, TokenIds
from llm_walkthrough.machine.judgements import Row
from llm_walkthrough.model_files.ports import folded
from llm_walkthrough.model_files.token_text import visible as visible  # noqa: PLC0414 - notebooks show texts by it
from llm_walkthrough.sampling import likeliest_first, softmax

if TYPE_CHECKING:
    from llm_walkthrough.graph import Graph

    Cell = str | float | bool | np.number | None
    Side = Literal["left", "right"]

BORDER = "1px solid rgba(128,128,128,.35)"  # grey that is seen on white and on black
_NONE = "—"
_SIGNS = {"ok": "✓", "note": "•", "problem": "✗"}  # so that colour need not say it
_NUMBER = re.compile(rf"[-+]?\d[\d,.]*( ?[%A-Za-z/]{{1,5}})?|{_NONE}")  # "1,200 kB"


class Code(str):
    """A name or a token, as code writes it: shown in monospace."""

    __slots__ = ()


class _Captioned:
    """Something that is shown under a caption, if it has one."""

    caption: str

    def _repr_html_(self) -> str:
        from llm_walkthrough.guards.markup import filled  # noqa: PLC0415 - takes a while, and a terminal needs none

        return filled("views.html", view=self, border=BORDER)

    def __repr__(self) -> str:
        return f"{self.caption}\n{self._text()}" if self.caption else self._text()

    def _text(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class Table(_Captioned):
    """Rows under headings.

    A cell is text, `Code`, a number, a boolean ("yes", "no") or None ("—"). A column of
    numbers, with or without a unit, stands on the right. Whole numbers are shown as
    Python writes them, others with four figures; for anything else hand in the text.

    >>> Table(("dtype", "bytes"), [("int4", 0.5), ("float32", 4)])
    dtype    bytes
    ───────  ─────
    int4       0.5
    float32      4

    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]  # each as long as `columns`
    caption: str = ""

    @property
    def sides(self) -> list[Side]:
        """On which side of its column each cell stands."""
        if not self.rows:
            return ["left"] * len(self.columns)
        columns = zip(*self.rows, strict=True)
        return ["right" if all(map(_is_number, cells)) else "left" for cells in columns]

    @property
    def cells(self) -> list[list[tuple[str, bool]]]:
        """What is written in each cell, row by row, and whether it is code."""
        return [[(_written(c), isinstance(c, Code)) for c in row] for row in self.rows]

    def _text(self) -> str:
        sides = self.sides
        lines = [list(self.columns), *([text for text, _ in row] for row in self.cells)]
        widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, ["─" * width for width in widths])
        cells = [map(_aligned, line, widths, sides) for line in lines]
        return "\n".join("  ".join(line).rstrip() for line in cells)


@dataclass(frozen=True, repr=False)
class Chips(_Captioned):
    """Short pieces in a row, each in a frame of its own: the tokens of a text."""

    pieces: Sequence[str]
    caption: str = ""

    def _text(self) -> str:
        return " ".join(self.pieces)


@dataclass(frozen=True, repr=False)
class Passage(_Captioned):
    """Running text with its line breaks, such as an answer of the model."""

    text: str  # is wrapped between words where a page is too narrow for a line
    caption: str = ""

    def _text(self) -> str:
        return self.text


class Vocabulary(Protocol):
    """What is needed here of a tokenizer."""

    def piece(self, token: int) -> str:
        """Show one token such that nothing in it is invisible."""


def byte_count(count: float) -> str:
    """Return a number of bytes in the unit that suits it (1 MB is 1,000,000 B).

    >>> byte_count(93_400_000)
    '93.40 MB'
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} B"


def columns_table(columns: Mapping[str, Sequence[Cell]], caption: str = "") -> Table:
    """Return a table of equally long columns, by their headings.

    >>> columns_table({"token": ["cat", "dog"], "share": ["60 %", None]})
    token  share
    ─────  ─────
    cat     60 %
    dog        —
    """
    return Table(tuple(columns), list(zip(*columns.values(), strict=True)), caption)


def ports_table(graph: Graph) -> Table:
    """Return the graph's inputs and outputs; ports that differ in the layer, once."""
    sides = (("in", graph.inputs), ("out", graph.outputs))
    ports = [(side, port) for side, ports in sides for port in ports]
    counts = folded(
        (port.name, (side, port.dtype, ", ".join(map(str, port.shape)), port.role))
        for side, port in ports
    )
    rows = [
        (side, Code(name), Code(dtype), Code(f"[{shape}]"), role, count)
        for (name, (side, dtype, shape, role)), count in counts.items()
    ]
    return Table(("", "name", "dtype", "shape", "role", "ports"), rows)


def arrays_table(arrays: Mapping[str, np.ndarray]) -> Table:
    """Return name, dtype, shape and bytes of arrays, such as those fed to the graph.

    Those that differ only in the layer share a row, and its bytes are those of all.
    """
    counts = folded(
        (name, (str(array.dtype), str(list(array.shape)), array.nbytes))
        for name, array in arrays.items()
    )
    rows = [
        (Code(name), Code(dtype), Code(shape), count, f"{count * size:,}")
        for (name, (dtype, shape, size)), count in counts.items()
    ]
    return Table(("name", "dtype", "shape", "arrays", "bytes"), rows)


def rows_table(rows: Iterable[Row]) -> Table:
    """Return what was found on this machine, what is wanted and how to mend it."""
    cells = [
        (f"{_SIGNS[r.severity]} {r.severity}", r.name, r.found, r.wanted, r.way_out)
        for r in rows
    ]
    return Table(("", "what", "found", "wanted", "what to do"), cells)


def tokens_table(tokenizer: Vocabulary, tokens: TokenIds) -> Table:
    """Return position, id and visible piece of each token."""
    rows = [(i, int(t), Code(tokenizer.piece(int(t)))) for i, t in enumerate(tokens)]
    return Table(("position", "id", "token"), rows)


def token_chips(tokenizer: Vocabulary, tokens: TokenIds, caption: str = "") -> Chips:
    """Return the visible pieces of the tokens in a row."""
    return Chips([tokenizer.piece(int(token)) for token in tokens], caption)


def candidates_table(tokenizer: Vocabulary, logits: Logits, count: int = 10) -> Table:
    """Return the likeliest tokens by logits [vocab]; -inf: a filter has removed it."""
    probabilities, rows = softmax(logits), []
    likeliest = likeliest_first(probabilities)[:count].tolist()
    for rank, token in enumerate(likeliest, start=1):
        figures = (f"{logits[token]:.1f}", f"{100 * probabilities[token]:.1f} %")
        rows.append((rank, token, Code(tokenizer.piece(token)), *figures))
    return Table(("rank", "id", "token", "logit", "probability"), rows)


def _written(cell: Cell) -> str:
    if cell is None:
        return _NONE
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return str(cell) if isinstance(cell, str | Integral) else f"{cell:.4g}"


def _is_number(cell: Cell) -> bool:
    if isinstance(cell, str):
        # a token such as "365" is no number, though it looks like one
        return not isinstance(cell, Code) and bool(_NUMBER.fullmatch(cell))
    return cell is None or (isinstance(cell, Real) and not isinstance(cell, bool))


def _width(text: str) -> int:
    """Columns that a terminal needs: two for wide characters such as CJK."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _aligned(text: str, width: int, side: Side) -> str:
    space = " " * (width - _width(text))
    return space + text if side == "right" else text + space
