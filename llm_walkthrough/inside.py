"""What a model does with a token: where its heads look, and when its layers know.

`Inside(model)` opens a copy of the model's graph that has more ports. `look` runs
unseen tokens through it, as `Model.run` does, and returns a `Look`; the cache that it
is given stays as it is. Knows nothing of text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from os.path import relpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import Graph
from llm_walkthrough.kv_cache import KVCache, checked_tokens
from llm_walkthrough.model import Model, open_session
from llm_walkthrough.model_files.onnx_file import load_structure
from llm_walkthrough.surgery.copies import GATE, HALF, PATCHED, alter, cut_out
from llm_walkthrough.surgery.places import find_places

if TYPE_CHECKING:
    from jaxtyping import Float32

    Heads = Float32[np.ndarray, "heads sequence head_dim"]
    Weights = Float32[np.ndarray, "num_heads sequence total"]
    Rows = Float32[np.ndarray, "rows hidden"]
    HeadNames = Collection[tuple[int, int]]  # (layer, head)

MOST_BYTES = 2**29  # what the attention weights of one look may take


def why_not(proto: onnx.ModelProto) -> str:
    """Say which operator keeps `Inside` from opening a graph; "" if none does."""
    try:
        find_places(proto.graph)
    except InputError as reason:
        return str(reason)
    return ""


def require(kind: str, number: int, count: int, first: int = 0) -> None:
    """Raise InputError unless this is a layer, head or position that there is."""
    if not (isinstance(number, int | np.integer) and 0 <= number - first < count):
        what = f"there is no {kind} {number!r} here"
        raise InputError(f"{what}; choose {first} … {first + count - 1}")


@dataclass(frozen=True, eq=False)
class Patch:
    """What one look had in the residual stream, to be put into another."""

    layer: int  # behind which it stood
    position: int  # in the context
    vector: Float32[np.ndarray, " hidden"]
    graph: Graph  # of the model that it comes from


@dataclass(frozen=True, eq=False)
class Attribution:
    """How many logits each part of a model put one token above another.

    The last norm divides by what it did in the run; all parts sum up to the difference.
    """

    heads: Float32[np.ndarray, "num_layers num_heads"]
    mlps: Float32[np.ndarray, " num_layers"]  # the feed-forward networks
    embedding: float  # the last token itself
    rest: float  # biases, rounding to int8, and whatever is not linear


class Inside:
    """A model's graph with ports for looking and for intervening.

    Its logits have the model's very bits if it `is_exact`; else a float32 model takes
    no memory for its weights, and they move by some 3e-5. InputError if an operator of
    the graph is in the way.
    """

    def __init__(self, model: Model, *, is_exact: bool = True) -> None:
        self.model = model
        proto = _structure(model.graph.path)
        # onnxruntime packs weights anew, which takes as much memory as they do; plain
        # numbers can be read where they lie, but are then summed in another order
        is_plain = all(node.op_type != "MatMulNBits" for node in proto.graph.node)
        packs = is_exact or not is_plain
        self._opened = partial(open_session, model.graph, packs=packs)
        places = find_places(proto.graph)
        told = {a.name: a.i for a in places.attentions[0].attribute}
        self.num_layers, self.num_heads = len(places.attentions), told["num_heads"]
        self._start = [node.output[0] for node in places.attentions]
        self._start += places.adders[-1].input[:2]
        self._end = ["logits", *places.branches]
        self._dtype = onnx.helper.np_dtype_to_tensor_dtype(model.graph.cache_dtype)
        self._outputs = alter(proto.graph, places, self._dtype)
        self._session = self._opened(proto.SerializeToString())

    def look(
        self,
        unseen: TokenIds,
        cache: KVCache | None = None,
        *,
        off: HeadNames = (),
        patch: Patch | None = None,
    ) -> Look:
        """Run tokens that the cache has not seen, and keep what they left inside.

        The `cache` of what is before them is this model's; nothing if it is left out.
        Heads that are `off`, as (layer, head), hand on zeros. A `patch` is what another
        look had somewhere, to stand there instead. What this model cannot have, and
        weights beyond `MOST_BYTES`, are InputErrors.
        """
        cache = self.model.new_grown_cache() if cache is None else cache
        owner = getattr(getattr(cache, "buffer", cache), "model", None)
        if owner is None or owner.graph != self.model.graph:  # it might fit by chance
            raise InputError("this cache was not made by this model; make one with it")
        tokens = checked_tokens(unseen, self.model.vocab)
        self._require_room(len(tokens), cache)
        feed = self.model.feed(tokens, cache)
        feed |= self._switches(cache.length, len(tokens), off, patch)
        present = [port.name for port in self.model.graph.present]
        found = self._session.run(["logits", *present, *self._outputs], feed)
        # they are taken off one by one, in the order in which they were asked for
        arrays = iter(one.astype(np.float32, copy=False) for one in found)
        layers = range(self.num_layers)
        logits, *cached = (next(arrays)[0] for _ in ("logits", *present))
        queries, weights, mixed = ([next(arrays)[0] for _ in layers] for _ in range(3))
        width = mixed[0].shape[-1]  # a packed query is wider
        shape = (len(tokens), self.num_heads, -1)
        queries = [one[:, :width].reshape(shape).swapaxes(0, 1) for one in queries]
        mixed = [one.reshape(shape).swapaxes(0, 1) for one in mixed]
        stream = np.stack([one.reshape(len(tokens), -1) for one in arrays])
        keys, values = cached[::2], cached[1::2]
        return Look(self, logits, queries, keys, values, weights, mixed, stream)

    def ends(
        self, stream: Rows, mixed: np.ndarray | None = None
    ) -> tuple[LogitsRows, Float32[np.ndarray, "num_layers rows hidden"]]:
        """Run the ends of the graph on rows that never were tokens.

        In the stream after the last layer might be `stream`, and heads might hand on
        `mixed` [num_layers, rows, width], zeros if it is left out. Returns the logits,
        and what each layer's attention would add.
        """
        graph, rows = self.model.graph, len(stream)
        if mixed is None:
            width = self.num_heads * graph.head_dim
            mixed = np.zeros((self.num_layers, rows, width), np.float32)
        pairs = zip(self._start, [*mixed, stream, 0 * stream], strict=True)
        feed = {name: one[np.newaxis].astype(graph.cache_dtype) for name, one in pairs}
        feed["input_ids"] = np.zeros((1, rows), np.int64)  # shapes are read off them
        found = self._ends.run(self._end, feed)
        logits, *added = (one.astype(np.float32).reshape(rows, -1) for one in found)
        return logits, np.stack(added)

    @cached_property
    def _ends(self) -> Any:  # noqa: ANN401 - a session, which is the model's affair
        proto = _structure(self.model.graph.path)
        return self._opened(cut_out(proto, self._start, self._end, self._dtype))

    def _require_room(self, count: int, cache: KVCache) -> None:
        total = cache.length + count
        require("position", total - 1, cache.capacity)
        row = 4 * self.num_layers * self.num_heads * total  # bytes
        if row * count > MOST_BYTES:
            raise InputError(
                f"the attention weights of {count:,} tokens over {total:,} take "
                f"{row * count:,} bytes, wanted at most {MOST_BYTES:,}; run the others "
                f"into a cache and look at the last {MOST_BYTES // row:,} tokens"
            )

    def _switches(
        self, start: int, count: int, off: HeadNames, patch: Patch | None
    ) -> dict[str, np.ndarray]:
        """Return what is fed to the ports for intervening."""
        graph, layers = self.model.graph, range(self.num_layers)
        gates = np.ones((self.num_layers, self.num_heads), graph.cache_dtype)
        for layer, head in off:
            require("layer", layer, self.num_layers)
            require("head", head, self.num_heads)
            gates[layer, head] = 0
        masks = np.zeros((self.num_layers, count, 1), bool)
        half = np.zeros(1, graph.cache_dtype)
        if patch is not None:
            if patch.graph != graph:
                raise InputError(
                    f"the patch is from {patch.graph.path} with its vocabulary of "
                    f"{patch.graph.vocab:,}, wanted {graph.path}; look into that one"
                )
            require("layer", patch.layer, self.num_layers)
            require("position", patch.position, count, start)
            masks[patch.layer, patch.position - start] = True
            half = (patch.vector / 2).astype(half.dtype)
        feed = {PATCHED.format(layer): masks[layer] for layer in layers}
        wide = gates.repeat(graph.head_dim, axis=1)
        return feed | {HALF: half} | {GATE.format(i): wide[i] for i in layers}


@dataclass(frozen=True, eq=False)
class Look:
    """What a run left inside. Layers and heads are counted from 0."""

    inside: Inside
    logits: LogitsRows  # as `Model.run` returns them
    # for each layer; the operator turns queries by their position before it uses them
    queries: Sequence[Heads]
    keys: Sequence[Heads]  # [kv_heads, total, head_dim], as in the cache
    values: Sequence[Heads]
    all_weights: Sequence[Weights]
    mixed: Sequence[Heads]  # what the heads hand on
    # the residual stream [1 + 2 * num_layers, sequence, hidden]: the embedding, then
    # what it is after attention and after the feed-forward network of each layer
    stream: Float32[np.ndarray, "sums sequence hidden"]

    def weights(self, layer: int) -> Weights:
        """Return each head's share of each key for each query, which sum to 1."""
        require("layer", layer, len(self.all_weights))
        return self.all_weights[layer]

    def newest(self) -> Float32[np.ndarray, "num_layers num_heads total"]:
        """Return the weights of the last token."""
        return np.stack([weights[:, -1] for weights in self.all_weights])

    def lens(self) -> LogitsRows:
        """Return what the model would say after each layer, were it the last.

        Row 0 is for the embedding, row i after i layers; the last row is `logits[-1]`
        but for rounding. nostalgebraist 2020, "interpreting GPT: the logit lens".
        """
        return self.inside.ends(self.stream[::2, -1])[0]

    def patch(self, layer: int, position: int) -> Patch:
        """Return the stream after a layer, at a position that was run."""
        count, total = self.stream.shape[1], self.keys[0].shape[1]
        require("layer", layer, len(self.mixed))
        require("position", position, count, total - count)
        vector = self.stream[2 * layer + 2, position - total]
        return Patch(layer, position, vector, self.inside.model.graph)

    def attribution(self, winner: int, other: int) -> Attribution:
        """Tell which parts put one logit above another; InputError for unknown ids."""
        pair = checked_tokens([winner, other], self.inside.model.vocab)
        last = np.stack([heads[:, -1] for heads in self.mixed])
        num_layers, num_heads, _ = last.shape
        stream, zeros = self.stream[:, -1], np.zeros_like(self.stream[:1, -1])
        # a row for each head in which the others are 0, and a row that is all 0
        alone = np.einsum("rh,lhd->lrhd", np.eye(num_heads + 1, num_heads), last)
        rows = alone.reshape(num_layers, num_heads + 1, -1)
        _, added = self.inside.ends(zeros.repeat(num_heads + 1, axis=0), rows)
        heads = (added[:, :-1] - added[:, -1:]).reshape(-1, stream.shape[-1])
        parts = np.concatenate([heads, stream[2::2] - stream[1::2], stream[:1]])
        # the norm divides by the size of what it is given, so that must not differ
        factors = _sizes(stream[-1:]) / np.maximum(_sizes(parts), 1e-30)
        logits = self.inside.ends(parts * factors)[0] / factors
        shares = logits[:, pair[0]] - logits[:, pair[1]]
        whole = self.logits[-1, pair[0]] - self.logits[-1, pair[1]]
        return Attribution(
            heads=shares[: len(heads)].reshape(num_layers, num_heads),
            mlps=shares[len(heads) : -1],
            embedding=float(shares[-1]),
            rest=float(whole - shares.sum()),
        )


def _structure(path: Path) -> onnx.ModelProto:
    """Read a graph; it names its weights by where they are, if links lead to them."""
    proto, home = load_structure(path), path.resolve().parent
    for place in (p for t in proto.graph.initializer for p in t.external_data):
        if place.key == "location":
            place.value = relpath((path.parent / place.value).resolve(), home)
    return proto


def _sizes(rows: Rows) -> Rows:
    """Return the root of each row's mean square [rows, 1]."""
    sizes: Rows = np.sqrt(np.mean(rows * rows, axis=-1, keepdims=True))
    return sizes
