"""What is seen inside small graphs of random weights, in several layouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from built_graph import build, write_built_model
from numpy_forward import NumpyModel
from tiny_gguf import write_tiny_gguf
from tiny_graph import GROUPED, PLAIN, write_model
from tiny_graph import build as build_tiny

from llm_walkthrough.conversion.convert import Variant, convert
from llm_walkthrough.errors import InputError
from llm_walkthrough.inside import Inside, Look, why_not
from llm_walkthrough.kv_cache import SharedCache
from llm_walkthrough.model import open_model

TOKENS = np.random.default_rng(2).integers(0, 60, 20)
Write = Callable[[Path], Path]
Open = Callable[[str], Inside]


def built(told: str = "") -> Write:
    return lambda folder: write_built_model(folder / "built", told)


def converted(variant: Variant) -> Write:
    def write(folder: Path) -> Path:
        gguf = write_tiny_gguf(folder / "tiny.gguf")
        convert(gguf, folder / variant, variant=variant)
        return folder / variant

    return write


KINDS = {
    "packed float32": converted("float32"),
    "packed int4": converted("int4"),
    "separate": built(),
    "separate, window": built(", local_window_size = 5"),
    "separate, soft cap": built(", softcap = 3.0"),
}
EXACT = [kind for kind in KINDS if "int4" not in kind]
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Open:
    @cache
    def open_kind(kind: str) -> Inside:
        return Inside(open_model(KINDS[kind](tmp_path_factory.mktemp("model"))))

    return open_kind


def by_values(look: Look, layer: int) -> np.ndarray:
    """Weights times values: [num_heads, sequence, head_dim]."""
    weights, values = look.weights(layer), look.values[layer].astype(np.float32)
    mixed: np.ndarray = weights @ np.repeat(values, len(weights) // len(values), axis=0)
    return mixed


# --- looking changes nothing ----------------------------------------------------------


@every_kind
def test_the_logits_are_those_of_the_model_bit_for_bit(opened: Open, kind: str) -> None:
    inside = opened(kind)
    model = inside.model
    expected, _ = model.run(TOKENS, model.new_cache())
    np.testing.assert_array_equal(inside.look(TOKENS).logits, expected)
    for empty in (model.new_grown_cache(), model.new_shared_cache(64)):
        _, past = model.run(TOKENS[:-3], empty)
        expected, _ = model.run(TOKENS[-3:], past)
        found = inside.look(TOKENS[-3:], past.truncated(len(TOKENS) - 3))
        np.testing.assert_array_equal(found.logits, expected)


def test_the_cache_stays_as_it_is(opened: Open) -> None:
    inside = opened("separate")
    _, past = inside.model.run(TOKENS[:-1], inside.model.new_shared_cache(64))
    assert isinstance(past, SharedCache)
    whole = {name: array.copy() for name, array in past.buffer.whole.items()}
    inside.look(TOKENS[-1:], past, off=[(0, 0)])
    past.require_fresh()
    for name, array in past.buffer.whole.items():
        np.testing.assert_array_equal(array, whole[name])


@every_kind
def test_gates_of_one_and_a_patch_with_its_own_stream_change_nothing(
    opened: Open, kind: str
) -> None:
    inside = opened(kind)
    plain = inside.look(TOKENS)
    again = inside.look(TOKENS, off=[], patch=plain.patch(0, 7))
    np.testing.assert_allclose(again.logits, plain.logits, atol=1e-5, rtol=0)
    last = inside.look(TOKENS, patch=plain.patch(1, len(TOKENS) - 1))
    np.testing.assert_allclose(last.logits, plain.logits, atol=1e-5, rtol=0)


# --- attention ------------------------------------------------------------------------


@every_kind
def test_weights_times_values_are_what_the_node_hands_on(
    opened: Open, kind: str
) -> None:
    inside = opened(kind)
    _, past = inside.model.run(TOKENS[:8], inside.model.new_cache())
    for look in (inside.look(TOKENS), inside.look(TOKENS[8:], past)):
        for layer in range(inside.num_layers):
            found = by_values(look, layer)
            np.testing.assert_allclose(found, look.mixed[layer], atol=1e-4, rtol=0)
            np.testing.assert_allclose(look.weights(layer).sum(-1), 1, atol=1e-3)


def test_a_window_hides_what_is_older(opened: Open) -> None:
    weights = opened("separate, window").look(TOKENS).weights(1)
    assert (np.tril(weights, -5) == 0).all()
    assert np.diagonal(weights, -4, 1, 2).min() > 0


def test_a_packed_graph_attends_as_an_independent_implementation(
    opened: Open, tmp_path: Path
) -> None:
    oracle = NumpyModel(write_tiny_gguf(tmp_path / "tiny.gguf"))
    look = opened("packed float32").look(TOKENS)
    for layer, weights in enumerate(oracle.attention_weights(TOKENS)):
        np.testing.assert_allclose(look.weights(layer), weights, atol=1e-4, rtol=0)


def test_the_newest_are_the_last_rows_of_all_layers(opened: Open) -> None:
    inside = opened("separate")
    look = inside.look(TOKENS)
    newest = look.newest()
    assert newest.shape == (inside.num_layers, inside.num_heads, len(TOKENS))
    np.testing.assert_array_equal(newest[1], look.weights(1)[:, -1])
    _, past = inside.model.run(TOKENS[:-1], inside.model.new_cache())
    alone = inside.look(TOKENS[-1:], past).newest()
    np.testing.assert_allclose(alone, newest, atol=1e-5)


# --- lens and attribution -------------------------------------------------------------


@every_kind
def test_the_last_row_of_the_lens_are_the_logits(opened: Open, kind: str) -> None:
    inside = opened(kind)
    look = inside.look(TOKENS)
    lens = look.lens()
    assert lens.shape == (inside.num_layers + 1, inside.model.vocab)
    np.testing.assert_allclose(lens[-1], look.logits[-1], atol=1e-3, rtol=0)
    assert np.abs(lens[-2] - lens[-1]).max() > 0.1


@pytest.mark.parametrize("kind", EXACT)
def test_what_heads_networks_and_word_add_is_the_difference(
    opened: Open, kind: str
) -> None:
    look = opened(kind).look(TOKENS)
    shares = look.attribution(7, 11)
    parts = shares.heads.sum() + shares.mlps.sum() + shares.embedding
    difference = look.logits[-1, 7] - look.logits[-1, 11]
    assert parts + shares.rest == pytest.approx(difference, abs=1e-5)
    if kind == "packed float32":  # the others have biases
        assert abs(shares.rest) < 1e-3


def test_a_head_that_is_switched_off_adds_nothing(opened: Open) -> None:
    inside = opened("separate")
    plain, without = inside.look(TOKENS), inside.look(TOKENS, off=[(1, 2)])
    assert without.attribution(7, 11).heads[1, 2] == 0
    assert plain.attribution(7, 11).heads[1, 2] != 0
    assert np.abs(plain.logits - without.logits).max() > 1e-3
    np.testing.assert_array_equal(plain.stream[:3], without.stream[:3])
    # in the last layer nothing but the norm stands between a head and the logits
    gap = plain.stream[3] - without.stream[3]
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in build().graph.initializer}
    added = plain.mixed[1][2] @ weights["o1"].reshape(4, 16, -1)[2]
    np.testing.assert_allclose(gap, added, atol=1e-5, rtol=0)


# --- patching -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["packed float32", "separate"])
def test_behind_the_last_layer_a_patch_brings_its_own_logits(
    opened: Open, kind: str
) -> None:
    inside = opened(kind)
    other = inside.look(TOKENS[::-1].copy())
    place = len(TOKENS) - 1
    patched = inside.look(TOKENS, patch=other.patch(1, place))
    np.testing.assert_allclose(patched.logits[-1], other.logits[-1], atol=1e-4)
    np.testing.assert_array_equal(patched.logits[:-1], inside.look(TOKENS).logits[:-1])


@pytest.mark.parametrize("kind", ["packed float32", "separate"])
def test_a_patch_reaches_later_positions_in_later_layers_only(
    opened: Open, kind: str
) -> None:
    inside = opened(kind)
    plain, other = inside.look(TOKENS), inside.look(TOKENS[::-1].copy())
    patched = inside.look(TOKENS, patch=replace(other.patch(0, 3), position=9))
    np.testing.assert_array_equal(patched.stream[:2], plain.stream[:2])
    np.testing.assert_allclose(patched.stream[2, 9], other.stream[2, 3], atol=1e-6)
    np.testing.assert_array_equal(
        np.delete(patched.stream[2], 9, axis=0), np.delete(plain.stream[2], 9, axis=0)
    )
    moved = np.abs(patched.stream[3] - plain.stream[3]).max(axis=-1) > 0
    assert [*moved] == [False] * 9 + [True] * 11


def test_a_patch_behind_a_cache_is_at_its_place_in_the_context(opened: Open) -> None:
    inside = opened("separate")
    patch = replace(inside.look(TOKENS[::-1].copy()).patch(0, 4), position=15)
    _, past = inside.model.run(TOKENS[:12], inside.model.new_cache())
    whole = inside.look(TOKENS, patch=patch).logits[12:]
    behind = inside.look(TOKENS[12:], past, patch=patch).logits
    np.testing.assert_allclose(behind, whole, atol=1e-5, rtol=0)


# --- what cannot be looked into -------------------------------------------------------


def spoiled(change: Callable[[onnx.GraphProto], object]) -> onnx.ModelProto:
    model = build()
    change(model.graph)
    return model


def parallel(graph: onnx.GraphProto) -> None:
    """Let the second layer go on from the embedding."""
    [node] = [n for n in graph.node if "attended1" in n.input]
    node.input[0] = "rest0"


def plain_sum(graph: onnx.GraphProto) -> None:
    """Add and normalise in two nodes, after the first attention."""
    [node] = [n for n in graph.node if n.output[0] == "between0"]
    add = onnx.helper.make_node("Add", node.input[:2], ["middle0"])
    norm = onnx.helper.make_node(
        "SimplifiedLayerNormalization", ["middle0", "gain0"], ["between0"]
    )
    node.CopyFrom(add)
    graph.node.insert([*graph.node].index(node) + 1, norm)


@pytest.mark.parametrize(
    ("proto", "said"),
    [
        (build_tiny(PLAIN), "Concat 'present.0.key' is in the way of a look inside"),
        (build_tiny(GROUPED), "GroupQueryAttention 'mixed_cache0' is in the way"),
        (spoiled(parallel), "GroupQueryAttention 'mixed1' is in the way"),
        (spoiled(plain_sum), "Add 'middle0' is in the way"),
        (build(", sliding_window_cache = 1"), "(sliding_window_cache)"),
    ],
)
def test_the_operator_in_the_way_is_named(proto: onnx.ModelProto, said: str) -> None:
    assert said in why_not(proto)


def test_nothing_is_in_the_way_where_norms_add() -> None:
    assert why_not(build()) == ""


def test_a_graph_with_plain_attention_is_refused(tmp_path: Path) -> None:
    model = open_model(write_model(tmp_path, PLAIN))
    with pytest.raises(InputError, match="needs GroupQueryAttention there"):
        Inside(model)


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda i: i.look(TOKENS).weights(2), "no layer 2 here; choose 0 … 1"),
        (lambda i: i.look(TOKENS).weights(-1), "no layer -1 here; choose 0 … 1"),
        (lambda i: i.look(TOKENS).weights(1.5), "no layer 1.5 here; choose 0 … 1"),
        (lambda i: i.look(TOKENS, off=[(0, "1")]), "no head '1' here; choose 0 … 3"),
        (lambda i: i.look(TOKENS, off=[(2, 0)]), "no layer 2 here; choose 0 … 1"),
        (lambda i: i.look(TOKENS, off=[(0, 4)]), "no head 4 here; choose 0 … 3"),
        (lambda i: i.look(TOKENS).patch(2, 0), "no layer 2 here"),
        (lambda i: i.look(TOKENS).patch(0, 20), "no position 20 here; choose 0 … 19"),
        (
            lambda i: i.look(TOKENS[:5], patch=i.look(TOKENS).patch(0, 7)),
            "no position 7 here; choose 0 … 4",
        ),
        (
            lambda i: i.look(
                TOKENS, patch=replace(i.look(TOKENS).patch(0, 7), layer=2)
            ),
            "no layer 2 here",
        ),
        (lambda i: i.look(TOKENS).attribution(64, 0), "token id 64 is not in 0 … 63"),
        (lambda i: i.look(np.array([64])), "token id 64 is not in 0 … 63"),
        (lambda i: i.look(np.array([], int)), "there are no tokens"),
        (lambda i: i.look(np.zeros(97, int)), "no position 96 here; choose 0 … 95"),
    ],
)
def test_what_is_not_there_is_told(
    opened: Open, ask: Callable[[Inside], object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        ask(opened("separate"))


def test_a_patch_from_another_model_is_refused_with_its_vocabulary(
    opened: Open,
) -> None:
    other = opened("packed float32").look(TOKENS).patch(0, 7)
    with pytest.raises(InputError, match=r"vocabulary of \d+, wanted .*model\.onnx"):
        opened("separate").look(TOKENS, patch=other)


def test_a_folder_of_links_as_hubs_keep_them_is_looked_into(tmp_path: Path) -> None:
    made, blobs, links = converted("int4")(tmp_path), tmp_path / "blobs", tmp_path / "l"
    blobs.mkdir()
    links.mkdir()
    for number, file in enumerate(sorted(made.iterdir())):
        file.rename(blobs / str(number))
        (links / file.name).symlink_to(f"../blobs/{number}")
    model = open_model(links)
    look = Inside(model).look(TOKENS)
    assert np.array_equal(look.logits, model.run(TOKENS, model.new_grown_cache())[0])
    assert np.isfinite(look.lens()).all()


def test_a_cache_of_another_model_is_refused(opened: Open) -> None:
    other = opened("packed float32").model.new_grown_cache()
    with pytest.raises(InputError, match=r"was not made by .*; make one"):
        opened("separate").look(TOKENS, other)


def test_weights_that_take_too_much_memory_are_refused_with_a_way_out(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_walkthrough.inside.MOST_BYTES", 4 * 2 * 4 * 20 * 6)
    with pytest.raises(InputError, match=r"12,800 bytes.*3,840.*the last 6 tokens"):
        opened("separate").look(TOKENS)
    inside = opened("separate")
    _, past = inside.model.run(TOKENS[:14], inside.model.new_cache())
    assert inside.look(TOKENS[14:], past).newest().shape == (2, 4, 20)
