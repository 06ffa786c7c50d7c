"""Do guesses change no token of the real model? `bench proof` asks for more."""

from __future__ import annotations

import pytest

from benchmarks.proof import CODE, STORY, both
from llm_walkthrough.answer import chat_prompt, load
from llm_walkthrough.catalogue import find
from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.grammar import json_schema
from llm_walkthrough.model import Model
from llm_walkthrough.sampling import Sampling
from llm_walkthrough.speculation import GuessCount
from llm_walkthrough.structured_output import GrammarMask
from llm_walkthrough.tokenizer import Tokenizer

pytestmark = pytest.mark.model
COUNT = 60
SCHEMA = """{"type": "array", "minItems": 3, "maxItems": 3, "items": {"enum": [
    "a loaf of bread", "a bottle of milk", "a bag of flour"]}}"""


@pytest.fixture(scope="module")
def loaded() -> tuple[Model, Tokenizer]:
    return load(find("smollm2-135m-instruct-float32"))


@pytest.mark.parametrize(
    ("request_", "sampling", "schema"),
    [
        (f"Copy this text word for word:\n\n{STORY}", Sampling(0, 0, 1), ""),
        (f"Repeat this code:\n\n{CODE}", Sampling(temperature=0.7), ""),
        ("Write a shopping list as JSON.", Sampling(temperature=0.7), SCHEMA),
    ],
    ids=["greedy", "sampled", "grammar"],
)
def test_on_float32_a_text_with_guesses_is_that_of_the_plain_loop(
    loaded: tuple[Model, Tokenizer], request_: str, sampling: Sampling, schema: str
) -> None:
    model, tokenizer = loaded
    prompt = tokenizer.encode(chat_prompt(tokenizer, request_))
    processors = sampling.processors(len(prompt))
    if schema:
        vocabulary = GrammarVocabulary(tokenizer, model.vocab, model.graph.end_tokens)
        mask = GrammarMask(json_schema(schema), vocabulary, len(prompt), COUNT)
        processors = (mask, *processors)
    without, guessing = both(model, prompt, processors, seed=1, count=COUNT)
    assert guessing.new_tokens.tolist() == without.new_tokens.tolist()
    assert guessing.steps == without.steps
    count = GuessCount.of(guessing.runs)
    assert count.runs <= len(without.runs)
    assert count.kept > 0 or schema  # this schema leaves little to be guessed
