"""The logits of the plain numpy forward pass, in all layouts and from both caches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper
from tiny_graph import (
    CONTEXT,
    GROUPED,
    LAYOUTS,
    PLAIN,
    VOCAB,
    Layout,
    forward,
    hf_config,
    write_config,
    write_model,
)

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.errors import InputError, StaleCacheError
from llm_walkthrough.kv_cache import GrownCache, KVCache, SharedCache
from llm_walkthrough.model import Model, open_model

OpenLayout = Callable[[Layout], Model]

TOKENS = np.random.default_rng(1).integers(0, VOCAB, 24)
AZURE = "AzureExecutionProvider"
TURNS = {
    "at once": [24],
    "one by one": [1] * 24,
    "prompt, steps, next turn": [9, 1, 1, 6, 1, 1, 5],
    "chunks": [8, 8, 8],
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> OpenLayout:
    @cache
    def open_layout(layout: Layout) -> Model:
        folder: Path = tmp_path_factory.mktemp("model")
        return open_model(write_model(folder, layout), threads=1)

    return open_layout


@pytest.fixture
def grouped(opened: OpenLayout) -> Model:
    return opened(GROUPED)


def caches(model: Model) -> list[KVCache]:
    """An empty cache of each kind that the model can have."""
    if model.graph.can_share_buffers:
        return [model.new_grown_cache(), model.new_shared_cache()]
    return [model.new_grown_cache()]


def run_in_turns(
    model: Model, tokens: TokenIds, counts: Iterable[int], cache: KVCache
) -> tuple[LogitsRows, KVCache]:
    rows = []
    for count in counts:
        start = cache.length
        new, cache = model.run(tokens[start : start + count], cache)
        rows.append(new)
    return np.concatenate(rows), cache


def tolerance(layout: Layout) -> float:
    """Rounding of float32 sums, or of keys and values kept as float16."""
    return 1e-5 if layout.cache_dtype == "float32" else 1e-2


# --- the right logits ---------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("counts", TURNS.values(), ids=TURNS)
def test_every_layout_gives_the_logits_of_plain_numpy(
    opened: OpenLayout, layout: Layout, counts: list[int]
) -> None:
    expected = forward(TOKENS)
    model = opened(layout)
    for empty in caches(model):
        rows, full = run_in_turns(model, TOKENS, counts, empty)
        np.testing.assert_allclose(rows, expected, atol=tolerance(layout), rtol=0)
        assert rows.dtype == np.float32
        assert full.length == len(TOKENS)


def test_a_wrong_order_of_the_past_would_be_seen() -> None:
    swapped = TOKENS.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert np.abs(forward(swapped)[-1] - forward(TOKENS)[-1]).max() > 0.01


@pytest.mark.parametrize("name", [n for n in LAYOUTS if n.startswith("grouped")])
def test_both_caches_give_the_same_bits(opened: OpenLayout, name: str) -> None:
    model = opened(LAYOUTS[name])
    (grown_rows, grown), (shared_rows, shared) = (
        run_in_turns(model, TOKENS, [9, 1, 1, 13], empty) for empty in caches(model)
    )
    np.testing.assert_array_equal(grown_rows, shared_rows)
    for key, array in grown.arrays().items():
        np.testing.assert_array_equal(array, shared.arrays()[key])


@pytest.mark.parametrize("layout", [GROUPED, PLAIN], ids=["grouped", "plain"])
def test_the_last_place_of_the_context_can_be_used(
    opened: OpenLayout, layout: Layout
) -> None:
    tokens = np.resize(TOKENS, CONTEXT)
    model = opened(layout)
    for empty in caches(model):
        rows, full = run_in_turns(model, tokens, [CONTEXT - 1, 1], empty)
        np.testing.assert_allclose(rows, forward(tokens), atol=1e-5, rtol=0)
        with pytest.raises(InputError, match="97 tokens do not fit into 96"):
            model.run(TOKENS[:1], full)


def test_a_list_or_ids_of_another_width_or_stride_are_accepted(grouped: Model) -> None:
    every_other: Any = TOKENS[::2]
    for tokens in (every_other, every_other.astype(np.int32), every_other.tolist()):
        rows, _ = grouped.run(tokens, grouped.new_cache())
        np.testing.assert_allclose(rows, forward(TOKENS[::2]), atol=1e-5, rtol=0)


# --- going back and branching -------------------------------------------------------


@pytest.mark.parametrize("layout", [GROUPED, PLAIN], ids=["grouped", "plain"])
def test_undo_and_the_same_run_again_give_the_same_bits(
    opened: OpenLayout, layout: Layout
) -> None:
    model = opened(layout)
    for empty in caches(model):
        _, prompt = model.run(TOKENS[:10], empty)
        first, full = run_in_turns(model, TOKENS, [1] * 14, prompt)
        again, _ = run_in_turns(model, TOKENS, [1] * 14, full.truncated(10))
        np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("layout", [GROUPED, PLAIN], ids=["grouped", "plain"])
def test_two_branches_from_one_prefix_do_not_disturb_each_other(
    opened: OpenLayout, layout: Layout
) -> None:
    model = opened(layout)
    other = np.concatenate([TOKENS[:10], TOKENS[:9:-1]])
    for empty in caches(model):
        _, one = run_in_turns(model, TOKENS, [10, 7], empty)
        taken = one.rows(10)
        rows, two = run_in_turns(model, other, [7], one.truncated(10))
        np.testing.assert_allclose(rows, forward(other[:17])[10:], atol=1e-5, rtol=0)
        back = two.truncated(10).with_rows(taken)
        rows, _ = run_in_turns(model, TOKENS, [7], back)
        np.testing.assert_allclose(rows, forward(TOKENS)[17:], atol=1e-5, rtol=0)


def test_a_branch_put_back_goes_on_with_the_same_bits(grouped: Model) -> None:
    _, one = run_in_turns(grouped, TOKENS, [10, 1, 1], grouped.new_cache())
    taken = one.rows(10)
    expected, _ = grouped.run(TOKENS[12:13], one)
    _, two = grouped.run(TOKENS[:5], one.truncated(10))
    again, _ = grouped.run(TOKENS[12:13], two.truncated(10).with_rows(taken))
    np.testing.assert_array_equal(expected, again)


def test_a_stale_handle_raises(grouped: Model) -> None:
    _, old = grouped.run(TOKENS[:10], grouped.new_shared_cache())
    grouped.run(TOKENS[:3], old.truncated(5))
    with pytest.raises(StaleCacheError, match="row 5 was overwritten"):
        grouped.run(TOKENS[:1], old)
    with pytest.raises(StaleCacheError):
        grouped.feed(TOKENS[:1], old)


def test_a_failed_run_leaves_no_handle_that_reads_what_it_wrote(
    grouped: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, old = grouped.run(TOKENS[:10], grouped.new_shared_cache())
    run = ort.InferenceSession.run_with_iobinding

    def interrupted(session: ort.InferenceSession, binding: ort.IOBinding) -> None:
        run(session, binding)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ort.InferenceSession, "run_with_iobinding", interrupted)
        with pytest.raises(KeyboardInterrupt):
            grouped.run(TOKENS[:1], old.truncated(5))
    with pytest.raises(StaleCacheError):
        grouped.run(TOKENS[:1], old)
    rows, _ = run_in_turns(grouped, TOKENS, [1], old.truncated(5))
    np.testing.assert_allclose(rows, forward(TOKENS[:6])[5:], atol=1e-5, rtol=0)


def test_two_buffers_of_one_model_are_independent(grouped: Model) -> None:
    _, one = grouped.run(TOKENS[:10], grouped.new_shared_cache())
    _, two = grouped.run(TOKENS[5:15], grouped.new_shared_cache(20))
    rows, _ = run_in_turns(grouped, TOKENS, [1], one)
    np.testing.assert_allclose(rows, forward(TOKENS[:11])[10:], atol=1e-5, rtol=0)
    rows, _ = grouped.run(TOKENS[15:16], two)
    np.testing.assert_allclose(rows, forward(TOKENS[5:16])[10:], atol=1e-5, rtol=0)


def test_rows_returned_earlier_are_not_written_again(grouped: Model) -> None:
    first, cache_after = grouped.run(TOKENS[:1], grouped.new_shared_cache())
    before = first.copy()
    grouped.run(TOKENS[1:2], cache_after)
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("layout", [GROUPED, PLAIN], ids=["grouped", "plain"])
def test_a_cache_of_another_model_is_refused(
    tmp_path: Path, opened: OpenLayout, layout: Layout
) -> None:
    other = open_model(write_model(tmp_path, layout, seed=1), threads=1)
    model = opened(layout)
    for foreign in (*caches(other), GrownCache(model.new_grown_cache().held, CONTEXT)):
        with pytest.raises(InputError, match="was not made by this model"):
            model.run(TOKENS[:1], foreign)


# --- what is fed --------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_feed_names_every_input_and_gives_what_a_run_gives(
    opened: OpenLayout, layout: Layout
) -> None:
    model = opened(layout)
    for empty in caches(model):
        _, past = model.run(TOKENS[:10], empty)
        feed = model.feed(TOKENS[10:13], past)
        ports = {port.name: port.dtype for port in model.graph.inputs}
        assert {name: array.dtype.name for name, array in feed.items()} == ports
        (expected,) = model.session.run(["logits"], feed)
        rows, _ = model.run(TOKENS[10:13], past)
        np.testing.assert_array_equal(rows, expected[0])


def test_the_feed_is_exactly_this(opened: OpenLayout) -> None:
    model = opened(LAYOUTS["plain, all at once"])
    _, past = model.run(TOKENS[:10], model.new_cache())
    feed = model.feed(TOKENS[10:13], past)
    np.testing.assert_array_equal(feed["input_ids"], TOKENS[np.newaxis, 10:13])
    np.testing.assert_array_equal(feed["attention_mask"], np.ones((1, 13)))
    np.testing.assert_array_equal(feed["position_ids"], [[10, 11, 12]])
    np.testing.assert_array_equal(feed["use_cache_branch"], [True])
    for layer, part in [(0, "key"), (0, "value"), (1, "key"), (1, "value")]:
        assert feed[f"past.{layer}.{part}"].shape == (1, 2, 10, 16)


def test_an_empty_past_has_length_zero(opened: OpenLayout) -> None:
    for layout in (GROUPED, LAYOUTS["plain, cache branch"]):
        model = opened(layout)
        for empty in caches(model):
            assert empty.length == 0
            feed = model.feed(TOKENS[:4], empty)
            assert feed["past_key_values.0.key"].shape == (1, 2, 0, 16)
            assert feed["attention_mask"].shape == (1, 4)
            assert not feed.get("use_cache_branch", np.array([False]))[0]


def test_a_mask_that_is_one_too_short_changes_the_logits_without_a_word(
    grouped: Model,
) -> None:
    _, past = grouped.run(TOKENS[:10], grouped.new_grown_cache())
    feed = grouped.feed(TOKENS[10:11], past)
    feed["attention_mask"] = feed["attention_mask"][:, 1:]
    (wrong,) = grouped.session.run(["logits"], feed)
    assert np.abs(wrong[0, 0] - forward(TOKENS[:11])[-1]).max() > 0.1


def test_a_mask_of_width_one_drops_the_whole_past_without_a_word(
    grouped: Model,
) -> None:
    _, past = grouped.run(TOKENS[:10], grouped.new_grown_cache())
    feed = grouped.feed(TOKENS[10:11], past)
    feed["attention_mask"] = np.ones((1, 1), np.int64)
    (wrong,) = grouped.session.run(["logits"], feed)
    np.testing.assert_allclose(wrong[0], forward(TOKENS[10:11]), atol=1e-5, rtol=0)


def test_group_query_attention_does_not_look_where_the_zeros_of_a_mask_are(
    grouped: Model,
) -> None:
    _, past = grouped.run(TOKENS[:10], grouped.new_grown_cache())
    feed = grouped.feed(TOKENS[10:11], past)
    logits = []
    for place in (0, 5):
        mask = np.ones((1, 11), np.int64)
        mask[0, place] = 0
        logits += grouped.session.run(["logits"], {**feed, "attention_mask": mask})
    np.testing.assert_array_equal(logits[0], logits[1])


# --- what is refused ----------------------------------------------------------------


def test_bad_tokens_are_refused_and_the_cache_goes_on(grouped: Model) -> None:
    for empty in caches(grouped):
        _, past = grouped.run(TOKENS[:10], empty)
        for wrong in ([], [VOCAB], [-1], [1.0], [0] * CONTEXT):
            with pytest.raises(InputError):
                grouped.run(np.array(wrong), past)
        rows, _ = run_in_turns(grouped, TOKENS, [1], past)
        np.testing.assert_allclose(rows, forward(TOKENS[:11])[10:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("capacity", [0, CONTEXT + 1])
def test_a_capacity_out_of_range_is_named(grouped: Model, capacity: int) -> None:
    for new in (grouped.new_cache, grouped.new_grown_cache, grouped.new_shared_cache):
        with pytest.raises(InputError, match=f"got {capacity}"):
            new(capacity)


def test_a_cache_is_as_large_as_asked_for_or_as_the_context(grouped: Model) -> None:
    assert grouped.new_grown_cache(12).capacity == 12
    assert grouped.new_shared_cache(12).capacity == 12
    assert grouped.new_cache().capacity == CONTEXT


def test_a_graph_that_can_share_gets_a_shared_cache(opened: OpenLayout) -> None:
    assert isinstance(opened(GROUPED).new_cache(), SharedCache)
    assert isinstance(opened(PLAIN).new_cache(), GrownCache)


def test_plain_attention_refuses_a_shared_buffer(opened: OpenLayout) -> None:
    with pytest.raises(InputError, match=r"other than GroupQuery.* new_grown_cache"):
        opened(PLAIN).new_shared_cache()


def spoil_embedding(value: float) -> Callable[[onnx.ModelProto], None]:
    """Put a number that is none into token 5's row of the embedding."""

    def change(model: onnx.ModelProto) -> None:
        weight = next(w for w in model.graph.initializer if w.name == "embedding")
        rows = numpy_helper.to_array(weight).copy()
        rows[5, 0] = value
        weight.CopyFrom(numpy_helper.from_array(rows, "embedding"))

    return change


