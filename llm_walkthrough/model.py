"""Run unseen tokens against a cache.

The only module that holds an `InferenceSession`. It builds the dictionary that goes
into the graph and reads the logits that come out; prefill and decode are the same call,
with many tokens or with one. Knows nothing of text, nor what the logits are used for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import Graph, Port, read_graph
from llm_walkthrough.kv_cache import GrownCache, KVCache, SharedBuffer, SharedCache

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from llm_walkthrough.arrays import KeyOrValue, LogitsRows, TokenIds

_ERRORS_ONLY = 3  # onnxruntime's log severity: 0 verbose … 3 error, 4 fatal


class Model:
    """A decoder graph in a running session.

    Attributes:
        graph: what its file says of inputs, outputs and sizes.
        session: the onnxruntime session that runs it.
    """

    def __init__(self, graph: Graph, session: ort.InferenceSession) -> None:
        _require_agreement(graph, session)
        self.graph = graph
        self.session = session

    @property
    def vocab(self) -> int:
        """How many tokens the logits score."""
        return self.graph.vocab

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """Return an empty cache for `capacity` tokens (default: the whole context).

        It is a shared buffer where the graph can write into one, else arrays that grow.
        The system hands out a buffer's memory only as rows are written.

        Raises:
            InputError: the capacity is not between 1 and the context length.
        """
        if self.graph.can_share_buffers:
            return self.new_shared_cache(capacity)
        return self.new_grown_cache(capacity)

    def new_grown_cache(self, capacity: int | None = None) -> GrownCache:
        """Return an empty cache whose arrays grow with every run.

        Raises:
            InputError: the capacity is not between 1 and the context length.
        """
        return GrownCache(self._zeros(0), self._checked_capacity(capacity))

    def new_shared_cache(self, capacity: int | None = None) -> SharedCache:
        """Return an empty handle on a new shared buffer.

        Raises:
            InputError: the graph cannot write into one buffer, or the capacity is not
                between 1 and the context length.
        """
        if not self.graph.can_share_buffers:
            raise InputError(
                f"{self.graph.path} has attention other than GroupQueryAttention, so "
                "past and present cannot share a buffer; use new_grown_cache()"
            )
        whole = self._zeros(self._checked_capacity(capacity))
        return SharedCache(_BoundBuffer(whole, self))

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        """Run tokens that the cache has not seen, all at once.

        Args:
            unseen: token ids [sequence] int64, at least one.
            cache: holds everything before them. A `GrownCache` stays as it is; a
                shared buffer is written behind the handle's last row.

        Returns:
            Logits [sequence, vocab] float32, row i for the token after `unseen[i]`,
            and the cache that holds the new tokens as well.

        Raises:
            InputError: no token, an id that is not in the vocabulary, more tokens than
                the cache has room for, or logits that hold NaN.
            StaleCacheError: the rows of this handle were overwritten.
        """
        self._check_tokens(unseen, cache)
        logits, longer = self._run(unseen, cache)
        rows: LogitsRows = logits[0].astype(np.float32, copy=False)
        if np.isnan(rows[-1].max()):
            raise InputError(
                f"the logits after {longer.length} tokens hold NaN; the weights in "
                f"{self.graph.path.parent} are damaged or overflow their type: fetch "
                "or convert the model again"
            )
        return rows, longer

    def feed(self, unseen: TokenIds, cache: KVCache) -> dict[str, np.ndarray]:
        """Return the exact dictionary that a run of these tokens gives to the graph.

        The mask covers the past and the new tokens. GroupQueryAttention reads only its
        width and its sum, and accepts a wrong one without a word.
        """
        return {**self._small_feed(unseen, cache.length), **cache.arrays()}

    def _small_feed(self, unseen: TokenIds, past: int) -> dict[str, np.ndarray]:
        total = past + len(unseen)
        arrays = {
            "token ids": np.ascontiguousarray(unseen)[np.newaxis],
            "attention mask": np.ones((1, total), np.int64),
            "position ids": np.arange(past, total)[np.newaxis],
            "cache branch": np.array([past > 0]),
        }
        small = (port for port in self.graph.inputs if port.layer is None)
        return {
            port.name: arrays[port.role].astype(port.dtype, copy=False)
            for port in small
        }

    def _run(self, unseen: TokenIds, cache: KVCache) -> tuple[np.ndarray, KVCache]:
        if isinstance(cache, SharedCache):
            return self._run_shared(unseen, cache)
        return self._run_grown(unseen, cache)

    def _run_grown(
        self, unseen: TokenIds, cache: KVCache
    ) -> tuple[np.ndarray, GrownCache]:
        names = [self._logits.name, *(port.name for port in self.graph.present)]
        logits, *present = self.session.run(names, self.feed(unseen, cache))
        past = (port.name for port in self.graph.past)
        return logits, GrownCache(dict(zip(past, present, strict=True)), cache.capacity)

    def _run_shared(
        self, unseen: TokenIds, cache: SharedCache
    ) -> tuple[np.ndarray, SharedCache]:
        cache.require_fresh()
        buffer = cache.buffer
        if not isinstance(buffer, _BoundBuffer) or buffer.model is not self:
            raise InputError("this cache belongs to another model; use new_cache()")
        shape = (1, len(unseen), self.graph.vocab)
        logits = np.empty(shape, self._logits.dtype)
        buffer.run(self._small_feed(unseen, cache.length), self._logits.name, logits)
        return logits, cache.extended(len(unseen))

    @property
    def _logits(self) -> Port:
        return next(port for port in self.graph.outputs if port.role == "logits")

    def _zeros(self, length: int) -> dict[str, KeyOrValue]:
        shape = (1, self.graph.kv_heads, length, self.graph.head_dim)
        dtype = self.graph.cache_dtype
        return {port.name: np.zeros(shape, dtype) for port in self.graph.past}

    def _checked_capacity(self, capacity: int | None) -> int:
        longest = self.graph.context_length
        if capacity is None:
            return longest
        if not 1 <= capacity <= longest:
            raise InputError(
                f"the capacity must be between 1 and the context of {longest:,}, got "
                f"{capacity:,}; leave it out for the whole context"
            )
        return capacity

    def _check_tokens(self, unseen: TokenIds, cache: KVCache) -> None:
        if len(unseen) == 0:
            raise InputError("there is no token to run; give at least one token id")
        lowest, highest = int(unseen.min()), int(unseen.max())
        if lowest < 0 or highest >= self.graph.vocab:
            wrong = lowest if lowest < 0 else highest
            raise InputError(
                f"token id {wrong} is not in 0 … {self.graph.vocab - 1}; encode the "
                "text with the tokenizer of this very model"
            )
        total = cache.length + len(unseen)
        if total > cache.capacity:
            raise InputError(
                f"{total:,} tokens do not fit into {cache.capacity:,}; shorten the "
                "prompt or make the cache larger, if the model's context allows"
            )


class _BoundBuffer(SharedBuffer):
    """A shared buffer and the binding that hands it to the session, made once.

    Past and present of a layer are the same memory, which GroupQueryAttention notices:
    it then writes the new rows only.
    """

    def __init__(self, whole: Mapping[str, KeyOrValue], model: Model) -> None:
        super().__init__(whole)
        self.model = model
        self._binding = model.session.io_binding()
        for past, present in zip(model.graph.past, model.graph.present, strict=True):
            value = ort.OrtValue.ortvalue_from_numpy(whole[past.name])
            self._binding.bind_ortvalue_input(past.name, value)
            self._binding.bind_ortvalue_output(present.name, value)

    def run(
        self, small: dict[str, np.ndarray], logits_name: str, logits: np.ndarray
    ) -> None:
        """Run the graph once; fills `logits` [1, sequence, vocab] in place."""
        for name, array in small.items():
            self._binding.bind_cpu_input(name, array)
        value = ort.OrtValue.ortvalue_from_numpy(logits)
        self._binding.bind_ortvalue_output(logits_name, value)
        self.model.session.run_with_iobinding(self._binding)


def open_model(folder: Path, *, threads: int | None = None) -> Model:
    """Open a model folder, or an `.onnx` file, on the processor.

    Args:
        folder: as `convert` writes it, as onnxruntime-genai's model builder does, or
            a decoder export with its `config.json`.
        threads: how many threads one operator may use (default: one per core).

    Raises:
        InputError: the model cannot be read, or onnxruntime cannot run it.
    """
    graph = read_graph(folder)
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = ort.InferenceSession(
            graph.path, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has eleven, with no base of their own
        raise InputError(
            f"onnxruntime {ort.__version__} cannot open {graph.path} ({error}); fetch "
            "or convert the model again"
        ) from error
    return Model(graph, session)


def _require_agreement(graph: Graph, session: ort.InferenceSession) -> None:
    """Make sure that the session has the ports which the file names."""
    pairs: list[tuple[tuple[Port, ...], list[Any]]] = [
        (graph.inputs, session.get_inputs()),
        (graph.outputs, session.get_outputs()),
    ]
    for ports, running in pairs:
        read, seen = {p.name for p in ports}, {node.name for node in running}
        if read != seen:
            names = ", ".join(sorted(read ^ seen))
            raise InputError(
                f"{graph.path} and its session disagree on {names}; fetch or convert "
                "the model again"
            )
