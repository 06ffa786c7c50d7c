"""What did the rounds of a benchmark measure, and does it hold?

Medians, ratios and bars, as a table and as plain fields. Knows nothing of how anything
was measured: `bench` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    Pair = tuple[float, float]
    """What one round measured: ours, and that of the other side."""


@dataclass(frozen=True)
class Bar:
    """What a ratio has to reach, or must not exceed."""

    kind: Literal["at least", "at most"]
    ratio: float

    def is_met(self, ratio: float) -> bool:
        """Tell whether this ratio will do."""
        return ratio >= self.ratio if self.kind == "at least" else ratio <= self.ratio


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: what was measured.
        unit: of `ours` and `theirs`.
        ours: median of the rounds.
        theirs: median of the rounds, of the other side.
        against: the other side.
        ratio: median of the rounds' ours / theirs.
        bar: what the ratio is held against, if anything.
        is_met: whether it holds; None without a bar.
    """

    what: str
    unit: str
    ours: float
    theirs: float
    against: str
    ratio: float
    bar: Bar | None
    is_met: bool | None


@dataclass(frozen=True)
class Subject:
    """What a row is about: a `Row` without the measurements."""

    what: str
    unit: str
    against: str
    bar: Bar | None = None

    def row(self, pairs: list[Pair]) -> Row:
        """Make the row of what the rounds measured."""
        ratio = median(ours / theirs for ours, theirs in pairs)
        ours, theirs = (median(side) for side in zip(*pairs, strict=True))
        is_met = self.bar.is_met(ratio) if self.bar else None
        return Row(
            self.what, self.unit, ours, theirs, self.against, ratio, self.bar, is_met
        )


@dataclass(frozen=True)
class Report:
    """What was measured, on which model, how thoroughly."""

    model: str
    threads: int
    rounds: int
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        head = f"{self.model}, threads: {self.threads}, rounds: {self.rounds}"
        names = ("", "ours", "theirs", "", "against", "ours/theirs", "")
        table = [names, *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join([head, "", *(_line(cells, widths) for cells in table)])


def _cells(row: Row) -> tuple[str, ...]:
    bar = f"{row.bar.kind} {row.bar.ratio:g}: " if row.bar else ""
    verdict = {True: "met", False: "MISSED", None: ""}[row.is_met]
    return (
        row.what,
        f"{row.ours:.2f}",
        f"{row.theirs:.2f}",
        row.unit,
        row.against,
        f"{row.ratio:.3f}",
        f"{bar}{verdict}",
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Numbers to the right, words to the left."""
    turns = "<>><<><"
    padded = (
        f"{cell:{turn}{width}}"
        for cell, turn, width in zip(cells, turns, widths, strict=True)
    )
    return "  ".join(padded).rstrip()
