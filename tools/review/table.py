"""What came of a class, as text, as CSV for a spreadsheet, and as a page that prints.

Knows nothing of how it was found.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined

from tools.review import judge
from tools.review.handed_in import shown_name
from tools.review.judge import Finding

SIGNS = {
    judge.RIGHT: "✓",
    judge.WRONG: "✗",
    judge.UNANSWERED: "…",
    judge.STOPPED: "!",
    judge.UNREADABLE: "?",
    judge.MISSING: "–",
    judge.UNTRIED: "/",
}
_PAGE = Path(__file__).with_name("page.html")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Review(NamedTuple):
    """What came of a class."""

    title: str
    exercises: Mapping[str, Sequence[str]]  # by lesson, "05_sampling"
    # of each learner, and each exercise as (lesson, name)
    findings: Mapping[str, Mapping[tuple[str, str], Finding]]
    remarks: Sequence[str]  # on the whole, and on learners

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The exercises, in reading order."""
        return [
            (lesson, one) for lesson in self.exercises for one in self.exercises[lesson]
        ]

    @property
    def hints(self) -> dict[tuple[str, str, str, str], list[str]]:
        """Who was told what: learners by lesson, exercise, verdict and hint."""
        told: dict[tuple[str, str, str, str], list[str]] = {}
        for column in self.columns:
            for learner, findings in self.findings.items():
                kind, hint, _ = findings[column]
                is_whole = kind in (judge.UNREADABLE, judge.UNTRIED)  # notebook
                about = (column[0], "all") if is_whole else column
                who = told.setdefault((*about, kind, hint), []) if hint else [learner]
                if learner not in who:
                    who.append(learner)
        return told


def as_text(review: Review) -> str:
    """Write one line for each learner, with a sign for each exercise."""
    names = {learner: shown_name(learner)[:28] for learner in review.findings}
    width = max(map(len, (*names.values(), "learner")))
    heads = [one[:2].ljust(len(names)) for one, names in review.exercises.items()]
    lines = [review.title, "", " ".join(["learner".ljust(width), *heads])]
    for learner, name in names.items():
        signs = [
            "".join(
                SIGNS[review.findings[learner][lesson, one].kind] for one in exercises
            )
            for lesson, exercises in review.exercises.items()
        ]
        padded = (one.ljust(len(head)) for one, head in zip(signs, heads, strict=True))
        lines.append(" ".join([name.ljust(width), *padded]).rstrip())
    lines += ["", "  ".join(f"{sign} {kind}" for kind, sign in SIGNS.items()), ""]
    for (lesson, exercise, kind, hint), learners in review.hints.items():
        who = ", ".join(map(shown_name, learners))
        lines += [f"{lesson} {exercise}, {kind}: {who}", f"    {shown_name(hint)}"]
    return "\n".join([*lines, "", *review.remarks, ""])


def as_csv(review: Review) -> str:
    """Write one line for each learner and exercise; no cell of it is a formula."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("learner", "notebook", "exercise", "verdict", "hint", "remark"))
    for learner, findings in review.findings.items():
        for column in review.columns:
            cells = map(shown_name, (learner, *column, *findings[column]))
            rows.writerow(f"'{x}" if x.startswith(_FORMULA) else x for x in cells)
    return text.getvalue()


def as_page(review: Review) -> str:
    """Write a page that stands alone."""
    markup = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    markup.filters["shown"] = shown_name
    page = markup.from_string(_PAGE.read_text("utf-8"))
    return page.render(review=review, signs=SIGNS)
