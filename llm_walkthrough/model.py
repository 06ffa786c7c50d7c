"""A decoder in an onnxruntime session, which runs unseen tokens against a cache.

The only module that holds an `InferenceSession`. It builds the dictionary that goes
into the graph and reads the logits that come out; prefill and decode are the same call,
with many tokens or with one. Knows nothing of text, nor what the logits are used for.
"""

from __future__ import annotations

import math
import mmap
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from llm_walkthrough.arrays import KeyOrValue, LogitsRows, TokenIds
from llm_walkthrough.errors import FETCH_AGAIN, InputError
from llm_walkthrough.graph import Graph, read_graph
from llm_walkthrough.kv_cache import (
    GrownCache,
    KVCache,
    SharedBuffer,
    SharedCache,
    checked_tokens,
)
from llm_walkthrough.machine import packed
from llm_walkthrough.machine.facts import memory
from llm_walkthrough.machine.providers import CPU, session_options
from llm_walkthrough.model_files.ports import Port

_ONE_BY_ONE = (
    "a token sees the ones after it in the same run, so each is fed in a run of its "
    "own and a long prompt takes its time"
)
_SIGNATURE = re.compile(r"\S*/onnxruntime_src/\S+ .*?\) ")  # of a function in C++
# of the largest number: where int8 activations of a run share a scale, a later token
# moves the ones before it by 0.02 or so, and one that is seen by 0.4 and more
_ROUNDING = 0.1


