"""What a model does with a token: where each head looks, and when each layer knows.

`Inside(model)` opens a copy of the model's graph that has more ports. `look` runs
unseen tokens through it, as `Model.run` does, and returns a `Look`; the cache that it
is given stays as it is. Knows nothing of text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import onnx

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.kv_cache import KVCache, checked_tokens
from llm_walkthrough.model import Model, open_session
from llm_walkthrough.model_files.onnx_file import load_structure
from llm_walkthrough.surgery.copies import (
    GATE,
    PATCHED,
    VECTOR,
    ZERO,
    alter,
    cut_out,
    unrounded,
)
from llm_walkthrough.surgery.places import find_places

if TYPE_CHECKING:
    from jaxtyping import Float32

    Heads = Float32[np.ndarray, "heads sequence head_dim"]
    Weights = Float32[np.ndarray, "num_heads sequence total"]
    Vector = Float32[np.ndarray, " hidden"]
    Rows = Float32[np.ndarray, "rows width"]
    Part = Callable[..., list[Rows]]

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}
MOST_BYTES = 2**29
"""What the attention weights of one look may take."""


def why_not(proto: onnx.ModelProto) -> str:
    """Name the operator that keeps `Inside` from opening a graph; "" if none does."""
    try:
        find_places(proto.graph)
    except InputError as reason:
        return str(reason)
    return ""


@dataclass(frozen=True, eq=False)
class Patch:
    """What one look had in the residual stream at some place, for another look.

    Attributes:
        layer: behind which it stood.
        position: in the context.
        vector: what stood there.
        vocab: of the model that it comes from.
    """

    layer: int
    position: int
    vector: Vector
    vocab: int


@dataclass(frozen=True, eq=False)
class Attribution:
    """How many logits each part of a model put one token above another.

    The last norm is frozen: it multiplies by what it did in that run. All parts
    together are the difference of the two logits.

    Attributes:
        heads: [num_layers, num_heads] of attention.
        mlps: [num_layers], the feed-forward networks.
        embedding: the last token itself.
        rest: what is none of these: biases, and activations rounded to int8.
    """

    heads: Float32[np.ndarray, "num_layers num_heads"]
    mlps: Float32[np.ndarray, " num_layers"]
    embedding: float
    rest: float


class Inside:
    """A model's graph with ports for looking and for intervening.

    Attributes:
        model: its caches can be looked at.
        num_layers, num_heads: how many layers there are, and heads in each.

    Raises:
        InputError: an operator of the graph is in the way.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        proto = load_structure(model.graph.path)
        if reason := why_not(proto):
            raise InputError(
                f"{model.graph.path} cannot be looked into: {reason}; choose a model "
                "that `convert` or onnxruntime-genai's model builder wrote"
            )
        places = find_places(proto.graph)
        layers, told = places.layers, places.layers[0].attention.attribute
        self.num_layers = len(layers)
        self.num_heads = next(one.i for one in told if one.name == "num_heads")
        self._mixed = [layer.attention.output[0] for layer in layers]
        self._branches = [layer.branch for layer in layers]
        self._last_sum, self._normed = [*layers[-1].adds_mlp.input[:2]], places.normed
        self._outputs = alter(proto, places)
        self._session = open_session(model.graph, proto.SerializeToString())

    def look(
        self,
        unseen: TokenIds,
        cache: KVCache | None = None,
        *,
        off: Collection[tuple[int, int]] = (),
        patch: Patch | None = None,
    ) -> Look:
        """Run tokens that the cache has not seen, and keep what they left inside.

        Args:
            unseen: token ids [sequence] int64, at least one.
            cache: what is before them, of this model; nothing if it is left out.
            off: heads to switch off, as (layer, head): they hand on zeros.
            patch: what another look had somewhere, to stand there instead.

        Raises:
            InputError: tokens, heads or a patch that this model cannot have, or weights
                that take too much memory.
        """
        graph, cache = self.model.graph, cache or self.model.new_grown_cache()
        tokens = checked_tokens(unseen, graph.vocab)
        self._require_room(len(tokens), cache.length + len(tokens))
        feed = self.model.feed(tokens, cache)
        feed |= self._gates(off) | self._patches(patch, cache.length, len(tokens))
        present = [port.name for port in graph.present]
        names = ["logits", *present, *self._outputs]
        arrays = iter(self._session.run(names, feed))
        logits, *cached = (next(arrays)[0] for _ in range(1 + len(present)))
        layers = range(self.num_layers)
        queries, weights, mixed = ([next(arrays)[0] for _ in layers] for _ in range(3))
        width = mixed[0].shape[-1]  # a packed query is wider
        return Look(
            inside=self,
            logits=logits.astype(np.float32, copy=False),
            queries=[self._by_head(one[:, :width]) for one in queries],
            keys=cached[::2],
            values=cached[1::2],
            mixed=[self._by_head(one) for one in mixed],
            stream=np.stack([one.reshape(len(tokens), -1) for one in arrays]),
            all_weights=weights,
        )

    @cached_property
    def end(self) -> Part:
        """What the last layer adds up -> logits, and the normalised stream."""
        return self._part(self._last_sum, ["logits", self._normed], is_exact=False)

    @cached_property
    def head(self) -> Part:
        """The normalised stream -> logits; activations are not rounded to int8."""
        return self._part([self._normed], ["logits"], is_exact=True)

    @cached_property
    def projections(self) -> Part:
        """What the heads of each layer hand on -> what is added; likewise."""
        return self._part(self._mixed, self._branches, is_exact=True)

    def _part(self, start: list[str], end: list[str], *, is_exact: bool) -> Part:
        """Open what stands between some tensors and others, as a function of rows."""
        types = {port.name: port.type for port in self._session.get_outputs()}
        stream = types[self._outputs[-1]]  # a norm hands on its type
        dtypes = {name: _DTYPES[types.get(name, stream)] for name in start}
        small = [port.name for port in self.model.graph.inputs if port.layer is None]
        cut = cut_out(load_structure(self.model.graph.path), dtypes, small, end)
        part = (unrounded(cut) if is_exact else cut).SerializeToString()
        session = open_session(self.model.graph, part)

        def run(*rows: Rows) -> list[Rows]:
            ids = np.zeros(len(rows[0]), np.int64)  # some shapes are read off them
            feed = self.model.feed(ids, self.model.new_grown_cache())
            feed = {name: feed[name] for name in small}
            for name, array in zip(start, rows, strict=True):
                feed[name] = array[np.newaxis].astype(dtypes[name], copy=False)
            found = session.run(end, feed)
            return [one.astype(np.float32).reshape(len(ids), -1) for one in found]

        return run

    def _by_head(self, rows: np.ndarray) -> Heads:
        """Split what lies side by side: [sequence, width] to [heads, sequence, …]."""
        heads: Heads = rows.reshape(len(rows), self.num_heads, -1).swapaxes(0, 1)
        return heads

    def _require_room(self, count: int, total: int) -> None:
        row = 4 * self.num_layers * self.num_heads * total  # bytes of float32
        if row * count > MOST_BYTES:
            raise InputError(
                f"the attention weights of {count:,} tokens over {total:,} take "
                f"{row * count:,} bytes, wanted at most {MOST_BYTES:,}; run the others "
                f"into a cache and look at the last {MOST_BYTES // row:,} tokens"
            )

    def _gates(self, off: Collection[tuple[int, int]]) -> dict[str, np.ndarray]:
        gates = np.ones((self.num_layers, self.num_heads), np.float32)
        for layer, head in off:
            require("layer", layer, self.num_layers)
            require("head", head, self.num_heads)
            gates[layer, head] = 0
        wide = gates.repeat(self.model.graph.head_dim, axis=1)
        return {GATE.format(layer): row for layer, row in enumerate(wide)}

    def _patches(
        self, patch: Patch | None, start: int, count: int
    ) -> dict[str, np.ndarray]:
        masks = np.zeros((self.num_layers, count, 1), bool)
        vector = np.zeros(1, np.float32)  # is not looked at
        if patch is not None:
            if patch.vocab != self.model.vocab:
                raise InputError(
                    f"the patch is from a model of {patch.vocab:,} tokens, wanted "
                    f"{self.model.vocab:,}; take it from a look at this very model"
                )
            require("position", patch.position, count, start)
            masks[patch.layer, patch.position - start] = True
            vector = patch.vector
        feed = {PATCHED.format(layer): mask for layer, mask in enumerate(masks)}
        return feed | {VECTOR: vector, ZERO: np.zeros(1, np.float32)}


