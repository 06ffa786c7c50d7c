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
_FORMULA = ("=", "+", "-", "@")


class Review(NamedTuple):
    """What came of a class; no name or hint in it has more than one line."""

    title: str
    exercises: Mapping[str, Sequence[str]]  # by lesson, "05_sampling"
    # of each learner, and each exercise as (lesson, name)
    findings: Mapping[str, Mapping[tuple[str, str], Finding]]
    remarks: Sequence[str]  # on the whole

    @property
    def hints(self) -> dict[tuple[str, str, str, str], list[str]]:
        """Who was told what: learners by lesson, exercise, verdict and hint."""
        told: dict[tuple[str, str, str, str], list[str]] = {}
        for learner, findings in self.findings.items():
            for (lesson, name), (kind, hint) in findings.items():
                about = "all" if kind == judge.UNREADABLE else name
                who = told.setdefault((lesson, about, kind, hint), [])
                if hint and learner not in who:
                    who.append(learner)
        return {key: told[key] for key in sorted(told) if told[key]}


def as_text(review: Review) -> str:
    """Write one line for each learner, with a sign for each exercise."""
    heads = [one[:2].ljust(len(names)) for one, names in review.exercises.items()]
    lines = [review.title, "", " ".join([f"{'learner':28}", *heads])]
    for learner, findings in review.findings.items():
        signs = [
            "".join(SIGNS[findings[lesson, one].kind] for one in names)
            for lesson, names in review.exercises.items()
        ]
        lines.append(" ".join([f"{learner[:28]:28}", *signs]))
    lines += ["", "  ".join(f"{sign} {kind}" for kind, sign in SIGNS.items()), ""]
    for (lesson, exercise, kind, hint), who in review.hints.items():
        lines += [f"{lesson} {exercise}, {kind}: {', '.join(who)}", f"    {hint}"]
    return "\n".join([*lines, "", *review.remarks, ""])


def as_csv(review: Review) -> str:
    """Write one line for each learner and exercise; no cell of it is a formula."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("learner", "notebook", "exercise", "verdict", "hint"))
    for learner, findings in review.findings.items():
        for column, finding in findings.items():
            cells = (learner, *column, *finding)
            rows.writerow(f"'{x}" if x.startswith(_FORMULA) else x for x in cells)
    return text.getvalue()


def as_page(review: Review) -> str:
    """Write a page that stands alone."""
    markup = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = markup.from_string(_PAGE.read_text("utf-8"))
    return page.render(review=review, signs=SIGNS)
