"""Whatever the seed and the temperature, the real model's JSON parses and validates.

STRUCTURED_RUNS says how many answers are made: 200 of them take a minute or two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from llm_walkthrough.answer import chat_prompt, load
from llm_walkthrough.arrays import Logits, TokenIds
from llm_walkthrough.catalogue import find
from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.grammar import JSON_STYLE, json_schema
from llm_walkthrough.model import Model
from llm_walkthrough.sampling import Processor, Sampling, TopK
from llm_walkthrough.stepper import EndTokens, Stepper
from llm_walkthrough.structured_output import GrammarMask
from llm_walkthrough.tokenizer import Tokenizer

pytestmark = pytest.mark.model

RUNS = int(os.environ.get("STRUCTURED_RUNS", "50"))
TEMPERATURES = (0.0, 0.5, 1.0, 1.5, 2.0)
LIMIT = 40
MARGIN = 1.0
"""By how much an int4 token must win to be the same on every way of running it."""


def closed(**properties: Any) -> dict[str, Any]:  # noqa: ANN401 - a schema
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SHORT = {"type": "string", "maxLength": 12}
SCHEMAS = {
    "nested": closed(
        pose=closed(name=SHORT, side=closed(left={"type": "boolean"})), next=SHORT
    ),
    "enums": closed(
        level={"enum": ["easy", "medium", "hard", None]},
        part={"enum": ["lower back", "hips", 3]},
    ),
    "fixed": {"type": "array", "items": SHORT, "minItems": 3, "maxItems": 3},
    "numbers": closed(
        seconds={"type": "integer", "minimum": 10, "maximum": 90},
        share={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        any={"type": "number"},
    ),
    "unicode": closed(
        größe={"enum": ["süß", "大きい", "🙂🙃"]},
        text={"type": "string", "minLength": 2, "maxLength": 12},
    ),
}
REQUESTS = (
    "Give me a short yoga routine for lower back pain, as JSON.",
    "日本語で答えてください。ヨガのポーズは? 🙂",
)


@pytest.fixture(scope="module")
def loaded() -> tuple[Model, Tokenizer]:
    return load(find("smollm2-135m-instruct-int4"))


@pytest.fixture(scope="module")
def vocabulary(loaded: tuple[Model, Tokenizer]) -> GrammarVocabulary:
    model, tokenizer = loaded
    return GrammarVocabulary(tokenizer, model.vocab, model.graph.end_tokens)


def prompt_of(tokenizer: Tokenizer, request: str) -> TokenIds:
    return tokenizer.encode(chat_prompt(tokenizer, request))


def answer(
    model: Model, prompt: TokenIds, processors: Iterable[Processor], seed: int
) -> TokenIds:
    cache = model.new_cache(len(prompt) + LIMIT + 1)
    row = tuple(processors)
    stepper = Stepper(model, prompt, processors=row, seed=seed, cache=cache)
    list(stepper.run(LIMIT, {"end": EndTokens(model.graph.end_tokens)}))
    return stepper.new_tokens


def test_every_answer_validates_whatever_seed_temperature_and_schema(
    loaded: tuple[Model, Tokenizer], vocabulary: GrammarVocabulary
) -> None:
    model, tokenizer = loaded
    prompts = [prompt_of(tokenizer, request) for request in REQUESTS]
    starts = {len(prompt) for prompt in prompts}
    masks = {
        (name, start): GrammarMask(json_schema(schema), vocabulary, start, LIMIT)
        for name, schema in SCHEMAS.items()
        for start in starts
    }
    invalid, lengths = [], []
    for seed in range(RUNS):
        name = list(SCHEMAS)[seed % len(SCHEMAS)]
        temperature = TEMPERATURES[seed // len(SCHEMAS) % len(TEMPERATURES)]
        prompt = prompts[seed % len(prompts)]
        wide = Sampling(temperature, top_k=0, top_p=1, repetition_penalty=1.1)
        row = (masks[name, len(prompt)], *wide.processors())
        tokens = answer(model, prompt, row, seed)
        lengths.append(len(tokens))
        text = tokenizer.decode(tokens)
        try:
            jsonschema.validate(json.loads(text), SCHEMAS[name])
        except (ValueError, jsonschema.ValidationError) as error:
            invalid.append((seed, name, temperature, text, str(error)[:80]))
    assert invalid == []
    # the limit must have mattered, or the test shows nothing about it
    assert len(SCHEMAS) > RUNS or max(lengths) == LIMIT


def test_greedy_tokens_are_those_of_genais_guidance_wherever_the_margin_allows(
    loaded: tuple[Model, Tokenizer], vocabulary: GrammarVocabulary
) -> None:
    model, tokenizer = loaded
    prompt = prompt_of(tokenizer, REQUESTS[0])
    compared = 0
    # genai's guidance stops with an error at a token that is half a character
    for name in (name for name in SCHEMAS if name != "unicode"):
        # the same white space for both: the library's own default is any
        text = json.dumps({**SCHEMAS[name], "x-guidance": JSON_STYLE})
        mask = GrammarMask(json_schema(text), vocabulary, len(prompt))
        stepper = Stepper(model, prompt, processors=[Unforced(mask), TopK(1)])
        [theirs] = genai(find("smollm2-135m-instruct-int4"), prompt, text)
        for token in theirs:
            left = mask(stepper.logits, stepper.tokens)
            second, first = np.sort(left)[-2:]
            assert left[token] > -np.inf, f"{name}: genai's {token} is masked here"
            if first - second >= MARGIN:
                assert left.argmax() == token, f"{name}: {stepper.new_tokens}"
                compared += 1
            stepper.step(token)  # both go on from the same text
    assert compared > 50


def test_forced_stretches_give_the_tokens_that_stepping_through_them_gives(
    vocabulary: GrammarVocabulary,
) -> None:
    model, tokenizer = load(find("smollm2-135m-instruct-float32"))
    prompt = prompt_of(tokenizer, REQUESTS[0])
    for schema in SCHEMAS.values():
        mask = GrammarMask(json_schema(schema), vocabulary, len(prompt), LIMIT)
        together = answer(model, prompt, [mask, TopK(1)], seed=0)
        one_by_one = answer(model, prompt, [Unforced(mask), TopK(1)], seed=0)
        assert together.tolist() == one_by_one.tolist()


class Unforced:
    """The same mask for an engine that runs the model for every token."""

    def __init__(self, mask: GrammarMask) -> None:
        self._mask = mask

    def __call__(self, logits: Logits, context: TokenIds, /) -> Logits:
        return self._mask(logits, context)


def genai(folder: Path, prompt: TokenIds, schema: str) -> list[list[int]]:
    asked = {"prompts": [prompt.tolist()], "new_tokens": LIMIT, "json_schema": schema}
    script = Path(__file__).with_name("genai_greedy.py")
    ended = subprocess.run(
        [sys.executable, str(script), str(folder)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    answers: list[list[int]] = json.loads(ended.stdout)
    return answers