def require(kind: str, number: int, count: int, first: int = 0) -> None:
    """Make sure that a layer, head or position is one of those there are.

    Raises:
        InputError: it is not.
    """
    if not first <= number < first + count:
        raise InputError(
            f"there is no {kind} {number} here; choose {first} … {first + count - 1}"
        )


@dataclass(frozen=True, eq=False)
class Look:
    """What a run left inside. Layers and heads are counted from 0.

    Attributes:
        inside: whose look it is.
        logits: [sequence, vocab] float32, as `Model.run` returns them.
        queries: of each layer [num_heads, sequence, head_dim], as attention is given
            them; the operator turns them by their position before it uses them.
        keys, values: of each layer [kv_heads, total, head_dim], as in the cache.
        mixed: of each layer what its heads hand on [num_heads, sequence, head_dim].
        stream: the residual stream [1 + 2 * num_layers, sequence, hidden]: embedding,
            then after attention and after the feed-forward network of each layer.
        all_weights: of each layer; see `weights`.
    """

    inside: Inside
    logits: LogitsRows
    queries: Sequence[Heads]
    keys: Sequence[Heads]
    values: Sequence[Heads]
    mixed: Sequence[Heads]
    stream: Float32[np.ndarray, "rows sequence hidden"]
    all_weights: Sequence[Weights]

    def weights(self, layer: int) -> Weights:
        """Return the share that each head's query takes of each key; a row sums to 1.

        Raises:
            InputError: there is no such layer.
        """
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
        rows = self.stream[::2, -1]
        return self.inside.end(rows, np.zeros_like(rows))[0]

    def patch(self, layer: int, position: int) -> Patch:
        """Return what the stream is after a layer, at a position of the context.

        Raises:
            InputError: there is no such layer, or the position was not run.
        """
        count = self.stream.shape[1]
        start = self.keys[0].shape[1] - count
        require("layer", layer, len(self.all_weights))
        require("position", position, count, start)
        vector = self.stream[2 * layer + 2, position - start].astype(np.float32)
        return Patch(layer, position, vector, self.inside.model.vocab)

    def attribution(self, winner: int, other: int) -> Attribution:
        """Tell which parts put one token's logit above another's, after the last token.

        Raises:
            InputError: a token that is not in the vocabulary.
        """
        pair = checked_tokens([winner, other], self.inside.model.vocab)
        stream = self.stream[:, -1].astype(np.float32)
        last = np.stack([heads[:, -1] for heads in self.mixed])
        num_layers, num_heads, _ = last.shape
        # for each head a row in which the others are 0, and a row that is all 0
        alone = np.einsum(
            "rh,lhd->lrhd", np.eye(num_heads + 1, num_heads, dtype=np.float32), last
        )
        rows = alone.reshape(num_layers, num_heads + 1, -1)
        added = np.stack(self.inside.projections(*rows))
        heads = (added[:, :-1] - added[:, -1:]).reshape(-1, added.shape[-1])
        mlps = stream[2::2] - stream[1::2]
        normed = self.inside.end(stream[-1:], np.zeros_like(stream[-1:]))[1]
        last_row = stream[-1:]
        factors = np.divide(
            normed, last_row, np.zeros_like(normed), where=last_row != 0
        )
        parts = np.concatenate([heads, mlps, stream[:1], np.zeros_like(stream[:1])])
        [logits] = self.inside.head(parts * factors)
        gaps = logits[:, pair[0]] - logits[:, pair[1]]
        shares = gaps[:-1] - gaps[-1]
        whole = self.logits[-1, pair[0]] - self.logits[-1, pair[1]]
        return Attribution(
            heads=shares[: len(heads)].reshape(num_layers, num_heads),
            mlps=shares[len(heads) : -1],
            embedding=float(shares[-1]),
            rest=float(whole - shares.sum()),
        )