class Model:
    """A decoder graph in a running session.

    Attributes:
        graph: what its file says of inputs, outputs and sizes.
        session: the onnxruntime session that runs it.
        sees_ahead: whether a token on a past sees those after it in the same run, as in
            merged decoders traced with one token; `run` then feeds one at a time.
    """

    def __init__(self, graph: Graph, session: ort.InferenceSession) -> None:
        self.graph = graph
        self.session = session
        self._small_ports = tuple(port for port in graph.inputs if port.layer is None)
        self._logits = graph.logits
        self.sees_ahead = not graph.can_share_buffers and self._is_seen_ahead()

    @property
    def vocab(self) -> int:
        """How many tokens the logits score."""
        return self.graph.vocab

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each thing that does not work with this export."""
        return self.graph.limits.notes + (_ONE_BY_ONE,) * self.sees_ahead

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """Return an empty cache for `capacity` tokens.

        The default is the whole context, or as much of it as this machine could hold.

        It is a shared buffer where the graph can write into one, else arrays that grow.
        The system hands out a buffer's memory only as rows are written.

        InputError if the capacity is not between 1 and the context length, would take
        more memory than the machine has, or the graph needs the other kind.
        """
        if self.graph.can_share_buffers:
            return self.new_shared_cache(capacity)
        return self.new_grown_cache(capacity)

    def new_grown_cache(self, capacity: int | None = None) -> GrownCache:
        """Return an empty cache whose arrays grow with every run; as `new_cache`."""
        if self.graph.limits.least_capacity:
            raise InputError(
                f"{self.graph.path} has layers with a window that drop tokens from "
                "arrays that grow; use new_shared_cache()"
            )
        return _OwnedCache(self._zeros(0), self._checked_capacity(capacity), self)

    def new_shared_cache(self, capacity: int | None = None) -> SharedCache:
        """Return an empty handle on a new shared buffer; as `new_cache`."""
        if not self.graph.can_share_buffers:
            raise InputError(
                f"{self.graph.path} has attention other than GroupQueryAttention, so "
                "past and present cannot share a buffer; use new_grown_cache()"
            )
        least = self.graph.limits.least_capacity
        whole = self._zeros(max(least, self._checked_capacity(capacity)))
        return SharedCache(_BoundBuffer(whole, self))

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        """Run token ids [sequence] int64 that the cache has not seen, all at once.

        The cache holds everything before them. A `GrownCache` stays as it is; a shared
        buffer is written behind the handle's last row.

        Returns:
            Logits [sequence, vocab] float32, row i for the token after `unseen[i]`,
            or [1, vocab] where the graph gives the last row only; and the cache that
            holds the new tokens as well.

        Raises:
            InputError: no token, an id that is not in the vocabulary, more tokens than
                the cache has room for, a cache of another model, a graph that
                onnxruntime cannot run, or logits that end in NaN or infinity or are all
                equal.
            StaleCacheError: the rows of this handle were overwritten.
        """
        tokens = checked_tokens(unseen, self.vocab)
        total = cache.length + len(tokens)
        most = min(cache.capacity, self.graph.context_length)
        if total > most:
            raise InputError(
                f"{total:,} tokens do not fit into {most:,}; shorten the prompt or "
                "make the cache larger, if the model's context allows"
            )
        size = 1 if self.sees_ahead else len(tokens)
        parts: list[LogitsRows] = []
        for start in range(0, len(tokens), size):
            logits, cache = self._run(tokens[start : start + size], cache)
            # [1, sequence, vocab]: the batch is one text
            parts.append(logits[0].astype(np.float32, copy=False))
            self._require_sound(parts[-1], size)
        return parts[0] if len(parts) == 1 else np.concatenate(parts), cache

    def feed(self, unseen: TokenIds, cache: KVCache) -> dict[str, np.ndarray]:
        """Return the dictionary that a run of these tokens gives to the graph.

        The mask covers the past and the new tokens. GroupQueryAttention reads only its
        width and its sum, and accepts a wrong one without a word. A shared buffer is
        bound as a whole, past and present as one; here stand the rows that count. If
        `sees_ahead`, `run` makes such a dictionary for each token.
        """
        return {**self._small_feed(unseen, cache.length), **cache.arrays()}

    def _small_feed(self, unseen: TokenIds, past: int) -> dict[str, np.ndarray]:
        """Return what is fed besides the cache, as wide and as typed as it must be."""
        return {port.name: _fed(port, unseen, past) for port in self._small_ports}

    def _run(self, unseen: TokenIds, cache: KVCache) -> tuple[np.ndarray, KVCache]:
        if isinstance(cache, _OwnedCache) and cache.model is self:
            return self._run_grown(unseen, cache)
        if isinstance(cache, SharedCache):
            buffer = cache.buffer
            if isinstance(buffer, _BoundBuffer) and buffer.model is self:
                return self._run_shared(unseen, cache, buffer)
        raise InputError("this cache was not made by this model; use its new_cache()")

    def _run_grown(
        self, unseen: TokenIds, cache: _OwnedCache
    ) -> tuple[np.ndarray, _OwnedCache]:
        names = [self._logits.name, *(port.name for port in self.graph.present)]
        feed = self.feed(unseen, cache)
        with _told(self.graph, "run"):
            logits, *present = self.session.run(names, feed)
        past = (port.name for port in self.graph.past)
        longer = replace(cache, held=dict(zip(past, present, strict=True)))
        total = cache.length + len(unseen)
        if longer.length != total:
            raise InputError(
                f"{self.graph.path} keeps {longer.length:,} of {total:,} tokens; a "
                "cache that drops tokens, as with a sliding window, cannot be cut "
                "back: choose another model"
            )
        return logits, longer

    def _run_shared(
        self, unseen: TokenIds, cache: SharedCache, buffer: _BoundBuffer
    ) -> tuple[np.ndarray, SharedCache]:
        cache.require_fresh()
        rows = 1 if self.graph.has_last_row_only else len(unseen)
        small = self._small_feed(unseen, cache.length)
        longer = cache.extended(len(unseen))  # first, should the run be interrupted
        try:
            return buffer.run(small, self._logits, rows), longer
        except Exception:  # to enter `_told` at each step takes a while
            with _told(self.graph, "run"):
                raise

    def _is_seen_ahead(self) -> bool:
        """Prove by three short runs whether a token on a past sees the one behind it.

        It is told by what the last layer keeps of the first of two tokens, which every
        graph returns; what a layer below has mixed in is in there.
        """
        # not the very first ids: a token for padding may be all zeros
        first, *others = (self.vocab * part // 5 for part in (2, 3, 4))
        past = self._run(np.array([first]), _OwnedCache(self._zeros(0), 3, self))[1]
        one, other = (
            self._run(np.array([first, token]), past)[1].rows(1) for token in others
        )
        name = self.graph.past[-1].name  # [1, kv_heads, row, head_dim]
        kept = one[name][:, :, 0].astype(np.float32)
        moved = np.abs(kept - other[name][:, :, 0]).max()
        return bool(moved > _ROUNDING * np.abs(kept).max())

    def _zeros(self, length: int) -> dict[str, KeyOrValue]:
        shape = (1, self.graph.kv_heads, length, self.graph.head_dim)  # one text
        dtype = np.dtype(self.graph.cache_dtype)
        size = max(1, math.prod(shape) * dtype.itemsize)
        # From the system itself, page by page: numpy asks for pages of 2 MB, and what a
        # cache gives back `malloc` would keep.
        return {
            port.name: np.ndarray(shape, dtype, mmap.mmap(-1, size))
            for port in self.graph.past
        }

    def _checked_capacity(self, capacity: int | None) -> int:
        longest = self.graph.context_length
        if capacity is not None and not 1 <= capacity <= longest:
            raise InputError(
                f"the capacity must be between 1 and the context of {longest:,}, got "
                f"{capacity:,}; leave it out for the whole context"
            )
        row, total = self.graph.cache_bytes_per_token, memory().total
        if capacity is not None and capacity * row > total:
            raise InputError(
                f"a cache for {capacity:,} tokens takes {capacity * row / 1e9:,.1f} GB "
                f"of memory, got {total / 1e9:,.1f} GB; ask for fewer tokens"
            )
        # so little that a row does not fit is left to the system to refuse
        return capacity or max(1, min(longest, total // max(1, row)))

    def _require_sound(self, rows: LogitsRows, count: int) -> None:
        """Make sure that there is a row for each token, and that the last one is sound.

        Only that one is read: what is wrong in the cache is wrong in every later row.
        """
        wanted = (1 if self.graph.has_last_row_only else count, self.vocab)
        if rows.shape != wanted:
            raise InputError(
                f"{self.graph.path} returned logits of shape {rows.shape}, wanted "
                f"{wanted}; correct vocab_size in the configuration beside it"
            )
        last = rows[-1]
        most = last[last.argmax()]  # argmax finds a NaN before all else
        if not (math.isfinite(most) and (last[0] < most or last.min() < most)):
            raise InputError(
                f"the logits hold NaN or infinity, or are all equal; the weights in "
                f"{self.graph.path.parent} are damaged or overflow their type: "
                f"{FETCH_AGAIN}"
            )


@dataclass(frozen=True)
class _OwnedCache(GrownCache):
    """Grown arrays of one model; in another they might fit, and mean nothing."""

    model: Model = field(repr=False)


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
            self._binding.bind_ortvalue_input(past.name, value)  # no copy is made
            self._binding.bind_ortvalue_output(present.name, value)
        self._logits = np.empty((1, 0, 0))  # what is bound

    def run(self, small: dict[str, np.ndarray], port: Port, rows: int) -> np.ndarray:
        """Run the graph once; returns logits [1, rows, vocab]."""
        for name, array in small.items():
            self._binding.bind_cpu_input(name, array)  # grows by a token: bound anew
        if rows > 1 or self._logits.shape[1] != rows:
            self._logits = np.empty((1, rows, self.model.vocab), port.dtype)
            value = ort.OrtValue.ortvalue_from_numpy(self._logits)
            self._binding.bind_ortvalue_output(port.name, value)
        self.model.session.run_with_iobinding(self._binding)
        # step by step, a copy takes less time than to bind another array
        return self._logits.copy() if rows == 1 else self._logits


def open_model(
    folder: Path,
    *,
    file: str | None = None,
    threads: int | None = None,
    provider: str | None = None,
) -> Model:
    """Open a model folder, or an `.onnx` file.

    Args:
        folder: as `convert` writes it, as onnxruntime-genai's model builder does, or
            a decoder export with its `config.json`.
        file: which `.onnx` file of the folder (default: as `find_onnx_file` chooses).
        threads: how many threads one operator may use (default: one per core).
        provider: which execution provider computes, such as "qnn" (default: the CPU).

    Errors are those of `read_graph` and `open_session`.
    """
    graph = read_graph(folder, file=file)
    session = open_session(graph, threads=threads, provider=provider)
    if session.get_providers() != [CPU]:  # another device would copy the shared buffer
        graph = replace(graph, can_share_buffers=False)
    return Model(graph, session)


def open_session(
    graph: Graph,
    altered: bytes | None = None,
    *,
    threads: int | None = None,
    provider: str | None = None,
    packs: bool = True,
) -> ort.InferenceSession:
    """Open the file of a graph, or an `altered` copy of it that uses its weights.

    It `packs` them anew, as its operators like them best, or reads them where they lie;
    of the file itself it takes the packed copy, where there is one.

    InputError if onnxruntime cannot run it, or as `session_options` raises.
    """
    options, providers = session_options(threads, provider)
    if packs and (altered, provider) == (None, None) and (copy := packed.find(graph)):
        usual = options.graph_optimization_level  # a copy has all of that behind it
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        with suppress(Exception):  # it is damaged: then as if there were none
            return new_session(graph, copy, options, providers)
        options.graph_optimization_level = usual
    if altered is not None:  # what is in memory has no folder of its own
        weights = str(graph.path.resolve().parent)  # a relative one is refused
        key = "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(key, weights)
    options.add_session_config_entry("session.disable_prepacking", str(int(not packs)))
    return new_session(graph, altered or graph.path, options, providers)


def new_session(
    graph: Graph,
    source: Path | bytes,
    options: ort.SessionOptions,
    providers: list[str] | None,
    doing: str = "open",
) -> ort.InferenceSession:
    """Open the `source`, which is the file of a graph or made of it."""
    with _told(graph, doing):
        # the fallback would print, and try the same once more
        return ort.InferenceSession(source, options, providers, enable_fallback=0)


@contextmanager
def _told(graph: Graph, doing: str) -> Iterator[None]:
    """Make one sentence of what onnxruntime raises, and of nothing else.

    It has fifteen exceptions with no base of their own, and messages of several lines.
    """
    try:
        yield
    except Exception as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        if not frames[-1].f_globals.get("__name__", "").startswith("onnxruntime"):
            raise  # it is from a signal handler that ran meanwhile
        reason = _SIGNATURE.sub("", " ".join(str(error).split()))
        other = "see that its configuration is of the same model"
        way_out = other if doing == "run" else "export it for this version"
        raise InputError(
            f"onnxruntime {ort.__version__} cannot {doing} {graph.path} ({reason}); "
            f"{way_out}, or {FETCH_AGAIN}"
        ) from error


def _fed(port: Port, unseen: TokenIds, past: int) -> np.ndarray:
    """Return what this port wants when `past` tokens are in the cache."""
    total = past + len(unseen)
    if port.role == "token ids":
        return np.asarray(unseen, port.dtype)[np.newaxis]  # [1, sequence]
    if port.role == "attention mask":
        mask = np.empty((1, total), port.dtype)
        mask.fill(1)  # past and new: a mask that is too short drops what came before
        return mask
    if port.role == "position ids":
        return np.arange(past, total, dtype=port.dtype)[np.newaxis]  # [1, sequence]
    if port.role == "logits to keep":
        return np.zeros((1,) * len(port.shape), port.dtype)  # 0 is all of them
    # the cache branch: is there anything to look back at?
    return np.array([past > 0], port.dtype)
