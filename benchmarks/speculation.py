"""Guesses against the plain loop: how many times as fast the same work is done.

All texts are greedy, and end with the model's end token or after 200 tokens. With a
grammar there are two plain loops: one runs the graph for every token, as one writes it
first and as most engines do; the other is this package's own, which takes tokens that
are forced together. Beside them onnxruntime-genai's n-grams on the same folder, and
what a run of many tokens costs, which bounds all of this. Knows nothing of whether the
tokens are the same: `proof` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import engines
from benchmarks.engines import GREEDY, Pair, seconds
from benchmarks.proof import JSON, SCHEMA, STORY
from benchmarks.report import Bar, Report, Show, compared
from benchmarks.speed import GENAI, RATE, EngineProcess
from llm_walkthrough.answer import chat_prompt
from llm_walkthrough.arrays import Logits, TokenIds
from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.grammar import json_schema
from llm_walkthrough.sampling import Processor
from llm_walkthrough.speculation import NGrams
from llm_walkthrough.stepper import EndTokens
from llm_walkthrough.structured_output import GrammarMask
from llm_walkthrough.tokenizer import open_tokenizer

TASKS = {
    "JSON": JSON,
    "rewriting": f"Copy this text word for word, but correct the spelling:\n\n{STORY}",
    "prose": "Tell me a story about a fox.",
}
COUNT = 200  # new tokens at most
LENGTHS = (2, 4, 6, 8, 12, 16, 32, 64)  # tokens of runs whose costs are measured
PAST = 120  # tokens in the cache before them
TIMES = 8  # that each is measured in a round
BARS = {
    "int4": {"JSON": 1.5, "rewriting": 1.4, "prose": 1.0, "JSON, grammar": 2.0},
    "float32": {"JSON": 2.0, "prose": 1.0, "JSON, grammar": 2.0},
}
"""By the end of the folder's name, how many times as fast each thing has to be."""

PLAIN, TOGETHER = "plain loop", "forced together"


def measure(
    path: Path,
    show: Show,
    rounds: int = 5,
    threads: int | None = None,
    count: int = COUNT,
) -> Report:
    """Measure everything with texts of at most `count` tokens; takes some minutes."""
    threads = threads or engines.one_per_core()
    tokenizer = open_tokenizer(path)
    prompts = {
        name: tokenizer.encode(chat_prompt(tokenizer, text))
        for name, text in TASKS.items()
    }
    kinds = [(kind, path, threads) for kind in (engines.Ours, engines.GenAI)]
    measured: list[dict[tuple[str, str, str], Pair]] = []
    with EngineProcess(*kinds[0]) as ours, EngineProcess(*kinds[1]) as genai:
        for done in range(rounds + 1):
            show("measuring", done / (rounds + 1))
            measured.append(one_round(ours, genai, prompts, count))
    show("measuring", 1.0)
    wanted = next((bars for end, bars in BARS.items() if path.name.endswith(end)), {})
    rows = []
    for thing in measured[0]:
        what, unit, against = thing
        limit = wanted.get(what) if against == PLAIN else None
        bar = None if limit is None else Bar("at least", limit)
        pairs = [one[thing] for one in measured[1:]]  # the first round warms up
        rows.append(compared(what, unit, against, pairs, bar))
    title = f"{path.name}, threads: {threads}, rounds: {rounds}"
    return Report(title, tuple(rows))


def one_round(
    ours: EngineProcess,
    genai: EngineProcess,
    prompts: dict[str, TokenIds],
    count: int,
) -> dict[tuple[str, str, str], Pair]:
    """Measure everything once: by thing, unit and other side, our figure and theirs."""
    found: dict[tuple[str, str, str], Pair] = {}
    for name, prompt in prompts.items():
        pair = ours.measure(time_guesses, prompt, count, "")
        theirs = genai.measure(time_ngrams, prompt, count)
        found[name, RATE, PLAIN] = pair
        found[name, RATE, f"{GENAI}'s n-grams"] = pair[0], theirs[0]
        found[f"{name} by {GENAI}", RATE, "itself without"] = theirs
    for against in (PLAIN, TOGETHER):
        pair = ours.measure(time_guesses, prompts["JSON"], count, against)
        found["JSON, grammar", RATE, against] = pair
    for length in LENGTHS:
        pair = ours.measure(time_run, prompts["JSON"], length)
        found[f"run of {length} tokens", "ms", "run of 1"] = pair
    return found


@dataclass(frozen=True)
class OneByOne:
    """A grammar's mask that does not say beforehand where a token is forced."""

    mask: GrammarMask

    def __call__(self, logits: Logits, context: TokenIds, /) -> Logits:
        """Return logits [vocab] float32, -inf for all that may not come."""
        return self.mask(logits, context)


def time_guesses(
    ours: engines.Ours, prompt: TokenIds, count: int, against: str
) -> Pair:
    """Return the tokens per second of a text with guesses, and of one without.

    `against` names the loop that follows the grammar; "": there is none.
    """
    graph, rates = ours.model.graph, []
    for guesser in (NGrams(), None):
        stepper = ours.stepper(prompt, count, GREEDY)
        if against:
            tokenizer = open_tokenizer(graph.path.parent)
            vocabulary = GrammarVocabulary(tokenizer, graph.vocab, graph.end_tokens)
            mask = GrammarMask(json_schema(SCHEMA), vocabulary, len(prompt), count)
            is_plain = guesser is None and against == PLAIN
            first: Processor = OneByOne(mask) if is_plain else mask
            stepper.processors = (first, *stepper.processors)
        stepper.guesser = guesser
        _ = stepper.logits  # the prompt is not timed
        steps = stepper.run(count, {"end": EndTokens(graph.end_tokens)})
        spent = seconds(partial(list, steps))
        rates.append(len(stepper.new_tokens) / spent)
    guessing, plain = rates
    return guessing, plain


def time_ngrams(genai: engines.GenAI, prompt: TokenIds, count: int) -> Pair:
    """Return the same for onnxruntime-genai with its own n-grams and without."""
    rates = []
    for options in ({"ngram_size": 3, "max_draft_tokens": 6}, {}):
        generator = genai.generator(prompt, count, options)
        before = generator.token_count()

        def finish() -> None:
            while not generator.is_done():  # noqa: B023 - it is called right away
                generator.generate_next_token()  # noqa: B023 - likewise

        spent = seconds(finish)
        rates.append((generator.token_count() - before) / spent)
    guessing, plain = rates
    return guessing, plain


def time_run(ours: engines.Ours, prompt: TokenIds, length: int) -> Pair:
    """Return the median milliseconds of a run of so many tokens, and of one token."""
    model = ours.model
    _, past = model.run(np.resize(prompt, PAST), model.new_cache(PAST + length))
    pairs = []
    for _ in range(TIMES):
        times = []
        for count in (length, 1):
            cut = past.truncated(PAST - 1)
            _, cut = model.run(prompt[:1], cut)  # so that each comes after a run of 1
            times.append(seconds(partial(model.run, np.resize(prompt, count), cut)))
        pairs.append(times)
    many, one = np.median(pairs, axis=0) * 1000
    return float(many), float(one)