def answering(
    model: Model, change: Callable[[list[np.ndarray]], list[np.ndarray]]
) -> Model:
    """The model, in a session that changes logits and presents before it gives them."""

    class Changed:
        def run(self, names: list[str], feed: object) -> list[np.ndarray]:
            return change(model.session.run(names, feed))

    changed = copy.copy(model)
    changed.session = Changed()
    return changed


def test_a_cache_that_drops_tokens_is_refused(opened: OpenLayout) -> None:
    model = answering(
        opened(PLAIN), lambda out: [out[0], *(a[:, :, 1:] for a in out[1:])]
    )
    with pytest.raises(InputError, match=r"keeps 2 of 3 tokens; .* sliding window"):
        model.run(TOKENS[:3], model.new_cache())


def test_minus_infinity_for_some_tokens_is_accepted(opened: OpenLayout) -> None:
    rare = np.where(np.arange(VOCAB) % 2, -np.inf, 0).astype(np.float32)
    model = answering(opened(PLAIN), lambda out: [out[0] + rare, *out[1:]])
    rows, _ = model.run(TOKENS[:3], model.new_cache())
    assert np.isneginf(rows[:, 1::2]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    folder = write_model(tmp_path, change=spoil_embedding(value))
    model = open_model(folder, threads=1)
    for empty in caches(model):
        _, past = model.run(np.array([1, 2]), empty)
        with pytest.raises(InputError, match="the logits hold NaN or infinity"):
            model.run(np.array([5]), past)
        rows, _ = model.run(np.array([3]), past)
        np.testing.assert_allclose(rows, forward([1, 2, 3])[2:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("number", [0.0, 7.0, -np.inf])
def test_logits_that_are_all_equal_are_refused(
    opened: OpenLayout, number: float
) -> None:
    model = answering(
        opened(PLAIN), lambda out: [np.full_like(out[0], number), *out[1:]]
    )
    with pytest.raises(InputError, match="are all equal"):
        model.run(TOKENS[:3], model.new_cache())


class Installed(NamedTuple):
    """Memory as psutil tells it."""

    total: int
    available: int


def test_a_context_that_no_machine_can_hold_becomes_one_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path, Layout(config="config.json"))
    context = 2 * 10**9
    config = {**hf_config(), "max_position_embeddings": context}
    write_config(folder / "config.json", config)
    model = open_model(folder, threads=1)
    with pytest.raises(InputError, match=r"2,000,000,000 tokens takes .* GB"):
        model.new_cache(context)
    row = model.graph.cache_bytes_per_token
    monkeypatch.setattr("psutil.virtual_memory", lambda: Installed(9 * row, 0))
    assert model.new_shared_cache().capacity == 9
    assert model.new_grown_cache().capacity == 9


def test_an_error_that_is_not_onnxruntimes_is_left_as_it_is(
    grouped: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise TimeoutError("a signal handler of somebody's")

    for empty in caches(grouped):
        with monkeypatch.context() as patched:
            for name in ("run", "run_with_iobinding"):
                patched.setattr(grouped.session, name, interrupted)
            with pytest.raises(TimeoutError, match="somebody"):
                grouped.run(TOKENS, empty)


@pytest.mark.parametrize("wrong", [{"head_dim": 8}, {"num_key_value_heads": 4}])
def test_what_onnxruntime_refuses_while_running_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], wrong: dict[str, int]
) -> None:
    folder = write_model(tmp_path, Layout(fixed_sizes=False, config="config.json"))
    write_config(folder / "config.json", {**hf_config(), **wrong})
    model = open_model(folder, threads=1)
    for empty in caches(model):
        with pytest.raises(InputError, match=r"cannot run .*model\.onnx") as refused:
            run_in_turns(model, TOKENS, [3, 1], empty)
        assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_a_wrong_vocabulary_in_the_configuration_is_found(tmp_path: Path) -> None:
    folder = write_model(tmp_path, Layout(fixed_sizes=False, config="config.json"))
    write_config(folder / "config.json", {**hf_config(), "vocab_size": 80})
    model = open_model(folder, threads=1)
    for empty in caches(model):
        with pytest.raises(
            InputError, match=r"shape \(3, 64\), wanted \(3, 80\)|cannot"
        ):
            model.run(TOKENS[:3], empty)


def test_what_onnxruntime_cannot_open_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def unknown_operator(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "Gathering"

    folder = write_model(tmp_path, change=unknown_operator)
    with pytest.raises(InputError, match=r"cannot open .*model\.onnx") as refused:
        open_model(folder)
    assert "Gathering" in str(refused.value)
    assert "export it for this version" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("threads", [0, -3])
def test_a_number_of_threads_below_one_is_named(tmp_path: Path, threads: int) -> None:
    write_model(tmp_path, GROUPED)
    with pytest.raises(InputError, match=f"threads must be at least 1, got {threads}"):
        open_model(tmp_path, threads=threads)


def test_a_provider_gets_its_nodes_and_a_cache_whose_buffers_are_not_shared(
    tmp_path: Path,
) -> None:
    if AZURE not in ort.get_available_providers():
        pytest.skip("needs a second provider; this one leaves all nodes to the CPU")
    write_model(tmp_path, GROUPED)
    assert open_model(tmp_path, provider="cpu").graph.can_share_buffers
    model = open_model(tmp_path, provider="azure")
    assert model.session.get_providers()[0] == AZURE
    # the arrays of a run would be copied to a device, and what it writes be lost
    empty = model.new_cache()
    assert isinstance(empty, GrownCache)
    rows, _ = run_in_turns(model, TOKENS, [9, 1, 14], empty)
    np.testing.assert_allclose(rows, forward(TOKENS), atol=1e-5, rtol=0)


def test_a_model_opens_from_its_folder_or_its_file(tmp_path: Path) -> None:
    folder = write_model(tmp_path, replace(GROUPED, external_weights=True))
    for path in (folder, folder / "model.onnx"):
        model = open_model(path, threads=1)
        rows, _ = model.run(TOKENS[:3], model.new_cache())
        np.testing.assert_allclose(rows, forward(TOKENS[:3]), atol=1e-5, rtol=0)
        assert model.vocab == VOCAB
