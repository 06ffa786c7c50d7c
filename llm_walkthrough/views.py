"""How does state read as a table, in HTML and as plain text?

Every function here is pure: it takes values and returns something that Jupyter shows by
itself when it is the last line of a cell. The HTML holds no script, no style sheet and
no background colour, so it reads the same on a page without a kernel, light or dark.
Knows nothing of widgets, and does not run the model.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal, Protocol

from llm_walkthrough.sampling import likeliest_first, softmax

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from llm_walkthrough.arrays import Logits, TokenIds
    from llm_walkthrough.graph import Graph
    from llm_walkthrough.model_files.ports import Port

    Cell = str | float | bool | np.number | None
    Side = Literal["left", "right"]

_GREY = "rgba(128,128,128,.35)"
_BORDER = f"1px solid {_GREY}"
_PADDING = "padding:.2em .7em"
_MONOSPACE = "font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace"
_UNBROKEN = 20  # characters; a text up to this length stays on one line
_NONE = "—"
_SIGNS = {"ok": "✓", "note": "•", "problem": "✗"}
_NUMBER = re.compile(rf"[-+]?\d[\d,.]*( ?[%A-Za-z/]{{1,5}})?|{_NONE}")
_LAYER = re.compile(r"\.\d+\.")


class Code(str):
    """A name or a token, as code writes it: shown in monospace."""

    __slots__ = ()


@dataclass(frozen=True, repr=False)
class Table:
    """Rows under headings.

    A cell is text, `Code`, a number, a boolean ("yes", "no") or None ("—"). A column of
    numbers, with or without a unit, stands on the right. Whole numbers are shown as
    Python writes them, others with four figures; for anything else hand in the text.

    Attributes:
        columns: the headings.
        rows: each as long as `columns`.
        caption: what the table shows; stands above it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def _repr_html_(self) -> str:
        sides = self._sides()
        head = "".join(map(_heading, self.columns, sides))
        body = "".join(
            f"<tr>{''.join(map(_html_cell, row, sides))}</tr>" for row in self.rows
        )
        table = '<table style="border-collapse:collapse;margin:.6em 0">'
        return f"{_above(self.caption)}{table}<tr>{head}</tr>{body}</table>"

    def __repr__(self) -> str:
        sides = self._sides()
        lines = [list(self.columns), *([_text(cell) for cell in r] for r in self.rows)]
        widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
        rule = ["─" * width for width in widths]
        aligned = [
            "  ".join(map(_aligned, line, widths, sides)).rstrip()
            for line in (lines[0], rule, *lines[1:])
        ]
        return "\n".join([self.caption, *aligned] if self.caption else aligned)

    def _sides(self) -> list[Side]:
        """Return on which side each column stands."""
        if not self.rows:
            return ["left"] * len(self.columns)
        columns = zip(*self.rows, strict=True)
        return ["right" if all(map(_is_number, cells)) else "left" for cells in columns]


@dataclass(frozen=True, repr=False)
class Chips:
    """Short pieces in a row, each in a frame of its own, such as the tokens of a text.

    Attributes:
        pieces: what stands in the frames.
        caption: what the row shows; stands above it.
    """

    pieces: Sequence[str]
    caption: str = ""

    def _repr_html_(self) -> str:
        chips = "".join(map(_chip, self.pieces))
        return f'{_above(self.caption)}<div style="line-height:2">{chips}</div>'

    def __repr__(self) -> str:
        row = " ".join(self.pieces)
        return f"{self.caption}\n{row}" if self.caption else row


@dataclass(frozen=True, repr=False)
class Passage:
    """Running text with its line breaks, such as an answer of the model.

    Attributes:
        text: is wrapped between words where a page is too narrow for a line.
        caption: what the text is; stands above it.
    """

    text: str
    caption: str = ""

    def _repr_html_(self) -> str:
        style = f"border-left:3px solid {_GREY};padding:.2em .8em"
        lines = "<br>".join(map(html.escape, self.text.split("\n")))
        return f'{_above(self.caption)}<div style="{style}">{lines}</div>'

    def __repr__(self) -> str:
        return f"{self.caption}\n{self.text}" if self.caption else self.text


class Vocabulary(Protocol):
    """What is needed here of a tokenizer."""

    def piece(self, token: int) -> str:
        """Show one token such that nothing in it is invisible."""
        ...


class EnvironmentRow(Protocol):
    """What is needed here of one row of `environment.check()`."""

    @property
    def name(self) -> str:
        """What was looked at."""
        ...

    @property
    def found(self) -> str:
        """What is there."""
        ...

    @property
    def wanted(self) -> str:
        """What should be there."""
        ...

    @property
    def way_out(self) -> str:
        """How to mend it."""
        ...

    @property
    def severity(self) -> str:
        """One of "ok", "note" and "problem"."""
        ...


def visible(text: str) -> str:
    """Return the text with its white space made visible: "␣", "⏎" and "⇥"."""
    return text.translate({ord(" "): "␣", ord("\n"): "⏎", ord("\t"): "⇥"})


