"""Proof that guesses change no token: texts with and without them, compared.

On float32 not one may differ. On int4 a run of many tokens rounds otherwise than runs
of one, so texts part; the report then says after how many tokens. Knows nothing of how
long anything takes: `speculation` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.engines import GREEDY, SAMPLED
from benchmarks.questions import OPEN
from benchmarks.report import Bar, Report, Row, Show
from llm_walkthrough.answer import chat_prompt, load
from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.grammar import json_schema
from llm_walkthrough.model import Model
from llm_walkthrough.sampling import Processor, Sampling
from llm_walkthrough.speculation import GuessCount, NGrams
from llm_walkthrough.stepper import EndTokens, Stepper
from llm_walkthrough.structured_output import GrammarMask

STORY = (
    "Tom went to the market and bought three apples. He gave one apple to his sister, "
    "and he ate the second apple on the way home. In the evening Tom baked a cake with "
    "the last apple. His mother liked the cake, and she asked Tom to bake another one."
)
TABLE = (
    "name,minutes,level\ncat cow,5,easy\nchild pose,3,easy\nbridge,4,medium\n"
    "cobra,2,easy\ntree,3,medium\nplank,1,hard"
)
CODE = """def mean(numbers):
    total = 0
    for number in numbers:
        total = total + number
    return total / len(numbers)
"""
JSON = (
    "Give me a short yoga routine against lower back pain. As a JSON list of objects "
    "with name, description and instructions."
)
SCHEMA = """{"type": "array", "minItems": 4, "items": {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 30},
        "description": {"type": "string", "maxLength": 90},
        "minutes": {"type": "integer", "minimum": 1, "maximum": 60}},
    "required": ["name", "description", "minutes"],
    "additionalProperties": false}}"""
REPEATING = (
    JSON,
    f"Write this table as JSON, a list of objects:\n\n{TABLE}",
    f"Copy this text word for word, but correct the spelling:\n\n{STORY}",
    f"Rewrite this story. Write Anna instead of Tom:\n\n{STORY}",
    f"Translate this story into French:\n\n{STORY}",
    f"Rename total to result, and repeat the whole code:\n\n```python\n{CODE}```",
    f"Add a function for the variance to this code:\n\n```python\n{CODE}```",
    "List twenty countries, each with its capital.",
    "Write the multiplication table of 7, from 7 x 1 to 7 x 20.",
    "Give me a JSON list of five books, each with title, author and year.",
)
PROMPTS = (*OPEN, *REPEATING)
COUNT = 200  # new tokens of each text; with a grammar it may end sooner


def measure(
    path: Path,
    show: Show,
    rounds: int = 1,
    prompts: Sequence[str] = PROMPTS,
    count: int = COUNT,
) -> Report:
    """Compare all texts of a model; takes some ten minutes.

    Each of the `prompts` is answered with as many seeds as there are `rounds`, in at
    most `count` tokens, fewer where a grammar ends the text.
    """
    model, tokenizer = load(path)
    asked = [tokenizer.encode(chat_prompt(tokenizer, text)) for text in prompts]
    vocabulary = GrammarVocabulary(tokenizer, model.vocab, model.graph.end_tokens)

    def processors(
        sampling: Sampling, start: int, *, has_grammar: bool
    ) -> tuple[Processor, ...]:
        mask = GrammarMask(json_schema(SCHEMA), vocabulary, start, count)
        return ((mask,) if has_grammar else ()) + sampling.processors(start)

    rows: list[Row] = []
    kinds = [(s, g) for g in (False, True) for s in (GREEDY, SAMPLED)]
    for number, (sampling, has_grammar) in enumerate(kinds):
        pairs = []
        for seed in range(rounds):
            for place, prompt in enumerate(asked):
                done = (number + (seed + place / len(asked)) / rounds) / len(kinds)
                show("comparing", done)
                used = processors(sampling, len(prompt), has_grammar=has_grammar)
                pairs.append(both(model, prompt, used, seed, count))
        what = "greedy" if sampling == GREEDY else "sampled"
        is_exact = path.name.endswith("float32")
        what += ", JSON schema" if has_grammar else ""
        rows += compared(what, pairs, is_exact=is_exact)
    show("comparing", 1.0)
    title = f"{path.name}, prompts: {len(prompts)}, seeds: {rounds}, up to {count} new"
    return Report(title, tuple(rows))


def both(
    model: Model,
    prompt: TokenIds,
    processors: tuple[Processor, ...],
    seed: int,
    count: int,
) -> tuple[Stepper, Stepper]:
    """Return the steppers of the same text, made without guesses and with them."""
    made = []
    for guesser in (None, NGrams()):
        stepper = Stepper(
            model,
            prompt,
            processors=processors,
            seed=seed,
            cache=model.new_cache(len(prompt) + count + 1),
            guesser=guesser,
        )
        is_masked = any(isinstance(one, GrammarMask) for one in processors)
        ends = {"end": EndTokens(model.graph.end_tokens)} if is_masked else {}
        for _ in stepper.run(count, ends):
            pass
        made.append(stepper)
    without, with_guesses = made
    return without, with_guesses


def compared(
    what: str, pairs: Sequence[tuple[Stepper, Stepper]], *, is_exact: bool
) -> list[Row]:
    """Make the rows of some texts: tokens that differ, where they part, the runs."""
    same = [alike(one.new_tokens, other.new_tokens) for one, other in pairs]
    lengths = [len(one.new_tokens) for one, _ in pairs]
    parted = [n for n, length in zip(same, lengths, strict=True) if n < length]
    runs = sum(len(one.runs) for one, _ in pairs)
    guessed = GuessCount.of([run for _, other in pairs for run in other.runs])
    total, bar = sum(lengths), Bar("at most", 0) if is_exact else None
    against, ratio = "without guesses", guessed.runs / runs
    rows = [
        Row(f"{what}: of {total:,} tokens differ", "tokens", total - sum(same), bar),
        Row(f"{what}: {guessed}", "runs", guessed.runs, None, against, runs, ratio),
    ]
    if parted:
        rows.append(Row(f"{what}: texts part after", "tokens", float(median(parted))))
    return rows


def alike(one: TokenIds, other: TokenIds) -> int:
    """Count the tokens up to the first that differs."""
    length = min(len(one), len(other))
    return int(np.cumprod(one[:length] == other[:length]).sum())
