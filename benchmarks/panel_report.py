"""What did a comparison of two panels measure, and does it hold?

Medians, ratios and counts, as a table and as plain fields. Knows nothing of how
anything was measured: `bench_panel` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

from benchmarks.report import Bar
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

BAR = Bar("at most", 0.7)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        steps: that are timed, of each panel.
        block: so many steps of one panel, then of the other.
        warm_up: steps before those, of each.
        redraws: of our panel, over which the memory is compared.

    Raises:
        InputError: there are too few steps for a median and a 95th percentile.
    """

    steps: int = 200
    block: int = 10
    warm_up: int = 10
    redraws: int = 300

    def __post_init__(self) -> None:
        if self.steps < self.block or self.steps % self.block:
            raise InputError(
                f"steps must be a multiple of {self.block}, got {self.steps}; 200 are "
                "a good number"
            )


@dataclass(frozen=True)
class Frames:
    """What the frames showed while one panel was used.

    Attributes:
        all: how many there were.
        empty: without candidates.
        torn: with parts of different steps.
        jumped: in which the panel had another height than in the one before.
    """

    all: int
    empty: int
    torn: int
    jumped: int


@dataclass(frozen=True)
class Times:
    """What one panel took, in milliseconds.

    Attributes:
        median: from click to painted, without the model.
        most: 95 % took at most so long.
        model: median of the model's own time.
        frames: that were seen meanwhile.
        kept_focus: after how many steps the button still had the focus.
    """

    median: float
    most: float
    model: float
    frames: Frames
    kept_focus: int


@dataclass(frozen=True)
class Memory:
    """What page and kernel hold.

    Attributes:
        heap: of the page's script, in MB.
        nodes: of the page.
        kernel: in MB.
    """

    heap: float
    nodes: int
    kernel: float


@dataclass(frozen=True)
class PanelReport:
    """What was measured.

    Attributes:
        model: its name.
        plan: how thoroughly.
        panel: ours.
        buttons: the other one.
        before: memory before the redraws.
        after: memory after them.
    """

    model: str
    plan: Plan
    panel: Times
    buttons: Times
    before: Memory
    after: Memory

    def __str__(self) -> str:
        ours, theirs = self.panel, self.buttons
        counts = ("all", "empty", "torn", "jumped")
        lines = [
            f"{self.model}, {self.plan.steps} steps of each panel",
            "",
            _line("from click to painted, without the model", "panel", "buttons")
            + f"{'ratio':>9}",
            _ratio("median, ms", ours.median, theirs.median),
            _ratio("95 % at most, ms", ours.most, theirs.most),
            _line("the model itself, ms", f"{ours.model:.1f}", f"{theirs.model:.1f}"),
            *(
                _line(
                    "frames with a change" if name == "all" else f"of them {name}",
                    *(str(getattr(one.frames, name)) for one in (ours, theirs)),
                )
                for name in counts
            ),
            _line("steps that kept the focus", ours.kept_focus, theirs.kept_focus),
            "",
            _line(f"over {self.plan.redraws} redraws of the panel", "before", "after"),
            *(
                _line(what, *(f"{getattr(one, name):,.{digits}f}" for one in both))
                for both in [(self.before, self.after)]
                for what, name, digits in (
                    ("script of the page, MB", "heap", 1),
                    ("nodes of the page", "nodes", 0),
                    ("kernel, MB", "kernel", 1),
                )
            ),
        ]
        return "\n".join(lines)


def times(
    painted: Sequence[float],
    model: Sequence[float],
    frames: Sequence[Frames],
    kept_focus: int,
) -> Times:
    """Sum up what one panel took.

    Args:
        painted: milliseconds from click to painted, of each step.
        model: seconds of the model in the same steps.
        frames: of each block.
        kept_focus: as in `Times`.
    """
    rest = [all_in - 1000 * own for all_in, own in zip(painted, model, strict=True)]
    counts = ("all", "empty", "torn", "jumped")
    total = {name: sum(getattr(one, name) for one in frames) for name in counts}
    return Times(
        median(rest),
        quantiles(rest, n=20, method="inclusive")[-1],
        1000 * median(model),
        Frames(**total),
        kept_focus,
    )


def _ratio(what: str, ours: float, theirs: float) -> str:
    ratio = ours / theirs
    verdict = "met" if BAR.is_met(ratio) else "MISSED"
    numbers = _line(what, f"{ours:.1f}", f"{theirs:.1f}")
    return f"{numbers}{ratio:>9.3f}  {BAR.kind} {BAR.ratio}: {verdict}"


def _line(what: str, one: object, other: object) -> str:
    return f"{what:<42}{one:>9}{other:>9}"