def byte_count(count: float) -> str:
    """Return a number of bytes in the unit that suits it (1 MB is 1,000,000 B)."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} B"


def columns_table(columns: Mapping[str, Sequence[Cell]], caption: str = "") -> Table:
    """Return a table of equally long columns, by their headings."""
    return Table(tuple(columns), list(zip(*columns.values(), strict=True)), caption)


def ports_table(graph: Graph) -> Table:
    """Return the graph's inputs and outputs; ports that differ in the layer, once."""
    ports = [("in", port) for port in graph.inputs]
    ports += [("out", port) for port in graph.outputs]
    folded: dict[tuple[Cell, ...], int] = {}
    for direction, port in ports:
        row = (direction, *_port_cells(port))
        folded[row] = folded.get(row, 0) + 1
    rows = [(*row, count) for row, count in folded.items()]
    return Table(("", "name", "dtype", "shape", "role", "ports"), rows)


def arrays_table(arrays: Mapping[str, np.ndarray]) -> Table:
    """Return name, dtype, shape and bytes of arrays, such as those fed to the graph.

    Arrays that differ only in the number of their layer share a row; its bytes are
    those of all of them.
    """
    folded: dict[tuple[Cell, ...], list[int]] = {}
    for name, array in arrays.items():
        row = (_without_layer(name), Code(array.dtype), Code(list(array.shape)))
        folded.setdefault(row, []).append(array.nbytes)
    rows = [(*row, len(sizes), f"{sum(sizes):,}") for row, sizes in folded.items()]
    return Table(("name", "dtype", "shape", "arrays", "bytes"), rows)


def rows_table(rows: Iterable[EnvironmentRow]) -> Table:
    """Return what was found on this machine, what is wanted and how to mend it."""
    cells = [
        (_state(row), row.name, row.found, row.wanted, row.way_out) for row in rows
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
    """Return the likeliest next tokens, with logit and probability.

    Tokens that a filter has removed (logit -inf) are left out.
    """
    probabilities = softmax(logits)
    likeliest = likeliest_first(probabilities)[:count].tolist()
    rows = [
        (
            rank,
            token,
            Code(tokenizer.piece(token)),
            f"{logits[token]:.1f}",
            _percent(probabilities[token]),
        )
        for rank, token in enumerate(likeliest, start=1)
    ]
    return Table(("rank", "id", "token", "logit", "probability"), rows)


def stages_table(
    tokenizer: Vocabulary, stages: Mapping[str, Logits], count: int = 10
) -> Table:
    """Return how the likeliest tokens fare from one stage of processing to the next.

    Args:
        tokenizer: shows the tokens.
        stages: heading to logits [vocab] float32; the first one ranks the tokens.
        count: how many tokens to show.
    """
    columns = [softmax(logits) for logits in stages.values()]
    rows = [
        (Code(tokenizer.piece(int(token))), *(_percent(p[token]) for p in columns))
        for token in likeliest_first(columns[0])[:count]
    ]
    return Table(("token", *stages), rows)


def _state(row: EnvironmentRow) -> str:
    return f"{_SIGNS[row.severity]} {row.severity}"


def _port_cells(port: Port) -> tuple[Cell, ...]:
    shape = ", ".join(str(axis) for axis in port.shape)
    return (_without_layer(port.name), Code(port.dtype), Code(f"[{shape}]"), port.role)


def _without_layer(name: str) -> Code:
    return Code(_LAYER.sub(".{layer}.", name))


def _percent(probability: float) -> str:
    return _NONE if probability == 0 else f"{100 * probability:.1f} %"


def _text(cell: Cell) -> str:
    if cell is None:
        return _NONE
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    is_whole = isinstance(cell, str | Integral)
    return str(cell) if is_whole else f"{cell:.4g}"


def _is_number(cell: Cell) -> bool:
    if isinstance(cell, str):
        return not isinstance(cell, Code) and bool(_NUMBER.fullmatch(cell))
    return cell is None or (isinstance(cell, Real) and not isinstance(cell, bool))


def _above(caption: str) -> str:
    if not caption:
        return ""
    return f'<div style="margin:.3em 0"><b>{html.escape(caption)}</b></div>'


def _heading(name: str, side: Side) -> str:
    style = f"text-align:{side};{_PADDING};border-bottom:{_BORDER}"
    return f'<th style="{style}">{html.escape(name)}</th>'


def _html_cell(cell: Cell, side: Side) -> str:
    text = _text(cell)
    space = (
        "pre"
        if isinstance(cell, Code)
        else "nowrap"
        if len(text) <= _UNBROKEN
        else "normal"
    )
    style = f"text-align:{side};{_PADDING};border-bottom:{_BORDER};white-space:{space}"
    font = f";{_MONOSPACE}" if isinstance(cell, Code) else ""
    return f'<td style="{style}{font};vertical-align:top">{html.escape(text)}</td>'


def _chip(piece: str) -> str:
    frame = f"border:{_BORDER};border-radius:4px;padding:.1em .3em;margin-right:.2em"
    return f'<span style="{frame};{_MONOSPACE}">{html.escape(piece)}</span> '


def _width(text: str) -> int:
    """Columns that a terminal needs: two for wide characters such as CJK."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _aligned(text: str, width: int, side: Side) -> str:
    space = " " * (width - _width(text))
    return space + text if side == "right" else text + space
