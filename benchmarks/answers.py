"""How much sense the model makes with each of a dozen settings, on everyday questions.

Counts what can be counted: facts that are right, answers with a repetition, answers
that end by themselves, answers in the language of the question. Knows nothing of how an
answer is judged: `questions` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.batch import Way, answer_side_by_side
from benchmarks.questions import (
    QUESTIONS,
    Question,
    has_fact,
    has_repetition,
    is_in_language,
)
from benchmarks.report import Show
from llm_walkthrough.answer import chat_prompt, load
from llm_walkthrough.sampling import Processor, Sampling
from llm_walkthrough.views import Table

LIMIT = 256
"""New tokens of an answer at most, as for `ask`."""

HEADINGS = (
    *("temperature", "penalty", "on", "filters"),
    *("facts", "repeats", "ends", "language", "tokens"),
)


@dataclass(frozen=True)
class Setting:
    """What is tried."""

    sampling: Sampling
    counts_prompt: bool = False  # whether the penalty counts the prompt's tokens, too

    @property
    def is_greedy(self) -> bool:
        """Whether all seeds give the same answer."""
        return self.sampling.temperature == 0

    def processors(self, prompt_length: int) -> tuple[Processor, ...]:
        """What reshapes the logits after a prompt of so many tokens."""
        return self.sampling.processors(0 if self.counts_prompt else prompt_length)

    def cells(self) -> tuple[str, str, str, str]:
        """The setting as the first columns of the table."""
        one = self.sampling
        has_penalty = one.repetition_penalty != 1
        filters = {"k": one.top_k, "p": one.top_p, "min-p": one.min_p}
        off = {"k": 0, "p": 1, "min-p": 0}
        on = [f"{name} {filters[name]:g}" for name in off if filters[name] != off[name]]
        return (
            "greedy" if self.is_greedy else f"{one.temperature:g}",
            f"{one.repetition_penalty:g}" if has_penalty else "",
            ("all tokens" if self.counts_prompt else "new tokens")
            if has_penalty
            else "",
            "" if self.is_greedy else ", ".join(on),
        )


def setting(
    temperature: float,
    penalty: float = 1,
    *,
    counts_prompt: bool = False,
    **filters: Any,  # noqa: ANN401 - fields of `Sampling`
) -> Setting:
    """Make a setting; top-k is 40 and top-p 0.9 unless others are given."""
    chosen = {"top_k": 40, "top_p": 0.9, **filters}
    sampling = Sampling(temperature, repetition_penalty=penalty, **chosen)
    return Setting(sampling, counts_prompt)


ONLY_MIN_P: dict[str, Any] = {"top_k": 0, "top_p": 1, "min_p": 0.1}
SETTINGS = (
    setting(0),
    setting(0, 1.1),
    setting(0, 1.1, counts_prompt=True),
    setting(0.3),
    setting(0.3, 1.05),
    setting(0.3, 1.1),
    setting(0.3, 1.1, counts_prompt=True),
    setting(0.3, 1.1, **ONLY_MIN_P),
    setting(0.5, 1.1),
    setting(0.7, 1.1),
    setting(0.8, 1.1),
    setting(0.8, 1.1, counts_prompt=True),
)


@dataclass(frozen=True)
class Plan:
    """What is asked, and with which settings."""

    settings: tuple[Setting, ...] = SETTINGS
    questions: tuple[Question, ...] = QUESTIONS
    limit: int = LIMIT  # new tokens of an answer at most


@dataclass(frozen=True)
class Answered:
    """One answer."""

    question: Question
    text: str
    num_tokens: int
    has_ended: bool  # with an end token, before the limit


@dataclass(frozen=True)
class Row:
    """How one setting did; all but `tokens` are shares of its answers."""

    setting: Setting
    facts: float  # right, of those that were asked for
    repeats: float
    ends: float
    language: float  # that of the question
    tokens: float  # of an answer, on average

    @classmethod
    def of(cls, setting: Setting, answers: Sequence[Answered]) -> Row:
        """Count what was answered."""
        found = [has_fact(one.question, one.text) for one in answers]
        return cls(
            setting,
            facts=fmean(right for right in found if right is not None),
            repeats=fmean(has_repetition(one.text) for one in answers),
            ends=fmean(one.has_ended for one in answers),
            language=fmean(is_in_language(one.question, one.text) for one in answers),
            tokens=fmean(one.num_tokens for one in answers),
        )

    def cells(self) -> tuple[str, ...]:
        """The row as it is shown."""
        shares = (self.facts, self.repeats, self.ends, self.language)
        return (
            *self.setting.cells(),
            *(f"{share:.2f}" for share in shares),
            f"{self.tokens:.0f}",
        )


@dataclass(frozen=True)
class Answers:
    """The table of all settings; there are no bars to be missed."""

    title: str
    rows: tuple[Row, ...]
    missed: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return all fields, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return repr(Table(HEADINGS, [row.cells() for row in self.rows], self.title))


def measure(
    path: Path,
    show: Show,
    rounds: int = 3,
    threads: int | None = None,
    plan: Plan = Plan(),
) -> Answers:
    """Ask every question with every setting of `plan`; takes several minutes.

    `rounds` are the seeds of each setting that draws. The model needs a chat template,
    and a cache whose buffers can be shared.
    """
    model, tokenizer = load(path, threads)
    tries = [
        (setting, seed)
        for setting in plan.settings
        for seed in range(1 if setting.is_greedy else rounds)
    ]
    answers: dict[Setting, list[Answered]] = {one: [] for one in plan.settings}
    for done, question in enumerate(plan.questions):
        show("asking", done / len(plan.questions))
        prompt = tokenizer.encode(chat_prompt(tokenizer, question.text))
        ways = [Way(one.processors(len(prompt)), seed) for one, seed in tries]
        made = answer_side_by_side(model, prompt, ways, plan.limit)
        for (one, _), tokens in zip(tries, made, strict=True):
            has_ended = tokens[-1] in model.graph.end_tokens
            text = tokenizer.decode(tokens[:-1] if has_ended else tokens)
            answers[one].append(Answered(question, text, len(tokens), has_ended))
    show("asking", 1.0)
    title = (
        f"{path.name}, questions: {len(plan.questions)}, seeds: {rounds}, "
        f"new tokens: at most {plan.limit}"
    )
    return Answers(title, tuple(Row.of(*pair) for pair in answers.items()))
