"""Every common export gives the logits of plain numpy, or ends before it would not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exports.odd_graphs import (
    SWITCH,
    WINDOW,
    ask_how_many_logits,
    compare_with_a_window,
    give_windows,
    rename_ports,
    return_the_last_row,
    see_ahead_on_a_past,
    slide_the_cache,
    switch_factors,
)
from tiny_graph import (
    CONTEXT,
    GROUPED,
    LAYOUTS,
    PLAIN,
    VOCAB,
    Layout,
    forward,
    genai_config,
    hf_config,
    write_config,
    write_model,
)

from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import read_graph
from llm_walkthrough.kv_cache import KVCache, SharedCache
from llm_walkthrough.model import Model, open_model
from llm_walkthrough.sampling import TopK
from llm_walkthrough.stepper import Stepper

Change = Callable[[onnx.ModelProto], None]

TOKENS = np.random.default_rng(5).integers(0, VOCAB, 60)
BRANCH = LAYOUTS["plain, cache branch"]


def opened(
    folder: Path, layout: Layout, change: Change = lambda _: None, **config: object
) -> Model:
    """Open the tiny model after a change, beside a config.json that says more."""
    write_model(folder, replace(layout, config="config.json"), change=change)
    write_config(folder / "config.json", {**hf_config(), **config})
    return open_model(folder, threads=1)


def require_right(model: Model, expected: np.ndarray, cache: KVCache) -> None:
    """A prompt, ten steps, a chunk, and another way after a cut give these rows."""
    for count in (9, *[1] * 10, len(expected) - 19):
        start = cache.length
        rows, cache = model.run(TOKENS[start : start + count], cache)
        np.testing.assert_allclose(
            rows, expected[start : cache.length], atol=1e-5, rtol=0
        )
    cut = cache.truncated(15)
    rows, _ = model.run(TOKENS[15:22], cut)
    np.testing.assert_allclose(rows, expected[15:22], atol=1e-5, rtol=0)


# --- LongRoPE -------------------------------------------------------------------------
def test_the_context_ends_where_a_graph_changes_its_factors(tmp_path: Path) -> None:
    write_model(tmp_path, GROUPED, change=switch_factors)
    model = open_model(tmp_path, threads=1)
    assert model.graph.context_length == SWITCH
    assert model.new_cache().capacity == SWITCH
    (note,) = model.notes
    assert note.startswith(f"the context ends at {SWITCH} of {CONTEXT} tokens: ")
    require_right(model, forward(TOKENS[:SWITCH]), model.new_cache())
    with pytest.raises(InputError, match=f"between 1 and the context of {SWITCH}"):
        model.new_cache(SWITCH + 1)


def test_beyond_the_switch_the_logits_would_be_wrong_without_a_word(
    tmp_path: Path,
) -> None:
    write_model(tmp_path, GROUPED, change=switch_factors)
    model = open_model(tmp_path, threads=1)
    _, full = model.run(TOKENS[:SWITCH], model.new_grown_cache())
    feed = model.feed(TOKENS[SWITCH : SWITCH + 1], full)
    (wrong,) = model.session.run(["logits"], feed)
    start = model.new_grown_cache()
    whole = model.session.run(["logits"], model.feed(TOKENS[: SWITCH + 1], start))[0]
    assert np.abs(wrong[0, 0] - whole[0, -1]).max() > 0.1


@pytest.mark.parametrize("kind", ["type", "rope_type"])
@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_factors_that_an_exporter_froze_end_the_context_too(
    tmp_path: Path, key: str, kind: str
) -> None:
    scaling: dict[str, Any] = {kind: "longrope"}
    outside = {"original_max_position_embeddings": SWITCH}
    for config in ({key: scaling, **outside}, {key: {**scaling, **outside}}):
        model = opened(tmp_path, PLAIN, **config)
        assert model.graph.context_length == SWITCH
        assert "LongRoPE" in model.notes[0]


def test_other_scalings_of_positions_limit_nothing(tmp_path: Path) -> None:
    scaling = {"rope_type": "yarn", "original_max_position_embeddings": 8}
    assert opened(tmp_path, PLAIN, rope_scaling=scaling).notes == ()


# --- windows --------------------------------------------------------------------------
@pytest.mark.parametrize("layout", [GROUPED, PLAIN], ids=["grouped", "plain"])
def test_a_window_that_the_graph_does_not_know_ends_the_context(
    tmp_path: Path, layout: Layout
) -> None:
    model = opened(tmp_path, layout, sliding_window=WINDOW)
    assert model.graph.context_length == WINDOW
    assert f"ends at {WINDOW} of {CONTEXT} tokens: " in model.notes[0]
    require_right(model, forward(TOKENS[:WINDOW]), model.new_cache())


def test_the_builder_writes_that_window_into_genai_config(tmp_path: Path) -> None:
    write_model(tmp_path, GROUPED)
    config = genai_config()
    config["model"]["decoder"]["sliding_window"] = {"window_size": WINDOW, "layers": []}
    write_config(tmp_path / "genai_config.json", config)
    assert read_graph(tmp_path).context_length == WINDOW


@pytest.mark.parametrize(
    ("layout", "change"), [(GROUPED, give_windows), (PLAIN, compare_with_a_window)]
)
def test_a_window_that_the_graph_knows_is_no_limit(
    tmp_path: Path, layout: Layout, change: Change
) -> None:
    model = opened(tmp_path, layout, change, sliding_window=WINDOW)
    assert model.graph.context_length == CONTEXT
    assert model.notes == ()
    expected = forward(TOKENS, window=WINDOW)
    assert np.abs(expected - forward(TOKENS)).max() > 0.1
    require_right(model, expected, model.new_cache())


@pytest.mark.parametrize(
    "config",
    [
        {"use_sliding_window": False},
        {"layer_types": ["full_attention"] * 2},
        {"sliding_window": {"window_size": -1}},
        {"sliding_window": None},
    ],
)
def test_a_window_that_is_not_used_is_no_limit(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    config = {"sliding_window": WINDOW, **config}
    assert opened(tmp_path, PLAIN, **config).notes == ()


def test_a_sliding_cache_is_a_buffer_that_holds_the_window(tmp_path: Path) -> None:
    model = opened(tmp_path, GROUPED, slide_the_cache, sliding_window=WINDOW)
    assert model.graph.limits.least_capacity == WINDOW
    assert f"one buffer for {WINDOW} tokens or more" in model.notes[0]
    small = model.new_cache(8)
    assert isinstance(small, SharedCache)
    assert small.capacity == WINDOW
    model.run(TOKENS[:WINDOW], small)
    require_right(model, forward(TOKENS, window=WINDOW), model.new_cache())
    with pytest.raises(InputError, match=r"layers with a window .* new_shared_cache"):
        model.new_grown_cache()


def test_a_buffer_longer_than_the_context_is_filled_up_to_the_context(
    tmp_path: Path,
) -> None:
    model = opened(tmp_path, GROUPED, slide_the_cache, max_position_embeddings=16)
    cache = model.new_cache()
    assert cache.capacity == WINDOW
    with pytest.raises(InputError, match="17 tokens do not fit into 16"):
        model.run(TOKENS[:17], cache)


# --- no causal mask behind a past -----------------------------------------------------
def test_a_merged_decoder_without_a_mask_is_fed_one_token_at_a_time(
    tmp_path: Path,
) -> None:
    model = opened(tmp_path, BRANCH, see_ahead_on_a_past)
    assert model.sees_ahead
    assert "each is fed in a run of its own" in model.notes[0]
    require_right(model, forward(TOKENS), model.new_cache())
    _, past = model.run(TOKENS[:9], model.new_cache())
    (wrong,) = model.session.run(["logits"], model.feed(TOKENS[9:15], past))
    assert np.abs(wrong[0] - forward(TOKENS[:15])[9:]).max() > 0.1


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_graph_with_a_causal_mask_is_fed_many_tokens_at_once(
    tmp_path: Path, layout: Layout
) -> None:
    model = open_model(write_model(tmp_path, layout), threads=1)
    assert not model.sees_ahead
    assert model.notes == ()


# --- how many rows of logits ----------------------------------------------------------
@pytest.mark.parametrize("layout", [GROUPED, PLAIN], ids=["grouped", "plain"])
def test_a_graph_that_asks_how_many_logits_to_keep_gives_all(
    tmp_path: Path, layout: Layout
) -> None:
    model = opened(tmp_path, layout, ask_how_many_logits)
    fed = model.feed(TOKENS[:3], model.new_cache())["num_logits_to_keep"]
    assert (fed.shape, fed.dtype.name, int(fed)) == ((), "int64", 0)
    require_right(model, forward(TOKENS), model.new_cache())


@pytest.mark.parametrize("layout", [GROUPED, PLAIN], ids=["grouped", "plain"])
def test_a_graph_of_the_last_row_alone_can_be_stepped(
    tmp_path: Path, layout: Layout
) -> None:
    model = opened(tmp_path, layout, return_the_last_row)
    expected = forward(TOKENS)
    rows, past = model.run(TOKENS[:9], model.new_cache())
    assert rows.shape == (1, VOCAB)
    np.testing.assert_allclose(rows[0], expected[8], atol=1e-5, rtol=0)
    assert "its last token only" in model.notes[0]
    greedy = Stepper(model, TOKENS[:9], processors=[TopK(1)])
    whole = Stepper(opened(tmp_path / "b", layout), TOKENS[:9], processors=[TopK(1)])
    assert [s.token for s in greedy.run(12)] == [s.token for s in whole.run(12)]
    rows, _ = model.run(TOKENS[9:12], past)
    np.testing.assert_allclose(rows[0], expected[11], atol=1e-5, rtol=0)


# --- names and sizes ------------------------------------------------------------------
def test_ports_of_other_names_are_found_by_genai_config(tmp_path: Path) -> None:
    write_model(tmp_path, GROUPED, change=rename_ports)
    with pytest.raises(InputError, match="not known here: tokens"):
        read_graph(tmp_path)
    config = genai_config()
    config["model"]["decoder"] |= {
        "inputs": {
            "input_ids": "tokens",
            "past_key_names": "kv_in_%d.key",
            "past_value_names": "kv_in_%d.value",
        },
        "outputs": {"logits": "all_scores"},
    }
    write_config(tmp_path / "genai_config.json", config)
    model = open_model(tmp_path, threads=1)
    require_right(model, forward(TOKENS), model.new_cache())


@pytest.mark.parametrize(
    "key", ["n_positions", "seq_length", "max_seq_len", "max_sequence_length", "n_ctx"]
)
def test_a_context_stands_under_many_keys(tmp_path: Path, key: str) -> None:
    write_model(tmp_path, replace(PLAIN, config="config.json"))
    write_config(tmp_path / "config.json", {key: 77})
    assert read_graph(tmp_path).context_length == 77


def test_sizes_of_the_text_model_alone_are_enough(tmp_path: Path) -> None:
    layout = Layout("plain", fixed_sizes=False, config="config.json")
    write_model(tmp_path, layout)
    config = {"text_config": hf_config(), "vocab_size": 9, "model_type": "two in one"}
    write_config(tmp_path / "config.json", config)
    model = open_model(tmp_path, threads=1)
    assert model.vocab == VOCAB
    require_right(model, forward(TOKENS), model.new_cache())
