"""Report of what was measured, as a table and as plain fields, and whether it holds.

Medians, ratios and bars. Knows nothing of how anything was measured: `speed` and
`panel` do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal, Protocol

from benchmarks.engines import Pair
from llm_walkthrough.views import Table

Show = Callable[[str, float], None]
"""Told what is being done, and the share of it that is done, 0 … 1."""

HEADINGS = ("", "ours", "theirs", "unit", "against", "ours/theirs", "bar")


@dataclass(frozen=True)
class Bar:
    """What a figure has to reach, or must not exceed."""

    kind: Literal["at least", "at most"]
    limit: float

    def is_met(self, figure: float) -> bool:
        """Tell whether this figure will do."""
        return figure >= self.limit if self.kind == "at least" else figure <= self.limit

    def __str__(self) -> str:
        return f"{self.kind} {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """One thing that was measured, alone or beside another side."""

    what: str
    unit: str
    ours: float  # median of the rounds
    bar: Bar | None = None  # for the ratio; without another side for `ours`
    against: str = ""  # the other side
    theirs: float | None = None  # median of the rounds
    ratio: float | None = None  # ours / theirs

    @property
    def figure(self) -> float:
        """What the bar is for."""
        return self.ours if self.ratio is None else self.ratio

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None without a bar."""
        return self.bar.is_met(self.figure) if self.bar else None


def compared(
    what: str, unit: str, against: str, pairs: Sequence[Pair], bar: Bar | None = None
) -> Row:
    """Make the row of what the rounds measured of both sides."""
    # both sides of a round ran within seconds of each other, so that what slows the
    # machine down for a while is in both: hence no ratio of the medians
    ratio = median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (median(side) for side in zip(*pairs, strict=True))
    return Row(what, unit, ours, bar, against, theirs, ratio)


class Told(Protocol):
    """What a benchmark hands over: `str` of it is the table that people read."""

    @property
    def missed(self) -> Sequence[str]:
        """A sentence for each bar that is missed."""

    def record(self) -> dict[str, Any]:
        """Return all fields, ready for JSON."""


@dataclass(frozen=True)
class Report:
    """What was measured, on which model, how thoroughly."""

    title: str
    rows: tuple[Row, ...]

    @property
    def missed(self) -> list[str]:
        """A sentence for each bar that is missed."""
        return [
            f"{row.what} misses its bar: {row.figure:.3f}, wanted {row.bar}."
            for row in self.rows
            if row.is_met is False
        ]

    def record(self) -> dict[str, Any]:
        """Return all fields, ready for JSON."""
        rows = [{**asdict(row), "is_met": row.is_met} for row in self.rows]
        return {"title": self.title, "rows": rows}

    def __str__(self) -> str:
        table = [HEADINGS, *map(_cells, self.rows)]
        used = [column for column in zip(*table, strict=True) if any(column[1:])]
        headings, *rows = zip(*used, strict=True)
        return "\n".join([repr(Table(headings, rows, self.title)), *self.missed])


def _cells(row: Row) -> tuple[str, ...]:
    verdict = {True: "met", False: "MISSED", None: ""}[row.is_met]
    return (
        row.what,
        str(row.ours) if isinstance(row.ours, int) else f"{row.ours:.2f}",
        "" if row.theirs is None else f"{row.theirs:.2f}",
        row.unit,
        row.against,
        "" if row.ratio is None else f"{row.ratio:.3f}",
        f"{row.bar}: {verdict}" if row.bar else "",
    )
