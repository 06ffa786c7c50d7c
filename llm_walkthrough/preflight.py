"""What a model's files say before it is loaded: does it run here, and what it costs.

Reads no weights: a graph, which it opens, or a GGUF header. Knows no downloads.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TypeVar

import numpy as np
import onnx
import onnxruntime as ort

from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.errors import FETCH_AGAIN, InputError
from llm_walkthrough.exports.limits import disagreements, known_differences
from llm_walkthrough.exports.which_file import find_onnx_file
from llm_walkthrough.graph import KEYS, Graph, graph_of
from llm_walkthrough.guards.small_file import is_file
from llm_walkthrough.inside import why_not
from llm_walkthrough.machine.facts import PACKED, cores, memory
from llm_walkthrough.machine.providers import session_options
from llm_walkthrough.model import new_session
from llm_walkthrough.model_files.chat_template import ChatTemplate
from llm_walkthrough.model_files.model_config import ModelConfig, read_model_config
from llm_walkthrough.model_files.onnx_file import read_structure, weight_faults
from llm_walkthrough.tokenizer import Tokenizer, open_tokenizer
from llm_walkthrough.views import Passage, Table

Found = TypeVar("Found")

TOKENS = 4_096  # in the cache for which memory is counted
GB = 1e9
_READ_BYTES, _READ_SECONDS = 2**27, 0.2
GREETING = [{"role": "user", "content": "Hello"}]
_item = partial(fill, width=78, initial_indent="• ", subsequent_indent="  ")
_SIZES = {  # what is said of a model, and where settings say so
    "layers": "num_hidden_layers n_layer n_layers",
    "heads in the cache": "num_key_value_heads",
    "numbers in a head": KEYS["head_dim"],
    "tokens it knows": KEYS["vocab"],
    "longest context": KEYS["context_length"],
}


@dataclass(repr=False)
class Card:
    """What is known of a model; it runs here if it has no `faults`."""

    path: str
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    says: list[tuple[str | int | None, ...]] = field(default_factory=list)
    ends: list[tuple[str, int, str]] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)
    works: dict[str, str] = field(default_factory=dict)

    def _parts(self) -> list[Table | Passage]:
        """Return what is shown of it, from top to bottom."""
        verdict = "It cannot run here:" if self.faults else "It can run here."
        columns = ("what its files say", "graph", "settings", "tokenizer")
        width = len(self.says[0]) if self.says else 0  # a GGUF file is one source
        tables = (
            Table(columns[:width], self.says),
            Table(("ends an answer", "id", "as said in"), self.ends),
            Table(("what it costs", ""), [*self.costs.items()]),
            Table(("what works with it", ""), [*self.works.items()]),
        )
        found, notes = ("\n".join(map(_item, it)) for it in (self.faults, self.notes))
        first = Passage(f"{self.path}\n{verdict}\n{found}".rstrip())
        last = [Passage(notes, "Good to know:")] if notes else []
        return [first, *(table for table in tables if table.rows), *last]

    def _repr_html_(self) -> str:
        return "".join(part._repr_html_() for part in self._parts())

    def __repr__(self) -> str:
        return "\n\n".join(repr(part).strip() for part in self._parts())

    def attempt(self, read: Callable[[], Found]) -> Found | None:
        """Read something, or count what is wrong with it among the faults."""
        try:
            return read()
        except InputError as error:
            self.faults += {str(error)} - {*self.faults}
            return None


def inspect(path: str | Path) -> Card:
    """Look at a model folder, or at an `.onnx` or a GGUF file, and list all faults."""
    path, card = Path(path), Card(str(path))
    if path.suffix == ".gguf":
        _look_at_gguf(card, path)
        return card
    folder = path.parent if is_file(path) else path
    said = card.attempt(lambda: read_model_config(path))
    config = said or ModelConfig({})
    tokenizer = card.attempt(lambda: open_tokenizer(folder))
    named = config.entry("filename")
    onnx_file = card.attempt(lambda: find_onnx_file(path, named))
    proto = card.attempt(lambda: read_structure(onnx_file)) if onnx_file else None
    graph = missing = None
    if proto is not None and onnx_file:
        missing = card.attempt(lambda: [*weight_faults(onnx_file, proto.graph)])
        card.faults += missing or []
        card.notes += known_differences(proto.producer_name, config)
        if said:  # else it would be blamed for what is not said
            graph = card.attempt(lambda: graph_of(proto.graph, onnx_file, said))
    if graph and (own := tokenizer):
        tokenizer = card.attempt(lambda: own.for_vocab(graph.vocab)) or own
    _compare(card, graph, config, tokenizer)
    if tokenizer and tokenizer.template:
        card.works["chat template"] = f"yes, from {tokenizer.template.origin.name}"
        card.attempt(lambda: tokenizer.encode(tokenizer.chat(GREETING)))
    if graph and proto:
        _try_out(card, graph, proto, tokenizer)
        card.attempt(lambda: _count_all_costs(card, graph, proto.graph))
        if missing == []:  # they are all there
            card.attempt(lambda: _open_unread(graph))
    return card


def _open_unread(graph: Graph) -> None:
    """Open it as `open_model` does, with its weights mapped and not read."""
    options, providers = session_options(1, None)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    new_session(graph, graph.path, options, providers)


def _look_at_gguf(card: Card, path: Path) -> None:
    """Try what `convert` does before it writes weights."""
    from llm_walkthrough.conversion import convert, gguf_model, rotary  # noqa: PLC0415 - slow

    if not (model := card.attempt(lambda: gguf_model.GgufModel(path))):
        return
    cached = model.num_layers, model.kv_heads, model.head_dim
    sizes = *cached, model.vocab, model.context_length
    card.says = [*zip(_SIZES, sizes, strict=True)]
    made = {
        n: card.attempt(partial(it, model)) for n, it in convert.SMALL_FILES.items()
    }
    named = json.loads(made["tokenizer_config.json"] or "{}")
    if program := named.get("chat_template"):
        card.attempt(partial(ChatTemplate(program, path, named).render, GREETING))
    card.attempt(lambda: rotary.rotary_tables(model, positions=1))
    ends = card.attempt(lambda: convert.end_tokens(model)) or []
    card.ends = [(model.tokens[end], end, path.name) for end in ends]
    has_template = "yes" if model.field("tokenizer.chat_template") else "no"
    after = "after `llm-walkthrough models convert`"
    card.works = {"chat template": has_template, "all others": after}
    cache = 2 * math.prod(cached) * np.dtype(np.float32).itemsize
    _count_costs(card, {"the file": path.stat().st_size}, cache)


def _compare(
    card: Card, graph: Graph | None, config: ModelConfig, tokenizer: Tokenizer | None
) -> None:
    """Put side by side what graph, settings and tokenizer say."""
    told: dict[str, int] = {}
    if graph:
        sizes = graph.num_layers, graph.kv_heads, graph.head_dim, graph.vocab
        told = dict(zip(_SIZES.values(), sizes, strict=False))  # but no longest context
        card.notes += [*disagreements(config, told), *graph.limits.notes]
        piece = tokenizer.piece if tokenizer else str
        card.ends = [(piece(e.token), e.token, ", ".join(e.files)) for e in graph.ends]
        if not card.ends:
            card.notes.append("no file names an end token, so answers run to the limit")
    for what, keys in _SIZES.items():
        vocab = tokenizer.vocab if tokenizer and keys == KEYS["vocab"] else None
        row = told.get(keys), config.number(*keys.split()), vocab
        card.says += [(what, *row)] if any(row) else []
    if tokenizer and not tokenizer.template:
        card.notes.append("it has no chat template, so that `ask` needs --raw")


def _try_out(
    card: Card, graph: Graph, proto: onnx.ModelProto, tokenizer: Tokenizer | None
) -> None:
    """Find out which parts of the course work."""
    grows = "attention other than GroupQueryAttention, so long texts are slow"
    reasons = {"shared buffer": "" if graph.can_share_buffers else grows, "undo": ""}
    reasons["inside view"] = why_not(proto)
    try:
        if tokenizer:
            reasons["JSON"] = ""
            GrammarVocabulary(tokenizer, graph.vocab, graph.end_tokens)
    except InputError as error:
        reasons["JSON"] = str(error)
    card.works |= {what: "no" if why else "yes" for what, why in reasons.items()}
    card.notes += [f"no {what}: {why}" for what, why in reasons.items() if why]


def count_weights(graph: onnx.GraphProto, *, of_a_step: bool = False) -> Counter[str]:
    """Count the bytes of each precision, of all weights or of those a step reads."""
    packing = [(n, a.i) for n in graph.node for a in n.attribute if a.name == "bits"]
    bits = {name: f"{count} bits" for node, count in packing for name in node.input}
    readers = [n for n in graph.node if not (of_a_step and "Gather" in n.op_type)]
    read = {name for node in readers for name in node.input}
    found, places = Counter[str](), set()  # two tensors may be the same bytes
    for tensor in graph.initializer:
        place = tuple(entry.value for entry in tensor.external_data) or tensor.name
        if tensor.name in read and place not in places:
            places.add(place)
            if (code := tensor.data_type) not in onnx.TensorProto.DataType.values():
                what = f"weights {tensor.name!r} are of an unknown type {code}"
                raise InputError(f"{what}; {FETCH_AGAIN}")
            dtype = onnx.helper.tensor_dtype_to_np_dtype(code)
            is_packed = dtype == np.uint8 and tensor.name in bits
            kind = bits[tensor.name] if is_packed else str(dtype.name)
            found[kind] += math.prod(tensor.dims) * dtype.itemsize
    return found


def _count_costs(card: Card, weights: dict[str, int], cache_bytes: int) -> None:
    """Hold what it takes against what this machine has."""
    packed, cache = PACKED * sum(weights.values()), TOKENS * cache_bytes
    sizes = {
        **{f"GB of weights in {kind}": size for kind, size in weights.items()},
        "GB in memory, about, as onnxruntime packs them": packed,
        f"GB for a cache of {TOKENS:,} tokens": cache,
        "GB of memory in all, about": packed + cache,
        "GB free on this machine": memory().available,
    }
    rounded = {what: round(size / GB, 3) for what, size in sizes.items()}
    card.costs = {what: size for what, size in rounded.items() if size}
    name = Path(card.path).name
    if warning := card.attempt(lambda: _warning(name, packed, packed + cache)):
        card.notes.append(warning)


def _count_all_costs(card: Card, graph: Graph, proto: onnx.GraphProto) -> None:
    """Count as well what a step reads, and how many of them memory allows a second."""
    _count_costs(card, count_weights(proto), graph.cache_bytes_per_token)
    read, speed = count_weights(proto, of_a_step=True).total(), bandwidth()
    card.costs["GB read for each token"] = round(read / GB, 3)
    card.costs["GB/s from memory, measured just now"] = round(speed / GB, 1)
    card.costs["tokens/s at the very most"] = round(speed / max(read, 1), 1)


def _warning(name: str, least: float, wanted: float) -> str:
    """Say so if that much memory is not free; InputError if the machine lacks it."""
    here = memory()
    total = here.limit or here.total
    if least > total:
        what = f"{name} takes about {least / GB:,.1f} GB of memory"
        why = f"this machine has {total / GB:,.1f} GB; choose a smaller model"
        raise InputError(f"{what}, and {why}")
    free = f"{here.available / GB:,.1f} GB are free; close other programs"
    is_tight = wanted > here.available
    return f"{name} takes about {wanted / GB:,.1f} GB of memory, and {free}" * is_tight


def memory_warning(path: Path, file: str | None = None) -> str:
    """Say so if a model takes more memory than is free; InputError if more than all."""
    onnx_file = find_onnx_file(path, read_model_config(path).entry("filename"), file)
    files = [f for f in onnx_file.parent.iterdir() if f.name.startswith(onnx_file.name)]
    packed = PACKED * sum(one.stat().st_size for one in files if is_file(one))
    return _warning(onnx_file.parent.name, packed, packed)


def bandwidth() -> float:
    """Return how many bytes per second all cores together can read from memory."""
    parts = np.array_split(np.ones(_READ_BYTES // 8), workers := cores().usable)
    best, end = 0.0, time.perf_counter() + _READ_SECONDS
    with ThreadPoolExecutor(workers) as pool:
        while time.perf_counter() < end:
            start = time.perf_counter()
            [*pool.map(np.sum, parts)]
            best = max(best, _READ_BYTES / (time.perf_counter() - start))
    return best
