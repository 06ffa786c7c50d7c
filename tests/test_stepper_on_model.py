"""Does what the stepper promises hold on the real model, to the last bit?"""

from __future__ import annotations

import numpy as np
import psutil
import pytest

from llm_walkthrough.arrays import Logits, TokenIds
from llm_walkthrough.catalogue import find
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.model import Model, open_model
from llm_walkthrough.sampling import Sampling, TopK
from llm_walkthrough.stepper import CHUNK, Stepper
from llm_walkthrough.tokenizer import Tokenizer, open_tokenizer

pytestmark = pytest.mark.model

INT4 = "smollm2-135m-instruct-int4"
FLOAT32 = "smollm2-135m-instruct-float32"


@pytest.fixture(scope="module")
def int4() -> Model:
    return open_model(find(INT4))


@pytest.fixture(scope="module")
def float32() -> Model:
    return open_model(find(FLOAT32))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return open_tokenizer(find(INT4))


@pytest.fixture
def prompt(tokenizer: Tokenizer) -> TokenIds:
    question = {"role": "user", "content": "Tell me a story of a lighthouse keeper."}
    return tokenizer.encode(tokenizer.chat([question]))


def sampled(model: Model, prompt: TokenIds, seed: int = 7) -> Stepper:
    return Stepper(model, prompt, processors=Sampling().processors(), seed=seed)


def record(stepper: Stepper, count: int) -> list[tuple[int, Logits]]:
    """Step, and return each token with the logits that it was drawn from."""
    steps = []
    for _ in range(count):
        logits = stepper.logits
        steps.append((stepper.step().token, logits))
    return steps


def assert_same_bits(
    one: list[tuple[int, Logits]], other: list[tuple[int, Logits]]
) -> None:
    assert [token for token, _ in one] == [token for token, _ in other]
    for (_, logits), (_, again) in zip(one, other, strict=True):
        np.testing.assert_array_equal(logits, again)


def greedy(
    model: Model, tokens: TokenIds, cache: KVCache, count: int
) -> tuple[list[int], float]:
    """Continue with the best token; also return the smallest lead that one had."""
    chosen, leads = [], []
    for _ in range(count):
        rows, cache = model.run(tokens, cache)
        second, first = np.sort(rows[-1])[-2:]
        tokens = np.array([rows[-1].argmax()])
        chosen.append(int(tokens[0]))
        leads.append(float(first - second))
    return chosen, min(leads)


# --- facts --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [INT4, FLOAT32])
def test_the_graph_is_the_one_that_the_model_card_describes(name: str) -> None:
    graph = open_model(find(name)).graph
    assert graph.num_layers == 30
    assert graph.kv_heads == 3
    assert graph.head_dim == 64
    assert graph.vocab == 49_152
    assert graph.context_length == 8_192
    assert 2 in graph.end_tokens
    assert graph.cache_dtype == np.float32
    assert graph.can_share_buffers
    assert graph.cache_bytes_per_token == 46_080


# --- undo and branches --------------------------------------------------------------


def test_50_steps_back_and_again_give_the_same_bits(
    int4: Model, prompt: TokenIds
) -> None:
    stepper = sampled(int4, prompt)
    first = record(stepper, 60)
    stepper.undo(50)
    assert_same_bits(first[10:], record(stepper, 50))


def test_undo_past_the_kept_logits_gives_the_same_bits(
    int4: Model, prompt: TokenIds
) -> None:
    stepper = sampled(int4, prompt)
    first = record(stepper, 100)
    stepper.undo(97)
    assert_same_bits(first[3:20], record(stepper, 17))
    stepper.undo(20)
    assert_same_bits(first[:5], record(stepper, 5))


def test_two_branches_do_not_disturb_each_other(int4: Model, prompt: TokenIds) -> None:
    alone = record(sampled(int4, prompt), 24)
    stepper = sampled(int4, prompt)
    assert_same_bits(alone[:8], record(stepper, 8))
    stepper.fork()
    stepper.step(token=int(np.argsort(stepper.logits)[-5]))
    forced = record(stepper, 8)
    stepper.switch(0)
    assert_same_bits(alone[8:16], record(stepper, 8))
    stepper.switch(1)
    stepper.undo(8)
    assert_same_bits(forced, record(stepper, 8))
    stepper.switch(0)
    assert_same_bits(alone[16:], record(stepper, 8))


# --- the cache ----------------------------------------------------------------------


def test_with_a_cache_the_logits_are_those_without(
    float32: Model, prompt: TokenIds
) -> None:
    whole, _ = float32.run(prompt, float32.new_cache())
    cache, rows = float32.new_cache(), []
    for token in prompt:
        row, cache = float32.run(np.array([token]), cache)
        rows.append(row[0])
    stepped = np.stack(rows)
    np.testing.assert_allclose(stepped, whole, atol=1e-3, rtol=0)
    second, first = np.sort(whole, axis=-1)[:, -2:].T
    clear = first - second > 0.01
    assert clear.sum() > len(prompt) / 2
    np.testing.assert_array_equal(
        stepped.argmax(axis=-1)[clear], whole.argmax(axis=-1)[clear]
    )


def test_both_caches_give_the_same_bits(int4: Model, prompt: TokenIds) -> None:
    grown: KVCache = int4.new_grown_cache()
    shared: KVCache = int4.new_shared_cache()
    for tokens in (prompt, prompt[:1], prompt[5:9]):
        grown_rows, grown = int4.run(tokens, grown)
        shared_rows, shared = int4.run(tokens, shared)
        np.testing.assert_array_equal(grown_rows, shared_rows)


def test_a_long_prompt_in_chunks_goes_on_like_one_pass(
    float32: Model, tokenizer: Tokenizer
) -> None:
    years = " ".join(f"After the year {n} came the year {n + 1}." for n in range(999))
    tokens = tokenizer.encode(years)[: 5 * CHUNK]
    assert len(tokens) == 5 * CHUNK
    at_once, lead = greedy(float32, tokens, float32.new_cache(), 32)
    assert lead > 0.01
    stepper = Stepper(float32, tokens, processors=[TopK(1)])
    in_chunks = [step.token for step in stepper.run(32)]
    assert {len(run.tokens) for run in stepper.runs[:5]} == {CHUNK}
    assert in_chunks == at_once


def test_a_cache_costs_the_rows_that_are_written_and_gives_them_back(
    int4: Model, prompt: TokenIds
) -> None:
    def megabytes() -> float:
        return float(psutil.Process().memory_full_info().uss) / 1e6

    _ = sampled(int4, prompt).logits  # what the first run takes stays
    before, costs = megabytes(), []
    for _ in range(4):
        stepper = sampled(int4, prompt)  # beside the one that it replaces
        _ = stepper.logits
        costs.append(megabytes() - before)
    arrays = int4.new_shared_cache().buffer.whole.values()
    whole = sum(array.nbytes / 1e6 for array in arrays)
    assert whole > 300
    assert max(costs) < 60
